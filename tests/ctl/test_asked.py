"""What every command is told, and how it answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from iptvd.ctl.asked import Asked, asking


def said(act: Callable[[Asked], None], *words: str, **environment: str | None) -> Result:
    """How a command ends that does this."""

    @click.command()
    @click.argument("word", required=False)
    @asking
    def command(asked: Asked, word: str | None) -> None:
        """Do it."""
        act(asked)

    return CliRunner().invoke(command, words, env={"COLUMNS": None, "IPTVD_CONFIG": None, **environment})


class AskedTests(SynchronousTestCase):
    def out(self, act: Callable[[Asked], None], *words: str, **environment: str | None) -> str:
        done = said(act, *words, **environment)
        self.assertEqual((done.exit_code, done.stderr), (0, ""), done.exception)
        return done.stdout

    def test_options(self) -> None:
        """What is not said is as it is by itself; what is said is there."""
        seen: list[Asked] = []
        self.out(seen.append)
        self.out(seen.append, "x", "--timeout", "2.5", "--insecure", "--url", "http://a.test", "--json")
        told = [(each.url, each.token, each.config, each.json, each.timeout, each.insecure) for each in seen]
        self.assertEqual(told, [("", "", "", False, 30.0, False), ("http://a.test", "", "", True, 2.5, True)])

    def test_what_makes_no_sense(self) -> None:
        """A daemon that cannot be meant is a wrong use, in a sentence."""
        done = said(lambda asked: asked.api.get("a"), "--url", "ftp://a.test")
        self.assertEqual((done.exit_code, done.stdout), (2, ""))
        self.assertIn("must be such as", done.stderr)

    def test_for_whom(self) -> None:
        """People are told in words and programs what the daemon said, in ASCII."""

        def act(asked: Asked) -> None:
            asked.tell({"name": "Zürich"}, lambda: asked.line("It is", ["a", "b"], "\x07."))

        self.assertEqual(self.out(act), "It is a, b \\x07.\n")
        self.assertEqual(self.out(act, "--json"), '{\n  "name": "Z\\u00fcrich"\n}\n')

    def test_several_things(self) -> None:
        """Of what was done to several things each is told; a program is given one where there was one."""

        def act(*told: Any) -> Callable[[Asked], None]:
            return lambda asked: asked.tell_each(told, "Done.")

        self.assertEqual(self.out(act({"message": "Gone."}, None)), "Gone.\nDone.\n")
        self.assertEqual(self.out(act({"a": 1}), "--json"), '{\n  "a": 1\n}\n')
        self.assertEqual(self.out(act(1, 2), "--json"), "[\n  1,\n  2\n]\n")

    def test_facts(self) -> None:
        """What is known is a line each, values below each other; what is empty is left out."""
        pairs = [("Name", "One"), ("Empty", ""), ("None", None), ("Groups", ["a", "b"]), ("Zero", 0)]
        self.assertEqual(self.out(lambda asked: asked.facts(pairs)), "Name    One\nGroups  a, b\nZero    0\n")
        self.assertEqual(self.out(lambda asked: asked.facts([])), "")

    def test_tables(self) -> None:
        """A table that is piped is as wide as it takes, unless a width is said; an empty one is a sentence."""
        rows = [("n" * 300, "x")]

        def act(asked: Asked) -> None:
            asked.table(rows, "Name", "Other", nothing="Nothing.")

        self.assertIn("n" * 300, self.out(act))
        self.assertLessEqual(max(map(len, self.out(act, COLUMNS="60").splitlines())), 60)
        rows.clear()
        self.assertEqual(self.out(act), "Nothing.\n")
