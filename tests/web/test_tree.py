"""Which face is at which address."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iptvd.model import Source, SourceKind
from tests.web.loop import Stage
from tests.web.test_stream import LIVE


class TreeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.stage = Stage(self, LIVE)
        self.stage.sources["1"] = [("p", Source(SourceKind.TS, url="http://origin.test/1"))]

    def test_addresses(self) -> None:
        """Every face is where it is said to be; what is nowhere is a 404 with a sentence."""
        for path, status, kind in (
            ("/", 200, "text/html; charset=utf-8"),
            ("/playlist.m3u8", 200, "application/x-mpegurl; charset=utf-8"),
            ("/playlist.m3u", 200, "application/x-mpegurl; charset=utf-8"),
            (self.stage.path("Live", "mp4"), 404, "text/plain; charset=utf-8"),
            ("/content/x.ts", 403, "text/plain; charset=utf-8"),
            ("/key/x", 403, "text/plain; charset=utf-8"),
            ("/hls/1/x/index.m3u8", 404, "text/plain; charset=utf-8"),
            ("/logo/0", 404, "text/plain; charset=utf-8"),
            ("/health", 200, "application/json"),
            ("/health/detailed", 200, "application/json"),
            ("/ping", 200, "text/plain; charset=utf-8"),
            ("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8"),
            ("/stream", 404, "text/plain; charset=utf-8"),
            ("/nothing", 404, "text/plain; charset=utf-8"),
        ):
            answer = self.stage.ask(path).answer()
            self.assertEqual((answer.status, answer.headers["Content-Type"].lower()), (status, kind), path)

    def test_live(self) -> None:
        """What happens can be listened to."""
        answer = self.stage.ask("/api/live", method="HEAD").answer("HEAD")
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "text/event-stream"))

    def test_what_is_on(self) -> None:
        """Health tells of a channel that is on, with its source, its viewers and what came in."""
        viewer = self.stage.ask(self.stage.path("Live"))
        facts = self.stage.live.on_air
        self.assertEqual(len(facts), 1)
        text = self.stage.ask("/health/detailed").answer().plain
        for fact in ('"state": "streaming"', '"source": "p/0"', '"viewers": 1', '"switches": 0', '"channel": "Live"'):
            self.assertIn(fact, text)
        self.assertNotIn("origin.test", text)
        viewer.leave()
        self.stage.loop.advance(3)
        self.assertIn('"broadcasts": []', self.stage.ask("/health/detailed").answer().plain)
