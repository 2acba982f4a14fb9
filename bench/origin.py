"""
The origin, a process of its own: endless films, looped, each connection at its own pace, from one buffer.

``GET /<film>/<kbit/s>/<bytes a write>[/stamped]``: 0 kbit/s is as fast as it goes. A stamped stream has in each write
a null packet with the time it was written at. What to do comes as lines of JSON on standard input.
"""

from __future__ import annotations

import heapq
import select
import socket
import ssl
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

from bench.hearing import answer
from bench.processes import raise_files

PACKET = 188
STAMP = b"\x47\x1f\xff\x10BENCH"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n"
#: Writes of an unpaced connection in one turn.
TURN = 32


def stamp() -> bytes:
    """A null packet that says when it was made."""
    return (STAMP + struct.pack(">Q", time.monotonic_ns())).ljust(PACKET, b"\xff")


class Connection:
    """One connection."""

    def __init__(self, taken: socket.socket) -> None:
        self.socket = taken
        self.request = b""
        self.film = memoryview(b"")
        self.at = 0
        self.write = 32768
        self.period = 0.0
        self.stamped = False
        self.paced = False
        self.left = memoryview(b"")

    def ask(self, films: dict[str, memoryview]) -> bool:
        """Read on in the request; whether it is whole."""
        self.request += self.socket.recv(4096)
        if b"\r\n\r\n" not in self.request:
            return False
        name, kbit, write, *more = self.request.split(b" ")[1].decode().strip("/").split("/")
        self.film, self.write, self.stamped = films[name], int(write), "stamped" in more
        self.paced = int(kbit) > 0
        self.period = self.write * 8 / (int(kbit) * 1000) if self.paced else 0.0
        self.socket.sendall(HEAD)
        return True

    def send(self) -> bool:
        """Write once; whether all of it was taken."""
        piece = self.left
        if not piece:
            first = stamp() if self.stamped else b""
            count = self.write - len(first)
            piece = self.film[self.at : self.at + count]
            self.at += len(piece)
            if self.at >= len(self.film):
                self.at = 0
            if first:
                piece = memoryview(first + bytes(piece))
        try:
            sent = self.socket.send(piece)
        except BlockingIOError:
            sent = 0
        self.left = piece[sent:]
        return not self.left


class Origin:
    """All of them."""

    def __init__(self, films: dict[str, memoryview]) -> None:
        self._films = films
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._epoll.register(sys.stdin.fileno(), select.EPOLLIN)
        self._open: dict[int, Connection] = {}
        self._due: list[tuple[float, int, Connection]] = []
        self._most = 0
        self._asked_at = 0

    def run(self) -> None:
        """Serve."""
        while True:
            wait = -1.0 if not self._due else max(0.001, self._due[0][0] - time.monotonic())
            for number, event in self._epoll.poll(wait):
                if number == self._listener.fileno():
                    self._accept()
                elif number == sys.stdin.fileno():
                    if not answer(self._told):
                        return
                elif number in self._open:
                    self._serve(self._open[number], event)
            self._send_due()

    def _told(self, what: dict[str, Any]) -> object:
        if what["do"] == "break":
            for one in list(self._open.values()):
                if what["how"] == "reset":
                    one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._close(one)
            return time.monotonic_ns()
        if what["do"] == "counts":
            most, self._most = self._most, len(self._open)
            return {"port": self.port, "most": most, "asked_at": self._asked_at}
        raise ValueError(what)

    def _accept(self) -> None:
        for _ in range(256):
            try:
                taken, _ = self._listener.accept()
            except BlockingIOError:
                return
            taken.setblocking(False)
            taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open[taken.fileno()] = Connection(taken)
            self._epoll.register(taken, select.EPOLLIN)
            self._most = max(self._most, len(self._open))

    def _serve(self, one: Connection, event: int) -> None:
        try:
            if event & select.EPOLLOUT:
                for _ in range(TURN):
                    if not one.send():
                        break
            elif one.film:
                if not one.socket.recv(4096):
                    self._close(one)
            elif one.ask(self._films):
                self._asked_at = time.monotonic_ns()
                if one.paced:
                    # Not all at once: spread over a period.
                    later = one.period * (len(self._open) * 0.618 % 1.0) if len(self._open) > 1 else 0.0
                    heapq.heappush(self._due, (time.monotonic() + later, id(one), one))
                else:
                    self._epoll.modify(one.socket, select.EPOLLIN | select.EPOLLOUT)
        except OSError:
            self._close(one)

    def _send_due(self) -> None:
        due = self._due
        for _ in range(4096):
            now = time.monotonic()
            if not due or due[0][0] > now:
                return
            when, number, one = due[0]
            if one.socket.fileno() < 0:
                heapq.heappop(due)
                continue
            try:
                took = one.send()
            except OSError:
                heapq.heappop(due)
                self._close(one)
                continue
            following = max(when + one.period, now - 1.0) if took else now + 0.005
            heapq.heapreplace(due, (following, number, one))

    def _close(self, one: Connection) -> None:
        if one.socket.fileno() >= 0:
            self._open.pop(one.socket.fileno(), None)
            one.socket.close()


def serve_tls(films: dict[str, memoryview], certificate: str) -> None:
    """The same over TLS, a thread for each connection, as fast as it goes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)

    def serve(taken: socket.socket) -> None:
        try:
            with context.wrap_socket(taken, server_side=True) as secure:
                name, _, write, *_ = secure.recv(4096).split(b" ")[1].decode().strip("/").split("/")
                secure.sendall(HEAD)
                film, size = films[name], int(write)
                while True:
                    for at in range(0, len(film), size):
                        secure.sendall(film[at : at + size])
        except OSError:
            return

    def accept() -> None:
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    while answer(lambda what: {"port": listener.getsockname()[1]}):
        continue


def main() -> None:
    """``python -m bench.origin FOLDER [CERTIFICATE]``."""
    raise_files()
    films = {path.stem: memoryview(path.read_bytes()) for path in Path(sys.argv[1]).glob("film-*.ts")}
    if len(sys.argv) > 2:
        serve_tls(films, sys.argv[2])
    else:
        Origin(films).run()


if __name__ == "__main__":
    main()
