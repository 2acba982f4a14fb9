"""The tree as a whole: who is let in by which name, and what is at no address."""

from __future__ import annotations

from io import BytesIO

from twisted.internet.address import UNIXAddress
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request

from iptvd import __version__
from iptvd.errors import StoreError
from iptvd.log import Fault
from iptvd.web.request import FAULT, AnswerResource, send
from iptvd.web.site import IDLE, Refused
from tests.web.building import HOME, PROXY, STRANGER, Connection, Tree, understood


class Broken(Resource):
    """A folder that fails when it is looked into."""

    def getChild(self, path: bytes, request: Request) -> Resource:
        raise ValueError("secret")


class Posted(AnswerResource):
    """Takes what nothing of ours takes."""

    def __init__(self) -> None:
        super().__init__()
        self.contents: list[bytes] = []

    def render(self, request: Request) -> object:
        assert isinstance(request.content, BytesIO), "a temporary file"
        self.contents.append(request.content.getvalue())
        request.method = b"GET"
        return super().render(request)

    async def answer(self, request: Request) -> bytes:
        return send(request, repr(request.args).encode(), "text/plain")


class HostTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = Tree()

    def test_names_of_ours(self) -> None:
        """The daemon answers by its addresses, by localhost, by .local names, and by names it was told."""
        for host in ("192.168.1.10:8085", "127.0.0.1", "[::1]:8085", "localhost", "box.local", "tv.example.com"):
            self.assertEqual(self.tree.ask("/ping", ("Host", host)).status, 200, host)

    def test_other_names(self) -> None:
        """A name that is not ours gets 421 for every address and method: a page may have let it point to us."""
        for path in ("/", "/ping", "/health", "/playlist.m3u8", "/nothing"):
            for method in ("GET", "HEAD", "OPTIONS", "POST"):
                answer = self.tree.ask(path, ("Host", "rebound.test"), method=method)
                self.assertEqual(answer.status, 421)
        answer = self.tree.ask("/ping", ("Host", "rebound.test"))
        self.assertIn("allowed_hosts", answer.text)
        self.assertEqual(answer.headers["Content-Type"], "text/plain; charset=utf-8")
        self.assertIsNone(answer.headers["Access-Control-Allow-Origin"])

    def test_what_is_no_name(self) -> None:
        """A Host header that is none is refused as well, and is not repeated to anyone."""
        answer = self.tree.ask("/ping", ("Host", "<script>"))
        self.assertEqual(answer.status, 421)
        self.assertNotIn("script", answer.text)

    def test_no_host(self) -> None:
        """An old client that names no host is answered, with links to the address it came to."""
        connection = self.tree.connect()
        connection.send(b"GET /playlist.m3u8 HTTP/1.0\r\n\r\n")
        self.assertIn("http://192.168.1.10:8085/stream/", understood(connection.received()).text)

    def test_a_unix_socket(self) -> None:
        """Who comes by a Unix socket without a proxy's word is a stranger."""
        transport = StringTransport(UNIXAddress("/run/x"), UNIXAddress(""))
        protocol = self.tree.site.buildProtocol(UNIXAddress(""))
        protocol.makeConnection(transport)
        connection = Connection(protocol, transport)
        for path, status in (("/ping", 200), ("/playlist.m3u8", 403)):
            connection.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            self.assertEqual(understood(connection.received()).status, status)

    def test_reloaded_rules(self) -> None:
        """Other settings of trust count from the next request on."""
        other = Tree(public_url="https://rebound.test")
        self.tree.admission = other.admission
        self.assertEqual(self.tree.ask("/ping", ("Host", "rebound.test")).status, 200)


class AddressTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = Tree()

    def test_what_strangers_may_see(self) -> None:
        """Strangers see that the daemon is there and how it is, and nothing of what it has."""
        for path in ("/", "/playlist.m3u8", "/playlist.m3u", "/logo/1", "/health/detailed", "/metrics"):
            for method in ("GET", "HEAD"):
                self.assertEqual(self.tree.ask(path, method=method, peer=STRANGER).status, 403, path)
        for path in ("/ping", "/health", "/nothing"):
            self.assertNotEqual(self.tree.ask(path, peer=STRANGER).status, 403)

    def test_nothing(self) -> None:
        """An address where nothing is gets a plain 404, in a sentence that does not repeat it."""
        for path in ("/x", "/x/<b>", "/health/x", "//", "/logo", "/%ff", "/playlist.m3u9", "/..%2fetc"):
            answer = self.tree.ask(path)
            self.assertEqual((answer.status, answer.text), (404, "There is nothing at this address.\n"), path)
            self.assertEqual(answer.headers["Content-Type"], "text/plain; charset=utf-8")

    def test_what_is_for_the_operator(self) -> None:
        """An error that names files or settings of ours is not told to viewers, even as a whole answer."""
        self.tree.add("x", Refused(StoreError("/secret/state cannot be written")))
        answer = self.tree.ask("/x")
        self.assertEqual((answer.status, answer.text), (500, FAULT + "\n"))

    def test_head(self) -> None:
        """HEAD works wherever GET does, and tells the same without a body."""
        channel = next(iter(self.tree.shown.lineup.by_id))
        paths = ("/", "/playlist.m3u8", "/playlist.m3u", f"/logo/{channel}", "/health", "/health/detailed", "/ping")
        for path in (*paths, "/metrics", "/nothing"):
            get, head = self.tree.ask(path), self.tree.ask(path, method="HEAD")
            self.assertEqual((head.status, head.body), (get.status, b""), path)
            self.assertEqual(head.headers["Content-Length"], str(len(get.body)), path)
            self.assertEqual(head.headers["Content-Type"], get.headers["Content-Type"], path)

    def test_the_server(self) -> None:
        """Every answer says who gives it, and not with what it is made."""
        for path, host in (("/ping", "localhost"), ("/nothing", "localhost"), ("/ping", "rebound.test")):
            self.assertEqual(self.tree.ask(path, ("Host", host)).headers["Server"], f"iptvd/{__version__}")

    def test_for_pages(self) -> None:
        """Playlists and logos are open to pages of other origins, what is private is not."""
        for path in ("/playlist.m3u8", "/playlist.m3u", "/logo/1"):
            for method in ("GET", "HEAD", "OPTIONS"):
                answer = self.tree.ask(path, ("Origin", "http://page.test"), method=method)
                self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "*", path)
        for path in ("/", "/health", "/health/detailed", "/metrics", "/ping"):
            for method in ("GET", "OPTIONS"):
                answer = self.tree.ask(path, ("Origin", "http://page.test"), method=method)
                self.assertIsNone(answer.headers["Access-Control-Allow-Origin"], path)

    def test_behind_a_proxy(self) -> None:
        """Links have the scheme, host and prefix that a trusted proxy tells, and nobody else's."""
        told = (("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "tv.example.com"), ("X-Forwarded-Prefix", "/tv"))
        text = self.tree.ask("/playlist.m3u8", ("X-Forwarded-For", HOME), *told, peer=PROXY).text
        self.assertIn("\nhttps://tv.example.com/tv/stream/", text)
        self.assertEqual(self.tree.ask("/playlist.m3u8", *told).status, 403)


class ConnectionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = Tree()

    def test_one_after_the_other(self) -> None:
        """A connection serves several requests, also when they come in one piece."""
        connection = self.tree.connect()
        asked = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
        connection.send(asked * 3)
        self.assertEqual(connection.received().count(b"pong\n"), 3)

    def test_an_idle_connection(self) -> None:
        """A connection on which nothing happens is closed."""
        connection = self.tree.connect()
        self.tree.clock.advance(IDLE - 1)
        self.assertFalse(connection.transport.disconnecting)
        self.tree.clock.advance(2)
        self.assertTrue(connection.transport.disconnecting)

    def test_bodies_cost_nothing(self) -> None:
        """What a request brings along is dropped: no form is read, no file is written."""
        posted = Posted()
        self.tree.add("x", posted)
        form = b"group=secret&" * 20_000
        head = f"Host: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}"
        connection = self.tree.connect()
        connection.send(f"POST /x?a=b HTTP/1.1\r\n{head}\r\n\r\n".encode() + form)
        self.assertEqual(understood(connection.received()).text, "{b'a': [b'b']}")
        connection.send(
            b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        )
        self.assertEqual(understood(connection.received()).text, "{}")
        self.assertEqual(posted.contents, [b"", b""])

    def test_a_fault_on_the_way(self) -> None:
        """A fault while the address is looked up is a sentence too; the log has its place and not its message."""
        self.tree.add("x", Broken())
        answer = self.tree.ask("/x/y")
        self.assertEqual((answer.status, answer.text), (500, FAULT + "\n"))
        (failure,) = self.flushLoggedErrors(Fault)
        self.assertIn("ValueError at", str(failure.value))
        self.assertNotIn("secret", failure.getTraceback())

    def test_what_is_no_request(self) -> None:
        """Bytes that are no HTTP get 400 and the connection is closed, and nothing is logged as ours."""
        for rubbish in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/1.1\r\nno\r\n\r\n",
        ):
            connection = self.tree.connect()
            connection.send(rubbish)
            self.assertTrue(connection.received().startswith(b"HTTP/1.1 400 "), rubbish)
            self.assertTrue(connection.transport.disconnecting)

    def test_only_http_1(self) -> None:
        """Over TLS HTTP/1.1 is offered and nothing else, whatever is installed."""
        self.assertEqual(self.tree.site.acceptableProtocols(), [b"http/1.1"])
