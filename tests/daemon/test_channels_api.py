"""Channels of one's own and overrides, pushed to a daemon that serves meanwhile, and seen from outside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.client import wait_for
from tests.daemon.managing import call
from tests.daemon.playing import Own, Playing, playing, watch
from tests.simulators.media import Media, find_ffmpeg
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon


@pytest.fixture(scope="module")
def running(shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playing]:
    """A daemon with two channels of the settings file."""
    channels = [Own("One", shared_origin.at("/live/one.ts")), Own("Two", shared_origin.at("/live/two.ts"))]
    with playing(tmp_path_factory.mktemp("channels"), channels, toml="linger = 0.1\n") as found:
        yield found


@pytest.fixture
def daemon(running: Playing, shared_origin: OriginProcess) -> Iterator[Playing]:
    """The same, without anything of an earlier test."""
    shared_origin.reset()
    yield running
    for channel in call(running, "GET", "/api/channels?hidden=true")["channels"]:
        call(running, "DELETE", f"/api/channels/{channel.get('channel_id', channel['id'])}", None, 204)
    running.wait_for_active(0)


def pushed(origin: OriginProcess, **fields: Any) -> dict[str, Any]:
    """A channel as a panel pushes it."""
    url = origin.at("/live/own.ts")
    return {"channel_id": "own-1", "name": "Own", "source_url": url, "category": "Mine", "theirs": 1, **fields}


def test_an_own_channel(daemon: Playing, shared_origin: OriginProcess) -> None:
    """A pushed channel is in the playlist and plays when the push is answered, and is gone when its removal is."""
    body = pushed(shared_origin, failover_urls=[shared_origin.at("/live/other.ts")])
    added = call(daemon, "POST", "/api/channels", body, 201)
    assert {name: added[name] for name in body} == body
    assert list(daemon.channels()) == ["One", "Two", "Own"]
    assert 'group-title="Mine"' in daemon.get("/playlist.m3u8").text
    watch(daemon.url_of("Own")).assert_plays()
    call(daemon, "POST", "/api/channels", body, 409)
    call(daemon, "PUT", "/api/channels/own-1", {"name": "Renamed"})
    assert list(daemon.channels()) == ["One", "Two", "Renamed"]
    with daemon.open_stream(daemon.path_of("Renamed")) as viewer:
        assert viewer.read(10_000)
        before = daemon.outcomes()
        call(daemon, "DELETE", "/api/channels/own-1", None, 204)
        assert daemon.outcome_of(before) == "ended_by_operator"
    assert list(daemon.channels()) == ["One", "Two"]
    daemon.assert_balanced()


def test_what_survives(daemon: Playing, shared_origin: OriginProcess) -> None:
    """Own channels and overrides are there after a restart, under the same ids."""
    added = call(daemon, "POST", "/api/channels", pushed(shared_origin), 201)
    one = next(each for each in call(daemon, "GET", "/api/channels")["channels"] if each["name"] == "One")
    changed = call(daemon, "PUT", f"/api/channels/{one['id']}", {"name": "First", "number": 40, "group": "Best"})
    assert (changed["name"], changed["number"], changed["group"]) == ("First", 40, "Best")
    assert list(daemon.channels()) == ["First", "Two", "Own"]
    daemon.restart()
    wait_for(lambda: list(daemon.channels()) == ["First", "Two", "Own"], what="the channels as they were")
    assert call(daemon, "GET", "/api/channels/own-1") == added
    assert call(daemon, "GET", f"/api/channels/{one['id']}") == changed
    call(daemon, "DELETE", f"/api/channels/{one['id']}", None, 204)
    assert list(daemon.channels()) == ["One", "Two", "Own"]


def test_hidden(daemon: Playing) -> None:
    """A channel that is hidden is gone from every face at once, and back when it is shown again."""
    one = next(each for each in call(daemon, "GET", "/api/channels")["channels"] if each["name"] == "One")
    path = daemon.path_of("One")
    call(daemon, "PUT", f"/api/channels/{one['id']}", {"hidden": True})
    assert list(daemon.channels()) == ["Two"]
    assert daemon.get(path).status == 404
    assert [each["GuideName"] for each in call(daemon, "GET", "/lineup.json")] == ["Two"]
    listed = call(daemon, "GET", "/api/channels?hidden=true")["channels"]
    assert [each["name"] for each in listed] == ["Two", "One"]
    call(daemon, "PUT", f"/api/channels/{one['id']}", {"hidden": None})
    assert list(daemon.channels()) == ["One", "Two"]


def test_no_address_is_told(daemon: Playing, shared_origin: OriginProcess) -> None:
    """Neither the log nor what viewers are told names where an own channel comes from."""
    call(daemon, "POST", "/api/channels", pushed(shared_origin, source_url="http://u:canary@127.0.0.1:9/x.ts"), 201)
    call(daemon, "POST", "/api/channels", pushed(shared_origin, channel_id="b", source_url="canary://x"), 422)
    assert daemon.get(daemon.path_of("Own")).status in (502, 504)
    foreign = daemon.get("/api/channels", {"Origin": "http://elsewhere.test"})
    assert foreign.status == 200
    assert "canary" not in foreign.text + daemon.get("/playlist.m3u8").text + daemon.log_text()


def test_on_without_a_viewer(daemon: Playing, shared_origin: OriginProcess) -> None:
    """A channel that is started has its connection before anybody watches, until it is stopped."""
    call(daemon, "POST", "/api/channels", pushed(shared_origin), 201)
    started = call(daemon, "POST", "/api/stream/start", {"channel_id": "own-1"})
    active = call(daemon, "GET", "/api/streams/active")
    assert active["count"] == 1
    assert active["streams"]["own-1"] == {"pid": started["pid"], "started": started["started"]}
    assert shared_origin.counts("/live/own.ts").open == 1
    assert call(daemon, "GET", "/api/stats")["active_streams"] == 1
    watch(daemon.url_of("Own")).assert_plays()
    assert shared_origin.counts("/live/own.ts").total == 1
    call(daemon, "POST", "/api/stream/stop", {"channel_id": "own-1"})
    wait_for(lambda: shared_origin.counts("/live/own.ts").open == 0, what="the end of the connection")
    assert call(daemon, "GET", "/api/streams/active") == {"streams": {}, "count": 0}


def test_the_process_of_a_stream(media: Media, tmp_path: Path) -> None:
    """Where a program makes the stream, it is the one that is told, and it is gone when the channel is off."""
    paced = [find_ffmpeg(), "-nostdin", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(media.path("film.ts"))]
    command = [*paced, "-c", "copy", "-f", "mpegts", "-"]
    channels = [Own("Made", more=f"command = {json.dumps(command)}")]
    with playing(tmp_path / "daemon", channels, toml="linger = 0.1\n") as daemon:
        channel = call(daemon, "GET", "/api/channels")["channels"][0]
        started = call(daemon, "POST", "/api/stream/start", {"channel_id": channel["id"]})
        process = Path(f"/proc/{started['pid']}")
        assert (process / "cmdline").read_bytes().split(b"\0")[0].decode() == command[0]
        call(daemon, "POST", "/api/stream/stop", {"channel_id": channel["id"]})
        wait_for(lambda: not process.exists(), what="the end of ffmpeg")


def test_how_we_are(daemon: Playing) -> None:
    """A panel is told that we are here, and how busy the machine is."""
    assert call(daemon, "GET", "/api/health")["status"] == "ok"
    told = call(daemon, "GET", "/api/stats")
    assert 0 < told["memory_percent"] < 100
    # A large disk may be as good as empty.
    assert 0 <= told["disk_percent"] <= 100
    assert told["active_streams"] == 0
