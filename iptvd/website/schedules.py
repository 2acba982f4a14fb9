"""The schedules of events that such sites have, in the shapes seen so far: S1 is JSON, S2 is on the home page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, tzinfo
from hashlib import blake2b

from iptvd.errors import ProtocolError
from iptvd.model import Event
from iptvd.protocols.jsonstream import Path, items
from iptvd.website.day_labels import Wrap, read_label, read_time, start_of
from iptvd.website.extraction import Field, Reading, Row, Shape
from iptvd.website.texts import channel_id, id_in_link, plain

#: Events of one schedule, and channels of one event, that are taken: the first.
MOST = 20_000
MOST_CHANNELS = 200

SUBJECT = "schedule"
#: S1: days, in them categories, in them events.
JSON_PAGE = "/schedule/schedule-generated.php"
#: S2.
HOME_PAGE = "/"
HOME = Shape(
    SUBJECT,
    "S2",
    (
        # The text beside it is in the time zone of somebody's browser.
        Field("time", str.strip, ".schedule__time[data-time]", "data-time"),
        Field("title", plain, ".schedule__eventTitle"),
        Field("channels", id_in_link, ".schedule__channels a[href]", "href", many=True),
    ),
    rows=".schedule__event",
    mark=re.compile(r"schedule__(?:day|category|event)(?![A-Za-z0-9_-])"),
    around=(
        Field("day", plain, ".schedule__dayTitle"),
        Field("category", plain, ".card__meta, .schedule__catHeader"),
    ),
)


class Announcements:
    """
    The events of one schedule, as they are read.

    :ivar skipped: why items were left out, and how many for each reason.
    :param zone: gives the time zone for the name that a label has, or for none.
    :param now: seconds since the epoch.
    """

    def __init__(self, zone: Callable[[str], tzinfo], now: float) -> None:
        self.skipped: Counter[str] = Counter()
        self._zone = zone
        self._today = datetime.fromtimestamp(now, UTC).date()
        self._events: dict[str, Event] = {}
        self._label = ""
        self._day: tuple[date, tzinfo] | None = None
        self._list: object = None
        self._wrap = Wrap()
        self._page: Reading | None = None

    @property
    def events(self) -> list[Event]:
        """What was understood."""
        return list(self._events.values())

    @property
    def failure(self) -> str:
        """Why nothing was understood."""
        if self._page is not None and self._page.failure:
            return self._page.failure
        return f"none of {self.skipped.total()} items is an event" if self.skipped else "it is empty"

    def read_json(self, body: bytes) -> Iterator[None]:
        """
        Read S1 in short steps.

        :raises ProtocolError: when it is no JSON, or cut short.
        """

        def opened(path: Path, bracket: str) -> bool:
            # Days may come in a list.
            level = len(path) - isinstance(path[0], int)
            return level < 2 or (level == 2 and bracket in "[{")

        for path, item in items(body, opened):
            names = path[1:] if isinstance(path[0], int) else path
            if len(names) == 3 and isinstance(item, dict):
                label, category = plain(str(names[0])), plain(str(names[1]))
                time, title = item.get("time"), item.get("event")
                if isinstance(time, str) and isinstance(title, str):
                    channels, bad = _channels(item)
                    if bad:
                        self.skipped["a channel without an id"] += bad
                    self._add(label, category, time, plain(title), channels)
                else:
                    self.skipped["no time or no title"] += 1
            else:
                self.skipped["not an event"] += 1
            yield

    def read_page(self, text: str) -> Iterator[None]:
        """Read S2 in short steps."""
        self._page = Reading(HOME, self._take)
        yield from self._page.page(text)
        self.skipped += self._page.skipped

    def _take(self, row: Row) -> None:
        ((label,), (category,), (time,), (title,)) = row["day"], row["category"], row["time"], row["title"]
        self._add(label, category, time, title, row["channels"])

    def _add(self, label: str, category: str, time: str, title: str, channels: tuple[str, ...]) -> None:
        if (label, category) != self._list:
            self._list, self._wrap = (label, category), Wrap()
        try:
            day = self._day_of(label)
            minutes = read_time(time)
            start = start_of(day[0], self._wrap.place(minutes), day[1])
        except ProtocolError as error:
            self.skipped[error.sentence] += 1
            return
        if not title:
            self.skipped["no time or no title"] += 1
            return
        # What can change from one fetch to the next, such as its channels, is no part of it.
        key = blake2b(f"{start:.0f}\n{category}\n{title}".encode(), digest_size=9).hexdigest()
        known = self._events.get(key)
        if known is None and len(self._events) >= MOST:
            self.skipped[f"more than {MOST}"] += 1
            return
        together = tuple(dict.fromkeys((*(known.channels if known else ()), *channels)))[:MOST_CHANNELS]
        self._events[key] = Event(key, title, start, None, category, together)

    def _day_of(self, label: str) -> tuple[date, tzinfo]:
        if self._day is None or label != self._label:
            self._day = None
            day = read_label(label, self._today)
            self._label, self._day = label, (day.date, self._zone(day.zone))
        return self._day


def _channels(item: dict[str, object]) -> tuple[tuple[str, ...], int]:
    """The ids of an event's channels, which come as a list, an object, or as a single one; and how many had none."""
    found: dict[str, None] = {}
    bad = 0
    for name in ("channels", "channels2"):
        listed = item.get(name)
        if isinstance(listed, dict):
            listed = [listed] if "channel_id" in listed else list(listed.values())
        if listed is not None and not isinstance(listed, list):
            listed = [listed]
        for each in listed[:MOST_CHANNELS] if listed is not None else ():
            told = each.get("channel_id") if isinstance(each, dict) else None
            identity = channel_id(str(told)) if isinstance(told, str | int) else ""
            if identity:
                found[identity] = None
            else:
                bad += 1
    return tuple(found), bad
