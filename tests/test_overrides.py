"""What is shown of channels whatever their providers and the rules say."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import ValidationError
from twisted.trial.unittest import SynchronousTestCase

from iptvd.identity import Identities
from iptvd.lineup import Assembly, Lineup
from iptvd.model import Channel, ChannelKind, Entry, SourceKind
from iptvd.overrides import KIND, Override, Overrides, override_of
from iptvd.records import Records
from iptvd.rules import Rule, Rules
from tests.doubles import Kept, result

ONE = Entry("1", "One", group="News", tvg_id="one", logo="http://example.com/1.png")
TWO = Entry("2", "Two", group="Sport", tvg_id="two")
FILM = Entry("f", "Film", kind=ChannelKind.VOD, extension="mp4")


class OverrideTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.identities = Identities()

    def lineup(
        self,
        overrides: Mapping[int, Override],
        *listings: tuple[str, list[Entry]],
        rules: tuple[Rule, ...] = (),
        merge: bool = False,
    ) -> Lineup:
        assembly = Assembly(listings or [("a", [ONE, TWO])], Rules(rules), self.identities, merge, overrides)
        for _ in assembly.steps():
            pass
        return assembly.lineup

    def id_of(self, entry: Entry, provider: str = "a") -> int:
        return self.identities.id_of(self.identities.name_of(provider, entry.key))

    def shown(self, override: Override, *rules: Rule) -> Channel:
        return self.lineup({self.id_of(ONE): override}, rules=rules).by_id[self.id_of(ONE)]

    def test_what_it_changes(self) -> None:
        """An override says name, group, number, logo and guide of a channel; what it leaves out stays."""
        channel = self.shown(Override("First", "Best", 7, "https://example.com/x.png", "first.example"))
        self.assertEqual((channel.name, channel.group, channel.number), ("First", "Best", 7))
        self.assertEqual((channel.logo, channel.guide), ("https://example.com/x.png", "first.example"))
        channel = self.shown(Override(logo=""))
        self.assertEqual((channel.name, channel.group, channel.number, channel.logo), ("One", "News", 1, ""))

    def test_it_is_the_last_word(self) -> None:
        """An override wins over the rules."""
        channel = self.shown(Override("Mine"), Rule("One", name="Rule's", group="Rule's"))
        self.assertEqual((channel.name, channel.group), ("Mine", "Rule's"))

    def test_shown_all_the_same(self) -> None:
        """A channel that is not to be hidden is there even where a rule hides it, as its provider has it."""
        rules = (Rule("One", name="Rule's"), Rule("e", hide=True))
        overrides = {self.id_of(ONE): Override(group="Best", hidden=False), self.id_of(TWO): Override("Mine")}
        found = self.lineup(overrides, ("a", [ONE, evolve(TWO, name="Twoe")]), rules=rules)
        self.assertEqual([(channel.name, channel.group) for channel in found.channels], [("One", "Best")])
        self.assertEqual(found.hidden, ())

    def test_what_cannot_be_shown(self) -> None:
        """What would break a playlist is not shown: line breaks, a name of nothing, a logo that is no web address."""
        channel = self.shown(Override(" \n", "a\nb", logo="file:///etc/passwd"))
        self.assertEqual((channel.name, channel.group, channel.logo), ("One", "a b", ONE.logo))

    def test_hidden(self) -> None:
        """A hidden channel is nowhere but among the hidden ones, and the same again when it is no longer hidden."""
        before = self.lineup({})
        hidden = self.lineup({self.id_of(ONE): Override("Mine", hidden=True)})
        self.assertEqual([channel.name for channel in hidden.channels], ["Two"])
        self.assertNotIn(self.id_of(ONE), hidden.by_id)
        self.assertEqual([channel.name for channel in hidden.hidden], ["Mine"])
        self.assertNotEqual(hidden.revision, before.revision)
        self.assertEqual(self.lineup({}).channels, before.channels)

    def test_one_that_is_gone(self) -> None:
        """The override of a channel that is gone waits for it."""
        overrides = {self.id_of(ONE): Override("Mine", number=2)}
        self.assertEqual([each.name for each in self.lineup(overrides, ("a", [TWO])).channels], ["Two"])
        self.assertEqual([each.name for each in self.lineup(overrides).channels], ["Mine", "Two"])

    def test_the_order_of_sources(self) -> None:
        """The sources of a channel are tried in the order that is wanted, others after them, unplayable ones last."""
        hls = evolve(ONE, source_kind=SourceKind.HLS, extension="m3u8")
        drm = evolve(ONE, unsupported="it is protected by DRM")
        listings = [("a", [ONE]), ("b", [hls]), ("c", [drm])]
        channel_id = self.lineup({}, *listings, merge=True).channels[0].id
        for wanted, found in (
            (("b",), ["b", "a", "c"]),
            (("c", "b"), ["b", "a", "c"]),
            (("nobody",), ["a", "b", "c"]),
        ):
            channel = self.lineup({channel_id: Override(sources=wanted)}, *listings, merge=True).channels[0]
            self.assertEqual([provider for provider, _ in channel.entries], found)
            self.assertEqual(
                (channel.source_kind, channel.extension), (channel.entry.source_kind, channel.entry.extension)
            )

    def test_a_number_of_another(self) -> None:
        """Who had a number that is given to another channel gets that one's, and back its own afterwards."""
        numbers = {each.name: each.number for each in self.lineup({self.id_of(TWO): Override(number=1)}).channels}
        self.assertEqual(numbers, {"One": 2, "Two": 1})
        numbers = {each.name: each.number for each in self.lineup({}).channels}
        self.assertEqual(numbers, {"One": 1, "Two": 2})

    def test_numbers_of_hidden_ones_and_films(self) -> None:
        """Neither a hidden channel nor a film takes a number from another."""
        listing = ("a", [ONE, TWO, FILM])
        self.lineup({}, listing)
        overrides = {self.id_of(TWO): Override(number=1, hidden=True), self.id_of(FILM): Override(number=1)}
        found = {each.name: each.number for each in self.lineup(overrides, listing).channels}
        self.assertEqual(found, {"One": 1, "Film": 0})

    @settings(max_examples=60, deadline=None)
    @given(st.dictionaries(st.integers(0, 9), st.integers(1, 14), max_size=10))
    def test_numbers_are_unique(self, wanted: Mapping[int, int]) -> None:
        """Whatever numbers are given, no two channels have the same, and the first that is given one has it."""
        listing = ("a", [Entry(str(each), f"Channel {each}") for each in range(10)])
        ids = [channel.id for channel in self.lineup({}, listing).channels]
        overrides = {ids[place]: Override(number=number) for place, number in wanted.items()}
        found = {each.id: each.number for each in self.lineup(overrides, listing).channels}
        self.assertEqual(len(set(found.values())), 10)
        first: dict[int, int] = {}
        for place, number in wanted.items():
            first.setdefault(number, ids[place])
        self.assertEqual(
            {number: found[channel_id] for number, channel_id in first.items()}, {each: each for each in first}
        )


class OverridesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.store = Kept()
        self.changes: list[None] = []

    def overrides(self) -> Overrides:
        self.records = Records(self.store)
        self.records.load()
        return Overrides(self.records, lambda: self.changes.append(None))

    def test_a_record(self) -> None:
        """Everything that was kept comes back; what a panel keeps beside it means nothing."""
        record = {"name": "a", "number": 2, "guide_id": "-", "hidden": True, "sources": ["b"], "theirs": [1]}
        self.assertEqual(override_of(record), Override("a", None, 2, None, "-", True, ("b",)))
        self.assertEqual(override_of(dict.fromkeys(record)), Override())
        for name, value in (
            ("number", "two"),
            ("number", 0),
            ("name", "x" * 5000),
            ("sources", ["x"] * 51),
            ("hidden", 1),
        ):
            with self.assertRaises(ValidationError):
                override_of({**record, name: value})

    def test_they_are_kept(self) -> None:
        """An override is there when it is kept, after a restart, and no longer when it is taken back."""
        overrides = self.overrides()
        result(self.records.put(KIND, "7", {"name": "a"}))
        self.assertEqual(overrides.all, {7: Override("a")})
        self.assertEqual(self.overrides().all, {7: Override("a")})
        again = self.overrides()
        result(self.records.remove(KIND, "7"))
        self.assertEqual((again.all, len(self.changes)), ({}, 2))

    def test_what_is_not_understood(self) -> None:
        """A record that is none of ours does no harm."""
        self.store.kinds[KIND] = {"x": {}, "8": {"number": -1}, "9": {"name": "b"}}
        self.assertEqual(self.overrides().all, {9: Override("b")})
