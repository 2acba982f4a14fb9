"""The lists of Xtream clients."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from iptvd.web.filling import ANY_BASE
from iptvd.web.xtream_catalogue import Shelf
from iptvd.web.xtream_lists import Wanted, categories, episodes, panel, programmes, rows, seen
from tests.web.building import entries, lineup_of
from tests.web.test_xtream_catalogue import catalogue_of, made_of
from tests.web.xtream_case import ENTRIES


class ListsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.catalogue = made_of(*ENTRIES)

    def names(self, *wanted: Any) -> list[str]:
        told = json.loads(b"".join(rows(self.catalogue, Wanted(*wanted))))
        return [each["name"] for each in told]

    def category(self, shelf: Shelf, group: str) -> str:
        return str(self.catalogue.categories[shelf][group].id)

    def test_shelves(self) -> None:
        """Each shelf has its own, in the order of the lineup."""
        self.assertEqual(self.names(Shelf.LIVE), ["One", 'Two "HD" é', "Radio", "Nowhere"])
        self.assertEqual(self.names(Shelf.VOD), ["A Film (2020)"])
        self.assertEqual(self.names(Shelf.SERIES), ["Show", "Other"])

    def test_categories(self) -> None:
        """A category has what is in it, one that there is not has nothing, and groups leave out the others."""
        self.assertEqual(self.names(Shelf.LIVE, self.category(Shelf.LIVE, "News")), ["One", "Radio"])
        self.assertEqual(self.names(Shelf.LIVE, "1"), [])
        self.assertEqual(self.names(Shelf.LIVE, "", ("Sport",)), ['Two "HD" é'])
        self.assertEqual(self.names(Shelf.LIVE, self.category(Shelf.LIVE, "News"), ("Sport",)), [])
        names = [each["category_name"] for each in categories(self.catalogue, Shelf.SERIES, ("Sport",))]
        self.assertEqual(names, ["Sport"])
        self.assertTrue("x" in seen(()) and "x" not in seen(("y",)))

    def test_numbers(self) -> None:
        """What is left out is not counted."""
        told = json.loads(b"".join(rows(self.catalogue, Wanted(Shelf.SERIES, "", ("Sport",)))))
        self.assertEqual([(each["num"], each["name"]) for each in told], [(1, "Other")])

    def test_in_short_steps(self) -> None:
        """A long list is made a bit at a time."""
        self.catalogue = catalogue_of(lineup_of(*entries(2000)))
        steps = list(rows(self.catalogue, Wanted(Shelf.LIVE)))
        self.assertGreaterEqual(len(steps), 20)
        self.assertEqual(len(json.loads(b"".join(steps))), 2000)

    def test_episodes(self) -> None:
        """A series has its episodes by season."""
        (show,) = (each for each in self.catalogue.series.values() if each.name == "Show")
        told = json.loads(b"".join(episodes(self.catalogue, show)))
        self.assertEqual({season: len(found) for season, found in told["episodes"].items()}, {"1": 2, "2": 1})
        self.assertEqual(told["info"]["name"], "Show")
        self.assertTrue(told["info"]["cover"].startswith(ANY_BASE))

    def test_programmes(self) -> None:
        """Programmes are a list in an object, also where there are none."""
        for found in ([], [{"a": 1}], [{"a": number} for number in range(50)]):
            self.assertEqual(json.loads(b"".join(programmes(iter(found)))), {"epg_listings": found})

    def test_panel(self) -> None:
        """All at once: what was said of the login, the categories, and what there is of the groups by its id."""
        for groups, count in (((), 5), (("Sport",), 1), (("None",), 0)):
            told = json.loads(b"".join(panel(self.catalogue, {"user_info": {"auth": 1}}, groups)))
            self.assertEqual((told["user_info"], len(told["available_channels"])), ({"auth": 1}, count))
            self.assertEqual(sorted(told["categories"]), ["live", "movie", "series"])
            self.assertTrue(all(key == row["stream_id"] for key, row in told["available_channels"].items()))
