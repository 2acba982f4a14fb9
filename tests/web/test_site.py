"""The tree as a whole: who is let in by which name, and what is at no address."""

from __future__ import annotations

from base64 import b64encode
from typing import cast

from attrs import evolve
from twisted.internet.address import UNIXAddress
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request

from iptvd import __version__
from iptvd.access import Shown
from iptvd.accounts import User
from iptvd.errors import StoreError
from iptvd.limits import FORGIVEN, LONGEST
from iptvd.log import Fault
from iptvd.logins import COOKIE
from iptvd.web.answering import AnswerResource
from iptvd.web.request import FAULT, caller_of, send
from iptvd.web.site import IDLE, IptvdSite, Refused
from tests.doubles import Kept, admission, result
from tests.web.building import BASE, HOME, PROXY, STRANGER, Answer, Connection, Tree, understood


class Broken(Resource):
    """A folder that fails when it is looked into."""

    def getChild(self, path: bytes, request: Request) -> Resource:
        raise ValueError("secret")


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

    def test_what_it_is_called(self) -> None:
        """Each status goes by its name, also where twisted.web does not know it."""
        for path, host, status in (
            ("ping", "rebound.test", b"421 Misdirected Request"),
            ("ping", "localhost", b"200 OK"),
            ("nothing", "localhost", b"404 Not Found"),
        ):
            connection = self.tree.connect()
            connection.send(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            self.assertEqual(connection.received().partition(b"\r\n")[0], b"HTTP/1.1 " + status)

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
        for path in ("/", "/playlist.m3u8", "/playlist.m3u", "/logo/1", "/metrics"):
            for method in ("GET", "HEAD"):
                self.assertEqual(self.tree.ask(path, method=method, peer=STRANGER).status, 403, path)
        self.assertEqual(self.tree.ask("/health/detailed", peer=STRANGER).status, 401)
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
        """A connection on which nothing happens any more is closed."""
        connection = self.tree.connect()
        connection.send(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.tree.clock.advance(IDLE - 1)
        self.assertFalse(connection.transport.disconnecting)
        self.tree.clock.advance(2)
        self.assertTrue(connection.transport.disconnecting)

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


class UserTests(SynchronousTestCase):
    """Whoever has an account, and whoever has not."""

    PATHS = ("/", "/playlist.m3u8", "/playlist.m3u", "/logo/1")

    def setUp(self) -> None:
        self.tree = Tree()
        self.anna = User("anna", "anna-token")
        self.keep(self.anna)

    def keep(self, user: User) -> None:
        result(self.tree.admission.accounts.put(user))

    def answer(self, path: str, *headers: tuple[str, str], peer: str = HOME, method: str = "GET") -> Answer:
        """The answer, however late that to a wrong token is."""
        connection = self.tree.begin(path, headers, peer=peer, method=method)
        received = connection.received()
        if not received:
            self.tree.clock.pump([LONGEST, FORGIVEN])
        return understood(received or connection.received(), method)

    def test_without_a_token(self) -> None:
        """With one user there is nothing for anybody without a token, at home and elsewhere."""
        for peer in (HOME, STRANGER):
            for path in self.PATHS:
                for method in ("GET", "HEAD"):
                    answer = self.answer(path, peer=peer, method=method)
                    self.assertEqual((answer.status, answer.headers["WWW-Authenticate"][:6]), (401, "Basic "))
            self.assertEqual(self.answer("/ping", peer=peer).status, 200)

    def test_with_a_wrong_one(self) -> None:
        """A wrong token is refused wherever it is shown, and a right one in the wrong name."""
        for path, header in (
            ("/playlist.m3u8?token=wrong", ("X", "")),
            ("/~wrong/playlist.m3u8", ("X", "")),
            ("/playlist.m3u8", ("Authorization", "Bearer wrong")),
            ("/playlist.m3u8", ("Authorization", "Basic " + b64encode(b"bob:anna-token").decode())),
            ("/playlist.m3u8?username=bob&password=anna-token", ("X", "")),
        ):
            answer = self.answer(path, header)
            self.assertEqual((answer.status, answer.headers["WWW-Authenticate"]), (403, None), path)

    def test_with_a_token(self) -> None:
        """However a token is shown, all links have it in their path, and lead to the same things."""
        seen = set()
        for path, header in (
            ("/playlist.m3u8?token=anna-token", ("X", "")),
            ("/~anna-token/playlist.m3u8", ("X", "")),
            ("/playlist.m3u8", ("X-API-Token", "anna-token")),
            ("/playlist.m3u8", ("Authorization", "Basic " + b64encode(b"anna:anna-token").decode())),
            ("/playlist.m3u8?username=anna&password=anna-token", ("X", "")),
        ):
            answer = self.answer(path, header, peer=STRANGER)
            self.assertEqual(answer.status, 200, path)
            seen.add(answer.text)
        (text,) = seen
        self.assertIn(f"{BASE}/~anna-token/stream/", text)
        self.assertNotIn(f"{BASE}/stream/", text)
        self.assertIn('x-tvg-url="http://192.168.1.10:8085/~anna-token/epg.xml"', text)

    def test_the_top(self) -> None:
        """A token alone leads to the page, with and without a slash at the end."""
        for path in ("/~anna-token", "/~anna-token/"):
            answer = self.answer(path)
            self.assertEqual((answer.status, "~anna-token/playlist.m3u8" in answer.text), (200, True), path)

    def test_a_token_that_is_not_needed(self) -> None:
        """Where there are no users a token in the path means nothing, and changes nothing."""
        result(self.tree.admission.accounts.remove("anna"))
        self.assertEqual(self.answer("/~anna-token/playlist.m3u8").text, self.answer("/playlist.m3u8").text)
        self.assertEqual(self.answer("/~anna-token/playlist.m3u8", peer=STRANGER).status, 403)
        self.assertEqual(self.answer("/~anna-token/nothing").status, 404)

    def test_revoked(self) -> None:
        """From the moment at which a user is switched off, expires or gets another token the old one is wrong."""
        for change in (
            evolve(self.anna, active=False),
            evolve(self.anna, expires=self.tree.clock.seconds()),
            evolve(self.anna, token="new-token"),
        ):
            self.keep(self.anna)
            self.assertEqual(self.answer("/~anna-token/playlist.m3u8").status, 200)
            self.keep(change)
            self.assertEqual(self.answer("/~anna-token/playlist.m3u8").status, 403)

    def test_judged_anew(self) -> None:
        """Who is judged anew has links with their own token only, whoever the request was from before."""

        class Anew(AnswerResource):
            guarded = False

            async def answer(self, request: Request) -> bytes:
                site = cast(IptvdSite, request.site)
                for token in ("anna-token", "bob-token"):
                    site.judge(request, caller_of(request), Shown((token,)))
                return send(request, caller_of(request).base_url.encode(), "text/plain")

        self.keep(User("bob", "bob-token"))
        self.tree.add("x", Anew())
        for path in ("/x", "/x?token=anna-token", "/~bob-token/x"):
            self.assertEqual(self.answer(path).text, f"{BASE}/~bob-token")

    def test_unsafe_from_another_page(self) -> None:
        """What a page of another site has a browser do by its login, or from its network, is refused."""

        class Changes(AnswerResource):
            render_POST = AnswerResource.render_GET

            def render(self, request: Request) -> object:
                return self.render_GET(request)

            async def answer(self, request: Request) -> bytes:
                return send(request, b"", "text/plain")

        self.tree.add("x", Changes())
        cookie = "Cookie", f"{COOKIE.decode()}={self.tree.admission.logins.cookie(self.anna)}"
        token = "X-API-Token", "anna-token"
        foreign, own = ("Origin", "http://evil.test"), ("Origin", BASE)
        for headers, status in (
            ((cookie,), 200),
            ((cookie, own), 200),
            ((cookie, foreign), 403),
            ((cookie, ("Sec-Fetch-Site", "cross-site")), 403),
            ((token, foreign), 200),
        ):
            self.assertEqual(self.answer("/x", *headers, method="POST").status, status, headers)
            self.assertEqual(self.answer("/x", *headers).status, 200)
        result(self.tree.admission.accounts.remove("anna"))
        self.assertEqual(self.answer("/x", foreign, method="POST").status, 403)
        self.assertEqual(self.answer("/x", method="POST").status, 200)

    def test_unreadable(self) -> None:
        """Where it is not known who there is, nobody is let in, and when to come again is told."""
        store = Kept()
        store.failure = "damaged"
        self.tree.admission = admission(self.tree.clock, store)
        answer = self.answer("/playlist.m3u8")
        self.assertEqual((answer.status, answer.headers["Retry-After"]), (503, "5"))
