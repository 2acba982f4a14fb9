"""Two connections with a `Splice` between them, for tests that turn the reactor themselves."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from pathlib import Path

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.pipes import PipePool
from iptvd.protocols.splice import End, Splice
from iptvd.rounds import REST, Rounds

#: Bytes of the buffers of a socket that is to be full soon.
TIGHT = 8192


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def connection(buffers: int = 0) -> tuple[socket.socket, socket.socket]:
    """The two ends of a connection on loopback, neither of which blocks."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        if buffers:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
        one = socket.socket()
        if buffers:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
        one.connect(server.getsockname())
        other, _ = server.accept()
    for each in (one, other):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        each.setblocking(False)
    return one, other


def send(to: socket.socket, data: bytes) -> int:
    """Send what the kernel takes of it."""
    try:
        return to.send(data)
    except BlockingIOError:
        return 0


def receive(source: socket.socket) -> bytes | None:
    """What is there, None when there is nothing just now."""
    try:
        return source.recv(1 << 20)
    except BlockingIOError:
        return None


def reset(one: socket.socket) -> None:
    """Close it without a goodbye."""
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


class Rig:
    """
    An origin and a viewer with a `Splice` between them, and a reactor that turns when it is told to.

    :ivar clock: goes on by what ``pace`` gives after each turn: without a change, by a whole rest.
    """

    def __init__(
        self, reactor: EPollReactor, pool: PipePool | None = None, buffers: int = 0, beside: Rig | None = None
    ) -> None:
        self.reactor = reactor
        self.clock: Clock = beside.clock if beside else Clock()
        self.rounds: Rounds = beside.rounds if beside else Rounds(IReactorFDSet(reactor), self.clock)
        self.pace: Callable[[], float] = lambda: REST
        self.pool = pool or PipePool()
        self.origin, self.source = connection(buffers)
        self.sink, self.viewer = connection(buffers)
        self.got = b""
        self.moved: list[int] = []
        self.ends: list[End] = []
        self.splice = Splice(
            self.source,
            self.sink,
            self.pool,
            IReactorFDSet(reactor),
            self.moved.append,
            self.ends.append,
            self.rounds,
        )

    def turn(self) -> None:
        self.reactor.iterate(0.001)
        self.clock.advance(self.pace())

    def until(self, holds: Callable[[], bool], meanwhile: Callable[[], object] = lambda: None) -> None:
        for _ in range(20_000):
            if holds():
                return
            meanwhile()
            self.turn()
        raise AssertionError("it never came about")

    def read(self) -> None:
        self.got += receive(self.viewer) or b""

    @property
    def held(self) -> int:
        """Bytes in the pipe."""
        pipe = self.splice._pipe
        return pipe.held if pipe is not None else 0

    def has(self, size: int) -> bool:
        return len(self.got) == size

    def fill(self, to: socket.socket | None = None) -> bytes:
        """Send until nothing moves any more, because the viewer reads nothing; gives what was sent."""
        sent = bytearray()
        idle = 0
        while idle < 50:
            before = len(sent)
            piece = bytes([before % 251]) * 65536
            sent += piece[: send(to or self.origin, piece)]
            idle = 0 if len(sent) > before else idle + 1
            self.turn()
        return bytes(sent)

    def close(self) -> None:
        self.splice.stop()
        for each in (self.origin, self.source, self.sink, self.viewer):
            each.close()
        self.pool.close()


class SpliceCase(SynchronousTestCase):
    """A test that has such connections."""

    def setUp(self) -> None:
        self.reactor = EPollReactor()
        self.addCleanup(self.reactor._poller.close)
        self.before = descriptors()

    def rig(self, pool: PipePool | None = None, buffers: int = 0, beside: Rig | None = None) -> Rig:
        rig = Rig(self.reactor, pool, buffers, beside)
        self.addCleanup(rig.close)
        return rig

    def assert_over(self, rig: Rig, end: End) -> None:
        """It ended so, once, and only the four sockets are left."""
        self.assertEqual(rig.ends, [end])
        self.assertEqual(rig.pool.in_use, 0)
        self.assertEqual(rig.clock.getDelayedCalls(), [])
        rig.close()
        self.assertEqual(descriptors(), self.before)
        names = [each.logPrefix() for each in self.reactor.getReaders() + self.reactor.getWriters()]
        self.assertNotIn("splice", names)
        self.assertNotIn("rounds", names)
