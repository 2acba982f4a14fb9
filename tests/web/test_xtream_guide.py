"""What is on, as Xtream clients are told it."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from iptvd.model import Channel, Entry, Programme
from iptvd.web.xtream_guide import DAY, listings
from tests.web.building import lineup_of
from tests.web.xtream_case import NEWS, NOW

SHOWN = Programme(NOW - 600.0, NOW + 600.0, "Now \ud800 & é", description="What it is")


class ListingsTests(SynchronousTestCase):
    def channel(self, entry: Entry = NEWS) -> Channel:
        return lineup_of(entry).channels[0]

    def rows(self, *programmes: Programme, entry: Entry = NEWS, playing: bool = True) -> list[dict[str, Any]]:
        return list(listings(self.channel(entry), programmes, NOW, playing))

    def test_fields(self) -> None:
        """Texts are in base64, times in UTC and in seconds, ids are the channel's."""
        (row,) = self.rows(SHOWN)
        self.assertEqual(b64decode(row["title"]).decode(), "Now ? & é")
        self.assertEqual(b64decode(row["description"]).decode(), "What it is")
        self.assertEqual((row["start"], row["start_timestamp"]), ("2030-03-17 17:36:40", str(NOW - 600)))
        self.assertEqual((row["end"], row["stop_timestamp"]), ("2030-03-17 17:56:40", str(NOW + 600)))
        self.assertEqual((row["epg_id"], row["channel_id"]), (str(self.channel().id), self.channel().xmltv_id))
        self.assertTrue(row["id"].isdecimal())
        self.assertLess(int(row["id"]), 2**31)

    def test_ids(self) -> None:
        """Each programme of a channel has an id of its own, the same each time."""
        rows = [self.rows(SHOWN, evolve(SHOWN, start=NOW + 600.0, stop=NOW + 900.0)) for _ in range(2)]
        self.assertEqual(rows[0], rows[1])
        self.assertEqual(len({row["id"] for row in rows[0]}), 2)

    def test_what_is_on(self) -> None:
        """The one that is on now is marked, where that is wanted."""
        before, after = (evolve(SHOWN, start=SHOWN.start + by, stop=SHOWN.stop + by) for by in (-1200, 1200))
        self.assertEqual([row["now_playing"] for row in self.rows(before, SHOWN, after)], [0, 1, 0])
        self.assertNotIn("now_playing", self.rows(SHOWN, playing=False)[0])

    def test_the_past(self) -> None:
        """What is kept by the provider says so: what has begun, as far back as that is, and nothing else."""
        times = (NOW + 1, NOW - 1, NOW - 3 * DAY, NOW - 3 * DAY - 1)
        programmes = [Programme(float(start), start + 60.0, "x") for start in times]
        self.assertEqual([row["has_archive"] for row in self.rows(*programmes)], [0, 1, 1, 0])
        self.assertEqual([row["has_archive"] for row in self.rows(*programmes, entry=Entry("1", "One"))], [0] * 4)
