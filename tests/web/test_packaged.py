"""Playlists and segments that we package ourselves, as players ask for them."""

from __future__ import annotations

import re
from urllib.parse import urljoin

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import IResource
from twisted.web.server import Request

from iptvd.delivery import cutting, packager
from iptvd.model import Source, SourceKind
from iptvd.protocols.sniff import Media
from tests.web.loop import Stage
from tests.web.test_stream import LIVE, seconds


class PackagedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(cutting, "_SLICE", 60.0)
        # No playlist waits for the segment after those that a test lets come.
        self.patch(packager, "EARLY", 0.0)
        self.patch(packager, "LATE", 0.0)
        self.stage = Stage(self, LIVE)
        self.stage.sources["1"] = [("p", Source(SourceKind.TS, url="http://origin.test/1"))]
        path = self.stage.path("Live", "m3u8")
        client = self.stage.ask(path)
        self.stage.deliver(seconds(0, 4), 1.0)
        self.index = urljoin(path, client.answer().text.splitlines()[-1])

    def segments(self) -> list[str]:
        text = self.stage.ask(self.index).answer().text
        return [urljoin(self.index, line) for line in text.splitlines() if not line.startswith("#")]

    def test_the_playlist(self) -> None:
        """The media playlist may not be kept, has its length, and HEAD tells the same."""
        answer = self.stage.ask(self.index).answer()
        self.assertEqual((answer.status, answer.headers["Cache-Control"]), (200, "no-store"))
        self.assertEqual(answer.headers["Content-Type"], "application/vnd.apple.mpegurl")
        self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "*")
        head = self.stage.ask(self.index, method="HEAD").answer("HEAD")
        self.assertEqual((head.headers["Content-Length"], head.body), (str(len(answer.body)), b""))

    def test_segments(self) -> None:
        """Segments come with their length, by a connection that stays, and are counted as the viewer's."""
        first, second, *_ = self.segments()
        client = self.stage.ask(first)
        answer = client.answer()
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "video/mp2t"))
        self.assertEqual(answer.headers["Content-Length"], str(len(answer.body)))
        self.assertEqual((len(answer.body) % 188, answer.body[:1]), (0, b"G"))
        self.assertEqual(answer.headers["Cache-Control"], "private, max-age=300")
        client.data = b""
        client.send(f"GET {second} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        following = client.answer()
        self.assertEqual((following.status, client.ended), (200, False))
        (session,) = self.stage.hub.sessions.values()
        self.assertEqual(session.bytes_sent, len(answer.body) + len(following.body))
        head = self.stage.ask(first, method="HEAD").answer("HEAD")
        self.assertEqual((head.headers["Content-Length"], head.body), (str(len(answer.body)), b""))

    def test_again_and_again(self) -> None:
        """Segments that a player asks for one after the other are the same, and counted, by the short way as well."""
        paths = self.segments()
        alone = [self.stage.ask(path).answer() for path in paths]
        (session,) = self.stage.hub.sessions.values()
        before = session.bytes_sent
        client = self.stage.ask("/ping")
        client.read()
        judged: list[object] = []
        find = self.stage.site.getResourceFor

        def counted(request: Request) -> IResource:
            judged.append(request)
            return find(request)

        self.patch(self.stage.site, "getResourceFor", counted)
        for path, answer in zip(paths, alone, strict=True):
            client.data = b""
            client.send(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            again = client.answer()
            self.assertEqual(again.body, answer.body)
            told = {name: value for name, value in again.headers.items() if name != "Date"}
            self.assertEqual(told, {name: value for name, value in answer.headers.items() if name != "Date"})
        self.assertEqual((judged, session.bytes_sent - before), ([], sum(len(answer.body) for answer in alone)))
        for path in (self.index, paths[0] + "/x", "/hls/1/x/9.ts"):
            client.data = b""
            client.send(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            self.assertEqual(client.answer().status, 200 if path == self.index else 404)
        self.assertEqual(len(judged), 3)

    def test_who_does_not_read(self) -> None:
        """A viewer that leaves in the middle of a segment does no harm, nor does one that reads nothing at all."""
        (first, *_) = self.segments()
        self.stage.ask(first).leave(reset=True)
        self.stage.ask(first)
        self.assertEqual(self.stage.ask(first).answer().status, 200)

    def test_what_is_not_there(self) -> None:
        """What is no address of ours, or leads to nothing any more, is a 404 with a sentence."""
        (first, *_) = self.segments()
        session = re.escape(self.index.split("/")[3])
        for path in (
            "/hls/",
            "/hls/1",
            "/hls/x/y/index.m3u8",
            self.index.replace("index", "other"),
            f"{self.index}/x",
            self.index.replace("/index.m3u8", "/1.ts/"),
            re.sub(r"/\d+\.ts$", "/9999.ts", first),
            re.sub(session, "other", first),
            self.index.replace(f"/hls/{self.stage.channel('Live').id}/", "/hls/1/"),
        ):
            answer = self.stage.ask(path).answer()
            self.assertEqual((answer.status, answer.headers["Content-Type"]), (404, "text/plain; charset=utf-8"), path)
        self.assertEqual(len(self.stage.hub.sessions), 1)

    def test_what_is_no_mpegts_any_more(self) -> None:
        """When a channel comes back as something that cannot be packaged, its players are told."""
        self.stage.packaged.close()
        self.stage.live.close()
        self.stage.origins.script["1"] = [Media.MP3]
        answer = self.stage.ask(self.index).answer()
        self.assertEqual(answer.status, 406)
        self.assertIn("not MPEG-TS", answer.text)

    def test_the_end(self) -> None:
        """Some while after the last request nothing is left."""
        self.stage.loop.pump([1] * 60)
        self.assertEqual(self.stage.outcomes(), ["viewer_left"])
        self.stage.assert_nothing_left()
