"""
An Xtream panel with real media, as a process of its own: ``python -m tests.simulators.panel_process MEDIA STREAMS``.

Its live channels lead to ``STREAMS``, a URL, as panels send their viewers to other machines; films, episodes and HLS
it serves itself. Like the origin it writes its port on a line and ends when its standard input does.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Self

from twisted.internet import reactor, tcp
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from twisted.web.static import File

import tests
from tests.daemon.client import HttpServer, wait_for
from tests.daemon.process import ChildProcess, clean_environment
from tests.simulators.__main__ import _Leash
from tests.simulators.media import Media
from tests.simulators.panel import Panel
from tests.simulators.panel_content import User, episode

#: The account; its words are found nowhere else.
USER = User("xuser-canary", "xpass-canary", max_connections=5)
#: What it has: live channels, a film and an episode.
LIVE = ("Panel One", "Panel Two")
FILM = "Panel Film"
SERIES = "Panel Series"


class _Elsewhere(Resource):
    """Sends the viewer on."""

    isLeaf = True

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url.encode()

    def render(self, request: Request) -> bytes:
        request.redirect(self._url)
        return b""


def make_panel(media: Media, streams: str) -> Panel:
    """The panel with all of it."""
    panel = Panel(users=[USER])
    for kind in ("live", "vod", "series"):
        panel.category(kind, 1, f"Panel {kind}")
    for number, name in enumerate(LIVE, 1):
        panel.add_live(number, name)
    panel.add_film(11, FILM)
    panel.add_series(21, SERIES, [episode(31, 1, 1, "Pilot")])
    panel.live = {number: _Elsewhere(streams) for number in (1, 2)}
    panel.hls = {number: File(str(media.path("hls/plain"))) for number in (1, 2)}
    panel.movie = {11: media.path("film.mp4")}
    panel.series = {31: media.path("film.mkv")}
    return panel


class PanelProcess(ChildProcess, HttpServer):
    """
    The panel as a process beside the tests.

    :param streams: the URL that its live channels lead to.
    """

    def __init__(self, media: Media, folder: Path, streams: str) -> None:
        command = [sys.executable, "-m", "tests.simulators.panel_process", str(media.folder), streams]
        environment = clean_environment(folder, {"PYTHONPATH": str(Path(tests.__file__).parent.parent)})
        super().__init__(command, folder, environment, leash=True)
        self.port = 0

    def start(self) -> Self:
        """Start it and wait until it listens."""
        super().start()
        self.port = int(self.wait_for_log(r"^(\d+)$")[1])
        wait_for(lambda: self.get("/player_api.php").status == 200, what="an answer from the panel")
        return self

    @property
    def login(self) -> str:
        """Its URL with the account in it."""
        return f"http://{USER.username}:{USER.password}@127.0.0.1:{self.port}"


def main(folder: str, streams: str) -> None:
    """Serve until standard input ends."""
    from twisted.internet.stdio import StandardIO

    site = Site(make_panel(Media(Path(folder)), streams).resource())
    listening = tcp.Port(0, site, interface="127.0.0.1", reactor=reactor)
    listening.startListening()
    StandardIO(_Leash(listening.socket.getsockname()[1]))
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
