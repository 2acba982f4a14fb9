"""Viewers that keep what they get and when they got it, and judges of what they kept."""

from __future__ import annotations

import re
import ssl
import subprocess
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

import av
from attrs import frozen

from tests.daemon.client import PATIENCE, HttpServer, wait_for
from tests.daemon.judges import Verdict, judge
from tests.daemon.launch import facts

PACKET = 188
PAT_PID = 0
#: Pictures by which the order of coding and that of showing may differ.
REORDERED = 4
#: Seconds between two looks at whether the recording is to stop.
_LOOK = 0.2


class Recorder:
    """
    A viewer of a live stream, from its request on until it is stopped or the connection ends.

    :param tls: trusts the server's certificate, where it speaks TLS.
    :ivar arrivals: when each piece came, in seconds after the request, and how many bytes there were by then.
    :ivar ending: ``closed`` or ``reset`` when the other side ended it, empty while it goes on or when we did.
    """

    def __init__(
        self,
        server: HttpServer,
        path: str,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        rcvbuf: int | None = None,
    ) -> None:
        self.arrivals: list[tuple[float, int]] = []
        self.ending = ""
        self._kept = bytearray()
        self._stopped, self._paused = Event(), Event()
        self._asked = time.monotonic()
        connection = server.connect(rcvbuf)
        self._socket = connection if tls is None else tls.wrap_socket(connection, server_hostname="localhost")
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{server.port}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        received = b""
        while b"\r\n\r\n" not in received:
            piece = self._socket.recv(65536)
            if not piece:
                raise AssertionError(f"hung up in the head: {received!r}")
            received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        self.status = int(head.split(b" ", 2)[1])
        self.headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head.decode().split("\r\n")[1:])
        }
        self._keep(body)
        self._socket.settimeout(_LOOK)
        self._thread = Thread(target=self._read)
        self._thread.start()

    def _keep(self, data: bytes) -> None:
        if data:
            self._kept += data
            self.arrivals.append((time.monotonic() - self._asked, len(self._kept)))

    def _read(self) -> None:
        while not self._stopped.is_set():
            if self._paused.is_set():
                self._stopped.wait(_LOOK)
                continue
            try:
                piece = self._socket.recv(65536)
            except (TimeoutError, ssl.SSLWantReadError):
                continue
            except OSError:
                self.ending = "reset"
                return
            if not piece:
                self.ending = "closed"
                return
            self._keep(piece)

    @property
    def data(self) -> bytes:
        """What came so far, whole packets."""
        return bytes(self._kept[: len(self._kept) // PACKET * PACKET])

    @property
    def longest_gap(self) -> float:
        """Seconds of the longest time between two arrivals."""
        times = [when for when, _ in self.arrivals]
        return max((after - before for before, after in pairwise(times)), default=0.0)

    def received_after(self, seconds: float) -> int:
        """Bytes that came until so many seconds after the request."""
        return max((count for when, count in self.arrivals if when <= seconds), default=0)

    def pause(self) -> None:
        """Read nothing."""
        self._paused.set()

    def resume(self) -> None:
        """Read again."""
        self._paused.clear()

    def wait_for_bytes(self, count: int, timeout: float = PATIENCE) -> Self:
        """Wait until there are so many more bytes than now."""
        wanted = len(self._kept) + count
        wait_for(lambda: len(self._kept) >= wanted or self.ending, timeout, f"{count} bytes more")
        assert not self.ending, f"{self.ending} {wanted - len(self._kept)} bytes too early"
        return self

    def wait_for_end(self, timeout: float = PATIENCE) -> str:
        """Wait until the other side ends it."""
        return wait_for(lambda: self.ending, timeout, "the end of the stream")

    def stop(self) -> bytes:
        """Hang up; gives what came."""
        self._stopped.set()
        self._thread.join()
        self._socket.close()
        return self.data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def wait_for_all(recorders: Iterable[Recorder], count: int, timeout: float = PATIENCE) -> None:
    """Wait until each of them has got so many more bytes than now."""
    recorders = list(recorders)
    with ThreadPoolExecutor(len(recorders)) as pool:
        list(pool.map(lambda recorder: recorder.wait_for_bytes(count, timeout), recorders))


def stop_all(recorders: Iterable[Recorder]) -> list[bytes]:
    """Hang up all of them; gives what came."""
    return [recorder.stop() for recorder in recorders]


@frozen
class Timeline:
    """
    What PyAV decodes of a recording with the streams that it found at its start.

    :ivar pictures: how many.
    :ivar samples: samples of sound, of one channel.
    :ivar corrupt: packets that the demuxer found damaged.
    :ivar errors: packets that a decoder could make nothing of.
    :ivar picture_seconds: from the first picture to the last, by their times.
    :ivar sound_seconds: the same of sound.
    :ivar picture_step: seconds of the longest way from one picture to the next; `sound_step` of one piece of sound.
    :ivar backwards: pictures whose time is not after that of the one before.
    :ivar sizes: of the pictures, in the order in which they came.
    """

    pictures: int
    samples: int
    corrupt: int
    errors: int
    picture_seconds: float
    sound_seconds: float
    picture_step: float
    sound_step: float
    backwards: int
    sizes: tuple[tuple[int, int], ...]


def timeline(data: bytes) -> Timeline:
    """
    Decode all of a recording.

    :raises av.error.FFmpegError: when FFmpeg makes nothing of it.
    """
    corrupt = errors = samples = 0
    pictures: list[float] = []
    sounds: list[float] = []
    sizes: list[tuple[int, int]] = []
    with av.open(BytesIO(data), "r", format="mpegts") as container:
        for packet in container.demux(container.streams.video + container.streams.audio):
            corrupt += packet.is_corrupt
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                errors += 1
                continue
            for frame in frames:
                if isinstance(frame, av.VideoFrame):
                    pictures.append(frame.time or 0.0)
                    if sizes[-1:] != [(frame.width, frame.height)]:
                        sizes.append((frame.width, frame.height))
                elif isinstance(frame, av.AudioFrame):
                    samples += frame.samples
                    sounds.append(frame.time or 0.0)
    # Of the last ones some may be missing that come after them in the stream.
    picture_steps, sound_steps = _steps(pictures[:-REORDERED]), _steps(sounds)
    return Timeline(
        len(pictures),
        samples,
        corrupt,
        errors,
        sum(picture_steps),
        sum(sound_steps),
        max(picture_steps, default=0.0),
        max(sound_steps, default=0.0),
        sum(step <= 0 for step in picture_steps),
        tuple(sizes),
    )


def _steps(times: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(times)]


def without_ends(data: bytes) -> bytes:
    """The recording without the last PES packet of each PID, which is cut off wherever the recording was."""
    packets = [data[at : at + PACKET] for at in range(0, len(data) - PACKET + 1, PACKET)]
    pids = [(packet[1] & 0x1F) << 8 | packet[2] for packet in packets]
    last = {pid: index for index, (pid, packet) in enumerate(zip(pids, packets, strict=True)) if packet[1] & 0x40}
    return b"".join(
        packet
        for index, (pid, packet) in enumerate(zip(pids, packets, strict=True))
        if index < last.get(pid, len(packets))
    )


def judge_recording(data: bytes, folder: Path) -> Verdict:
    """What ffmpeg, which stops at the first damaged packet, says of a recording."""
    path = folder / "recording.ts"
    path.write_bytes(without_ends(data))
    return judge(str(path), 3600)


def continuity_faults(data: bytes, folder: Path) -> list[str]:
    """What tsreport finds wrong with the continuity counters of a recording's picture and sound."""
    path = folder / "counted.ts"
    path.write_bytes(data)
    # The PID is the one whose counters it writes down; it looks at all of the programme.
    command = ["tsreport", "-cnt", "256", str(path)]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=60)
    return re.findall(r"^.*###.*$", done.stdout.decode(errors="replace"), re.MULTILINE)


def assert_begins_well(data: bytes) -> None:
    """The first packets are PAT, PMT and the start of a key picture, so that a decoder has all it needs at once."""
    assert data[:1] == b"G"
    first, second, third = (data[at : at + PACKET] for at in (0, PACKET, 2 * PACKET))
    assert ((first[1] & 0x1F) << 8) | first[2] == PAT_PID
    # A PAT with one programme: its PMT's PID is in the last four bytes before the checksum.
    section = first[5 + first[4] :]
    pmt = (section[10] & 0x1F) << 8 | section[11]
    assert ((second[1] & 0x1F) << 8) | second[2] == pmt
    assert third[1] & 0x40, "a packet that begins nothing"
    assert third[3] & 0x20, "no adaptation field"
    assert third[5] & 0x40, "no random access indicator"


def watching(server: HttpServer, channel: str) -> int:
    """How many sessions a channel has."""
    return sum(session["channel"] == channel for session in facts(server)["sessions"])


def broadcast_of(server: HttpServer, channel: str) -> dict[str, Any]:
    """What health tells of a channel that is shared, empty when it is not on."""
    found: list[dict[str, Any]] = facts(server)["broadcasts"]
    return next((each for each in found if each["channel"] == channel), {})


def metric(server: HttpServer, name: str) -> float:
    """The sum of one metric over its labels."""
    total = 0.0
    for line in server.get("/metrics").text.splitlines():
        with suppress(ValueError):
            if line.partition("{")[0].partition(" ")[0] == name:
                total += float(line.rpartition(" ")[2])
    return total
