"""How alike two names are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.epg.likeness import ONE_SLIP, TWO_SLIPS, is_like, likeness, near_keys
from iptvd.epg.names import read_name

#: Names of one channel, spelt differently.
ALIKE = (
    ("Kite Movies", "Movies Kite"),
    ("Kite Westerns", "Kite Western"),
    ("Quasar Muenchen", "Quasar Munchen"),
    ("Meridian Documentaries", "Meridian Documentries"),
    ("Meridian Documentaries", "Meridain Documentaries"),
    ("Crimeline", "Crime Linne"),
    ("Pulsar Antenna", "Pulsar Antena"),
    ("Nickelodeon", "Nicklodeon"),
)
#: Names of two channels.
OTHERS = (
    ("Kite 1", "Kite 2"),
    ("Kite", "Kite Star"),
    ("Kite News", "Kite New"),
    ("Tundra Crime", "Tundra Prime"),
    ("Zodiac Cinema", "Zodiac Cinemax"),
    ("Crimeline", "Grimeline"),
    ("Vega 1 Orion 2", "Vega 2 Orion 1"),
    ("Meridian Documentaries", "Meridian Dokumentoryes"),
)

NAMES = st.lists(
    st.sampled_from("Kite Orbits Documentaries Documentories Nebula Antenna Antena 1 2".split()),  # noqa: SIM905
    min_size=1,
    max_size=4,
).map(" ".join)


class LikenessTests(SynchronousTestCase):
    def test_alike(self) -> None:
        """A slip in a long word, a plural, a doubled letter, another order, words in one: the same, and so found."""
        for one, other in ALIKE:
            first, second = read_name(one), read_name(other)
            self.assertTrue(is_like(first, second, known=True), (one, other))
            self.assertFalse(set(near_keys(first)).isdisjoint(near_keys(second)), (one, other))
            self.assertGreater(likeness(first, second), 0.8, (one, other))

    def test_others(self) -> None:
        """Another number, another word, one word more, or too many slips: another channel."""
        for one, other in OTHERS:
            self.assertFalse(is_like(read_name(one), read_name(other), known=True), (one, other))

    def test_plurals(self) -> None:
        """A plural is the same word only where it is known that both are of one country."""
        one, other = read_name("Sky Sport"), read_name("Sky Sports")
        for first, second in ((one, other), (other, one)):
            self.assertTrue(is_like(first, second, known=True))
            self.assertFalse(is_like(first, second, known=False))

    def test_how_many_slips(self) -> None:
        """Short words have to be the same, longer ones may differ by a letter, and very long ones by two."""
        for length, slips in ((ONE_SLIP - 1, 0), (ONE_SLIP, 1), (TWO_SLIPS - 1, 1), (TWO_SLIPS, 2)):
            word = "abcdefghijklmnop"[: length - 1] + "z"
            for changed in (1, 2, 3):
                other = word[0] + "x" * changed + word[1 + changed :]
                alike = is_like(read_name(word), read_name(other), known=True)
                self.assertEqual(alike, changed <= slips, (length, changed))

    @given(NAMES, NAMES)
    def test_any_two(self, one: str, other: str) -> None:
        """How alike two names are does not depend on which comes first, and each is like itself."""
        first, second = read_name(one), read_name(other)
        self.assertTrue(0 <= likeness(first, second) <= 1)
        self.assertAlmostEqual(likeness(first, second), likeness(second, first))
        self.assertTrue(is_like(first, first, known=False))
        self.assertEqual(likeness(first, first), 1)
        if is_like(first, second, known=True):
            self.assertEqual(first.numbers, second.numbers)
