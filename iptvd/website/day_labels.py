"""
Days and times as schedules write them: ``Monday 06th Oct 2025 - Schedule Time UK GMT``, ``18:45``.

Seen so far: a space between month and year, none (``18th Oct2025``), the month twice (``04th May May 2025``), whole
names of months, commas, no year.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, tzinfo

from attrs import frozen

from iptvd.errors import ProtocolError

#: What is believed when neither the label nor the settings name a time zone.
USUAL_ZONE = "Europe/London"

_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_LONGEST = 200
# What follows a dash of any length is not about the day.
_BEHIND = re.compile("\\s[-\u2013\u2014|]\\s")
_WORD = re.compile(r"[A-Za-z]+|[0-9]+")
_ISO = re.compile(r"\b(20[0-9]{2})-([0-9]{2})-([0-9]{2})\b")
_TIME = re.compile(r"([0-9]{1,2})[:.]([0-9]{2})(?:[:.][0-9]{2})?\s*([ap]m)?", re.IGNORECASE | re.ASCII)
_LONDON = re.compile(r"\b(?:UK|London|BST)\b", re.IGNORECASE)
_UTC = re.compile(r"\b(?:UTC|GMT)\b", re.IGNORECASE)

_NOON = 12 * 60
_DAY = 24 * 60


@frozen
class Day:
    """
    What a label says.

    :ivar zone: the time zone that it names, or empty.
    """

    date: date
    zone: str = ""


def read_label(label: str, today: date) -> Day:
    """
    The day that a label names.

    :param today: of dates without a year, the one nearest to it is meant; one whose weekday fits, if there is one.
    :raises ProtocolError: when it names none.
    """
    label = label[:_LONGEST]
    zone = USUAL_ZONE if _LONDON.search(label) else "UTC" if _UTC.search(label) else ""
    try:
        found = _ISO.search(label)
        if found:
            return Day(date(int(found[1]), int(found[2]), int(found[3])), zone)
        return Day(_date(_WORD.findall(_BEHIND.split(label)[0]), today), zone)
    except ValueError:
        raise ProtocolError("the label of a day names no date") from None


def _date(words: list[str], today: date) -> date:
    """Raises `ValueError` when the words are no date."""
    days = [int(word) for word in words if word.isdigit() and len(word) < 3]
    years = [int(word) for word in words if word.isdigit() and len(word) == 4]
    months = [number for word in words if (number := _named(word, _MONTHS))]
    weekdays = [number for word in words if (number := _named(word, _WEEKDAYS))]
    if not days or not months:
        raise ValueError
    if years:
        return date(years[0], months[0], days[0])
    near = []
    for year in (today.year - 1, today.year, today.year + 1):
        try:
            near.append(date(year, months[0], days[0]))
        except ValueError:
            # The 29th of February.
            continue
    fitting = [each for each in near if not weekdays or each.isoweekday() == weekdays[0]]
    return min(fitting or near, key=lambda each: abs(each - today))


def _named(word: str, names: tuple[str, ...]) -> int:
    """Which of the names a word is or abbreviates, counted from 1, else 0."""
    word = word.lower()
    if len(word) < 3:
        return 0
    return next((place for place, name in enumerate(names, 1) if name.startswith(word)), 0)


def read_time(text: str) -> int:
    """
    A time of day in minutes after midnight.

    :raises ProtocolError: when it is none.
    """
    found = _TIME.fullmatch(text.strip())
    hours, minutes = (int(found[1]), int(found[2])) if found else (24, 0)
    if found and found[3] and hours <= 12:
        hours = hours % 12 + (12 if found[3].lower() == "pm" else 0)
    if hours > 23 or minutes > 59:
        raise ProtocolError("a time is not between 00:00 and 23:59")
    return hours * 60 + minutes


class Wrap:
    """
    The times of one list in their order: behind the last of the evening come those of the next morning.

    A small step back is a list out of order, not another day.
    """

    def __init__(self) -> None:
        self._latest = 0
        self._next_day = False

    def place(self, minutes: int) -> int:
        """Minutes after the midnight that the list's day begins with, for the next time of day of the list."""
        if self._next_day and minutes >= _NOON:
            # Nothing goes on from one morning to the next evening: this one was out of order.
            return minutes
        if not self._next_day and minutes < _NOON and self._latest - minutes > _NOON // 2:
            self._next_day = True
        self._latest = max(self._latest, minutes)
        return minutes + _DAY if self._next_day else minutes


def start_of(day: date, minutes: int, zone: tzinfo) -> float:
    """
    When that is, in seconds since the epoch.

    :param minutes: after midnight, beyond a day for the days behind it.
    :raises ProtocolError: when the calendar does not go that far.
    """
    try:
        at = datetime(day.year, day.month, day.day, tzinfo=zone) + timedelta(days=minutes // _DAY)
        return at.replace(hour=minutes % _DAY // 60, minute=minutes % 60).timestamp()
    except (ValueError, OverflowError):
        raise ProtocolError("a day is not within the calendar") from None
