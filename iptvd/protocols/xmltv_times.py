"""Times as XMLTV writes them: ``YYYYMMDDhhmmss ±hhmm`` (XMLTV DTD), and shorter, as guides have them too."""

from __future__ import annotations

import re
from calendar import timegm
from datetime import UTC, datetime, tzinfo

from iptvd.errors import ProtocolError

_TIME = re.compile(r"(\d{8})(\d{2})?(\d{2})?(\d{2})?(?:\.\d+)?\s*([+-]\d{2}:?\d{2}|[A-Za-z]{1,5})?", re.ASCII)
#: Minutes east of Greenwich.
_ZONES = {
    "Z": 0,
    "UT": 0,
    "UTC": 0,
    "GMT": 0,
    "WET": 0,
    "BST": 60,
    "WEST": 60,
    "CET": 60,
    "CEST": 120,
    "EET": 120,
    "EEST": 180,
    "MSK": 180,
    "AST": -240,
    "EST": -300,
    "EDT": -240,
    "CST": -360,
    "CDT": -300,
    "MST": -420,
    "MDT": -360,
    "PST": -480,
    "PDT": -420,
}
#: The first second of 1990 and of 2100: what lies outside is no time of a programme.
_EARLIEST, _LATEST = 631_152_000, 4_102_444_800


class TimeReader:
    """
    Reads the times of one guide.

    :param zone: of times that name none.
    """

    def __init__(self, zone: tzinfo = UTC) -> None:
        self._zone = zone
        self._days: dict[str, int] = {}
        self._zones: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        """
        Seconds since the epoch.

        :raises ProtocolError: when it is no time.
        """
        match = _TIME.fullmatch(text.strip()[:40])
        if match is None:
            raise ProtocolError("a time is not YYYYMMDDhhmmss")
        date, hour, minute, second, zone = match.groups()
        day = self._days.get(date)
        if day is None:
            day = self._day(date)
        # 24:00 and a leap second are times too.
        local = day + int(hour or 0) * 3600 + int(minute or 0) * 60 + int(second or 0)
        if int(hour or 0) > 24 or int(minute or 0) > 59 or int(second or 0) > 60:
            raise ProtocolError("a time is not YYYYMMDDhhmmss")
        if zone is None:
            moment = datetime.fromtimestamp(local, UTC).replace(tzinfo=self._zone)
            offset = moment.utcoffset()
            return local - (int(offset.total_seconds()) if offset is not None else 0)
        offset_of = self._zones.get(zone)
        if offset_of is None:
            offset_of = self._zones[zone] = _offset(zone)
        return local - offset_of

    def _day(self, date: str) -> int:
        if len(self._days) > 1000:
            self._days.clear()
        try:
            day = timegm((int(date[:4]), int(date[4:6]), int(date[6:]), 0, 0, 0))
            datetime(int(date[:4]), int(date[4:6]), int(date[6:]), tzinfo=UTC)
        except ValueError:
            raise ProtocolError("a time names a day that does not exist") from None
        if not _EARLIEST <= day < _LATEST:
            raise ProtocolError("a time is not of these years")
        self._days[date] = day
        return day


def _offset(zone: str) -> int:
    """Seconds east of Greenwich."""
    if zone[0] in "+-":
        hours, minutes = int(zone[1:3]), int(zone[-2:])
        if hours > 14 or minutes > 59:
            raise ProtocolError("a time names a zone that does not exist")
        return (hours * 3600 + minutes * 60) * (-1 if zone[0] == "-" else 1)
    known = _ZONES.get(zone.upper())
    if known is None:
        raise ProtocolError("a time names a zone that is not known")
    return known * 60


def write_time(moment: float) -> str:
    """A time as we write it: in UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y%m%d%H%M%S +0000")
