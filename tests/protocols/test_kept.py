"""Connections to origins that serve one request after another."""

from __future__ import annotations

from typing import Any

from attrs import define
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import UpstreamError
from iptvd.protocols.http1 import Target
from iptvd.protocols.http_upstream import HTTPUpstream, Timeouts, open_http
from iptvd.protocols.kept import REST, KeptConnections
from iptvd.protocols.socks5 import Proxy
from iptvd.protocols.socks_endpoint import ProxyError
from tests.protocols.test_http_upstream import Endpoint, Network, Transport
from tests.protocols.test_upstream import Gathered

ONE = "http://origin.test/1"
TWO = "http://origin.test/2"


def answer(body: bytes = b"abc", *more: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *more, "", ""]
    return "\r\n".join(lines).encode() + body


@define
class Slow(Network):
    """
    A network on which a connection may take its time.

    :ivar late: what the next connection waits for.
    """

    late: Deferred[None] | None = None

    def connect(self, target: Target, factory: Any) -> Deferred[Any]:
        late, self.late = self.late, None
        if late is None:
            return Network.connect(self, target, factory)
        return late.addCallback(lambda _: Network.connect(self, target, factory))


class KeptTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.network = Slow()
        self.kept = KeptConnections(self.clock)

    def ask(self, url: str = ONE, proxy: Proxy | None = None) -> Deferred[HTTPUpstream]:
        connect: Any = lambda target, verify: Endpoint(self.network, target)  # noqa: E731
        asking = open_http(url, (), connect, self.clock, Timeouts(10, 10), proxy=proxy, kept=self.kept)
        return Deferred.fromCoroutine(asking)

    def transport(self, number: int = -1) -> Transport:
        return self.network.connections[number][2]

    def asked(self, number: int = -1) -> list[str]:
        """What was asked for on a connection."""
        heads = self.transport(number).value().decode().split("\r\n\r\n")[:-1]
        return [head.split(" ")[1] for head in heads]

    def come(self, data: bytes, number: int = -1) -> None:
        """The origin sends something."""
        self.protocol(number).dataReceived(data)

    def protocol(self, number: int = -1) -> Any:
        transport: Any = self.transport(number)
        return getattr(transport, "protocol", self.network.connections[number][1])

    def hang_up(self, kind: type[Exception] = ConnectionDone, number: int = -1) -> None:
        self.protocol(number).connectionLost(Failure(kind()))

    def got(self, asking: Deferred[HTTPUpstream]) -> Gathered:
        gathered = Gathered()
        self.successResultOf(asking).attach(gathered)
        return gathered

    def fetch(self, url: str = ONE, data: bytes = answer(), number: int = -1) -> None:
        """Have something whole."""
        asking = self.ask(url)
        self.come(data, number)
        gathered = self.got(asking)
        self.assertEqual((gathered.data, gathered.ends), (b"abc", [None]))

    def test_one_after_the_other(self) -> None:
        """What is asked for one after the other comes on one connection."""
        for url in (ONE, TWO, ONE):
            self.fetch(url)
        self.assertEqual((len(self.network.connections), self.asked()), (1, ["/1", "/2", "/1"]))
        self.assertIn(b"Connection: keep-alive\r\n", self.transport().value())
        self.assertFalse(self.transport().aborted)
        self.kept.close()
        self.assertTrue(self.transport().aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_two_at_once(self) -> None:
        """Two requests at once have two connections, of which one is kept."""
        first, second = self.ask(ONE), self.ask(TWO)
        self.come(answer(), 0)
        self.come(answer(), 1)
        self.assertEqual([self.got(asking).ends for asking in (first, second)], [[None]] * 2)
        self.assertEqual([self.transport(number).aborted for number in (0, 1)], [False, True])
        self.fetch(number=0)
        self.assertEqual((len(self.network.connections), self.asked(0)), (2, ["/1", "/1"]))

    def test_hosts(self) -> None:
        """A connection serves one host, port and scheme only."""
        for url in (ONE, "http://other.test/1", "http://origin.test:81/1", "https://origin.test/1"):
            self.fetch(url)
        self.assertEqual(len(self.network.connections), 4)

    def test_proxies(self) -> None:
        """A connection serves requests through the same proxy only."""
        for proxy in (None, Proxy("proxy.test", 1080), Proxy("proxy.test", 1080, "bob")):
            for _ in range(2):
                asking = self.ask(proxy=proxy)
                self.come(answer())
                self.assertEqual(self.got(asking).ends, [None])
        self.assertEqual(len(self.network.connections), 3)
        for number in range(3):
            self.assertEqual(self.asked(number), ["/1", "/1"])

    def test_what_cannot_be_kept(self) -> None:
        """A connection that the origin closes, or on which more came than was asked for, serves once."""
        for data in (answer(b"abc", "Connection: close"), answer() + b"more", b"HTTP/1.0 200 OK\r\n\r\nabc"):
            asking = self.ask()
            self.come(data)
            if b"HTTP/1.0" in data:
                self.hang_up()
            self.assertEqual(self.got(asking).data, b"abc")
            self.assertTrue(self.transport().aborted, data)
        self.assertEqual((len(self.network.connections), self.clock.getDelayedCalls()), (3, []))

    def test_not_for_ever(self) -> None:
        """A connection that nobody uses is closed after a while."""
        self.fetch()
        self.clock.advance(REST - 1)
        self.fetch()
        self.clock.advance(REST - 1)
        self.assertFalse(self.transport().aborted)
        self.clock.advance(1)
        self.assertTrue(self.transport().aborted)
        self.fetch()
        self.assertEqual(len(self.network.connections), 2)

    def test_the_origin_closes_it(self) -> None:
        """A connection that the origin closes while it rests, or on which something comes then, is not used again."""
        self.fetch()
        self.hang_up()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.fetch()
        self.come(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        self.assertTrue(self.transport().aborted)
        self.hang_up()
        self.fetch()
        self.assertEqual(len(self.network.connections), 3)

    def test_it_was_about_to_be_closed(self) -> None:
        """A request on a connection that turns out to be gone is made once more, on a new one."""
        for kind in (ConnectionDone, ConnectionLost):
            self.fetch()
            asking = self.ask(TWO)
            self.hang_up(kind)
            self.assertNoResult(asking)
            self.assertEqual(self.asked(), ["/2"])
            self.come(answer())
            self.assertEqual(self.got(asking).data, b"abc")
            self.fetch(ONE)
            self.assertEqual(self.asked(), ["/2", "/1"])
            self.hang_up()
        self.assertEqual(len(self.network.connections), 4)

    def test_once_more_and_not_again(self) -> None:
        """A request is made no third time, and none whose answer has begun is made again."""
        self.fetch()
        asking = self.ask()
        self.hang_up()
        self.hang_up()
        self.assertEqual(self.failureResultOf(asking, UpstreamError).value.status, 502)
        self.fetch()
        asking = self.ask()
        self.come(b"HTTP/1.1 2")
        self.hang_up()
        self.assertEqual(self.failureResultOf(asking, UpstreamError).value.status, 502)
        self.assertEqual(len(self.network.connections), 3)

    def test_it_cannot_be_made_again(self) -> None:
        """When there is no new connection to be had, the request has failed."""
        for error, status, words in (
            (ConnectionRefusedError(), 502, "closed the connection"),
            (ProxyError("the SOCKS proxy does not answer", late=True), 504, "SOCKS proxy does not answer"),
        ):
            self.fetch()
            asking = self.ask()
            self.network.failures.append(error)
            self.hang_up()
            found = self.failureResultOf(asking, UpstreamError).value
            self.assertEqual((found.status, words in found.sentence), (status, True))

    def test_leaving(self) -> None:
        """Who leaves while a request is on its way closes its connection, and it is not made again."""
        for heard in (False, True):
            self.fetch()
            asking = self.ask()
            if heard:
                self.come(answer()[:-1])
                self.successResultOf(asking).stopProducing()
            else:
                asking.cancel()
                self.failureResultOf(asking, CancelledError)
            self.assertTrue(self.transport().aborted)
            before = len(self.network.connections)
            self.hang_up(ConnectionLost)
            self.assertEqual(len(self.network.connections), before)

    def test_leaving_while_it_is_made_again(self) -> None:
        """Who leaves while a new connection is made gets none; neither does anybody once all is closed."""
        for close in (False, True):
            self.fetch()
            asking = self.ask()
            late: Deferred[None] = Deferred()
            self.network.late = late
            self.hang_up()
            if close:
                self.kept.close()
                self.failureResultOf(asking, UpstreamError)
            else:
                asking.cancel()
                self.failureResultOf(asking, CancelledError)
                late.callback(None)
                self.assertTrue(self.transport().aborted)
                self.assertEqual(self.asked(), [])

    def test_a_reader_that_pauses(self) -> None:
        """A connection whose last reader had paused it is heard again when it is kept."""
        asking = self.ask()
        self.come(answer()[:-1])
        upstream = self.successResultOf(asking)
        upstream.attach(Gathered())
        upstream.pauseProducing()
        self.come(answer()[-1:])
        self.assertEqual(self.transport().producerState, "producing")
        upstream.pauseProducing()
        upstream.stopProducing()
        self.assertFalse(self.transport().aborted)
        self.assertEqual(self.transport().producerState, "producing")

    def test_after_the_end(self) -> None:
        """Once all is closed, no connection is kept any more."""
        asking = self.ask()
        self.kept.close()
        self.come(answer())
        self.assertEqual(self.got(asking).data, b"abc")
        self.assertTrue(self.transport().aborted)
