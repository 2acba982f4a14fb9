"""The words of a channel's name."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.epg.words import MOST, joined, quiet, words_of


class WordsTests(SynchronousTestCase):
    def test_numbers(self) -> None:
        """However a number is written it is the same one, unless it is the name itself."""
        for text, words in (
            ("bbc one", "bbc 1"),
            ("bbc 01", "bbc 1"),
            ("bbc1", "bbc 1"),
            ("rtl zwei", "rtl 2"),
            ("rtl ii", "rtl 2"),
            ("ii", "ii"),
            ("studio 000", "studio 0"),
            ("sky f1", "sky formula 1"),
            ("sky f 1", "sky formula 1"),
        ):
            self.assertEqual(" ".join(words_of(text)), words, text)

    def test_spellings(self) -> None:
        """Words that are written in several ways are one word, and what says nothing is none."""
        for text, words in (
            ("nat geo wild", "national geographic wild"),
            ("natgeo wild", "national geographic wild"),
            ("geo news", "geo news"),
            ("nick jr", "nickelodeon junior"),
            ("nick toons", "nick toons"),
            ("the kite and star", "kite star"),
            ("!?", ""),
        ):
            self.assertEqual(" ".join(words_of(text)), words, text)

    def test_a_plus(self) -> None:
        """A plus at the end belongs to the name; one between two words joins them, unless the name is known for it."""
        for text, words in (
            ("kite+", "kite plus"),
            ("kite + star", "kite star"),
            ("kite+star", "kite star"),
            ("kite +star", "kite plus star"),
            ("canal+ sport", "canal plus sport"),
            ("canal + sport", "canal plus sport"),
            ("+ kite", "plus kite"),
        ):
            self.assertEqual(" ".join(words_of(text)), words, text)

    def test_quiet(self) -> None:
        """Words such as TV around a name go, unless nothing is left then that tells the channel."""
        for words, left in (
            ("kite channel tv", "kite"),
            ("tv nova", "nova"),
            ("tv 1", "tv 1"),
            ("tv bbc", "tv bbc"),
            ("news channel", "news channel"),
            ("sport tv 2", "sport tv 2"),
            ("kite tv 2", "kite tv 2"),
            ("tv", "tv"),
            ("", ""),
        ):
            self.assertEqual(" ".join(quiet(tuple(words.split()))), left, words)

    def test_joined(self) -> None:
        """Where letters are parted says nothing, where numbers are does."""
        for words, key in (("kite star", "kitestar"), ("kite 1 2", "kite 1 2"), ("1 kite", " 1 kite"), ("", "")):
            self.assertEqual(joined(tuple(words.split())), key)
        self.assertNotEqual(joined(("kite", "1", "2")), joined(("kite", "12")))

    @given(st.text(max_size=300))
    def test_anything(self, text: str) -> None:
        """Whatever a name is, its words are few, and reading them again gives them again as far as letters go."""
        words = words_of(text)
        self.assertLessEqual(len(words), MOST + 1)
        self.assertNotIn("", words)
        self.assertTrue(set(quiet(words)) <= set(words))
        self.assertEqual(joined(words).replace(" ", ""), "".join(words))
