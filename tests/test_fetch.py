"""Our own requests: whole, bounded, with redirects and credentials as they should be; in memory and on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from treq.testing import RequestTraversalAgent
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import HTTPConnectionPool, ResponseNeverReceived
from twisted.web.iweb import IAgent
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from iptvd.errors import ProviderError, StoreError
from iptvd.fetch import MAX_REDIRECTS, Fetcher
from iptvd.model import Fetched, Headers, ProviderState
from iptvd.service import threads_of
from tests.daemon.client import wait_for
from tests.daemon.harness import free_port
from tests.doubles import folder_for, offload
from tests.simulators.running import OriginProcess


class Page(Resource):
    """Says what it was asked with; other paths do other things."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Request] = []

    def render(self, request: Request) -> bytes | int:
        self.asked.append(request)
        match request.path:
            case b"/loop":
                request.redirect(b"/loop")
            case b"/elsewhere":
                request.redirect(b"http://other.test/page")
            case b"/file":
                request.redirect(b"file:///etc/passwd")
            case b"/silent":
                return NOT_DONE_YET
            case b"/missing":
                request.setResponseCode(404)
            case b"/guide" if request.getHeader("If-None-Match") == "v1":
                request.setResponseCode(304)
                return b""
            case b"/guide":
                request.setHeader("ETag", "v1")
                return b"<tv>" * 100_000
        request.setHeader("X-Name", "one")
        return b"<" + request.path + b">"


@implementer(IAgent)
class Refusing:
    """An agent that cannot connect."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def request(self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None) -> Deferred[Any]:
        return fail(self._error)


class FetcherTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.page = Page()
        self.agent = RequestTraversalAgent(self.page)
        self.verified: list[bool] = []
        self.fetcher = Fetcher(self.clock, self._agent_for, "iptvd/test")

    def _agent_for(self, verify: bool) -> IAgent:
        self.verified.append(verify)
        agent: IAgent = self.agent
        return agent

    def get(self, url: str, **options: Any) -> Deferred[Fetched]:
        work = Deferred.fromCoroutine(self.fetcher.get(url, **options))
        self.agent.flush()
        return work

    def fails(self, work: Deferred[Fetched], state: ProviderState, words: str) -> None:
        error = self.failureResultOf(work, ProviderError).value
        self.assertIs(error.state, state)
        self.assertIn(words, error.sentence)
        self.assertNotIn("panel.test", error.sentence)

    def test_a_page(self) -> None:
        """A page comes whole, with its status, its headers in lower case and its final address."""
        for path, status in (("page", 200), ("missing", 404)):
            fetched = self.successResultOf(self.get(f"http://panel.test/{path}"))
            self.assertEqual((fetched.status, fetched.body), (status, f"</{path}>".encode()))
            self.assertEqual((fetched.headers["x-name"], fetched.url), ("one", f"http://panel.test/{path}"))

    def test_headers(self) -> None:
        """Our name is sent unless another one is given, and credentials of the URL become a header."""
        cases: tuple[tuple[Headers, str], ...] = (((), "iptvd/test"), ((("user-agent", "VLC"),), "VLC"))
        for headers, agent in cases:
            self.successResultOf(self.get("http://bob:s%20x@panel.test/page#part", headers=headers))
            request = self.page.asked[-1]
            self.assertEqual(request.requestHeaders.getRawHeaders("User-Agent"), [agent])
            self.assertEqual(request.getHeader("Authorization"), "Basic Ym9iOnMgeA==")
            self.assertEqual((request.getHeader("Host"), request.uri), ("panel.test", b"/page"))
        self.successResultOf(self.get("http://bob:x@panel.test/page", headers=(("Authorization", "Bearer t"),)))
        self.assertEqual(self.page.asked[-1].getHeader("Authorization"), "Bearer t")

    def test_redirects(self) -> None:
        """Redirects are followed to other hosts, without the credentials, but not in circles and not to files."""
        fetched = self.successResultOf(self.get("http://bob:x@panel.test/elsewhere"))
        self.assertEqual(fetched.url, "http://other.test/page")
        self.assertIsNone(self.page.asked[-1].getHeader("Authorization"))
        self.page.asked.clear()
        self.fails(self.get("http://panel.test/loop"), ProviderState.UNREACHABLE, "redirects more than")
        self.assertEqual(len(self.page.asked), MAX_REDIRECTS + 1)
        self.fails(self.get("http://panel.test/file"), ProviderState.UNREACHABLE, "")

    def test_post(self) -> None:
        """A page can be asked for with POST; a redirect of it is not followed."""
        work = Deferred.fromCoroutine(self.fetcher.post("http://panel.test/page", headers=(("Referer", "here"),)))
        self.agent.flush()
        self.assertEqual(self.successResultOf(work).body, b"</page>")
        request = self.page.asked[-1]
        self.assertEqual((request.method, request.getHeader("Referer")), (b"POST", "here"))
        work = Deferred.fromCoroutine(self.fetcher.post("http://panel.test/elsewhere"))
        self.agent.flush()
        self.fails(work, ProviderState.UNREACHABLE, "redirects what is posted")

    def test_too_long(self) -> None:
        """A page that is longer than wanted is given up."""
        self.successResultOf(self.get("http://panel.test/page", limit=7))
        work = self.get("http://panel.test/page", limit=6)
        self.fails(work, ProviderState.NOT_UNDERSTOOD, "longer than")

    def test_too_slow(self) -> None:
        """A page that does not come in time is given up."""
        work = self.get("http://panel.test/silent", timeout=5)
        self.clock.advance(5)
        self.fails(work, ProviderState.UNREACHABLE, "no whole answer within 5 s")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_is_no_address(self) -> None:
        """Anything but http and https is not asked for."""
        for url in ("ftp://panel.test/", "file:///etc/passwd", "panel.test", "http:///x", ""):
            self.fails(self.get(url), ProviderState.UNCONFIGURED, "not an http or https URL")

    def test_an_address_of_ipv6(self) -> None:
        """A host may be an IPv6 address, which is connected to and named to it as it is; the rest is escaped."""
        for host, port in (("[2001:db8::1]:8080", 8080), ("[2001:db8::1]", 80)):
            reactor = MemoryReactorClock()
            fetcher = Fetcher.over_network(reactor, "iptvd/test", 5.0, HTTPConnectionPool(reactor, persistent=False))
            work = Deferred.fromCoroutine(fetcher.get(f"http://bob:x@{host}/a b/\u00fc?c=%20d&e", timeout=9.0))
            (client,) = reactor.tcpClients
            self.assertEqual(client[:2], ("2001:db8::1", port))
            protocol: Any = client[2].buildProtocol(None)
            transport = StringTransport()
            protocol.makeConnection(transport)
            head = transport.value().split(b"\r\n")
            self.assertEqual(head[0], b"GET /a%20b/%C3%BC?c=%20d&e HTTP/1.1")
            self.assertIn(b"Host: " + host.encode(), head)
            protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            fetched = self.successResultOf(work)
            self.assertEqual((fetched.body, fetched.url), (b"ok", f"http://{host}/a%20b/%C3%BC?c=%20d&e"))

    def test_no_connection(self) -> None:
        """Each way of not getting an answer has its sentence."""
        for error, words in (
            (DNSLookupError("panel.test"), "not known to DNS"),
            (ConnectionRefusedError("panel.test"), "refuses"),
            (ConnectTimeout("panel.test"), "cannot be reached"),
            (ResponseNeverReceived([Failure(ConnectionRefusedError("panel.test"))]), "refuses"),
            (ValueError("panel.test"), "failed (ValueError)"),
        ):
            agent = Refusing(error)
            fetcher = Fetcher(self.clock, lambda verify, agent=agent: agent, "x")  # type: ignore[misc]
            work = Deferred.fromCoroutine(fetcher.get("http://panel.test/"))
            self.fails(work, ProviderState.UNREACHABLE, words)

    def save(self, url: str, path: Path, **options: Any) -> Deferred[Fetched]:
        work = Deferred.fromCoroutine(
            self.fetcher.save(url, path, offload, **{"limit": 1 << 20, "timeout": 9.0, **options})
        )
        self.agent.flush()
        return work

    def test_into_a_file(self) -> None:
        """What is long goes into a file; what says that nothing has changed, or is an error, leaves it alone."""
        path = folder_for(self) / "guide.xml"
        fetched = self.successResultOf(self.save("http://bob:x@panel.test/guide", path))
        self.assertEqual((fetched.status, fetched.body, fetched.headers["etag"]), (200, b"", "v1"))
        self.assertEqual(path.read_bytes(), b"<tv>" * 100_000)
        self.assertTrue((self.page.asked[-1].getHeader("Authorization") or "").startswith("Basic "))
        path.write_bytes(b"as it was")
        again = self.save("http://panel.test/guide", path, headers=(("If-None-Match", "v1"),))
        self.assertEqual(self.successResultOf(again).status, 304)
        self.assertEqual(self.successResultOf(self.save("http://panel.test/missing", path)).status, 404)
        self.assertEqual(path.read_bytes(), b"as it was")

    def test_into_a_file_that_fails(self) -> None:
        """What is too long, does not come, or cannot be written is an error with a sentence."""
        path = folder_for(self) / "guide.xml"
        work = self.save("http://panel.test/guide", path, limit=399_999)
        self.fails(work, ProviderState.NOT_UNDERSTOOD, "longer than")
        self.successResultOf(self.save("http://panel.test/guide", path, limit=400_000))
        work = self.save("http://panel.test/silent", path, timeout=5.0)
        self.clock.advance(5)
        self.fails(work, ProviderState.UNREACHABLE, "no whole answer within 5 s")
        self.fails(self.save("file:///etc/passwd", path), ProviderState.UNCONFIGURED, "not an http or https URL")
        error = self.failureResultOf(self.save("http://panel.test/guide", path / "x"), StoreError).value
        self.assertIn("cannot be written", error.sentence)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_file_that_is_given_up(self) -> None:
        """Whoever does not want the file any more ends the request."""
        work = self.save("http://panel.test/silent", folder_for(self) / "x")
        work.cancel()
        self.failureResultOf(work, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_certificates(self) -> None:
        """There is one way to ask with certificates verified and one without."""
        self.assertEqual(sorted(self.verified), [False, True])


@pytest.fixture
def pool() -> HTTPConnectionPool:
    """Connections that are not kept."""
    return HTTPConnectionPool(reactor, persistent=False)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_over_the_network(origin: OriginProcess, pool: HTTPConnectionPool) -> None:
    """Over the network pages come whole, packed or not; an endless one is given up and left."""
    fetcher = Fetcher.over_network(reactor, "iptvd/test", 5.0, pool)
    plain = await fetcher.get(origin.at("/lists/basic.m3u"))
    packed = await fetcher.get(origin.at("/lists/basic.m3u", gzip=1))
    assert plain.body.startswith(b"#EXTM3U")
    assert packed.body == plain.body
    with pytest.raises(ProviderError, match="longer than"):
        await fetcher.get(origin.at("/lists/endless.m3u"), limit=100_000)
    with pytest.raises(ProviderError, match="cut short"):
        await fetcher.get(origin.at("/lists/basic.m3u", die_after=10))
    with pytest.raises(ProviderError, match="refuses"):
        await fetcher.get(f"http://127.0.0.1:{free_port()}/")
    with pytest.raises(ProviderError, match="no whole answer"):
        await fetcher.get(origin.at("/lists/basic.m3u", drip=10), timeout=0.3)
    wait = origin.open_requests
    assert await deferToThread(lambda: wait_for(lambda: wait() == 0))


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_into_a_file_over_the_network(origin: OriginProcess, pool: HTTPConnectionPool, tmp_path: Path) -> None:
    """Over the network a file comes whole, packed on the way or not, no faster than the disk takes it."""
    fetcher = Fetcher.over_network(reactor, "iptvd/test", 5.0, pool)
    offloaded = threads_of(reactor)

    async def save(path: str, limit: int = 1 << 26, timeout: float = 30.0, **knobs: object) -> bytes:  # noqa: ASYNC109
        file = tmp_path / "file"
        await fetcher.save(origin.at(path, **knobs), file, offloaded, limit=limit, timeout=timeout)
        return file.read_bytes()

    plain = await save("/lists/big.m3u", count=30_000)
    assert len(plain) > 2_000_000
    assert plain.count(b"#EXTINF") == 30_000
    assert await save("/lists/big.m3u", count=30_000, gzip=1) == plain
    assert await save("/lists/big.m3u", count=30_000, framing="chunked") == plain
    for knobs, words in (({"die_after": 100_000}, "cut short"), ({"reset_after": 100_000}, "cut short")):
        with pytest.raises(ProviderError, match=words):
            await save("/lists/big.m3u", **knobs)
    with pytest.raises(ProviderError, match="longer than"):
        await save("/lists/endless.m3u", limit=1_000_000)
    with pytest.raises(ProviderError, match="no whole answer"):
        await save("/lists/basic.m3u", drip=10, timeout=0.3)
    wait = origin.open_requests
    assert await deferToThread(lambda: wait_for(lambda: wait() == 0)) is True
