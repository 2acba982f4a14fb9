"""
The website as a process of its own: ``python -m tests.simulators.website_process MEDIA NOW``.

Like the origin it writes its port on a line and ends when its standard input does.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.error import CannotListenError

from tests.simulators.media import Media
from tests.simulators.running import SimulatorProcess
from tests.simulators.serving import serve
from tests.simulators.website import Seen, Website
from tests.simulators.website_stations import HOSTS, MEDIA, NOWHERE, SITE
from tests.simulators.wire import CountingPort, OriginFactory


class WebsiteProcess(SimulatorProcess):
    """
    The website as a process beside the tests.

    :ivar now: when it is for its schedule, in seconds since the epoch.
    """

    def __init__(self, media: Media, folder: Path) -> None:
        self.now = time.time()
        super().__init__(["tests.simulators.website_process", str(media.folder), str(self.now)], folder)

    def at(self, host: str, path: str = "") -> str:
        """The address of a path at one of its hosts."""
        return f"http://{host}:{self.port}{path}"

    @property
    def nowhere(self) -> str:
        """An address like its own at which nobody listens."""
        return self.at(NOWHERE)

    def set(self, **options: object) -> None:
        """Change some of `tests.simulators.website.Options`."""
        self._post("/site", options)

    def control(self, path: str, **knobs: object) -> None:
        """Set a path's knobs (of `tests.simulators.knobs`), or, without any, take them away; it may end in ``*``."""
        self._post("/control", {path: {name.rstrip("_"): value for name, value in knobs.items()} or None})

    def expire(self) -> None:
        """Let every path that was handed out to players be over."""
        self._post("/expire", None)

    def reset(self) -> None:
        """No options and no knobs any more, nothing seen, and every path that was handed out is over."""
        self._post("/reset", None)

    def _post(self, path: str, value: object) -> None:
        response = self.post_json(path, value)
        if response.status != 200:
            raise KeyError(response.text)

    def seen(self, path: str = "", host: str = "") -> Sequence[Seen]:
        """What was asked for so far, in its order: of paths that start so, and of one host where one is named."""
        rows: Any = self.get("/seen").json()
        found = [Seen(**row) for row in rows]
        return [each for each in found if each.path.startswith(path) and host in ("", each.host)]

    def secrets(self) -> list[str]:
        """What must be found in nothing that a viewer or a log reader gets: its port, and what its hosts are asked."""
        return [f":{self.port}", MEDIA, "/embed.php", "server_lookup", "mono.m3u8", "premium51", "stream-5"]


def reached(website: WebsiteProcess, *bases: str) -> dict[str, str]:
    """
    The environment of a daemon that knows the website.

    :param bases: the addresses that it is given, in their order.
    """
    folder = website.at(MEDIA, "/{server}/{key}/mono.m3u8")
    names = {"PLAYLIST": folder, "PLAYLIST_PATH": folder}
    settings = {f"IPTVD_PROVIDER_DADDYLIVE_{name}": value for name, value in names.items()}
    return {"DADDYLIVE_URI": ",".join(bases), **settings}


def listen(factory: OriginFactory) -> int:
    """Listen on the same port of every host; gives the port."""
    while True:
        first = CountingPort(0, factory, interface=SITE, reactor=reactor)
        first.startListening()
        port = int(first.socket.getsockname()[1])
        try:
            for host in HOSTS[1:]:
                CountingPort(port, factory, interface=host, reactor=reactor).startListening()
        except CannotListenError:
            # Another program has it there: what this one has of it is no use, and closed with the process.
            continue
        return port


def main(folder: str, now: str) -> None:
    """Serve until standard input ends."""
    site = Website(Media(Path(folder)), reactor, float(now))
    site.port = listen(site.factory)
    serve(site.port)


if __name__ == "__main__":
    main(*sys.argv[1:])
