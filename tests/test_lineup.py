"""The lineup out of what providers list."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from iptvd.identity import Identities
from iptvd.lineup import Assembly, Lineup
from iptvd.model import ChannelKind, Entry
from iptvd.rules import Rule, Rules

ONE = Entry("1", "One", group="News", tvg_id="one")
TWO = Entry("2", "Two", group="Sport", tvg_id="two")
FILM = Entry("f", "Film", kind=ChannelKind.VOD, extension="mp4", tvg_id="one")


def lineup(
    *listings: tuple[str, list[Entry]],
    rules: tuple[Rule, ...] = (),
    identities: Identities | None = None,
    merge: bool = False,
) -> Lineup:
    assembly = Assembly(listings, Rules(rules), identities or Identities(), merge)
    for _ in assembly.steps():
        pass
    return assembly.lineup


class AssemblyTests(SynchronousTestCase):
    def test_order(self) -> None:
        """Channels stand in the order of the providers and of their lists."""
        found = lineup(("b", [TWO]), ("a", [ONE]))
        self.assertEqual([channel.name for channel in found.channels], ["Two", "One"])
        self.assertEqual(found.groups, ("Sport", "News"))

    def test_ids_are_those_of_the_lineup(self) -> None:
        """Every channel is found by its id."""
        found = lineup(("a", [ONE, TWO, FILM]))
        for channel in found.channels:
            self.assertIs(found.by_id[channel.id], channel)

    def test_a_rename_upstream_changes_no_id_and_no_number(self) -> None:
        """When a provider renames and reorders its channels, they keep their ids and numbers."""
        identities = Identities()
        before = lineup(("a", [ONE, TWO]), identities=identities)
        after = lineup(("a", [evolve(TWO, name="Zwei", number=1), evolve(ONE, name="Eins")]), identities=identities)
        self.assertEqual(
            {(channel.entry.key, channel.id, channel.number) for channel in before.channels},
            {(channel.entry.key, channel.id, channel.number) for channel in after.channels},
        )

    def test_the_revision_tells_changes(self) -> None:
        """The revision is the same for the same lineup, and another when anything that viewers see differs."""
        same = [lineup(("a", [ONE, TWO])).revision for _ in range(2)]
        self.assertEqual(same[0], same[1])
        changes = (
            {"name": "x"},
            {"group": "x"},
            {"logo": "http://example.com/x.png"},
            {"tvg_id": "x"},
            {"catchup": (("catchup", "default"),)},
            {"unsupported": "protected"},
        )
        for change in changes:
            changed = evolve(ONE, **change)
            self.assertNotEqual(lineup(("a", [changed, TWO])).revision, same[0], change)

    def test_rules(self) -> None:
        """The operator's rules hide and rename, and the id stays that of the provider's entry."""
        rules = (Rule("^Two$", hide=True), Rule("^One$", name="First"))
        found = lineup(("a", [ONE, TWO]), rules=rules)
        self.assertEqual([channel.name for channel in found.channels], ["First"])
        self.assertEqual(found.channels[0].id, lineup(("a", [ONE])).channels[0].id)

    def test_films_have_no_number(self) -> None:
        """Films take no channel numbers."""
        self.assertEqual([channel.number for channel in lineup(("a", [FILM, ONE])).channels], [0, 1])


class MergeTests(SynchronousTestCase):
    def test_sharing(self) -> None:
        """A channel is shared as its entry or a rule says; of several entries the first that says something counts."""
        own, rules = evolve(ONE, sharing="isolated"), (Rule("Two", sharing="shared"),)
        found = lineup(("a", [own, TWO, FILM]), rules=rules)
        self.assertEqual([channel.sharing for channel in found.channels], ["isolated", "shared", ""])
        self.assertEqual(found.revision, lineup(("a", [ONE, TWO, FILM])).revision)
        for first, second, expected in (("", "isolated", "isolated"), ("shared", "isolated", "shared")):
            listings = [(name, [evolve(ONE, sharing=its)]) for name, its in (("a", first), ("b", second))]
            (merged,) = lineup(*listings, merge=True).channels
            self.assertEqual((len(merged.entries), merged.sharing), (2, expected))

    def test_not_unless_asked(self) -> None:
        """Without the setting two providers' channels stay two."""
        self.assertEqual(len(lineup(("a", [ONE]), ("b", [ONE])).channels), 2)

    def test_one_channel_with_two_sources(self) -> None:
        """With the setting a tvg-id is one channel, with the providers' entries in order."""
        found = lineup(("a", [ONE]), ("b", [evolve(ONE, name="Uno"), TWO]), merge=True)
        self.assertEqual([channel.name for channel in found.channels], ["One", "Two"])
        self.assertEqual([name for name, _ in found.channels[0].entries], ["a", "b"])

    def test_the_id_outlives_its_first_provider(self) -> None:
        """When the provider that had it first is gone, the merged channel keeps its id and number."""
        identities = Identities()
        before = lineup(("a", [ONE]), ("b", [ONE]), identities=identities, merge=True).channels[0]
        after = lineup(("b", [ONE]), identities=identities, merge=True).channels[0]
        self.assertEqual((before.id, before.number), (after.id, after.number))

    def test_an_ambiguous_tvg_id_merges_nothing(self) -> None:
        """A tvg-id that a provider has twice does not say which channel is meant: nothing of it is merged."""
        twice = [ONE, evolve(ONE, key="1hd", name="One HD")]
        found = lineup(("a", twice), merge=True)
        self.assertEqual([len(channel.entries) for channel in found.channels], [1, 1])
        reordered = lineup(("a", list(reversed(twice))), merge=True)
        self.assertEqual(
            {channel.entry.key: channel.id for channel in found.channels},
            {channel.entry.key: channel.id for channel in reordered.channels},
        )

    def test_films_are_not_merged(self) -> None:
        """A film is never a source of a live channel."""
        self.assertEqual(len(lineup(("a", [ONE]), ("b", [FILM]), merge=True).channels), 2)
