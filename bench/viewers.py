"""
The viewers, all in a process of their own: they read as fast as the bytes come and look at none of them.

After the head, a read tells the kernel to throw the bytes away (tcp(7), MSG_TRUNC), unless the times in them are
wanted.
What to do comes as lines of JSON on standard input.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import Any

from bench.hearing import SIZE, Watching
from bench.origin import STAMP
from bench.processes import raise_files

#: Connections begun in one turn.
TURN = 50


class One:
    """One viewer."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.head = b""
        self.tail = b""
        self.started = False


class Viewers(Watching[One]):
    """All of them."""

    def __init__(self) -> None:
        super().__init__()
        self._nap = 0.0
        self._stamps = False
        self._targets: list[str] = []
        self._port = 0
        self.reset()

    def reset(self) -> None:
        """Begin to count anew."""
        self._bytes = 0
        self._started = 0
        self._ended = 0
        self._refused = 0
        self._last = 0
        self._gap = 0
        self._latencies: list[int] = []

    def run(self) -> None:
        """Read."""
        while self._turn(0 if self._targets else -1):
            if self._nap and self._open:
                time.sleep(self._nap)
            if self._targets:
                self._connect()

    def _told(self, what: dict[str, Any]) -> object:
        if what["do"] == "watch":
            self.reset()
            self._nap, self._stamps = what.get("nap", 0.0), what.get("stamps", False)
            self._port, self._targets = what["port"], list(what["paths"])
        elif what["do"] == "leave":
            self._targets = []
            self._leave()
        elif what["do"] == "anew":
            self._latencies.clear()
            self._gap = 0
        return {
            "now": time.monotonic_ns(),
            "bytes": self._bytes,
            "open": len(self._open),
            "started": self._started,
            "ended": self._ended,
            "refused": self._refused,
            "gap": self._gap,
            "latencies": self._latencies if what["do"] == "latencies" else [],
        }

    def _connect(self) -> None:
        for path in self._targets[:TURN]:
            connection = socket.create_connection(("127.0.0.1", self._port), 10)
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n\r\n".encode())
            connection.setblocking(False)
            self._add(One(connection))
        del self._targets[:TURN]

    def _read(self, one: One) -> None:
        try:
            if not one.started:
                self._begin(one)
                return
            if self._stamps:
                got = one.socket.recv_into(self._buffer, SIZE)
                self._look(one, got)
            else:
                got = one.socket.recv_into(self._buffer, SIZE, socket.MSG_TRUNC)
        except BlockingIOError:
            return
        except OSError:
            got = 0
        if not got:
            self._ended += 1
            self._close(one)
            return
        self._bytes += got
        if len(self._open) == 1:
            now = time.monotonic_ns()
            if self._last:
                self._gap = max(self._gap, now - self._last)
            self._last = now

    def _begin(self, one: One) -> None:
        got = one.socket.recv(4096)
        one.head += got
        end = one.head.find(b"\r\n\r\n")
        if not got or (end >= 0 and b" 200 " not in one.head[:15]):
            self._refused += 1
            self._close(one)
            return
        rest = one.head[end + 4 :] if end >= 0 else b""
        if not rest:
            # The head alone is no start: the first byte of the body is.
            return
        one.started, one.head = True, b""
        self._started += 1
        self._bytes += len(rest)

    def _look(self, one: One, got: int) -> None:
        """Look at the times in what was read, and in what was cut in two."""
        now = time.monotonic_ns()
        data = one.tail + bytes(memoryview(self._buffer)[:got])
        at = data.find(STAMP)
        end = 0
        while at >= 0 and at + len(STAMP) + 8 <= len(data):
            end = at + len(STAMP) + 8
            self._latencies.append(now - struct.unpack_from(">Q", data, at + len(STAMP))[0])
            at = data.find(STAMP, end)
        one.tail = data[max(end, len(data) - len(STAMP) - 8) :]


if __name__ == "__main__":
    raise_files()
    Viewers().run()
