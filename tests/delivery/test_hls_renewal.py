"""HLS whose addresses expire while it plays: the source is resolved anew, and the player notices nothing."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from iptvd.delivery.opening import SourceGone
from iptvd.model import Outcome, Source, SourceKind
from tests.delivery.test_hls import MEDIA, HlsTestCase, tokens_in
from tests.delivery.test_hub import VIEWER
from tests.delivery.test_opening import response

MASTER = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow/index.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\nhigh/index.m3u8\n"
GONE = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


class RenewalTests(HlsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.renewed = 0
        self.move("a")

    def move(self, path: str) -> None:
        """The source is at another path from now on, once it is resolved anew."""

        def renew() -> None:
            self.renewed += 1

        self.given = [("p", Source(SourceKind.HLS, url=f"http://origin.test/{path}/index.m3u8", renew=renew))]

    def ask(self, token: str) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self.relay.playlist(token, "", VIEWER))

    def test_a_media_playlist_that_moves(self) -> None:
        """A playlist that its origin refuses is got from where the source is now, under the player's old address."""
        (token,) = tokens_in(self.open())
        for path in ("b", "c"):
            self.clock.advance(4)
            self.move(path)
            work = self.ask(token)
            self.answer(GONE)
            self.assertEqual(self.asked(), f"/{path}/index.m3u8")
            self.answer(response(MEDIA))
            self.assertEqual(len(tokens_in(self.successResultOf(work))), 3)
        self.assertEqual((self.renewed, len(self.hub.sessions)), (2, 1))
        self.clock.advance(4)
        work = self.ask(token)
        self.assertEqual(self.asked(), "/c/index.m3u8")
        self.answer(response(MEDIA))
        self.successResultOf(work)

    def test_variants_that_move(self) -> None:
        """A variant goes on with the one in its place."""
        low, high = tokens_in(self.open(MASTER))
        for path in ("b", "c"):
            self.clock.advance(4)
            self.move(path)
            work = self.ask(high)
            self.answer(GONE)
            self.assertEqual(self.asked(), f"/{path}/index.m3u8")
            self.answer(response(MASTER))
            self.assertEqual(self.asked(), f"/{path}/high/index.m3u8")
            self.answer(response(MEDIA))
            self.successResultOf(work)
        work = self.ask(low)
        self.assertEqual(self.asked(), "/c/low/index.m3u8")
        self.answer(response(MEDIA))
        self.successResultOf(work)

    def test_after_a_restart(self) -> None:
        """A session of before a restart goes on too."""
        _, high = tokens_in(self.open(MASTER))
        self.relay = self.start()
        self.move("b")
        work = self.ask(high)
        self.answer(GONE)
        self.answer(response(MASTER))
        self.assertEqual(self.asked(), "/b/high/index.m3u8")
        self.answer(response(MEDIA))
        self.successResultOf(work)

    def test_nowhere_else(self) -> None:
        """Where the source is still at the same place, the viewer is told what the origin says."""
        (token,) = tokens_in(self.open())
        self.clock.advance(4)
        work = self.ask(token)
        self.answer(GONE)
        self.assertIn("refuses access", str(self.failureResultOf(work, SourceGone).value))

    def test_no_longer_there(self) -> None:
        """Where another provider has only what has just failed, that is not tried again."""
        (token,) = tokens_in(self.open())
        self.clock.advance(4)
        self.given = [("q", self.given[0][1])]
        work = self.ask(token)
        self.answer(GONE)
        self.failureResultOf(work, SourceGone)

    def test_at_the_beginning(self) -> None:
        """What is remembered of where a source is may be old already: it is resolved anew before it has failed."""
        assert self.channel is not None
        work = Deferred.fromCoroutine(self.relay.open(self.channel, VIEWER))
        self.move("b")
        self.answer(GONE)
        self.assertEqual(self.asked(), "/b/index.m3u8")
        self.answer(response(MEDIA))
        self.successResultOf(work)
        work = Deferred.fromCoroutine(self.relay.open(self.channel, VIEWER))
        self.clock.advance(60)
        work = Deferred.fromCoroutine(self.relay.open(self.channel, VIEWER))
        self.answer(GONE)
        self.failureResultOf(work, SourceGone)
        self.assertEqual(self.hub.outcomes[Outcome.EXHAUSTED], 1)
