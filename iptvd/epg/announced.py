"""What is announced, as the guide shows it: when each event ends, and what a channel shows by its events."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from math import isfinite
from typing import Any
from xml.sax.saxutils import escape

from attrs import frozen

from iptvd.epg.schema import timed_id

#: Seconds that an event takes whose end is not told.
UNTOLD = 2 * 3600
#: Seconds that one takes that another one ends at once.
SHORTEST = 60
#: Events, and channels of all of them together; more are left out.
MOST, MOST_CHANNELS = 50_000, 200_000
#: Characters of a title.
LONGEST_TITLE = 1000
#: Moments that a row of the database can have.
_LATEST = 1 << 33

#: Characters that XML 1.0 does not have.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@frozen
class Announced:
    """
    An event.

    :ivar stable: its id for life.
    :ivar start: seconds since the epoch.
    :ivar stop: likewise, or None when it is not told.
    :ivar channels: ids in the lineup.
    """

    stable: str
    provider: str
    title: str
    category: str
    start: int
    stop: int | None
    channels: tuple[int, ...]


class Announcements:
    """
    All events, taken in one after another.

    :param channels: by provider and the key of its entry, the channel of the lineup.
    :ivar skipped: why something was left out, and how often.
    """

    def __init__(self, channels: Mapping[tuple[str, str], int]) -> None:
        self.skipped: Counter[str] = Counter()
        self._channels = channels
        self._events: dict[str, Announced] = {}
        self._places = 0

    def take(self, row: Mapping[str, Any]) -> None:
        """
        Take in one, as a provider gave it.

        :raises KeyError, TypeError, ValueError: when it is none.
        """
        start, stop = float(row["start"]), row["stop"]
        title = _NOT_XML.sub("", row["title"])[:LONGEST_TITLE].strip()
        stable = stable_id(row["provider"], row["key"])
        if not title:
            self.skipped["an event without a title"] += 1
        elif not 0 <= start < _LATEST:
            self.skipped["an event out of all time"] += 1
        elif stable in self._events:
            self.skipped["an event that is announced twice"] += 1
        elif len(self._events) >= MOST:
            self.skipped["too many events"] += 1
        else:
            told = stop is not None and isfinite(stop) and start < stop < _LATEST
            self._events[stable] = Announced(
                stable,
                row["provider"],
                title,
                _NOT_XML.sub("", row["category"])[:LONGEST_TITLE].strip(),
                int(start),
                max(int(stop), int(start) + 1) if told else None,
                tuple(self._shown_on(row["provider"], row["channels"])),
            )

    def _shown_on(self, provider: str, keys: Iterable[str]) -> Iterator[int]:
        shown: set[int] = set()
        for key in keys:
            channel = self._channels.get((provider, key))
            if channel is None:
                self.skipped["a channel of an event that is not in the lineup"] += 1
            elif channel in shown:
                # Entries of one channel.
                continue
            elif self._places >= MOST_CHANNELS:
                self.skipped["too many channels of events"] += 1
            else:
                self._places += 1
                shown.add(channel)
                yield channel

    def __len__(self) -> int:
        """How many there are."""
        return len(self._events)

    def events(self) -> list[Announced]:
        """All of them, in the order in which they begin."""
        return sorted(self._events.values(), key=lambda event: (event.start, event.stable))

    def put_down(self, database: sqlite3.Connection) -> None:
        """
        Put them into the temporary tables ``new_event``, ``new_event_channel`` and ``new_shown``.

        The latter is what channels show by them: the events of one channel in order and after one another.
        """
        events = self.events()
        on: dict[int, list[Announced]] = {}
        for event in events:
            for channel in event.channels:
                on.setdefault(channel, []).append(event)
        stops: dict[str, int] = {}
        for channel, shown in on.items():
            for event, stop in _ends(shown):
                stops[event.stable] = max(stop, stops.get(event.stable, 0))
                if stop > event.start:
                    row = (channel, event.start, stop, event.title, _xml(event))
                    database.execute("INSERT INTO new_shown VALUES (?, ?, ?, ?, ?)", row)
        for number, event in enumerate(events):
            event_id = timed_id(event.start, number)
            stop = event.stop or max(stops.get(event.stable, event.start + UNTOLD), event.start + SHORTEST)
            database.execute(
                "INSERT INTO new_event VALUES (?, ?, ?, ?, ?, ?, ?)",
                (event_id, event.stable, event.provider, event.title, event.category, event.start, stop),
            )
            database.executemany(
                "INSERT INTO new_event_channel VALUES (?, ?)", [(event_id, each) for each in event.channels]
            )


def _ends(shown: list[Announced]) -> Iterator[tuple[Announced, int]]:
    """Events of one channel and when they end there: when the next one begins at the latest."""
    for event, then in zip(shown, [*shown[1:], None], strict=True):
        stop = event.stop or event.start + UNTOLD
        yield event, min(stop, then.start) if then is not None else stop


def stable_id(provider: str, key: str) -> str:
    """The same for the same event of a provider at each fetch."""
    return blake2b(f"{provider}\0{key}".encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()


def _xml(event: Announced) -> str:
    category = f"<category>{escape(event.category)}</category>" if event.category else ""
    return f"<title>{escape(event.title)}</title>{category}"
