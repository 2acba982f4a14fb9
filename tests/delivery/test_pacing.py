"""Segments are delivered over the time they play, and what is late is caught up with only while there is a reserve."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.pacing import Pace


class PaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pace = Pace()

    def test_nothing_before_the_first(self) -> None:
        """Before the first segment nothing is due."""
        self.assertEqual(self.pace.share(5.0), 0.0)

    def test_the_start(self) -> None:
        """Half of the first segment is due at once, less when there is no reserve, and a second at least."""
        for duration, ahead, share in ((6.0, 18.0, 0.5), (6.0, 14.0, 2 / 6), (4.0, 8.0, 0.25), (1.0, 8.0, 0.5)):
            pace = Pace()
            pace.begin(100.0, duration, ahead, 6.0, False)
            self.assertAlmostEqual(pace.share(100.0), share)
            self.assertEqual([pace.share(90.0), pace.share(200.0)], [0.0, 1.0])

    def test_one_follows_the_other(self) -> None:
        """A segment is due from the end of the one before it, not from when its turn came."""
        self.pace.begin(100.0, 2.0, 4.0, 2.0, False)
        self.pace.begin(100.5, 2.0, 4.0, 2.0, False)
        self.assertEqual([self.pace.share(when) for when in (100.5, 101.0, 102.0, 103.0)], [0, 0, 0.5, 1])

    def test_late_with_a_reserve(self) -> None:
        """What is late is due at once when enough is listed after it."""
        self.pace.begin(100.0, 2.0, 4.0, 2.0, False)
        self.pace.begin(102.0, 2.0, 6.0, 2.0, False)
        self.assertEqual(self.pace.share(102.0), 0.5)
        self.pace.begin(200.0, 2.0, 60.0, 2.0, True)
        self.assertEqual(self.pace.share(200.0), 1.0)
        self.pace.begin(200.0, 2.0, 60.0, 2.0, True)
        self.assertEqual(self.pace.share(201.0), 0.5)

    def test_late_without_a_reserve(self) -> None:
        """When the origin is late itself the clock waits for it."""
        self.pace.begin(100.0, 2.0, 4.0, 2.0, False)
        self.pace.begin(110.0, 2.0, 4.0, 2.0, False)
        self.assertEqual((self.pace.share(110.0), self.pace.share(111.0)), (0.0, 0.5))

    def test_speeds(self) -> None:
        """With little ahead it goes slower, with much ahead faster, and a film at its own speed."""
        lengths = []
        for ahead, ended in ((2.0, False), (6.0, False), (10.0, False), (20.0, False), (20.0, True)):
            pace = Pace()
            pace.begin(0.0, 2.0, 4.0, 2.0, False)
            pace.begin(0.0, 2.0, ahead, 2.0, ended)
            lengths.append(next(step / 1000 for step in range(10000) if pace.share(1.0 + step / 1000) == 1.0))
        self.assertEqual(lengths, [2.062, 2.0, 1.905, 1.6, 2.0])

    def test_a_segment_without_length(self) -> None:
        """A segment of no duration is due as soon as it is its turn."""
        self.pace.begin(100.0, 0.0, 4.0, 2.0, False)
        self.assertEqual(self.pace.share(100.0), 1.0)
