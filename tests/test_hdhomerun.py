"""The answers to HDHomeRun clients that look for tuners in the network."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_network
from typing import Any

from attrs import evolve
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from iptvd.accounts import TOKEN_LENGTH, User
from iptvd.forwarded import MAX_PREFIX
from iptvd.hdhomerun import MOST_A_SECOND, MOST_AT_ONCE, Responder, TunerDiscovery, address_towards, port_at
from iptvd.protocols.hdhomerun import (
    BASE_URL,
    DEVICE_ID,
    DISCOVER_REQUEST,
    LINEUP_URL,
    TUNER_COUNT,
    Packet,
    read_packet,
    write_packet,
)
from iptvd.settings import Config
from iptvd.trust import Trust
from iptvd.tuners import Tuner, Tuners
from tests.doubles import admission, join, sliced
from tests.web.building import Later, entries, lineup_of

ASKED = write_packet(Packet(DISCOVER_REQUEST, ()))
HOME, STRANGER, OURS = "192.168.1.2", "203.0.113.9", "192.168.1.10"
ON = Config(hdhomerun_discovery=True)


class Port:
    """A port that is listened on."""

    def __init__(self, address: IAddress, factory: object) -> None:
        self._address = address
        self.factory = factory

    def getHost(self) -> IAddress:
        return self._address


class Wire:
    """What is sent, and to whom; ``error`` is what comes of sending."""

    def __init__(self) -> None:
        self.sent: list[tuple[dict[int, bytes], Any]] = []
        self.error: OSError | None = None

    def write(self, data: bytes, addr: Any) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append((dict(read_packet(data).values), addr))


class Refusing(MemoryReactorClock):
    """A reactor that does not take a socket."""

    def adoptDatagramPort(self, *arguments: object) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")


class DiscoveryTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        lineup = lineup_of(*entries(2))
        self.admission = admission(self.reactor)
        self.tuners = Tuners(b"seed", lambda: lineup, lambda: 3, lambda name: 0, sliced, lambda: self.admission.access)
        self.tuners.configure(True, [Tuner("some", ("Group 0",))])
        self.site = Site(Resource())
        self.ports: list[Any] = [Port(IPv6Address("TCP", "::", 8085), self.site)]
        self.trust = self.trusting()
        self.towards = {HOME: OURS, STRANGER: "198.51.100.1", "127.0.0.1": "127.0.0.1"}
        self.discovery = self.made(self.reactor)
        self.addCleanup(self.discovery.stopService)

    def trusting(self, public_url: str = "") -> Trust:
        return Trust([], [ip_network("192.168.0.0/16"), ip_network("127.0.0.0/8")], public_url=public_url)

    def made(self, reactor: Any, port: int = 0) -> TunerDiscovery:
        return TunerDiscovery(
            self.tuners, self.site, lambda: self.ports, lambda: self.trust, reactor, port, self.towards.__getitem__
        )

    def responder(self) -> tuple[Responder, Wire]:
        """What listens, and what it sends."""
        responder, wire = self.reactor.adoptedPorts[-1][2], Wire()
        assert isinstance(responder, Responder)
        responder.transport = wire  # type: ignore[assignment]
        return responder, wire

    def answers(self, peer: str = HOME, asked: bytes = ASKED) -> list[str]:
        """The URLs of the tuners that somebody finds."""
        responder, wire = self.responder()
        responder.datagramReceived(asked, (peer, 40000))
        self.assertTrue(all(addr == (peer, 40000) for _, addr in wire.sent))
        return [values[BASE_URL].decode() for values, _ in wire.sent]


class ListeningTests(DiscoveryTestCase):
    def test_off(self) -> None:
        """Nothing is listened on unless it is set, and unless there are tuners."""
        self.discovery.startService()
        for config in (Config(), Config(hdhomerun=False, hdhomerun_discovery=True)):
            self.discovery.configure(config)
            self.assertEqual(self.reactor.adoptedPorts, [])

    def test_on_and_off(self) -> None:
        """It is listened from the start on or from when it is set on, once, until it is unset."""
        self.discovery.configure(ON)
        self.assertEqual(self.reactor.adoptedPorts, [])
        self.discovery.startService()
        self.discovery.configure(ON)
        self.assertEqual(len(self.reactor.adoptedPorts), 1)
        self.discovery.configure(Config())
        self.discovery.configure(ON)
        self.assertEqual(len(self.reactor.adoptedPorts), 2)
        self.assertEqual(self.discovery.notices, ())
        self.successResultOf(self.discovery.stopService())
        self.successResultOf(self.discovery.stopService())

    def test_a_port_in_use(self) -> None:
        """A port that another program has is told in a sentence, until it can be had or is not wanted any more."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("", 0))
            number = other.getsockname()[1]
            discovery = self.made(self.reactor, number)
            self.addCleanup(discovery.stopService)
            discovery.configure(ON)
            discovery.startService()
            self.assertEqual(self.reactor.adoptedPorts, [])
            (notice,) = discovery.notices
            self.assertIn(f"UDP port {number} cannot be listened on (Address already in use)", notice)
            self.assertIn("hdhomerun_discovery", notice)
            discovery.configure(Config())
            self.assertEqual(discovery.notices, ())
        discovery.configure(ON)
        self.assertEqual((discovery.notices, len(self.reactor.adoptedPorts)), ((), 1))

    def test_several_of_us(self) -> None:
        """Two daemons on one machine can both listen."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("", 0))
            discovery = self.made(self.reactor, other.getsockname()[1])
            self.addCleanup(discovery.stopService)
            discovery.configure(ON)
            discovery.startService()
            self.assertEqual((discovery.notices, len(self.reactor.adoptedPorts)), ((), 1))

    def test_no_room(self) -> None:
        """What else may be in the way is told likewise."""
        discovery = self.made(Refusing())
        discovery.configure(ON)
        discovery.startService()
        self.addCleanup(discovery.stopService)
        self.assertIn("(Too many open files)", discovery.notices[0])


class AnsweringTests(DiscoveryTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.discovery.configure(ON)
        self.discovery.startService()

    def test_answer(self) -> None:
        """Each tuner answers with its id, its capacity and the address at which the client reaches it."""
        self.assertEqual(self.answers(), ["http://192.168.1.10:8085", "http://192.168.1.10:8085/1"])
        responder, wire = self.responder()
        responder.datagramReceived(ASKED, (HOME, 40001))
        for (values, _), tuner in zip(wire.sent, self.tuners.present, strict=True):
            self.assertEqual(int.from_bytes(values[DEVICE_ID], "big"), self.tuners.device_id(tuner))
            lineup = f"http://192.168.1.10:8085{tuner.prefix}/lineup.json"
            self.assertEqual((values[TUNER_COUNT], values[LINEUP_URL]), (b"\3", lineup.encode()))

    def test_clients_with_little_room(self) -> None:
        """Each tuner has an address that the clients' own library can keep, where there is one that is so short."""
        tuners = [Tuner("n" * 32, ("Group 0",)), Tuner("m", ("Group 1",)), Tuner("b", user="bob")]
        self.tuners.configure(True, tuners)
        self.ports = [Port(IPv6Address("TCP", "::", 80), self.site)]
        short = "http://192.168.1.10"
        self.assertEqual(self.answers(), [short, f"{short}/1", f"{short}/hdhr/m", f"{short}/hdhr/b"])
        self.towards[HOME], self.ports = "192.168.100.100", [Port(IPv6Address("TCP", "::", 8085), self.site)]
        base = "http://192.168.100.100:8085"
        self.assertEqual(self.answers(), [base, *(f"{base}/hdhr/{each.name}" for each in tuners)])

    def test_one_of_them(self) -> None:
        """Who looks for one tuner finds that one."""
        wanted = self.tuners.device_id(self.tuners.present[1]).to_bytes(4, "big")
        asked = write_packet(Packet(DISCOVER_REQUEST, ((DEVICE_ID, wanted),)))
        self.assertEqual(self.answers(asked=asked), ["http://192.168.1.10:8085/1"])

    def test_strangers(self) -> None:
        """Who is in no trusted network hears nothing."""
        self.assertEqual(self.answers(STRANGER), [])
        join(self.admission, User("bob", "bobs-token"))
        self.tuners.configure(True, [Tuner("b", user="bob")])
        self.assertEqual(self.answers(STRANGER), [])

    def test_users(self) -> None:
        """With users, the tuners of those who may watch are found, with links that hold their tokens."""
        tuners = [Tuner("b", user="bob"), Tuner("e", user="eve"), Tuner("n", user="nobody"), Tuner("x", ("Group 0",))]
        self.tuners.configure(True, tuners)
        self.assertEqual(len(self.answers()), 5)
        join(self.admission, User("bob", "bobs-token", max_connections=1), User("eve", "eves-token", active=False))
        responder, wire = self.responder()
        responder.datagramReceived(ASKED, (HOME, 40000))
        ((values, _),) = wire.sent
        base = b"http://192.168.1.10:8085"
        lineup = base + b"/~bobs-token/hdhr/b/lineup.json"
        self.assertEqual((values[BASE_URL], values[LINEUP_URL]), (base + b"/1", lineup))
        self.assertEqual(values[TUNER_COUNT], b"\1")
        self.assertEqual(int.from_bytes(values[DEVICE_ID], "big"), self.tuners.device_id(tuners[0]))

    def test_a_token_that_is_too_long(self) -> None:
        """A tuner whose address does not fit into an answer is not found, and the others are."""
        self.tuners.configure(True, [Tuner("b", user="bob"), Tuner("e", user="eve")])
        join(self.admission, User("bob", "x" * 1400), User("eve", "eves-token"))
        self.assertEqual(self.answers(), ["http://192.168.1.10:8085/2"])

    def test_what_is_no_question(self) -> None:
        """What is no question is not answered, and does no harm."""
        self.assertEqual(self.answers(asked=b""), [])
        self.assertEqual(self.answers(asked=ASKED[:-1]), [])
        self.assertEqual(self.answers(asked=bytes(2000)), [])

    def test_the_address_that_is_told(self) -> None:
        """It is one at which plain HTTP is served to that client; without one there is no answer."""
        plain, tls = IPv4Address("TCP", "127.0.0.1", 8086), IPv4Address("TCP", "0.0.0.0", 8443)
        self.ports = [Port(UNIXAddress(b"/run/x"), self.site), Port(tls, object()), Port(plain, self.site)]
        self.assertEqual(self.answers("127.0.0.1")[:1], ["http://127.0.0.1:8086"])
        self.assertEqual(self.answers(), [])
        self.ports = [Port(IPv6Address("TCP", f"::ffff:{OURS}", 80), self.site)]
        self.assertEqual(self.answers()[:1], ["http://192.168.1.10"])
        self.towards[HOME] = ""
        self.assertEqual(self.answers(), [])

    def test_a_public_url(self) -> None:
        """The operator's own URL is told where there is one, even if nothing is served here but to a proxy."""
        self.ports = []
        self.trust = self.trusting("https://tv.example.com/iptv")
        self.discovery.configure(evolve(ON, public_url="https://tv.example.com/iptv"))
        expected = ["https://tv.example.com/iptv", "https://tv.example.com/iptv/hdhr/some"]
        self.assertEqual(self.answers(), expected)
        self.assertEqual(self.answers(STRANGER), [])
        longest = f"https://{'x.' * 126}x:65535/{'x' * (MAX_PREFIX - 1)}"
        self.trust = self.trusting(longest)
        self.tuners.configure(True, [Tuner("x" * 32, ("Group 0",))])
        self.assertEqual(self.answers(), [longest, f"{longest}/hdhr/{'x' * 32}"])
        token = "x" * TOKEN_LENGTH
        join(self.admission, User("bob", token))
        self.tuners.configure(True, [Tuner("x" * 32, user="bob")])
        self.assertEqual(self.answers(), [f"{longest}/~{token}/hdhr/{'x' * 32}"])

    def test_a_flood(self) -> None:
        """Of a flood of questions so many are answered in a second, and more in the next."""
        responder, wire = self.responder()
        for _ in range(2 * MOST_A_SECOND):
            responder.datagramReceived(ASKED, (HOME, 40000))
        self.assertEqual(len(wire.sent), 2 * MOST_A_SECOND)
        self.reactor.advance(1)
        self.assertEqual(len(self.answers()), 2)

    def test_at_once(self) -> None:
        """Only so many are answered at once; those who ask again later are."""
        later = Later()
        self.tuners.sliced = later
        responder, wire = self.responder()
        for _ in range(MOST_AT_ONCE + 5):
            responder.datagramReceived(ASKED, (HOME, 40000))
        self.assertEqual((later.begun, wire.sent), (MOST_AT_ONCE, []))
        later.finish()
        self.assertEqual(len(wire.sent), 2 * MOST_AT_ONCE)
        self.assertEqual(len(self.answers()), 2)

    def test_a_client_out_of_reach(self) -> None:
        """That an answer cannot be sent is no fault of ours; nor is it when we have stopped meanwhile."""
        responder, wire = self.responder()
        wire.error = OSError(errno.ENETUNREACH, "Network is unreachable")
        responder.datagramReceived(ASKED, (HOME, 40000))
        responder.transport = None
        responder.datagramReceived(ASKED, (HOME, 40000))
        self.assertEqual(wire.sent, [])

    def test_a_fault_of_ours(self) -> None:
        """A fault is logged, and the next who asks is answered."""
        count = self.tuners.count

        async def fail(tuner: Tuner) -> int:
            raise ZeroDivisionError

        self.patch(self.tuners, "count", fail)
        self.assertEqual(self.answers(), [])
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.patch(self.tuners, "count", count)
        self.assertEqual(len(self.answers()), 2)


class AddressTests(SynchronousTestCase):
    def test_address_towards(self) -> None:
        """Our address is the one by which the other end is reached; empty where there is no way."""
        self.assertEqual(address_towards("127.0.0.1"), "127.0.0.1")
        self.assertEqual(address_towards("255.255.255.255"), "")

    def test_no_ports(self) -> None:
        """Without a port there is none."""
        self.assertEqual(port_at([], Site(Resource()), "127.0.0.1"), 0)
