"""
An Xtream panel with real media, as a process of its own: ``python -m tests.simulators.panel_process MEDIA STREAMS``.

Its live channels lead to ``STREAMS``, a URL, as panels send their viewers to other machines; films, episodes and HLS
it serves itself. Like the origin it writes its port on a line and ends when its standard input does.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import Any

from attrs import asdict
from twisted.internet import reactor, tcp
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from twisted.web.static import File

from tests.simulators.media import Media
from tests.simulators.panel import Panel
from tests.simulators.panel_content import User, episode, programme
from tests.simulators.running import SimulatorProcess
from tests.simulators.serving import serve

#: The account; its words are found nowhere else.
USER = User("xuser-canary", "xpass-canary", max_connections=5)
#: Where it is, which is nowhere near UTC.
ZONE = "Asia/Kolkata"
#: What it has: live channels, a film and an episode. The first has an archive and is in the guide, of the second only
#: the panel itself tells what is on.
LIVE = ("Panel One", "Panel Two")
FILM = "Panel Film"
SERIES = "Panel Series"
#: Days that the archive goes back, and what is on at each of the channels, an hour each.
DAYS = 3
ON_AIR = ("A Thing in the Guide", "A Thing the Panel Tells")
HOUR = 3600


class _Elsewhere(Resource):
    """Sends the viewer on."""

    isLeaf = True

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url.encode()

    def render(self, request: Request) -> bytes:
        request.redirect(self._url)
        return b""


class _Seen(Resource):
    """The requests that came, as JSON."""

    isLeaf = True

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self._panel = panel

    def render(self, request: Request) -> bytes:
        return json.dumps([asdict(each) for each in self._panel.seen]).encode()


def make_guide(now: int) -> bytes:
    """A guide of the first channel, six hours back and a day ahead."""

    def at(seconds: int) -> str:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d%H%M%S +0000")

    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<tv><channel id="1.example">']
    lines.append(f"<display-name>{LIVE[0]}</display-name></channel>")
    for start in range(now - 6 * HOUR, now + 24 * HOUR, HOUR):
        lines.append(f'<programme start="{at(start)}" stop="{at(start + HOUR)}" channel="1.example">')
        lines.append(f"<title>{ON_AIR[0]}</title></programme>")
    return "\n".join([*lines, "</tv>", ""]).encode()


def make_panel(media: Media, streams: str) -> Panel:
    """The panel with all of it."""
    panel = Panel(users=[USER])
    for kind in ("live", "vod", "series"):
        panel.category(kind, 1, f"Panel {kind}")
    panel.server_info["timezone"] = ZONE
    for number, name in enumerate(LIVE, 1):
        panel.add_live(number, name, tv_archive=int(number == 1), tv_archive_duration=DAYS)
    now = int(time())
    panel.guide = make_guide(now)
    panel.listings = {
        2: [programme(start, start + HOUR, ON_AIR[1]) for start in range(now - 60, now + 3 * HOUR, HOUR)]
    }
    panel.add_film(11, FILM)
    panel.add_series(21, SERIES, [episode(31, 1, 1, "Pilot")])
    panel.live = {number: _Elsewhere(streams) for number in (1, 2)}
    panel.hls = {number: File(str(media.path("hls/plain"))) for number in (1, 2)}
    panel.past = {1: media.path("film.ts")}
    panel.movie = {11: media.path("film.mp4")}
    panel.series = {31: media.path("film.mkv")}
    return panel


class PanelProcess(SimulatorProcess):
    """
    The panel as a process beside the tests.

    :param streams: the URL that its live channels lead to.
    """

    def __init__(self, media: Media, folder: Path, streams: str) -> None:
        super().__init__(["tests.simulators.panel_process", str(media.folder), streams], folder)

    def seen(self, start: str) -> list[dict[str, str]]:
        """The requests so far whose path begins so, see `tests.simulators.panel.Seen`."""
        value: Any = self.get("/seen.json").json()
        return [each for each in value if each["path"].startswith(start)]

    @property
    def login(self) -> str:
        """Its URL with the account in it."""
        return f"http://{USER.username}:{USER.password}@127.0.0.1:{self.port}"


def main(folder: str, streams: str) -> None:
    """Serve until standard input ends."""
    panel = make_panel(Media(Path(folder)), streams)
    root = panel.resource()
    root.putChild(b"seen.json", _Seen(panel))
    site = Site(root)
    listening = tcp.Port(0, site, interface="127.0.0.1", reactor=reactor)
    listening.startListening()
    serve(listening.socket.getsockname()[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
