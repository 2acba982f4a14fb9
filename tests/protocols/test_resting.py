"""When what comes in small pieces is left to gather."""

from __future__ import annotations

import gc
from weakref import ref

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.resting import LITTLE, REST, WORTH, Pace, Rests, shared_rests


class PaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pace = Pace()
        self.now = 100.0

    def came(self, size: int, after: float) -> bool:
        self.now += after
        return self.pace.came(size, self.now)

    def test_a_slow_stream(self) -> None:
        """What comes slowly is never held up, however small its pieces are."""
        self.assertFalse(any(self.came(1316, 1.01 * REST / WORTH) for _ in range(100)))

    def test_large_pieces(self) -> None:
        """Large pieces are not left to gather, however fast they come."""
        self.assertFalse(any(self.came(LITTLE, 0.0) for _ in range(100)))

    def test_a_fast_stream(self) -> None:
        """Small pieces that come fast are left to gather, for as long as several do."""
        self.assertFalse(self.came(1316, 1.0))
        self.assertTrue(self.came(1316, REST / 10))
        self.assertTrue(all(self.came(1316 * WORTH, REST) for _ in range(100)))

    def test_a_stream_that_slows_down(self) -> None:
        """After a rest that brought little there is none until pieces come fast again."""
        self.came(1316, 1.0)
        self.assertTrue(self.came(1316, REST / 10))
        self.assertFalse(self.came(1316 * (WORTH - 1), REST))
        self.assertFalse(self.came(1316, REST))
        self.assertTrue(self.came(1316, REST / 10))

    def test_a_rest_that_brought_much(self) -> None:
        """What has become a flood is read as it comes."""
        self.came(1316, 1.0)
        self.assertTrue(self.came(1316, REST / 10))
        self.assertFalse(self.came(LITTLE, REST))
        self.assertFalse(self.came(LITTLE, REST))


class Sleeping:
    def __init__(self, rests: Rests) -> None:
        self.rests = rests
        self.woken = 0

    def rested(self) -> None:
        self.woken += 1


class RestsTests(SynchronousTestCase):
    def test_one_timer(self) -> None:
        """All that rest are woken at the same moment, by one timer, and there is none while nobody rests."""
        clock = Clock()
        rests = Rests(clock)
        one, other = Sleeping(rests), Sleeping(rests)
        rests.rest(one)
        clock.advance(REST / 2)
        rests.rest(other)
        self.assertEqual(len(clock.getDelayedCalls()), 1)
        clock.advance(REST / 2)
        self.assertEqual((one.woken, other.woken, clock.getDelayedCalls()), (1, 1, []))

    def test_resting_again(self) -> None:
        """One that rests again as it is woken rests as long as the first time."""
        clock = Clock()
        rests = Rests(clock)

        class Again(Sleeping):
            def rested(self) -> None:
                super().rested()
                self.rests.rest(self)

        one = Again(rests)
        rests.rest(one)
        clock.pump([REST] * 3)
        self.assertEqual(one.woken, 3)

    def test_one_for_each_reactor(self) -> None:
        """All upstreams of a reactor rest together, and those of another apart from them."""
        clock, other = Clock(), Clock()
        self.assertIs(shared_rests(clock), shared_rests(clock))
        self.assertIsNot(shared_rests(clock), shared_rests(other))

    def test_nothing_is_kept_of_a_reactor(self) -> None:
        """A reactor that nobody has any more is not kept for those that rested with it."""
        clock = Clock()
        shared_rests(clock)
        gone = ref(clock)
        del clock
        gc.collect()
        self.assertIsNone(gone())
