"""
A bound on the heads of answers to our own requests.

Twisted's client bounds a header line but not how many there are: an origin that never ends its head would fill the
memory. What passes here is counted until the empty line that ends the head; 1xx heads before it count with it.
"""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web.client import URI
from twisted.web.error import SchemeNotSupported
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from iptvd.protocols.socks5 import Proxy
from iptvd.protocols.socks_endpoint import endpoint_to

#: Bytes of a head, interim ones included.
MAX_HEAD = 128 * 1024

_END = re.compile(rb"\r?\n\r?\n")
_INTERIM = re.compile(rb"HTTP/1\.\d 1\d\d")


class _Bounded(ProtocolWrapper):
    """A connection that is aborted when a head on it is too long."""

    _seen = 0
    #: What of the head is kept to find its end; None when it has been found.
    _head: bytes | None = None

    def write(self, data: bytes) -> None:
        self._begin()
        super().write(data)

    def writeSequence(self, data: list[bytes]) -> None:
        self._begin()
        super().writeSequence(data)

    def _begin(self) -> None:
        # A request has one head and no body: with its last piece the wait for the answer begins.
        self._seen, self._head = 0, b""

    def dataReceived(self, data: bytes) -> None:
        if self._head is not None:
            self._seen += len(data)
            self._head += data
            while (end := _END.search(self._head)) and _INTERIM.match(self._head):
                self._head = self._head[end.end() :]
            if end:
                self._head = None
            elif self._seen > MAX_HEAD:
                self.abortConnection()
                return
        super().dataReceived(data)


class _Factory(WrappingFactory):
    protocol = _Bounded
    noisy = False


@implementer(IStreamClientEndpoint)
class _BoundedEndpoint:
    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        connecting: Deferred[Any] = self._endpoint.connect(_Factory(protocolFactory))
        return connecting.addCallback(lambda bounded: bounded.wrappedProtocol)


@implementer(IAgentEndpointFactory)
class BoundedEndpoints:
    """
    Where an `Agent` connects to.

    :param timeout: seconds to connect in.
    :param proxy: through which, None for straight.
    """

    def __init__(self, reactor: object, policy: IPolicyForHTTPS, timeout: float, proxy: Proxy | None = None) -> None:
        self._reactor = reactor
        self._policy = policy
        self._timeout = timeout
        self._proxy = proxy

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        host = uri.host.decode("ascii", "replace")
        endpoint = endpoint_to(self._reactor, host, uri.port, self._timeout, self._proxy)
        if uri.scheme == b"https":
            endpoint = wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), endpoint)
        elif uri.scheme != b"http":
            raise SchemeNotSupported(f"not http: {uri.scheme!r}")
        return _BoundedEndpoint(endpoint)
