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

    def clocks(self, pulse: Pulse, *speeds: tuple[float, float]) -> list[bool]:
        """Look four times a second at a clock that goes so many seconds at each of these speeds."""
        found, pcr, quarter = [], 0.0, 0
        for seconds, speed in speeds:
            for _ in range(round(4 * seconds)):
                pulse.see(quarter / 4, round(pcr * SECOND))
                found.append(pulse.trickles)
                pcr, quarter = pcr + speed / 4, quarter + 1
        return found

    def test_a_trickle(self) -> None:
        """A source whose clock is too slow from the beginning has stalled, once that has been seen for long enough."""
        self.assertFalse(Pulse().trickles)
        for speed in (0.1, 0.5, 0.65):
            found = self.clocks(Pulse(), (TRICKLE_SECONDS + 0.25, speed))
            self.assertEqual((any(found[:-1]), found[-1]), (False, True))

    def test_no_trickle(self) -> None:
        """A clock at full speed, or little slower, has not stalled however long it goes on."""
        for speed in (1.0, 0.75):
            self.assertFalse(any(self.clocks(Pulse(), (300, speed))))

    def test_whenever_it_begins(self) -> None:
        """Whenever a source becomes too slow, that is seen no later than if it had been so from the beginning."""
        for start in range(40):
            before = 20 + start / 4
            found = self.clocks(Pulse(), (before, 1.0), (TRICKLE_SECONDS, 0.6))
            self.assertEqual((any(found[: round(4 * before)]), found[-1]), (False, True))

    def test_what_is_over(self) -> None:
        """A source that was too slow and is not any more has not stalled."""
        self.assertFalse(self.clocks(Pulse(), (30, 0.5), (TRICKLE_SECONDS, 1.0))[-1])

    def test_in_a_circle(self) -> None:
        """A film of six seconds that is played in a circle goes back in time once a round, and is none."""
        pulse = Pulse()
        for quarter in range(200):
            pulse.see(quarter / 4, quarter % 24 * SECOND // 4)
            self.assertFalse(pulse.trickles)

    def test_late_bursts(self) -> None:
        """Bursts that bring all there is to play are none, though one may be a little late."""
        pulse, pcr = Pulse(), 0
        pulse.see(0.0, pcr)
        bursts = (0, 25, 50, 74, *range(97, 400, 24))
        for quarter in range(400):
            pcr += 6 * SECOND * (quarter in bursts)
            pulse.see(quarter / 4, pcr)
            self.assertFalse(pulse.trickles)

    def test_bursts_that_are_too_few(self) -> None:
        """Bursts that do not bring enough to play are a trickle."""
        pulse, pcr = Pulse(), 0
        found = []
        for quarter in range(200):
            pcr += 6 * SECOND * (quarter % 40 == 0)
            pulse.see(quarter / 4, pcr)
            found.append(pulse.trickles)
        self.assertTrue(any(found))


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
