"""A player of raw TS that cannot be served sees why, where that is set, and has an error where it is not."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from iptvd.delivery.clips import Card, file_name
from tests.daemon.client import Response, wait_for
from tests.daemon.launch import providers
from tests.daemon.playing import Own, Playing, own_channels, playing, watch_all
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

#: The sentence of a provider that is full.
FULL = "All 1 connections of own are in use.\n"


def channels_of(origin: OriginProcess) -> str:
    """A provider that allows one connection, and one with a channel that its origin does not have."""
    one = own_channels([Own(name, origin.at(f"/live/clips-{name}.ts")) for name in ("One", "Two")])
    gone = own_channels([Own("Gone", origin.at("/live/clips-gone.ts"))]).replace('"own"', '"gone"')
    return one.replace('name = "own"', 'name = "own"\nmax_connections = 1') + gone


@pytest.fixture(scope="module")
def clips(shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playing]:
    """A daemon that shows clips."""
    toml = "refusal_clips = true\n" + channels_of(shared_origin)
    with playing(tmp_path_factory.mktemp("clips"), toml=toml, expected=3) as daemon:
        yield daemon


def assert_full(answer: Response) -> None:
    """A refusal that says why and when to come again."""
    assert (answer.status, answer.text) == (503, FULL)
    assert int(answer.headers["retry-after"]) > 0


def test_clips(clips: Playing, origin: OriginProcess) -> None:
    """On a provider that is full, and for a channel that its origin does not have, players decode a clip."""
    origin.control("/live/clips-gone.ts", status=404)
    paths, before = clips.channels(), clips.outcomes()
    with clips.open_stream(paths["One"], {"User-Agent": "One"}) as one:
        assert one.read(188)
        seen = watch_all({name: clips.url_of(name) for name in ("Two", "Gone")})
        for watched in seen.values():
            watched.assert_plays(seconds=2.0)
            assert watched.probed.size == (640, 360)
        with clips.open_stream(paths["Two"]) as two, clips.open_stream(paths["Gone"]) as gone:
            for stream in (two, gone):
                assert (stream.status, stream.headers["content-type"]) == (200, "video/mp2t")
                assert stream.read(10_000)
            assert clips.active() == 1
            used = {name: each["connections"]["used"] for name, each in providers(clips).items()}
            assert used == {"own": 1, "gone": 0}
        # Two players looked at each, and each looked twice.
        assert clips.outcomes() - before == Counter(refused=3, exhausted=3)
        assert one.read(10_000)
    assert not origin.counts("/live/clips-Two.ts").total
    assert {path.name for path in (clips.state / "clips").iterdir()} == {file_name(card, True) for card in Card}
    wait_for(lambda: not clips.active(), what="the end of all sessions")


def test_others(clips: Playing, origin: OriginProcess) -> None:
    """Players of HLS get an error as ever; to HEAD the answer is that of the channel."""
    paths = clips.channels()
    with clips.open_stream(paths["One"], {"User-Agent": "One"}) as one:
        assert one.read(188)
        assert_full(clips.get(paths["Two"].replace(".ts", ".m3u8")))
        answer = clips.head(paths["Two"])
        assert (answer.status, answer.headers["content-type"]) == (200, "video/mp2t")


def test_without(origin: OriginProcess, tmp_path: Path) -> None:
    """Without the setting, or without an ffmpeg that works, a refusal is an error, and the log says what is wrong."""
    for name, toml in (("plain", ""), ("broken", 'refusal_clips = true\nffmpeg = "/bin/false"\n')):
        with playing(tmp_path / name, toml=toml + channels_of(origin), expected=3) as daemon:
            paths = daemon.channels()
            with daemon.open_stream(paths["One"], {"User-Agent": "One"}) as one:
                assert one.read(188)
                assert_full(daemon.get(paths["Two"]))
            warned = "clips cannot be made, so viewers get an error instead: exit status 1" in daemon.log_text()
            assert warned is bool(toml)
            assert (daemon.state / "clips").exists() is bool(toml)


def test_stopping(origin: OriginProcess, tmp_path: Path) -> None:
    """A daemon that stops does not wait for those who are shown a clip."""
    with playing(tmp_path, toml="refusal_clips = true\n" + channels_of(origin), expected=3) as daemon:
        paths = daemon.channels()
        with daemon.open_stream(paths["One"], {"User-Agent": "One"}) as one, daemon.open_stream(paths["Two"]) as two:
            assert one.read(188)
            assert two.read(188)
            assert daemon.terminate() == -signal.SIGTERM
        assert daemon.children() == []
