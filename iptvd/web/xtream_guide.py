"""What is on at a channel, as Xtream clients ask for it: texts in base64, times in UTC."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

from iptvd.model import Channel, Programme
from iptvd.web.xtream_rows import archive_days

DAY = 86400
#: Programmes of a short guide where no number is asked for, and at most.
SHORT, MOST = 4, 500


def listings(channel: Channel, programmes: Sequence[Programme], now: float, playing: bool) -> Iterator[dict[str, Any]]:
    """
    The rows of ``epg_listings``.

    :param now: seconds since the epoch.
    :param playing: whether they tell which of them is on.
    """
    days = archive_days(channel)
    for programme in programmes:
        start, stop = int(programme.start), int(programme.stop)
        kept = days > 0 and programme.start <= now and programme.start >= now - days * DAY
        row = {
            "id": str(crc32(f"{channel.id} {start}".encode()) & 0x7FFFFFFF),
            "epg_id": str(channel.id),
            "title": _encoded(programme.title),
            "lang": "",
            "start": _shown(start),
            "end": _shown(stop),
            "description": _encoded(programme.description),
            "channel_id": channel.xmltv_id,
            "start_timestamp": str(start),
            "stop_timestamp": str(stop),
            "has_archive": 1 if kept else 0,
        }
        if playing:
            row["now_playing"] = 1 if programme.start <= now < programme.stop else 0
        yield row


def _encoded(text: str) -> str:
    return b64encode(text.encode("utf-8", "replace")).decode()


def _shown(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
