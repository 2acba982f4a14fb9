"""An HLS channel that is watched as a stream and as HLS at once costs its provider what one viewer does."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from attrs import frozen

from tests.daemon.client import wait_for
from tests.daemon.judges import Decoded, decode
from tests.daemon.playing import Own, Playing, playing
from tests.daemon.recording import Recorder, broadcast_of, continuity_faults, timeline, without_ends
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

#: How each channel is kept: plain TS, TS under keys that change, byte ranges of one file.
SETS = ("plain", "aes", "single")
#: One that takes ffmpeg to be a stream.
FRAGMENTS = "fmp4"
#: Seconds of media that the player of HLS wants, of which six are there at once, and that the stream is recorded for.
SECONDS = 14.0
RECORDED = 8.0


@frozen
class Watched:
    """What the viewers of one channel had, and its provider's connections while they did."""

    played: Decoded
    recorded: bytes
    connections: set[float]


@pytest.fixture(scope="module")
def daemon(shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playing]:
    """A daemon with HLS channels, each of a provider that allows one connection."""
    text = "linger = 1\n"
    for name in (*SETS, FRAGMENTS):
        own = Own(name, shared_origin.at(f"/hls-live/{name}/index.m3u8"))
        text += f'[[provider]]\nkind = "channels"\nname = "of-{name}"\nmax_connections = 1\n{own.toml}'
    with playing(tmp_path_factory.mktemp("both-ways"), toml=text, expected=len(SETS) + 1) as running:
        yield running
        # A session that is refused for want of a connection has begun, and has its outcome like any other.
        begun = [value for (name, _), value in running.samples().items() if name == "iptvd_sessions_started_total"]
        assert sum(begun) == running.outcomes().total()
    assert running.children() == []


def connections(daemon: Playing, name: str) -> float:
    """How many of its provider's connections a channel takes."""
    return daemon.samples()["iptvd_connections_used", f"of-{name}"]


def asked_for(origin: OriginProcess, name: str) -> dict[str, int]:
    """How often each thing of a channel was asked of its origin, but for playlists; byte ranges are told apart."""
    stats: Any = origin.get("/stats").json()
    found: dict[str, int] = {}
    for path, each in stats["paths"].items():
        if not path.startswith(f"/hls-live/{name}/") or path.endswith(".m3u8"):
            continue
        for byte_range in each["ranges"]:
            found[f"{path} {byte_range}"] = found.get(f"{path} {byte_range}", 0) + 1
        if not each["ranges"]:
            found[path] = each["total"]
    return found


def watch_both_ways(daemon: Playing, origin: OriginProcess, name: str, first: str) -> Watched:
    """Record a channel as a stream while it is played as HLS."""
    path = daemon.path_of(name)
    with ThreadPoolExecutor(1) as pool:
        if first == "m3u8":
            decoding = pool.submit(decode, daemon.url + path, SECONDS)
            wait_for(lambda: len(asked_for(origin, name)) >= 3, what="segments for the player")
        with Recorder(daemon, path.replace(".m3u8", ".ts")) as viewer:
            assert viewer.status == 200, viewer.data
            if first == "ts":
                wait_for(lambda: len(asked_for(origin, name)) >= 4, what="segments for the stream")
                decoding = pool.submit(decode, daemon.url + path, SECONDS)
            seen = {connections(daemon, name)}

            def long_enough() -> bool:
                seen.add(connections(daemon, name))
                return bool(viewer.arrivals) and viewer.arrivals[-1][0] - viewer.arrivals[0][0] >= RECORDED

            wait_for(long_enough, 3 * RECORDED, "a recording")
            return Watched(decoding.result(), viewer.stop(), seen)


@pytest.mark.parametrize("first", ["ts", "m3u8"])
def test_one_upstream(daemon: Playing, shared_origin: OriginProcess, tmp_path: Path, first: str) -> None:
    """Whoever comes first, both play well, on one connection, and nothing is asked of the origin twice."""
    shared_origin.reset()
    with ThreadPoolExecutor(len(SETS)) as pool:
        found = list(pool.map(lambda name: watch_both_ways(daemon, shared_origin, name, first), SETS))
    for name, watched in zip(SETS, found, strict=True):
        assert (watched.played.corrupt, watched.played.errors) == (0, 0), name
        assert watched.played.pictures > 25 * (SECONDS - 1), name
        seen = timeline(without_ends(watched.recorded))
        assert (seen.corrupt, seen.errors, seen.backwards) == (0, 0, 0), name
        assert seen.picture_seconds >= RECORDED - 1, name
        assert continuity_faults(watched.recorded, tmp_path) == [], name
        assert watched.connections == {1}, name
        counts = asked_for(shared_origin, name)
        assert len(counts) >= RECORDED / 2, name
        assert set(counts.values()) == {1}, counts
    wait_for(lambda: not any(broadcast_of(daemon, name) for name in SETS), 30, "the end of the streams")
    wait_for(lambda: not any(connections(daemon, name) for name in SETS), 30, "the connections back")
    wait_for(lambda: not daemon.active() and not shared_origin.open_requests(), 30, "the end of all requests")


def test_what_ffmpeg_reads(daemon: Playing, shared_origin: OriginProcess) -> None:
    """What ffmpeg reads for a stream takes a connection of its own: where there is one, it is whoever came first's."""
    path = daemon.path_of(FRAGMENTS)
    stream_path = path.replace(".m3u8", ".ts")
    with daemon.open_stream(stream_path) as stream:
        assert (stream.status, len(stream.read(188))) == (200, 188)
        refused = daemon.get(path, {"User-Agent": "Another"})
        assert refused.status == 503
        assert "connections of of-fmp4 are in use" in refused.text
        assert connections(daemon, FRAGMENTS) == 1
    wait_for(lambda: not connections(daemon, FRAGMENTS), 30, "the connection back")
    playlist = daemon.get(path, {"User-Agent": "Another"})
    assert playlist.status == 200
    follow = urljoin(path, next(line for line in playlist.text.splitlines() if line and not line.startswith("#")))
    assert daemon.get(follow, {"User-Agent": "Another"}).status == 200
    refused = daemon.get(stream_path)
    assert refused.status == 503
    assert connections(daemon, FRAGMENTS) == 1
    assert daemon.get(follow, {"User-Agent": "Another"}).status == 200
    wait_for(lambda: not daemon.active() and not connections(daemon, FRAGMENTS), 30, "the end of the session")
    assert daemon.children() == []
