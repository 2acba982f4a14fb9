"""
TLS towards origins: certificates verified, except where the operator has said not to.

A record holds 16 KiB at most, and media comes in many of them. What one read of the socket brought is handed on in one
piece, because small pieces are what costs a relay most; and reads may be large (`READ`).
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from OpenSSL.SSL import Connection
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions, optionsForClientTLS
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

#: Bytes of one read of an encrypted body: half the work of 64 KiB for a fast viewer.
READ = 262144


@implementer(IOpenSSLClientConnectionCreator)
class AnyCertificate:
    """Encrypts without asking who is at the other end."""

    def __init__(self, hostname: str, options: CertificateOptions) -> None:
        self._hostname = hostname
        self._context = options.getContext()

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> Connection:
        """A connection that names the host it wants (RFC 6066 section 3: names only, never addresses)."""
        connection = Connection(self._context, None)
        try:
            ip_address(self._hostname)
        except ValueError:
            connection.set_tlsext_host_name(self._hostname.encode("idna"))
        return connection


def tls_to(hostname: str, verify: bool) -> IOpenSSLClientConnectionCreator:
    """
    How to speak TLS with a host.

    :param hostname: an ASCII (IDNA) name or an IP literal without brackets.
    """
    if verify:
        return optionsForClientTLS(hostname)
    return AnyCertificate(hostname, CertificateOptions())


class _Gather(Protocol):
    """Between TLS and the protocol that is spoken through it: makes one piece of many."""

    def __init__(self, inner: IProtocol) -> None:
        self.inner = inner
        self._pieces: list[bytes] = []

    def makeConnection(self, transport: ITransport) -> None:
        self.inner.makeConnection(transport)

    def dataReceived(self, data: bytes) -> None:
        self._pieces.append(data)

    def hand_on(self) -> None:
        """Hand on what has come."""
        pieces = self._pieces
        if pieces:
            self._pieces = []
            self.inner.dataReceived(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.hand_on()
        self.inner.connectionLost(reason)


class GatheringTLS(TLSMemoryBIOProtocol):
    """TLS whose wrapped protocol is given what one read brought in one piece."""

    def __init__(self, factory: TLSMemoryBIOFactory, wrappedProtocol: IProtocol, _connectWrapped: bool = True) -> None:
        self._gather = _Gather(wrappedProtocol)
        super().__init__(factory, self._gather, _connectWrapped)

    @property
    def inner(self) -> IProtocol:
        """The protocol that is spoken through it."""
        return self._gather.inner

    @inner.setter
    def inner(self, protocol: IProtocol) -> None:
        self._gather.inner = protocol

    def dataReceived(self, bytes: bytes) -> None:
        """See `IProtocol.dataReceived`."""
        super().dataReceived(bytes)
        self._gather.hand_on()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See `IProtocol.connectionLost`."""
        super().connectionLost(reason)
        # The two hold each other.
        del self._gather


class _Factory(TLSMemoryBIOFactory):
    protocol = GatheringTLS


@implementer(IStreamClientEndpoint)
class SecureEndpoint:
    """
    An endpoint whose connections speak TLS.

    :param clock: for what TLS puts off.
    """

    def __init__(
        self, creator: IOpenSSLClientConnectionCreator, endpoint: IStreamClientEndpoint, clock: IReactorTime
    ) -> None:
        self._creator = creator
        self._endpoint = endpoint
        self._clock = clock

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See `IStreamClientEndpoint.connect`; whether the certificate is good turns out later."""
        connecting: Deferred[Any] = self._endpoint.connect(_Factory(self._creator, True, protocolFactory, self._clock))
        return connecting.addCallback(_inner)


def _inner(secure: GatheringTLS) -> IProtocol:
    return secure.inner
