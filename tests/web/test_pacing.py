"""Connections: how long a request may take to come, how long its head may be, and how many there may be."""

from __future__ import annotations

from ipaddress import IPv4Address as Address

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.proxy_protocol import Relayed
from iptvd.web.pacing import SLOW, SLOWEST, PacedChannel
from iptvd.web.site import IDLE
from tests.web.building import HOME, Connection, Tree, understood

PING = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
BODY = b"POST /ping HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"


class PacingTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = Tree()
        self.connection = self.tree.connect()

    def is_closed(self, connection: Connection | None = None) -> bool:
        return (connection or self.connection).transport.disconnecting

    def dribble(self, data: bytes, pause: float) -> float:
        """Send single bytes with pauses, until the connection is closed; gives how long that took."""
        begun = self.tree.clock.seconds()
        for at in range(len(data)):
            if self.is_closed():
                break
            self.connection.send(data[at : at + 1])
            self.tree.clock.advance(pause)
        return self.tree.clock.seconds() - begun


class SlowTests(PacingTestCase):
    def test_nothing(self) -> None:
        """A connection on which nothing is ever said is closed soon, without a word."""
        self.tree.clock.advance(SLOW - 1)
        self.assertFalse(self.is_closed())
        self.tree.clock.advance(1)
        self.assertTrue(self.is_closed())
        self.assertEqual(self.connection.received(), b"")

    def test_slow_head(self) -> None:
        """A head has its time from its first byte, however often something comes."""
        took = self.dribble(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 1000, 0.5)
        self.assertTrue(self.is_closed())
        self.assertEqual(took, SLOW)
        answer = understood(self.connection.received())
        self.assertEqual((answer.status, answer.headers["Connection"]), (408, "close"))

    def test_slow_head_later(self) -> None:
        """The same holds for each request of a connection, whatever came before it."""
        self.connection.send(PING)
        self.connection.received()
        self.tree.clock.advance(IDLE - 1)
        self.assertEqual(self.dribble(b"GET /" + b"x" * 1000, 0.5), SLOW)
        self.assertTrue(self.is_closed())

    def test_in_time(self) -> None:
        """A request that comes slowly, but in time, is answered, and the next has all the time again."""
        for _ in range(3):
            self.dribble(PING, (SLOW - 1) / len(PING))
            self.assertEqual(understood(self.connection.received()).text, "pong\n")
            self.tree.clock.advance(IDLE - SLOW)
        self.assertFalse(self.is_closed())

    def test_many_at_once(self) -> None:
        """The time of a request counts from its own beginning, also when it came with the one before."""
        self.connection.send(PING * 2 + PING[:10])
        self.assertEqual(self.connection.received().count(b"pong\n"), 2)
        self.tree.clock.advance(SLOW - 1)
        self.assertFalse(self.is_closed())
        self.connection.send(PING[10:] + PING[:10])
        self.assertEqual(understood(self.connection.received()).text, "pong\n")
        self.tree.clock.advance(SLOW - 1)
        self.assertFalse(self.is_closed())
        self.tree.clock.advance(1)
        self.assertTrue(self.is_closed())

    def test_a_body_that_stops(self) -> None:
        """A body that brings nothing for some time is not waited for."""
        self.connection.send(BODY + b"x" * 999)
        self.tree.clock.advance(SLOW)
        self.assertTrue(self.is_closed())
        self.assertEqual(understood(self.connection.received()).status, 408)

    def test_a_slow_body(self) -> None:
        """A body that always brings something has a minute."""
        self.connection.send(BODY)
        self.assertEqual(self.dribble(b"x" * 990, SLOW - 1), SLOWEST + (SLOW - 1) - SLOWEST % (SLOW - 1))
        self.assertTrue(self.is_closed())

    def test_a_body_in_time(self) -> None:
        """A body that comes in pieces is taken, and the connection stays."""
        self.connection.send(BODY)
        for _ in range(5):
            self.tree.clock.advance(SLOW - 1)
            self.connection.send(b"x" * 200)
        self.assertEqual(understood(self.connection.received()).status, 405)
        self.tree.clock.advance(IDLE - 1)
        self.assertFalse(self.is_closed())

    def test_nothing_is_left(self) -> None:
        """Nothing is waited for on account of who has gone."""
        before = len(self.tree.clock.getDelayedCalls())
        for data in (b"", b"GET", PING + b"GET", BODY + b"x"):
            connection = self.tree.connect()
            connection.send(data)
            connection.leave()
        self.assertEqual(len(self.tree.clock.getDelayedCalls()), before)

    def test_who_does_not_read(self) -> None:
        """Who does not even take the refusal is cut off."""
        self.tree.clock.advance(SLOW)
        self.tree.clock.advance(60)
        self.assertTrue(self.connection.transport.disconnected)


class LongTests(PacingTestCase):
    def status(self, data: bytes) -> int:
        connection = self.tree.connect()
        connection.send(data)
        status = understood(connection.received()).status
        self.assertEqual(self.is_closed(connection), status != 200)
        return status

    def test_what_is_too_long(self) -> None:
        """An address or a head that is too long is refused in HTTP's own words, and the connection closed."""
        begin = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n"
        for data, status in (
            (b"GET /" + b"x" * 20_000, 414),
            (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
            (begin + b"X: " + b"x" * 20_000, 431),
            (begin + (b"X: " + b"x" * 1000 + b"\r\n") * 17, 431),
            (begin + b"X: x\r\n" * 101 + b"\r\n", 431),
            (begin + b"X: x\r\n" + b" x\r\n" * 20_000, 431),
            (begin + b"x\r\n\r\n", 400),
            (begin + b"X: x\r\n" * 90 + b"\r\n", 200),
            (begin + b"X: " + b"x" * 15_000 + b"\r\n\r\n", 200),
        ):
            self.assertEqual(self.status(data), status, data[:80])


class PeerTests(PacingTestCase):
    def test_told_by_a_proxy(self) -> None:
        """A connection is whose the proxy has said that it is."""
        channel = PacedChannel()
        channel.transport = StringTransport(IPv4Address("TCP", "10.0.0.1", 80), IPv4Address("TCP", "10.0.0.2", 5))
        self.assertEqual(channel.getPeer(), IPv4Address("TCP", "10.0.0.2", 5))
        self.assertFalse(channel.isSecure())
        channel.relayed = Relayed((Address(HOME), 7), (Address("192.0.2.1"), 443), True)
        self.assertEqual(channel.getPeer(), IPv4Address("TCP", HOME, 7))
        self.assertEqual(channel.getHost(), IPv4Address("TCP", "192.0.2.1", 443))
        self.assertTrue(channel.isSecure())
        channel.relayed = Relayed()
        self.assertIsInstance(channel.getPeer(), UNIXAddress)
        self.assertEqual(channel.getHost(), IPv4Address("TCP", "10.0.0.1", 80))
        self.assertFalse(channel.isSecure())
