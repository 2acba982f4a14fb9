"""What others may read of ours: sentences without addresses, and times as everybody writes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}+://\S*")


def without_urls(sentence: str) -> str:
    """
    A sentence as anyone may read it.

    Providers and what they heard from upstream have a part in some of them, and a plugin may have been careless.
    """
    return _URL.sub("(its address)", sentence)


def moment(seconds: float | None, timespec: str = "seconds") -> str | None:
    """
    A time as ISO 8601 in UTC; None stays None, and so does what no calendar has.

    :param timespec: how exact, see `datetime.datetime.isoformat`.
    """
    if seconds is None or not -62_000_000_000 < seconds < 253_000_000_000:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
