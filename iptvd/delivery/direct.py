"""
Writing to a viewer's plain socket without a detour through its transport's buffer.

What is written goes to the kernel at once, as it is. What the kernel does not take is kept, at most what its producer
had under way when it was told to pause, and sent when there is room.
"""

from __future__ import annotations

import os
from collections import deque

from twisted.internet.interfaces import (
    IConsumer,
    IProducer,
    IPushProducer,
    IReactorFDSet,
    ITransport,
    IWriteDescriptor,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from iptvd.protocols.splice import HasFileno


@implementer(IConsumer, IWriteDescriptor)
class DirectWriter:
    """
    A consumer that writes to a connected, non-blocking socket which stays its transport's.

    The descriptor is a duplicate: epoll keeps it apart from the transport's own.

    :param transport: takes what is left when the producer is unregistered.
    :raises OSError: when there are no descriptors left.
    """

    def __init__(self, handle: HasFileno, transport: ITransport, reactor: IReactorFDSet) -> None:
        self._transport = transport
        self._reactor = reactor
        self._number = os.dup(handle.fileno())
        self._open = True
        self._producer: IPushProducer | None = None
        self._left: deque[memoryview] = deque()

    def write(self, data: bytes) -> None:
        """Send it, after all that was written before."""
        if not self._open:
            return
        if self._left:
            self._left.append(memoryview(data))
            return
        sent = self._send(data)
        if sent < len(data) and self._open:
            self._left.append(memoryview(data)[sent:])
            self._reactor.addWriter(self)
            if self._producer is not None:
                self._producer.pauseProducing()

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Have it paused while something is left."""
        self._producer = IPushProducer(producer)
        if self._left:
            self._producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """Leave what is left to the transport; nothing can be written after that."""
        self._producer = None
        left, self._left = self._left, deque()
        if self._open:
            self._close(bool(left))
            for data in left:
                self._transport.write(bytes(data))

    def _send(self, data: bytes | memoryview) -> int:
        try:
            return os.write(self._number, data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            self._gone()
            return 0

    def _gone(self) -> None:
        """The viewer's connection is broken."""
        if self._open:
            self._close(bool(self._left))
            self._left.clear()
            if self._producer is not None:
                self._producer.stopProducing()

    def _close(self, waits: bool) -> None:
        self._open = False
        if waits:
            self._reactor.removeWriter(self)
        os.close(self._number)

    # IWriteDescriptor

    def fileno(self) -> int:
        """The descriptor that waits for room, or did: the reactor asks once more after we have let go."""
        return self._number

    def doWrite(self) -> None:
        """There is room."""
        while self._left:
            data = self._left[0]
            sent = self._send(data)
            if not self._open:
                return
            if sent < len(data):
                self._left[0] = data[sent:]
                return
            self._left.popleft()
        self._reactor.removeWriter(self)
        if self._producer is not None:
            self._producer.resumeProducing()

    def connectionLost(self, reason: Failure) -> None:
        """The connection broke while we waited for room."""
        self._gone()

    def logPrefix(self) -> str:
        """What it is called in Twisted's own messages."""
        return "direct"
