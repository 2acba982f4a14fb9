"""Channels as those ask for them who have accounts."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import urljoin

from twisted.trial.unittest import SynchronousTestCase

from iptvd.accounts import User
from iptvd.delivery import cutting, packager
from iptvd.limits import LONGEST
from iptvd.logins import COOKIE
from iptvd.model import Source, SourceKind
from tests.doubles import join
from tests.web.loop import Client, Stage
from tests.web.test_stream import HLS, LIVE, StreamTestCase, seconds
from tests.web.test_stream_past import LIVE as PAST
from tests.web.test_stream_past import NOW, QUERY

BASE = "http://127.0.0.1"
ANNA = User("anna", "anna-token")


def basic(user: User) -> tuple[str, str]:
    return "Authorization", "Basic " + b64encode(f"{user.name}:{user.token}".encode()).decode()


class UserTests(StreamTestCase):
    def setUp(self) -> None:
        super().setUp()
        join(self.stage.admission, ANNA, User("bob", "bob-token"))

    def test_playlists(self) -> None:
        """A playlist of HLS is had by an address with the token in its path, wherever the token was shown."""
        cookie = "Cookie", f"{COOKIE.decode()}={self.stage.admission.logins.cookie(ANNA)}"
        for name in ("Live", "HLS"):
            path = self.stage.path(name, "m3u8")
            for asked, headers in (
                (path + "?token=anna-token", ()),
                (path + "?token=anna-token&other=1", ()),
                (path, (basic(ANNA),)),
                (path, (cookie,)),
            ):
                answer = self.stage.ask(asked, *headers).answer()
                self.assertEqual((answer.status, answer.body), (302, b""), asked)
                self.assertEqual(answer.headers["Location"], f"{BASE}/~anna-token{path}")
                self.assertEqual(answer.headers["Cache-Control"], "no-store")
        self.assertEqual((self.stage.origins.asked, dict(self.stage.hub.sessions)), ([], {}))

    def test_without_an_ending(self) -> None:
        """What has no ending, and is a playlist, leads there too; what is a stream is played."""
        answer = self.stage.ask(self.stage.path("HLS", "") + "?token=anna-token").answer()
        self.assertEqual(answer.headers["Location"], f"{BASE}/~anna-token{self.stage.path('HLS', 'm3u8')}")
        client = self.stage.ask(self.stage.path("Live", "") + "?token=anna-token")
        self.stage.deliver(seconds(0, 1))
        self.assertIn(b"HTTP/1.1 200 OK", client.read())

    def test_streams(self) -> None:
        """A stream is played at once, wherever the token is."""
        path = self.stage.path("Live")
        for asked, headers in ((path + "?token=anna-token", ()), ("/~anna-token" + path, ()), (path, (basic(ANNA),))):
            client = self.stage.ask(asked, *headers)
            self.stage.deliver(seconds(0, 1))
            self.assertIn(b"HTTP/1.1 200 OK", client.read())
        self.assertEqual({session.viewer.user for session in self.stage.hub.sessions.values()}, {"anna"})

    def test_nobody(self) -> None:
        """Without a token, or with a wrong one, nothing is opened."""
        for name in ("Live", "HLS"):
            for query, status in (("", 401), ("?token=wrong", 403)):
                for extension in ("ts", "m3u8", ""):
                    client = self.stage.ask(self.stage.path(name, extension) + query)
                    if not client.read():
                        self.stage.loop.pump([LONGEST, 300])
                    self.assertEqual(client.answer().status, status)
        self.assertEqual((self.stage.origins.asked, self.stage.ends), ([], []))

    def test_the_limit(self) -> None:
        """Who watches as much as the account allows is told so, before anything is opened; others may watch."""
        limits = {"anna": 1}
        self.patch(self.stage.hub._rights, "limit_of", lambda user: limits.get(user, 0))
        first = self.stage.ask("/~anna-token" + self.stage.path("Live"), ("User-Agent", "one"))
        self.stage.deliver(seconds(0, 1))
        self.assertTrue(first.body)
        for name, extension in (("Live", "ts"), ("Live", "m3u8"), ("HLS", "m3u8")):
            client = self.stage.ask("/~anna-token" + self.stage.path(name, extension), ("User-Agent", "two"))
            answer = self.refused(client, 503, "All 1 connections of this account are in use.")
            self.assertTrue(answer.headers["Retry-After"])
        other = self.stage.ask("/~bob-token" + self.stage.path("Live"), ("User-Agent", "two"))
        self.stage.deliver(seconds(1, 2))
        self.assertTrue(other.body)
        self.assertEqual(self.stage.origins.asked, ["1"])


class PackagedTests(SynchronousTestCase):
    def test_for_nobody_else(self) -> None:
        """The playlist and the segments that one user has begun are refused to another."""
        self.patch(cutting, "_SLICE", 60.0)
        self.patch(packager, "EARLY", 0.0)
        self.patch(packager, "LATE", 0.0)
        stage = Stage(self, LIVE, HLS)
        stage.sources["1"] = [("p", Source(SourceKind.TS, url="http://origin.test/1"))]
        join(stage.admission, ANNA, User("bob", "bob-token"))
        path = "/~anna-token" + stage.path("Live", "m3u8")
        client = stage.ask(path)
        stage.deliver(seconds(0, 4), 1.0)
        index = urljoin(path, client.answer().text.splitlines()[-1])
        lines = stage.ask(index).answer().text.splitlines()
        segment = urljoin(index, next(line for line in lines if not line.startswith("#")))
        for one in (index, segment):
            for _ in range(2):
                self.assertTrue(one.startswith("/~anna-token/hls/"))
                self.assertEqual(stage.ask(one).answer().status, 200)
                self.assertEqual(stage.ask(one.replace("anna", "bob")).answer().status, 403)
        asked = f"GET {segment.replace('anna', 'bob')} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        again: Client = stage.ask("/~bob-token/hls/x")
        again.read()
        for _ in range(2):
            again.data = b""
            again.send(asked)
            self.assertEqual(again.answer().status, 403)


class PastTests(SynchronousTestCase):
    def test_playlists(self) -> None:
        """What was shown before is had as HLS with the token in the path as well, and it stays the same programme."""
        stage = Stage(self, PAST)
        stage.loop.advance(NOW)
        join(stage.admission, ANNA)
        path = stage.path("Live", "m3u8")
        answer = stage.ask(f"{path}{QUERY}&token=anna-token").answer()
        self.assertEqual(answer.status, 302)
        expected = rf"\A{BASE}/~anna-token{path}\?utc={NOW - 3600}&duration=[0-9]+\Z"
        self.assertRegex(answer.headers["Location"], expected)
