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
from contextlib import suppress
from enum import Enum
from typing import Protocol

from attrs import define
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IWriteDescriptor
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer

#: Whether the platform has it.
AVAILABLE = hasattr(os, "splice") and hasattr(fcntl, "F_SETPIPE_SZ")

#: What an unprivileged user has a thousand of (pipe(7), pipe-user-pages-soft), in bytes.
SMALL = 65536
#: What costs half of that for one fast viewer, and how many there are of these.
LARGE = 262144
FEW = 16
#: Empty pipes of the small size that are kept.
SPARE = 64
#: Bytes of one stream that are moved in a turn of the reactor.
TURN = 1 << 20

_FLAGS = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)
#: How a kernel, or what guards it, says that it does not do this.
_NOT_DONE = (errno.EINVAL, errno.ENOSYS, errno.EPERM)


@define(eq=False)
class Pipe:
    """
    A pipe.

    :ivar size: bytes it may hold.
    :ivar held: bytes it holds.
    """

    reader: int
    writer: int
    size: int
    held: int = 0

    def close(self) -> None:
        """Give its descriptors back."""
        os.close(self.reader)
        os.close(self.writer)


class PipePool:
    """
    The pipes of the whole daemon.

    :param large: bytes of the first ``few`` pipes.
    :ivar in_use: how many are borrowed.
    """

    def __init__(self, large: int = LARGE, few: int = FEW, spare: int = SPARE) -> None:
        self.in_use = 0
        self._large_size = large
        self._large_left = few
        self._large: list[Pipe] = []
        self._spare = spare
        self._small: list[Pipe] = []
        self._closed = False

    def borrow(self) -> Pipe:
        """
        An empty pipe, to be given back.

        :raises OSError: when there are no descriptors left.
        """
        if self._large:
            pipe = self._large.pop()
        elif self._large_left <= 0 and self._small:
            pipe = self._small.pop()
        else:
            pipe = self._make()
        self.in_use += 1
        return pipe

    def give_back(self, pipe: Pipe) -> None:
        """Take a pipe back; one that is not empty is of no more use to anyone."""
        self.in_use -= 1
        large = pipe.size > SMALL
        kept, room = (self._large, True) if large else (self._small, len(self._small) < self._spare)
        # One that was made small because we have too many is not worth keeping.
        if self._closed or pipe.held or pipe.size < SMALL or not room:
            pipe.close()
            if large:
                self._large_left += 1
        else:
            kept.append(pipe)

    def close(self) -> None:
        """Close those that nobody has; the others are closed when they come back."""
        self._closed = True
        for pipe in (*self._large, *self._small):
            pipe.close()
        self._large.clear()
        self._small.clear()

    def _make(self) -> Pipe:
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        size = fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ)
        wanted = SMALL
        if self._large_left > 0:
            wanted = max(self._large_size, SMALL)
        if size != wanted:
            # Not allowed to everyone: then it is what it is, and asking for large ones is over.
            with suppress(OSError):
                size = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, wanted)
        if self._large_left > 0:
            self._large_left = self._large_left - 1 if size > SMALL else 0
        return Pipe(reader, writer, size)


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
