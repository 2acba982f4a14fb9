"""Work that is done again and again."""

from __future__ import annotations

from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.repeating import AFTER_FAULT, JITTER, Repeating


class RepeatingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.rounds = 0
        self.delay: float | None = 10.0
        self.waiting: Deferred[None] | None = None
        self.begun = 0
        self.repeating = Repeating("counting", self.work, self.clock, Random(1), self.begin)

    async def begin(self) -> None:
        self.begun += 1

    async def work(self) -> float | None:
        self.rounds += 1
        if self.waiting is not None:
            await self.waiting
        return self.delay

    def test_it_goes_on_after_the_delay_that_a_round_asks_for(self) -> None:
        """The next round comes when the last one said, a tenth sooner or later."""
        self.repeating.startService()
        self.assertEqual((self.begun, self.rounds), (1, 1))
        due = self.repeating.due_in
        assert due is not None
        self.assertTrue(10 * (1 - JITTER) <= due <= 10 * (1 + JITTER))
        self.clock.advance(10 * (1 - JITTER) - 0.01)
        self.assertEqual(self.rounds, 1)
        self.clock.advance(10 * 2 * JITTER + 0.02)
        self.assertEqual((self.begun, self.rounds), (1, 2))

    def test_one_round_at_a_time(self) -> None:
        """Asked for while a round is under way, another one follows only if what is new has to be seen."""
        for afresh, rounds in ((False, 1), (True, 2)):
            self.rounds = 0
            waiting: Deferred[None] = Deferred()
            self.waiting = waiting
            repeating = Repeating("counting", self.work, self.clock, Random(1))
            repeating.startService()
            repeating.now(afresh=afresh)
            repeating.now(afresh=afresh)
            self.assertEqual(self.rounds, 1)
            self.waiting = None
            waiting.callback(None)
            self.assertEqual(self.rounds, rounds)

    def test_now_comes_before_the_planned_time(self) -> None:
        """A round that is asked for takes the place of the planned one."""
        self.repeating.startService()
        self.repeating.now()
        self.assertEqual(self.rounds, 2)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_a_round_may_be_the_last_for_now(self) -> None:
        """Without a delay nothing is planned, and it can still be asked for."""
        self.delay = None
        self.repeating.startService()
        self.assertIsNone(self.repeating.due_in)
        self.repeating.now()
        self.assertEqual(self.rounds, 2)

    def test_stopped_it_leaves_nothing(self) -> None:
        """A round under way is cancelled, and none is planned."""
        self.waiting = Deferred()
        self.repeating.startService()
        self.repeating.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.repeating.now()
        self.assertEqual(self.rounds, 1)

    def test_a_fault_does_not_end_it(self) -> None:
        """After a fault of ours it is logged, and tried again some minutes later."""

        async def fail() -> float:
            self.rounds += 1
            raise RuntimeError("unexpected")

        repeating = Repeating("failing", fail, self.clock, Random(1))
        repeating.startService()
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.clock.advance(AFTER_FAULT * (1 + JITTER))
        self.assertEqual(self.rounds, 2)
        self.assertEqual(len(self.flushLoggedErrors()), 1)
