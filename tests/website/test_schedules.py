"""The schedules of events, in both shapes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from attrs import evolve
from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.model import Event
from iptvd.website import schedules
from iptvd.website.schedules import Announcements
from tests.website.pages import drain, text_vector, vector

NOW = datetime(2025, 10, 6, 12, tzinfo=UTC).timestamp()


def zone(name: str) -> tzinfo:
    return ZoneInfo(name or "Europe/London")


def read_json(body: bytes) -> Announcements:
    read = Announcements(zone, NOW)
    drain(read.read_json(body))
    return read


def read_page(text: str) -> Announcements:
    read = Announcements(zone, NOW)
    drain(read.read_page(text))
    return read


def at(day: int, hour: int, minute: int = 0) -> float:
    return datetime(2025, 10, day, hour, minute, tzinfo=UTC).timestamp()


def told(read: Announcements) -> list[tuple[str, str, float, tuple[str, ...]]]:
    return [(each.title, each.category, each.start, each.channels) for each in read.events]


class ScheduleTests(SynchronousTestCase):
    def test_json(self) -> None:
        """Events come with their start in UTC and all channels, whatever form these are listed in."""
        self.assertEqual(
            told(read_json(vector("s1.json"))),
            [
                ("A vs B & C", "Soccer", at(6, 17, 45), ("51", "52")),
                ("Late", "Soccer", at(6, 22, 30), ("51",)),
                ("Past Midnight", "Soccer", at(6, 23, 30), ("news-1",)),
                ("Later Still", "Soccer", at(7, 1, 15), ()),
                ("Final", "Tennis", at(6, 9), ("53",)),
                ("Open", "Golf", at(7, 10), ()),
            ],
        )

    def test_malformed_items(self) -> None:
        """What is no event is left out and counted, never the rest with it."""
        skipped = read_json(vector("s1.json")).skipped
        self.assertEqual(
            skipped,
            {
                "a channel without an id": 6,
                "not an event": 4,
                "no time or no title": 4,
                "a time is not between 00:00 and 23:59": 1,
                "the label of a day names no date": 1,
            },
        )

    def test_page(self) -> None:
        """On the home page the times in the markup count, not those that are shown."""
        read = read_page(text_vector("s2.html"))
        self.assertEqual(
            told(read),
            [
                ("A vs B & C", "Soccer", at(6, 17, 45), ("51", "52")),
                ("Late", "Soccer", at(6, 22, 30), ()),
                ("Past Midnight", "Soccer", at(6, 23, 30), ()),
                ("Final", "Tennis", at(6, 9), ()),
                ("Open", "", at(7, 9), ()),
            ],
        )
        self.assertEqual(read.skipped, {"the label of a day names no date": 1, "no time": 1, "no title": 1})

    def test_list_of_days(self) -> None:
        """Days may come in a list."""
        days = json.loads(vector("s1.json"))
        listed = json.dumps([{label: day} for label, day in days.items()]).encode()
        self.assertEqual(told(read_json(listed)), told(read_json(vector("s1.json"))))

    def test_keys(self) -> None:
        """An event has the same key at each fetch, whatever has become of its channels, and no other has it."""
        first = read_json(vector("s1.json")).events
        self.assertEqual(len({event.key for event in first}), len(first))
        again = read_json(vector("s1.json").replace(b'"51"', b'"99"')).events
        self.assertEqual([event.key for event in again], [event.key for event in first])
        page = read_page(text_vector("s2.html")).events
        self.assertEqual([event.key for event in page[:4]], [first[place].key for place in (0, 1, 2, 4)])

    def test_setting_of_zone(self) -> None:
        """Where a time zone is set, it counts, whatever the label says."""
        read = Announcements(lambda name: ZoneInfo("America/New_York"), NOW)
        drain(read.read_json(vector("s1.json")))
        self.assertEqual(read.events[0].start, at(6, 22, 45))

    def test_nothing(self) -> None:
        """A schedule without events says why there are none."""
        self.assertEqual(read_json(b"{}").failure, "it is empty")
        self.assertEqual(read_json(b"[]").failure, "it is empty")
        self.assertEqual(read_json(b"[1, 2]").failure, "none of 2 items is an event")
        self.assertEqual(read_page("<html>").failure, "0 of 1 selectors matched")
        self.assertEqual(read_page("<p class=schedule__event>").failure, "1 of 2 selectors matched: none for time")
        days = text_vector("s2.html").replace("th Oct", "")
        self.assertEqual(read_page(days).failure, "none of 8 items is an event")
        for body in (b"", b"<html>", b'{"a": {"b": [{"time"'):
            with self.assertRaises(ProtocolError):
                read_json(body)

    def test_bounds(self) -> None:
        """A schedule without an end is cut off, and so are an event's channels."""
        self.patch(schedules, "MOST", 2)
        self.patch(schedules, "MOST_CHANNELS", 1)
        read = read_json(vector("s1.json"))
        self.assertEqual([event.channels for event in read.events], [("51",), ("51",)])
        self.assertEqual(read.skipped["more than 2"], 5)

    @given(strategies.binary())
    def test_any_bytes(self, body: bytes) -> None:
        """Whatever comes, it is read or it is an error of ours."""
        read = Announcements(zone, NOW)
        try:
            drain(read.read_json(body))
        except ProtocolError as error:
            self.assertTrue(error.sentence)
        drain(read.read_page(body.decode("utf-8", "replace")))

    @given(
        strategies.recursive(
            strategies.none() | strategies.text(max_size=9) | strategies.integers() | strategies.just("18:45"),
            lambda inner: (
                strategies.lists(inner, max_size=3)
                | strategies.dictionaries(
                    strategies.sampled_from(["6 Oct 2025", "time", "event", "channels", "channel_id", "x"]), inner
                )
            ),
            max_leaves=30,
        )
    )
    def test_any_json(self, value: object) -> None:
        """Whatever JSON comes, events have a title and a start."""
        body = json.dumps({"6 Oct 2025": {"Soccer": value, "x": [value]}}).encode()
        for event in read_json(body).events:
            self.assertIsInstance(event, Event)
            self.assertTrue(event.title)
            self.assertEqual(evolve(event, channels=tuple(event.channels)), event)
