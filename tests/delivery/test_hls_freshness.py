"""Whether live playlists move on as they should."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery import hls_freshness
from iptvd.delivery.hls_freshness import OVERDUE, Freshness
from iptvd.delivery.locator import Locator
from tests.delivery.hls_script import numbered

ONE, OTHER = (Locator(f"http://{name}.test/index.m3u8", "", (), True) for name in ("one", "other"))
TARGET = 4
#: Seconds for which a playlist may stay as it is.
MOST = (1 + OVERDUE) * TARGET


class FreshnessTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.freshness = Freshness(self.clock)

    def see(self, body: bytes, locator: Locator = ONE) -> bool:
        """A playlist comes now; whether it is overdue."""
        self.freshness.see(locator, body, self.clock.seconds())
        return self.freshness.overdue(locator)

    def live(self, first: int) -> bytes:
        return numbered(first, first + 2, target=TARGET, duration=TARGET)

    def test_overdue(self) -> None:
        """A playlist that does not change is overdue after a while, and not any more when it has changed."""
        self.assertFalse(self.see(self.live(1)))
        self.assertEqual(self.freshness.left(ONE), MOST)
        self.clock.advance(MOST - 1)
        self.assertFalse(self.see(self.live(1)))
        self.clock.advance(1)
        self.assertEqual(self.freshness.left(ONE), 0)
        self.assertTrue(self.see(self.live(1)))
        self.assertFalse(self.see(self.live(2)))
        self.assertEqual(self.freshness.left(ONE), MOST)

    def test_not_asked_for(self) -> None:
        """A playlist that nobody asks for is not overdue, however long that is."""
        self.see(self.live(1))
        self.clock.advance(10 * MOST)
        self.assertFalse(self.freshness.overdue(ONE))
        self.assertFalse(self.see(self.live(9)))

    def test_each_for_itself(self) -> None:
        """What one playlist does says nothing of another."""
        self.see(self.live(1))
        self.clock.advance(MOST)
        self.assertEqual((self.see(self.live(1)), self.see(self.live(1), OTHER)), (True, False))
        self.assertFalse(self.freshness.overdue(ONE.to("http://third.test/")))

    def test_addresses_that_change(self) -> None:
        """A version that only has its addresses signed anew is no new one; without numbers nothing else tells."""
        for body, overdue in ((self.live(1), True), (self.live(0), False)):
            self.freshness = Freshness(self.clock)
            self.see(body)
            self.clock.advance(MOST)
            self.assertIs(self.see(body.replace(b".ts", b".ts?signed")), overdue)

    def test_growing(self) -> None:
        """A playlist that only grows moves on."""
        self.see(numbered(1, 2, target=TARGET))
        self.clock.advance(MOST)
        self.assertFalse(self.see(numbered(1, 3, target=TARGET)))

    def test_films(self) -> None:
        """What has ended is not overdue, nor is what has no target duration."""
        for body in (self.live(1) + b"\n#EXT-X-ENDLIST\n", b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n"):
            self.see(self.live(1))
            self.see(body)
            self.clock.advance(MOST)
            self.assertFalse(self.see(body))
            self.assertIsNone(self.freshness.left(ONE))

    def test_bounded(self) -> None:
        """Only so many are known: those that were asked for last."""
        self.patch(hls_freshness, "MOST", 2)
        third = ONE.to("http://third.test/")
        for locator in (ONE, OTHER, ONE, third):
            self.see(self.live(1), locator)
        known = [self.freshness.left(locator) is not None for locator in (ONE, OTHER, third)]
        self.assertEqual(known, [True, False, True])
