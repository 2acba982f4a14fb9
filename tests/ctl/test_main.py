"""The command itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import click

from iptvd import __version__
from iptvd.ctl.main import iptvctl
from tests.ctl.double import CtlCase, Reply, problem


def commands(group: click.Group = iptvctl, *above: str) -> dict[tuple[str, ...], click.Command]:
    """Every command, by its words."""
    found: dict[tuple[str, ...], click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= commands(command, *above, name)
        else:
            found[*above, name] = command
    return found


class MainTests(CtlCase):
    def test_help(self) -> None:
        """Every command says what it does, and what its exit status means is said too."""
        self.assertIn("5 there is no such thing", " ".join(self.call("--help").split()))
        self.assertLess(20, len(commands()))
        for words, command in commands().items():
            self.assertTrue(command.help, words)
            self.assertIn("Usage: iptvctl " + " ".join(words), self.call(*words, "--help"))
        self.assertIn("Usage: iptvctl stats", self.call("stats", "-h"))
        self.assertEqual(self.call("--version"), f"iptvctl, version {__version__}\n")

    def test_json_everywhere(self) -> None:
        """Every command that asks the daemon can answer with JSON, and be told which daemon."""
        for words, command in commands().items():
            names = {name for parameter in command.params for name in parameter.opts}
            wanted = {"--json", "--url", "--token", "--config", "--timeout", "--insecure"}
            self.assertTrue(wanted <= names or words == ("completion",), words)

    def test_starts_fast(self) -> None:
        """Nothing of Twisted is loaded, and nothing that draws tables before there is one."""
        code = "import sys, iptvd.ctl.main; print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=os.environ)
        loaded = done.stdout.decode().split()
        self.assertEqual({"twisted", "zope", "rich", "msgspec"} & {name.partition(".")[0] for name in loaded}, set())
        ours = {name for name in loaded if name.startswith("iptvd.") and not name.startswith("iptvd.ctl")}
        self.assertEqual(ours, {"iptvd.aliases", "iptvd.errors"})

    def test_options(self) -> None:
        """Options count before and behind the command's name, and what is said last counts."""
        self.answers(stats={})
        for words in (["--token", "t", "--json", "stats"], ["stats", "--token", "t", "--json"]):
            self.assertEqual(json.loads(self.call(*words)), {})
            self.assertEqual(self.last.headers["x-api-token"], "t")
        self.call("--token", "a", "--url", "http://127.0.0.1:1", "stats", "--url", self.double.url, "--token", "b")
        self.assertEqual(self.last.headers["x-api-token"], "b")
        self.call("stats", env={"IPTVD_API_TOKEN": "env"})
        self.assertEqual(self.last.headers["x-api-token"], "env")

    def test_exit_statuses(self) -> None:
        """Scripts can tell from the exit status why something was not done."""
        for status, exit_status in {403: 4, 401: 4, 404: 5, 422: 1, 503: 1}.items():
            self.double.table["GET /stats"] = problem(status, "Not so.")
            self.assertEqual(self.refused("stats", status=exit_status), "Not so.")
        self.assertIn("cannot be reached", self.refused("stats", "--url", "http://127.0.0.1:1", status=3))
        self.assertIn("must be such as", self.refused("stats", "--url", "ftp://x", status=2))
        self.assertIn("is not there", self.refused("stats", "--config", "/nonexistent/x", status=2))
        self.call("nonsense", status=2)
        self.call("stats", "--timeout", "0", status=2)

    def test_sentences_are_plain(self) -> None:
        """What the daemon says is no command for the terminal, as a sentence or as JSON."""
        self.double.table["GET /stats"] = problem(422, "a\x1b[2Jb\nc")
        self.assertEqual(self.refused("stats", status=1), r"a\x1b[2Jb\nc")
        self.double.table["GET /stats"] = Reply({"a": "\x1b\x9b\u202e"})
        self.assertTrue(self.call("stats", "--json").isascii())

    def test_odd_answers(self) -> None:
        """Whatever the daemon answers, no command ends with a fault of its own."""
        odd: list[Any] = [None, 3, '"x"', [], [[1]], {}, {"streams": 3, "clients": [3, {}], "channels": [{}]}]
        odd.append({name: [{"name": {"a": []}, "status": 3}] for name in ("results", "users", "matches", "providers")})
        quick = {words for words in commands() if words not in {("completion",), ("play",), ("monitor",)}}
        for words in quick:
            needed = ["x" for each in commands()[words].params if isinstance(each, click.Argument) and each.required]
            for content in odd:
                self.double.reply = lambda request, content=content: Reply(content)  # type: ignore[method-assign,misc]
                self.call(*words, *needed, status=self.ended(words, content))

    def ended(self, words: tuple[str, ...], content: object) -> int:
        """The status with which a command ends that is answered so."""
        return 3 if words == ("health",) and not isinstance(content, dict) else 0

    def test_completion(self) -> None:
        """The shells' completion is printed, and completes."""
        for shell, mark in {"bash": "complete -o", "zsh": "#compdef iptvctl", "fish": "complete --no-files"}.items():
            self.assertIn(mark, self.call("completion", shell))
            self.assertIn("_IPTVCTL_COMPLETE", self.result.stdout)
        self.call("completion", "tcsh", status=2)
        env = {"_IPTVCTL_COMPLETE": "bash_complete", "COMP_WORDS": "iptvctl str", "COMP_CWORD": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "iptvd.ctl"],
            capture_output=True,
            check=True,
            env={**os.environ, **env},
        )
        self.assertEqual(done.stdout, b"plain,streams\n")
