"""
Endpoints of hosts, straight or behind a SOCKS5 proxy: whoever connects talks to the host as if there were no proxy.

What goes through a proxy is told to it by name: we look up the proxy's own name and no other.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionRefusedError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IDelayedCall, IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from iptvd.errors import ProtocolError
from iptvd.protocols.socks5 import Proxy, Socks5Client


class ProxyError(ConnectError):
    """
    The proxy did not connect; the sentence says why and names neither it nor the host.

    :ivar late: whether somebody may only have been too slow.
    """

    def __init__(self, sentence: str, late: bool = False) -> None:
        super().__init__(string=sentence)
        self.sentence = sentence
        self.late = late


class _Handshake(Protocol):
    """Talks to the proxy, then leaves the connection to the protocol it was made for."""

    def __init__(self, client: Socks5Client, factory: IProtocolFactory, clock: IReactorTime, timeout: float) -> None:
        self._client = client
        self._factory = factory
        self._clock = clock
        self._timeout = timeout
        self._late: IDelayedCall | None = None
        self._answered = False
        self.connected_through: Deferred[Any] = Deferred(lambda _: self._abort())

    def connectionMade(self) -> None:
        self._late = self._clock.callLater(self._timeout, self._too_late)
        assert self.transport is not None
        self.transport.write(self._client.begin())

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self._answered = True
        try:
            answer = self._client.feed(data)
        except ProtocolError as error:
            self._fail(ProxyError(error.sentence))
            return
        if answer:
            self.transport.write(answer)
        if self._client.done:
            self._hand_over()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._fail(ProxyError("the SOCKS proxy closed the connection"))

    def _hand_over(self) -> None:
        self._stop_clock()
        transport: Any = self.transport
        protocol: Any = self._factory.buildProtocol(transport.getPeer())
        if protocol is None:
            self._fail(ProxyError("the connection is not wanted any more"))
            return
        # From here on the transport is the other protocol's, as if it had connected itself.
        transport.protocol = protocol
        protocol.makeConnection(transport)
        self.connected_through.callback(protocol)
        if self._client.rest:
            protocol.dataReceived(self._client.rest)

    def _too_late(self) -> None:
        self._late = None
        silent = "the host does not answer the SOCKS proxy" if self._answered else "the SOCKS proxy does not answer"
        self._fail(ProxyError(silent, late=True))

    def _fail(self, error: Exception) -> None:
        self._stop_clock()
        if not self.connected_through.called:
            self.connected_through.errback(error)
        self._abort()

    def _abort(self) -> None:
        self._stop_clock()
        transport: Any = self.transport
        transport.abortConnection()

    def _stop_clock(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class Once(Factory):
    """Builds the one protocol there is to build."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: object) -> Protocol:
        """See `IProtocolFactory.buildProtocol`."""
        return self._protocol


@implementer(IStreamClientEndpoint)
class SocksEndpoint:
    """
    A host and port as the proxy sees them.

    :param host: a name in ASCII or an IP address without brackets.
    :param timeout: seconds to connect to the proxy in, and again for it to connect to the host.
    """

    def __init__(self, reactor: Any, proxy: Proxy, host: str, port: int, timeout: float) -> None:
        self._reactor = reactor
        self._proxy = proxy
        self._host = host
        self._port = port
        self._timeout = timeout

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect through the proxy; fails with `ProxyError` or as connecting to it does."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        try:
            client = Socks5Client(self._proxy, self._host, self._port)
        except ProtocolError as error:
            raise ProxyError(error.sentence) from None
        handshake = _Handshake(client, factory, self._reactor, self._timeout)
        endpoint = endpoint_to(self._reactor, self._proxy.host, self._proxy.port, self._timeout)
        try:
            await endpoint.connect(Once(handshake))
        except DNSLookupError:
            raise ProxyError("the SOCKS proxy's own name is not known to DNS") from None
        except ConnectingCancelledError:
            raise CancelledError from None
        except ConnectTimeout:
            raise ProxyError("the SOCKS proxy does not answer", late=True) from None
        except ConnectionRefusedError:
            raise ProxyError("the SOCKS proxy refuses the connection") from None
        except ConnectError:
            raise ProxyError("the SOCKS proxy cannot be reached") from None
        made: IProtocol = await handshake.connected_through
        return made


def endpoint_to(
    reactor: Any, host: str, port: int, timeout: float, proxy: Proxy | None = None
) -> IStreamClientEndpoint:
    """
    How to connect to a host: through a proxy, or straight; then all addresses of a name are tried (RFC 8305).

    :param host: as for `SocksEndpoint`.
    :param timeout: seconds, for all addresses together.
    """
    if proxy is not None:
        return SocksEndpoint(reactor, proxy, host, port, timeout)
    try:
        version = ip_address(host).version
    except ValueError:
        return HostnameEndpoint(reactor, host, port, timeout=timeout)
    # An address needs no thread to look it up, nor what is made to try several.
    kind = TCP4ClientEndpoint if version == 4 else TCP6ClientEndpoint
    return kind(reactor, host, port, timeout)
