"""However many watch a channel there is one connection to its origin, and no viewer is any the worse for another."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.daemon.client import wait_for
from tests.daemon.harness import free_port
from tests.daemon.judges import decode
from tests.daemon.playing import Own, Playing, own_channels, playing
from tests.daemon.recording import (
    Recorder,
    assert_begins_well,
    broadcast_of,
    continuity_faults,
    judge_recording,
    stop_all,
    timeline,
    wait_for_all,
    watching,
)
from tests.daemon.test_listen import certificate
from tests.simulators.media import Media, find_ffmpeg
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

#: Bytes of the film in a second, about.
SECOND = 65_000
#: So much that what a viewer does not read soon fills every buffer on its way.
STUFFED = 30
#: Writes the film with 16 bytes after each packet, as where a parity code is kept, in real time.
WITH_PARITY = """
import sys, time
data = open(sys.argv[1], "rb").read()
begun, size = time.monotonic(), len(data) // 188
for number in range(size):
    sys.stdout.buffer.write(data[188 * number : 188 * number + 188] + bytes(16))
    time.sleep(max(0.0, begun + 20.0 * number / size - 1.0 - time.monotonic()) if number % 50 == 0 else 0.0)
"""


@pytest.fixture(scope="module")
def tls_port() -> int:
    """Where TLS is spoken."""
    return free_port()


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The daemon's certificate and key."""
    return certificate(tmp_path_factory.mktemp("tls") / "pem")


@pytest.fixture(scope="module")
def shared(
    media: Media,
    shared_origin: OriginProcess,
    tls_port: int,
    pem: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Playing]:
    """A daemon that soon lets go of viewers who read nothing, and of channels that nobody watches."""
    folder = tmp_path_factory.mktemp("sharing")
    (folder / "parity.py").write_text(WITH_PARITY)
    film = str(media.path("film.ts"))
    m2ts = [find_ffmpeg(), "-nostdin", "-v", "error", "-re", "-i", film, "-c", "copy"]
    m2ts += ["-f", "mpegts", "-mpegts_m2ts_mode", "1", "-"]
    parity = [sys.executable, str(folder / "parity.py"), film]
    channels = [
        Own("One", shared_origin.at("/live/one.ts")),
        Own("Apart", shared_origin.at("/live/apart.ts"), 'sharing = "isolated"'),
        Own("Ruled", shared_origin.at("/live/ruled.ts")),
        Own("Zapped", shared_origin.at("/live/zapped.ts")),
        Own("Stuffed", shared_origin.at("/live/stuffed.ts", mbit=STUFFED)),
        Own("Secure", shared_origin.at("/live/secure.ts")),
        Own("Misaligned", shared_origin.at("/live/misaligned.ts", misaligned=100)),
        Own("192", more=f"command = {m2ts}"),
        Own("204", more=f"command = {parity}"),
        Own("Radio", shared_origin.at("/live/audio.ts")),
        Own("MP3", shared_origin.at("/radio/tones.mp3"), "radio = true"),
    ]
    alone = own_channels([Own("Alone", shared_origin.at("/live/alone.ts"))])
    alone = alone.replace('name = "own"', 'name = "alone"\nsharing = "isolated"')
    alone += '[[rule]]\nmatch = "^Ruled$"\nsharing = "isolated"\n'
    with playing(
        folder,
        channels,
        "--listen",
        f"ssl:{tls_port}:interface=127.0.0.1:privateKey={pem}:certKey={pem}",
        toml="slow_timeout = 2\nlinger = 2\n" + alone,
        expected=len(channels) + 1,
    ) as daemon:
        yield daemon
        daemon.assert_balanced()
    assert daemon.children() == []


def assert_clean(data: bytes, folder: Path) -> None:
    """It is a stream that a player can begin with, in which ffmpeg and tsreport find nothing wrong."""
    assert_begins_well(data)
    verdict = judge_recording(data, folder)
    assert verdict.good, verdict
    assert continuity_faults(data, folder) == []


def media_playlist(daemon: Playing, path: str) -> tuple[str, str]:
    """The path and the text of the media playlist that a channel's own leads to."""
    text = daemon.get(path).text
    inner = urljoin(path, next(line for line in text.splitlines() if line and not line.startswith("#")))
    return inner, daemon.get(inner).text


def test_one_connection(shared: Playing, origin: OriginProcess, tmp_path: Path) -> None:
    """Raw and HLS viewers of a channel share one connection to its origin, and each gets a clean stream at once."""
    path = shared.path_of("One")
    viewers = [Recorder(shared, path)]
    viewers[0].wait_for_bytes(3 * SECOND)
    with ThreadPoolExecutor(4) as pool:
        viewers += pool.map(lambda _: Recorder(shared, path), range(4))
    playlists = [media_playlist(shared, path.replace(".ts", ".m3u8"))[1] for _ in range(2)]
    assert all("#EXTINF" in text for text in playlists)
    wait_for_all(viewers, 2 * SECOND)
    counts = origin.counts("/live/one.ts")
    assert (counts.total, counts.open) == (1, 1)
    broadcast = broadcast_of(shared, "One")
    assert (broadcast["viewers"], broadcast["state"], broadcast["switches"]) == (5, "streaming", 0)
    for number, data in enumerate(stop_all(viewers)):
        assert viewers[number].headers["content-type"] == "video/mp2t"
        folder = tmp_path / f"{number}"
        folder.mkdir()
        assert_clean(data, folder)
        seen = timeline(data)
        assert (seen.corrupt, seen.errors, seen.backwards) == (0, 0, 0)
        assert seen.picture_step < 0.05
    for viewer in viewers[1:]:
        # More than the origin can have sent meanwhile: it was there already.
        assert viewer.received_after(0.5) > SECOND
        print(f"first byte of a warm join after {1000 * viewer.arrivals[0][0]:.1f} ms")  # noqa: T201


def test_zap_back(shared: Playing, origin: OriginProcess) -> None:
    """Who comes back soon finds the connection as it was; when nobody does, it is closed."""
    path = shared.path_of("Zapped")
    for _ in range(3):
        with Recorder(shared, path) as viewer:
            viewer.wait_for_bytes(SECOND // 2)
        wait_for(lambda: not watching(shared, "Zapped"), what="the end of the session")
    assert origin.counts("/live/zapped.ts").total == 1
    wait_for(lambda: not origin.counts("/live/zapped.ts").open, what="the end of the connection")
    assert not broadcast_of(shared, "Zapped")
    with Recorder(shared, path) as viewer:
        assert_begins_well(viewer.wait_for_bytes(SECOND).data)
    assert origin.counts("/live/zapped.ts").total == 2


def test_too_slow(shared: Playing, origin: OriginProcess, tmp_path: Path) -> None:
    """A viewer that stops reading is let go as too slow, and another one of the same channel notices nothing of it."""
    # Those of the tests before have to be gone: it is the next end that is looked at.
    shared.wait_for_json("/health", {"total_active_streams": 0})
    path, before = shared.path_of("Stuffed"), shared.outcomes()
    with Recorder(shared, path) as steady, Recorder(shared, path, rcvbuf=65536) as stuck:
        stuck.wait_for_bytes(SECOND)
        stuck.pause()
        assert shared.outcome_of(before, 30) == "viewer_too_slow"
        stuck.resume()
        assert stuck.wait_for_end() == "reset"
        steady.wait_for_bytes(STUFFED * 125_000)
    assert_clean(steady.data, tmp_path)
    seen = timeline(steady.data)
    assert seen.picture_step < 0.05
    assert seen.pictures > 25 * (seen.picture_seconds - 1)


@pytest.mark.parametrize("name", ["Alone", "Apart", "Ruled"])
def test_isolated(shared: Playing, origin: OriginProcess, name: str) -> None:
    """A provider, an own channel, and what a rule finds have a connection for each viewer when set to isolated."""
    path, source = shared.path_of(name), f"/live/{name.lower()}.ts"
    with Recorder(shared, path) as one, Recorder(shared, path) as other:
        one.wait_for_bytes(SECOND)
        other.wait_for_bytes(SECOND)
        assert origin.counts(source).open == 2
    wait_for(lambda: not origin.counts(source).open, what="the end of both connections")


def test_tls(shared: Playing, origin: OriginProcess, tls_port: int, pem: Path, tmp_path: Path) -> None:
    """Viewers over TLS share the connection too, and get the same clean stream."""
    path = shared.path_of("Secure")
    trusting = ssl.create_default_context(cafile=str(pem))
    plain = Recorder(shared, path).wait_for_bytes(2 * SECOND)
    port, shared.port = shared.port, tls_port
    try:
        secure = [Recorder(shared, path, tls=trusting) for _ in range(2)]
    finally:
        shared.port = port
    wait_for_all(secure, 3 * SECOND)
    assert origin.counts("/live/secure.ts").total == 1
    for data in stop_all([plain, *secure]):
        assert_clean(data, tmp_path)
    assert min(viewer.received_after(0.5) for viewer in secure) > SECOND


def test_other_packets(shared: Playing, origin: OriginProcess, tmp_path: Path) -> None:
    """Origins that begin in the middle of a packet, or whose packets are of 192 or 204 bytes, play like any other."""
    names = ("Misaligned", "192", "204")
    viewers = [Recorder(shared, shared.path_of(name)) for name in names]
    wait_for_all(viewers, 2 * SECOND)
    for viewer, data in zip(viewers, stop_all(viewers), strict=True):
        assert viewer.status == 200, data
        assert_clean(data, tmp_path)
        assert timeline(data).pictures > 25


def test_radio(shared: Playing, origin: OriginProcess, tmp_path: Path) -> None:
    """Radio in MPEG-TS is shared like any channel; bare MP3 cannot be, and has a connection for each listener."""
    path = shared.path_of("Radio")
    with Recorder(shared, path) as first, Recorder(shared, path) as second:
        wait_for_all([first, second], 30_000)
        assert origin.counts("/live/audio.ts").total == 1
    for data in (first.data, second.data):
        verdict = judge_recording(data, tmp_path)
        assert verdict.good, verdict
        assert timeline(data).samples > 2 * 32_000
    path = shared.path_of("MP3")
    for asked in (path, path.replace(".mp3", ".ts")):
        with Recorder(shared, asked) as first, Recorder(shared, asked) as second:
            wait_for_all([first, second], 10_000)
            assert first.headers["content-type"] == second.headers["content-type"] == "audio/mpeg"
            assert origin.counts("/radio/tones.mp3").open == 2
        assert decode(bytes(first.data), 1).samples > 10_000
        wait_for(lambda: not origin.counts("/radio/tones.mp3").open, what="the end of both connections")


def test_off_the_ring(
    media: Media, shared_origin: OriginProcess, origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A viewer that was away for longer than is kept goes on with what is on now, and its player recovers."""
    channels = [Own("Stuffed", origin.at("/live/stuffed.ts", mbit=STUFFED))]
    folder = tmp_path_factory.mktemp("ring")
    with playing(folder, channels, toml="ring_seconds = 4\nslow_timeout = 60\n") as daemon:
        path = daemon.path_of("Stuffed")
        with Recorder(daemon, path) as steady, Recorder(daemon, path, rcvbuf=65536) as away:
            away.wait_for_bytes(STUFFED * 125_000)
            away.pause()
            # What the kernel holds for it, and what is kept, have gone by.
            steady.wait_for_bytes(6 * STUFFED * 125_000)
            away.resume()
            away.wait_for_bytes(3 * STUFFED * 125_000)
            assert daemon.active() == 2
        steady_seen, away_seen = timeline(steady.data), timeline(away.data)
        assert continuity_faults(steady.data, folder) == []
        assert steady_seen.picture_step < 0.05
        # One gap, before which and after which all is there.
        assert away_seen.picture_step > 1.0
        assert away_seen.pictures > 25 * (away_seen.picture_seconds - away_seen.picture_step) - 25
        assert away_seen.samples > 32_000 * (away_seen.sound_seconds - away_seen.sound_step) - 32_000
        assert away_seen.errors <= 2
        # The gap is announced: no counter is wrong, and no packet taken for damaged.
        assert away_seen.corrupt == 0
        assert [fault for fault in continuity_faults(away.data, folder) if "Continuity" in fault] == []
        daemon.wait_for_active(0)
