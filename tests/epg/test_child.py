"""How the children that write the guide end, and that there is one at a time."""

from __future__ import annotations

import fcntl
import io
import json
import os
import sqlite3
import sys

from twisted.trial.unittest import SynchronousTestCase

from iptvd.epg.child import DAMAGED, NOT_UNDERSTOOD, main, only_one
from iptvd.errors import ProtocolError
from tests.doubles import folder_for


class ChildTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.database = folder_for(self) / "guide.db"
        self.patch(sys, "argv", ["child", str(self.database), "more"])

    def ended(self, outcome: dict[str, object] | Exception) -> tuple[object, dict[str, object]]:
        """How a child ends, and what it says, whose work comes to this."""
        given: list[list[str]] = []

        def run(arguments: list[str]) -> dict[str, object]:
            given.append(arguments)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        written = io.StringIO()
        self.patch(sys, "stderr", written)
        code = self.assertRaises(SystemExit, main, run).code
        self.assertEqual(given, [[str(self.database), "more"]])
        said = written.getvalue()
        self.assertEqual(said.count("\n"), 1)
        return code, json.loads(said)

    def test_done(self) -> None:
        """A child that has done its work says what it did."""
        self.assertEqual(self.ended({"channels": 3}), (0, {"channels": 3}))

    def test_failures(self) -> None:
        """Each way to fail has its status, its state and a sentence; a path is in none."""
        for error, code, state, words in (
            (ProtocolError("it is cut short"), NOT_UNDERSTOOD, "not_understood", "cut short"),
            (sqlite3.OperationalError("database or disk is full"), NOT_UNDERSTOOD, "stale", "disk is full"),
            (sqlite3.DatabaseError("malformed"), DAMAGED, "stale", "malformed"),
            (OSError(13, "Permission denied", "/secret"), NOT_UNDERSTOOD, "unreachable", "Permission denied"),
        ):
            status, said = self.ended(error)
            self.assertEqual((status, said["state"]), (code, state))
            self.assertIn(words, str(said["sentence"]))
            self.assertNotIn("/", str(said["sentence"]))

    def test_no_folder(self) -> None:
        """A child whose database cannot be says so."""
        self.patch(sys, "argv", ["child", str(self.database / "x")])
        self.database.touch()
        self.patch(sys, "stderr", io.StringIO())
        self.assertEqual(self.assertRaises(SystemExit, main, lambda arguments: {}).code, NOT_UNDERSTOOD)

    def test_one_at_a_time(self) -> None:
        """As long as one has the database, another one waits."""
        with only_one(self.database):
            other = os.open(f"{self.database}.lock", os.O_RDWR)
            self.addCleanup(os.close, other)
            with self.assertRaises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
