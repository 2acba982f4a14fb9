"""A listener for proxies: who is let in, and that what follows the header is the client's own connection."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

from iptvd.errors import ConfigError
from iptvd.protocols.proxy_protocol import SIGNATURE, Relayed
from iptvd.proxied import PATIENCE, Introduction, ProxiedFactory, for_proxies

PROXY, CLIENT = "10.0.0.5", "192.0.2.1"
HEADER = b"PROXY TCP4 192.0.2.1 10.0.0.9 50000 443\r\n"


class Took(Protocol):
    """What a site has for a client."""

    relayed: Relayed | None = None

    def __init__(self, address: IAddress | None) -> None:
        self.address = address
        self.got = b""

    def dataReceived(self, data: bytes) -> None:
        self.got += data


class Site:
    """Makes these, as long as there is room."""

    def __init__(self) -> None:
        self.made: list[Took] = []
        self.full = False

    def buildProtocol(self, address: IAddress | None) -> Took | None:
        if self.full:
            return None
        self.made.append(Took(address))
        return self.made[-1]


class Wire(StringTransport):
    """A connection whose protocol can be another one."""

    protocol: Any = None

    def feed(self, data: bytes) -> None:
        self.protocol.dataReceived(data)


class ProxiedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.site = Site()
        self.networks = [ip_network(f"{PROXY}/32"), ip_network("fd00::/8")]
        self.factory = ProxiedFactory(self.site, lambda: self.networks, self.clock)
        self.said: list[str] = []

        @provider(ILogObserver)
        def saw(event: LogEvent) -> None:
            if "what" in event:
                self.said.append(event["what"])

        globalLogPublisher.addObserver(saw)
        self.addCleanup(globalLogPublisher.removeObserver, saw)

    def connect(self, host: str = PROXY) -> Wire:
        address = IPv4Address("TCP", host, 40000)
        protocol = self.factory.buildProtocol(address)
        assert isinstance(protocol, Introduction)
        wire = Wire(peerAddress=address)
        wire.protocol = protocol
        protocol.makeConnection(wire)
        return wire

    def test_whose_it_is(self) -> None:
        """After the header the connection is the client's, and all that follows is what the client says."""
        wire = self.connect()
        for at in range(len(HEADER)):
            wire.feed(HEADER[at : at + 1])
        wire.feed(b"GET")
        other = self.connect()
        other.feed(HEADER + b"GET")
        for transport, took in zip((wire, other), self.site.made, strict=True):
            self.assertIs(transport.protocol, took)
            self.assertEqual(took.got, b"GET")
            self.assertEqual(took.address, IPv4Address("TCP", CLIENT, 50000))
            assert took.relayed is not None
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_ipv6(self) -> None:
        """Clients and proxies may have addresses of either family."""
        self.assertIsNotNone(self.factory.buildProtocol(IPv6Address("TCP", f"::ffff:{PROXY}", 1)))
        self.assertIsNotNone(self.factory.buildProtocol(IPv6Address("TCP", "fd00::1", 1)))
        self.connect().feed(b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n")
        self.assertEqual(self.site.made[0].address, IPv6Address("TCP", "2001:db8::1", 1))

    def test_who_is_not_known(self) -> None:
        """A client that the proxy cannot name is nobody, and never the proxy itself."""
        self.connect().feed(b"PROXY UNKNOWN\r\n")
        (took,) = self.site.made
        self.assertEqual((took.address, took.relayed), (None, Relayed()))

    def test_the_proxy_itself(self) -> None:
        """A proxy that looks whether we are there is itself."""
        self.connect().feed(SIGNATURE + b"\x20\x00\x00\x00")
        (took,) = self.site.made
        self.assertEqual((took.address, took.relayed), (IPv4Address("TCP", PROXY, 40000), None))

    def test_others(self) -> None:
        """Whoever is not a trusted proxy is closed at once, whatever it would say; one line of the log tells that."""
        for address in (IPv4Address("TCP", CLIENT, 1), IPv6Address("TCP", "2001:db8::1", 1), UNIXAddress("/x"), None):
            self.assertIsNone(self.factory.buildProtocol(address))
        self.assertEqual(self.said, ["a connection from what is not among trusted_proxies"])
        self.clock.advance(60)
        self.assertIsNone(self.factory.buildProtocol(None))
        self.assertEqual(len(self.said), 2)

    def test_other_settings(self) -> None:
        """Other trusted proxies count from the next connection on."""
        self.networks.clear()
        self.assertIsNone(self.factory.buildProtocol(IPv4Address("TCP", PROXY, 1)))

    def test_no_header(self) -> None:
        """A connection without a header is closed, and nothing of it reaches the site."""
        wire = self.connect()
        wire.feed(b"GET / HTTP/1.1\r\n\r\n")
        self.assertTrue(wire.disconnecting)
        self.assertEqual(self.site.made, [])
        self.assertIn("does not begin with a PROXY header", self.said[0])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_patience(self) -> None:
        """A header has to be whole in time."""
        wire = self.connect()
        for at in range(int(PATIENCE)):
            wire.feed(HEADER[at : at + 1])
            self.clock.advance(1)
        self.assertTrue(wire.disconnecting)

    def test_leaving(self) -> None:
        """A proxy that leaves before its header is whole leaves nothing."""
        wire = self.connect()
        wire.feed(HEADER[:9])
        wire.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_room(self) -> None:
        """A client that the site does not take is closed."""
        self.site.full = True
        wire = self.connect()
        wire.feed(HEADER)
        self.assertTrue(wire.disconnecting)

    def test_endpoints(self) -> None:
        """Only TCP has addresses that can be trusted, and the header comes before TLS."""
        self.assertEqual(for_proxies(["tcp:1", "systemd:domain=INET:index=0"])[0], ["tcp:1"])
        for endpoint in ("unix:/run/tv.sock", "tls:/pem:443", "ssl:443"):
            with self.assertRaisesRegex(ConfigError, "listen_proxy takes tcp: endpoints"):
                for_proxies([endpoint])
