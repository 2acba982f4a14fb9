"""Catch-up attributes and their placeholders: what is asked for is an http URL of the same host, or nothing."""

from __future__ import annotations

from datetime import UTC
from urllib.parse import urlsplit

from iptvd.protocols.catchup import MOST_DAYS, Moment, days_of, kind_of, recordings

SEEDS = [
    line.encode()
    for line in (
        "append\n?utc={utc}&lutc={lutc}\n7\nhttp://example.com/live/u/p/1.ts",
        "default\nhttp://example.com/{catchup-id}/${start}-{duration:60}.ts\n3\nhttp://example.com/x/index.m3u8",
        "default\nhttp://example.com/{Y}/{m}/{d}/{H}{M}{S}?o={offset:60}&e={utcend:Y-m-d}\n\nhttp://example.com/a.ts",
        "flussonic\n\n5\nhttp://example.com/ch/mpegts?token=x",
        "fs\n\n5\nhttp://example.com/ch/index.m3u8?token=x",
        "xc\n\n5\nhttp://example.com/live/user/pass/12.m3u8",
        "shift\n\n5\nhttp://example.com/1.ts?x=y",
        "vod\n{catchup-id}\n\nhttp://example.com/1",
    )
]


def one(data: bytes) -> None:
    """Take its lines as attributes and a URL, as they come out of a list, and ask for a recording."""
    lines = [line.strip() for line in data.decode("utf-8", "replace").split("\n")]
    lines += [""] * (4 - len(lines))
    names = ("catchup", "catchup-source", "catchup-days", "catchup-id", "catchup-correction")
    values = [*lines[:3], "an id", lines[4] if len(lines) > 4 else ""]
    catchup = tuple((name, value) for name, value in zip(names, values, strict=True) if value)
    kind_of(dict(catchup))
    days = days_of(catchup)
    assert days is None or 0 <= days <= MOST_DAYS
    for moment in (Moment(1_700_000_000, 3600, 1_700_010_000), Moment(0, 1, 0)):
        for _, url in recordings(catchup, lines[3], "", moment, UTC):
            assert urlsplit(url).scheme in ("http", "https")
            assert urlsplit(url).hostname
