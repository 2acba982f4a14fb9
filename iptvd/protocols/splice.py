"""
Moving bytes from one socket to another inside the kernel, by way of a pipe: splice(2).

A pipe is borrowed when there is something to read and given back as soon as it is empty, so that streams whose viewers
keep up share a few. Reading pauses at half a pipe. We ask to be told of room only after the kernel has taken less than
it was given. Both descriptors are duplicates: epoll keeps them apart from those of the connections' own transports.

A pipe counts pieces, not bytes: many small ones fill it long before its size is reached, and the kernel says the same
then (EAGAIN) as when there is nothing to read. So a pipe that holds something and takes no more counts as full.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IWriteDescriptor
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer

from iptvd.protocols.pipes import Pipe, PipePool

__all__ = ["AVAILABLE", "TURN", "End", "HasFileno", "PipePool", "Splice", "plain_socket"]

#: Whether the platform has it.
AVAILABLE = hasattr(os, "splice") and hasattr(fcntl, "F_SETPIPE_SZ")

#: Bytes of one stream that are moved in a turn of the reactor.
TURN = 1 << 20

_FLAGS = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)
#: How a kernel, or what guards it, says that it does not do this.
_NOT_DONE = (errno.EINVAL, errno.ENOSYS, errno.EPERM)


class End(Enum):
    """Why no more is moved; what came before has been handed on, but for ``SINK_FAILED``."""

    LIMIT = "limit"
    SOURCE_CLOSED = "source_closed"
    SOURCE_FAILED = "source_failed"
    SINK_FAILED = "sink_failed"
    #: There is no pipe to be had, or the kernel does not do this; nothing is lost.
    IMPOSSIBLE = "impossible"


class HasFileno(Protocol):
    """What has a descriptor."""

    def fileno(self) -> int:
        """The number."""


def plain_socket(transport: object) -> HasFileno | None:
    """The socket of a transport whose bytes are the connection's own, else None."""
    if not isinstance(transport, Connection) or getattr(transport, "TLS", False) or not transport.connected:
        return None
    return transport.getHandle()


@implementer(IReadDescriptor, IWriteDescriptor)
class _Duplicate:
    """
    A second descriptor of a socket, as the reactor wants it.

    It keeps its number after it was closed: the reactor takes one that changed in a call for a lost connection, and
    searches all it has for it.
    """

    def __init__(self, of: HasFileno, ready: Callable[[], None], lost: Callable[[], None]) -> None:
        self._number = os.dup(of.fileno())
        self._ready = ready
        self._lost = lost

    def fileno(self) -> int:
        return self._number

    def doRead(self) -> None:
        self._ready()

    def doWrite(self) -> None:
        self._ready()

    def connectionLost(self, reason: Failure) -> None:
        self._lost()

    def logPrefix(self) -> str:
        return "splice"


class Splice:
    """
    Moves bytes one way between two connected, non-blocking sockets that stay their owners'.

    :param moved: called with how many bytes the sink has taken, 0 when some came in that it did not take.
    :param ended: called once, unless it was stopped; all descriptors have been given back by then.
    :raises OSError: when there are no descriptors left.
    """

    def __init__(
        self,
        source: HasFileno,
        sink: HasFileno,
        pool: PipePool,
        reactor: IReactorFDSet,
        moved: Callable[[int], None],
        ended: Callable[[End], None],
    ) -> None:
        self._pool = pool
        self._reactor = reactor
        self._moved = moved
        self._ended = ended
        self._left: int | None = None
        self._first = memoryview(b"")
        self._pipe: Pipe | None = None
        self._reading = False
        self._waiting = False
        self._end: End | None = None
        self._over = False
        self._in = _Duplicate(source, self._fill, lambda: self._source_over(End.SOURCE_FAILED))
        try:
            self._out = _Duplicate(sink, self._room, lambda: self._finish(End.SINK_FAILED))
        except OSError:
            os.close(self._in.fileno())
            raise

    @property
    def waiting(self) -> bool:
        """Whether there is something that the sink does not take."""
        return self._waiting

    def start(self, first: bytes, limit: int | None) -> None:
        """
        Begin.

        :param first: sent before anything is moved.
        :param limit: bytes to be moved after that, None for all until the source ends.
        """
        self._first = memoryview(first)
        self._left = limit
        self._room()

    def stop(self) -> None:
        """Move no more, and give everything back; nobody is called."""
        if self._over:
            return
        self._over = True
        self._pause()
        self._rest()
        os.close(self._in.fileno())
        os.close(self._out.fileno())
        self._give_back()

    # From the source into a pipe

    def _fill(self) -> None:
        turn = TURN
        while self._reading and turn > 0:
            pipe = self._pipe
            if pipe is None:
                try:
                    pipe = self._pipe = self._pool.borrow()
                except OSError:
                    self._finish(End.IMPOSSIBLE)
                    return
            room = pipe.size - pipe.held
            count = room if self._left is None else min(room, self._left)
            try:
                got = os.splice(self._in.fileno(), pipe.writer, count, flags=_FLAGS)
            except BlockingIOError:
                if pipe.held:
                    self._pause()
                else:
                    self._give_back()
                return
            except OSError as error:
                impossible = error.errno in _NOT_DONE and not pipe.held
                self._source_over(End.IMPOSSIBLE if impossible else End.SOURCE_FAILED)
                return
            if not got:
                self._source_over(End.SOURCE_CLOSED)
                return
            pipe.held += got
            if self._left is not None:
                self._left -= got
                if not self._left:
                    self._pause()
                    self._end = End.LIMIT
            if not self._waiting:
                self._drain(pipe)
            elif pipe.held >= pipe.size // 2:
                self._pause()
            if got < count:
                return
            turn -= got

    def _source_over(self, end: End) -> None:
        """Nothing more comes: that is the end once the sink has what did come."""
        self._pause()
        self._end = end
        if self._pipe is None or not self._pipe.held:
            self._finish(end)

    # From the pipe into the sink

    def _drain(self, pipe: Pipe) -> None:
        try:
            sent = os.splice(pipe.reader, self._out.fileno(), pipe.held, flags=_FLAGS)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._finish(End.SINK_FAILED)
            return
        pipe.held -= sent
        if pipe.held:
            self._wait()
            if pipe.held >= pipe.size // 2:
                self._pause()
            elif sent:
                self._read_on()
            self._moved(sent)
            return
        self._give_back()
        self._rest()
        self._read_on()
        self._moved(sent)
        if self._end is not None and not self._over:
            self._finish(self._end)

    def _room(self) -> None:
        if self._pipe is not None:
            self._drain(self._pipe)
        elif self._first:
            self._send_first()
        elif self._left == 0:  # what was sent first was all
            self._finish(End.LIMIT)
        else:
            self._rest()
            self._read_on()

    def _send_first(self) -> None:
        try:
            sent = os.write(self._out.fileno(), self._first)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._finish(End.SINK_FAILED)
            return
        # An empty view still holds on to what it is a view of.
        self._first = self._first[sent:] if sent < len(self._first) else memoryview(b"")
        if self._first:
            self._wait()
        if sent:
            self._moved(sent)
        if not self._first and not self._over:
            self._room()

    # What we are told of

    def _read_on(self) -> None:
        if not self._reading and self._end is None and not self._over:
            self._reading = True
            self._reactor.addReader(self._in)

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self._reactor.removeReader(self._in)

    def _wait(self) -> None:
        if not self._waiting:
            self._waiting = True
            self._reactor.addWriter(self._out)

    def _rest(self) -> None:
        if self._waiting:
            self._waiting = False
            self._reactor.removeWriter(self._out)

    def _give_back(self) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            self._pool.give_back(pipe)

    def _finish(self, end: End) -> None:
        if not self._over:
            self.stop()
            self._ended(end)
