"""
``python -m iptvd.epg.linking DATABASE ROWS``: puts the lineup and the events into the guide's database.

ROWS is a file as `iptvd.store.RowsFile` writes it: a row that names the guides, then the channels of the lineup in
their order, then the events. All that is shown changes in one transaction; how a run ends: `iptvd.epg.child`.
"""

from __future__ import annotations

import json
import sqlite3
import time
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from iptvd.epg.announced import Announcements
from iptvd.epg.child import main
from iptvd.epg.importing import sweep
from iptvd.epg.matching import GuideChannel, Matcher, Wanted
from iptvd.epg.schema import count_on, open_to_write, timed_id
from iptvd.errors import ProtocolError, StoreError
from iptvd.store import read_rows

#: What the file's rows are.
KIND = "guide lineup 1"
#: The source of programmes that are events; another name where a guide has this one.
EVENTS = "events"
#: Channels put into the database at once.
_BATCH = 1000

_NOT_UNDERSTOOD = "the lineup for the guide is damaged: it is written anew with the next refresh of the channels"

#: The tables that are replaced, each with its full-text index if it has one.
_REPLACED: Mapping[str, str] = {
    "lineup": "lineup_words",
    "match": "",
    "listing": "",
    "event": "event_words",
    "event_channel": "",
}


class _Linking:
    """The lineup on its way into the database."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.channels = 0
        self.matched = 0
        self._database = database
        self._entries: dict[tuple[str, str], int] = {}
        self.announced = Announcements(self._entries)
        self._guides: Mapping[str, Sequence[str]] | None = None
        self._matcher = Matcher((), {})
        self._lineup: list[tuple[int, int, int, str, str, str, str, int]] = []
        for table in _REPLACED:
            database.execute(f"CREATE TEMP TABLE new_{table} AS SELECT * FROM {table} LIMIT 0")  # noqa: S608 - our own words
        database.execute(
            "CREATE TEMP TABLE new_shown (channel INTEGER, start INTEGER, stop INTEGER, title TEXT, xml TEXT)"
        )

    def take(self, row: Mapping[str, Any]) -> None:
        """
        Take in a row.

        :raises KeyError, TypeError, ValueError: when it is none.
        """
        if "guides" in row:
            self._guides = row["guides"]
            self._matcher = Matcher(_guide_channels(self._database, self._guides), self._guides)
        elif self._guides is None:
            raise ValueError("the guides come first")
        elif "channel" in row:
            self._channel(row)
        else:
            self.announced.take(row["event"])

    def _channel(self, row: Mapping[str, Any]) -> None:
        channel, kind = int(row["channel"]), row["kind"]
        name, group, xmltv_id = _clean(row["name"]), _clean(row["group"]), _clean(row["xmltv_id"])
        self._lineup.append(
            (channel, self.channels, int(row["number"]), name, group, kind, xmltv_id, int(row["logo"]))
        )
        self.channels += 1
        if len(self._lineup) >= _BATCH:
            self._flush()
        if kind == "vod":
            return
        for provider, key in row["entries"]:
            self._entries.setdefault((provider, key), channel)
        found = self._matcher.find(
            Wanted(
                name,
                group,
                row["tvg_id"],
                row["tvg_name"],
                tuple(provider for provider, _ in row["entries"]),
                row["guide"],
                kind == "radio",
            )
        )
        if found is None:
            return
        self.matched += 1
        guide, shift = found.channel, found.shift + int(row["shift"])
        self._database.execute(
            "INSERT INTO new_match VALUES (?, ?, ?, ?, ?, ?)",
            (channel, guide.source, guide.guide_id, found.how.value, found.score, shift),
        )
        self._database.execute("INSERT INTO new_listing VALUES (?, ?, ?)", (channel, guide.row, shift))

    def _flush(self) -> None:
        self._database.executemany("INSERT INTO new_lineup VALUES (?, ?, ?, ?, ?, ?, ?, ?)", self._lineup)
        self._lineup = []

    def put_in_force(self, now: float) -> None:
        """
        Replace what has changed.

        :raises ValueError: when the guides were not named.
        """
        if self._guides is None:
            raise ValueError("no guides")
        self._flush()
        self.announced.put_down(self._database)
        self._leave_out_covered()
        source = EVENTS if EVENTS not in self._guides else f"{EVENTS} announced"
        named = [*self._guides, *([source] if self._list_events(source, now) else [])]
        marks = ",".join("?" * len(named))
        self._database.execute(f"DELETE FROM source WHERE name NOT IN ({marks})", named)  # noqa: S608 - question marks
        changed = [self._replace(table, words) for table, words in _REPLACED.items()]
        if any(changed):
            count_on(self._database, "revision")

    def _leave_out_covered(self) -> None:
        """Leave out what channels show by events where a guide says what they show at that time."""
        self._database.execute("CREATE INDEX temp.new_listing_of ON new_listing (channel)")
        self._database.execute(
            # What begins last before the end is what goes on longest.
            "DELETE FROM new_shown WHERE EXISTS (SELECT 1 FROM new_listing WHERE channel = new_shown.channel"
            " AND (SELECT stop + new_listing.shift FROM programme WHERE programme.channel = new_listing.guide"
            " AND start < new_shown.stop - new_listing.shift ORDER BY start DESC LIMIT 1) > new_shown.start)"
        )

    def _list_events(self, source: str, now: float) -> int:
        """
        Have what is left in a guide of its own, which stays as it is when it has that already.

        :return: how many programmes there are.
        """
        database = self._database
        (count,) = database.execute("SELECT count(*) FROM new_shown").fetchone()
        if not count:
            return 0
        database.execute(
            "CREATE TEMP TABLE old_shown AS"
            " SELECT CAST(substr(guide_id, 7) AS INTEGER) AS channel, start, stop, title, xml FROM source"
            " JOIN guide_channel ON guide_channel.source = source.name"
            " AND guide_channel.generation = source.generation"
            " JOIN programme ON programme.channel = guide_channel.id WHERE source.name = ?",
            (source,),
        )
        if not self._is_same("new_shown", "old_shown"):
            self._renew_events(source, count, now)
        database.execute(
            "INSERT INTO new_listing SELECT CAST(substr(guide_id, 7) AS INTEGER), guide_channel.id, 0"
            " FROM guide_channel JOIN source ON source.name = guide_channel.source"
            " AND source.generation = guide_channel.generation WHERE source.name = ?",
            (source,),
        )
        return int(count)

    def _renew_events(self, source: str, count: int, now: float) -> None:
        database = self._database
        generation, sequence = count_on(database, "generation"), count_on(database, "sequence", count)
        database.execute(
            "INSERT INTO guide_channel (source, generation, guide_id, names, icon)"
            " SELECT DISTINCT ?, ?, 'event:' || channel, '[]', '' FROM new_shown",
            (source, generation),
        )
        channels = database.execute("SELECT changes()").fetchone()[0]
        database.create_function("timed_id", 2, timed_id, deterministic=True)
        database.execute(
            "INSERT INTO programme"
            " SELECT timed_id(start, ? - new_shown.rowid), guide_channel.id, start, stop, title, xml"
            " FROM new_shown JOIN guide_channel ON guide_channel.source = ? AND guide_channel.generation = ?"
            " AND guide_id = 'event:' || new_shown.channel",
            (sequence, source, generation),
        )
        database.execute(
            "INSERT INTO programme_words (rowid, title) SELECT programme.id, title FROM guide_channel"
            " JOIN programme ON programme.channel = guide_channel.id WHERE source = ? AND generation = ?",
            (source, generation),
        )
        database.execute(
            "INSERT OR REPLACE INTO source VALUES (?, ?, ?, ?, ?)", (source, generation, now, channels, count)
        )

    def _replace(self, table: str, words: str) -> bool:
        """Whether it was another, which it is not any more."""
        database = self._database
        if self._is_same(f"new_{table}", table):
            return False
        database.execute(f"DELETE FROM {table}")  # noqa: S608 - our own words
        database.execute(f"INSERT OR IGNORE INTO {table} SELECT * FROM new_{table}")  # noqa: S608 - our own words
        if words:
            database.execute(f"INSERT INTO {words} ({words}) VALUES ('rebuild')")  # noqa: S608 - our own words
        return True

    def _is_same(self, one: str, other: str) -> bool:
        """Whether two tables have the same rows, each of them once."""
        (same,) = self._database.execute(
            f"SELECT (SELECT count(*) FROM {one}) = (SELECT count(*) FROM {other})"  # noqa: S608 - our own words
            f" AND NOT EXISTS (SELECT * FROM {one} EXCEPT SELECT * FROM {other})"
        ).fetchone()
        return bool(same)


def _guide_channels(database: sqlite3.Connection, sources: Iterable[str]) -> Iterable[GuideChannel]:
    for source in sources:
        for row, guide_id, names, shows in database.execute(
            "SELECT guide_channel.id, guide_id, names, EXISTS (SELECT 1 FROM programme"
            " WHERE programme.channel = guide_channel.id) FROM guide_channel"
            " JOIN source ON source.name = guide_channel.source AND source.generation = guide_channel.generation"
            " WHERE source.name = ?",
            (source,),
        ):
            yield GuideChannel(row, source, guide_id, tuple(json.loads(names)), bool(shows))


def _clean(text: str) -> str:
    """The text as the database can keep it: without halves of characters."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def run(arguments: list[str]) -> dict[str, object]:
    """
    Do it.

    :return: how many channels there are, how many of them have a guide, how many events, and what was left out.
    :raises ProtocolError: when the file of rows is not what it should be.
    """
    parser = ArgumentParser(prog="iptvd.epg.linking")
    parser.add_argument("database", type=Path)
    parser.add_argument("rows", type=Path)
    asked = parser.parse_args(arguments)
    # What is not committed when it is closed never was.
    with closing(open_to_write(asked.database)) as database:
        database.execute("BEGIN IMMEDIATE")
        linking = _Linking(database)
        try:
            for row in read_rows(asked.rows, KIND):
                linking.take(row)  # type: ignore[arg-type]
            linking.put_in_force(time.time())
        except (StoreError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ProtocolError(_NOT_UNDERSTOOD) from error
        database.execute("COMMIT")
        sweep(database)
    return {
        "channels": linking.channels,
        "matched": linking.matched,
        "events": len(linking.announced),
        "skipped": dict(linking.announced.skipped),
    }


if __name__ == "__main__":
    main(run)
