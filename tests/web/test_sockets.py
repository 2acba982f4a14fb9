"""What a viewer's socket is told."""

from __future__ import annotations

import socket
from typing import cast

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.ssl import CertificateOptions
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from iptvd.web.sockets import UNSENT, limit_unsent

_TCP_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)


class Connected(StringTransport):
    """A transport with a socket under it."""

    def __init__(self, handle: socket.socket) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", "192.168.1.2", 50000))
        self.handle = handle

    def getHandle(self) -> socket.socket:
        return self.handle


class LimitTests(SynchronousTestCase):
    def handle(self, family: int = socket.AF_INET) -> socket.socket:
        handle = socket.socket(family, socket.SOCK_STREAM)
        self.addCleanup(handle.close)
        return handle

    def assert_limited(self, handle: socket.socket) -> None:
        self.assertEqual(handle.getsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT), UNSENT)

    def test_a_connection(self) -> None:
        """The kernel holds no more than the bound that is not sent yet."""
        handle = self.handle()
        limit_unsent(cast(ITCPTransport, Connected(handle)))
        self.assert_limited(handle)

    def test_under_tls(self) -> None:
        """The same holds for a viewer that comes by TLS."""
        handle = self.handle()
        protocols: list[Protocol] = []

        class Kept(Protocol):
            def connectionMade(self) -> None:
                protocols.append(self)

        factory = TLSMemoryBIOFactory(CertificateOptions(), False, ServerFactory.forProtocol(Kept))
        factory.buildProtocol(IPv4Address("TCP", "192.168.1.2", 50000)).makeConnection(Connected(handle))
        (protocol,) = protocols
        limit_unsent(cast(ITCPTransport, protocol.transport))
        self.assert_limited(handle)

    def test_what_has_no_such_limit(self) -> None:
        """A viewer without a TCP socket, or one that is gone, is served without it."""
        closed = socket.socket()
        closed.close()
        for transport in (Connected(self.handle(socket.AF_UNIX)), Connected(closed), StringTransport()):
            limit_unsent(cast(ITCPTransport, transport))
            self.assertFalse(transport.disconnecting)
