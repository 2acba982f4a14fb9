"""The edges of the tree: how often who may ask, how long wrong tokens take, how many may connect, what is added."""

from __future__ import annotations

from ipaddress import ip_network
from itertools import count
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from iptvd.accounts import User, to_record
from iptvd.limits import FIRST, LONGEST, UNDER_WAY
from iptvd.settings import Config
from iptvd.web.answering import AnswerResource
from iptvd.web.edges import Edges, attempt_failed, begin_attempt
from iptvd.web.pacing import Closed, PacedChannel
from iptvd.web.request import Refusal, send
from iptvd.web.site import IptvdSite
from tests.doubles import Kept, admission
from tests.web.building import HOME, PROXY, STRANGER, Connection, Tree, understood

TOKEN, API = "bobs-token", "secret-api-token"
_NOWHERE = Path("/nonexistent")


class Counted(Tree):
    """A tree with limits, a user bob and a token to manage with."""

    def __init__(self, *, users: bool = True, **limits: int) -> None:
        super().__init__()
        kept = Kept()
        if users:
            kept.kinds["user"] = {"bob": to_record(User("bob", TOKEN)), "eve": to_record(User("eve", "eves-token"))}
        limits = {"connections_per_address": 0, **limits}
        settings: dict[str, Any] = {
            "trusted_proxies": (ip_network(f"{PROXY}/32"),),
            "trusted_networks": (ip_network("192.168.0.0/16"),),
            "api_token": API,
        }
        self.admission = admission(self.clock, kept, **settings)
        self.edges = Edges(self.clock, Config(**{**settings, **limits, "state_dir": _NOWHERE}))
        self.site = IptvdSite(self.root, lambda: self.admission.access, self.admission.logins, self.clock, self.edges)

    def statuses(self, path: str, times: int, *headers: tuple[str, str], peer: str = HOME) -> list[int]:
        """How so many requests are answered."""
        return [self.ask(path, *headers, peer=peer).status for _ in range(times)]


class RateTests(SynchronousTestCase):
    def test_strangers(self) -> None:
        """Who shows no token may ask now and then, is told when to come again, and then is answered again."""
        tree = Counted(request_rate=5)
        self.assertEqual(tree.statuses("/playlist.m3u8", 7), [401] * 5 + [429] * 2)
        answer = tree.ask("/playlist.m3u8")
        self.assertEqual((answer.status, answer.headers["Retry-After"]), (429, "12"))
        self.assertIn("try again later", answer.text)
        self.assertEqual(tree.ask("/playlist.m3u8", peer="192.168.1.3").status, 401)
        tree.clock.advance(12)
        self.assertEqual(tree.statuses("/playlist.m3u8", 2), [401, 429])

    def test_what_is_counted(self) -> None:
        """Playlists, guides and the API are counted together; media, logos, searches and health are not at all."""
        tree = Counted(request_rate=3)
        for path in ("/playlist.m3u", "/epg.xml", "/api/channels"):
            self.assertNotEqual(tree.ask(path).status, 429)
        counted = ("/playlist.m3u8", "/epg.xml.gz", "/get.php", "/xmltv.php", "/api/users", "/api", "/streams/1")
        for path in (
            *counted,
            "/stats",
            "/clients",
            "/webhooks",
            "/metrics",
            "/get_playlist.php",
            "/~x/playlist.m3u8",
        ):
            self.assertEqual(tree.ask(path).status, 429, path)
        free = ("/stream/1.ts", "/hls/1/index.m3u8", "/content/x.ts", "/key/x", "/logo/1", "/live/u/p/1.ts", "/u/p/1")
        for path in (*free, "/player_api.php", "/api/search?q=x", "/api/live", "/health", "/ping", "/", "/x"):
            self.assertNotIn(429, tree.statuses(path, 5), path)

    def test_tokens(self) -> None:
        """Each user, and who manages, has a rate of their own, wherever they ask from."""
        tree = Counted(request_rate=1, token_rate=4)
        self.assertEqual(tree.statuses(f"/playlist.m3u8?token={TOKEN}", 6), [200] * 4 + [429] * 2)
        self.assertEqual(tree.ask(f"/playlist.m3u8?token={TOKEN}", peer=STRANGER).status, 429)
        self.assertEqual(tree.statuses("/playlist.m3u8?token=eves-token", 6), [200] * 4 + [429] * 2)
        self.assertEqual(tree.statuses("/playlist.m3u8", 5, ("X-API-Token", API)), [200] * 4 + [429])

    def test_networks_that_need_no_token(self) -> None:
        """Without users an address that is trusted has the rate of a token, and any other one that of strangers."""
        tree = Counted(users=False, request_rate=2, token_rate=4)
        self.assertEqual(tree.statuses("/playlist.m3u8", 5), [200] * 4 + [429])
        self.assertEqual(tree.statuses("/playlist.m3u8", 3, peer=STRANGER), [403] * 2 + [429])

    def test_a_page_and_a_player(self) -> None:
        """A page with many cards, and a player with all its logos, never meet the limits as they are by themselves."""
        tree = Counted()
        tree.edges.limits = Config(state_dir=_NOWHERE, connections_per_address=0)
        for path in (
            "/playlist.m3u8",
            "/epg.xml",
            *(f"/logo/{number}" for number in range(400)),
            "/",
            "/api/channels",
        ):
            self.assertNotEqual(tree.ask(f"/~{TOKEN}{path}").status, 429, path)

    def test_behind_a_proxy(self) -> None:
        """Clients of a trusted proxy are counted one by one."""
        tree = Counted(request_rate=1)
        for client in ("203.0.113.1", "203.0.113.2"):
            headers = ("X-Forwarded-For", client)
            self.assertEqual(tree.statuses("/playlist.m3u8", 2, headers, peer=PROXY), [401, 429])

    def test_other_settings(self) -> None:
        """Other settings count from the next request on."""
        tree = Counted(request_rate=1)
        self.assertEqual(tree.statuses("/playlist.m3u8", 2), [401, 429])
        tree.edges.limits = Config(state_dir=_NOWHERE, request_rate=0)
        self.assertEqual(tree.statuses("/playlist.m3u8", 9), [401] * 9)


class WrongTokenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = Counted()
        self.numbers = count()

    def wrong(self, path: str = "", peer: str = HOME, **how: Any) -> Connection:
        """A request with a wrong token, by itself another one each time."""
        return self.tree.begin(path or f"/logo/1?token=wrong{next(self.numbers)}", peer=peer, **how)

    def answered_after(self, connection: Connection) -> float:
        """How long the answer takes."""
        begun, clock = self.tree.clock.seconds(), self.tree.clock
        while not (data := connection.received()):
            self.assertLess(clock.seconds() - begun, 60)
            clock.advance(0.125)
        self.assertEqual(understood(data).status, 403)
        return clock.seconds() - begun

    def test_longer_and_longer(self) -> None:
        """Each wrong token takes longer than the one before, wherever it is shown, and only for that address."""
        shown = [
            "/logo/2?token=x",
            "/~x/playlist.m3u8",
            "/logo/1?password=x",
            "/?token=x",
            "/playlist.m3u?token=y",
        ]
        self.assertEqual([self.answered_after(self.wrong(path)) for path in shown], [FIRST, 0.5, 1, 2, 4])
        self.assertEqual([self.answered_after(self.wrong()) for _ in range(2)], [LONGEST] * 2)
        self.assertEqual(self.answered_after(self.wrong(peer=STRANGER)), FIRST)
        self.tree.clock.advance(300)
        self.assertEqual(self.answered_after(self.wrong()), FIRST)

    def test_the_same_answer(self) -> None:
        """An answer that waited is what it would have been, HEAD included, and the connection goes on."""
        connection = self.wrong()
        self.tree.clock.advance(1)
        answer = understood(connection.received())
        self.assertEqual(answer.text, "This token is not known here.\n")
        connection.send(b"HEAD /logo/1?token=wrong HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertEqual(connection.received(), b"")
        connection.send(b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.tree.clock.advance(1)
        head, _, rest = connection.received().partition(b"\r\n\r\n")
        self.assertIn(b"403", head)
        self.assertTrue(rest.startswith(b"HTTP/1.1 200 ") and rest.endswith(b"pong\n"), rest)

    def test_who_is_right(self) -> None:
        """Whoever shows what is right, or shows nothing, is never delayed."""
        for _ in range(3):
            self.answered_after(self.wrong())
        for path, status in ((f"/playlist.m3u8?token={TOKEN}", 200), ("/playlist.m3u8", 401), ("/ping?token=x", 200)):
            self.assertEqual(self.tree.ask(path).status, status)
        self.assertEqual(self.tree.ask("/metrics", ("X-API-Token", API)).status, 200)

    def test_so_many_at_once(self) -> None:
        """Of many wrong ones at once only some are looked at; the others are told at once to come later."""
        connections = [self.wrong() for _ in range(1000)]
        statuses = [understood(data).status for one in connections if (data := one.received())]
        self.assertEqual(statuses, [429] * (1000 - UNDER_WAY))
        self.tree.clock.advance(LONGEST)
        self.assertEqual([understood(one.received()).status for one in connections[:UNDER_WAY]], [403] * UNDER_WAY)
        self.assertFalse(self.tree.edges.attempts.is_closed(HOME))

    def test_guessing(self) -> None:
        """While it is refused unseen what comes from somewhere, a right token is refused like a wrong one."""
        self.assertEqual(self.tree.ask("/playlist.m3u8?token=eves-token").status, 200)
        waiting = [self.wrong() for _ in range(UNDER_WAY)]
        for path in (f"/playlist.m3u8?token={TOKEN}", "/playlist.m3u8?token=x", f"/playlist.m3u8?api_token={API}"):
            answer = self.tree.ask(path)
            self.assertEqual((answer.status, answer.headers["Retry-After"]), (429, "8"), path)
        # Who was here before is not disturbed, nor is anybody elsewhere.
        self.assertEqual(self.tree.ask("/playlist.m3u8?token=eves-token").status, 200)
        self.assertEqual(self.tree.ask(f"/playlist.m3u8?token={TOKEN}", peer=STRANGER).status, 200)
        self.tree.clock.advance(LONGEST)
        self.assertEqual(self.tree.ask(f"/playlist.m3u8?token={TOKEN}").status, 200)
        self.assertEqual({understood(one.received()).status for one in waiting}, {403})

    def test_an_old_token(self) -> None:
        """A player that asks on and on with a token that is none any more waits too, and keeps nobody out."""
        old = "/logo/1?token=old"
        self.assertEqual([self.answered_after(self.wrong(old)) for _ in range(3)], [FIRST, 0.5, 1])
        waiting = [self.wrong(old) for _ in range(300)]
        self.assertEqual(sum(not one.received() for one in waiting), UNDER_WAY)
        self.assertEqual(self.tree.ask(f"/playlist.m3u8?token={TOKEN}").status, 200)

    def test_leaving_early(self) -> None:
        """Who does not wait for the answer gains nothing by that."""
        for _ in range(UNDER_WAY):
            self.wrong().leave()
        self.assertEqual(understood(self.wrong().received()).status, 429)
        self.tree.clock.advance(LONGEST)
        self.assertEqual(self.wrong().received(), b"")

    def test_managing(self) -> None:
        """A wrong token to manage with is wrong also where nobody needs one for watching."""
        self.tree = Counted(users=False)
        self.tree.add("manage", Managed())
        self.assertEqual(self.tree.ask("/playlist.m3u8?token=anything").status, 200)
        self.assertEqual(self.answered_after(self.wrong("/manage?api_token=x")), FIRST)
        waiting = [self.wrong(f"/manage?api_token=x{number}") for number in range(UNDER_WAY)]
        for token in ("x9", API):
            answer = self.tree.ask(f"/manage?api_token={token}")
            self.assertIn(answer.status, (403, 429))
            statuses = {answer.status}
        self.assertEqual(statuses, {429})
        self.assertEqual({one.received() for one in waiting}, {b""})


class Managed(AnswerResource):
    """What only who manages may."""

    managed = True

    async def answer(self, request: Request) -> bytes:
        return send(request, b"done", "text/plain")


class Trying(AnswerResource):
    """Takes a password."""

    guarded = False

    def __init__(self) -> None:
        super().__init__()
        self.tried = 0

    async def answer(self, request: Request) -> bytes:
        begin_attempt(request)
        self.tried += 1
        if request.getHeader("X-Word") != "right":
            raise Refusal(403, "It is wrong.")
        return send(request, b"right", "text/plain")


class Piecemeal(AnswerResource):
    """Refuses with an answer that comes in pieces, under whatever status."""

    guarded = False

    async def answer(self, request: Request) -> bytes:
        request.setResponseCode(200)
        attempt_failed(request)
        request.setHeader("Content-Length", "6")
        request.write(b"no")
        request.write(b"no")
        return b"no"


class AttemptTests(SynchronousTestCase):
    def test_under_another_status(self) -> None:
        """What is wrong waits also where its answer has the status of success, and comes whole."""
        tree = Counted()
        tree.add("x", Piecemeal())
        connections = [tree.begin(f"/x?token=wrong{number}") for number in range(UNDER_WAY + 1)]
        self.assertEqual(understood(connections.pop().received()).status, 429)
        self.assertEqual([one.received() for one in connections], [b""] * UNDER_WAY)
        tree.clock.advance(LONGEST)
        self.assertEqual([understood(one.received()).text for one in connections], ["nonono"] * UNDER_WAY)

    def test_a_storm(self) -> None:
        """Of a storm of logins only as many are looked at as may be, and then again some."""
        tree = Counted()
        trying = Trying()
        tree.add("try", trying)
        first = [tree.begin("/try") for _ in range(1000)]
        self.assertEqual(trying.tried, UNDER_WAY)
        self.assertEqual(understood(first[-1].received()).status, 429)
        tree.clock.advance(LONGEST)
        self.assertEqual(tree.ask("/try", ("X-Word", "right")).text, "right")
        self.assertEqual(trying.tried, UNDER_WAY + 1)
        self.assertEqual(tree.ask("/try", ("X-Word", "right")).status, 200)


class PlacesTests(SynchronousTestCase):
    def test_so_many(self) -> None:
        """An address has so many connections at once and no more; one that ends makes room."""
        tree = Counted(connections_per_address=3)
        there = [tree.connect() for _ in range(3)]
        self.assertIsInstance(tree.connect().protocol, Closed)
        self.assertTrue(tree.connect().transport.disconnecting)
        self.assertIsInstance(tree.connect(STRANGER).protocol, PacedChannel)
        there[0].leave()
        self.assertIsInstance(tree.connect().protocol, PacedChannel)
        self.assertIsInstance(tree.connect().protocol, Closed)

    def test_ipv6(self) -> None:
        """All addresses of one line count as one."""
        tree = Counted(connections_per_address=1)
        kinds = [
            type(tree.site.buildProtocol(IPv6Address("TCP", host, 1)))
            for host in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", f"::ffff:{HOME}")
        ]
        self.assertEqual([kind is Closed for kind in kinds], [False, True, False, False])
        self.assertIsInstance(tree.site.buildProtocol(IPv4Address("TCP", HOME, 1)), Closed)

    def test_proxies(self) -> None:
        """A trusted proxy has as many connections as its clients need."""
        tree = Counted(connections_per_address=1)
        self.assertNotIn(Closed, [type(tree.connect(PROXY).protocol) for _ in range(9)])

    def test_no_limit(self) -> None:
        """Without a limit nothing is counted."""
        tree = Counted(connections_per_address=0)
        self.assertNotIn(Closed, [type(tree.connect().protocol) for _ in range(999)])


class Page(AnswerResource):
    """Answers with something of a type."""

    guarded = False

    def __init__(self, kind: str, **headers: str) -> None:
        super().__init__()
        self.kind = kind
        self.headers = headers

    async def answer(self, request: Request) -> bytes:
        for name, value in self.headers.items():
            request.setHeader(name.replace("_", "-"), value)
        request.setHeader("Content-Type", self.kind)
        return b"x"


class HeaderTests(SynchronousTestCase):
    def headers(self, page: AnswerResource) -> dict[str, str]:
        tree = Tree()
        tree.add("x", page)
        return dict(tree.ask("/x").headers.items())

    def test_pages(self) -> None:
        """Pages may not be shown within others, not be taken for something else, and tell nobody their address."""
        headers = self.headers(Page("text/html; charset=utf-8"))
        self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
        self.assertEqual(headers["Referrer-Policy"], "no-referrer")
        self.assertEqual(headers["X-Frame-Options"], "DENY")
        self.assertIn("frame-ancestors 'none'", headers["Content-Security-Policy"])
        self.assertEqual(headers["Cache-Control"], "no-store")

    def test_what_a_page_says_itself(self) -> None:
        """What a page says itself stays as it is."""
        said = {
            "Content_Security_Policy": "default-src 'none'",
            "Cache_Control": "max-age=5",
            "Referrer_Policy": "origin",
        }
        headers = self.headers(Page("text/html", **said))
        for name, value in said.items():
            self.assertEqual(headers[name.replace("_", "-")], value)

    def test_json(self) -> None:
        """JSON is kept nowhere, unless it has a tag to be known again by."""
        for kind in ("application/json", "application/problem+json"):
            headers = self.headers(Page(kind))
            self.assertEqual((headers["Cache-Control"], headers["Referrer-Policy"]), ("no-store", "no-referrer"))
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
            self.assertNotIn("X-Frame-Options", headers)
        self.assertNotIn("Cache-Control", self.headers(Page("application/json", ETag='"x"')))

    def test_media(self) -> None:
        """Nothing is added to media."""
        headers = self.headers(Page("video/mp2t"))
        self.assertEqual(sorted(headers), ["Content-Type", "Date", "Server", "Transfer-Encoding"])
