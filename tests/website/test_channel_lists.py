"""The lists of channels, in every shape."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iptvd.website import channel_lists
from iptvd.website.channel_lists import CARDS, FEEDS, GRID, JSON, PAGES, Listed, ListReading
from iptvd.website.extraction import Shape
from tests.website.pages import drain, vector

CHANNELS = [Listed("51", "Demo & One"), Listed("52", "Demo Two"), Listed("news-1", "Café")]


class ListTests(SynchronousTestCase):
    def read(self, shape: Shape, name: str) -> ListReading:
        reading, body = ListReading(shape), vector(name)
        drain(reading.steps(body, body.decode()))
        return reading

    def channels(self, shape: Shape, name: str) -> list[Listed]:
        return list(self.read(shape, name).channels.values())

    def test_shapes(self) -> None:
        """Each shape gives the channels with plain names, each once."""
        self.assertEqual(self.channels(GRID, "l1.html"), CHANNELS)
        self.assertEqual(self.channels(CARDS, "l2.html"), CHANNELS)
        self.assertEqual(self.channels(JSON, "l3.json"), CHANNELS)
        self.assertEqual(self.channels(FEEDS, "l4.html"), [Listed("69", "PPV 1"), Listed("70", "PPV 1")])

    def test_skipped(self) -> None:
        """What is left out is counted, with why."""
        expected = {"no id": 3, "no name": 1, "listed twice": 1, "listed under another name too": 1}
        self.assertEqual(self.read(GRID, "l1.html").skipped, expected)
        self.assertEqual(self.read(CARDS, "l2.html").skipped, {"no id": 1})
        expected = {"not an object": 2, "no id": 2, "no name": 1, "listed twice": 1}
        self.assertEqual(self.read(JSON, "l3.json").skipped, expected)
        expected = {"no name": 1, "listed under another name too": 1}
        self.assertEqual(self.read(FEEDS, "l4.html").skipped, expected)

    def test_other_shapes(self) -> None:
        """A page of another shape has no channels, and why is told."""
        for shape in (GRID, CARDS, FEEDS):
            for name in ("challenge.html", "p1.html", "l3.json"):
                reading = self.read(shape, name)
                self.assertEqual((reading.channels, reading.failure), ({}, "0 of 1 selectors matched"))

    def test_places(self) -> None:
        """Every shape has a name of its own."""
        places = [shape.place for _, shapes in PAGES for shape in shapes]
        self.assertEqual(places, [f"channel list, shape L{number}" for number in (1, 2, 3, 4)])

    def test_too_many(self) -> None:
        """A list without an end is cut off."""
        self.patch(channel_lists, "MOST", 2)
        reading = self.read(GRID, "l1.html")
        self.assertEqual(list(reading.channels.values()), CHANNELS[:2])
        self.assertEqual(reading.skipped["more than 2"], 1)
