"""When an origin fails, picture and sound go on from the next source, and players notice nothing of it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from tests.daemon.client import wait_for
from tests.daemon.playing import Playing, playing
from tests.daemon.recording import (
    Recorder,
    Timeline,
    broadcast_of,
    continuity_faults,
    judge_recording,
    stop_all,
    timeline,
    wait_for_all,
    without_ends,
)
from tests.simulators.media import Media
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

#: Bytes of the film after which an origin fails: some four seconds.
FAILS = 300_000
#: Seconds from the beginning to the end of what is recorded.
RECORDED = 19.0
#: How the first source of each channel fails; those that are killed are another process, and one of them, ``crossed``,
#: goes on from a playlist.
FAULTS: Mapping[str, Mapping[str, object]] = {
    "reset": {"reset_after": FAILS},
    "ended": {"die_after": FAILS},
    "stalled": {"stall_after": FAILS},
    "trickling": {"drip": 3600},
}


@frozen
class Recorded:
    """
    What a viewer had of one channel.

    :ivar broadcast: what health told of the channel at the end.
    """

    viewer: Recorder
    data: bytes
    seen: Timeline
    broadcast: Mapping[str, Any]


@frozen
class Scene:
    """
    What came of all channels, whose origins failed while they were watched.

    :ivar outcomes: how sessions had ended by then.
    :ivar mpv: how the player that watched the killed one ended.
    """

    daemon: Playing
    recorded: Mapping[str, Recorded]
    outcomes: Mapping[str, int]
    mpv: int


def playlist(entries: Mapping[str, str]) -> str:
    """An M3U list of channels by their URLs, each with its name as its tvg-id."""
    lines = [f'#EXTINF:-1 tvg-id="{name}.test",{name}\n{url}\n' for name, url in entries.items()]
    return "#EXTM3U\n" + "".join(lines)


@pytest.fixture(scope="module")
def origins(media: Media, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[OriginProcess, OriginProcess]]:
    """Two origins that are going to be killed."""
    with (
        OriginProcess(media, tmp_path_factory.mktemp("primary")) as primary,
        OriginProcess(media, tmp_path_factory.mktemp("backup")) as backup,
    ):
        yield primary, backup


@pytest.fixture(scope="module")
def scene(
    shared_origin: OriginProcess,
    origins: tuple[OriginProcess, OriginProcess],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    """A daemon with two providers of the same channels, and what its viewers had while the first one's failed."""
    shared_origin.reset()
    primary, backup = origins
    folder = tmp_path_factory.mktemp("switching")
    first = {name: shared_origin.at(f"/live/{name}.ts", **knobs) for name, knobs in FAULTS.items()}
    first |= {name: primary.at(f"/live/{name}.ts") for name in ("killed", "dead")}
    first["crossed"] = primary.at("/live/other.ts")
    second = {name: shared_origin.at("/live/other.ts") for name in first} | {"dead": backup.at("/live/other.ts")}
    second["crossed"] = shared_origin.at("/hls-live/plain/index.m3u8")
    first["alone"] = shared_origin.at("/live/alone.ts", die_after=FAILS)
    (folder / "first.m3u").write_text(playlist(first))
    (folder / "second.m3u").write_text(playlist(second))
    text = "merge_by_tvg_id = true\n"
    for name in ("first", "second"):
        text += f'[[provider]]\nkind = "m3u"\nname = "{name}"\nurl = "{folder / name}.m3u"\n'
    with playing(folder, toml=text, expected=len(first)) as daemon:
        paths = daemon.channels()
        began = time.monotonic()
        viewers = {name: Recorder(daemon, paths[name]) for name in first}
        options = ["--no-config", "--ytdl=no", "--vo=null", "--ao=null", "--length=14", "--no-terminal"]
        with subprocess.Popen(["mpv", *options, daemon.url + paths["killed"]], cwd=folder) as mpv:
            wait_for_all([viewers["killed"], viewers["dead"]], FAILS)
            backup.kill()
            primary.kill()
            wait_for(lambda: time.monotonic() - began > RECORDED, RECORDED + 1, "the end of the recording")
            broadcasts = {name: broadcast_of(daemon, name) for name in first}
            viewers["dead"].wait_for_end(30)
            outcomes = dict(daemon.outcomes())
            played = mpv.wait(30)
        for name, data in zip(viewers, stop_all(viewers.values()), strict=True):
            (folder / f"{name}.ts").write_bytes(data)
        with ThreadPoolExecutor(2) as pool:
            seen = list(pool.map(lambda viewer: timeline(without_ends(viewer.data)), viewers.values()))
        recorded = {
            name: Recorded(viewer, viewer.data, decoded, broadcasts[name])
            for (name, viewer), decoded in zip(viewers.items(), seen, strict=True)
        }
        for name, each in recorded.items():
            gap = each.viewer.longest_gap
            print(f"{name}: nothing for {1000 * gap:.0f} ms at most; {each.seen}; {each.broadcast}")  # noqa: T201
        yield Scene(daemon, recorded, outcomes, played)
        daemon.assert_balanced()


@pytest.mark.parametrize("name", ["killed", "crossed", *FAULTS])
def test_goes_on(scene: Scene, name: str, tmp_path: Path) -> None:
    """However its first source fails, a player that chose its streams at the start has picture and sound all along."""
    each, seen = scene.recorded[name], scene.recorded[name].seen
    verdict = judge_recording(each.data, tmp_path)
    assert verdict.good, verdict
    assert continuity_faults(each.data, tmp_path) == []
    assert (seen.corrupt, seen.backwards) == (0, 0)
    # A picture and a piece of sound may have come in part when the first source failed.
    assert seen.errors <= 2
    # From one picture size to the other, and never back.
    sizes = ((320, 180), (160, 90))
    assert seen.sizes == (sizes[::-1] if name == "crossed" else sizes)
    assert seen.picture_seconds > 10
    assert seen.picture_step < 0.2
    # Sound comes in packets of several frames, one of which may be lost in part, and another not be entered in time.
    assert seen.sound_step < 0.4
    assert seen.pictures > 25 * (seen.picture_seconds - 0.3)
    assert seen.samples > 32_000 * (seen.sound_seconds - 0.3)
    assert abs(seen.sound_seconds - seen.picture_seconds) < 1.0
    assert each.viewer.ending == ""


@pytest.mark.parametrize("name", ["killed", "crossed", *FAULTS])
def test_is_seen(scene: Scene, name: str) -> None:
    """Health tells which source a channel has now, and that it was switched."""
    broadcast = scene.recorded[name].broadcast
    assert (broadcast["source"], broadcast["state"], broadcast["switches"]) == ("second/1", "streaming", 1)


def test_alone(scene: Scene, tmp_path: Path) -> None:
    """A channel whose only source ends again and again is connected again each time, and its picture goes on."""
    each, seen = scene.recorded["alone"], scene.recorded["alone"].seen
    verdict = judge_recording(each.data, tmp_path)
    assert verdict.good, verdict
    assert continuity_faults(each.data, tmp_path) == []
    assert (seen.corrupt, seen.backwards) == (0, 0)
    # The last picture before each end may have come in part.
    assert seen.errors <= each.broadcast["switches"]
    assert each.broadcast["switches"] >= 2
    assert seen.picture_seconds > 10
    assert seen.samples > 32_000 * 10
    assert each.viewer.ending == ""


def test_none_left(scene: Scene) -> None:
    """When no source is left, the viewer's session ends as exhausted after some attempts, and the log says why."""
    assert scene.recorded["dead"].viewer.ending == "closed"
    assert scene.outcomes["exhausted"] == 1
    log = scene.daemon.log_text()
    assert "attempts in a minute failed" in log
    assert "127.0.0.1" not in "".join(line for line in log.splitlines() if "is given up" in line)
    path = scene.daemon.path_of("dead")
    answer = scene.daemon.get(path)
    assert answer.status == 502
    assert answer.text.count("\n") == 1


def test_mpv(scene: Scene) -> None:
    """A player that watched while the origin was killed played on to the end it was given."""
    assert scene.mpv == 0
