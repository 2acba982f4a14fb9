"""A guide's database for the tests: made by the children that make the real one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

from iptvd.epg import importing
from iptvd.epg.schema import open_to_write


class Shown(NamedTuple):
    """A programme as a guide lists it; the times are seconds since the epoch."""

    channel: str
    start: float
    stop: float
    title: str
    rest: str = ""


def xmltv(shown: Iterable[Shown], names: dict[str, str] | None = None) -> bytes:
    """A guide."""
    lines = ["<?xml version='1.0' encoding='UTF-8'?><tv>"]
    for channel, name in (names or {}).items():
        lines.append(f"<channel id={quoteattr(channel)}><display-name>{escape(name)}</display-name></channel>")
    for one in shown:
        times = f'start="{_time(one.start)}" stop="{_time(one.stop)}"'
        title = f"<title>{escape(one.title)}</title>"
        lines.append(f"<programme {times} channel={quoteattr(one.channel)}>{title}{one.rest}</programme>")
    return "\n".join([*lines, "</tv>"]).encode()


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y%m%d%H%M%S +0000")


def take_in(database: Path, source: str, guide: bytes, *arguments: str) -> dict[str, object]:
    """Have it imported; what the child says."""
    file = database.with_name(f"{source}.xml")
    file.write_bytes(guide)
    return importing.run([str(database), source, str(file), *arguments])


def show(database: Path, channels: dict[int, tuple[str, str]], shift: int = 0) -> None:
    """
    Have a lineup of these channels, each with its name and the guide's id for it.

    Put down as they are: how a lineup is matched is another test's.
    """
    connection = open_to_write(database)
    connection.execute("BEGIN")
    for place, (channel, (name, guide_id)) in enumerate(channels.items()):
        connection.execute(
            "INSERT INTO lineup VALUES (?, ?, ?, ?, 'Group', 'live', ?, 1)",
            (channel, place, place + 1, name, f"{channel}.test"),
        )
        connection.execute("INSERT INTO lineup_words (rowid, name) VALUES (?, ?)", (channel, name))
        connection.execute(
            "INSERT INTO listing SELECT ?, guide_channel.id, ? FROM guide_channel"
            " JOIN source ON source.name = guide_channel.source AND source.generation = guide_channel.generation"
            " WHERE guide_id = ?",
            (channel, shift, guide_id),
        )
    connection.execute("COMMIT")
    connection.close()


def rows(database: Path, query: str) -> list[tuple[object, ...]]:
    """What the database says."""
    connection = sqlite3.connect(database)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()
