"""What a website with channels announces, in both of the shapes in which such sites do."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from attrs import frozen

LONDON = ZoneInfo("Europe/London")


@frozen
class Announced:
    """
    An event.

    :ivar time: in London, as ``HH:MM``.
    :ivar numbers: the channels it is on; those after the first come as ``channels2``.
    :ivar day: 0, or 1 where the list has wrapped past midnight.
    """

    time: str
    title: str
    category: str
    numbers: tuple[str, ...]
    day: int = 0

    def start(self, first: date) -> datetime:
        """When it begins, the schedule being that of a day."""
        clock = datetime.strptime(self.time, "%H:%M").replace(tzinfo=LONDON).time()
        return datetime.combine(first + timedelta(days=self.day), clock, LONDON)


#: How long ago the event began that is on now, in seconds.
BEGAN = 600


def announced(now: float) -> tuple[date, tuple[Announced, ...]]:
    """The day of the schedule and what it has, one event of which began ten minutes ago."""
    on_now = datetime.fromtimestamp(now - BEGAN, LONDON)
    return on_now.date(), (
        Announced("09:00", "Reds & Blues : A vs B", "Soccer", ("51", "52")),
        Announced("18:45", "C vs D", "Soccer", ("53",)),
        Announced("23:30", "Late Match", "Soccer", ("54", "9999")),
        Announced("00:30", "After Midnight", "Soccer", ("51",), day=1),
        Announced(f"{on_now:%H:%M}", "Final On Now", "Tennis", ("55",)),
    )


def day_label(day: date, style: str = "plain") -> str:
    """How the site writes a day; ``style`` is ``plain``, ``glued`` or ``twice``, after what was seen."""
    suffix = "th" if 10 < day.day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    month = {"glued": f"{day:%b}", "twice": f"{day:%b} {day:%b} "}.get(style, f"{day:%b} ")
    return f"{day:%A} {day.day:02}{suffix} {month}{day.year} - Schedule Time UK GMT"


#: Items that say nothing that can be used.
_MALFORMED: tuple[object, ...] = (
    None,
    "not an event",
    {"event": "Without a time", "channels": []},
    {"time": "25:99", "event": "At no time", "channels": []},
    {"time": "12:00", "channels": [{"channel_id": "51"}]},
    {"time": "12:00", "event": ["a", "list"], "channels": "none"},
)


def schedule_json(label: str, events: Sequence[Announced], malformed: bool) -> str:
    """Schedule S1: channels as a list and as an object, a stray tag in its categories."""
    categories: dict[str, object] = {}
    for category in dict.fromkeys(event.category for event in events):
        items: list[object] = []
        for event in events:
            if event.category == category:
                listed = [{"channel_name": f"Channel {number}", "channel_id": number} for number in event.numbers]
                more = {str(place): each for place, each in enumerate(listed[1:], 1)}
                items.append(
                    {"time": event.time, "event": event.title, "channels": listed[:1], "channels2": more or []}
                )
        categories[f"{category}</span>"] = [*(_MALFORMED if malformed else ()), *items]
    return json.dumps({label: {**categories, **({"Broken</span>": "none"} if malformed else {})}})


def schedule_page(label: str, events: Sequence[Announced]) -> str:
    """Schedule S2, whose visible times are another zone's."""
    parts = [f'<div class="schedule__day"><div class="schedule__dayTitle">{label}</div>']
    for category in dict.fromkeys(event.category for event in events):
        parts.append(f'<div class="schedule__category"><div class="card__meta">{category}</div>')
        for event in events:
            if event.category == category:
                links = "".join(f'<a href="/watch.php?id={n}" title="Channel {n}">{n}</a>' for n in event.numbers)
                parts.append(
                    f'<div class="schedule__event"><span class="schedule__time" data-time="{event.time}">01:02</span>'
                    f'<span class="schedule__eventTitle">{html.escape(event.title)}</span>'
                    f'<div class="schedule__channels">{links}</div></div>'
                )
        parts.append("</div>")
    return "\n".join([*parts, "</div>"])
