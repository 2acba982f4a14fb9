"""The segment cache between a real origin and real viewers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from iptvd.delivery.locator import locate
from iptvd.delivery.opening import Ask, Opened, Opener
from iptvd.delivery.relay import Relay
from iptvd.delivery.segments import LIMIT, SegmentCache
from iptvd.delivery.session import Face
from iptvd.delivery.shelf import Terms
from iptvd.delivery.slots import Slot
from iptvd.model import Outcome, Source, SourceKind
from iptvd.protocols.http_upstream import Timeouts, connect_with
from iptvd.protocols.m3u8 import Role
from tests.delivery.test_relay import session
from tests.doubles import offload

SEGMENT = b"".join(number.to_bytes(4, "big") for number in range(1_000_000))


def free() -> Slot:
    """A connection to be had at any time."""
    return Slot(lambda: None)


class Origin(Resource):
    """Sends the segment in two halves, the second when it is told to."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.go_on: Deferred[None] = Deferred()

    def render_GET(self, request: Request) -> int:
        self.asked += 1
        half = len(SEGMENT) // 2
        request.setHeader("Content-Length", str(len(SEGMENT)))
        request.write(SEGMENT[:half])

        def rest(result: None) -> None:
            request.write(SEGMENT[half:])
            request.finish()

        self.go_on.addCallback(rest)
        return NOT_DONE_YET


class Front(Resource):
    """Gives viewers the segment."""

    isLeaf = True

    def __init__(self, play: Callable[[Request], Deferred[None]]) -> None:
        super().__init__()
        self._play = play

    def render_GET(self, request: Request) -> int:
        self._play(request)
        return NOT_DONE_YET


class Viewer(Protocol):
    """Asks, and reads to the end unless it is slow; then it stops after the first bytes until it is told to go on."""

    def __init__(self, slow: bool) -> None:
        self.slow = slow
        self.got = b""
        self.some: Deferred[None] = Deferred()
        self.all: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.got += data
        if not self.some.called:
            if self.slow:
                self.transport.pauseProducing()  # type: ignore[union-attr]
            self.some.callback(None)

    def read_on(self) -> None:
        self.transport.resumeProducing()  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.all.callback(self.got.partition(b"\r\n\r\n")[2])


class Nobody:
    def upstream_opened(self) -> None:
        pass

    def upstream_failed(self, status: int) -> None:
        pass


@asynccontextmanager
async def listening(resource: Resource) -> AsyncIterator[int]:
    """A server on loopback; gives its port."""
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Site(resource))
    try:
        yield port.getHost().port
    finally:
        await port.stopListening()


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_many_viewers_and_a_slow_one() -> None:
    """Four viewers, one of them slow, get a segment whole for one request, and begin before the origin has it all."""
    timeouts = Timeouts()
    opener = Opener(reactor, connect_with(reactor, timeouts), timeouts, offload, "test", Nobody())  # type: ignore[arg-type]
    cache = SegmentCache(LIMIT, reactor)
    outcomes: list[Outcome] = []
    origin = Origin()
    async with listening(origin) as port:
        source = Source(SourceKind.HLS, url=f"http://127.0.0.1:{port}/")

        async def play(request: Request) -> None:
            async def fetch() -> Opened:
                return await opener.open_url(source, source.url, Ask())

            opened = await cache.open(locate(source, source.url), Ask(), Role.SEGMENT, Terms(10.0, "p", free), fetch)
            for name, value in opened.headers:
                request.setHeader(name, value)

            def finished(outcome: Outcome, reason: str) -> None:
                outcomes.append(outcome)
                request.finish()

            assert opened.upstream is not None
            Relay(
                session(Face.HLS),
                opened.upstream,
                request,
                reactor,
                30.0,
                30.0,
                False,
                finished,
            ).start()

        async with listening(Front(lambda request: Deferred.fromCoroutine(play(request)))) as front:
            viewers = [Viewer(slow) for slow in (False, False, True)]

            def connect(viewer: Viewer) -> Deferred[IProtocol]:
                endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", front)
                return endpoint.connect(Factory.forProtocol(lambda: viewer))

            for viewer in viewers:
                await connect(viewer)
            # The first bytes are there before the origin has sent the last.
            await gatherResults([viewer.some for viewer in viewers])
            origin.go_on.callback(None)
            whole = await gatherResults([viewer.all for viewer in viewers if not viewer.slow])
            assert all(body == SEGMENT for body in whole)
            # The slow one has held up nobody; now it reads what was kept for it, and another comes late.
            viewers[2].read_on()
            late = Viewer(slow=False)
            await connect(late)
            assert await late.all == SEGMENT
            assert await viewers[2].all == SEGMENT
    figures = cache.figures
    assert (origin.asked, figures.misses, figures.hits) == (1, 1, 3)
    assert outcomes == [Outcome.COMPLETED] * 4
    cache.clear()
    assert cache.figures.bytes_held == 0
