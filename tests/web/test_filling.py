"""Users' playlists: rendered once for all who may see the same, filled in for each as it is taken."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from iptvd.accounts import User
from iptvd.web.filling import PATIENCE
from tests.doubles import join
from tests.web.building import BASE, Answer, Connection, Later, Tree, entries, lineup_of, understood
from tests.web.test_playlist import ALL, LIVE, RADIO, names, parsed


class Full:
    """Writes to a connection that has no room for more afterwards."""

    def __init__(self, transport: StringTransport) -> None:
        self._transport = transport
        self._write = transport.write

    def __call__(self, data: bytes) -> None:
        self._write(data)
        producer = self._transport.producer
        if producer is not None:
            producer.pauseProducing()


class UserTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.work = Later()
        self.rendered = 0
        self.tree = Tree(lineup_of(*ALL), sliced=self.work)
        render = self.tree.playlist._render

        async def counted(*arguments: Any) -> Any:
            self.rendered += 1
            return await render(*arguments)

        self.patch(self.tree.playlist, "_render", counted)
        join(
            self.tree.admission,
            User("ann", "anns-token", groups=("News", "Films")),
            User("bob", "bobs-token", groups=("Films", "News", "News")),
            User("eve", "eves-token"),
        )

    def begin(self, path: str, *headers: tuple[str, str], method: str = "GET") -> Connection:
        connection = self.tree.begin(path, headers, method=method)
        self.work.finish()
        return connection

    def ask(self, path: str, *headers: tuple[str, str], method: str = "GET") -> Answer:
        return understood(self.begin(path, *headers, method=method).received(), method)

    def test_groups(self) -> None:
        """A user's list has the channels of their groups, with filters among these; without groups it has all."""
        for path, expected in (
            ("/~bobs-token/playlist.m3u8", ["One", "Three", "Four"]),
            ("/playlist.m3u?token=bobs-token", ["One", "Three", "Four"]),
            ("/~bobs-token/playlist.m3u8?group=News&type=live", ["One"]),
            ("/~bobs-token/playlist.m3u8?group=Sp%C3%B6rt+%26+Spa%C3%9F", []),
            ("/~eves-token/playlist.m3u8", ["One", "Two", "Three", "Four"]),
        ):
            self.assertEqual(names(self.ask(path).text), expected, path)
        self.assertEqual(self.ask("/playlist.m3u8").status, 401)

    def test_links(self) -> None:
        """All links of a user's list are theirs, the guide's and those to the past too."""
        past = (("catchup", "append"), ("catchup-source", "?utc={utc}"), ("catchup-days", "5"))
        self.tree.shown.lineup = lineup_of(evolve(LIVE, catchup=past), evolve(RADIO, name=f"{BASE}/~anns-token"))
        channel = self.tree.shown.lineup.channels[0]
        text = self.ask("/~bobs-token/playlist.m3u8").text
        base = f"{BASE}/~bobs-token"
        first, *_ = text.splitlines()
        self.assertEqual(first, f'#EXTM3U x-tvg-url="{base}/epg.xml" url-tvg="{base}/epg.xml"')
        one, _ = parsed(text)
        self.assertEqual((one.url, one.logo), (f"{base}/stream/{channel.id}.ts", f"{base}/logo/{channel.id}"))
        self.assertTrue(one.attributes["catchup-source"].startswith(f"{base}/stream/{channel.id}.ts?utc="))
        self.assertEqual(text.count(BASE), text.count(base) + 1)
        self.assertNotIn(".invalid", text)

    def test_rendered_once(self) -> None:
        """For users who may see the same it is rendered once, however many there are."""
        tags = []
        for name in ("anns", "bobs", "anns"):
            answer = self.ask(f"/~{name}-token/playlist.m3u8", ("Accept-Encoding", "gzip"))
            self.assertEqual(answer.headers["Content-Encoding"], "gzip")
            self.assertIn(f"{BASE}/~{name}-token/stream/", answer.plain)
            tags.append(answer.headers["ETag"])
        self.assertEqual((self.rendered, tags[0], len(set(tags))), (1, tags[2], 2))
        self.ask("/~eves-token/playlist.m3u8")
        self.assertEqual(self.rendered, 2)

    def test_not_modified(self) -> None:
        """A user who has the list gets 304 without any work; when their groups change it is another one."""
        tag = self.ask("/~bobs-token/playlist.m3u8").headers["ETag"]
        self.tree.playlist._cache.clear()
        answer = self.ask("/~bobs-token/playlist.m3u8", ("If-None-Match", tag))
        self.assertEqual((answer.status, answer.headers["ETag"], self.rendered), (304, tag, 1))
        join(self.tree.admission, User("bob", "bobs-token", groups=("News",)))
        answer = self.ask("/~bobs-token/playlist.m3u8", ("If-None-Match", tag))
        self.assertEqual((answer.status, names(answer.text)), (200, ["One", "Three"]))

    def test_head(self) -> None:
        """HEAD tells the length of the list, where that is known before."""
        path = "/~bobs-token/playlist.m3u8"
        get, head = self.ask(path), self.ask(path, method="HEAD")
        for name in ("Content-Length", "ETag", "Content-Type", "Vary", "Access-Control-Allow-Origin"):
            self.assertEqual(head.headers[name], get.headers[name])
        self.assertEqual((int(head.headers["Content-Length"]), head.body), (len(get.body), b""))
        packed = self.ask(path, ("Accept-Encoding", "gzip"), method="HEAD")
        self.assertEqual((packed.headers["Content-Length"], packed.headers["Content-Encoding"]), (None, "gzip"))

    def test_as_it_is_taken(self) -> None:
        """A list is filled in no faster than the player takes it, and no more of it for one that has left."""
        self.tree.shown.lineup = lineup_of(*entries(1000))
        path = "/~eves-token/playlist.m3u8"
        whole = self.ask(path).body
        slow, leaving = self.slow(path), self.slow(path)
        got = slow.received()
        self.assertLess(len(got), len(whole) / 5)
        while not got.endswith(whole[-100:]):
            producer = slow.transport.producer
            assert producer is not None
            producer.resumeProducing()
            self.work.finish()
            more = slow.received()
            self.assertTrue(more)
            got += more
        self.assertEqual(understood(got).body, whole)
        producer = leaving.transport.producer
        assert producer is not None
        producer.stopProducing()
        leaving.leave()
        producer.resumeProducing()
        self.work.finish()
        self.assertLess(len(leaving.received()), len(whole) / 5)

    def test_patience(self) -> None:
        """A player that takes nothing of its list for a minute is let go."""
        self.tree.shown.lineup = lineup_of(*entries(1000))
        connection = self.slow("/~eves-token/playlist.m3u8")
        self.tree.clock.advance(PATIENCE - 1)
        self.assertFalse(connection.transport.disconnecting)
        self.tree.clock.advance(1)
        self.assertTrue(connection.transport.disconnecting)

    def test_leaving(self) -> None:
        """For a player that leaves while its list is filled in nothing more is done."""
        self.ask("/~eves-token/playlist.m3u8")
        connection = self.tree.begin("/~eves-token/playlist.m3u8")
        self.assertEqual(len(self.work.waiting), 1)
        connection.leave()
        (_, done) = self.work.waiting.pop()
        self.assertTrue(done.called)

    def test_stopping(self) -> None:
        """When the daemon stops, a player that waits for its list is told so."""
        self.ask("/~eves-token/playlist.m3u8")
        connection = self.tree.begin("/~eves-token/playlist.m3u8", [("Accept-Encoding", "gzip")])
        (_, done) = self.work.waiting.pop()
        done.errback(CancelledError())
        answer = understood(connection.received())
        self.assertEqual((answer.status, answer.text), (503, "Iptvd is stopping.\n"))
        for name in ("ETag", "Content-Encoding"):
            self.assertIsNone(answer.headers[name])

    def slow(self, path: str) -> Connection:
        """A player that has asked, and takes a bit at a time."""
        connection = self.tree.connect()
        self.patch(connection.transport, "write", Full(connection.transport))
        connection.send(f"GET {path} HTTP/1.1\r\nHost: 192.168.1.10:8085\r\n\r\n".encode())
        self.work.finish()
        return connection
