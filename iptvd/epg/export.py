"""
``python -m iptvd.epg.export DATABASE``: the guide of the lineup as XMLTV on standard output.

What is asked for is read as JSON from standard input: see `Asked`. A user's token may be in it, and arguments can be
read by everybody on the machine. The guide is written as it is read, as it was at one moment, however long whoever
reads it takes.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
import zlib
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from attrs import asdict, frozen

from iptvd.epg.schema import open_to_read
from iptvd.protocols.xmltv_times import write_time

#: Bytes that are written at once.
BLOCK = 64 * 1024
DAY = 86400
#: Seconds before now of which programmes are told.
PAST = DAY

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE tv SYSTEM "xmltv.dtd">\n<tv generator-info-name="iptvd">\n'


@frozen
class Asked:
    """
    What is asked for.

    :ivar base_url: what links begin with.
    :ivar days: how many of them ahead.
    :ivar group: only channels of this group, unless it is empty.
    :ivar groups: those that may be seen, empty for all.
    """

    base_url: str
    days: float = 14
    group: str = ""
    groups: Sequence[str] = ()

    def __bytes__(self) -> bytes:
        """As it is told to the child."""
        return json.dumps(asdict(self)).encode()


def lines(database: sqlite3.Connection, asked: Asked, window: tuple[float, float]) -> Iterator[str]:
    """
    The document, piece by piece.

    :param window: only programmes that are on at some time in it.
    """
    yield _HEAD
    first, last = window
    members: dict[str, list[tuple[int, str, int]]] = {}
    for channel, name, xmltv_id, logo in database.execute(
        "SELECT id, name, xmltv_id, logo FROM lineup WHERE kind <> 'vod' AND (?1 = '' OR in_group = ?1)"
        " AND (?2 = '[]' OR in_group IN (SELECT value FROM json_each(?2))) ORDER BY place",
        (asked.group, json.dumps(list(asked.groups))),
    ):
        members.setdefault(xmltv_id, []).append((channel, name, logo))
    listed: dict[str, list[tuple[int, int]]] = {}
    for xmltv_id, channels in members.items():
        # Channels with one id are one channel to a player: the first that has a guide stands for all. One without
        # programmes is none to a guide.
        for channel, name, logo in channels:
            guides = _guides(database, channel, first, last)
            if guides:
                listed[xmltv_id] = guides
                icon = f"<icon src={quoteattr(f'{asked.base_url}/logo/{channel}')}/>" if logo else ""
                names = f"<display-name>{escape(name)}</display-name>"
                yield f"<channel id={quoteattr(xmltv_id)}>{names}{icon}</channel>\n"
                break
    for xmltv_id, guides in listed.items():
        quoted = quoteattr(xmltv_id)
        for guide, shift in guides:
            for start, stop, xml in database.execute(
                "SELECT start + ?2, stop + ?2, xml FROM programme WHERE channel = ?1"
                " AND start < ?4 - ?2 AND stop > ?3 - ?2 ORDER BY start",
                (guide, shift, first, last),
            ):
                times = f'start="{write_time(start)}" stop="{write_time(stop)}"'
                yield f"<programme {times} channel={quoted}>{xml}</programme>\n"
    yield "</tv>\n"


def _guides(database: sqlite3.Connection, channel: int, first: float, last: float) -> list[tuple[int, int]]:
    """The guide channels that a channel shows, each with how much later, as far as they have programmes then."""
    return database.execute(
        "SELECT guide, shift FROM listing WHERE channel = ?1 AND EXISTS (SELECT 1 FROM programme"
        " WHERE programme.channel = listing.guide AND start < ?3 - shift AND stop > ?2 - shift)",
        (channel, first, last),
    ).fetchall()


def _write(pieces: Iterator[str], packed: bool) -> None:
    packer = zlib.compressobj(5, zlib.DEFLATED, 31) if packed else None
    waiting: list[str] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= BLOCK:
            data = "".join(waiting).encode("utf-8", "replace")
            _put(packer.compress(data) if packer is not None else data)
            waiting, size = [], 0
    data = "".join(waiting).encode("utf-8", "replace")
    _put(packer.compress(data) + packer.flush() if packer is not None else data)


def _put(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def main() -> None:
    """Write it; nothing at all while there is no database."""
    parser = ArgumentParser(prog="iptvd.epg.export")
    parser.add_argument("database", type=Path)
    parser.add_argument("--gzip", action="store_true")
    arguments = parser.parse_args()
    asked = Asked(**json.load(sys.stdin))
    now = time.time()
    try:
        database = open_to_read(arguments.database)
        database.execute("BEGIN")
        window = (now - PAST, now + asked.days * DAY)
        _write(lines(database, asked, window), arguments.gzip)
    except sqlite3.Error as error:
        raise SystemExit(f"the guide's database cannot be read: {error}") from None
    except BrokenPipeError:
        # Whoever read it has had enough.
        os._exit(0)


if __name__ == "__main__":
    main()
