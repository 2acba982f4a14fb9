"""Tests of the lineup's rules."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ConfigError
from iptvd.model import ChannelKind, Entry
from iptvd.rules import Edited, Rule, Rules, read_rules

_ENTRY = Entry("k7", "UK: Sport HD", group="UK Sports", tvg_id="sport.uk", logo="http://l.test/1.png", number=7)


def edited(*rules: Rule, entry: Entry = _ENTRY, provider: str = "home") -> Edited | None:
    return Rules(rules).apply(provider, entry)


class RulesTests(SynchronousTestCase):
    def edit(self, *rules: Rule, entry: Entry = _ENTRY) -> Edited:
        result = edited(*rules, entry=entry)
        assert result is not None
        return result

    def test_untouched(self) -> None:
        """Without a rule that matches, an entry is shown as its provider lists it."""
        same = Edited("UK: Sport HD", "UK Sports", "sport.uk", "http://l.test/1.png", 7)
        self.assertEqual(self.edit(), same)
        self.assertEqual(self.edit(Rule("France", hide=True)), same)
        self.assertNotIn("l.test", repr(same))

    def test_hide(self) -> None:
        """A hide rule takes out what it matches, wherever it looks."""
        for field, match in (("name", "HD$"), ("group", "^UK"), ("tvg_id", r"\.uk"), ("key", "^k7$")):
            self.assertIsNone(edited(Rule(match, field=field, hide=True)))

    def test_scope(self) -> None:
        """A rule for one provider or one kind leaves the others alone."""
        rules = Rules([Rule("Sport", provider="other", hide=True), Rule("Sport", kind=ChannelKind.VOD, hide=True)])
        self.assertIsNotNone(rules.apply("home", _ENTRY))
        self.assertIsNone(rules.apply("other", _ENTRY))
        self.assertIsNone(rules.apply("home", Entry("1", "Sport", ChannelKind.VOD)))

    def test_keep(self) -> None:
        """Where keep rules look, only what one of them matches stays."""
        rules = Rules(
            [
                Rule("^UK", keep=True, provider="home"),
                Rule("^IE", keep=True, provider="home"),
                Rule("HD", hide=True, kind=ChannelKind.RADIO),
            ]
        )
        shown = [name for name in ("UK 1", "IE 1", "FR 1") if rules.apply("home", Entry(name, name))]
        self.assertEqual(shown, ["UK 1", "IE 1"])
        self.assertIsNotNone(rules.apply("other", Entry("1", "FR 1")))

    def test_hidden_though_kept(self) -> None:
        """A hide rule takes out what a keep rule has kept, in either order."""
        keep, hide = Rule("UK", keep=True), Rule("HD", hide=True)
        self.assertIsNone(edited(keep, hide))
        self.assertIsNone(edited(hide, keep))

    def test_rewrite(self) -> None:
        """What is written takes the place of the whole field, with the pattern's groups put in."""
        rule = Rule(r"^UK: (?P<what>.*) HD$", name=r"\g<what>", group=r"British \1", tvg_id="x", logo="", number=5)
        self.assertEqual(self.edit(rule), Edited("Sport", "British Sport", "x", "", 5))

    def test_sharing(self) -> None:
        """A rule says of the channels it matches whether they are shared, over what their provider lists."""
        self.assertEqual(self.edit().sharing, "")
        self.assertEqual(self.edit(Rule("France", sharing="isolated")).sharing, "")
        self.assertEqual(self.edit(Rule("UK", sharing="isolated"), Rule("HD", sharing="auto")).sharing, "auto")
        own = evolve(_ENTRY, sharing="isolated")
        self.assertEqual([self.edit(*rules, entry=own).sharing for rules in ((), (Rule("x"),))], ["isolated"] * 2)
        self.assertEqual(self.edit(Rule("UK", sharing="shared"), entry=own).sharing, "shared")

    def test_order(self) -> None:
        """A rule sees what those before it have written."""
        result = self.edit(Rule("Sport", name="News"), Rule("Sport", number=1), Rule("News", group="N"))
        self.assertEqual((result.name, result.group, result.number), ("News", "N", 7))

    def test_a_name_stays(self) -> None:
        """No rule can leave an entry without a name."""
        self.assertEqual(self.edit(Rule("UK", name=" ")).name, "UK: Sport HD")
        self.assertEqual(self.edit(Rule("(x)?Sport", name=r"\1")).name, "UK: Sport HD")

    def test_logos_are_urls(self) -> None:
        """A logo becomes an http URL, or stays what it was."""
        self.assertEqual(self.edit(Rule("UK", logo="javascript:alert(1)")).logo, "http://l.test/1.png")
        self.assertEqual(self.edit(Rule("UK", logo="https://m.test/2.png")).logo, "https://m.test/2.png")

    @given(st.text(), st.sampled_from(["name", "group", "tvg_id", "logo"]))
    def test_no_line_is_broken(self, text: str, field: str) -> None:
        """Whatever a rule writes, no control character of it reaches a playlist."""
        (rule,) = read_rules([{"match": "UK", field: text.replace("\\", "")[:1000]}], "f")
        self.assertTrue(getattr(self.edit(rule), field).isprintable())
        newline = self.edit(Rule("UK", group=r"a\nb"))
        self.assertEqual(newline.group, "a b")


class ReadTests(SynchronousTestCase):
    def refused(self, *tables: object) -> str:
        with self.assertRaises(ConfigError) as caught:
            read_rules(list(tables), "file /x.toml")
        sentence = str(caught.exception)
        self.assertTrue(sentence.endswith("."), sentence)
        return sentence

    def test_read(self) -> None:
        """The tables of the settings file become rules."""
        table = {"match": "a", "field": "group", "provider": "p", "kind": "vod", "name": "n", "number": 3}
        rule = Rule("a", "group", "p", ChannelKind.VOD, name="n", number=3)
        self.assertEqual(read_rules([table, {"match": "b", "hide": True}], "f"), (rule, Rule("b", hide=True)))
        self.assertEqual(read_rules([{"match": "b", "logo": ""}], "f"), (Rule("b", logo=""),))
        self.assertEqual(read_rules([{"match": "b", "sharing": "shared"}], "f"), (Rule("b", sharing="shared"),))

    def test_bad_pattern(self) -> None:
        """A pattern that is none is named by its rule's number, with the fault."""
        sentence = self.refused({"match": "a", "hide": True}, {"match": "(a", "hide": True})
        self.assertIn("Rule 2", sentence)
        self.assertIn("unterminated subpattern at position 0", sentence)

    def test_bad_group_reference(self) -> None:
        """A reference to a group that the pattern does not have is found before anything matches."""
        for text in (r"\2", r"\g<what>", r"\q"):
            self.assertIn("Rule 1: name refers to", self.refused({"match": "(a)", "name": text}))

    def test_wrong_tables(self) -> None:
        """What is wrong about a rule is said in words."""
        for table, part in (
            ({"match": "a", "hidden": True}, "unknown key hidden: did you mean hide"),
            ({"match": "a", "zzzz": True}, "unknown key zzzz: there are match, field"),
            ({"match": "a", "hide": 1}, "hide must be true or false"),
            ({"match": "a", "hide": True, "field": "nane"}, "field must be one of name, group, tvg_id, key"),
            ({"match": "a", "hide": True, "field": 1}, "field must be one of"),
            ({"match": "a", "hide": True, "kind": "film"}, "kind must be one of live, radio, vod"),
            ({"match": "a", "number": 0}, "number must be a whole number from 1"),
            ({"match": "a", "number": True}, "number must be"),
            ({"match": "a", "sharing": "always"}, "sharing must be one of auto, shared, isolated"),
            ({"match": "a", "sharing": True}, "sharing must be one of"),
            ({"match": 5, "hide": True}, "match must be a text"),
            ({"match": "a" * 1001, "hide": True}, "match must be a text of at most 1000"),
            ({"hide": True}, "needs match"),
            ({"match": "a", "hide": True, "keep": True}, "hide or keep, not both"),
            ({"match": "a", "hide": False}, "does nothing"),
            ("match", "must be a table"),
        ):
            sentence = self.refused(table)
            self.assertIn(part, sentence)
            self.assertIn("Rule 1 (file /x.toml)", sentence)

    def test_not_tables(self) -> None:
        """One table instead of a list of tables is told apart."""
        for wrong in ({"match": "a"}, "a", 5):
            with self.assertRaises(ConfigError) as caught:
                read_rules(wrong, "file /x.toml")
            self.assertIn("[[rule]]", caught.exception.sentence)

    def test_bound(self) -> None:
        """There can be a thousand rules."""
        table = {"match": "a", "hide": True}
        self.assertEqual(len(read_rules([table] * 1000, "f")), 1000)
        self.assertIn("at most 1000", self.refused(*[table] * 1001))
