"""An origin, an isolated relay and a viewer on loopback, under the real reactor."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import ClientFactory, Protocol, ServerFactory, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure

from iptvd.delivery.isolated import IsolatedRelay, Means
from iptvd.delivery.session import Face, Session, Viewer
from iptvd.model import Channel, ChannelKind, Entry, Headers, Outcome, SourceKind
from iptvd.protocols.http_upstream import HTTPUpstream, Timeouts, connect_with, open_http
from iptvd.protocols.pipes import PipePool

FILM = Random(7).randbytes(1_500_000)
CHANNEL = Channel(1, 1, "One", "", ChannelKind.VOD, SourceKind.VOD, "ts", "", "", (("p", Entry("1", "One")),))
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


def descriptors() -> int:
    """How many sockets and pipes this process has open."""
    found = 0
    for each in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found += str(each.readlink()).startswith(("socket:", "pipe:"))
    return found


async def until(holds: Callable[[], object], meanwhile: Callable[[], object] = lambda: None) -> None:
    """Turn the reactor until something holds."""
    for _ in range(10_000):
        if holds():
            return
        meanwhile()
        await deferLater(reactor, 0.001)
    raise AssertionError("it never came about")


def small_buffers(connection: Protocol) -> None:
    """Let it be full soon."""
    handle = connection.transport.getHandle()  # type: ignore[union-attr]
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)


class Asked(Protocol):
    """One connection to the origin: answers a request for (a part of) the film."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.request = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.request += data
        if b"\r\n\r\n" in self.request:
            self.origin.answer(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True

    def drop(self) -> None:
        """Hang up after what was written, or without a goodbye once it has arrived."""
        if self.origin.dropping == "reset":
            handle = self.transport.getHandle()  # type: ignore[union-attr]
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.loseConnection()  # type: ignore[union-attr]

    # IPullProducer, for what is endless

    def resumeProducing(self) -> None:
        self.origin.produced += 16384
        self.transport.write(bytes(16384))  # type: ignore[union-attr]

    def stopProducing(self) -> None:
        pass


class Origin(ServerFactory):
    """
    An origin with one film.

    :ivar cuts: after how many bytes of body each connection is dropped, in order; the rest is served whole.
    """

    noisy = False

    def __init__(self, framing: str = "length", film: bytes = FILM, *, endless: bool = False) -> None:
        self.framing = framing
        self.film = film
        self.etag = '"one"'
        self.cuts: list[int] = []
        self.dropping = "closed"
        self.status = 0
        self.silent = False
        self.endless = endless
        self.produced = 0
        self.connections: list[Asked] = []

    def buildProtocol(self, addr: object) -> Asked:
        self.connections.append(Asked(self))
        return self.connections[-1]

    @property
    def ranges(self) -> list[tuple[str, str]]:
        """Range and If-Range of each request."""
        found = []
        for each in self.connections:
            head = each.request.decode()
            values = [re.search(rf"\r\n{name}: (.*)\r\n", head) for name in ("Range", "If-Range")]
            found.append((values[0][1] if values[0] else "", values[1][1] if values[1] else ""))
        return found

    def answer(self, asked: Asked) -> None:
        transport = asked.transport
        assert transport is not None
        if self.status:
            transport.write(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % self.status)
            return
        wanted, condition = self.ranges[self.connections.index(asked)]
        body, status, extra = self.film, b"200 OK", ""
        if wanted and condition in ("", self.etag):
            first, last = wanted.removeprefix("bytes=").split("-")
            body = body[int(first) : int(last) + 1 if last else None]
            status = b"206 Partial Content"
            extra = f"Content-Range: bytes {first}-{int(first) + len(body) - 1}/{len(self.film)}\r\n"
        head = f"ETag: {self.etag}\r\nAccept-Ranges: bytes\r\n{extra}".encode()
        if self.framing == "length":
            head += b"Content-Length: %d\r\n" % len(body)
        elif self.framing == "chunked":
            head += b"Transfer-Encoding: chunked\r\n"
        transport.write(b"HTTP/1.1 " + status + b"\r\n" + head + b"\r\n")
        if self.endless:
            small_buffers(asked)
            transport.registerProducer(asked, False)  # type: ignore[attr-defined]
            return
        if self.silent:
            return
        cut = self.cuts.pop(0) if self.cuts else None
        sent = body[:cut]
        if self.framing == "chunked":
            sent = b"%x\r\n%s" % (len(body), sent) + (b"\r\n0\r\n\r\n" if cut is None else b"")
        transport.write(sent)
        if cut is not None:
            asked.drop()
        elif self.framing == "close":
            transport.loseConnection()


class Watching(Protocol):
    """The viewer's end."""

    def __init__(self) -> None:
        self.got = bytearray()
        self.closed = False

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed = True


class Served(Protocol):
    """Our end of the viewer's connection."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def connectionMade(self) -> None:
        self._stage.accepted.callback(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stage.relay.stop(Outcome.VIEWER_LEFT)


class Stage:
    """An origin, a relay and a viewer."""

    relay: IsolatedRelay

    def __init__(self, origin: Origin, pool: PipePool | None, clock: Clock | None, endless: bool) -> None:
        self.origin = origin
        self.endless = endless or origin.endless
        self.pool = pool
        self.clock = clock
        self.fault: Exception | None = None
        self.accepted: Deferred[Served] = Deferred()
        self.watching = Watching()
        self.session = Session("s", CHANNEL, Viewer("127.0.0.1"), Face.VOD, 0.0)
        self.ends: list[tuple[Outcome, str]] = []
        self.ports: list[IListeningPort] = []

    def port_of(self, number: int) -> int:
        """The origin's, or ours."""
        address = self.ports[number].getHost()
        assert isinstance(address, IPv4Address)
        return address.port

    async def open(self, headers: Headers = ()) -> HTTPUpstream:
        if self.fault is not None:
            raise self.fault
        return await open_http(
            f"http://127.0.0.1:{self.port_of(0)}/film.ts",
            headers,
            connect_with(reactor, Timeouts()),
            reactor,
            Timeouts(),
        )

    def advance(self) -> None:
        if self.clock is not None:
            self.clock.advance(0.05)

    async def end(self) -> Outcome:
        """How it ended, once the viewer knows."""
        await until(lambda: self.ends and self.watching.closed, self.advance)
        assert len(self.ends) == 1
        assert self.session.bytes_sent <= len(FILM) or self.endless
        return self.ends[0][0]

    @property
    def body(self) -> bytes:
        """What the viewer has of the film."""
        assert self.watching.got.startswith(HEAD)
        return bytes(self.watching.got[len(HEAD) :])


@asynccontextmanager
async def staged(
    origin: Origin,
    way: str = "spliced",
    *,
    ask: Headers = (),
    clock: Clock | None = None,
    endless: bool = False,
    resumed: bool = True,
    slow: bool = False,
    client_timeout: float = 300.0,
) -> AsyncIterator[Stage]:
    """A relay under way; afterwards everything it had must have been given back."""
    before = descriptors()
    stage = Stage(origin, PipePool(few=1) if way == "spliced" else None, clock, endless)

    class Ours(ServerFactory):
        noisy = False

        def buildProtocol(self, addr: object) -> Served:
            return Served(stage)

    class Theirs(ClientFactory):
        noisy = False

        def buildProtocol(self, addr: object) -> Watching:
            return stage.watching

    stage.ports = [reactor.listenTCP(0, each, interface="127.0.0.1") for each in (origin, Ours())]
    try:
        upstream = await stage.open(ask)
        reactor.connectTCP("127.0.0.1", stage.port_of(1), Theirs())
        served = await stage.accepted
        transport = served.transport
        assert transport is not None
        await until(lambda: stage.watching.connected)
        if slow:
            small_buffers(served)
            small_buffers(stage.watching)
            stage.watching.transport.pauseProducing()  # type: ignore[union-attr]

        def finished(outcome: Outcome, reason: str) -> None:
            stage.ends.append((outcome, reason))
            if outcome is Outcome.COMPLETED:
                transport.loseConnection()
            else:
                transport.abortConnection()  # type: ignore[attr-defined]

        stage.relay = IsolatedRelay(
            stage.session,
            upstream,
            transport,
            HEAD,
            Means(reactor, clock or reactor, stage.pool, 30.0, client_timeout),
            endless,
            finished,
            stage.open if resumed else None,
        )
        stage.relay.start()
        if clock is not None:
            clock.advance(0)
        yield stage
        stage.relay.stop(Outcome.DRAINED)
        assert len(stage.ends) == 1
        if clock is not None:
            assert clock.getDelayedCalls() == []
    finally:
        for port in stage.ports:
            await maybeDeferred(port.stopListening)
        for each in origin.connections:
            each.transport.abortConnection()  # type: ignore[union-attr]
        stage.watching.transport.abortConnection()  # type: ignore[union-attr]
        await until(lambda: all(each.lost for each in origin.connections) and stage.watching.closed)
    if stage.pool is not None:
        assert stage.pool.in_use == 0
        stage.pool.close()
    await until(lambda: descriptors() == before)
