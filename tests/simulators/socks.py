"""SOCKS5 proxies to go through: microsocks as a process, and one that says what a test has written for it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from attrs import frozen

from tests.daemon.client import wait_for
from tests.daemon.harness import free_port
from tests.daemon.process import ChildProcess, clean_environment

#: Where origins see microsocks come from: all of 127.0.0.0/8 is loopback.
EXIT = "127.0.0.3"
#: Who may use it where it asks.
USER, PASSWORD = "bob", "s3cret"


class Microsocks(ChildProcess):
    """
    One of them, on a free port of loopback.

    :param folder: for its log.
    :param locked: whether it asks for `USER` and `PASSWORD`.
    """

    def __init__(self, folder: Path, *, locked: bool = False) -> None:
        self.port = free_port()
        command = ["microsocks", "-i", "127.0.0.1", "-p", str(self.port), "-b", EXIT]
        if locked:
            command += ["-u", USER, "-P", PASSWORD]
        super().__init__(command, folder, clean_environment(folder))
        personal = f"{USER}:{PASSWORD}@" if locked else ""
        #: As it is written in the settings.
        self.address = f"{personal}127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start it and wait until it listens."""
        super().start()
        wait_for(self._listens, what="microsocks")
        return self

    def _listens(self) -> bool:
        if self.status() is not None:
            raise AssertionError(f"microsocks ended with {self.status()}:\n{self.log_text()}")
        try:
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
        except OSError:
            return False
        return True


@frozen
class Line:
    """
    One step of a `ScriptedProxy`.

    :ivar heard: bytes that it waits for.
    :ivar says: what it answers.
    """

    heard: int
    says: bytes


class ScriptedProxy:
    """
    A proxy that says to each client what is written for it.

    :param lines: its part of the conversation.
    :param hangs_up: whether it closes after that, or keeps the connection without a word.
    :ivar heard: all that clients have sent.
    """

    def __init__(self, lines: Sequence[Line], *, hangs_up: bool = False) -> None:
        self.heard = b""
        self._lines = list(lines)
        self._hangs_up = hangs_up
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._clients: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Whoever waits in accept is woken by this alone.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)
        for client in self._clients:
            client.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            client.settimeout(10)
            self._clients.append(client)
            self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        try:
            for line in self._lines:
                left = line.heard
                while left:
                    data = client.recv(left)
                    if not data:
                        return
                    self.heard += data
                    left -= len(data)
                client.sendall(line.says)
            if self._hangs_up:
                client.close()
        except OSError:
            return


@contextmanager
def microsocks(folder: Path, *, locked: bool = False) -> Iterator[Microsocks]:
    """One that is up."""
    with Microsocks(folder, locked=locked).start() as running:
        yield running
