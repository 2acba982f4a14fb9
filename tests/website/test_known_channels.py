"""What is known of channels by their names."""

from __future__ import annotations

import tomllib

from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ConfigError
from iptvd.website.known_channels import OURS, Known, KnownChannels, words_of
from tests.website.pages import drain


class OwnFileTests(SynchronousTestCase):
    """The file that comes with us."""

    def setUp(self) -> None:
        self.text = OURS.read_text(encoding="utf-8")
        self.known = KnownChannels()
        drain(self.known.read(self.text))

    def test_names(self) -> None:
        """Well-known names have a country, a group and an id in guides, however they are written."""
        one = Known("United Kingdom", "General", ("Public",), "BBCOne.uk")
        for name in ("BBC One", "bbc one hd", "BBC One UK", "UK: BBC One", "BBC 1 FHD", "BBC One United Kingdom"):
            self.assertEqual(self.known.find(name), one, name)
        self.assertEqual(self.known.find("RTE One").tvg_id, "RTEOne.ie")
        self.assertEqual(self.known.find("Arte Deutschland").country, "Germany")

    def test_other_country(self) -> None:
        """A channel of the same name in another country is another channel."""
        self.assertEqual(self.known.find("ABC USA").tvg_id, "ABC.us")
        self.assertEqual(self.known.find("ABC Australia"), Known("Australia"))

    def test_words(self) -> None:
        """What is not known by its name has a group by the words in it."""
        for name, group in (
            ("Demo Sports 1", "Sports"),
            ("Demo News", "News"),
            ("PPV 3", "Events"),
            ("Demo 24 Horas", "News"),
            ("Newsome", ""),
            ("Demo", ""),
        ):
            self.assertEqual(self.known.find(name).group, group, name)

    def test_codes(self) -> None:
        """A short word at the end is a country only when it is written as a code."""
        self.assertEqual(self.known.find("Watch it").country, "")
        self.assertEqual(self.known.find("Watch IT").country, "Italy")
        self.assertEqual(self.known.find("UK").country, "")

    def test_file(self) -> None:
        """The file is of good form as a whole, no name is in it twice, and every country in it has a name but one."""
        tables = tomllib.loads(self.text)
        names = [(words_of(name), each.get("country")) for each in tables["channel"] for name in each["names"]]
        self.assertGreater(len(tables["channel"]), 36)
        self.assertEqual(len(names), len(set(names)))
        codes = {each["code"] for each in tables["country"]}
        self.assertEqual({each.get("country", "GB") for each in tables["channel"]} - codes, {"QA"})


class FileTests(SynchronousTestCase):
    def read(self, *texts: str) -> KnownChannels:
        known = KnownChannels()
        for text in texts:
            drain(known.read(text))
        return known

    def test_first_file_first(self) -> None:
        """What the operator knows goes before what we know, and the rest stays."""
        mine = (
            '\n[[channel]]\nnames = ["BBC One", "Mine"]\ngroup = "My"\ntags = ["a", "b"]\n'
            'logo = "https://logos.example.com/1.png"\n[[words]]\nwords = ["news"]\ngroup = "Papers"\n'
        )
        known = self.read(mine, OURS.read_text(encoding="utf-8"))
        expected = Known("", "My", ("a", "b"), "", "https://logos.example.com/1.png")
        self.assertEqual((known.find("bbc one"), known.find("Mine")), (expected, expected))
        self.assertEqual((known.find("Demo News").group, known.find("BBC Two").tvg_id), ("Papers", "BBCTwo.uk"))

    def test_country(self) -> None:
        """A country without a name is called by its code, and so is one that is in no table."""
        known = self.read('[[country]]\ncode="XX"\nwords=["xx"]\n[[channel]]\nnames=["a"]\ncountry="YY"\n')
        self.assertEqual((known.find("b XX").country, known.find("a").country), ("XX", "YY"))

    def test_wrong(self) -> None:
        """A block that is wrong is told by its line."""
        for block in (
            "[[channel]]\nnames = [",
            "[[channel]]\n",
            "[[channel]]\nnames = []",
            '[[channel]]\nnames = "x"',
            "[[channel]]\nnames = [1]",
            '[[channel]]\nnames = ["x"]\ntvg_id = 3',
            '[[channel]]\nnames = ["x"]\nlogo = "file:///etc/passwd"',
            '[[channel]]\nnames = ["x"]\nlogos = "x"',
            '[[channel]]\nnames = ["x"]\ngroup = "a\\nb"',
            '[[other]]\nnames = ["x"]',
            '[[country]]\ncode = "XX"',
            "[[words]]\n",
            "[[words]]\nwords = [" + '"x",' * 10_000 + "]",
            "[[words]]\nnames = [1]",
            "[[words]]\n[channel]\nnames = 1",
        ):
            with self.assertRaises(ConfigError, msg=block) as raised:
                self.read(f'\n[[channel]]\nnames = ["good"]\n\n{block}\n')
            self.assertIn("line 5", raised.exception.sentence)
        for text in ("names = [1]\n", "channel = 1", "[channel]\nnames = 1"):
            with self.assertRaises(ConfigError) as raised:
                self.read(text)
            self.assertIn("line 1 ", raised.exception.sentence)

    @given(strategies.text())
    def test_any_name(self, name: str) -> None:
        """Whatever a name is, something or nothing is known of it."""
        self.assertIsInstance(_KNOWN.find(name), Known)

    @given(strategies.text())
    def test_any_file(self, text: str) -> None:
        """Whatever a file is, it is read or it is an error of ours."""
        try:
            self.read(text, f"[[channel]]\n{text}")
        except ConfigError as error:
            self.assertIn("line", error.sentence)


_KNOWN = KnownChannels()
drain(_KNOWN.read(OURS.read_text(encoding="utf-8")))
