"""How our own HTTP client for media connects to an origin, and how it reads from the connection."""

from __future__ import annotations

from typing import Any, cast

from attrs import evolve
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.http1 import split_url
from iptvd.protocols.http_upstream import FIRST, PLAIN, HTTPUpstream, Timeouts, connect_with
from iptvd.protocols.origin_tls import READ
from iptvd.protocols.socks5 import Proxy
from tests.protocols.test_upstream import Gathered
from tests.web.loop import Loop, connected


class Names(MemoryReactorClock):
    """A network that knows one name."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

        class Resolver:
            def resolveHostName(inner, receiver: Any, hostName: str, portNumber: int = 0, **more: Any) -> None:  # noqa: N805
                self.asked.append(hostName)
                receiver.resolutionBegan(inner)
                receiver.addressResolved(IPv4Address("TCP", "192.0.2.1", portNumber))
                receiver.resolutionComplete()

        self.installNameResolver(cast(Any, Resolver()))


class ConnectTests(SynchronousTestCase):
    def connect(self, url: str) -> tuple[Names, Deferred[Any]]:
        reactor = Names()
        endpoint = connect_with(reactor, Timeouts(7, 10))(split_url(url), True)
        return reactor, endpoint.connect(Factory.forProtocol(Protocol))

    def test_an_address(self) -> None:
        """An address is connected to as it is, without looking anything up."""
        for url, host in (("http://192.0.2.7:81/", "192.0.2.7"), ("http://[2001:db8::1]:81/", "2001:db8::1")):
            reactor, _ = self.connect(url)
            (client,) = reactor.tcpClients
            self.assertEqual((*client[:2], client[3], reactor.asked), (host, 81, 7, []))

    def test_a_name(self) -> None:
        """A name is looked up first."""
        reactor, _ = self.connect("http://origin.test/")
        self.assertEqual(reactor.asked, ["origin.test"])
        self.assertEqual(reactor.tcpClients[0][:2], ("192.0.2.1", 80))

    def test_a_proxy(self) -> None:
        """Where there is a proxy it alone is connected to, and no name is looked up but its own."""
        for host, found in (("192.0.2.9", []), ("proxy.test", ["proxy.test"])):
            for url in ("http://origin.test/", "https://192.0.2.7/"):
                reactor = Names()
                target = evolve(split_url(url), proxy=Proxy(host, 1080))
                connect_with(reactor, Timeouts(7, 10))(target, True).connect(Factory.forProtocol(Protocol))
                self.assertEqual(reactor.asked, found)
                (client,) = reactor.tcpClients
                self.assertEqual(client[:2], ("192.0.2.9" if not found else "192.0.2.1", 1080))

    def test_tls(self) -> None:
        """A secure address is spoken to in TLS."""
        reactor, connecting = self.connect("https://192.0.2.7/")
        transport = StringTransport()
        protocol: Any = reactor.tcpClients[0][2].buildProtocol(None)
        protocol.makeConnection(transport)
        self.assertIsInstance(self.successResultOf(connecting), Protocol)
        self.assertEqual(transport.value()[:1], b"\x16")


class SocketTests(SynchronousTestCase):
    def test_how_much_is_read(self) -> None:
        """Little is read at a time until someone takes the body, so that a crowd that joins costs little."""
        factory: WrappingFactory[Any] = WrappingFactory(Factory.forProtocol(Protocol))
        for secure, size in ((False, PLAIN), (True, READ)):
            upstream = HTTPUpstream("GET", b"GET / HTTP/1.1\r\n\r\n")
            client = connected(Loop(), ProtocolWrapper(factory, upstream) if secure else upstream, self)
            self.assertEqual(client.read(), b"GET / HTTP/1.1\r\n\r\n")
            self.assertEqual(client.near.bufferSize, FIRST)
            self.assertTrue(client.near.getTcpNoDelay())
            upstream.attach(Gathered())
            self.assertEqual(client.near.bufferSize, size)
