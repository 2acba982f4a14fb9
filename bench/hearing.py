"""The other end of `bench.processes.Helper`: what a helper is told in lines of JSON, and its viewers' connections."""

from __future__ import annotations

import json
import os
import select
import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

#: Bytes of one read.
SIZE = 1 << 20


def answer(told: Callable[[Any], object]) -> bool:
    """Do what the next line on standard input says, and answer it; whether there was one."""
    line = sys.stdin.buffer.readline()
    if line:
        os.write(1, json.dumps(told(json.loads(line))).encode() + b"\n")
    return bool(line)


class HasSocket(Protocol):
    """A viewer."""

    socket: socket.socket


V = TypeVar("V", bound=HasSocket)


class Watching(ABC, Generic[V]):
    """Many viewers, each read when there is something for it."""

    def __init__(self) -> None:
        self._buffer = bytearray(SIZE)
        self._epoll = select.epoll()
        self._epoll.register(sys.stdin.fileno(), select.EPOLLIN)
        self._open: dict[int, V] = {}

    @abstractmethod
    def _told(self, what: Any) -> object:
        """Do what is asked for; gives the answer."""

    @abstractmethod
    def _read(self, one: V) -> None:
        """There is something for this one, or its end."""

    def _turn(self, wait: float) -> bool:
        """Wait so many seconds at most (-1: for ever), and read what there is; whether to go on."""
        for number, _ in self._epoll.poll(wait, 4096):
            if number == sys.stdin.fileno():
                if not answer(self._told):
                    return False
            elif number in self._open:
                self._read(self._open[number])
        return True

    def _add(self, one: V) -> None:
        self._open[one.socket.fileno()] = one
        self._epoll.register(one.socket, select.EPOLLIN)

    def _close(self, one: V) -> None:
        self._open.pop(one.socket.fileno(), None)
        one.socket.close()

    def _leave(self) -> None:
        for one in list(self._open.values()):
            self._close(one)
