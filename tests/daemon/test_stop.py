"""SIGTERM: viewers are let finish within the drain time, nothing is left behind, and the service manager is told."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.daemon.client import Stream, wait_for
from tests.daemon.harness import Daemon
from tests.daemon.launch import begin, channels, facts
from tests.simulators.media import Media, find_ffmpeg
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

#: Bytes of the big file that are asked for: more than the buffers on the way hold.
PART = 16 << 20
LIST = "/stop/list.m3u"


def playlist(origin: OriginProcess) -> str:
    """A live channel, an HLS channel, and films that come at once, slowly, and never to their end."""
    entries = {
        "live": origin.at("/live/film.ts", rate=5),
        "hls": origin.at("/hls-live/plain/index.m3u8"),
        "slow film": origin.at("/vod/film.mp4", drip=100_000),
        "endless film": origin.at("/vod/film.mkv", drip=10),
    }
    return "#EXTM3U\n" + "".join(f"#EXTINF:-1,{name}\n{url}\n" for name, url in entries.items())


@pytest.fixture
def viewed(origin: OriginProcess, tmp_path: Path) -> Iterator[Daemon]:
    """A daemon with these channels, that gives its viewers two seconds."""
    origin.control(LIST, body=playlist(origin))
    toml = 'drain_timeout = "2s"\n'
    with Daemon(tmp_path / "daemon", "--provider", f"m3u:{origin.at(LIST)}", toml=toml).start() as daemon:
        daemon.wait_for_json("/health", {"status": "healthy", "channels_count": 4})
        yield daemon
        assert "Traceback" not in daemon.log_text()
        assert daemon.children() == []


def outcomes(daemon: Daemon) -> list[str]:
    """How sessions ended, in their order, by the log."""
    return [line.partition(" ends: ")[2].split()[0] for line in daemon.log_text().splitlines() if " ends: " in line]


def test_nobody_there(viewed: Daemon) -> None:
    """Without viewers the daemon ends at once, by the signal that it got: status 143 to a shell."""
    began = time.monotonic()
    assert viewed.terminate() == -signal.SIGTERM
    assert time.monotonic() - began < 2, "the drain time is for viewers"
    assert "Server Shut Down" in viewed.log_text()


def test_interrupted(viewed: Daemon) -> None:
    """Ctrl-C ends it as cleanly."""
    os.kill(viewed.pid, signal.SIGINT)
    assert wait_for(lambda: viewed.status() is not None)
    assert "Server Shut Down" in viewed.log_text()


def test_viewers(viewed: Daemon, origin: OriginProcess) -> None:
    """What has no end is ended at once as drained, a film that is nearly over is given whole, another is cut."""
    ids = channels(viewed)
    film = viewed.open_stream(f"/stream/{ids['slow film']}")
    live = viewed.open_stream(f"/stream/{ids['live']}")
    assert viewed.get(f"/stream/{ids['hls']}").status == 200
    live.read(50_000)
    got = film.read(50_000)
    wait_for(lambda: len(facts(viewed)["sessions"]) == 3, what="three sessions")
    began = time.monotonic()
    os.kill(viewed.pid, signal.SIGTERM)
    viewed.wait_for_log("ends: drained")
    wait_for(lambda: _refuses(viewed), what="a closed port")
    got += film.read_to_end()
    assert len(got) == int(film.headers["content-length"])
    assert wait_for(lambda: viewed.status()) == -signal.SIGTERM
    assert time.monotonic() - began < 5
    assert sorted(outcomes(viewed)) == ["completed", "drained", "drained"]
    wait_for(lambda: origin.open_requests() == 0, what="the origin's peace")
    film.close()
    live.close()


def _refuses(daemon: Daemon) -> bool:
    try:
        daemon.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def test_the_drain_time_has_an_end(viewed: Daemon) -> None:
    """Who is not done within the drain time is ended, and can tell that it was not all."""
    ids = channels(viewed)
    film = viewed.open_stream(f"/stream/{ids['endless film']}")
    film.read(5)
    assert viewed.terminate() == -signal.SIGTERM
    assert outcomes(viewed) == ["drained"]
    rest = b""
    with suppress(ConnectionResetError):
        rest = film.read_to_end()
    assert 5 + len(rest) < int(film.headers["content-length"])
    film.close()


def test_slow_reader(origin: OriginProcess, tmp_path: Path) -> None:
    """A viewer whose last bytes are still on their way when the origin is done gets them before the daemon ends."""
    film = f'[[provider.channel]]\nname = "big film"\nform = "vod"\nurl = "{origin.at("/vod/big.ts")}"\n'
    with Daemon(tmp_path, toml=f'[[provider]]\nkind = "channels"\n{film}').start() as daemon:
        daemon.wait_for_json("/health", {"channels_count": 1})
        _read_slowly(daemon)
        assert "Traceback" not in daemon.log_text()


def _read_slowly(viewed: Daemon) -> None:
    ids = channels(viewed)
    wanted = {"Range": f"bytes=0-{PART - 1}"}
    film = viewed.open_stream(f"/stream/{ids['big film']}", wanted, rcvbuf=64 * 1024)
    assert film.status == 206
    got = [0]

    def read() -> None:
        while piece := film.read(PART // 64):
            got[0] += len(piece)
            # As slowly as a network would be.
            time.sleep(0.015)

    reading = threading.Thread(target=read)
    reading.start()
    wait_for(lambda: got[0] > PART // 3, what="a third of it")
    os.kill(viewed.pid, signal.SIGTERM)
    reading.join(20)
    assert got[0] == PART
    assert wait_for(lambda: viewed.status()) == -signal.SIGTERM
    assert outcomes(viewed) == ["completed"]
    film.close()


def test_children(media: Media, tmp_path: Path) -> None:
    """Programs that make a stream are ended and reaped with the daemon, those too that do not want to."""
    film, stubborn = str(media.path("film.ts")), "trap '' TERM; while :; do printf '%0188d' 0; sleep 0.05; done"
    play = [find_ffmpeg(), "-v", "error", "-re", "-stream_loop", "-1", "-i", film, "-c", "copy", "-f", "mpegts", "-"]
    commands = {"good": play, "stubborn": ["/bin/sh", "-c", f"cat {film}; {stubborn}"]}
    toml = 'drain_timeout = "1s"\n[[provider]]\nkind = "channels"\nname = "own"\n'
    for name, command in commands.items():
        toml += f'[[provider.channel]]\nname = "{name}"\ncommand = {command}\n'
    with Daemon(tmp_path, toml=toml).start() as daemon:
        daemon.wait_for_json("/health", {"channels_count": 2})
        ids = channels(daemon)
        viewers = [daemon.open_stream(f"/stream/{ids[name]}") for name in commands]
        for viewer in viewers:
            assert len(viewer.read(50_000)) == 50_000
        assert len(daemon.children()) >= 2
        # A viewer who leaves ends its child.
        viewers[0].close()
        wait_for(lambda: not any("ffmpeg" in name for name in _names(daemon)), what="the end of the child")
        assert daemon.terminate() == -signal.SIGTERM
        wait_for(lambda: daemon.children() == [], what="the end of every child")
        viewers[1].close()
        assert "Traceback" not in daemon.log_text()


def _names(daemon: Daemon) -> list[str]:
    names = []
    for pid in daemon.children():
        try:
            names.append(Path(f"/proc/{pid}/comm").read_text().strip())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return names


class ServiceManager:
    """The other end of sd_notify: the socket that a service tells its state to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0)
        self.told: list[str] = []

    def heard(self, *wanted: str) -> bool:
        """Whether messages that begin so have come, in this order, others between them or not."""
        try:
            while True:
                self.told.append(self._socket.recv(4096).decode())
        except BlockingIOError:
            pass
        told = iter(self.told)
        return all(any(message.startswith(want) for message in told) for want in wanted)

    def wait(self, *wanted: str) -> None:
        """Wait for them."""
        wait_for(lambda: self.heard(*wanted), what=f"{wanted} among {self.told}")

    def close(self) -> None:
        """No service any more."""
        self._socket.close()


def test_service_manager(origin: OriginProcess, tmp_path: Path) -> None:
    """The service manager hears of the start once the port is bound, of channels, of reloads and of the end."""
    origin.control(LIST, body=playlist(origin))
    manager = ServiceManager(tmp_path / "notify")
    environment = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "200000"}
    arguments = ("--provider", f"m3u:{origin.at(LIST)}")
    daemon = begin(Daemon(tmp_path / "daemon", *arguments, toml="# nothing\n", environment=environment))
    with daemon:
        manager.wait("READY=1\nSTATUS=0 channels, 0 viewers", "STATUS=4 channels", "WATCHDOG=1", "WATCHDOG=1")
        assert next(message for message in manager.told if message != "WATCHDOG=1").startswith("READY=1")
        assert daemon.get("/ping").status == 200
        viewer: Stream = daemon.open_stream(f"/stream/{channels(daemon)['live']}")
        viewer.read(10_000)
        manager.told.clear()
        daemon.hup()
        manager.wait("RELOADING=1\nMONOTONIC_USEC=", "READY=1\nSTATUS=4 channels, 1 viewers", "WATCHDOG=1")
        manager.told.clear()
        daemon.settings.write_text("port = [")
        daemon.hup()
        daemon.wait_for_log("is not TOML")
        manager.wait("WATCHDOG=1")
        assert not manager.heard("RELOADING=1"), "a reload that did not begin is not told"
        assert daemon.terminate() == -signal.SIGTERM
        manager.wait("STOPPING=1")
        assert not manager.heard("STOPPING=1", "READY=1")
        viewer.close()
    manager.close()
