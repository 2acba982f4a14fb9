"""Tests of how the lateness of the loop is measured."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.looplag import LoopLag


class LoopLagTests(SynchronousTestCase):
    """With a clock that jumps as far as the loop is late."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.rightNow = 1000.0
        self.observed: list[float] = []
        self.lag = LoopLag(self.clock, 0.25, self.observed.append)
        self.lag.startService()
        self.addCleanup(self.lag.stopService)

    def test_in_time(self) -> None:
        """A loop that is never late shows no lag."""
        self.clock.pump([0.25] * 8)
        self.assertEqual(self.observed, [0.0] * 8)
        self.assertEqual((self.lag.last, self.lag.worst, self.lag.percentile(0.99)), (0.0, 0.0, 0.0))

    def test_nothing_measured(self) -> None:
        """Before the first measurement there is no lag to show."""
        self.assertEqual((self.lag.last, self.lag.worst, self.lag.percentile(0.99)), (0.0, 0.0, 0.0))

    def test_late(self) -> None:
        """How much later than due the call came is the lag."""
        self.clock.advance(0.375)
        self.assertEqual(self.observed, [0.125])
        self.assertEqual((self.lag.last, self.lag.worst), (0.125, 0.125))

    def test_no_drift(self) -> None:
        """A late call does not put off the next, and those that were missed altogether are left out."""
        self.clock.advance(0.375)
        self.clock.advance(0.125)
        self.assertEqual(self.observed, [0.125, 0.0])
        self.clock.advance(1.125)
        self.clock.advance(0.125)
        self.assertEqual(self.observed, [0.125, 0.0, 0.875, 0.0])

    def test_fractions(self) -> None:
        """Rounding of the clock neither adds nor loses a measurement."""
        self.lag.stopService()
        clock = Clock()
        clock.rightNow = 1_700_000_000.1
        observed: list[float] = []
        lag = LoopLag(clock, 0.1, observed.append)
        lag.startService()
        for _ in range(1000):
            clock.advance(clock.getDelayedCalls()[0].getTime() - clock.seconds())
        self.assertEqual(len(observed), 1000)
        self.assertAlmostEqual(clock.seconds(), 1_700_000_100.1, places=3)
        lag.stopService()

    def test_worst_is_forgotten(self) -> None:
        """The worst lag is that of the last minute."""
        self.clock.advance(0.75)
        self.clock.pump([0.25] * 236)
        self.assertEqual(self.lag.worst, 0.5)
        self.clock.pump([0.25] * 8)
        self.assertEqual(self.lag.worst, 0.0)

    def test_percentile(self) -> None:
        """A share of the measurements does not exceed the percentile."""
        for late in (3, 1, 4, 2):
            self.clock.advance(0.25 + late / 64)
            self.clock.advance(0.25 - late / 64)
        # Every second one was in time.
        self.assertEqual(self.lag.percentile(0.5), 0.0)
        self.assertEqual(self.lag.percentile(0.625), 1 / 64)
        self.assertEqual(self.lag.percentile(0.99), 4 / 64)
        self.assertEqual((self.lag.percentile(0), self.lag.percentile(1)), (0.0, 4 / 64))

    def test_clock_set_back(self) -> None:
        """A clock that was set back shows no negative lag."""
        self.clock.rightNow -= 10
        self.clock.advance(10.25)
        self.assertEqual(self.observed, [0.0])

    def test_without_observer(self) -> None:
        """Nobody has to watch."""
        lag = LoopLag(self.clock)
        lag.startService()
        self.clock.advance(0.5)
        self.assertEqual(lag.last, 0.25)
        lag.stopService()

    def test_stop(self) -> None:
        """Stopped, nothing is left to run; started again, it measures from then on."""
        self.lag.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.lag.stopService()
        self.clock.advance(0.6)
        self.lag.startService()
        self.clock.advance(0.25)
        self.assertEqual(len(self.observed), 1)
        self.assertAlmostEqual(self.observed[0], 0.0)
