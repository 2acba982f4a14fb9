"""
A storm, in a process of its own: connections that are no players', from an address that is no player's.

What to do comes as lines of JSON on standard input; each line is answered with what has happened since the last.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from bench.processes import raise_files

#: Where it comes from.
SOURCE = "127.0.0.2"
#: Connections that send slowly, and seconds between two of their bytes.
SLOW, PAUSE = 1000, 0.5
#: Heads without an end, and logins, that are begun in a second, at most.
FLOODS, LOGINS = 200, 200
#: Threads of each kind: the answers to some logins take seconds.
_THREADS = {"slow": 1, "flood": 8, "logins": 64}

_HEAD = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n"
_FLOOD = _HEAD + b"".join(b"X%d: yyyyyyyy\r\n" % number for number in range(20_000))


class Storm:
    """All of it."""

    def __init__(self) -> None:
        self._port = 0
        self._going = threading.Event()
        self._threads: list[threading.Thread] = []
        self._counted: Counter[str] = Counter()

    def run(self) -> None:
        """Do what is told."""
        for line in sys.stdin:
            what = json.loads(line)
            if what["do"] == "begin":
                self._begin(what["kind"], what["port"])
            elif what["do"] == "end":
                self._end()
            counted, self._counted = self._counted, Counter()
            sys.stdout.write(json.dumps(counted) + "\n")
            sys.stdout.flush()

    def _begin(self, kind: str, port: int) -> None:
        self._port = port
        self._going.set()
        works: dict[str, Callable[[], None]] = {"slow": self._slow, "flood": self._flood, "logins": self._logins}
        self._threads = [threading.Thread(target=works[kind], daemon=True) for _ in range(_THREADS[kind])]
        for each in self._threads:
            each.start()

    def _end(self) -> None:
        self._going.clear()
        for each in self._threads:
            each.join()
        self._threads = []

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self._port), 10, (SOURCE, 0))
        self._counted["connections"] += 1
        return connection

    def _slow(self) -> None:
        there: list[socket.socket] = []
        while self._going.is_set():
            for _ in range(min(100, SLOW - len(there))):
                with suppress(OSError):
                    connection = self._connect()
                    connection.sendall(_HEAD + b"X: ")
                    there.append(connection)
            time.sleep(PAUSE)
            still = []
            for connection in there:
                try:
                    connection.setblocking(False)
                    with suppress(BlockingIOError):
                        # Only one that is closed, or refused, has anything to read.
                        connection.recv(1000)
                        raise ConnectionResetError
                    connection.send(b"x")
                    still.append(connection)
                except OSError:
                    self._counted["closed"] += 1
                    connection.close()
            there = still
        for connection in there:
            connection.close()

    def _paced(self, pause: float, work: Callable[[], None]) -> None:
        while self._going.is_set():
            begun = time.monotonic()
            try:
                work()
            except OSError:
                self._counted["reset"] += 1
            time.sleep(max(0.0, pause - (time.monotonic() - begun)))

    def _flood(self) -> None:
        def one() -> None:
            with self._connect() as connection:
                connection.sendall(_FLOOD)
                self._counted[connection.recv(1000)[9:12].decode()] += 1

        self._paced(_THREADS["flood"] / FLOODS, one)

    def _logins(self) -> None:
        def one() -> None:
            body = b"name=somebody&password=wrong"
            head = b"POST /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            kind = b"Content-Type: application/x-www-form-urlencoded\r\n"
            with self._connect() as connection:
                connection.sendall(head + kind + b"Content-Length: %d\r\n\r\n" % len(body) + body)
                self._counted[connection.recv(1000)[9:12].decode()] += 1

        self._paced(_THREADS["logins"] / LOGINS, one)


def told(counted: dict[str, Any]) -> str:
    """What has happened, in words."""
    return ", ".join(f"{name}: {count}" for name, count in sorted(counted.items()))


if __name__ == "__main__":
    raise_files()
    Storm().run()
