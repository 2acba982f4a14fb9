"""Channels of the lineup, found in guides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import tests.vectors
from iptvd.epg.matching import HOUR, MOST_ALIKE, NEVER, Found, GuideChannel, How, Matcher, Wanted

VECTORS = Path(tests.vectors.__file__).parent

#: What the hand-made pairs have to reach: of the matches those that are right, and of the channels those found.
PRECISION, RECALL = 0.98, 0.85


def lines(name: str) -> list[list[str]]:
    """The rows of a file of vectors."""
    text = (VECTORS / name).read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines() if not line.startswith("# ")]


def guide(*channels: tuple[str, ...], source: str = "one", shows: bool = True) -> list[GuideChannel]:
    """Channels of a guide, each by its id and its names."""
    return [GuideChannel(row, source, each[0], each[1:], shows) for row, each in enumerate(channels)]


def found_in(
    channels: list[GuideChannel], wanted: Wanted, preferred: Mapping[str, tuple[str, ...]] | None = None
) -> str:
    """What a channel is in a guide, and how; nothing when it is not there."""
    found = Matcher(channels, preferred or {"one": ()}).find(wanted)
    if found is None:
        return ""
    later = f" +{found.shift // HOUR}" if found.shift else ""
    where = f"{found.channel.source}/" if preferred else ""
    return f"{found.how.value} {where}{found.channel.guide_id}{later}"


class VectorTests(SynchronousTestCase):
    def measured(self, half: str) -> tuple[float, float, int]:
        """Precision, recall and the number of pairs of one half."""
        matcher = Matcher(guide(*map(tuple, lines("guide_names.tsv"))), {"one": ()})
        made = right = expected = pairs = 0
        for row in lines(f"guide_names_{half}.tsv"):
            name, group, tvg_id, tvg_name, guide_id, shift = [*row, *[""] * (6 - len(row))]
            found = matcher.find(Wanted(name, group, tvg_id, tvg_name))
            pairs += 1
            expected += bool(guide_id)
            if found is not None:
                made += 1
                right += (found.channel.guide_id, found.shift) == (guide_id, int(shift or 0))
        return right / made, right / expected, pairs

    def test_the_half_to_look_at(self) -> None:
        """Of the pairs that the rules were made with, matches are right and channels are found."""
        precision, recall, pairs = self.measured("tuning")
        self.assertGreater(pairs, 100)
        self.assertGreaterEqual(precision, PRECISION)
        self.assertGreaterEqual(recall, RECALL)

    def test_the_other_half(self) -> None:
        """Of the pairs that the rules were only measured on, matches are right and channels are found."""
        precision, recall, pairs = self.measured("heldout")
        self.assertGreater(pairs, 100)
        self.assertGreaterEqual(precision, PRECISION)
        self.assertGreaterEqual(recall, RECALL)

    def test_no_pair_is_in_both(self) -> None:
        """What was measured on was not looked at."""
        halves = [{tuple(row[:4]) for row in lines(f"guide_names_{half}.tsv")} for half in ("tuning", "heldout")]
        self.assertEqual(halves[0] & halves[1], set())


class MatchingTests(SynchronousTestCase):
    def test_by_rule(self) -> None:
        """The operator's word goes over everything: this one, or none, and no other when that is not there."""
        channels = guide(("a.uk", "Alpha"), ("b.uk", "Beta"))
        self.assertEqual(found_in(channels, Wanted("Alpha", tvg_id="a.uk", guide="b.uk")), "rule b.uk")
        self.assertEqual(found_in(channels, Wanted("Alpha", tvg_id="a.uk", guide=NEVER)), "")
        self.assertEqual(found_in(channels, Wanted("Alpha", tvg_id="a.uk", guide="c.uk")), "")
        self.assertEqual(found_in(channels, Wanted("Alpha", tvg_id="a.uk", guide="B.uk")), "")

    def test_by_id(self) -> None:
        """The tvg-id goes over the name, exactly first and then without case."""
        channels = guide(("a.uk", "Alpha"), ("A.UK", "Big"), ("b.uk", "Beta"))
        self.assertEqual(found_in(channels, Wanted("Beta", tvg_id="a.uk")), "id a.uk")
        self.assertEqual(found_in(channels, Wanted("Beta", tvg_id="A.UK")), "id A.UK")
        self.assertEqual(found_in(channels, Wanted("Else", tvg_id="B.UK")), "id b.uk")
        # Two are there without case.
        self.assertEqual(found_in(channels, Wanted("Beta", tvg_id="A.uk")), "name b.uk")
        self.assertEqual(found_in(channels, Wanted("Beta", tvg_id="c.uk")), "name b.uk")

    def test_ids_that_are_numbers(self) -> None:
        """A number is an id for another provider's channel too: the names have to be akin."""
        channels = guide(("7", "Sport Seven"), ("8", "Kite 2"), ("9",))
        for name, tvg_id, found in (
            ("Sport Seven HD", "7", "id 7"),
            ("Quasar", "7", ""),
            ("Kite 1", "8", ""),
            ("Quasar", "9", ""),
        ):
            self.assertEqual(found_in(channels, Wanted(name, tvg_id=tvg_id)), found)
        own = {"one": ("panel",)}
        self.assertEqual(found_in(channels, Wanted("Quasar", tvg_id="7", providers=("panel",)), own), "id one/7")

    def test_an_hour_later(self) -> None:
        """A channel an hour later is its own in the guide, else the other one an hour later; never by more."""
        base, own = ("a.uk", "Alpha"), ("a1.uk", "Alpha +1")
        for name, tvg_id, channels, found in (
            ("Alpha +1", "", (base, own), "name a1.uk"),
            ("Alpha +1", "", (base,), "name a.uk +1"),
            ("Alpha +2", "", (base,), ""),
            ("Beta +1", "", (base,), ""),
            ("Alpha", "", (own,), ""),
            ("Alpha +1", "a.uk", (base, own), "name a1.uk"),
            ("Alpha +1", "a.uk", (base,), "id a.uk +1"),
            ("Alpha +2", "a.uk", (base,), ""),
            ("Alpha +1", "a1.uk", (base, own), "id a1.uk"),
            ("Alpha", "a1.uk", (base, own), "id a1.uk"),
            ("Alpha +1", "x.uk", (("x.uk", "99"),), "id x.uk +1"),
        ):
            self.assertEqual(found_in(guide(*channels), Wanted(name, tvg_id=tvg_id)), found, (name, tvg_id, found))

    def test_scores(self) -> None:
        """How certain a match is can be seen."""
        matcher = Matcher(guide(("a.uk", "Alpha Documentaries"), ("b.uk", "Beta Channel"), ("c.uk", "Gamma")), {})

        def score(name: str) -> tuple[How, float] | None:
            found = matcher.find(Wanted(name))
            return (found.how, found.score) if found is not None else None

        self.assertEqual(score("Alpha Documentaries"), (How.NAME, 1.0))
        self.assertEqual(score("Beta"), (How.NAME, 0.95))
        found = score("Alpha Documentries")
        assert found is not None
        self.assertEqual(found[0], How.FUZZY)
        self.assertLess(found[1], 1.0)
        self.assertEqual(score("Gamma +1"), (How.NAME, 0.95))

    def test_spelt_differently(self) -> None:
        """A slip in a long word, a plural, another order, words in one: found; any other word: not."""
        channels = guide(
            ("a", "Meridian Documentaries 2"),
            ("b", "Kite Movies"),
            ("c", "Quasar München"),
            ("d", "Zodiac Cinema"),
            ("e", "Vega Westerns Classic"),
            ("f", "Nickelodeon"),
            ("g", "Crimeline"),
            ("h", "Pulsar Antenna"),
            ("i", "Tundra Crime"),
            ("j", "Alpine"),
            ("k", "Vega 1 Orion 2"),
        )
        for name, found in (
            ("Meridian Documentries 2", "fuzzy a"),
            ("Meridain Documentaries 2", "fuzzy a"),
            ("Meridian Documentries 3", ""),
            ("Meridian Documentaries", ""),
            ("Kite Movie", "fuzzy b"),
            ("Movies Kite", "fuzzy b"),
            ("Quasar Muenchen", "fuzzy c"),
            ("Zodiac Cinemax", ""),
            ("Zodiac Cinema Extra", ""),
            ("Vega Classic Western", "fuzzy e"),
            ("Nicklodeon", "fuzzy f"),
            ("Crime Linne", "fuzzy g"),
            ("Pulsar Antena", "fuzzy h"),
            ("Tundra Prime", ""),
            ("Alpinne", "fuzzy j"),
            ("Alpina", ""),
            ("Orion 2 Vega 1", ""),
            ("Orion 1 Vega 2", "fuzzy k"),
        ):
            self.assertEqual(found_in(channels, Wanted(name)), found, name)

    def test_a_plural_of_another_country(self) -> None:
        """Where the country is not known, a plural may be another country's channel."""
        channels = guide(("SkySports1.uk", "Sky Sports 1"), ("Plain", "Kite Movie"))
        self.assertEqual(found_in(channels, Wanted("Sky Sport 1")), "")
        self.assertEqual(found_in(channels, Wanted("Sky Sport 1", "UK | Sports")), "fuzzy SkySports1.uk")
        self.assertEqual(found_in(channels, Wanted("Kite Movies")), "fuzzy Plain")
        self.assertEqual(found_in(guide(("KiteMovies.uk", "Kite Movies")), Wanted("Kite Movie")), "")
        self.assertEqual(found_in(guide(("KiteMovie.uk", "Kite Movie")), Wanted("Kite Movies")), "")

    def test_two_that_are_near(self) -> None:
        """Where two guide channels are equally near there is no match."""
        channels = guide(
            ("a", "Meridian Documentaries"), ("b", "Meridian Documentories"), ("c", "Kite"), ("d", "Kite")
        )
        self.assertEqual(found_in(channels, Wanted("Meridian Documentries")), "")
        self.assertEqual(found_in(channels, Wanted("Kite")), "")

    def test_hd_and_not(self) -> None:
        """Of a channel that a guide has in HD and not, it is the one of its own quality."""
        channels = guide(("a", "Kite"), ("b", "Kite HD"))
        for name, found in (
            ("Kite", "a"),
            ("Kite SD", "a"),
            ("Kite HD", "b"),
            ("Kite 4K", "b"),
            ("UK: Kite FHD", "b"),
        ):
            self.assertEqual(found_in(channels, Wanted(name)), f"name {found}", name)

    def test_countries(self) -> None:
        """Countries have to agree, by name, id and group; one that is not known decides nothing."""
        channels = guide(
            ("k.uk", "Kite"), ("k.us", "Kite"), ("q.us", "Quasar"), ("s.dk", "TV 2"), ("n.au", "Sky News Australia")
        )
        for name, group, tvg_id, found in (
            ("Kite", "", "", ""),
            ("UK: Kite", "", "", "name k.uk"),
            ("Kite", "USA", "", "name k.us"),
            ("Kite", "", "kite.us", "name k.us"),
            ("UK: Kite", "US | Sports", "kite.us", "name k.uk"),
            ("DE: Kite", "", "", ""),
            ("Quasar", "", "", "name q.us"),
            ("UK: Quasar", "", "", ""),
            ("TV 2", "", "", ""),
            ("TV 2", "Danmark", "", "name s.dk"),
            ("AU: Sky News", "", "", "name n.au"),
            ("Sky News", "", "", ""),
            ("Sky News Australia", "", "", "name n.au"),
            ("US Kite India", "", "", ""),
            ("US: Kite India", "", "", ""),
            ("US: UK Kite", "", "", ""),
            ("UK Kite", "", "", "name k.uk"),
        ):
            self.assertEqual(found_in(channels, Wanted(name, group, tvg_id)), found, (name, group, tvg_id))

    def test_order_of_guides(self) -> None:
        """The provider's own guide is preferred, then the first; and one that shows something, whichever it is."""
        channels = [
            *guide(("a1", "Kite"), ("x", "Quasar"), source="one"),
            *guide(("a2", "Kite"), ("x", "Quasar"), ("z.uk", "Zodiac"), source="two"),
            *guide(("a3", "Vega"), source="one", shows=False),
            *guide(("a4", "Vega"), ("z.us", "Zodiac"), source="three"),
        ]
        preferred: dict[str, tuple[str, ...]] = {"one": (), "two": ("panel",), "three": ()}
        mine, other = ("panel",), ("site",)
        for wanted, found in (
            (Wanted("Kite", providers=other), "name one/a1"),
            (Wanted("Kite", providers=mine), "name two/a2"),
            (Wanted("Foo", tvg_id="x", providers=other), "id one/x"),
            (Wanted("Foo", tvg_id="x", providers=mine), "id two/x"),
            (Wanted("Foo", guide="x", providers=mine), "rule two/x"),
            (Wanted("Vega", providers=mine), "name three/a4"),
            (Wanted("Zodiac", providers=mine), "name two/z.uk"),
            (Wanted("Zodiac", providers=other), ""),
        ):
            self.assertEqual(found_in(channels, wanted, preferred), found, wanted)

    def test_two_names_of_a_channel(self) -> None:
        """The tvg-name helps where the name does not; where the two contradict each other there is no match."""
        channels = guide(
            ("a", "Meridian Sport 1"), ("b", "Meridian Sport 2"), ("c", "Meridian"), ("d", "Meridian Sport 2 North")
        )
        for name, tvg_name, found in (
            ("M. Sport 2", "Meridian Sport 2", "name b"),
            ("M. Sport 1", "Meridian Sport 2", ""),
            ("Meridian Sport 1", "Meridian Sport 2", ""),
            ("Meridian Sport 1", "UK: Meridian Sport 1", "name a"),
            ("Meridian Sport 1", "Something", "name a"),
            ("Meridian", "Meridian Sport 1", "name c"),
            ("Meridian Sport 2 North", "Meridian Sport 2", "name d"),
            ("Meridian Sport 1", "Else Sport 1", "name a"),
            ("##### SPORT #####", "Meridian", ""),
        ):
            self.assertEqual(found_in(channels, Wanted(name, tvg_name=tvg_name)), found, (name, tvg_name))

    def test_radio(self) -> None:
        """What is only to be heard is found only where the guide says that it is radio."""
        channels = guide(("a", "Kiss"), ("b", "Vega FM"), ("c", "Radio Nord"))
        for name, found in (("Kiss", ""), ("Vega FM", "name b"), ("Radio Nord", "name c")):
            self.assertEqual(found_in(channels, Wanted(name, radio=True)), found)
        self.assertEqual(found_in(channels, Wanted("Kiss", tvg_id="a", radio=True)), "id a")

    def test_guides_without_names(self) -> None:
        """A guide that has no names, or numbers for them, is looked for by its ids."""
        channels = guide(("KiteKids.uk",), ("QuasarNews.uk", "401"), ("12",), ("", ""))
        self.assertEqual(found_in(channels, Wanted("Kite Kids")), "name KiteKids.uk")
        self.assertEqual(found_in(channels, Wanted("UK: Quasar News")), "name QuasarNews.uk")
        self.assertEqual(found_in(channels, Wanted("401")), "")

    def test_too_many_alike(self) -> None:
        """A name that hundreds of guide channels have tells nothing."""
        one = guide(("k.uk", "Kite"), ("q.uk", "Quasar"))
        many = guide(*((f"k{number}.us", "Kite") for number in range(MOST_ALIKE)))
        self.assertEqual(found_in(one + many, Wanted("UK: Kite")), "")
        self.assertEqual(found_in(one + many, Wanted("UK: Quasar")), "name q.uk")

    def test_nothing(self) -> None:
        """Without guides, and without a name, nothing is found."""
        self.assertIsNone(Matcher((), {}).find(Wanted("Kite", tvg_id="a", guide="b")))
        self.assertEqual(found_in(guide(("a", "Kite")), Wanted("")), "")
        found = Matcher(guide(("a", "Kite")), {}).find(Wanted("Kite"))
        self.assertEqual(found, Found(GuideChannel(0, "one", "a", ("Kite",)), How.NAME, 1.0))
