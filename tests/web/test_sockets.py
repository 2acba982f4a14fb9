"""What a viewer's socket is told."""

from __future__ import annotations

import socket
from typing import cast

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import ITCPTransport, ITransport
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.ssl import CertificateOptions
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.opening import Opened
from iptvd.model import Source, SourceKind
from iptvd.web.sockets import UNSENT, limit_unsent, watch_over
from tests.protocols.test_upstream import Tap
from tests.web.loop import Loop, Stage, connected
from tests.web.test_stream import FILM

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


class WatchOverTests(SynchronousTestCase):
    def assert_watched(self, handle: socket.socket) -> None:
        self.assertTrue(handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        self.assertEqual(handle.getsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT), UNSENT)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            self.assertEqual(handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT), 0)

    def test_a_connection(self) -> None:
        """A viewer that is gone is noticed, one that pauses is not cut off, and a slow one costs little."""
        near = connected(Loop(), Protocol(), self).near
        watch_over(near)
        self.assert_watched(near.getHandle())

    def test_under_tls(self) -> None:
        """The same holds for a viewer that comes by TLS."""
        factory = TLSMemoryBIOFactory(CertificateOptions(), False, ServerFactory.forProtocol(Protocol), Loop())
        protocol = factory.buildProtocol(IPv4Address("TCP", "192.168.1.2", 50000))
        near = connected(Loop(), protocol, self).near
        watch_over(protocol)
        self.assert_watched(near.getHandle())

    def test_what_is_no_connection(self) -> None:
        """A viewer without a TCP socket, or one that is gone, is served without it."""
        for transport in (StringTransport(), None):
            watch_over(cast(ITransport, transport))

    def test_a_body_of_the_web_server(self) -> None:
        """A viewer whose connection the web server keeps is watched over as well, while it has a body."""
        stage = Stage(self, FILM)
        stage.sources["4"] = [("p", Source(SourceKind.VOD, url="http://origin.test/4"))]
        stage.openings.table["http://origin.test/4"] = lambda ask: Opened(Tap(), 200, (("Content-Length", "5"),))
        self.assert_watched(stage.ask(stage.path("Film", "mp4")).near.getHandle())
