"""
One viewer of a broadcast: a cursor into its ring, and the way its bytes leave.

A viewer keeps no buffer. What it has not got yet is in the ring, and what is not in the ring any more it does not get:
it jumps to the newest join point. Bytes go from the ring straight to the viewer's socket; only after the kernel has
taken less than it was given do we ask to be told when there is room. A viewer whose connection is not a plain socket
(TLS) is written to by way of its transport.
"""

from __future__ import annotations

import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable

from twisted.internet.interfaces import IPushProducer, IReactorFDSet, ITransport, IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from iptvd.delivery.ring import JoinPoint, Ring
from iptvd.delivery.session import Session
from iptvd.protocols.mpegts import PACKET

#: Blocks that are given to the kernel at once, and bytes that are given to a transport: whole packets.
_GATHERED = 64
_WRITTEN = 348 * PACKET


class Viewer(ABC):
    """
    What is the same for all.

    :ivar number: of the block in which is what it gets next.
    :ivar level: whether that is the whole block, nothing is to be sent before it, and it waits for nothing: then
        `take` may be given what all viewers at this block are given.
    :ivar blocked_since: since when it has taken nothing although there is something, or None.
    :ivar jumps: how often it fell off the ring.
    :param clock: seconds.
    :param lost: called once, when its connection turns out to be gone.
    """

    __slots__ = (
        "_clock",
        "_fed",
        "_lost",
        "_over",
        "_pending",
        "_place",
        "_ring",
        "_started",
        "_uncounted",
        "blocked_since",
        "jumps",
        "level",
        "number",
        "session",
    )

    def __init__(self, session: Session, ring: Ring, clock: Callable[[], float], lost: Callable[[], None]) -> None:
        self.session = session
        self.number = 0
        self.level = False
        self.blocked_since: float | None = None
        self.jumps = 0
        self._ring = ring
        self._clock = clock
        self._lost = lost
        # In its block; always where a packet begins, after a block that was taken in part too.
        self._place = 0
        self._pending = b""
        # Bytes still to be sent that are no media.
        self._uncounted = 0
        self._started = False
        self._fed = False
        self._over = False

    @property
    def started(self) -> bool:
        """Whether it has a place in the ring."""
        return self._started

    @property
    def lag(self) -> int:
        """Bytes between what it has got and the newest; no more than there are, where what comes next is gone."""
        ring, number = self._ring, self.number
        if not self._started or number >= ring.next:
            return len(self._pending)
        block = ring.block(number)
        return (ring.end - block.offset - self._place if block is not None else ring.size) + len(self._pending)

    @property
    def behind(self) -> float:
        """Seconds between when that which it gets next came and when the newest did; see `lag`."""
        ring = self._ring
        if not self._started or self.number >= ring.next:
            return 0.0
        block, newest = ring.block(self.number), ring.block(ring.next - 1)
        return newest.time - block.time if newest is not None and block is not None else ring.seconds

    def head(self, data: bytes) -> None:
        """Have this sent before anything else."""
        self._pending += data
        self._uncounted += len(data)

    def start(self, join: JoinPoint) -> None:
        """Begin at a join point, with the tables in force there."""
        self._pending += join.tables
        self.number, self._place = join.number, join.place
        self._started = True

    @abstractmethod
    def pump(self) -> None:
        """Give it what there is, as much as it takes."""

    def take(self, data: bytes, end: int, pages: int) -> None:
        """
        Give it what it is `level` with.

        :param data: all that is in the ring from its block on, up to before the block numbered ``end``.
        :param pages: a descriptor of a file with the same, or -1; see `iptvd.delivery.pages`.
        """
        self.pump()

    def stop(self) -> None:
        """Give it nothing more; its connection is the caller's to close."""
        self._over = True
        self.level = False

    def _jump(self) -> bool:
        """
        Go to the newest join point, because what came next is gone; False when there is none.

        What was sent ended with a whole packet, and the gap is announced: the player expects nothing to go on.
        """
        join = self._ring.join_for(0.0)
        if join is None:
            return False
        self.jumps += 1
        self._pending += self._ring.gap_before(join)
        self.number, self._place = join.number, join.place
        return True

    def _advance(self, sent: int) -> None:
        """So many bytes have been taken."""
        uncounted = min(sent, self._uncounted)
        self._uncounted -= uncounted
        self.session.bytes_sent += sent - uncounted
        self.blocked_since = None
        if sent > uncounted and not self._fed:
            self._fed = True
            self.session.first_byte()
        pending = len(self._pending)
        if pending:
            if sent < pending:
                self._pending = self._pending[sent:]
                return
            self._pending = b""
            sent -= pending
        sent += self._place
        self._place = 0
        while sent:
            block = self._ring.block(self.number)
            size = len(block.data) if block is not None else 0
            if block is not None and sent < size:
                # The rest of a packet is kept, in case its block leaves before there is room.
                self._place = min(sent + -sent % PACKET, size)
                self._pending = block.data[sent : self._place]
                if self._place == size:
                    self.number, self._place = self.number + 1, 0
                return
            sent -= size
            self.number += 1

    def _block(self) -> None:
        if self.blocked_since is None:
            self.blocked_since = self._clock()


@implementer(IWriteDescriptor)
class SocketViewer(Viewer):
    """
    A viewer on a plain socket.

    The descriptor that waits for room is a duplicate: the transport's own goes on telling when the viewer leaves, and
    epoll keeps the two apart. It exists only while it waits.
    """

    __slots__ = ("_descriptor", "_reactor", "_socket", "_waited")

    def __init__(
        self,
        session: Session,
        ring: Ring,
        clock: Callable[[], float],
        lost: Callable[[], None],
        connection: socket.socket,
        reactor: IReactorFDSet,
    ) -> None:
        super().__init__(session, ring, clock, lost)
        self._socket = connection
        self._reactor = reactor
        self._descriptor = -1
        # The reactor asks for it once more after we have let go.
        self._waited = -1

    def take(self, data: bytes, end: int, pages: int) -> None:
        """See `Viewer.take`: the way of nearly all bytes."""
        try:
            sent = self._socket.send(data) if pages < 0 else os.sendfile(self._socket.fileno(), pages, 0, len(data))
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self.stop()
            self._lost()
            return
        if sent == len(data):
            self.number = end
            self.session.bytes_sent += sent
            return
        self.level = False
        if sent:
            self._advance(sent)
        self._block()
        self._wait()

    def pump(self) -> None:
        """See `Viewer.pump`."""
        while not self._over:
            if self._started and self.number < self._ring.first and not self._jump():
                # It has room, and gets the next join point with everybody else.
                self.blocked_since = None
                break
            buffers: list[bytes | memoryview] = [self._pending] if self._pending else []
            if self._started:
                blocks = self._ring.after(self.number, _GATHERED)
                if self._place and blocks:
                    buffers.append(memoryview(blocks[0].data)[self._place :])
                    del blocks[0]
                buffers.extend(block.data for block in blocks)
            if not buffers:
                self.level = self._started
                break
            given = sum(map(len, buffers))
            try:
                sent = self._socket.send(buffers[0]) if len(buffers) == 1 else self._socket.sendmsg(buffers)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError:
                self.stop()
                self._lost()
                return
            if sent:
                self._advance(sent)
            if sent < given:
                self.level = False
                self._block()
                self._wait()
                return
        self._rest()

    def stop(self) -> None:
        """See `Viewer.stop`."""
        super().stop()
        self._rest()

    def _wait(self) -> None:
        if self._descriptor < 0:
            self._descriptor = self._waited = os.dup(self._socket.fileno())
            self._reactor.addWriter(self)

    def _rest(self) -> None:
        if self._descriptor >= 0:
            self._reactor.removeWriter(self)
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    # IWriteDescriptor

    def fileno(self) -> int:
        """The descriptor that waits for room, or the last that did."""
        return self._waited

    def doWrite(self) -> None:
        """There is room."""
        self.pump()

    def connectionLost(self, reason: Failure) -> None:
        """The connection broke while we waited for room; its transport hears of it too."""
        self._rest()

    def logPrefix(self) -> str:
        """What it is called in Twisted's own messages."""
        return "viewer"


@implementer(IPushProducer)
class TransportViewer(Viewer):
    """A viewer that is written to by way of its transport, under the transport's backpressure."""

    __slots__ = ("_paused", "_transport")

    def __init__(
        self,
        session: Session,
        ring: Ring,
        clock: Callable[[], float],
        lost: Callable[[], None],
        transport: ITransport,
    ) -> None:
        super().__init__(session, ring, clock, lost)
        self._transport = transport
        self._paused = False
        transport.registerProducer(self, True)  # type: ignore[attr-defined]

    def pump(self) -> None:
        """See `Viewer.pump`."""
        while not self._over and not self._paused:
            if self._started and self.number < self._ring.first and not self._jump():
                return
            if self._pending:
                data = self._pending
            elif not self._started:
                return
            else:
                block = self._ring.block(self.number)
                if block is None:
                    return
                data = block.data[self._place : self._place + _WRITTEN]
            self._advance(len(data))
            self._transport.write(data)

    def stop(self) -> None:
        """See `Viewer.stop`."""
        if not self._over:
            super().stop()
            self._transport.unregisterProducer()  # type: ignore[attr-defined]

    # IPushProducer

    def pauseProducing(self) -> None:
        """Its transport holds enough."""
        self._paused = True
        self._block()

    def resumeProducing(self) -> None:
        """Its transport wants more."""
        self._paused = False
        self.blocked_since = None
        self.pump()

    def stopProducing(self) -> None:
        """Its connection is gone."""
        self.stop()
        self._lost()
