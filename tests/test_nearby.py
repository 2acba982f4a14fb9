"""What is nearby, and is not connected to without the operator's word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IAddress, IHostnameResolver, IReactorPluggableNameResolver
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from iptvd.nearby import Faraway, NearbyError, is_nearby, is_private, names_private
from iptvd.protocols.http_upstream import Timeouts, connect_with
from iptvd.protocols.socks5 import Proxy
from iptvd.protocols.socks_endpoint import endpoint_to
from iptvd.protocols.urls import split_url

FAR = ("192.0.2.7", "192.168.1.2", "10.0.0.1", "2001:db8::1", "::ffff:192.0.2.7", "fd00::1")
NEAR = (
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "169.254.169.254",
    "224.0.0.1",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "ff02::1",
)


@implementer(IReactorPluggableNameResolver, IHostnameResolver)
class Naming(MemoryReactorClock):
    """Knows one name."""

    def __init__(self, *addresses: IAddress) -> None:
        super().__init__()
        self.addresses = addresses
        self.nameResolver: Any = self

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        return resolver

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        for address in self.addresses:
            resolutionReceiver.addressResolved(address)
        resolutionReceiver.resolutionComplete()


class NearbyTests(SynchronousTestCase):
    def test_addresses(self) -> None:
        """This machine, the network link and the metadata of clouds are nearby, however they are written."""
        self.assertEqual([each for each in NEAR if not is_nearby(each)], [])
        self.assertEqual([each for each in FAR if is_nearby(each)], [])

    def test_an_address(self) -> None:
        """What is nearby is not connected to, and all else is."""
        reactor = Naming()
        refused = endpoint_to(Faraway(reactor), "127.0.0.1", 80, 5.0).connect(Factory())
        self.failureResultOf(refused, NearbyError)
        self.assertEqual(reactor.tcpClients, [])
        self.assertNoResult(endpoint_to(Faraway(reactor), "192.0.2.7", 80, 5.0).connect(Factory()))
        self.assertEqual(reactor.tcpClients[0][:2], ("192.0.2.7", 80))

    def test_a_name(self) -> None:
        """A name is judged by the addresses that it leads to when it is used: only those are tried that are far."""
        near, far = IPv4Address("TCP", "127.0.0.1", 80), IPv4Address("TCP", "192.0.2.7", 80)
        for addresses in ([near], [near, IPv6Address("TCP", "::1", 80)]):
            reactor = Naming(*addresses)
            connecting = HostnameEndpoint(Faraway(reactor), "home.test", 80).connect(Factory())
            reactor.pump([0.3] * 4)
            self.failureResultOf(connecting, NearbyError)
            self.assertEqual(reactor.tcpClients, [])
        reactor = Naming(near, far)
        connecting = HostnameEndpoint(Faraway(reactor), "home.test", 80).connect(Factory())
        reactor.pump([0.3] * 4)
        self.assertNoResult(connecting)
        self.assertEqual([client[:2] for client in reactor.tcpClients], [("192.0.2.7", 80)])


class PrivateTests(SynchronousTestCase):
    def test_addresses(self) -> None:
        """What is nearby is private, and so is every network of one's own; what is public is not."""
        private = (*NEAR, "10.0.0.1", "172.16.0.1", "192.168.1.2", "100.64.0.1", "fd00::1", "::ffff:10.0.0.1")
        self.assertEqual([each for each in private if not is_private(each)], [])
        public = ("93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:93.184.215.14")
        self.assertEqual([each for each in public if is_private(each)], [])

    def test_names(self) -> None:
        """Of names only this machine's own are known to be private without being looked up."""
        for host in ("localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "::1"):
            self.assertTrue(names_private(host), host)
        for host in ("example.com", "localhost.example.com", "notlocalhost", "93.184.215.14", "", "127.0.0.1.test"):
            self.assertFalse(names_private(host), host)

    def test_numbers(self) -> None:
        """An address that is written as the system reads it, too, is judged for what it leads to."""
        for host in ("127.1", "2130706433", "0x7f.1", "0177.0.0.1", "10.1", "0xa9fea9fe", "0"):
            self.assertTrue(is_private(host), host)
            self.assertTrue(names_private(host), host)
        self.assertTrue(is_nearby("127.1"))
        self.assertFalse(names_private("0x5db8d70e"))
        self.assertRaises(ValueError, is_private, "example.com")

    def test_what_is_refused(self) -> None:
        """What else is refused can be said, and what goes through a proxy is the proxy's to judge."""
        for proxy, reached in ((None, []), (Proxy("192.168.1.9", 1080), [("192.168.1.9", 1080)])):
            reactor = Naming()
            connect = connect_with(reactor, Timeouts(), Faraway(reactor, is_private))
            work = connect(evolve(split_url("http://192.168.1.2/"), proxy=proxy), True).connect(Factory())
            self.assertEqual([client[:2] for client in reactor.tcpClients], reached)
            if proxy is None:
                self.failureResultOf(work, NearbyError)
