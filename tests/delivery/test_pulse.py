"""How well a live source keeps up."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.pulse import MOST_AHEAD, RATE_SECONDS, TRICKLE_SECONDS, Pulse, Rate

SECOND = 27_000_000
WRAP = 300 << 33


class PulseTests(SynchronousTestCase):
    def test_in_advance(self) -> None:
        """What has come in advance is no silence until it has been played."""
        pulse = Pulse()
        self.assertFalse(pulse.begun)
        pulse.see(0.0, None)
        self.assertFalse(pulse.begun)
        pulse.see(0.0, WRAP - SECOND)
        self.assertTrue(pulse.begun)
        pulse.see(0.5, 3 * SECOND)
        for quarter in range(2, 16):
            pulse.see(quarter / 4, 3 * SECOND)
            self.assertLessEqual(pulse.silence(quarter / 4, heard=0.5), 0.25)
        pulse.see(5.0, 3 * SECOND)
        self.assertGreaterEqual(pulse.silence(5.0, heard=0.5), 1.0)

    def test_a_jump(self) -> None:
        """A clock that jumps brings nothing in advance, and never is more taken for it than there can be."""
        pulse = Pulse()
        pulse.see(0.0, 0)
        pulse.see(0.0, 1000 * SECOND)
        self.assertEqual(pulse.silence(1.0, heard=0.0), 1.0)
        for number in range(20):
            pulse.see(0.0, (1000 + 10 * number) * SECOND)
        pulse.see(MOST_AHEAD - 1, 1190 * SECOND)
        self.assertEqual(pulse.silence(MOST_AHEAD - 1, heard=0.0), 0.0)
        pulse.see(MOST_AHEAD + 1, 1190 * SECOND)
        self.assertEqual(pulse.silence(MOST_AHEAD + 1, heard=0.0), 2.0)

    def test_trickles(self) -> None:
        """A clock at half the speed has stalled; at full speed, or in bursts that make up for it, it has not."""
        self.assertFalse(Pulse().trickles(0.0, None))
        for speed, trickles in ((0.5, True), (1.0, False)):
            pulse = Pulse()
            found = []
            for quarter in range(round(4 * TRICKLE_SECONDS) + 1):
                pcr = round(quarter / 4 * speed * SECOND)
                pulse.see(quarter / 4, pcr)
                found.append(pulse.trickles(quarter / 4, pcr))
            self.assertEqual((any(found[:-1]), found[-1]), (False, trickles))
        pulse = Pulse()
        for quarter in range(200):
            # A film of six seconds that is played in a circle goes back in time once a round.
            self.assertFalse(pulse.trickles(quarter / 4, quarter % 24 * SECOND // 4))
        pulse = Pulse()
        for quarter in range(200):
            pcr = (quarter // 24 + 3) * 6 * SECOND if quarter else 0
            pulse.see(quarter / 4, pcr)
            self.assertFalse(pulse.trickles(quarter / 4, pcr))


class RateTests(SynchronousTestCase):
    def test_what_came_lately(self) -> None:
        """Bits a second are those of the last seconds alone, and none before anything was seen."""
        rate = Rate()
        self.assertEqual(rate.bits(0.0), 0.0)
        rate.see(0.0)
        self.assertEqual(rate.bits(0.0), 0.0)
        for quarter in range(1, 81):
            rate.came(1000 if quarter <= 40 else 250)
            rate.see(quarter / 4)
            if quarter == 40:
                self.assertEqual(rate.bits(10.0), 32_000)
        self.assertEqual(rate.bits(20.0), 8_000)
        self.assertEqual(rate.bits(20.0 + RATE_SECONDS), 4_000)
