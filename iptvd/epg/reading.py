"""Questions to the guide's database, each asked in a thread: SQLite's own work, and a few hundred rows of ours."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from attrs import frozen

from iptvd.epg.details import programme_of
from iptvd.epg.schema import first_id, open_to_read
from iptvd.model import Programme
from iptvd.store import Offload

P = ParamSpec("P")
T = TypeVar("T")

#: Programmes in one answer.
MOST = 2000
#: Channels that one question is about.
MOST_CHANNELS = 1000
#: Connections that are kept for the next question.
IDLE = 4
#: Seconds before now in which what is on now began, and after it in which it matters most.
LONGEST = 12 * 3600
DAY = 86400
#: Letters from which on programmes are searched.
LETTERS = 3

_WORD = re.compile(r"[^\W_]+")
# Whether a channel of the lineup is in one of some groups, which are a JSON list; none stand for all.
_SEEN = "({0} = '[]' OR lineup.in_group IN (SELECT value FROM json_each({0})))"


@frozen
class Hit:
    """
    One thing that a search found.

    :ivar type: ``channel``, ``programme`` or ``event``.
    :ivar start: seconds since the epoch, None for a channel, as ``stop``.
    :ivar channels: where it is to be seen: ids and names; one for a programme.
    :ivar event: the event's id.
    """

    type: str
    title: str
    channels: tuple[tuple[int, str], ...]
    on_now: bool = False
    start: float | None = None
    stop: float | None = None
    event: str = ""
    category: str = ""
    provider: str = ""


@frozen
class Match:
    """
    How a channel of the lineup was found in a guide.

    :ivar how: ``rule``, ``id``, ``name`` or ``fuzzy``.
    :ivar score: 0 to 1.
    :ivar shift: seconds that the guide is shown later.
    """

    channel: int
    name: str
    source: str
    guide_id: str
    how: str
    score: float
    shift: int


def query_of(words: str) -> str:
    """What full-text search is asked for: each word, the beginning of one being enough; empty when there is none."""
    return " ".join(f'"{word}"*' for word in _WORD.findall(words.lower())[:10])


class GuideReader:
    """
    Answers; with nothing as long as there is no database.

    :param offload: see `iptvd.store.Offload`.
    """

    def __init__(self, database: Path, offload: Offload) -> None:
        self._database = database
        self._offload = offload
        self._idle: list[sqlite3.Connection] = []

    def close(self) -> None:
        """Let go of the database; the next question opens it anew."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    async def now_next(
        self, channels: Sequence[int], now: float
    ) -> dict[int, tuple[Programme | None, Programme | None]]:
        """What is on at each of these channels (at most `MOST_CHANNELS`) and what comes then; by channel."""
        return await self._ask({}, _now_next, channels[:MOST_CHANNELS], now)

    async def programmes(self, channel: int, start: float, stop: float) -> list[Programme]:
        """What a channel shows in this time, in order; at most `MOST`."""
        return await self._ask([], _programmes, channel, start, stop)

    async def search(self, words: str, now: float, limit: int, groups: Sequence[str] = ()) -> list[Hit]:
        """
        Channels, programmes and events with these words, by the beginnings of words.

        Channels first, then what is on now, then what begins soonest. Programmes are searched from `LETTERS` on.

        :param groups: only what channels of these groups show, unless there are none.
        """
        query = query_of(words)
        if not query:
            return []
        long_enough = max(map(len, _WORD.findall(words))) >= LETTERS
        return await self._ask([], _search, query, long_enough, now, limit, json.dumps(groups))

    async def events(
        self,
        category: str,
        words: str,
        start: float | None,
        stop: float | None,
        now: float,
        limit: int,
        offset: int = 0,
        live: bool = False,
        groups: Sequence[str] = (),
    ) -> list[Hit]:
        """
        Events in the order in which they begin; none for words that are none.

        :param start: those that end after it; None for all.
        :param stop: those that begin before it; None for all.
        :param live: only what is on now.
        :param groups: only those that channels of these groups show, which alone are told; all, unless there are any.
        """
        query = query_of(words)
        if words.strip() and not query:
            return []
        among = json.dumps(groups)
        return await self._ask([], _events, category, query, start, stop, now, limit, offset, live, among)

    async def matches(self, how: str, offset: int, limit: int) -> list[Match]:
        """How channels were found in guides, the least certain first; of one kind, unless ``how`` is empty."""
        return await self._ask([], _matches, how, offset, limit)

    async def revision(self) -> int:
        """Changes with everything that is shown; 0 while there is nothing."""
        return await self._ask(0, _revision)

    async def _ask(
        self, nothing: T, question: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **named: P.kwargs
    ) -> T:
        # Taken and given back on the reactor; in between it is one thread's.
        idle = self._idle
        connection = idle.pop() if idle else None

        def ask() -> tuple[sqlite3.Connection | None, T]:
            nonlocal connection
            try:
                if connection is None:
                    connection = open_to_read(self._database)
                connection.execute("BEGIN")
                try:
                    return connection, question(connection, *args, **named)
                finally:
                    connection.execute("COMMIT")
            except sqlite3.Error:
                # Not there yet, or on its way to be made anew.
                if connection is not None:
                    connection.close()
                return None, nothing

        used, answer = await self._offload(ask)
        # One that was open when all were closed is of a database that may be gone.
        if used is not None and idle is self._idle and len(idle) < IDLE:
            idle.append(used)
        elif used is not None:
            used.close()
        return answer


def _now_next(
    database: sqlite3.Connection, channels: Sequence[int], now: float
) -> dict[int, tuple[Programme | None, Programme | None]]:
    found: dict[int, tuple[Programme | None, Programme | None]] = {}
    for channel in channels:
        listed = _listed(database, channel, now, now + 2 * DAY, 2)
        on = listed[0] if listed and listed[0].start <= now else None
        then = listed[1:] if on is not None else listed
        if listed:
            found[channel] = (on, then[0] if then else None)
    return found


def _programmes(database: sqlite3.Connection, channel: int, start: float, stop: float) -> list[Programme]:
    return _listed(database, channel, start, stop, MOST)


def _listed(database: sqlite3.Connection, channel: int, start: float, stop: float, most: int) -> list[Programme]:
    rows: list[tuple[int, int, str, str]] = []
    for guide, shift in database.execute("SELECT guide, shift FROM listing WHERE channel = ?", (channel,)).fetchall():
        rows.extend(
            database.execute(
                "SELECT start + ?2, stop + ?2, title, xml FROM programme WHERE channel = ?1"
                " AND start BETWEEN ?3 AND ?4 AND stop > ?5 ORDER BY start LIMIT ?6",
                (guide, shift, start - shift - LONGEST, stop - shift - 1, start - shift, most),
            )
        )
    rows.sort(key=lambda row: row[0])
    return [programme_of(*row) for row in rows[:most]]


def _search(
    database: sqlite3.Connection, query: str, programmes: bool, now: float, limit: int, groups: str
) -> list[Hit]:
    hits = [
        Hit("channel", name, ((channel, name),))
        for channel, name in database.execute(
            "SELECT lineup.id, lineup.name FROM lineup_words JOIN lineup ON lineup.id = lineup_words.rowid"  # noqa: S608 - our own words
            f" WHERE lineup_words MATCH ?1 AND {_SEEN.format('?3')} ORDER BY lineup.place LIMIT ?2",
            (query, limit, groups),
        )
    ]
    timed = _events(database, "", query, now, None, now, limit, 0, False, groups)
    if programmes:
        timed += _programmes_with(database, query, now, limit, groups)
    timed.sort(key=lambda hit: (not hit.on_now, hit.start or 0))
    # However many channels have these words in their names, half of it is for what is on.
    return [*hits[: max(limit // 2, limit - len(timed))], *timed][:limit]


def _programmes_with(database: sqlite3.Connection, query: str, now: float, limit: int, groups: str) -> list[Hit]:
    (shift,) = database.execute("SELECT coalesce(max(abs(shift)), 0) FROM listing").fetchone()
    # Ids are in the order of time: what is on is looked for from now backwards, for it has not begun long ago, and
    # what comes from now on, the next day first. So the first of many are found without the others.
    begun, soon, tomorrow = now - LONGEST - shift, now - shift, now + DAY
    ways = (
        ("<=", "DESC", begun, now + shift + 60),
        (">", "ASC", soon, tomorrow),
        (">", "ASC", tomorrow, now + 400 * DAY),
    )
    hits: list[Hit] = []
    for begins, order, first, last in ways:
        if len(hits) >= limit:
            break
        rows = database.execute(
            "SELECT programme.title, programme.start + listing.shift, programme.stop + listing.shift,"  # noqa: S608 - our own words
            " lineup.id, lineup.name"
            " FROM programme_words JOIN programme ON programme.id = programme_words.rowid"
            " JOIN listing ON listing.guide = programme.channel JOIN lineup ON lineup.id = listing.channel"
            # What was made of an event is found as that.
            " JOIN guide_channel ON guide_channel.id = programme.channel AND guide_channel.guide_id NOT LIKE 'event:%'"
            " WHERE programme_words MATCH ?1 AND programme_words.rowid >= ?2 AND programme_words.rowid < ?3"
            f" AND programme.start + listing.shift {begins} ?4 AND programme.stop + listing.shift > ?4"
            f" AND {_SEEN.format('?6')} ORDER BY programme_words.rowid {order} LIMIT ?5",
            (query, first_id(first), first_id(last), now, limit - len(hits), groups),
        )
        hits.extend(
            Hit("programme", title, ((channel, name),), start <= now, start, stop)
            for title, start, stop, channel, name in rows
        )
    return hits


def _events(
    database: sqlite3.Connection,
    category: str,
    query: str,
    start: float | None,
    stop: float | None,
    now: float,
    limit: int,
    offset: int,
    live: bool,
    groups: str,
) -> list[Hit]:
    words = "event_words JOIN event ON event.id = event_words.rowid" if query else "event"
    where = "event_words MATCH ?1" if query else "?1 = ''"
    shown_on = "event_channel JOIN lineup ON lineup.id = event_channel.channel WHERE event_channel.event ="
    where += f" AND (?8 = '[]' OR EXISTS (SELECT 1 FROM {shown_on} event.id AND {_SEEN.format('?8')}))"  # noqa: S608
    rows = database.execute(
        "SELECT event.id, event.stable, event.provider, event.title, event.category, event.start, event.stop"  # noqa: S608 - our own words
        f" FROM {words} WHERE {where} AND (?2 = '' OR event.category = ?2 COLLATE NOCASE)"
        " AND (?3 IS NULL OR event.stop > ?3) AND (?4 IS NULL OR event.start < ?4)"
        " AND (?5 IS NULL OR (event.start <= ?5 AND event.stop > ?5)) ORDER BY event.id LIMIT ?6 OFFSET ?7",
        (query, category, start, stop, now if live else None, limit, offset, groups),
    ).fetchall()
    hits = []
    for event, stable, provider, title, in_category, begins, ends in rows:
        channels = database.execute(
            f"SELECT lineup.id, lineup.name FROM {shown_on} ?1 AND {_SEEN.format('?2')}"  # noqa: S608
            " ORDER BY lineup.place LIMIT 50",
            (event, groups),
        ).fetchall()
        on_now = begins <= now < ends
        hits.append(Hit("event", title, tuple(channels), on_now, begins, ends, stable, in_category, provider))
    return hits


def _matches(database: sqlite3.Connection, how: str, offset: int, limit: int) -> list[Match]:
    rows = database.execute(
        "SELECT match.channel, lineup.name, match.source, match.guide_id, match.how, match.score, match.shift"
        " FROM match JOIN lineup ON lineup.id = match.channel WHERE ?1 = '' OR match.how = ?1"
        " ORDER BY match.score, lineup.place LIMIT ?2 OFFSET ?3",
        (how, limit, offset),
    )
    return [Match(*row) for row in rows]


def _revision(database: sqlite3.Connection) -> int:
    (revision,) = database.execute("SELECT value FROM counter WHERE name = 'revision'").fetchone()
    return int(revision)
