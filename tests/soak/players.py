"""
Players that play one channel all the time: ffmpeg decodes it at the pace of showing, and tells how far it is.

How far it is and the time of day go together as long as nothing is missing. When it falls back behind the best it
was before, a viewer would have seen the picture stand still: that is a stall.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock, Thread
from time import monotonic
from typing import IO

from attrs import frozen

from tests.simulators.media import find_ffmpeg

#: Seconds by which a player may fall back: what any player has in its buffer.
STALL = 1.5
#: Seconds of a start that do not count.
START = 6.0
#: Seconds around a switch of source in which a decoder may complain: before it is told of, and until what was in the
#: player's reserve is played.
BEFORE, AFTER = 3.0, 30.0


@frozen
class Complaint:
    """What ffmpeg said, and when."""

    at: float
    words: str


class Progress:
    """
    How far a player is.

    :ivar complaints: warnings and errors.
    :ivar worst: seconds that it fell back at most, and ``worst_at`` when.
    :ivar stalls: when it fell back by more than `STALL`.
    :ivar played: seconds of media so far.
    :ivar begun: when it was started.
    :ivar ended: whether it ended by itself.
    """

    ended = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.complaints: list[Complaint] = []
        self.worst = 0.0
        self.worst_at = 0.0
        self.stalls: list[float] = []
        self.played = 0.0
        self.begun = monotonic()
        self._behind = False
        self._best: float | None = None

    def look(self) -> None:
        """Let time that has passed without any progress count."""

    def undeclared(self, switches: Sequence[float]) -> list[Complaint]:
        """The complaints that no switch explains, by when switches were seen."""
        return [
            each for each in self.complaints if not any(-BEFORE <= each.at - switch <= AFTER for switch in switches)
        ]

    def _see(self, now: float) -> None:
        """Compare how far it is with the time."""
        if not self.played or now - self.begun < START:
            return
        ahead = self.played - now
        self._best = ahead if self._best is None else max(self._best, ahead)
        fallen = self._best - ahead
        if fallen > self.worst:
            self.worst, self.worst_at = fallen, now
        if fallen > STALL and not self._behind:
            self.stalls.append(now)
        self._behind = fallen > STALL


class Player(Progress):
    """One ffmpeg."""

    def __init__(self, name: str, url: str, folder: Path) -> None:
        super().__init__(name)
        self._lock = Lock()
        self._asked_to_end = False
        command = [find_ffmpeg(), "-nostdin", "-hide_banner", "-v", "warning", "-progress", "pipe:1"]
        command += ["-stats_period", "0.5", "-rw_timeout", "30000000", "-re"]
        if url.endswith(".m3u8"):
            command += ["-allowed_extensions", "ALL"]
        command += ["-i", url, "-map", "0:v", "-map", "0:a", "-f", "null", "-"]
        self._process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._threads = [
            Thread(target=self._read, args=(stream, heard))
            for stream, heard in ((self._process.stdout, self._progress), (self._process.stderr, self._complaint))
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, stream: IO[bytes], heard: Callable[[str], None]) -> None:
        for line in stream:
            heard(line.decode(errors="replace").strip())

    def _progress(self, line: str) -> None:
        name, _, value = line.partition("=")
        if name != "out_time_us" or not value.lstrip("-").isdigit():
            return
        with self._lock:
            self.played = int(value) / 1e6
            self._see(monotonic())

    def _complaint(self, line: str) -> None:
        if line:
            self.complaints.append(Complaint(monotonic(), line))

    def look(self) -> None:
        """Let time that has passed without any progress count."""
        with self._lock:
            if self._process.poll() is None:
                self._see(monotonic())

    @property
    def ended(self) -> bool:  # type: ignore[override]
        """Whether it ended by itself."""
        return self._process.poll() is not None and not self._asked_to_end

    def stop(self) -> None:
        """End it."""
        if self._process.poll() is None:
            self.look()
            self._asked_to_end = True
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
