"""
The guide's database: its tables, and how each process opens it.

One process writes at a time: a child of ours that imports a guide or links the lineup to it. The daemon only reads, in
threads and always in one transaction a question, so that it sees the database as it was before a change or after it.

A guide that is imported gets a new *generation* of guide channels; it is in force when its number stands in
``source``, which one statement changes, and what no source names any more is swept away. A child that is killed leaves
the old one.

The id of a programme or event begins with its minute: to look at one evening only is a range of ids, in every index.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

#: Kept in the file; a file of another version is made anew.
VERSION = 1

#: Seconds that a process waits for another one's transaction.
PATIENCE = 30.0

_TABLES = """
-- What a guide's source gave last: the generation in force, and when (seconds since the epoch).
CREATE TABLE source (
    name TEXT PRIMARY KEY, generation INTEGER NOT NULL, imported REAL NOT NULL,
    channels INTEGER NOT NULL, programmes INTEGER NOT NULL
) WITHOUT ROWID;
-- A channel as a guide knows it; names is a JSON list.
CREATE TABLE guide_channel (
    id INTEGER PRIMARY KEY, source TEXT NOT NULL, generation INTEGER NOT NULL, guide_id TEXT NOT NULL,
    names TEXT NOT NULL, icon TEXT NOT NULL,
    UNIQUE (source, generation, guide_id)
);
-- xml: what is inside of the programme element, title included, valid by the DTD. channel: of guide_channel.
CREATE TABLE programme (
    id INTEGER PRIMARY KEY, channel INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL,
    title TEXT NOT NULL, xml TEXT NOT NULL
);
CREATE UNIQUE INDEX programme_of_channel ON programme (channel, start);
-- For searches, accents and case say nothing.
CREATE VIRTUAL TABLE programme_words USING fts5 (
    title, content = 'programme', content_rowid = 'id', prefix = '1 2 3',
    tokenize = 'unicode61 remove_diacritics 2', detail = 'none', columnsize = 0
);
-- The lineup, as far as the guide needs it; place is its position. logo: whether there is one.
CREATE TABLE lineup (
    id INTEGER PRIMARY KEY, place INTEGER NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL,
    in_group TEXT NOT NULL, kind TEXT NOT NULL, xmltv_id TEXT NOT NULL, logo INTEGER NOT NULL
);
CREATE INDEX lineup_by_xmltv_id ON lineup (xmltv_id);
CREATE VIRTUAL TABLE lineup_words USING fts5 (
    name, content = 'lineup', content_rowid = 'id', prefix = '1 2 3',
    tokenize = 'unicode61 remove_diacritics 2', detail = 'none', columnsize = 0
);
-- How a channel of the lineup was found in a guide; how is one of rule, id, name, fuzzy; score 0 to 1.
CREATE TABLE match (
    channel INTEGER PRIMARY KEY, source TEXT NOT NULL, guide_id TEXT NOT NULL, how TEXT NOT NULL,
    score REAL NOT NULL, shift INTEGER NOT NULL
);
-- Which guide channels a channel of the lineup shows, and how many seconds later.
CREATE TABLE listing (
    channel INTEGER NOT NULL, guide INTEGER NOT NULL, shift INTEGER NOT NULL, PRIMARY KEY (channel, guide)
) WITHOUT ROWID;
CREATE INDEX listing_by_guide ON listing (guide);
-- stable: the same for the same event after each fetch.
CREATE TABLE event (
    id INTEGER PRIMARY KEY, stable TEXT NOT NULL UNIQUE, provider TEXT NOT NULL, title TEXT NOT NULL,
    category TEXT NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL
);
CREATE TABLE event_channel (
    event INTEGER NOT NULL, channel INTEGER NOT NULL, PRIMARY KEY (event, channel)
) WITHOUT ROWID;
CREATE INDEX event_of_channel ON event_channel (channel);
CREATE VIRTUAL TABLE event_words USING fts5 (
    title, content = 'event', content_rowid = 'id', prefix = '1 2 3',
    tokenize = 'unicode61 remove_diacritics 2', detail = 'none', columnsize = 0
);
-- Numbers that outlast a process: generation and sequence, and revision, which changes with everything that is shown.
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counter VALUES ('generation', 0), ('sequence', 0), ('revision', 0);
"""


def timed_id(start: float, sequence: int) -> int:
    """
    The id of what begins at ``start`` (seconds since the epoch, not before it).

    :param sequence: tells apart what begins in the same minute; counted on in the table ``counter``.
    """
    return (int(start) // 60 << 32) | (sequence & 0xFFFFFFFF)


def first_id(moment: float) -> int:
    """The lowest id of what begins in the minute of ``moment`` or later."""
    return int(moment) // 60 << 32


def count_on(database: sqlite3.Connection, counter: str, by: int = 1) -> int:
    """Count on, in the table ``counter``; the new value."""
    changed = database.execute("UPDATE counter SET value = value + ? WHERE name = ? RETURNING value", (by, counter))
    ((value,),) = changed.fetchall()
    return int(value)


def open_to_write(path: Path) -> sqlite3.Connection:
    """
    The database, with its tables; transactions are begun and ended by statements of the caller's own.

    :raises sqlite3.Error: when it is damaged or cannot be written.
    """
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            if version:
                raise sqlite3.DatabaseError(f"the guide's database is of version {version}, not {VERSION}")
            for statement in _statements(_TABLES):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """
    The database as it is, read-only; usable from any thread, by one at a time.

    :raises sqlite3.Error: when there is none, or another version's.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=PATIENCE,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            raise sqlite3.DatabaseError("the guide's database is not there yet, or of another version")
    except BaseException:
        connection.close()
        raise
    return connection


def _statements(script: str) -> list[str]:
    statements: list[str] = []
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            statements.append(statement)
            statement = ""
    return statements
