"""The store that comes with iptvd, on a disk that is not always well."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from stat import S_IMODE

from twisted.trial.unittest import SynchronousTestCase

from iptvd import sqlite_store
from iptvd.errors import StoreError
from iptvd.sqlite_store import MIGRATIONS, NAME, SqliteStore
from tests.doubles import folder_for, offload, result


class StoreTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = folder_for(self)
        self.path = self.folder / NAME
        self.store = SqliteStore(self.folder, offload)
        self.patch(sqlite_store, "PATIENCE", 0.01)

    def put(self, name: str = "a", kind: str = "user", **value: object) -> None:
        result(self.store.put(kind, name, value))

    def again(self) -> dict[str, dict[str, object]]:
        """What another daemon finds."""
        return {kind: dict(named) for kind, named in SqliteStore(self.folder, offload).load().items()}

    @contextmanager
    def opened(self, path: Path | None = None) -> Iterator[sqlite3.Connection]:
        """Somebody else's look into the file."""
        with closing(sqlite3.connect(path or self.path)) as database:
            yield database

    def refused(self) -> str:
        """The sentence with which a change is refused."""
        with self.assertRaises(StoreError) as raised:
            self.put(x=2)
        self.assertNotIn(str(self.folder), raised.exception.sentence)
        return str(raised.exception)


class SqliteStoreTests(StoreTestCase):
    def test_what_is_kept(self) -> None:
        """What was kept is there after a restart, in the order in which it came, and what was removed is not."""
        self.assertEqual(dict(self.store.load()), {})
        self.put("b", x=[1, {"y": None}], text="☃ \ud800")
        self.put("a", x=1)
        self.put("c")
        self.put("a", "stream", z=True)
        self.put("b", x=2)
        result(self.store.remove("user", "c"))
        result(self.store.remove("user", "nobody"))
        expected = {"user": {"b": {"x": 2}, "a": {"x": 1}}, "stream": {"a": {"z": True}}}
        found = self.again()
        self.assertEqual((found, list(found["user"])), (expected, ["b", "a"]))

    def test_private(self) -> None:
        """Nobody else of the machine can read the file, nor what SQLite puts beside it."""
        before = os.umask(0)
        try:
            self.store.load()
            with self.opened() as other:
                other.execute("SELECT * FROM record")
                self.put(x=1)
                modes = {path.name: S_IMODE(path.stat().st_mode) for path in self.folder.iterdir()}
        finally:
            os.umask(before)
        self.assertEqual(modes, {NAME: 0o600, f"{NAME}-wal": 0o600, f"{NAME}-shm": 0o600})

    def test_what_is_no_text(self) -> None:
        """A name with half a character is refused, and the file is not blamed."""
        self.store.load()
        with self.assertRaisesRegex(StoreError, "half a character"):
            self.put("\ud800")

    def test_nothing_of_it_is_open(self) -> None:
        """Between two changes the file is closed: it can be copied, and put back."""
        self.store.load()
        self.put(x=1)
        self.assertEqual([path.name for path in self.folder.iterdir()], [NAME])
        copy = self.path.read_bytes()
        self.put(x=2)
        self.path.write_bytes(copy)
        self.assertEqual(self.again(), {"user": {"a": {"x": 1}}})


class UnwellTests(StoreTestCase):
    """Disks and other programs."""

    def setUp(self) -> None:
        super().setUp()
        self.store.load()
        self.put(x=1)

    def test_locked(self) -> None:
        """While another program holds the file nothing is kept, with a sentence, and after that everything."""
        with self.opened() as other:
            other.execute("BEGIN IMMEDIATE")
            self.assertIn("locked", self.refused())
            # Reading goes on meanwhile.
            self.assertEqual(self.again(), {"user": {"a": {"x": 1}}})
            other.rollback()
            self.put(x=2)
        self.assertEqual(self.again(), {"user": {"a": {"x": 2}}})

    def test_locked_for_reading_too(self) -> None:
        """A file that another program has for itself cannot be read, and is left as it is."""
        with self.opened() as other:
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            with self.assertRaisesRegex(StoreError, "locked"):
                self.store.load()
        self.assertEqual(self.again(), {"user": {"a": {"x": 1}}})

    def test_full(self) -> None:
        """On a full disk nothing is kept, with a sentence, and what there is stays."""

        class Full(sqlite3.Connection):
            def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
                if sql.startswith("INSERT"):
                    (pages,) = super().execute("PRAGMA page_count").fetchone()
                    super().execute(f"PRAGMA max_page_count = {pages}")
                return super().execute(sql, *values)  # type: ignore[arg-type]

        connect = sqlite3.connect
        self.patch(sqlite3, "connect", lambda path, timeout: connect(path, timeout, factory=Full))
        with self.assertRaisesRegex(StoreError, "full"):
            self.put("b", text="x" * 100_000)
        self.patch(sqlite3, "connect", connect)
        self.assertEqual(self.again(), {"user": {"a": {"x": 1}}})
        self.put("b", text="x" * 100_000)

    def test_not_to_be_written(self) -> None:
        """A file that cannot be opened is told of by its name and the reason."""
        self.path.unlink()
        self.path.mkdir()
        self.assertEqual(self.refused(), f"{NAME} in the state directory cannot be used: Is a directory")

    def test_gone(self) -> None:
        """A file that somebody takes away while we run is not made anew without what was in it."""
        self.path.unlink()
        self.assertIn("no such table", self.refused())

    def test_damaged(self) -> None:
        """A damaged file is told of as such, and is left for whoever can mend it."""
        for damage in (b"no database at all" * 100, self.path.read_bytes()[:100] + b"\xff" * 8000):
            self.path.write_bytes(damage)
            for work in (self.store.load, self.refused):
                if work == self.refused:
                    self.assertIn("damaged", work())
                else:
                    self.assertRaisesRegex(StoreError, "put a copy in its place", work)
            self.assertEqual(self.path.read_bytes(), damage)

    def test_damaged_by_hand(self) -> None:
        """What is no JSON object is damage, too: who would open everything by losing users is no help."""
        for text in ("", "{", "[]", "1", "[" * 100_000, "1" * 10_000, b"{}"):
            with self.opened() as other, other:
                other.execute("UPDATE record SET value = ?", (text,))
            self.assertRaisesRegex(StoreError, "damaged", self.store.load)


class MigrationTests(StoreTestCase):
    """Files of other versions."""

    def setUp(self) -> None:
        super().setUp()
        self.store.load()
        self.put(x=1)
        later = ("ALTER TABLE record ADD COLUMN more TEXT;", "UPDATE record SET more = 'x';")
        self.patch(sqlite_store, "MIGRATIONS", (*MIGRATIONS, *later))

    def test_an_earlier_version(self) -> None:
        """A file of an earlier version is copied as it was, for us alone, and brought to this one."""
        before = os.umask(0)
        try:
            self.assertEqual(self.again(), {"user": {"a": {"x": 1}}})
        finally:
            os.umask(before)
        with self.opened() as now, self.opened(self.folder / f"{NAME}.1") as copy:
            self.assertEqual(now.execute("SELECT more FROM record").fetchall(), [("x",)])
            self.assertEqual(now.execute("PRAGMA user_version").fetchone(), (3,))
            self.assertEqual(copy.execute("SELECT * FROM record").fetchall(), [("user", "a", '{"x": 1}')])
            self.assertEqual(copy.execute("PRAGMA user_version").fetchone(), (1,))
        self.assertEqual(S_IMODE((self.folder / f"{NAME}.1").stat().st_mode), 0o600)
        self.assertEqual(self.again(), {"user": {"a": {"x": 1}}})

    def test_a_copy_that_was_there(self) -> None:
        """An earlier copy, whatever became of it, does not stand in the way."""
        (self.folder / f"{NAME}.1").write_bytes(b"damaged")
        self.again()
        with self.opened(self.folder / f"{NAME}.1") as copy:
            self.assertEqual(copy.execute("PRAGMA user_version").fetchone(), (1,))

    def test_one_that_fails(self) -> None:
        """When the change to another version fails, the file is as it was, and is not used."""
        self.patch(sqlite_store, "MIGRATIONS", (*MIGRATIONS, "UPDATE record SET value = ''; SELECT nonsense;"))
        self.assertRaisesRegex(StoreError, "cannot be used", self.store.load)
        with self.opened() as now:
            self.assertEqual(now.execute("SELECT value FROM record").fetchall(), [('{"x": 1}',)])
            self.assertEqual(now.execute("PRAGMA user_version").fetchone(), (1,))

    def test_a_later_version(self) -> None:
        """A file of a newer iptvd is refused, with what to do."""
        self.again()
        self.patch(sqlite_store, "MIGRATIONS", MIGRATIONS)
        self.assertRaisesRegex(StoreError, "of a newer iptvd: use that", self.store.load)
