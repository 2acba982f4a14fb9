"""A viewer's connection: what players ask for again and again comes the short way, the same as by the long."""

from __future__ import annotations

import re
from base64 import b64encode
from ipaddress import ip_network
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport
from twisted.web.resource import IResource
from twisted.web.server import Request

from iptvd.accounts import User
from iptvd.limits import LONGEST
from iptvd.model import Outcome
from iptvd.trust import Trust
from iptvd.web.answering import AnswerResource
from iptvd.web.site import IDLE
from tests.doubles import result
from tests.web.building import Answer, understood
from tests.web.loop import Client
from tests.web.test_content import BODIES, ContentTestCase

SHORT, LONG = BODIES["s1.ts"], BODIES["s2.ts"]
CLIENT_TIMEOUT = 10


class Wide(AnswerResource):
    """A resource whose answer is rather long."""

    BODY = bytes(60_000)

    async def answer(self, request: Request) -> bytes:
        request.setHeader("Content-Length", str(len(self.BODY)))
        return self.BODY


class ConnectionTestCase(ContentTestCase):
    def setUp(self) -> None:
        super().setUp()
        for path, name in ((self.short, "s1.ts"), (self.long, "s2.ts")):
            client = self.stage.ask(path)
            self.finish(name)
            client.read()
            client.leave()
        self.went: list[str] = []
        site = self.stage.site
        find = site.getResourceFor

        def counted(request: Request) -> IResource:
            self.went.append((request.uri or b"").decode())
            return find(request)

        self.patch(site, "getResourceFor", counted)

    def asked(self, path: str, *headers: str, method: str = "GET") -> bytes:
        return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]).encode()

    def connect(self, path: str = "") -> Client:
        """A viewer whose headers are known: it has asked for something that is not there."""
        client = self.stage.ask("/content/x.ts")
        self.assertEqual(client.answer().status, 403)
        client.data = b""
        self.went.clear()
        if path:
            client.send(self.asked(path))
        return client

    def answers(self, raw: bytes, count: int) -> list[Answer]:
        """So many answers in a row, and nothing after them."""
        found: list[Answer] = []
        for _ in range(count):
            head = raw.partition(b"\r\n\r\n")[0]
            told = re.search(rb"\r\nContent-Length: ([0-9]+)", head)
            assert told is not None
            end = len(head) + 4 + int(told[1])
            found.append(understood(raw[:end]))
            raw = raw[end:]
        self.assertEqual(raw, b"")
        return found


class ShortWayTests(ConnectionTestCase):
    def test_the_same_answer(self) -> None:
        """Playlists and segments that are at hand are answered without ado, and as they are with it."""
        for path in (self.index, self.short, self.long):
            by_the_short_way = self.connect(path).answer()
            self.assertEqual(self.went, [])
            answer = self.stage.ask(path, ("X-More", "1")).answer()
            self.assertEqual(len(self.went), 1)
            self.assertEqual((by_the_short_way.status, by_the_short_way.body), (answer.status, answer.body))
            told = {name: value for name, value in by_the_short_way.headers.items() if name != "Date"}
            expected = dict(answer.headers.items())
            # A body that is as long as this one has a connection of its own by the long way.
            expected.pop("Connection", None)
            expected.pop("Date", None)
            self.assertEqual(told, expected)
            self.assertIsNotNone(by_the_short_way.headers["Date"])

    def test_what_is_counted(self) -> None:
        """What went the short way is counted in its session, without the head."""
        before = self.sent()
        self.connect(self.short).read()
        client = self.connect(self.long)
        self.assertLess(self.sent(), before + len(SHORT) + len(LONG))
        client.read()
        self.assertEqual(self.sent(), before + len(SHORT) + len(LONG))

    def test_the_first_byte(self) -> None:
        """The first byte of a session is told of as well when it goes the short way."""
        (session,) = self.stage.hub.sessions.values()
        session.bytes_sent = 0
        told: list[object] = []
        session.at_first_byte(told.append)
        self.connect(self.short).read()
        self.assertEqual(told, [session])

    def test_what_goes_the_long_way(self) -> None:
        """Other methods, headers, paths and whatever is not at hand are answered as ever."""
        self.stage.loop.advance(3)
        client = self.connect()
        for request, status in (
            (self.asked(self.short, method="HEAD"), 200),
            (self.asked(self.short, "Range: bytes=0-9"), 206),
            (self.asked(self.short + "?x=y"), 200),
            (self.asked("/content/%78.ts"), 403),
            (self.asked(self.key.replace("/key/", "/content/")), 403),
            (self.asked(self.short.replace("/content/", "/key/")), 403),
            (self.asked("/hls/x"), 404),
            (self.asked("/nothing/x"), 404),
            (self.asked("/"), 200),
            (self.asked(self.index), 200),
        ):
            self.went.clear()
            client.data = b""
            client.send(request)
            method = "HEAD" if request.startswith(b"HEAD") else "GET"
            self.assertEqual((client.answer(method).status, len(self.went)), (status, 1), request)

    def test_headers_that_are_never_remembered(self) -> None:
        """What makes each answer another one, or ends the connection, always goes the long way."""
        for header in ("Range: bytes=0-9", "Connection: close", "Content-Length: 0", "Expect: x", "X: " + "x" * 5000):
            client = self.connect()
            for _ in range(2):
                client.send(self.asked(self.short, header))
            self.assertEqual(len(self.went), 1 if "close" in header else 2, header[:20])

    def test_kept_alive(self) -> None:
        """A player that says that it keeps its connection, as many do, is remembered too."""
        client = self.connect()
        for _ in range(3):
            client.send(self.asked(self.short, "Connection: Keep-Alive", "User-Agent: VLC"))
        self.assertEqual([answer.body for answer in self.answers(client.read(), 3)], [SHORT] * 3)
        self.assertEqual(len(self.went), 1)

    def test_other_rules(self) -> None:
        """Other settings of trust count from the next request on, on connections that are there too."""
        client = self.connect(self.short)
        self.assertEqual(client.answer().status, 200)
        self.stage.trust(trusted_networks=(ip_network("10.0.0.0/8"),))
        client.data = b""
        client.send(self.asked(self.short))
        self.assertEqual((client.answer().status, len(self.went)), (403, 1))
        client.data = b""
        client.send(self.asked(self.short))
        self.assertEqual((client.answer().status, len(self.went)), (403, 2))

    def test_judged_once(self) -> None:
        """The same headers are judged once for a connection, whatever they ask for."""
        judged: list[object] = []
        judge = Trust.judge

        def counted(self: Trust, *arguments: Any, **more: Any) -> Any:
            judged.append(arguments)
            return judge(self, *arguments, **more)

        self.patch(Trust, "judge", counted)
        client = self.connect()
        for path in ("/", "/ping", self.short + "?x", self.index):
            client.send(self.asked(path))
        client.send(self.asked("/ping", "X: 1"))
        self.assertEqual(len(judged), 2)

    @settings(max_examples=25)
    @given(st.lists(st.integers(1, 2000), max_size=12), st.lists(st.sampled_from([0, 1]), min_size=1, max_size=5))
    def test_in_any_pieces(self, cuts: list[int], which: list[int]) -> None:
        """Requests that come in any pieces, or many at once, are answered in their order."""
        paths = (self.index, self.short)
        client = self.connect()
        raw = b"".join(self.asked(paths[at]) for at in which)
        for cut in cuts:
            client.send(raw[:cut])
            raw = raw[cut:]
        client.send(raw)
        for answer, at in zip(self.answers(client.read(), len(which)), which, strict=True):
            self.assertEqual(answer.status, 200)
            if at:
                self.assertEqual(answer.body, SHORT)
        client.leave()

    def test_an_idle_connection(self) -> None:
        """A connection is kept as long as it is used, by the short way too, and closed when it is not."""
        client = self.connect()
        for _ in range(4):
            self.stage.loop.advance(IDLE - 1)
            client.send(self.asked("/content/y.ts"))
        client.read()
        self.assertFalse(client.ended)
        self.stage.loop.advance(IDLE)
        client.read()
        self.assertTrue(client.ended)

    def test_by_way_of_something_else(self) -> None:
        """On a connection that is no plain one playlists come the short way, and segments by the long."""
        protocol: Any = self.stage.site.buildProtocol(None)
        transport = StringTransport(peerAddress=IPv4Address("TCP", "127.0.0.1", 1))
        protocol.makeConnection(transport)
        for path in ("/content/x.ts", self.index, self.short):
            self.went.clear()
            transport.clear()
            protocol.dataReceived(self.asked(path))
            self.stage.loop.settle()
            answer = understood(transport.value())
            self.assertEqual((answer.status, len(self.went)), {"x": (403, 1)}.get(path[9], (200, path != self.index)))
        protocol.connectionLost(cast(Any, None))


class UserTests(ConnectionTestCase):
    """The short way of those who have accounts."""

    def setUp(self) -> None:
        super().setUp()
        accounts = self.stage.admission.accounts
        accounts.on_change(lambda names: self.stage.hub.end_all_of(names, "revoked"))
        for name in ("anna", "bob"):
            result(accounts.put(User(name, f"{name}-token")))
        path = "/~anna-token" + self.stage.path("HLS", "m3u8")
        (self.index,) = self.uris(path, self.stage.ask(path).answer())
        _, self.short, _ = self.uris(self.index, self.stage.ask(self.index).answer())
        self.assertTrue(self.short.startswith("/~anna-token/content/"))
        self.plain = self.short.removeprefix("/~anna-token")

    def known(self, path: str, *headers: str) -> Client:
        """A viewer whose headers are known."""
        client = self.stage.ask("/ping")
        client.read()
        client.data = b""
        client.send(self.asked(path, *headers))
        client.read()
        client.data = b""
        self.went.clear()
        return client

    def status(self, client: Client, path: str, *headers: str) -> tuple[int, bool]:
        """How something is answered, however late, and whether that went the short way."""
        self.went.clear()
        client.data = b""
        client.send(self.asked(path, *headers))
        if not client.read():
            self.stage.loop.pump([LONGEST, 0])
        return client.answer().status, not self.went

    def test_by_the_path(self) -> None:
        """With the token in the path playlists and segments come the short way."""
        client = self.known("/~anna-token/content/x.ts")
        for path, body in ((self.short, SHORT), (self.index, None), (self.short, SHORT)):
            self.assertEqual(self.status(client, path), (200, True))
            if body:
                self.assertEqual(client.answer().body, body)

    def test_by_a_header(self) -> None:
        """With the token in the headers they do as well, as the same headers are the same user."""
        header = "Authorization: Basic " + b64encode(b"anna:anna-token").decode()
        client = self.known("/content/x.ts", header)
        self.assertEqual(self.status(client, self.plain, header), (200, True))
        self.assertEqual(self.status(client, self.plain), (401, False))

    def test_by_the_query(self) -> None:
        """What one address had in its query says nothing about another without it."""
        client = self.known("/content/x.ts?token=anna-token")
        self.assertEqual(self.status(client, self.plain), (401, False))
        self.assertEqual(self.status(client, self.plain + "?token=anna-token"), (200, False))

    def test_another_token(self) -> None:
        """On one connection each token is looked at; what one user has begun is not for another."""
        client = self.known("/~anna-token/content/x.ts")
        for path, status in (
            (self.short.replace("anna", "bob"), 403),
            (self.short.replace("anna", "carl"), 403),
            (self.plain, 401),
            (self.short, 200),
        ):
            self.assertEqual(self.status(client, path), (status, False), path)
        self.assertEqual(self.status(client, self.short), (200, True))

    def test_revoked(self) -> None:
        """From the moment at which a user is removed nothing more comes, on connections that are there too."""
        client = self.known("/~anna-token/content/x.ts")
        self.assertEqual(self.status(client, self.short), (200, True))
        result(self.stage.admission.accounts.remove("anna"))
        self.assertEqual(self.stage.ends[-1], (Outcome.ENDED_BY_OPERATOR, "revoked"))
        for path in (self.short, self.index):
            self.assertEqual(self.status(client, path), (403, False))

    def test_expired(self) -> None:
        """From the moment at which an account expires it is the same."""
        now = self.stage.loop.seconds()
        result(self.stage.admission.accounts.put(User("anna", "anna-token", expires=now + 3)))
        client = self.known("/~anna-token/content/x.ts")
        self.assertEqual(self.status(client, self.short), (200, True))
        self.stage.loop.pump([1] * 3)
        self.assertEqual(self.stage.ends[-1], (Outcome.ENDED_BY_OPERATOR, "revoked"))
        self.assertEqual(self.status(client, self.short), (403, False))
