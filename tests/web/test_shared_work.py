"""Work that several requests ask for at once."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from iptvd.web.shared_work import SharedWork


class SharedWorkTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.shared: SharedWork[int] = SharedWork()
        self.begun: list[Deferred[int]] = []

    async def work(self) -> int:
        waiting: Deferred[int] = Deferred()
        self.begun.append(waiting)
        return await waiting

    def test_it_is_done_once(self) -> None:
        """Whoever asks while it is being done gets the same result, and whoever asks afterwards a new one."""
        asked = [self.shared("a", self.work) for _ in range(3)]
        self.assertEqual(len(self.begun), 1)
        self.begun[0].callback(7)
        self.assertEqual([self.successResultOf(one) for one in asked], [7, 7, 7])
        self.assertNoResult(self.shared("a", self.work))
        self.assertEqual(len(self.begun), 2)

    def test_names(self) -> None:
        """Works of different names are different."""
        first, second = self.shared("a", self.work), self.shared("b", self.work)
        self.begun[1].callback(2)
        self.assertEqual(self.successResultOf(second), 2)
        self.assertNoResult(first)

    def test_what_waits_for_nothing(self) -> None:
        """Work that is done at once has its result at once."""

        async def at_once() -> int:
            return 1

        self.assertEqual(self.successResultOf(self.shared("a", at_once)), 1)
        self.assertEqual(self.successResultOf(self.shared("a", at_once)), 1)

    def test_its_error_is_everybodys(self) -> None:
        """When it fails, everybody who waits is told why."""
        asked = [self.shared("a", self.work) for _ in range(2)]
        self.begun[0].errback(KeyError("x"))
        for one in asked:
            self.failureResultOf(one, KeyError)

    def test_one_leaves(self) -> None:
        """One who leaves, be it the first, takes nothing from the others."""
        asked = [self.shared("a", self.work) for _ in range(2)]
        asked[0].cancel()
        self.failureResultOf(asked[0], CancelledError)
        self.begun[0].callback(7)
        self.assertEqual(self.successResultOf(asked[1]), 7)

    def test_all_leave(self) -> None:
        """When everybody has left the work is given up, and who comes then begins anew."""
        asked = [self.shared("a", self.work) for _ in range(2)]
        for one in asked:
            one.cancel()
            self.failureResultOf(one, CancelledError)
        self.assertTrue(self.begun[0].called)
        again = self.shared("a", self.work)
        self.assertEqual(len(self.begun), 2)
        self.begun[1].callback(8)
        self.assertEqual(self.successResultOf(again), 8)

    def test_what_takes_long_to_give_up(self) -> None:
        """Work that is still being given up does not answer those who came after."""
        end: Deferred[int] = Deferred()

        async def slow() -> int:
            try:
                return await self.work()
            finally:
                await end

        gone = self.shared("a", slow)
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        again = self.shared("a", self.work)
        end.callback(0)
        self.assertNoResult(again)
        third = self.shared("a", self.work)
        self.begun[1].callback(8)
        self.assertEqual([self.successResultOf(one) for one in (again, third)], [8, 8])
