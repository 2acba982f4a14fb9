"""The rows of Xtream lists: which fields they have, of which type."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.model import Channel, Entry
from iptvd.web import xtream_rows
from iptvd.web.xtream_catalogue import Series
from iptvd.web.xtream_rows import UNTOLD, archive_days, by_season, episode_row, film_info, film_row, live_row
from tests.web.building import lineup_of
from tests.web.xtream_case import EPISODES, FILM, NEWS, PLAIN, RADIO, film

BASE = "http://tv.test"


def channel(entry: Entry) -> Channel:
    return lineup_of(entry).channels[0]


def series_of(*entries: Entry) -> Series:
    series = Series(7, "Show", "Series")
    for each in lineup_of(*entries).channels:
        series.add(each)
    return series


class RowTests(SynchronousTestCase):
    @given(st.text(), st.text())
    def test_any_name(self, name: str, group: str) -> None:
        """Whatever a channel or a film is called, its row is JSON with that name."""
        for kind in (NEWS, FILM):
            one = channel(Entry("1", name, kind.kind, kind.source_kind, kind.extension, group))
            text = live_row(one, 5, BASE) if kind is NEWS else film_row(one, 1, 5, BASE)
            self.assertEqual(json.loads(text)["name"], one.name)
        series = series_of(*EPISODES[:1])
        series.name, series.group = name, group
        row = json.loads(xtream_rows.series_row(series, 1, 5, BASE))
        self.assertEqual((row["name"], row["genre"]), (name, group))

    def test_types(self) -> None:
        """Numbers, digits in strings and texts are what they are with panels; nothing is null."""
        row = json.loads(live_row(channel(NEWS), 5, BASE))
        self.assertEqual(
            (row["num"], row["stream_id"], row["category_id"], row["added"]), (7, row["stream_id"], "5", "0")
        )
        self.assertEqual((row["tv_archive"], row["tv_archive_duration"], row["category_ids"]), (1, 3, [5]))
        rows: list[dict[str, Any]] = [
            row,
            json.loads(film_row(channel(FILM), 1, 5, BASE)),
            film_info(channel(FILM), 5, BASE)["info"],
            film_info(channel(FILM), 5, BASE)["movie_data"],
            episode_row(channel(EPISODES[0]), 1, BASE),
        ]
        for each in rows:
            self.assertNotIn(None, each.values())
        self.assertEqual(json.loads(live_row(channel(RADIO), 5, BASE))["stream_type"], "radio_streams")

    def test_the_past(self) -> None:
        """It is told how many days are kept: some where it is not known how many, none of a film."""
        self.assertEqual([archive_days(channel(each)) for each in (NEWS, PLAIN, RADIO, FILM)], [3, UNTOLD, 0, 0])


class EpisodeTests(SynchronousTestCase):
    def test_order(self) -> None:
        """Seasons and episodes come by their numbers; what has none keeps its place, and is numbered by that."""
        more = (film(f"n{number}", f"Show S03 {name}", "Series") for number, name in enumerate(("Zero", "Again")))
        seasons = by_season(series_of(*EPISODES[:3], *more))
        names = {season: [each.name for each in found] for season, found in seasons.items()}
        self.assertEqual(list(names), [1, 2, 3])
        self.assertEqual(names[1], ["Show S01E01 Pilot", "Show S01E02 Second"])
        rows = [episode_row(each, place, BASE) for place, each in enumerate(seasons[3], 1)]
        told = [(row["season"], row["episode_num"], row["title"]) for row in rows]
        self.assertEqual(told, [(3, 1, "Show S03 Zero"), (3, 2, "Show S03 Again")])

    def test_seasons(self) -> None:
        """A series tells its seasons, each with how many episodes there are."""
        head = xtream_rows.series_head(series_of(*EPISODES[:3]), 5, BASE)
        self.assertEqual(
            [(each["season_number"], each["episode_count"]) for each in head["seasons"]], [(1, 2), (2, 1)]
        )
        self.assertTrue(head["info"]["cover"].startswith(f"{BASE}/logo/"))
