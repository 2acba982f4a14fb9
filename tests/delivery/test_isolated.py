"""One upstream for one viewer, in the kernel or through Python."""

from __future__ import annotations

import errno
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from unittest import mock

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import ClientFactory, Protocol, ServerFactory, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure

from iptvd.delivery.isolated import IsolatedRelay, Means, spliceable
from iptvd.delivery.session import Face, Session, Viewer
from iptvd.log import Fault
from iptvd.model import Channel, ChannelKind, Entry, Headers, Outcome, SourceKind
from iptvd.protocols.http_upstream import HTTPUpstream, Timeouts, connect_with, open_http
from iptvd.protocols.splice import PipePool
from iptvd.protocols.upstream import Upstream
from tests.conftest import LoggedErrors

FILM = Random(7).randbytes(1_500_000)
CHANNEL = Channel(1, 1, "One", "", ChannelKind.VOD, SourceKind.VOD, "ts", "", "", (("p", Entry("1", "One")),))
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"

#: The ways there are: in the kernel, or through Python because we say so or because of the origin's framing.
WAYS = (("spliced", "length"), ("spliced", "close"), ("python", "length"), ("python", "close"), ("spliced", "chunked"))

both_ways = pytest.mark.parametrize("way", ["spliced", "python"])


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

    def __init__(self, framing: str = "length", film: bytes = FILM) -> None:
        self.framing = framing
        self.film = film
        self.etag = '"one"'
        self.cuts: list[int] = []
        self.dropping = "closed"
        self.status = 0
        self.silent = False
        self.endless = False
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

    def __init__(self, origin: Origin, pool: PipePool | None, clock: Clock | None) -> None:
        self.origin = origin
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
        assert self.session.bytes_sent <= len(FILM) or self.origin.endless
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
) -> AsyncIterator[Stage]:
    """A relay under way; afterwards everything it had must have been given back."""
    before = descriptors()
    stage = Stage(origin, PipePool(few=1) if way == "spliced" else None, clock)

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
            Means(reactor, clock or reactor, stage.pool, 30.0, 300.0),
            endless,
            finished,
            stage.open if resumed else None,
        )
        stage.relay.start()
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


@pytest.mark.parametrize(("way", "framing"), WAYS)
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_film(way: str, framing: str) -> None:
    """A film arrives byte by byte as its origin has it, by whatever way, and its bytes are counted."""
    async with staged(Origin(framing), way) as stage:
        assert stage.relay.spliced == (way == "spliced" and framing != "chunked")
        assert await stage.end() is Outcome.COMPLETED
        assert stage.body == FILM
        assert stage.session.bytes_sent == len(FILM)


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_short_one(way: str) -> None:
    """What came whole with its head is sent whole."""
    async with staged(Origin(film=b"short"), way) as stage:
        assert await stage.end() is Outcome.COMPLETED
        assert stage.body == b"short"


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_live_stream_that_ends(way: str) -> None:
    """A live stream that ends was lost, and is not asked for again."""
    async with staged(Origin("close"), way, endless=True) as stage:
        assert await stage.end() is Outcome.UPSTREAM_LOST
        assert stage.ends[0][1] == "the origin ended the stream"
        assert len(stage.origin.connections) == 1


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_viewer_that_leaves(way: str) -> None:
    """When the viewer leaves, its origin is closed at once."""
    origin = Origin("close")
    origin.endless = True
    async with staged(origin, way) as stage:
        await until(lambda: len(stage.watching.got) > 100_000)
        stage.watching.transport.abortConnection()  # type: ignore[union-attr]
        assert await stage.end() is Outcome.VIEWER_LEFT
        await until(lambda: origin.connections[0].lost)


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_viewer_that_leaves_while_it_does_not_read(way: str) -> None:
    """A viewer that leaves with everything full is noticed all the same."""
    origin = Origin("close")
    origin.endless = True
    async with staged(origin, way, slow=True) as stage:
        await full(stage)
        stage.watching.transport.abortConnection()  # type: ignore[union-attr]
        assert await stage.end() is Outcome.VIEWER_LEFT


async def full(stage: Stage) -> None:
    """Wait until nothing moves any more."""
    idle, before = 0, -1
    while idle < 50:
        idle, before = (idle + 1 if stage.origin.produced == before else 0), stage.origin.produced
        await deferLater(reactor, 0.001)


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_slow_viewer_bounds_what_is_fetched(way: str) -> None:
    """What a viewer does not read is not fetched; it is ended as too slow when it reads nothing for long enough."""
    origin = Origin("close")
    origin.endless = True
    clock = Clock()
    async with staged(origin, way, clock=clock, slow=True) as stage:
        await full(stage)
        assert 0 < origin.produced < 1_000_000
        clock.pump([29.0] * 10)
        assert stage.ends == []
        clock.pump([29.0] * 2)
        assert stage.ends == [(Outcome.VIEWER_TOO_SLOW, "the viewer read nothing for 300 s")]


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_an_origin_that_falls_silent(way: str) -> None:
    """An origin that sends nothing, though it may, is given up after the stall timeout."""
    origin = Origin()
    origin.silent = True
    clock = Clock()
    async with staged(origin, way, clock=clock) as stage:
        clock.pump([1.0] * 29)
        assert stage.ends == []
        clock.pump([1.0] * 2)
        assert stage.ends == [(Outcome.UPSTREAM_STALLED, "the origin sent nothing for 30 s")]


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_ended_from_outside(way: str) -> None:
    """The operator can end it at any moment; only the first end counts."""
    origin = Origin("close")
    origin.endless = True
    async with staged(origin, way, slow=True) as stage:
        await full(stage)
        stage.relay.stop(Outcome.ENDED_BY_OPERATOR, "kicked")
        stage.relay.stop(Outcome.DRAINED)
        assert stage.ends == [(Outcome.ENDED_BY_OPERATOR, "kicked")]


@pytest.mark.parametrize("ask", [(), (("Range", "bytes=100000-1400000"),), (("Range", "bytes=1000-"),)])
@pytest.mark.parametrize(("way", "framing"), [("spliced", "length"), ("python", "length"), ("spliced", "chunked")])
@pytest.mark.parametrize("dropping", ["closed", "reset"])
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_film_that_is_dropped(ask: Headers, way: str, framing: str, dropping: str) -> None:
    """A film that its origin drops again and again goes on at the byte where it stopped, a part of one too."""
    origin = Origin(framing)
    origin.cuts = [0, 70_000, 200_000, 70_001]
    origin.dropping = dropping
    whole = FILM
    if ask:
        first, last = ask[0][1].removeprefix("bytes=").split("-")
        whole = FILM[int(first) : int(last) + 1 if last else None]
    async with staged(origin, way, ask=ask, clock=Clock()) as stage:
        assert await stage.end() is Outcome.COMPLETED
        assert stage.body == whole
        assert stage.session.bytes_sent == len(whole)
        assert len(origin.connections) == 5
        assert {condition for _, condition in origin.ranges[1:]} == {'"one"'}


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_film_that_changed(way: str) -> None:
    """A film that is another one now is not gone on with: the viewer gets no byte of the other."""
    origin = Origin()
    origin.cuts = [500_000]
    async with staged(origin, way, clock=Clock()) as stage:
        origin.etag = '"two"'
        origin.film = bytes(len(FILM))
        assert await stage.end() is Outcome.UPSTREAM_LOST
        assert "another version" in stage.ends[0][1]
        assert stage.body == FILM[: len(stage.body)]


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_an_origin_that_does_not_come_back(way: str) -> None:
    """An origin that only fails is asked a few times, then the film is lost for the first reason."""
    origin = Origin()
    origin.cuts = [500_000]
    async with staged(origin, way, clock=Clock()) as stage:
        origin.status = 503
        assert await stage.end() is Outcome.UPSTREAM_LOST
        assert "before it had sent everything" in stage.ends[0][1]
        assert len(origin.connections) == 6


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_what_is_not_to_be_resumed(way: str) -> None:
    """Where going on is not wanted a film that is dropped is lost."""
    origin = Origin()
    origin.cuts = [500_000]
    async with staged(origin, way, resumed=False) as stage:
        assert await stage.end() is Outcome.UPSTREAM_LOST
        assert len(origin.connections) == 1


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_ended_while_it_is_asked_for_again(way: str) -> None:
    """Ending it while its origin is being asked again asks no more."""
    origin = Origin()
    origin.cuts = [500_000, 1]
    clock = Clock()
    async with staged(origin, way, clock=clock) as stage:
        await until(lambda: origin.connections[0].lost and len(clock.getDelayedCalls()) == 2)
        stage.relay.stop(Outcome.DRAINED)
        clock.advance(5.0)
        assert len(origin.connections) == 1


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_going_on_by_the_other_way() -> None:
    """An origin that continues in chunks is gone on with through Python."""
    origin = Origin()
    origin.cuts = [500_000]
    async with staged(origin, clock=Clock()) as stage:
        assert stage.relay.spliced
        origin.framing = "chunked"
        assert await stage.end() is Outcome.COMPLETED
        assert stage.body == FILM


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_no_pipe_midway() -> None:
    """When there is no pipe to be had, midway, Python goes on with nothing lost."""
    async with staged(Origin()) as stage:
        assert stage.pool is not None
        some = [stage.pool.borrow() for _ in range(2)]
        given = [*some, OSError(errno.EMFILE, "Too many open files")]
        with mock.patch.object(stage.pool, "borrow", side_effect=given) as borrow:
            await until(lambda: not stage.relay.spliced)
            assert borrow.call_count == 3
            assert stage.session.bytes_sent < len(FILM)
            assert await stage.end() is Outcome.COMPLETED
            assert stage.body == FILM


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_no_descriptors() -> None:
    """Without descriptors left for splicing it goes through Python from the start."""
    with mock.patch("os.dup", side_effect=OSError(errno.EMFILE, "Too many open files")):
        async with staged(Origin()) as stage:
            assert not stage.relay.spliced
            assert await stage.end() is Outcome.COMPLETED
            assert stage.body == FILM


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_platform_without_splice() -> None:
    """Where the platform cannot splice it goes through Python."""
    with mock.patch("iptvd.delivery.isolated.AVAILABLE", False):
        async with staged(Origin()) as stage:
            assert not stage.relay.spliced
            assert await stage.end() is Outcome.COMPLETED
            assert stage.body == FILM


@both_ways
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_fault_of_ours(way: str, logged_errors: LoggedErrors) -> None:
    """An unexpected error while going on is logged, and ends the session like any loss."""
    origin = Origin()
    origin.cuts = [500_000]
    async with staged(origin, way, clock=Clock()) as stage:
        stage.fault = ValueError("unexpected")
        assert await stage.end() is Outcome.UPSTREAM_LOST
        assert "could not be asked again" in stage.ends[0][1]
    assert len(logged_errors.flush(Fault)) == 1


def test_what_is_spliceable() -> None:
    """Only our own HTTP client has a body that comes from a socket as it is."""
    assert spliceable(Upstream()) is None
    assert spliceable(HTTPUpstream("GET", b"")) is None
