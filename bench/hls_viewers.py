"""
The viewers of an HLS channel, all in a process of their own, each with a connection that it keeps.

Each reloads its playlist once in a target duration and fetches the segment that is new, as players do.
"""

from __future__ import annotations

import heapq
import socket
import time
from typing import Any
from urllib.parse import urljoin

from bench.hearing import SIZE, Watching
from bench.hls_origin import TARGET
from bench.processes import raise_files


class One:
    """One viewer."""

    def __init__(self, number: int, port: int, playlist: str, due: float) -> None:
        self.number = number
        self.due = due
        self.playlist = playlist
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setblocking(False)
        self.asked = ""
        self.at = 0
        self.head = b""
        self.left = -1
        self.seen = ""

    def get(self, url: str) -> None:
        """Ask for something."""
        self.asked, self.at, self.head, self.left = url, time.monotonic_ns(), b"", -1
        self.socket.send(f"GET {url} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())


class Viewers(Watching[One]):
    """All of them."""

    def __init__(self) -> None:
        super().__init__()
        self._due: list[tuple[float, int, One]] = []
        self._count()

    def _count(self) -> None:
        self._bytes = self._requests = self._failed = 0
        self._playlists: list[int] = []

    def run(self) -> None:
        """Watch."""
        while self._turn(max(0.0, self._due[0][0] - time.monotonic()) if self._due else -1):
            while self._due and self._due[0][0] <= time.monotonic():
                one = heapq.heappop(self._due)[2]
                if one.socket.fileno() >= 0:
                    self._ask(one, one.playlist)

    def _told(self, what: dict[str, Any]) -> object:
        if what["do"] == "watch":
            self._count()
            now = time.monotonic()
            for number in range(what["count"]):
                # They do not all begin at one moment.
                one = One(number, what["port"], what["path"], now + TARGET * number / what["count"])
                self._add(one)
                heapq.heappush(self._due, (one.due, number, one))
        elif what["do"] == "leave":
            self._due.clear()
            self._leave()
        elif what["do"] == "anew":
            self._count()
        return {
            "now": time.monotonic_ns(),
            "bytes": self._bytes,
            "requests": self._requests,
            "failed": self._failed,
            "open": len(self._open),
            "playlists": self._playlists if what["do"] == "playlists" else [],
        }

    def _ask(self, one: One, url: str) -> None:
        try:
            one.get(url)
        except OSError:
            self._lost(one)

    def _read(self, one: One) -> None:
        try:
            if one.left < 0:
                self._read_head(one)
                if one.left != 0:
                    return
            elif one.asked.partition("?")[0].endswith(".m3u8"):
                got = one.socket.recv(one.left)
                one.head += got
                one.left -= self._some(got and len(got))
            else:
                one.left -= self._some(one.socket.recv_into(self._buffer, min(SIZE, one.left), socket.MSG_TRUNC))
        except BlockingIOError:
            return
        except (OSError, ValueError):
            self._lost(one)
            return
        if one.left == 0:
            self._have(one)

    def _some(self, count: int | bytes) -> int:
        if not count:
            raise ConnectionError("it closed")
        self._bytes += int(count)
        return int(count)

    def _read_head(self, one: One) -> None:
        got = one.socket.recv(4096)
        if not got:
            raise ConnectionError("it closed")
        one.head += got
        head, end, body = one.head.partition(b"\r\n\r\n")
        if not end:
            return
        if b" 200 " not in head[:15]:
            raise ValueError("it is refused")
        at = head.lower().index(b"content-length:")
        one.left = int(head[at + 15 :].split(b"\r\n", 1)[0]) - len(body)
        one.head = body
        self._bytes += len(body)

    def _have(self, one: One) -> None:
        self._requests += 1
        now = time.monotonic_ns()
        if not one.asked.partition("?")[0].endswith(".m3u8"):
            self._rest(one)
            return
        lines = [line for line in one.head.decode().splitlines() if line and not line.startswith("#")]
        if b"#EXT-X-STREAM-INF" in one.head:
            one.playlist = urljoin(one.asked, lines[0])
            self._ask(one, one.playlist)
            return
        self._playlists.append(now - one.at)
        newest = urljoin(one.asked, lines[-1])
        if newest == one.seen:
            self._rest(one)
        else:
            one.seen = newest
            self._ask(one, newest)

    def _rest(self, one: One) -> None:
        """Until its next beat: answers that came late together do not make the next requests come together."""
        while one.due <= time.monotonic():
            one.due += TARGET
        heapq.heappush(self._due, (one.due, one.number, one))

    def _lost(self, one: One) -> None:
        self._failed += 1
        self._close(one)


if __name__ == "__main__":
    raise_files()
    Viewers().run()
