"""
``python -m iptvd.epg.importing DATABASE SOURCE FILE``: takes a guide in XMLTV into the database.

It is in force at once as a whole, or not at all; see `iptvd.epg.schema`. How a run ends: `iptvd.epg.child`.
"""

from __future__ import annotations

import json
import sqlite3
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

from iptvd.epg.child import main
from iptvd.epg.schema import count_on, open_to_write, timed_id
from iptvd.epg.unpacking import plain
from iptvd.errors import ProtocolError
from iptvd.protocols.xmltv import GuideChannel, GuideProgramme, XmltvParser

#: Programmes in one transaction: small ones let readers' snapshots end and keep the log of changes short.
BATCH = 500
DAY = 86400


class _Import:
    """One guide on its way into the database."""

    def __init__(self, database: sqlite3.Connection, source: str, window: tuple[float, float]) -> None:
        self.skipped: Counter[str] = Counter()
        self.programmes = 0
        self._database = database
        self._source = source
        self._from, self._until = window
        self._generation = count_on(database, "generation")
        self._channels: dict[str, int] = {}
        self._batch: list[tuple[int, int, int, int, str, str]] = []
        self._sequence = 0
        self._left = 0

    @property
    def channels(self) -> int:
        """How many channels it lists."""
        return len(self._channels)

    def take(self, found: Iterable[GuideChannel | GuideProgramme]) -> None:
        """Take in what the parser found."""
        for item in found:
            if isinstance(item, GuideChannel):
                self._channel(item.id, item.names)
            elif item.stop <= self._from:
                self.skipped["long over"] += 1
            elif item.start >= self._until:
                self.skipped["too far ahead"] += 1
            else:
                self._programme(item)

    def _channel(self, guide_id: str, names: tuple[str, ...]) -> int:
        present = self._channels.get(guide_id)
        if present is None or names:
            row = self._database.execute(
                "INSERT INTO guide_channel (source, generation, guide_id, names, icon) VALUES (?, ?, ?, ?, '')"
                " ON CONFLICT DO UPDATE SET names = excluded.names RETURNING id",
                (self._source, self._generation, guide_id, json.dumps(names, ensure_ascii=False)),
            ).fetchone()
            present = self._channels[guide_id] = int(row[0])
        return present

    def _programme(self, item: GuideProgramme) -> None:
        # A guide may show what it never declares as a channel: it is one by that.
        channel = self._channels.get(item.channel) or self._channel(item.channel, ())
        if not self._left:
            self._left = 1000 * BATCH
            self._sequence = count_on(self._database, "sequence", self._left) - self._left
        self._left -= 1
        self._sequence += 1
        self._batch.append(
            (timed_id(item.start, self._sequence), channel, item.start, item.stop, item.title, item.xml)
        )
        if len(self._batch) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Put what was taken in onto the disk."""
        database, batch = self._database, self._batch
        database.execute("BEGIN IMMEDIATE")
        before = database.total_changes
        database.executemany("INSERT OR IGNORE INTO programme VALUES (?, ?, ?, ?, ?, ?)", batch)
        taken = database.total_changes - before
        marks = ",".join("?" * len(batch))
        database.execute(
            f"INSERT INTO programme_words (rowid, title) SELECT id, title FROM programme WHERE id IN ({marks})",  # noqa: S608 - question marks
            [row[0] for row in batch],
        )
        database.execute("COMMIT")
        self.programmes += taken
        if taken < len(batch):
            self.skipped["another programme of the channel begins with it"] += len(batch) - taken
        self._batch = []

    def put_in_force(self, now: float) -> None:
        """From here on it is what the source gives; what channels of the lineup show goes over to it."""
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        database.execute(
            "CREATE TEMP TABLE moved AS SELECT old.id AS old, new.id AS new FROM source"
            " JOIN guide_channel AS old ON old.source = source.name AND old.generation = source.generation"
            " LEFT JOIN guide_channel AS new"
            " ON new.source = old.source AND new.guide_id = old.guide_id AND new.generation = ?"
            " WHERE source.name = ?",
            (self._generation, self._source),
        )
        database.execute("CREATE INDEX temp.moved_old ON moved (old)")
        database.execute("DELETE FROM listing WHERE guide IN (SELECT old FROM moved WHERE new IS NULL)")
        database.execute(
            "UPDATE listing SET guide = (SELECT new FROM moved WHERE old = guide)"
            " WHERE guide IN (SELECT old FROM moved)"
        )
        database.execute(
            "INSERT OR REPLACE INTO source VALUES (?, ?, ?, ?, ?)",
            (self._source, self._generation, now, self.channels, self.programmes),
        )
        count_on(database, "revision")
        database.execute("COMMIT")


def sweep(database: sqlite3.Connection) -> None:
    """Remove what is in force no more, and what a run that was ended left."""
    while stale := _stale(database):
        for (channel,) in stale:
            database.execute("BEGIN IMMEDIATE")
            database.execute(
                "INSERT INTO programme_words (programme_words, rowid, title)"
                " SELECT 'delete', id, title FROM programme WHERE channel = ?",
                (channel,),
            )
            database.execute("DELETE FROM programme WHERE channel = ?", (channel,))
            database.execute("DELETE FROM guide_channel WHERE id = ?", (channel,))
            database.execute("COMMIT")


def _stale(database: sqlite3.Connection) -> list[tuple[int]]:
    return database.execute(
        "SELECT id FROM guide_channel WHERE generation NOT IN (SELECT generation FROM source) LIMIT 200"
    ).fetchall()


def run(arguments: list[str]) -> dict[str, object]:
    """
    Do it.

    :return: how many channels and programmes there are, and what was skipped.
    :raises ProtocolError: when it is no guide, or shows nothing of these days.
    """
    parser = ArgumentParser(prog="iptvd.epg.importing")
    parser.add_argument("database", type=Path)
    parser.add_argument("source")
    parser.add_argument("file", type=Path)
    parser.add_argument("--max-mb", type=int, default=2048)
    parser.add_argument("--past-days", type=float, default=7)
    parser.add_argument("--days", type=float, default=14)
    parser.add_argument("--timezone", default="UTC")
    asked = parser.parse_args(arguments)
    now = time.time()
    window = (now - asked.past_days * DAY, now + asked.days * DAY)
    with closing(open_to_write(asked.database)) as database:
        importing = _Import(database, asked.source, window)
        reading = XmltvParser(ZoneInfo(asked.timezone))
        try:
            for found in _read(reading, plain(asked.file, asked.max_mb << 20)):
                importing.take(found)
            importing.flush()
            skipped = importing.skipped + reading.skipped
            if not importing.programmes:
                why = ", ".join(f"{count} {reason}" for reason, count in skipped.items()) or "it lists none at all"
                raise ProtocolError(f"the guide has no programme of these days: {why}")
            importing.put_in_force(now)
        finally:
            if database.in_transaction:
                database.execute("ROLLBACK")
            sweep(database)
    return {"channels": importing.channels, "programmes": importing.programmes, "skipped": dict(skipped)}


def _read(parser: XmltvParser, blocks: Iterator[bytes]) -> Iterator[list[GuideChannel | GuideProgramme]]:
    for block in blocks:
        yield parser.feed(block)
    yield parser.close()


if __name__ == "__main__":
    main(run)
