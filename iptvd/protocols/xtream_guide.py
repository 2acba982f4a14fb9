"""What an Xtream panel says of times: its time zone, where its guide is, and what one of its channels shows next."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error
from calendar import timegm
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from iptvd.errors import ProtocolError
from iptvd.model import Programme, SourceKind
from iptvd.protocols.catchup import Moment, filled, of_xtream
from iptvd.protocols.jsonstream import Path, items
from iptvd.protocols.xtream import Row, check_no_login, clean, whole_number

#: Bytes of the answer to a login that are looked at.
LONGEST_LOGIN = 256 * 1024
#: Programmes taken of one reply.
MOST_PROGRAMMES = 100
LONGEST_DESCRIPTION = 2000

#: Zones differ by quarters of an hour, and by no more than so much from UTC.
_QUARTER = 900
_MOST_OFFSET = 15 * 3600
#: The first second of 2100: what lies behind is no time of a programme.
_LATEST = 4_102_444_800
_NOTHING = (b"null", b"false", b'""')
_TIME = re.compile(r"(\d{4})-(\d{2})-(\d{2})[ T](\d{2}):(\d{2})(?::(\d{2}))?", re.ASCII)


def guide_url(base: str, username: str, password: str) -> str:
    """
    Where a panel has its guide, in XMLTV.

    :param base: the panel's URL, without a slash at the end.
    """
    return f"{base}/xmltv.php?{urlencode({'username': username, 'password': password})}"


def read_zone(body: bytes) -> tzinfo:
    """
    The time zone that a panel keeps its times in, out of the answer to a login.

    It is the one whose name it tells, else what its clock shows beside the seconds since the epoch, else UTC.
    """
    try:
        told = next((value for path, value in items(body[:LONGEST_LOGIN]) if path == ("server_info",)), None)
    except ProtocolError:
        return UTC
    info: Row = told if isinstance(told, dict) else {}
    name = info.get("timezone")
    if isinstance(name, str) and name.strip():
        try:
            return ZoneInfo(name.strip())
        except (ValueError, OSError, KeyError):
            pass
    shown, now = _seconds(info.get("time_now"), UTC), whole_number(info.get("timestamp_now"))
    if shown is None or not now or abs(shown - now) > _MOST_OFFSET:
        return UTC
    return timezone(timedelta(seconds=round((shown - now) / _QUARTER) * _QUARTER))


def recordings(
    base: str, username: str, password: str, stream: int, output: str, moment: Moment, zone: tzinfo
) -> list[tuple[SourceKind, str]]:
    """
    The URLs of what a channel showed, best first, and what each of them gives.

    A panel counts whole minutes by its own clock, so that it is asked for some seconds more.

    :param output: ``ts`` or ``hls``.
    """
    early = moment.start % 60
    whole = Moment(moment.start - early, moment.duration + early, moment.now)
    templates = of_xtream(base, username, password, stream, "m3u8" if output == "hls" else "ts")
    urls = [filled(template, whole, zone) for template in templates]
    return [(SourceKind.HLS if url.endswith(".m3u8") else SourceKind.VOD, url) for url in urls]


def read_programmes(body: bytes, zone: tzinfo, now: float) -> list[Programme]:
    """
    What a channel shows now and next, in the answer to ``get_short_epg``: in order, without what is over.

    :param zone: of times that are not told in seconds since the epoch.
    :raises ProtocolError: when the body is no JSON.
    :raises ProviderError: when it is a login.
    """
    if body.strip(b" \t\r\n\xef\xbb\xbf") in _NOTHING:
        return []

    def opened(path: Path, bracket: str) -> bool:
        return path == ("epg_listings",)

    found: dict[float, Programme] = {}
    for path, value in items(body, opened):
        check_no_login(path, value)
        programme = _programme(value, zone) if len(path) == 2 and isinstance(value, dict) else None
        if programme is not None and programme.stop > now and len(found) < MOST_PROGRAMMES:
            found.setdefault(programme.start, programme)
    return [found[start] for start in sorted(found)]


def _programme(row: Row, zone: tzinfo) -> Programme | None:
    start = whole_number(row.get("start_timestamp")) or _seconds(row.get("start"), zone)
    stop = whole_number(row.get("stop_timestamp")) or _seconds(row.get("end") or row.get("stop"), zone)
    title = clean(_decoded(row.get("title")))
    if not title or not start or not stop or not 0 < start < stop < _LATEST:
        return None
    return Programme(float(start), float(stop), title, description=_long(row.get("description")))


def _long(value: object) -> str:
    """A text of more than one line's length, as one line."""
    words, text = _decoded(value)[: LONGEST_DESCRIPTION * 2].split(), ""
    for word in words:
        # `clean` takes out what no text should have, and cuts what is longer than a name: word by word nothing is cut.
        text = f"{text} {clean(word)}" if text else clean(word)
        if len(text) >= LONGEST_DESCRIPTION:
            break
    return text[:LONGEST_DESCRIPTION].rstrip()


def _decoded(value: object) -> str:
    """A text that is base64 of UTF-8, as panels send them, or plain."""
    if not isinstance(value, str):
        return ""
    try:
        text = b64decode("".join(value.split()), validate=True).decode()
    except (Error, ValueError):
        return value
    return text if text.isprintable() or any(sign in text for sign in "\n\t") else value


def _seconds(value: object, zone: tzinfo) -> int | None:
    """Seconds since the epoch of a time as PHP writes it, None when it is none."""
    match = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    try:
        year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
        moment = datetime(year, month, day, hour, minute, second, tzinfo=zone)
        return timegm(moment.astimezone(UTC).timetuple())
    except (ValueError, OverflowError):
        return None
