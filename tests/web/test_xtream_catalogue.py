"""What the lineup is to Xtream clients."""

from __future__ import annotations

from types import SimpleNamespace

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from iptvd.identity import MAX_ID
from iptvd.lineup import Lineup
from iptvd.model import Entry
from iptvd.web import xtream_catalogue
from iptvd.web.xtream_catalogue import Catalogue, Catalogues, Mark, Shelf, mark_in
from tests.doubles import result, sliced
from tests.web.building import Later, lineup_of
from tests.web.xtream_case import ENTRIES, EPISODES, NEWS, film


def catalogue_of(lineup: Lineup) -> Catalogue:
    return result(Catalogues(lambda: lineup, sliced).now())


def made_of(*entries: Entry) -> Catalogue:
    return catalogue_of(lineup_of(*entries))


class MarkTests(SynchronousTestCase):
    def test_episodes(self) -> None:
        """The name of an episode tells series, season and number, in whatever way they are parted."""
        for name, mark in {
            "Show S01E02 Title": Mark("Show", 1, 2),
            "Show - s1 e2 - Title": Mark("Show", 1, 2),
            "A.Show.S2020E113.mkv": Mark("A.Show", 2020, 113),
            "Show_S01-E02": Mark("Show", 1, 2),
            "Show S00E01": Mark("Show", 0, 1),
            "Show S03 Title": Mark("Show", 3, 0),
            "Show S03": Mark("Show", 3, 0),
        }.items():
            self.assertEqual(mark_in(name), mark, name)

    def test_films(self) -> None:
        """What has no such mark, or nothing before it, is a film."""
        for name in ("A Film (2020)", "S01E02", " - S01E02", "Apollo S5", "Show S03x", "Bs01e02", "", "Stress01E5"):
            self.assertIsNone(mark_in(name), name)

    @given(st.text(max_size=60))
    def test_any_name(self, name: str) -> None:
        """Whatever something is called, it is either a film or an episode of something with a name."""
        mark = mark_in(name)
        self.assertTrue(mark is None or (mark.show.strip() and mark.show in name))


class CatalogueTests(SynchronousTestCase):
    def test_shelves(self) -> None:
        """Live channels, films and series are told apart, and what cannot be played is not there."""
        found = made_of(*ENTRIES)
        self.assertEqual([each.name for each in found.live], ["One", 'Two "HD" é', "Radio", "Nowhere"])
        self.assertEqual([each.name for each in found.films], ["A Film (2020)"])
        self.assertEqual(
            [(each.name, len(each.channels)) for each in found.series.values()], [("Show", 3), ("Other", 1)]
        )
        names = {shelf: [each.name for each in found.categories[shelf].values()] for shelf in Shelf}
        self.assertEqual(
            names, {Shelf.LIVE: ["News", "Sport", "Other"], Shelf.VOD: ["Films"], Shelf.SERIES: ["Series", "Sport"]}
        )

    def test_ids_stay(self) -> None:
        """A group keeps its id whatever else there is, and has another one on each shelf."""
        alone, among = made_of(NEWS), made_of(*reversed(ENTRIES))
        self.assertEqual(alone.categories[Shelf.LIVE]["News"].id, among.categories[Shelf.LIVE]["News"].id)
        ids = [each.id for shelf in Shelf for each in among.categories[shelf].values()]
        ids += among.series
        self.assertEqual(len(set(ids)), len(ids))
        self.assertTrue(all(0 < each <= MAX_ID for each in ids))

    def test_ids_are_unique(self) -> None:
        """However many groups there are, no two have one id."""
        found = made_of(*(evolve(NEWS, key=str(number), group=f"Group {number}") for number in range(3000)))
        ids = {each.id for each in found.categories[Shelf.LIVE].values()}
        self.assertEqual(len(ids), 3000)

    def test_ids_of_the_same_sum(self) -> None:
        """Where what an id is made of comes out the same twice, the second is another one."""
        digests = iter([b"\0\0\0\1", b"\0\0\0\1", b"\x80\0\0\0", b"\0\0\0\2"])
        self.patch(
            xtream_catalogue, "blake2b", lambda text, digest_size: SimpleNamespace(digest=lambda: next(digests))
        )
        found = made_of(NEWS, evolve(NEWS, key="x", group="Sport"))
        self.assertEqual([each.id for each in found.categories[Shelf.LIVE].values()], [1, 2])

    def test_series_change(self) -> None:
        """The time of a series' last change is another one when an episode comes or is renamed, and only then."""
        (before,) = made_of(*EPISODES[:2]).series.values()
        (same,) = made_of(*EPISODES[:2], film("x", "A film")).series.values()
        (more,) = made_of(*EPISODES[:3]).series.values()
        (renamed,) = made_of(EPISODES[0], film("e1", "Show S01E01 Beginning", "Series")).series.values()
        self.assertEqual(before.modified, same.modified)
        self.assertEqual(len({before.modified, more.modified, renamed.modified}), 3)
        self.assertEqual({before.id, more.id, renamed.id}, {same.id})

    def test_series_apart(self) -> None:
        """Two providers' series of one name are two, and so are those in two groups."""
        lineup = lineup_of(EPISODES[0], film("g", "Show S01E03", "Elsewhere"), other=[EPISODES[1]])
        self.assertEqual(len(catalogue_of(lineup).series), 3)

    def test_made_once(self) -> None:
        """A catalogue is made once for each lineup, however many ask at the same time."""
        later = Later()
        lineup = lineup_of(NEWS)
        catalogues = Catalogues(lambda: lineup, later)
        both = [Deferred.fromCoroutine(catalogues.now()) for _ in range(2)]
        later.finish()
        first, second = (result(each) for each in both)
        self.assertIs(first, second)
        self.assertIs(result(catalogues.now()), first)
        lineup = lineup_of(NEWS, *EPISODES)
        other = Deferred.fromCoroutine(catalogues.now())
        later.finish()
        self.assertEqual((later.begun, len(result(other).series)), (2, 2))
