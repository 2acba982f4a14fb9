"""Our own HTTP client for media: one request, redirects followed, and a body that obeys its reader."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any, Protocol

from attrs import evolve, frozen
from OpenSSL.SSL import Error as TLSError
from service_identity import VerificationError
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectionLost, ConnectionRefusedError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint, ITransport
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from iptvd.errors import ProtocolError, UpstreamError
from iptvd.model import Headers
from iptvd.nearby import NearbyError
from iptvd.protocols.http1 import (
    EndOfResponse,
    Event,
    ResponseHead,
    ResponseParser,
    Target,
    render_request,
    resolve_redirect,
    same_origin,
    split_url,
)
from iptvd.protocols.origin_socket import connection_of, prepare
from iptvd.protocols.origin_tls import READ, SecureEndpoint, tls_to
from iptvd.protocols.resting import Pace, Rests, shared_rests
from iptvd.protocols.socks5 import Proxy
from iptvd.protocols.socks_endpoint import Once, ProxyError, endpoint_to
from iptvd.protocols.upstream import Receiver, Upstream

MAX_REDIRECTS = 5
#: Bytes of one read, before anyone takes the body and after: a crowd that joins at once would make us hold much.
FIRST = 8192
PLAIN = 65536

#: Gives the endpoint for a target, its certificate verified or not.
Connect = Callable[[Target, bool], IStreamClientEndpoint]


class Kept(Protocol):
    """Connections that serve one request after another; see `iptvd.protocols.kept`."""

    def over(self, connect: Connect, request: bytes) -> Connect:
        """One of them for this request, and where there is none, a new one."""


@frozen
class Timeouts:
    """
    How long an origin may take, in seconds.

    :ivar connect: for the TCP connection, all addresses of a name together.
    :ivar head: from the request to the whole response head, and again to the first byte of the body.
    """

    connect: float = 10.0
    head: float = 10.0


def connect_with(reactor: Any, timeouts: Timeouts, straight: Any = None) -> Connect:
    """
    Connections over the network, straight or through the target's proxy.

    :param straight: the reactor for those that go through none, where it is another one.
    """

    def connect(target: Target, verify_tls: bool) -> IStreamClientEndpoint:
        by = straight if straight is not None and target.proxy is None else reactor
        endpoint = endpoint_to(by, target.host, target.port, timeouts.connect, target.proxy)
        if target.scheme == "https":
            endpoint = SecureEndpoint(tls_to(target.host, verify_tls), endpoint, reactor)
        return endpoint

    return connect


class HTTPUpstream(Upstream, TwistedProtocol):
    """
    One request on a connection of its own.

    :ivar head: the response's head, once ``received`` has fired.
    :param received: fires with the head once that is there, or fails with an `UpstreamError`.
    :param rests: for what comes in small pieces; without, each is read as it comes.
    """

    transport: ITransport

    def __init__(
        self, method: str, request: bytes, received: Deferred[ResponseHead] | None = None, rests: Rests | None = None
    ) -> None:
        super().__init__()
        self.head: ResponseHead | None = None
        self.url = ""
        #: Asked, when all has come and the connection is fit for another request, whether it is kept for one.
        self.keep: Callable[[HTTPUpstream], bool] | None = None
        self._received = received
        self._request = request
        self._parser = ResponseParser(method)
        self._paused = False
        self._rests = rests
        self._pace: Pace | None = None
        self._resting = False

    def connectionMade(self) -> None:
        """Ask."""
        connection = prepare(self)
        if connection is not None:
            connection.bufferSize = FIRST
        request, self._request = self._request, b""
        self.transport.write(request)

    def attach(self, receiver: Receiver) -> None:
        """See `Upstream.attach`."""
        connection, above = connection_of(self)
        if connection is not None:
            connection.bufferSize = PLAIN if above is self else READ
        super().attach(receiver)

    def dataReceived(self, data: bytes) -> None:
        """Parse, and pass on what is body."""
        try:
            events = self._parser.feed(data)
        except ProtocolError as error:
            self._fail(UpstreamError(502, f"the origin does not speak HTTP properly: {error.sentence}"))
            return
        self._handle(events)
        if self._rests is not None and self._receiver is not None:
            self._perhaps_rest(self._rests, len(data))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The origin hung up, or we did."""
        if self.ended:
            return
        try:
            # A reset is no proper end, also of a body that ends with its connection.
            events = [] if reason.check(ConnectionLost) else self._parser.feed_eof()
        except ProtocolError:
            events = []
        self._handle(events)
        self._fail(_lost(reason))

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, ResponseHead):
                self.head = event
            elif isinstance(event, EndOfResponse):
                self._finish()
            else:
                self._deliver(event)
        # Last, so that what came with the head is there for whoever waits for it.
        if self._received is not None and self.head is not None:
            received, self._received = self._received, None
            received.callback(self.head)

    def _finish(self) -> None:
        """All of it has come: its connection is for another request where somebody keeps it, else it is closed."""
        kept = self.keep is not None and self._parser.reusable and self.keep(self)
        if kept:
            # Whoever has had the body may still say that we are to close what is not ours any more.
            self.transport = None  # type: ignore[assignment]
        self._end(None)
        if not kept:
            self._close()

    def _fail(self, error: UpstreamError) -> None:
        if self._received is not None:
            received, self._received = self._received, None
            received.errback(error)
            self.ended = True
        self._end(error)
        self._close()

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]

    # Rests

    def _perhaps_rest(self, rests: Rests, size: int) -> None:
        # Only where bytes come this way: a body that is spliced has none.
        pace = self._pace = self._pace or Pace()
        if pace.came(size, rests.seconds()) and not (self._resting or self._paused or self.ended):
            self._resting = True
            self.transport.pauseProducing()  # type: ignore[attr-defined]
            rests.rest(self)

    def rested(self) -> None:
        """See `iptvd.protocols.resting.Sleeper`."""
        self._resting = False
        if not self._paused and not self.ended:
            self.transport.resumeProducing()  # type: ignore[attr-defined]

    # IPushProducer

    def pauseProducing(self) -> None:
        """Stop reading: the origin's window closes."""
        if not self._paused and not self.ended:
            self._paused = True
            self.transport.pauseProducing()  # type: ignore[attr-defined]

    def resumeProducing(self) -> None:
        """Read on."""
        if self._paused and not self.ended:
            self._paused = False
            if not self._resting:
                self.transport.resumeProducing()  # type: ignore[attr-defined]

    def stopProducing(self) -> None:
        """Close the connection at once."""
        self.ended = True
        self._held.clear()
        self._close()


def _lost(reason: Failure) -> UpstreamError:
    value = reason.value
    if isinstance(value, (TLSError, VerificationError)):
        return UpstreamError(502, "the secure connection to the origin failed: is its certificate valid?")
    if isinstance(value, ProxyError):
        return _connect_error(value)
    return UpstreamError(502, "the origin closed the connection before it had sent everything")


def _connect_error(error: Exception) -> UpstreamError:
    if isinstance(error, ProxyError):
        return UpstreamError(504 if error.late else 502, error.sentence)
    if isinstance(error, NearbyError):
        return UpstreamError(502, "the origin is in this network, where it may not be (allow_private_upstreams)")
    if isinstance(error, DNSLookupError):
        return UpstreamError(502, "the origin's name is not known to DNS")
    if isinstance(error, (ConnectTimeout, TimeoutError)):
        return UpstreamError(504, "the origin does not answer")
    if isinstance(error, ConnectionRefusedError):
        return UpstreamError(502, "the origin refuses the connection")
    return UpstreamError(502, f"the origin cannot be reached ({type(error).__name__})")


_PERSONAL = frozenset({"authorization", "cookie"})


def headers_for(url: str, headers: Headers, home: str) -> Headers:
    """
    What of the headers may go to ``url``: credentials go to the origin of ``home`` alone (RFC 9110 section 15.4).

    :raises ProtocolError: when one of the URLs cannot be used.
    """
    if same_origin(url, home):
        return headers
    return tuple((name, value) for name, value in headers if name.lower() not in _PERSONAL)


async def _ask(
    method: str,
    request: bytes,
    connect: Connect,
    target: Target,
    verify_tls: bool,
    clock: IReactorTime,
    timeouts: Timeouts,
) -> tuple[HTTPUpstream, ResponseHead]:
    """One request, and the head of what it is answered with."""
    received: Deferred[ResponseHead] = Deferred(lambda _: upstream.stopProducing())
    upstream = HTTPUpstream(method, request, received, shared_rests(clock))
    try:
        await connect(target, verify_tls).connect(Once(upstream))
    except CancelledError:
        raise
    except Exception as error:
        raise _connect_error(error) from None
    try:
        return upstream, await received.addTimeout(timeouts.head, clock)
    except TimeoutError:
        raise UpstreamError(504, f"the origin took longer than {timeouts.head:g} s to answer") from None


async def open_http(
    url: str,
    headers: Headers,
    connect: Connect,
    clock: IReactorTime,
    timeouts: Timeouts,
    *,
    method: str = "GET",
    verify_tls: bool = True,
    proxy: Proxy | None = None,
    kept: Kept | None = None,
) -> HTTPUpstream:
    """
    Ask an origin, following redirects; the upstream's ``head`` is there, whatever its status, and ``url`` is final.

    :param proxy: through which all of it goes, redirects too.
    :param kept: connections that serve one request after another; without, each request has one of its own.
    :raises UpstreamError: when no response came.
    """
    for _ in range(MAX_REDIRECTS + 1):
        try:
            target = evolve(split_url(url), proxy=proxy)
            if target.userinfo is not None and not any(name.lower() == "authorization" for name, _ in headers):
                credentials = b64encode(":".join(target.userinfo).encode()).decode()
                headers = (*headers, ("Authorization", f"Basic {credentials}"))
            request = render_request(method, target.target, target.host_header, headers, keep_alive=kept is not None)
        except ProtocolError as error:
            raise UpstreamError(502, f"the origin's address cannot be used: {error.sentence}") from None
        way = connect if kept is None else kept.over(connect, request)
        upstream, head = await _ask(method, request, way, target, verify_tls, clock, timeouts)
        location = head.get("location")
        if head.status not in (301, 302, 303, 307, 308) or not location:
            upstream.url = url
            return upstream
        upstream.stopProducing()
        try:
            url, former = resolve_redirect(url, location), url
            headers = headers_for(url, headers, former)
        except ProtocolError as error:
            raise UpstreamError(502, f"the origin redirects to what cannot be followed: {error.sentence}") from None
    raise UpstreamError(502, f"the origin redirects more than {MAX_REDIRECTS} times")
