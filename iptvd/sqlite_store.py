"""The store that comes with iptvd: what the API is told to keep, in one SQLite file in the state directory."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from zope.interface import implementer

from iptvd.errors import StoreError
from iptvd.interfaces import IStore
from iptvd.store import Offload

T = TypeVar("T")

#: The file's name.
NAME = "api.db"
#: Seconds that another program's lock is waited for.
PATIENCE = 5.0
#: What brings a file from one version (its place here) to the next.
MIGRATIONS = (
    """
    CREATE TABLE record (
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (kind, name)
    );
    """,
)

_REMOVE = "DELETE FROM record WHERE kind = ? AND name = ?"
_PUT = "INSERT INTO record VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"


@implementer(IStore)
class SqliteStore:
    """
    Keeps it in ``folder``.

    A file of an earlier version is copied (``api.db.1`` and so on, by its version) before it is brought to this one.

    :param offload: does disk work in a thread.
    """

    def __init__(self, folder: Path, offload: Offload) -> None:
        self.path = folder / NAME
        self._offload = offload

    def load(self) -> Mapping[str, Mapping[str, Mapping[str, object]]]:
        """See `IStore.load`."""
        return self._trying(self._load)

    async def put(self, kind: str, name: str, value: Mapping[str, object]) -> None:
        """See `IStore.put`."""
        await self._offload(self._trying, lambda: self._change(_PUT, kind, name, json.dumps(value)))

    async def remove(self, kind: str, name: str) -> None:
        """See `IStore.remove`."""
        await self._offload(self._trying, lambda: self._change(_REMOVE, kind, name))

    def _change(self, statement: str, *values: str) -> None:
        with self._open() as database, database:
            database.execute(statement, values)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with _private(self.path) as database:
            database.execute("PRAGMA journal_mode = WAL")
            yield database

    def _load(self) -> dict[str, dict[str, Mapping[str, object]]]:
        with self._open() as database:
            self._migrate(database)
            kinds: dict[str, dict[str, Mapping[str, object]]] = {}
            for kind, name, text in database.execute("SELECT kind, name, value FROM record ORDER BY rowid"):
                kinds.setdefault(kind, {})[name] = _read(text)
            return kinds

    def _migrate(self, database: sqlite3.Connection) -> None:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise StoreError(f"{NAME} is of a newer iptvd: use that, or put an older {NAME} in its place")
        if 0 < version < len(MIGRATIONS):
            self._back_up(database, version)
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            database.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")

    def _back_up(self, database: sqlite3.Connection, version: int) -> None:
        partial = self.path.with_name(f".{NAME}.{os.getpid()}.partial")
        partial.unlink(missing_ok=True)
        with _private(partial) as copy:
            database.backup(copy)
        partial.replace(self.path.with_name(f"{NAME}.{version}"))

    def _trying(self, work: Callable[[], T]) -> T:
        """
        Do work on the file.

        :raises StoreError: with what is the matter, when it fails.
        """
        try:
            return work()
        except sqlite3.OperationalError as error:
            # Locked, full, not to be written: SQLite's own words name neither values nor paths.
            raise StoreError(f"{NAME} in the state directory cannot be used: {error}") from None
        except sqlite3.DatabaseError:
            raise StoreError(
                f"{NAME} in the state directory is damaged: put a copy in its place, or move it away to begin anew"
            ) from None
        except UnicodeEncodeError:
            raise StoreError("what is to be kept is not text: it has half a character") from None
        except OSError as error:
            raise StoreError(f"{NAME} in the state directory cannot be used: {error.strerror}") from None


@contextmanager
def _private(path: Path) -> Iterator[sqlite3.Connection]:
    """A database that only we can read, made where there is none."""
    # Tokens are in it: SQLite would let everybody read a file that it makes.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    with closing(sqlite3.connect(path, PATIENCE)) as database:
        yield database


def _read(text: object) -> Mapping[str, object]:
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise sqlite3.DatabaseError("a record is no object")
    return value
