"""
The origin's side of a connection: heads in, scripts of bytes out, and a count of what really left.

A script gives pieces with the time at which each is due. They are written as the client takes them, so that an endless
or unpaced reply costs no memory; and bytes are counted when the kernel has taken them, not when the transport has.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from collections import Counter
from collections.abc import Callable, Generator, Mapping

from attrs import define, field
from twisted.internet import tcp
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorFDSet, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.simulators.exchange import Ending, Reply, Request, Timed, parse_request, refusal, script, text_reply
from tests.simulators.knobs import Knobs

_BIGGEST_REQUEST = 1 << 20


@define
class Tally:
    """
    What came and went for one path.

    :ivar open: requests that are being answered now; a reply cut short into silence stays open until the client goes.
    :ivar total: requests so far.
    :ivar peak: the most that were open at once.
    :ivar accepted: bytes, heads and all, that replies were made of so far.
    :ivar written: of these, what the kernel took.
    :ivar headers: of the last request, names in lower case; likewise ``query`` and ``method``.
    :ivar ranges: the Range headers of all requests that had one, up to 1,000.
    :ivar peers: how many requests came from which address.
    """

    open: int = 0
    total: int = 0
    peak: int = 0
    accepted: int = 0
    written: int = 0
    method: str = ""
    query: Mapping[str, str] = field(factory=dict)
    headers: Mapping[str, str] = field(factory=dict)
    methods: Counter[str] = field(factory=Counter)
    ranges: list[str] = field(factory=list)
    peers: Counter[str] = field(factory=Counter)

    def begin(self, request: Request, peer: str) -> None:
        """Count a request that has come."""
        self.open += 1
        self.total += 1
        self.peak = max(self.peak, self.open)
        self.method, self.query, self.headers = request.method, request.query, request.headers
        self.methods[request.method] += 1
        self.peers[peer] += 1
        if "range" in request.headers and len(self.ranges) < 1000:
            self.ranges.append(request.headers["range"])


#: What a connection asks for each request: its reply, the knobs that hold for it, and where it is counted.
Answer = Callable[[Request], tuple[Reply, Knobs, Tally]]


def unsent(transport: tcp.Server) -> int:
    """Bytes the kernel has taken from us and the other side's kernel has not acknowledged."""
    return int(struct.unpack("i", fcntl.ioctl(transport.getHandle(), termios.TIOCOUTQ, b"\0" * 4))[0])


class _CountingServer(tcp.Server):
    """A connection that tells its protocol how much the kernel took."""

    def writeSomeData(self, data: bytes) -> int | ConnectionLost:
        taken = super().writeSomeData(data)
        if isinstance(taken, int) and taken > 0 and isinstance(self.protocol, OriginConnection):
            self.protocol.bytes_written(taken)
        return taken


class CountingPort(tcp.Port):
    """A listening port whose connections count what they write."""

    transport = _CountingServer


@implementer(IPushProducer)
class OriginConnection(Protocol):
    """One client's connection; answers its requests one after the other."""

    transport: tcp.Server

    def __init__(self, factory: OriginFactory) -> None:
        self.factory: OriginFactory = factory
        self._clock = factory.clock
        self._answer = factory.answer
        self._received = b""
        self._script: Generator[Timed, None, Ending] | None = None
        self._next: Timed | None = None
        self._ending: Ending | None = None
        self._tally: Tally | None = None
        self._started = 0.0
        self._owed = 0
        self._paused = False
        self._later: IDelayedCall | None = None

    @property
    def tally(self) -> Tally | None:
        """Where the request that is being answered is counted."""
        return self._tally

    def connectionMade(self) -> None:
        self.factory.connections.add(self)
        self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > _BIGGEST_REQUEST:
            self.transport.abortConnection()
        elif self._tally is None:
            self._next_request()

    def _next_request(self) -> None:
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        try:
            request = parse_request(head)
            length = int(request.headers.get("content-length", "0"))
        except ValueError:
            self.transport.abortConnection()
            return
        if len(rest) < length:
            return
        self._received = rest[length:]
        self._begin(request.with_body(rest[:length]))

    def _begin(self, request: Request) -> None:
        try:
            reply, knobs, tally = self._answer(request)
            self._script = script(request, refusal(request, knobs) or reply, knobs)
            size = knobs.size("sndbuf")
        except (ValueError, KeyError) as error:
            knobs, tally, size = Knobs({}), Tally(), None
            self._script = script(request, text_reply(400, f"{error}"), knobs)
        if size is not None:
            self.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
        tally.begin(request, self.transport.getPeer().host)
        self._tally, self._ending, self._next = tally, None, None
        self._started = self._clock.seconds()
        self._pump()

    def _pump(self) -> None:
        """Write what is due, until the client has to catch up."""
        self._cancel()
        while not self._paused and self._script is not None:
            if self._next is None:
                try:
                    self._next = next(self._script)
                except StopIteration as stop:
                    self._script, self._ending = None, stop.value
                    self._settle()
                    return
            wait = self._started + self._next[0] - self._clock.seconds()
            if wait > 0:
                self._later = self._clock.callLater(wait, self._pump)
                return
            data, self._next = self._next[1], None
            self._owed += len(data)
            if self._tally is not None:
                self._tally.accepted += len(data)
            self.transport.write(data)

    def _cancel(self) -> None:
        if self._later is not None and self._later.active():
            self._later.cancel()
        self._later = None

    def bytes_written(self, count: int) -> None:
        """The kernel took so many bytes of ours."""
        self._owed -= count
        if self._tally is not None:
            self._tally.written += count
        if not self._owed and self._ending is not None:
            self._cancel()
            self._later = self._clock.callLater(0, self._settle)

    def _settle(self) -> None:
        """Do what follows the last byte, once the kernel has all of them."""
        self._later = None
        if self._owed or self._ending is None:
            return
        if self._ending is Ending.KEEP:
            self._end()
            self._next_request()
        elif self._ending is Ending.CLOSE:
            self._ending = None
            self.transport.unregisterProducer()
            self.transport.loseConnection()
        elif self._ending is Ending.RESET:
            # A reset throws away what is still on its way, and the client is to have all of it.
            if unsent(self.transport):
                self._later = self._clock.callLater(0.005, self._settle)
            else:
                self.transport.abortConnection()

    def _end(self) -> None:
        if self._tally is not None:
            self._tally.open -= 1
        self._tally, self._ending, self._script = None, None, None

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.factory.connections.discard(self)
        self._cancel()
        self._end()

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        # Called by the transport in the middle of its own write.
        self._cancel()
        if self._script is not None:
            self._later = self._clock.callLater(0, self._pump)
        elif self._ending is not None:
            self._later = self._clock.callLater(0, self._settle)

    def stopProducing(self) -> None:
        self._paused = True


class OriginFactory(Factory):
    """Makes the connections and knows which are there."""

    noisy = False

    def __init__(self, clock: IReactorTime, answer: Answer) -> None:
        self.clock = clock
        self.answer = answer
        self.connections: set[OriginConnection] = set()
        self.accepted = 0

    def buildProtocol(self, addr: object) -> OriginConnection:  # type: ignore[override]
        self.accepted += 1
        return OriginConnection(self)

    def undelivered(self, tally: Tally) -> int:
        """Bytes counted as written for a path that its clients' kernels do not have yet."""
        return sum(unsent(each.transport) for each in self.connections if each.tally is tally)


def listen(reactor: IReactorFDSet, factory: OriginFactory, port: int = 0) -> CountingPort:
    """Listen on loopback; the port that was free when ``port`` is 0."""
    listening = CountingPort(port, factory, interface="127.0.0.1", reactor=reactor)
    listening.startListening()
    return listening
