"""Our own HTTP client for media."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import UpstreamError
from iptvd.model import Headers
from iptvd.protocols.http1 import Target
from iptvd.protocols.http_upstream import HTTPUpstream, Timeouts, headers_for, open_http
from iptvd.protocols.resting import LITTLE, REST
from iptvd.protocols.socks5 import Proxy
from iptvd.protocols.socks_endpoint import ProxyError
from tests.protocols.test_upstream import Gathered

OK = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n"


class Transport(StringTransport):
    """Knows when it was closed."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


@define
class Network:
    """Connects to nowhere: the test is the origin."""

    failures: list[Exception] = field(factory=list)
    connections: list[tuple[Target, Any, Transport]] = field(factory=list)
    verified: list[bool] = field(factory=list)

    def connect(self, target: Target, factory: Any) -> Deferred[Any]:
        if self.failures:
            return fail(self.failures.pop(0))
        protocol = factory.buildProtocol(None)
        transport = Transport()
        self.connections.append((target, protocol, transport))
        protocol.makeConnection(transport)
        return succeed(protocol)


class Endpoint:
    """One way to the test."""

    def __init__(self, network: Network, target: Target) -> None:
        self._network = network
        self._target = target

    def connect(self, factory: Any) -> Deferred[Any]:
        return self._network.connect(self._target, factory)


class HTTPUpstreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.network = Network()

    def open(
        self, url: str = "http://origin.test/live.ts", headers: Headers = (), **options: Any
    ) -> Deferred[HTTPUpstream]:
        def connect(target: Target, verify_tls: bool) -> Endpoint:
            self.network.verified.append(verify_tls)
            return Endpoint(self.network, target)

        return Deferred.fromCoroutine(
            open_http(url, headers, connect, self.clock, Timeouts(10, 10), **options)  # type: ignore[arg-type]
        )

    def answer(self, data: bytes, number: int = -1) -> None:
        self.network.connections[number][1].dataReceived(data)

    def sent(self, number: int = -1) -> bytes:
        return bytes(self.network.connections[number][2].value())

    def hang_up(self, reason: Exception | None = None) -> None:
        self.network.connections[-1][1].connectionLost(Failure(reason or ConnectionDone()))

    def fails(self, work: Deferred[HTTPUpstream], status: int, words: str) -> None:
        error = self.failureResultOf(work, UpstreamError).value
        self.assertEqual(error.status, status)
        self.assertIn(words, error.sentence)
        self.assertNotIn("origin.test", error.sentence)

    def test_the_request(self) -> None:
        """The request has the source's headers, and credentials of the URL become an Authorization header."""
        self.open("http://bob:s%20x@origin.test:81/a?b=c", (("Referer", "http://example.com/"), ("User-Agent", "VLC")))
        head = self.sent().decode()
        self.assertTrue(head.startswith("GET /a?b=c HTTP/1.1\r\n"))
        for line in ("Host: origin.test:81", "Referer: http://example.com/", "User-Agent: VLC"):
            self.assertIn(f"{line}\r\n", head)
        self.assertIn("Authorization: Basic Ym9iOnMgeA==\r\n", head)

    def test_a_stream(self) -> None:
        """The body is held until someone takes it, then passed on as it comes."""
        work = self.open()
        self.answer(OK + b"abc")
        upstream = self.successResultOf(work)
        self.assertEqual(upstream.url, "http://origin.test/live.ts")
        gathered = Gathered()
        upstream.attach(gathered)
        self.answer(b"def")
        self.assertEqual((gathered.data, gathered.ends), (b"abcdef", []))
        self.hang_up()
        self.assertEqual(gathered.ends, [None])

    def test_backpressure(self) -> None:
        """A reader that pauses pauses the origin, and resuming it resumes the origin."""
        work = self.open()
        self.answer(OK)
        upstream = self.successResultOf(work)
        upstream.attach(Gathered())
        transport = self.network.connections[0][2]
        upstream.pauseProducing()
        self.assertEqual(transport.producerState, "paused")
        upstream.resumeProducing()
        self.assertEqual(transport.producerState, "producing")

    def test_bounded_before_anyone_reads(self) -> None:
        """An origin that floods before anyone reads is paused."""
        work = self.open()
        self.answer(OK + bytes(70_000))
        self.successResultOf(work)
        self.assertEqual(self.network.connections[0][2].producerState, "paused")

    def test_an_end_by_length(self) -> None:
        """A body of known length ends when it is whole, and the connection with it."""
        work = self.open()
        self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
        gathered = Gathered()
        self.successResultOf(work).attach(gathered)
        self.assertEqual((gathered.data, gathered.ends), (b"abc", [None]))
        self.assertTrue(self.network.connections[0][2].aborted)

    def test_cut_short(self) -> None:
        """A body that is cut short says so, however it was cut."""
        for reason in (ConnectionDone(), ConnectionLost()):
            work = self.open()
            self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc")
            gathered = Gathered()
            self.successResultOf(work).attach(gathered)
            self.hang_up(reason)
            error = gathered.ends[0]
            assert error is not None
            self.assertIn("before it had sent everything", error.sentence)

    def test_a_reset_is_no_end(self) -> None:
        """A body that ends with its connection is whole when that is closed, and lost when it is reset."""
        for reason, whole in ((ConnectionDone(), True), (ConnectionLost(), False)):
            work = self.open()
            self.answer(OK + b"abc")
            gathered = Gathered()
            self.successResultOf(work).attach(gathered)
            self.hang_up(reason)
            self.assertEqual(gathered.ends == [None], whole)

    def test_what_comes_with_the_head(self) -> None:
        """What of the body comes with the head is there as soon as the head is told of."""
        seen: list[bytes] = []
        work = self.open()
        work.addCallback(lambda upstream: upstream.first_bytes(1)).addCallback(seen.append)
        self.answer(OK + b"abc")
        self.assertEqual(seen, [b"abc"])

    def test_no_answer_at_all(self) -> None:
        """An origin that hangs up, or is silent, before it has answered is an error with a sentence."""
        work = self.open()
        self.hang_up()
        self.fails(work, 502, "closed the connection")
        work = self.open()
        self.clock.advance(11)
        self.fails(work, 504, "longer than 10 s")
        self.assertTrue(self.network.connections[-1][2].aborted)

    def test_no_connection(self) -> None:
        """Each way of not being connected has its status and its sentence."""
        for error, status, words in (
            (DNSLookupError("origin.test"), 502, "not known to DNS"),
            (ConnectTimeout(), 504, "does not answer"),
            (ConnectionRefusedError(), 502, "refuses"),
            (OSError("origin.test"), 502, "cannot be reached"),
            (ProxyError("the SOCKS proxy failed"), 502, "the SOCKS proxy failed"),
            (ProxyError("the SOCKS proxy does not answer", late=True), 504, "the SOCKS proxy does not answer"),
        ):
            self.network.failures.append(error)
            self.fails(self.open(), status, words)

    def test_not_http(self) -> None:
        """An origin that does not speak HTTP is an error, and its connection is closed."""
        work = self.open()
        self.answer(b"SSH-2.0-OpenSSH_9\r\n\r\n")
        self.fails(work, 502, "does not speak HTTP")
        self.assertTrue(self.network.connections[0][2].aborted)

    def test_redirects(self) -> None:
        """Redirects are followed, relative ones too, and the final URL is known."""
        work = self.open("http://origin.test/a/b?x=1")
        self.answer(b"HTTP/1.1 302 Found\r\nLocation: ../c\r\nContent-Length: 0\r\n\r\n")
        self.answer(b"HTTP/1.1 307 x\r\nLocation: http://other.test/d\r\n\r\n")
        self.answer(OK)
        self.assertEqual(self.successResultOf(work).url, "http://other.test/d")
        self.assertEqual([target.target for target, _, _ in self.network.connections], ["/a/b?x=1", "/c", "/d"])
        self.assertTrue(all(transport.aborted for _, _, transport in self.network.connections[:2]))

    def test_by_the_same_way(self) -> None:
        """Redirects go through the proxy that the first request went through."""
        proxy = Proxy("proxy.test", 1080)
        work = self.open(proxy=proxy)
        self.answer(b"HTTP/1.1 302 Found\r\nLocation: http://other.test/d\r\n\r\n")
        self.answer(OK)
        self.successResultOf(work)
        self.assertEqual([target.proxy for target, _, _ in self.network.connections], [proxy, proxy])

    def test_credentials_stay_at_home(self) -> None:
        """Credentials are not taken along to another host, other headers of the source are."""
        work = self.open("http://bob:x@origin.test/", (("Cookie", "a=b"), ("Referer", "http://example.com/")))
        self.answer(b"HTTP/1.1 302 Found\r\nLocation: http://other.test/\r\n\r\n")
        self.answer(OK)
        self.successResultOf(work)
        head = self.sent().decode()
        self.assertIn("Referer", head)
        self.assertNotIn("Authorization", head)
        self.assertNotIn("Cookie", head)

    def test_credentials_at_home(self) -> None:
        """Credentials of the URL are used again after a redirect on the same origin that does not repeat them."""
        self.open("http://bob:x@origin.test/")
        self.answer(b"HTTP/1.1 302 Found\r\nLocation: http://origin.test/other\r\n\r\n")
        self.assertIn(b"Authorization: Basic Ym9iOng=\r\n", self.sent())
        self.answer(b"HTTP/1.1 302 Found\r\nLocation: http://origin.test:81/\r\n\r\n")
        self.assertNotIn(b"Authorization", self.sent())

    def test_headers_by_origin(self) -> None:
        """Of a source's headers its credentials are for its own origin, the others for all."""
        headers = (("COOKIE", "a"), ("Referer", "b"), ("authorization", "c"))
        self.assertEqual(headers_for("http://origin.test/a", headers, "http://origin.test/b"), headers)
        for other in ("https://origin.test/a", "http://origin.test:81/a", "http://cdn.origin.test/a"):
            self.assertEqual(headers_for(other, headers, "http://origin.test/b"), (("Referer", "b"),))

    def test_too_many_redirects(self) -> None:
        """A circle of redirects ends."""
        work = self.open()
        for _ in range(6):
            self.answer(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n")
        self.fails(work, 502, "more than 5 times")
        self.assertEqual(len(self.network.connections), 6)

    def test_redirects_to_elsewhere(self) -> None:
        """A redirect to anything but http and https is not followed."""
        for location in (b"file:///etc/passwd", b"ftp://origin.test/", b"gopher://x"):
            work = self.open()
            self.answer(b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\n\r\n")
            self.fails(work, 502, "cannot be followed")

    def test_an_error_status_is_handed_on(self) -> None:
        """What a status means is for the asker to say."""
        work = self.open()
        self.answer(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        upstream = self.successResultOf(work)
        assert upstream.head is not None
        self.assertEqual(upstream.head.status, 404)

    def test_cancelled(self) -> None:
        """When the viewer leaves before there is an answer, the connection is closed."""
        work = self.open()
        work.addErrback(lambda failure: None)
        work.cancel()
        self.assertTrue(self.network.connections[0][2].aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_url_that_is_none(self) -> None:
        """A URL that cannot be used is an error before anything is sent."""
        self.fails(self.open("ftp://origin.test/"), 502, "cannot be used")
        self.fails(self.open("http://origin.test/", (("X", "a\r\nb"),)), 502, "cannot be used")
        self.assertEqual(self.network.connections, [])

    def test_small_pieces(self) -> None:
        """Small pieces that come fast are left to gather a moment before they are read; large ones are not."""
        work = self.open()
        self.answer(OK)
        self.successResultOf(work).attach(Gathered())
        transport = self.network.connections[0][2]
        for _ in range(2):
            self.answer(b"x" * LITTLE)
        self.assertEqual(transport.producerState, "producing")
        for _ in range(2):
            self.answer(b"x" * 1316)
        self.assertEqual(transport.producerState, "paused")
        self.clock.advance(REST)
        self.assertEqual(transport.producerState, "producing")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_reader_that_pauses_in_a_rest(self) -> None:
        """A reader that pauses while pieces are left to gather stays paused; going on does not hurry it."""
        work = self.open()
        self.answer(OK)
        upstream = self.successResultOf(work)
        upstream.attach(Gathered())
        transport = self.network.connections[0][2]
        for _ in range(2):
            self.answer(b"x" * 1316)
        upstream.pauseProducing()
        upstream.resumeProducing()
        self.assertEqual(transport.producerState, "paused")
        upstream.pauseProducing()
        self.clock.advance(REST)
        self.assertEqual(transport.producerState, "paused")
        upstream.resumeProducing()
        self.assertEqual(transport.producerState, "producing")

    def test_closed_in_a_rest(self) -> None:
        """A connection that is closed while pieces are left to gather is left alone afterwards."""
        work = self.open()
        self.answer(OK)
        upstream = self.successResultOf(work)
        upstream.attach(Gathered())
        for _ in range(2):
            self.answer(b"x" * 1316)
        upstream.stopProducing()
        self.clock.advance(REST)
        self.assertEqual(self.network.connections[0][2].producerState, "paused")

    def test_certificates_are_verified_unless_told_otherwise(self) -> None:
        """Only a source that says so is not verified."""
        self.open("https://origin.test/")
        self.open("https://origin.test/", verify_tls=False)
        self.assertEqual(self.network.verified, [True, False])
