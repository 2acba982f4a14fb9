"""How a command ends."""

from __future__ import annotations

import io

import click
from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from iptvd.ctl.exits import Ended, Exit


class EndedTests(SynchronousTestCase):
    def test_sentence(self) -> None:
        """A command that cannot go on says why in one line on standard error, and has the status of that."""

        @click.command()
        def failing() -> None:
            raise Ended(Exit.NOT_FOUND, "There is no \x1b[2J such\nthing.")

        done = CliRunner().invoke(failing)
        self.assertEqual((done.exit_code, done.stdout), (5, ""))
        self.assertEqual(done.stderr, "iptvctl: There is no \\x1b[2J such\\nthing.\n")

    def test_elsewhere(self) -> None:
        """It can be said to somebody else."""
        file = io.StringIO()
        Ended(Exit.REFUSED, "No.").show(file)
        self.assertEqual(file.getvalue(), "iptvctl: No.\n")

    def test_statuses(self) -> None:
        """Scripts can go by the statuses: they are those that the documents tell."""
        self.assertEqual(
            {each.name: each.value for each in Exit},
            {"OK": 0, "REFUSED": 1, "USAGE": 2, "UNREACHABLE": 3, "NOT_ALLOWED": 4, "NOT_FOUND": 5},
        )
