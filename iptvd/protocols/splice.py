"""
Moving bytes from one socket to another inside the kernel, by way of a pipe: splice(2).

Sources are read in rounds (`iptvd.rounds`), so that small writes of many origins do not have us woken for each. A pipe
is borrowed when there is something to read and given back as soon as it is empty, so that streams whose viewers keep
up share a few. Reading pauses when the sink takes no more and the pipe holds `Pipe.enough`. We ask to be told of room
only after the kernel has taken less than it was given; once the sink has taken all, what came meanwhile is read at
once. Both descriptors are duplicates: epoll keeps them apart from those of the connections' own transports.

A pipe counts pieces, not bytes: many small ones fill it long before its size is reached, and the kernel says the same
then (EAGAIN) as when there is nothing to read. So a pipe that holds something and takes no more counts as full. Nor
does less than was asked for mean that there is no more: only when it is too little for so many pieces.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Protocol

from twisted.internet.interfaces import IReactorFDSet, IWriteDescriptor
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer

from iptvd.protocols.pipes import SMALL, Pipe, PipePool
from iptvd.rounds import Rounds, shared_rounds

__all__ = ["AVAILABLE", "TURN", "End", "HasFileno", "PipePool", "Splice", "plain_socket"]

#: Whether the platform has it.
AVAILABLE = hasattr(os, "splice") and hasattr(fcntl, "F_SETPIPE_SZ")

#: Bytes of one stream that are moved in a turn of the reactor.
TURN = 1 << 20

#: Bytes of the smallest piece that is reckoned with: one packet of a transport stream.
_PIECE = 188

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


@implementer(IWriteDescriptor)
class _Sink:
    """
    A second descriptor of a socket that is written to, as the reactor wants it.

    It keeps its number after it was closed: the reactor takes one that changed in a call for a lost connection, and
    searches all it has for it.
    """

    def __init__(self, of: HasFileno, room: Callable[[], None], lost: Callable[[], None]) -> None:
        self._number = os.dup(of.fileno())
        self._room = room
        self._lost = lost

    def fileno(self) -> int:
        return self._number

    def doWrite(self) -> None:
        self._room()

    def connectionLost(self, reason: Failure) -> None:
        self._lost()

    def logPrefix(self) -> str:
        return "splice"


class Splice:
    """
    Moves bytes one way between two connected, non-blocking sockets that stay their owners'.

    :param moved: called with how many bytes the sink has taken, 0 when some came in that it did not take.
    :param ended: called once, unless it was stopped; all descriptors have been given back by then.
    :param rounds: in which the source is read, None for those that all streams of the reactor share.
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
        rounds: Rounds | None = None,
    ) -> None:
        self._pool = pool
        self._reactor = reactor
        self._moved = moved
        self._ended = ended
        self._left: int | None = None
        self._first = memoryview(b"")
        self._pipe: Pipe | None = None
        #: Bytes to ask for at a time: as many as the sink has shown to take.
        self._reach = SMALL
        self._reading = False
        self._waiting = False
        self._end: End | None = None
        self._over = False
        self._rounds = rounds or shared_rounds(reactor)
        self._in = os.dup(source.fileno())
        try:
            self._out = _Sink(sink, self._room, partial(self._finish, End.SINK_FAILED))
        except OSError:
            os.close(self._in)
            raise
        self._sink = self._out.fileno()
        try:
            self._rounds.enter(self._in, self)
        except OSError:
            os.close(self._in)
            os.close(self._sink)
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
        self._rounds.leave(self._in)
        os.close(self._in)
        os.close(self._sink)
        self._give_back()

    # From the source into a pipe

    def fill(self) -> int:
        """See `iptvd.rounds.Reader`."""
        came = 0
        while self._reading and came < TURN:
            pipe = self._pipe
            if pipe is None:
                try:
                    pipe = self._pipe = self._pool.borrow()
                except OSError:
                    self._finish(End.IMPOSSIBLE)
                    break
            count = min(pipe.size - pipe.held, self._reach)
            if self._left is not None:
                count = min(count, self._left)
            try:
                # By place: arguments by name cost a tenth of the call, whatever it moves.
                got = os.splice(self._in, pipe.writer, count, None, None, _FLAGS)
            except BlockingIOError:
                if pipe.held:
                    self._pause()
                else:
                    self._give_back()
                break
            except OSError as error:
                impossible = error.errno in _NOT_DONE and not pipe.held
                self._source_over(End.IMPOSSIBLE if impossible else End.SOURCE_FAILED)
                break
            if not got:
                self._source_over(End.SOURCE_CLOSED)
                break
            came += got
            pipe.held += got
            if self._left is not None:
                self._left -= got
                if not self._left:
                    self._pause()
                    self._end = End.LIMIT
            if not self._waiting:
                self._drain(pipe)
            elif pipe.held >= pipe.enough:
                self._pause()
            if self._waiting:
                self._reach = max(self._reach // 2, SMALL)
                break
            if got == self._reach < pipe.size:
                self._reach *= 2
            if got < count and got < pipe.pieces * _PIECE:
                break
        return came

    def lost(self) -> None:
        """See `iptvd.rounds.Reader`."""
        self._source_over(End.SOURCE_FAILED)

    def _source_over(self, end: End) -> None:
        """Nothing more comes: that is the end once the sink has what did come."""
        self._pause()
        self._end = end
        if self._pipe is None or not self._pipe.held:
            self._finish(end)

    # From the pipe into the sink

    def _drain(self, pipe: Pipe) -> None:
        try:
            sent = os.splice(pipe.reader, self._sink, pipe.held, None, None, _FLAGS)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._finish(End.SINK_FAILED)
            return
        pipe.held -= sent
        if pipe.held:
            self._wait()
            if pipe.held >= pipe.enough:
                self._pause()
            elif sent:
                self._read_on()
            self._moved(sent)
            return
        self._give_back()
        if self._waiting:
            self._rest()
        if not self._reading:
            self._read_on()
        self._moved(sent)
        if self._end is not None and not self._over:
            self._finish(self._end)

    def _room(self) -> None:
        if self._pipe is not None:
            self._drain(self._pipe)
            if not self._waiting:
                # The next round may be a rest away, and a viewer that sets the pace takes more now.
                self.fill()
        elif self._first:
            self._send_first()
        elif self._left == 0:  # what was sent first was all
            self._finish(End.LIMIT)
        else:
            self._rest()
            self._read_on()

    def _send_first(self) -> None:
        try:
            sent = os.write(self._sink, self._first)
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
            self._rounds.read_on(self._in)

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self._rounds.pause(self._in)

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
