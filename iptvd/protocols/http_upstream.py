"""Our own HTTP client for media: one request, redirects followed, and a body that obeys its reader."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

from attrs import frozen
from OpenSSL.SSL import Error as TLSError
from service_identity import VerificationError
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionLost, ConnectionRefusedError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint, ITCPTransport, ITransport
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure

from iptvd.errors import ProtocolError, UpstreamError
from iptvd.model import Headers
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
from iptvd.protocols.origin_tls import tls_to
from iptvd.protocols.upstream import Upstream

MAX_REDIRECTS = 5

#: Gives the endpoint for a target, its certificate verified or not.
Connect = Callable[[Target, bool], IStreamClientEndpoint]


@frozen
class Timeouts:
    """
    How long an origin may take, in seconds.

    :ivar connect: for the TCP connection, all addresses of a name together.
    :ivar head: from the request to the whole response head, and again to the first byte of the body.
    """

    connect: float = 10.0
    head: float = 10.0


def connect_with(reactor: object, timeouts: Timeouts) -> Connect:
    """Connections over the network: all addresses of a name are tried, the quickest is used (RFC 8305)."""

    def connect(target: Target, verify_tls: bool) -> IStreamClientEndpoint:
        endpoint: IStreamClientEndpoint = HostnameEndpoint(reactor, target.host, target.port, timeout=timeouts.connect)
        if target.scheme == "https":
            endpoint = wrapClientTLS(tls_to(target.host, verify_tls), endpoint)
        return endpoint

    return connect


class HTTPUpstream(Upstream, TwistedProtocol):
    """
    One request on a connection of its own.

    :ivar head: the response's head, once ``head_received`` has fired.
    """

    transport: ITransport

    def __init__(self, method: str, request: bytes) -> None:
        super().__init__()
        self.head: ResponseHead | None = None
        self.url = ""
        self.head_received: Deferred[ResponseHead] = Deferred(lambda _: self.stopProducing())
        self._request = request
        self._parser = ResponseParser(method)
        self._paused = False

    def connectionMade(self) -> None:
        """Ask."""
        transport = ITCPTransport(self.transport, None)
        if transport is not None:
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        """Parse, and pass on what is body."""
        try:
            events = self._parser.feed(data)
        except ProtocolError as error:
            self._fail(UpstreamError(502, f"the origin does not speak HTTP properly: {error.sentence}"))
            return
        self._handle(events)

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
                self._end(None)
                self._close()
            else:
                self._deliver(event)
        # Last, so that what came with the head is there for whoever waits for it.
        if self.head is not None and not self.head_received.called:
            self.head_received.callback(self.head)

    def _fail(self, error: UpstreamError) -> None:
        if not self.head_received.called:
            self.head_received.errback(error)
            self.ended = True
        self._end(error)
        self._close()

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]

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
            self.transport.resumeProducing()  # type: ignore[attr-defined]

    def stopProducing(self) -> None:
        """Close the connection at once."""
        self.ended = True
        self._held.clear()
        self._close()


class _Once(Factory):
    """Builds the one protocol there is to build."""

    noisy = False

    def __init__(self, upstream: HTTPUpstream) -> None:
        self._upstream = upstream

    def buildProtocol(self, addr: object) -> HTTPUpstream:
        return self._upstream


def _lost(reason: Failure) -> UpstreamError:
    value = reason.value
    if isinstance(value, (TLSError, VerificationError)):
        return UpstreamError(502, "the secure connection to the origin failed: is its certificate valid?")
    return UpstreamError(502, "the origin closed the connection before it had sent everything")


def _connect_error(error: Exception) -> UpstreamError:
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


async def open_http(
    url: str,
    headers: Headers,
    connect: Connect,
    clock: IReactorTime,
    timeouts: Timeouts,
    *,
    method: str = "GET",
    verify_tls: bool = True,
) -> HTTPUpstream:
    """
    Ask an origin, following redirects; the upstream's ``head`` is there, whatever its status, and ``url`` is final.

    :raises UpstreamError: when no response came.
    """
    for _ in range(MAX_REDIRECTS + 1):
        try:
            target = split_url(url)
            if target.userinfo is not None and not any(name.lower() == "authorization" for name, _ in headers):
                credentials = b64encode(":".join(target.userinfo).encode()).decode()
                headers = (*headers, ("Authorization", f"Basic {credentials}"))
            request = render_request(method, target.target, target.host_header, headers)
        except ProtocolError as error:
            raise UpstreamError(502, f"the origin's address cannot be used: {error.sentence}") from None
        upstream = HTTPUpstream(method, request)
        try:
            endpoint = connect(target, verify_tls)
            await endpoint.connect(_Once(upstream))
        except CancelledError:
            raise
        except Exception as error:
            raise _connect_error(error) from None
        try:
            head = await upstream.head_received.addTimeout(timeouts.head, clock)
        except TimeoutError:
            raise UpstreamError(504, f"the origin took longer than {timeouts.head:g} s to answer") from None
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
