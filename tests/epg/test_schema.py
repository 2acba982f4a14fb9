"""The guide's database as a file."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from twisted.trial.unittest import SynchronousTestCase

from iptvd.epg.schema import VERSION, count_on, first_id, open_to_read, open_to_write, timed_id
from tests.doubles import folder_for


class SchemaTests(SynchronousTestCase):
    def test_ids_are_in_the_order_of_time(self) -> None:
        """What begins later has the higher id, whatever was put down first."""
        self.assertLess(timed_id(1_800_000_000, 9), timed_id(1_800_000_060, 1))
        self.assertTrue(first_id(1_800_000_030) <= timed_id(1_800_000_030, 0) < first_id(1_800_000_090))
        self.assertLess(timed_id(4_000_000_000, 2**32 - 1), 2**63)

    def test_readers_see_it_as_it_was_before_or_after_a_change(self) -> None:
        """In the middle of a change, a reader has what was there before."""
        path = folder_for(self) / "guide.db"
        writer = open_to_write(path)
        self.addCleanup(writer.close)
        reader = open_to_read(path)
        self.addCleanup(reader.close)
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE counter SET value = 7 WHERE name = 'revision'")
        question = "SELECT value FROM counter WHERE name = 'revision'"
        self.assertEqual(reader.execute(question).fetchone(), (0,))
        writer.execute("COMMIT")
        self.assertEqual(reader.execute(question).fetchone(), (7,))

    def test_it_is_made_once(self) -> None:
        """What is there stays when it is opened again."""
        path = folder_for(self) / "guide.db"
        for value in (1, 2):
            writer = open_to_write(path)
            writer.execute("UPDATE counter SET value = value + 1 WHERE name = 'revision'")
            (found,) = writer.execute("SELECT value FROM counter WHERE name = 'revision'").fetchone()
            writer.close()
            self.assertEqual(found, value)

    def test_another_version_is_refused(self) -> None:
        """A database of another version is neither read nor written."""
        path = folder_for(self) / "guide.db"
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
        connection.close()
        for opening in (open_to_read, open_to_write):
            with self.assertRaises(sqlite3.DatabaseError):
                opening(path)
        with self.assertRaises(sqlite3.Error):
            open_to_read(path.with_name("nothing.db"))

    def test_counters(self) -> None:
        """A number that was counted to is never given again, by no process and after no restart."""
        path = folder_for(self) / "guide.db"
        counted: list[int] = []
        for by in (1, 1, 500):
            with closing(open_to_write(path)) as database:
                counted.append(count_on(database, "sequence", by))
        with closing(open_to_write(path)) as database:
            self.assertEqual((counted, count_on(database, "generation")), ([1, 2, 502], 1))
