"""A channel that comes as one stream, cut into HLS by us: players play it, and it ends when they are gone."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from urllib.parse import urljoin

import pytest
from attrs import define, field, frozen

from tests.daemon.client import Response, wait_for
from tests.daemon.judges import judge
from tests.daemon.playing import Own, Playing, playing
from tests.daemon.recording import assert_begins_well, broadcast_of, judge_recording, timeline, watching
from tests.daemon.test_switching import playlist
from tests.simulators.media import find_ffmpeg
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

#: Seconds that players play.
PLAYED = 15
#: Bytes after which the first source of the channel that is switched ends.
FAILS = 500_000
_TAG = re.compile(r"^#EXT-X-([A-Z-]+):(.*)$", re.MULTILINE)


@frozen
class Media:
    """A media playlist of ours."""

    path: str
    text: str = field(repr=False)

    @property
    def tags(self) -> dict[str, str]:
        """Its tags' values, of each the first."""
        return dict(reversed(_TAG.findall(self.text)))

    @property
    def segments(self) -> list[str]:
        """The paths of its segments."""
        return [urljoin(self.path, line) for line in self.text.splitlines() if line and not line.startswith("#")]

    @property
    def durations(self) -> list[float]:
        """Seconds of each."""
        return [float(found) for found in re.findall(r"^#EXTINF:([0-9.]+),", self.text, re.MULTILINE)]


@pytest.fixture(scope="module")
def daemon(shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playing]:
    """A daemon with channels that come as TS, one of which has two sources."""
    folder = tmp_path_factory.mktemp("hls-from-ts")
    sources = (shared_origin.at("/live/switched.ts", die_after=FAILS), shared_origin.at("/live/other.ts"))
    text = "merge_by_tvg_id = true\nlinger = 1\n"
    for number, url in enumerate(sources):
        (folder / f"{number}.m3u").write_text(playlist({"Switched": url}))
        text += f'[[provider]]\nkind = "m3u"\nname = "list{number}"\nurl = "{folder / str(number)}.m3u"\n'
    channels = [Own(name, shared_origin.at(f"/live/{name.lower()}.ts")) for name in ("Film", "Kept")]
    channels.append(Own("Radio", shared_origin.at("/live/audio.ts")))
    with playing(folder, channels, toml=text, expected=4) as running:
        yield running
        running.assert_balanced()


def hls_path(daemon: Playing, name: str) -> str:
    """Where a channel is as HLS."""
    return daemon.path_of(name).replace(".ts", ".m3u8")


def opened(daemon: Playing, name: str) -> Media:
    """A new session's media playlist."""
    path = hls_path(daemon, name)
    begun = time.monotonic()
    answer = daemon.get(path)
    print(f"{name}: first playlist after {1000 * (time.monotonic() - begun):.0f} ms")  # noqa: T201
    assert (answer.status, answer.headers["content-type"]) == (200, "application/vnd.apple.mpegurl"), answer
    lines = [line for line in answer.text.splitlines() if line and not line.startswith("#")]
    assert "#EXT-X-STREAM-INF" in answer.text
    return again(daemon, urljoin(path, lines[0]))


def again(daemon: Playing, path: str) -> Media:
    """A media playlist as it is now."""
    answer = daemon.get(path)
    assert answer.status == 200, answer
    assert answer.headers["cache-control"] == "no-store"
    return Media(path, answer.text)


def moved_on(daemon: Playing, media: Media) -> Media:
    """A media playlist as soon as it is another one."""

    def look() -> Media | None:
        now = again(daemon, media.path)
        return now if now.text != media.text else None

    return wait_for(look, what="the playlist to move on")


def mpv(url: str, folder: Path) -> int:
    """How mpv ends that is to play so many seconds."""
    command = ["mpv", "--no-config", "--ytdl=no", "--vo=null", "--ao=null", f"--length={PLAYED}", "--no-terminal", url]
    return subprocess.run(command, cwd=folder, check=False, timeout=4 * PLAYED).returncode


def complaints(url: str) -> str:
    """What ffmpeg has to say while it plays so many seconds in real time and decodes all of it."""
    command = [find_ffmpeg(), "-nostdin", "-v", "warning", "-xerror", "-re", "-i", url, "-map", "0"]
    command += ["-t", str(PLAYED), "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=4 * PLAYED)
    return done.stderr.decode(errors="replace") + (f"status {done.returncode}" if done.returncode else "")


@define
class Followed:
    """
    One channel as a player follows it that keeps all it gets.

    :ivar playlists: each as it was first seen.
    :ivar kept: the answer to each segment's first request, by path, in their order.
    :ivar late: the same of segments that had left the playlist.
    """

    playlists: list[Media]
    kept: dict[str, Response]
    late: dict[str, Response]

    @property
    def media(self) -> bytes:
        """All of it, one after the other."""
        return b"".join(answer.body for answer in self.kept.values())


def follow(daemon: Playing, name: str) -> Followed:
    """Follow a channel for a while."""
    media = opened(daemon, name)
    followed = Followed([media], {}, {})
    end = time.monotonic() + PLAYED
    while time.monotonic() < end:
        if media.text != followed.playlists[-1].text:
            followed.playlists.append(media)
        for path in media.segments:
            if path not in followed.kept:
                followed.kept[path] = daemon.get(path)
        media = moved_on(daemon, media)
    followed.late = {path: daemon.get(path) for path in followed.kept if path not in media.segments}
    return followed


@frozen
class Scene:
    """
    What came of all that was played at the same time.

    :ivar mpv: how each mpv ended, by channel; ``words`` what each ffmpeg said.
    :ivar fetches: how often the origin was asked for each channel.
    """

    mpv: dict[str, int]
    words: dict[str, str]
    followed: dict[str, Followed]
    fetches: dict[str, int]


@pytest.fixture(scope="module")
def scene(daemon: Playing, shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Everything at once: players in real time, and players that keep what they get."""
    shared_origin.reset()
    folder = tmp_path_factory.mktemp("players")
    urls = {name: daemon.url + hls_path(daemon, name) for name in ("Film", "Radio", "Switched")}
    with ThreadPoolExecutor(6) as pool:
        players = {name: pool.submit(mpv, urls[name], folder) for name in ("Film", "Switched")}
        words = {name: pool.submit(complaints, urls[name]) for name in ("Film", "Radio")}
        followed = {name: pool.submit(follow, daemon, name) for name in ("Kept", "Switched")}
        scene = Scene(
            {name: each.result() for name, each in players.items()},
            {name: each.result() for name, each in words.items()},
            {name: each.result() for name, each in followed.items()},
            {name: shared_origin.counts(f"/live/{name}.ts").total for name in ("film", "audio", "kept", "switched")},
        )
    assert broadcast_of(daemon, "Switched")["source"] == "list1/1"
    return scene


def test_plays(scene: Scene) -> None:
    """ffmpeg and mpv play a channel, a radio and a switched channel in real time and without a complaint."""
    assert scene.mpv == {"Film": 0, "Switched": 0}
    assert scene.words == {"Film": "", "Radio": ""}
    assert scene.fetches == dict.fromkeys(scene.fetches, 1)


def test_playlists(scene: Scene) -> None:
    """Playlists say what RFC 8216 wants of a live one, and never take back what they said."""
    for followed in scene.followed.values():
        first, last = followed.playlists[0], followed.playlists[-1]
        target = int(first.tags["TARGETDURATION"])
        names = list(followed.kept)
        assert len(last.segments) >= 6
        for media in followed.playlists:
            assert "#EXT-X-INDEPENDENT-SEGMENTS" in media.text
            assert "#EXT-X-PROGRAM-DATE-TIME" in media.text
            assert "#EXT-X-ENDLIST" not in media.text
            assert int(media.tags["TARGETDURATION"]) == target
            assert max(round(duration) for duration in media.durations) <= target
            place = names.index(media.segments[0])
            assert names[place : place + len(media.segments)] == media.segments
            assert int(media.tags["MEDIA-SEQUENCE"]) == int(first.tags["MEDIA-SEQUENCE"]) + place


def test_segments(scene: Scene, tmp_path: Path) -> None:
    """Segments begin with a key picture and follow without a gap, and can be had after they left the playlist."""
    followed = scene.followed["Kept"]
    for answer in followed.kept.values():
        assert (answer.status, answer.headers["content-type"]) == (200, "video/mp2t")
        assert int(answer.headers["content-length"]) == len(answer.body)
        assert_begins_well(answer.body)
    assert followed.late
    for path, answer in followed.late.items():
        assert (answer.status, answer.body) == (200, followed.kept[path].body)
    verdict = judge_recording(followed.media, tmp_path)
    assert verdict.good, verdict
    seen = timeline(followed.media)
    assert seen.picture_step < 0.05
    told = sum(followed.playlists[0].durations)
    for before, after in pairwise(followed.playlists):
        told += sum(after.durations[-len(set(after.segments) - set(before.segments)) :])
    assert abs(told - seen.pictures / 25) < 0.2


def test_switched(scene: Scene) -> None:
    """Where another source took over, the playlist tells of a discontinuity, and both sides of it can be decoded."""
    followed = scene.followed["Switched"]
    texts = [media for media in followed.playlists if "#EXT-X-DISCONTINUITY\n" in media.text]
    assert texts
    # The first that tells of it: a slow machine may see the source change again later.
    first = texts[0]
    before, _, after = first.text.partition("#EXT-X-DISCONTINUITY\n")
    assert "#EXT-X-DISCONTINUITY\n" not in after
    place = before.count("#EXTINF")
    for path, size in zip(first.segments[place - 1 :], ((320, 180), (160, 90)), strict=False):
        body = followed.kept[path].body
        assert_begins_well(body)
        seen = timeline(body)
        assert seen.sizes == (size,)
        # The last picture of the source that ended, and its last packet of several pieces of sound, came in part.
        assert seen.corrupt <= (8 if size == (320, 180) else 0)
        assert seen.samples
        assert seen.pictures


def test_refused(scene: Scene, daemon: Playing, origin: OriginProcess) -> None:
    """A segment that there never was is a 404, and one of another's session is too."""
    media = opened(daemon, "Film")
    folder = media.path.rpartition("/")[0]
    for path in (f"{folder}/1.ts", f"{folder}/x.ts", media.segments[0].replace(folder, f"{folder}x")):
        assert daemon.get(path).status == 404


def test_ends(scene: Scene, daemon: Playing, origin: OriginProcess) -> None:
    """When no player asks any more the sessions end by themselves, and the connections to the origins with them."""
    assert watching(daemon, "Film")
    verdict = judge(daemon.url + hls_path(daemon, "Radio"), 2)
    assert verdict.good, verdict
    wait_for(lambda: not daemon.active(), 40, "the end of all sessions")
    wait_for(lambda: not origin.open_requests(), what="the end of all connections")
    assert daemon.outcomes().keys() == {"viewer_left"}
