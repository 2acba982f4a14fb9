"""The countries that names of channels speak of."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iptvd.epg import countries
from iptvd.epg.countries import BY_ENDING, BY_FIRST_WORD, BY_LAST_WORD, BY_WORD, agree
from iptvd.epg.names import country_of_group, country_of_id, read_name


class CountriesTests(SynchronousTestCase):
    def test_each_word_is_of_one_country(self) -> None:
        """No word stands for two countries without saying so."""
        words = [word for code, names in countries._NAMES.items() for word in (code, *names)]
        self.assertEqual([word for word in words if words.count(word) > 1], [])

    def test_every_word_is_found(self) -> None:
        """Each word is written as it is looked for, so that a group of that name is of that country."""
        for word, meant in BY_WORD.items():
            self.assertEqual(country_of_group(word.upper()), meant, word)
            self.assertTrue(meant, word)

    def test_around_a_name(self) -> None:
        """What is known as an ending, or as a word before or behind a name, tells the same country there."""
        for ending, meant in BY_ENDING.items():
            self.assertEqual(country_of_id(f"Kite.{ending}"), meant, ending)
        for word, meant in BY_LAST_WORD.items():
            name = read_name(f"Northstar {word}")
            self.assertEqual((name.reduced, name.edge), ("northstar", meant), word)
            self.assertEqual(read_name(f"Northstar | {word}").countries, meant, word)
        for word, meant in BY_FIRST_WORD.items():
            self.assertEqual(read_name(f"{word.upper()}-Northstar").countries, meant, word)

    def test_what_mostly_means_something_else(self) -> None:
        """An ending or a beginning that is a word as often as a country's code tells none."""
        for ending in ("co", "id", "tv", "hd"):
            self.assertEqual(country_of_id(f"Kite.{ending}"), frozenset(), ending)
        for word in ("al", "be", "in", "it", "no", "me"):
            self.assertEqual(read_name(f"{word}-Northstar").countries, frozenset(), word)

    def test_countries_agree(self) -> None:
        """What is not known contradicts nothing."""
        uk, both, none = frozenset({"uk"}), frozenset({"uk", "ie"}), frozenset[str]()
        for one, other, agreed in (
            (uk, both, True),
            (uk, frozenset({"us"}), False),
            (uk, none, True),
            (none, uk, True),
        ):
            self.assertEqual(agree(one, other), agreed)
