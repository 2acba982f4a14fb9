"""Guides for whole daemons: about now, in every form they come in, and what is told of them."""

from __future__ import annotations

import gzip
import lzma
import os
import sqlite3
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import pytest

from tests.daemon.client import HttpServer, wait_for
from tests.daemon.harness import Daemon
from tests.daemon.launch import facts
from tests.epg.guide import Shown, xmltv
from tests.simulators.running import OriginProcess

HOUR = 3600


def hours(channel: str, title: str, count: int = 4) -> list[Shown]:
    """Programmes of an hour each, the second of them on now, and for half an hour yet: longer than any test takes."""
    begin = int(time.time()) // 60 * 60 - HOUR - HOUR // 2
    return [
        Shown(channel, begin + n * HOUR, begin + (n + 1) * HOUR, f"{title} {n}", f"<desc>About {title}</desc>")
        for n in range(count)
    ]


def about(channel: str, title: str, name: str = "") -> bytes:
    """A guide of one channel."""
    return xmltv(hours(channel, title), {channel: name or channel})


def in_other_forms(guide: bytes) -> dict[str, bytes]:
    """The same guide as guides come."""
    head, _, rest = guide.partition(b"<tv>")
    doctype = b'<!DOCTYPE tv SYSTEM "http://127.0.0.1:9/xmltv.dtd">'
    return {
        "gz": gzip.compress(guide),
        "xz": lzma.compress(guide),
        "bom": b"\xef\xbb\xbf" + guide,
        "doctype": head + doctype + b"<tv>" + rest.replace(b"About", b"About&nbsp;caf&eacute;&amp;"),
    }


def serve(origin: OriginProcess, name: str, guide: bytes, **knobs: object) -> str:
    """Have the origin serve it; its URL."""
    origin.control(f"/guides/{name}", bytes=b64encode(guide).decode(), **knobs)
    return origin.at(f"/guides/{name}")


def playlist(origin: OriginProcess, *channels: tuple[str, str, str]) -> str:
    """Have the origin serve a list of these channels (tvg-id, name, group); its URL."""
    entries = "".join(
        f'#EXTINF:-1 tvg-id="{tvg_id}" group-title="{group}",{name}\n{origin.at("/live/film.ts")}&{number}\n'
        for number, (tvg_id, name, group) in enumerate(channels)
    ).replace(".ts&", ".ts?")
    origin.control("/guides/list.m3u", body=f"#EXTM3U\n{entries}")
    return origin.at("/guides/list.m3u")


def guides(server: HttpServer) -> dict[str, dict[str, Any]]:
    """What health tells of each guide, by name."""
    return {each["name"]: each for each in facts(server)["guides"]}


def channels_of(server: HttpServer) -> dict[str, dict[str, Any]]:
    """The channels that the API tells, by name."""
    value: Any = server.get("/api/channels?limit=500").json()
    return {each["name"]: each for each in value["channels"]}


def on_now(server: HttpServer) -> dict[str, str]:
    """What is on at each channel of which that is known."""
    return {name: each["now"]["title"] for name, each in channels_of(server).items() if "now" in each}


def wait_for_now(server: HttpServer, titles: dict[str, str]) -> None:
    """Wait until this is on."""
    last: dict[str, str] = {}

    def look() -> bool:
        nonlocal last
        last = on_now(server)
        return titles.items() <= last.items()

    try:
        wait_for(look, 30, "what is on")
    except AssertionError:
        raise AssertionError(f"{last} is on, and the guides are {guides(server)}") from None


def validated(text: bytes, folder: Path) -> ElementTree.Element:
    """The guide, after xmltv's own tool has found nothing wrong with it."""
    file = folder / "told.xml"
    file.write_bytes(text)
    environment = {**os.environ, "XMLTV_SUPPLEMENT": "/usr/share/xmltv"}
    try:
        done = subprocess.run(
            ["tv_validate_file", str(file)], env=environment, capture_output=True, check=False, timeout=60
        )
    except FileNotFoundError:
        pytest.skip("tv_validate_file is missing: it is in Debian's xmltv-util")
    assert done.returncode == 0, done.stdout + done.stderr
    return ElementTree.fromstring(text)


def children_of(daemon: Daemon, module: str) -> list[int]:
    """The children of a daemon that run a module of the guide's."""
    found = []
    for pid in daemon.children():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"iptvd.epg.{module}".encode() in words:
            found.append(pid)
    return found


def kept(daemon: Daemon, query: str) -> list[Sequence[Any]]:
    """What the daemon's database says."""
    path = quote(str(daemon.state / "epg" / "guide.db"))
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def coming_in(daemon: Daemon) -> int:
    """How many programmes there are of a guide that is not in force yet."""
    query = (
        "SELECT count(*) FROM programme WHERE channel IN (SELECT id FROM guide_channel"
        " WHERE generation NOT IN (SELECT generation FROM source))"
    )
    return int(kept(daemon, query)[0][0])


def large(title: str, channels: int = 400, each: int = 150) -> Iterator[bytes]:
    """A guide that takes seconds to be taken in; its first channel is ``large.test``."""
    begin = int(time.time()) // HOUR * HOUR - HOUR
    times = [time.strftime("%Y%m%d%H%M%S +0000", time.gmtime(begin + n * HOUR)) for n in range(each + 1)]
    yield b"<tv>\n"
    for channel in range(channels):
        name = "large.test" if not channel else f"other{channel}.test"
        lines = (
            f'<programme start="{times[n]}" stop="{times[n + 1]}" channel="{name}">'
            f"<title>{title} {n}</title></programme>\n"
            for n in range(each)
        )
        yield "".join(lines).encode()
    yield b"</tv>\n"
