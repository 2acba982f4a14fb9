"""Films, as they are played."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from iptvd.delivery.opening import Ask, FoundPlaylist, Opened
from iptvd.delivery.patience import ZAP
from iptvd.errors import UpstreamError
from iptvd.protocols.mpegts import PACKET
from tests.protocols.test_upstream import Tap
from tests.web.test_stream import StreamTestCase


class FilmTests(StreamTestCase):
    def test_a_film(self) -> None:
        """A film is played for each viewer alone; what it asks of the film goes to the origin."""
        self.opened(("Content-Type", "video/mp4"), ("Content-Length", "5"))
        client = self.ask("Film", "mp4", ("Range", "bytes=1-5"), ("Cookie", "x"))
        self.assertEqual(self.stage.openings.asked, [("http://origin.test/4", Ask("GET", (("Range", "bytes=1-5"),)))])
        self.taps[0].deliver(b"hello")
        self.taps[0].finish()
        answer = client.answer()
        self.assertEqual((answer.status, answer.headers["Content-Type"], answer.body), (200, "video/mp4", b"hello"))
        self.assertEqual(self.stage.outcomes(), ["completed"])
        self.stage.assert_nothing_left()

    def test_head(self) -> None:
        """HEAD tells what a film is, and is a session that is complete at once."""
        self.opened(("Content-Type", "video/mp4"), ("Content-Length", "5"))
        answer = self.ask("Film", "mp4", method="HEAD").answer("HEAD")
        self.assertEqual((answer.status, answer.headers["Content-Length"]), (200, "5"))
        self.assertEqual(self.stage.outcomes(), ["completed"])
        self.stage.assert_nothing_left()

    def test_no_source(self) -> None:
        """A film that cannot be had is a sentence."""
        self.stage.openings.table["http://origin.test/4"] = UpstreamError(404, "the origin does not have it")
        self.refused(self.ask("Film", "mp4"), 404, "The origin does not have it.")
        self.assertEqual(self.stage.outcomes(), ["exhausted"])

    def test_full(self) -> None:
        """A film takes one of its provider's connections, as live channels do."""
        self.stage.limits["p"] = 1
        self.ask("Live")
        client = self.ask("Film", "mp4")
        self.stage.loop.advance(ZAP)
        self.stage.loop.settle()
        self.refused(client, 503, "All 1 connections of p are in use.")

    def test_stopping_while_it_is_opened(self) -> None:
        """When the drain time is over while a film is being opened, the viewer is told and the origin is left."""
        opening: Deferred[Opened] = Deferred()
        self.stage.openings.table["http://origin.test/4"] = opening
        client = self.ask("Film", "mp4")
        self.stage.hub.drain(5)
        self.stage.loop.advance(5)
        tap = Tap()
        opening.callback(Opened(tap, 200, ()))
        self.stage.loop.settle()
        self.refused(client, 503, "Iptvd is stopping.")
        self.assertEqual((tap.stopped, self.stage.outcomes()), (1, ["drained"]))

    def test_a_playlist_in_disguise(self) -> None:
        """A film that is a playlist is played as one from then on."""
        self.stage.openings.table["http://origin.test/4"] = FoundPlaylist()
        answer = self.ask("Film", "mp4").answer()
        self.assertEqual(answer.headers["Location"], "http://127.0.0.1" + self.stage.path("Film", "m3u8"))
        self.assertEqual(self.ask("Film", "mp4").answer().status, 302)

    def test_lost_for_good(self) -> None:
        """When a film is lost on the way and cannot be gone on with, the viewer can tell that it is not whole."""
        self.opened(("Content-Length", str(2 << 20)))
        client = self.ask("Film", "mp4")
        self.taps[0].deliver(b"x" * PACKET)
        self.taps[0].finish(UpstreamError(502, "the connection to the origin broke"))
        self.assertEqual((client.body, client.ended), (b"x" * PACKET, True))
        self.assertEqual(self.stage.ends[0][1], "the connection to the origin broke")
        self.assertEqual(self.stage.outcomes(), ["upstream_lost"])
        self.stage.assert_nothing_left()
