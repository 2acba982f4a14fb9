"""A feed whose channel is watched as HLS too, by viewers who share its one connection to the provider."""

from __future__ import annotations

from attrs import evolve

from iptvd.delivery.feed import FeedState
from iptvd.delivery.slots import Slot
from iptvd.model import Source, SourceKind
from iptvd.recording import connection_of
from tests.delivery.feeding import FeedTestCase
from tests.delivery.test_relay import CHANNEL
from tests.doubles import result
from tests.protocols.test_upstream import Tap
from tests.protocols.tsmaking import made_film


class BothWaysTests(FeedTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.limits = {"p": 1}
        self.sources = [("p", Source(SourceKind.HLS, url=f"http://origin.test/{name}")) for name in "ab"]
        self.feed = self.make(evolve(CHANNEL, source_kind=SourceKind.HLS))
        self.addCleanup(self.feed.close)
        self.viewers = self.watched(0)

    def watched(self, place: int) -> Slot:
        """The connection of those who watch one of its sources as HLS."""
        slot = self.slots.share("p", connection_of(CHANNEL, place))
        assert slot is not None
        return slot

    def led(self) -> Tap:
        """It plays from its first source."""
        result(self.feed.start())
        self.play(self.origins.taps[-1], made_film(seconds=3))
        return self.origins.taps[-1]

    def go_on(self, source: str) -> None:
        """It goes on from this source."""
        for _ in range(40):
            if self.feed.source == source:
                break
            if len(self.origins.taps) > 1 and not self.origins.taps[-1].stopped:
                self.play(self.origins.taps[-1], made_film(seconds=2))
            self.clock.advance(0.25)
        self.assertEqual((self.feed.source, self.feed.state), (source, FeedState.STREAMING))
        self.assertEqual((self.slots.used("p"), self.given_up), (1, []))

    def test_they_go_over_too(self) -> None:
        """When the source fails for both, and the viewers of HLS have gone over to the next, so does the stream."""
        self.led().finish()
        self.viewers.release()
        self.viewers = self.watched(1)
        self.go_on("p/1")

    def test_they_stay(self) -> None:
        """When the source fails for the stream alone, it goes on from the same as the others."""
        self.led().finish()
        self.go_on("p/0")
        self.assertEqual(self.origins.asked, ["a", "a"])

    def test_the_end(self) -> None:
        """When nobody watches the stream any more the others keep the connection, and then nobody has it."""
        self.led()
        self.assertEqual(self.slots.used("p"), 1)
        self.feed.close()
        self.assertEqual(self.slots.used("p"), 1)
        self.viewers.release()
        self.assertEqual(self.slots.total, 0)
