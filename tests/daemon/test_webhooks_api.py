"""Webhooks that a daemon is given while it runs, and what they are told."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from iptvd.activity import Kind
from tests.daemon.client import wait_for
from tests.daemon.managing import call
from tests.daemon.playing import Own, Playing, playing
from tests.daemon.test_live import Receiver
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

SECRET = "s3cret-canary"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.close()


def daemon_with(folder: Path, origin: OriginProcess, toml: str) -> Any:
    origin.reset()
    return playing(folder / "daemon", [Own("One", origin.at("/live/one.ts"))], toml="linger = 0.1\n" + toml)


def told(receiver: Receiver, kind: str) -> list[tuple[dict[str, Any], str]]:
    """What a receiver was told of one kind, each with its signature."""
    found = [(json.loads(body), headers.get("X-Iptvd-Signature", ""), body) for _, headers, body in receiver.given]
    right = {body: "sha256=" + hmac.new(SECRET.encode(), body, "sha256").hexdigest() for _, _, body in found}
    assert all(signature in ("", right[body]) for _, signature, body in found)
    return [(facts, signature) for facts, signature, _ in found if facts["event_type"] == kind]


def watched(daemon: Playing) -> None:
    """Somebody watches a little."""
    with daemon.open_stream(daemon.path_of("One")) as viewer:
        assert viewer.read(50_000)
    daemon.wait_for_active(0)


def test_a_webhooks_life(receiver: Receiver, shared_origin: OriginProcess, tmp_path: Path) -> None:
    """One that is added is told what it wants to know, signed, also after a restart, until it is removed."""
    url = f"http://127.0.0.1:{receiver.server_address[1]}/hook?key=canary"
    place = f"webhook_url={quote(url)}"
    with daemon_with(tmp_path, shared_origin, "allow_nearby_webhooks = true\n") as daemon:
        body = {"url": url, "events": ["client_connected"], "timeout": 5, "retry_attempts": 1, "secret": SECRET}
        assert call(daemon, "POST", "/webhooks", body)["events"] == ["client_connected"]
        watched(daemon)
        wait_for(lambda: len(told(receiver, "client_connected")) == 1, what="the first viewer")
        daemon.restart()
        (shown,) = call(daemon, "GET", "/webhooks")["webhooks"]
        assert (shown["url"], shown["signed"], SECRET in json.dumps(shown)) == (url, True, False)
        wait_for(lambda: list(daemon.channels()) == ["One"], what="the channel")
        watched(daemon)
        wait_for(lambda: len(told(receiver, "client_connected")) == 2, what="the second viewer")
        assert all(signature for _, signature in told(receiver, "client_connected"))
        call(daemon, "POST", f"/webhooks/test?{place}")
        assert told(receiver, "client_connected")[-1][0]["data"]["test"] is True
        call(daemon, "DELETE", f"/webhooks?{place}")
        assert call(daemon, "GET", "/webhooks") == {"webhooks": []}
        watched(daemon)
        assert len(receiver.given) == 3
        # Told of everything, so also of connections that are given back by and by.
        call(daemon, "POST", "/webhooks", {"url": url})
        call(daemon, "POST", f"/webhooks/test?{place}")
        tests = [facts for kind in Kind for facts, _ in told(receiver, kind.value) if facts["data"].get("test")]
        assert len(tests) == 2
        assert "canary" not in daemon.log_text() + daemon.get("/metrics").text


def test_nearby(receiver: Receiver, shared_origin: OriginProcess, tmp_path: Path) -> None:
    """Without the operator's word a webhook that leads to this machine is refused, and nothing is sent there."""
    port = receiver.server_address[1]
    with daemon_with(tmp_path, shared_origin, "") as daemon:
        numbers = ("2130706433", "0x7f.1", "127.1")
        for host in ("127.0.0.1", "localhost", "[::1]", "169.254.169.254", "[::ffff:127.0.0.1]", *numbers):
            call(daemon, "POST", "/webhooks", {"url": f"http://{host}:{port}/"}, 422)
        assert call(daemon, "GET", "/webhooks") == {"webhooks": []}
        # One that was allowed before is not connected to.
        settings = daemon.settings.read_text()
        daemon.settings.write_text("allow_nearby_webhooks = true\n" + settings)
        daemon.restart()
        url = f"http://127.1:{port}/"
        call(daemon, "POST", "/webhooks", {"url": url, "retry_attempts": 0})
        daemon.settings.write_text(settings)
        daemon.restart()
        call(daemon, "POST", f"/webhooks/test?webhook_url={quote(url)}", None, 502)
        assert receiver.given == []
