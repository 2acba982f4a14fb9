"""What happens in the daemon, as a page and a webhook hear of it while it happens."""

from __future__ import annotations

import hmac
import http.client
import json
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self

import pytest

from tests.daemon.client import TIMEOUT, HttpServer, wait_for
from tests.daemon.playing import Playing, playing
from tests.daemon.recording import Recorder
from tests.daemon.test_switching import playlist
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

#: Bytes of the film after which the first source fails: some two seconds.
FAILS = 150_000
SECRET = "s3cret"
WEBHOOK = f"""
[[webhook]]
name = "home"
url = "http://localhost:%d/hook?key=canary"
events = ["failover_triggered", "client_disconnected"]
secret = "{SECRET}"
nearby = true
[[webhook]]
name = "unasked"
url = "http://localhost:%d/nearby"
"""


class Listener:
    """
    A page that listens.

    :ivar events: what it was told: types, numbers and what belongs to them.
    :ivar ending: how it ended: ``whole``, or the error.
    """

    def __init__(self, server: HttpServer, path: str, headers: Mapping[str, str] | None = None) -> None:
        self.events: list[tuple[str, int, dict[str, Any]]] = []
        self.ending = ""
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=2 * TIMEOUT)
        self._connection.request("GET", path, headers=dict(headers or {}))
        self._response = self._connection.getresponse()
        self.status = self._response.status
        self.type = self._response.getheader("Content-Type")
        # The first comment: from here on it hears everything.
        while self._response.readline() != b":\n":
            pass
        self._thread = Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        kind, number = "", -1
        try:
            while line := self._response.readline():
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "event":
                    kind = value
                elif name == "id":
                    number = int(value)
                elif name == "data":
                    self.events.append((kind, number, json.loads(value)))
            self.ending = "whole"
        except (OSError, ValueError, AttributeError, http.client.HTTPException) as error:
            self.ending = repr(error)

    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in list(self.events)]

    def wait_for(self, kind: str, count: int = 1, **facts: object) -> dict[str, Any]:
        """Wait until it was told something so often, with these facts; gives the last of them."""

        def look() -> dict[str, Any] | None:
            found = [
                told for each, _, told in list(self.events) if each == kind and facts.items() <= told["data"].items()
            ]
            return found[count - 1] if len(found) >= count else None

        return wait_for(look, 30, f"{kind} among {self.kinds()}")

    def wait_for_end(self) -> str:
        self._thread.join(TIMEOUT)
        return self.ending

    def close(self) -> None:
        if self._thread.is_alive() and self._connection.sock is not None:
            self._connection.sock.shutdown(2)
        self._thread.join(TIMEOUT)
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Receiver(ThreadingHTTPServer):
    """
    Takes what webhooks post.

    :ivar given: each request: its path, its headers and its body.
    """

    def __init__(self) -> None:
        self.given: list[tuple[str, Mapping[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), Taking)
        self._thread = Thread(target=self.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self._thread.join(TIMEOUT)
        self.server_close()


class Taking(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.given.append((self.path, dict(self.headers), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.close()


@pytest.fixture(scope="module")
def listening(
    shared_origin: OriginProcess, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Playing]:
    """A daemon with a channel that has two sources, of which the first fails, and two webhooks."""
    folder: Path = tmp_path_factory.mktemp("live")
    shared_origin.reset()
    (folder / "first.m3u").write_text(playlist({"One": shared_origin.at("/live/one.ts", die_after=FAILS)}))
    (folder / "second.m3u").write_text(playlist({"One": shared_origin.at("/live/other.ts")}))
    text = "merge_by_tvg_id = true\nlinger = 0.1\n"
    for name in ("first", "second"):
        text += f'[[provider]]\nkind = "m3u"\nname = "{name}"\nurl = "{folder / name}.m3u"\n'
    port = receiver.server_address[1]
    with playing(folder, toml=text + WEBHOOK % (port, port), expected=1) as daemon:
        yield daemon


def test_a_life(listening: Playing, receiver: Receiver) -> None:
    """A viewer comes, its source fails, the viewer leaves: a page hears of each, in order, and the webhook as well."""
    with Listener(listening, "/api/live") as page, Listener(listening, "/api/live?types=failover_triggered") as few:
        assert (page.status, page.type) == (200, "text/event-stream")
        with Recorder(listening, listening.path_of("One")) as viewer:
            viewer.wait_for_bytes(FAILS)
            switch = page.wait_for("failover_triggered")
            page.wait_for("slots", provider="second", used=1)
        gone = page.wait_for("client_disconnected")
        page.wait_for("slots", provider="second", used=0)
        few.wait_for("failover_triggered")
        assert few.kinds() == ["failover_triggered"]
    kinds = [kind for kind in page.kinds() if kind != "slots"]
    assert kinds == [
        "client_connected",
        "stream_started",
        "failover_triggered",
        "client_disconnected",
        "stream_stopped",
    ]
    numbers = [number for _, number, _ in page.events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    channel = {"id": int(listening.path_of("One").rpartition("/")[2].partition(".")[0]), "name": "One"}
    assert all(told["data"]["channel"] == channel for kind, _, told in page.events if kind != "slots")
    assert (switch["data"]["from"], switch["data"]["to"]) == ("first/0", "second/1")
    assert (gone["data"]["outcome"], gone["stream_id"]) == ("viewer_left", str(channel["id"]))
    assert gone["data"]["bytes_served"] > FAILS

    wait_for(lambda: len(receiver.given) == 2, what="both deliveries")
    for (path, headers, body), told in zip(receiver.given, (switch, gone), strict=True):
        assert path == "/hook?key=canary"
        assert json.loads(body) == told
        assert headers["X-Iptvd-Event"] == told["event_type"]
        assert headers["X-Iptvd-Signature"] == "sha256=" + hmac.digest(SECRET.encode(), body, "sha256").hex()


def test_coming_back(listening: Playing) -> None:
    """A page that comes back hears what it has missed; one that heard something else last is told to begin anew."""
    with Listener(listening, "/api/live") as page, Recorder(listening, listening.path_of("One")) as viewer:
        viewer.wait_for_bytes(1)
        page.wait_for("stream_started")
        _, last, _ = page.events[0]
    with Listener(listening, "/api/live", {"Last-Event-ID": str(last)}) as back:
        back.wait_for("stream_stopped")
        assert back.events[0][1] == last + 1
    with Listener(listening, "/api/live?last_event_id=1") as late:
        wait_for(late.kinds, what="a reset")
        assert late.kinds()[0] == "reset"


def test_what_is_never_told(listening: Playing, shared_origin: OriginProcess, receiver: Receiver) -> None:
    """What is told names no origin; a webhook nearby that was not asked for gets nothing, and its address no log."""
    with Listener(listening, "/api/live?last_event_id=1") as page:
        wait_for(page.kinds, what="an event")
        for _, _, told in page.events:
            assert str(shared_origin.port) not in json.dumps(told)
    assert {path for path, _, _ in receiver.given} == {"/hook?key=canary"}
    text = listening.get("/metrics").text
    assert 'iptvd_webhook_events_total{result="delivered",webhook="home"}' in text
    for shown in (text, listening.log_text(), listening.get("/health/detailed").text):
        assert "canary" not in shown
        assert SECRET not in shown


def test_the_end(listening: Playing) -> None:
    """When the daemon stops, a page is told how the viewers' sessions ended, and its answer is whole."""
    with Listener(listening, "/api/live") as page:
        with Recorder(listening, listening.path_of("One")) as viewer:
            viewer.wait_for_bytes(1)
            listening.terminate()
        assert page.wait_for_end() == "whole"
    assert page.wait_for("client_disconnected")["data"]["outcome"] == "drained"
