"""Chromium with a page of players in it, which comes from another origin than the channels that they play."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self

from attrs import frozen
from playwright.sync_api import Browser, Page, Request, Response, sync_playwright

_FOLDER = Path(__file__).parent
_FILES = {
    "/page.html": (_FOLDER / "page.html", "text/html"),
    "/page.js": (_FOLDER / "page.js", "text/javascript"),
    "/hls.js": (_FOLDER / "node_modules/hls.js/dist/hls.min.js", "text/javascript"),
}
#: Sound and picture begin without a click, and no host but this one can be reached, by name or through a proxy.
_FLAGS = (
    "--autoplay-policy=no-user-gesture-required",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def find_chromium() -> str:
    """The program; empty where it is not installed."""
    return shutil.which("chromium") or ""


def missing() -> str:
    """What is to be installed before there can be a browser, as a sentence; empty when all of it is there."""
    if not find_chromium():
        return "chromium is missing: on Debian run `apt install chromium` as root"
    if not _FILES["/hls.js"][0].exists():
        return "hls.js is missing: `make unit` fetches it where npm is installed, on Debian by `apt install npm`"
    return ""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium without a window; playwright brings none and fetches none."""
    # Its sandbox, which playwright leaves off, cannot be had as root nor in most containers; it sees our pages alone.
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=find_chromium(), args=_FLAGS) as browser,
    ):
        yield browser


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path, kind = _FILES.get(self.path, (None, ""))
        if path is None:
            self.send_error(404)
            return
        data = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def pages() -> Iterator[str]:
    """A web site with our page; gives its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/page.html"
        finally:
            server.shutdown()
            thread.join()


@frozen
class Seen:
    """
    What is to be seen of a player.

    :ivar through: the scheme of what the element plays: ``blob`` when it is fed by hls.js.
    :ivar played: seconds of media since its first picture or sound.
    :ivar started: milliseconds from the request to the first picture or sound, None before that.
    :ivar waits: how often it had nothing to play since then; ``seeks``, how often it jumped.
    :ivar errors: what hls.js complained about, fatal or not, since then.
    :ivar size: width and height of the picture.
    :ivar pictures: how many were decoded; ``sound``, bytes of it that were.
    :ivar ahead: seconds that are there to be played.
    """

    through: str
    played: float
    started: float | None
    waits: int
    seeks: int
    errors: tuple[str, ...]
    size: tuple[int, int]
    pictures: int
    sound: int
    ahead: float

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """From what the page tells."""
        return cls(**{**values, "errors": tuple(values["errors"]), "size": tuple(values["size"])})


class Theatre:
    """
    A page with players.

    :ivar complaints: errors in the browser's console, and requests that failed without being given up by the player.
    """

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda message: self._told(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)
        page.goto(address)

    def _told(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"{request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.url}: {response.status}")

    def play(self, name: str, url: str) -> None:
        """Add a player."""
        self.page.evaluate("([name, url]) => play(name, url)", [name, url])

    def seen(self) -> dict[str, Seen]:
        """What is to be seen of each player now."""
        values: Mapping[str, Mapping[str, Any]] = self.page.evaluate("seen()")
        return {name: Seen.read(each) for name, each in values.items()}

    def close(self) -> None:
        """Turn all players off."""
        self.page.evaluate("closeAll()")

    def ask(self, url: str, headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """What a script of the page can read of an answer: ``status``, ``length`` (as told) and ``size`` (as come)."""
        answer: Mapping[str, Any] = self.page.evaluate(
            "([url, headers]) => ask(url, headers)", [url, dict(headers or {})]
        )
        return answer
