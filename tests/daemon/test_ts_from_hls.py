"""An HLS channel as one stream: whatever its segments are made of, what comes out is MPEG-TS that flows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from tests.daemon.client import wait_for
from tests.daemon.judges import probe
from tests.daemon.playing import Own, Playing, playing
from tests.daemon.recording import (
    Recorder,
    Timeline,
    assert_begins_well,
    broadcast_of,
    continuity_faults,
    judge_recording,
    stop_all,
    timeline,
    watching,
    without_ends,
)
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

#: How each channel is kept: plain TS, TS under keys that change, byte ranges of one file, fMP4, and picture and sound
#: apart.
SETS = ("plain", "aes", "single", "fmp4", "multi")
#: Seconds that are recorded after the first packets.
RECORDED = 11.0
#: Seconds of media that a player has before it begins to play.
RESERVE = 4.0


@frozen
class Recorded:
    """
    What a viewer had of one channel.

    :ivar seconds: from its first packet to its last.
    """

    viewer: Recorder
    data: bytes
    seconds: float
    seen: Timeline


@pytest.fixture(scope="module")
def daemon(shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playing]:
    """A daemon with HLS channels of every kind."""
    channels = [Own(name, shared_origin.at(f"/hls-live/{name}/index.m3u8")) for name in SETS]
    with playing(tmp_path_factory.mktemp("ts-from-hls"), channels, toml="linger = 1\n") as running:
        yield running
        wait_for(lambda: not running.active(), what="the end of all sessions")
        running.assert_balanced()
    assert running.children() == []


@pytest.fixture(scope="module")
def recorded(daemon: Playing, shared_origin: OriginProcess) -> Mapping[str, Recorded]:
    """All channels, watched as streams at the same time, each by two viewers, of whom the first is recorded."""
    shared_origin.reset()
    paths = {name: path.replace(".m3u8", ".ts") for name, path in daemon.channels().items()}
    with ThreadPoolExecutor(len(SETS)) as pool:
        viewers = dict(zip(SETS, pool.map(lambda name: Recorder(daemon, paths[name]), SETS), strict=True))
    others = {name: Recorder(daemon, paths[name]) for name in SETS}

    def long_enough() -> bool:
        times = [viewer.arrivals for viewer in viewers.values()]
        return all(each and each[-1][0] - each[0][0] >= RECORDED for each in times)

    wait_for(long_enough, 3 * RECORDED, "recordings of every channel")
    for name in SETS:
        assert broadcast_of(daemon, name)["viewers"] == 2
    stop_all(others.values())
    datas = stop_all(viewers.values())
    found = {}
    for (name, viewer), data in zip(viewers.items(), datas, strict=True):
        begun, ended = viewer.arrivals[0][0], viewer.arrivals[-1][0]
        found[name] = Recorded(viewer, data, ended - begun, timeline(without_ends(data)))
        print(  # noqa: T201
            f"{name}: first packet after {begun:.2f} s, nothing for {1000 * viewer.longest_gap:.0f} ms at most, "
            f"{ended - begun:.1f} s; {found[name].seen}"
        )
    return found


@pytest.mark.parametrize("name", SETS)
def test_plays(recorded: Mapping[str, Recorded], name: str, tmp_path: Path) -> None:
    """A player gets picture and sound from the first packet on, with nothing missing where segments meet."""
    each, seen = recorded[name], recorded[name].seen
    assert each.viewer.headers["content-type"] == "video/mp2t"
    assert_begins_well(each.data)
    probed = probe(each.data)
    assert (probed.container, probed.codecs, probed.size) == ("mpegts", ("h264", "aac"), (320, 180))
    verdict = judge_recording(each.data, tmp_path)
    # Two times of sound may be the same where ffmpeg began to join it to a picture from elsewhere.
    assert verdict.good or (name == "multi" and not verdict.status), verdict
    assert continuity_faults(each.data, tmp_path) == []
    assert (seen.corrupt, seen.errors, seen.backwards) == (0, 0, 0)
    assert seen.picture_step < 0.1
    assert seen.sound_step < 0.1
    assert seen.pictures > 25 * (seen.picture_seconds - 0.2)
    assert seen.samples > 32_000 * (seen.sound_seconds - 0.2)


@pytest.mark.parametrize("name", SETS)
def test_flows(recorded: Mapping[str, Recorded], name: str) -> None:
    """A player that has two segments in reserve never runs dry, and is not flooded either."""
    each = recorded[name]
    begun = each.viewer.arrivals[0][0]
    rate = len(each.data) / each.seen.picture_seconds
    for when, count in each.viewer.arrivals:
        played = when - begun - RESERVE
        assert count >= played * rate, f"{when:.1f} s after the request there is too little"
    assert each.seen.picture_seconds < each.seconds + 8


def test_shared(recorded: Mapping[str, Recorded], shared_origin: OriginProcess, daemon: Playing) -> None:
    """Two viewers make the origin send each segment once, and it is left alone when both are gone."""
    stats: Any = shared_origin.get("/stats").json()
    counts = [each["total"] for path, each in stats["paths"].items() if path.startswith("/hls-live/plain/s")]
    assert sum(counts) >= RECORDED / 2
    assert max(counts) == 1
    wait_for(lambda: not any(watching(daemon, name) or broadcast_of(daemon, name) for name in SETS), what="the end")
    wait_for(lambda: daemon.children() == [], what="the end of every ffmpeg")
    assert shared_origin.open_requests() == 0
