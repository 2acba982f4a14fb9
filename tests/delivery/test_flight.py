"""One piece of work that many wait for."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.flight import Flight
from iptvd.errors import UpstreamError
from iptvd.log import Fault


class FlightTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.work: Deferred[str] = Deferred()
        self.closed = 0
        self.landed: list[str] = []

        def closed() -> None:
            self.closed += 1

        self.flight: Flight[str] = Flight(closed, self.landed.append)

    def test_all_get_the_result(self) -> None:
        """Everyone who waits gets what the one piece of work gave, in the order in which they came."""
        told: list[int] = []
        waiters = [self.flight.join() for _ in range(3)]

        def tell(found: str, number: int) -> str:
            told.append(number)
            return found

        for number, waiter in enumerate(waiters):
            waiter.addCallback(tell, number)
        self.flight.start(lambda: self.work)
        self.assertEqual(self.closed, 0)
        self.work.callback("done")
        self.assertEqual([self.successResultOf(waiter) for waiter in waiters], ["done"] * 3)
        self.assertEqual((told, self.closed, self.landed), ([0, 1, 2], 1, ["done"]))

    def test_all_get_the_failure(self) -> None:
        """Everyone who waits gets the failure."""
        waiters = [self.flight.join() for _ in range(2)]
        self.flight.start(lambda: self.work)
        self.work.errback(UpstreamError(502, "no"))
        for waiter in waiters:
            self.failureResultOf(waiter, UpstreamError)
        self.assertEqual((self.closed, self.landed), (1, []))

    def test_one_leaves(self) -> None:
        """Who leaves takes nothing from the others."""
        first, second = self.flight.join(), self.flight.join()
        self.flight.start(lambda: self.work)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.work.callback("done")
        self.assertEqual(self.successResultOf(second), "done")

    def test_the_last_leaves(self) -> None:
        """The work is given up when nobody waits for it any more."""
        cancelled: list[object] = []
        work: Deferred[str] = Deferred(cancelled.append)
        waiters = [self.flight.join() for _ in range(2)]
        self.flight.start(lambda: work)
        for waiter in waiters:
            self.assertEqual(self.closed, 0)
            waiter.cancel()
            self.failureResultOf(waiter, CancelledError)
        self.assertEqual((len(cancelled), self.closed, self.landed), (1, 1, []))

    def test_work_that_cannot_be_given_up(self) -> None:
        """What comes although nobody waits any more is told all the same, so that it can be closed."""

        async def stubborn() -> str:
            try:
                return await self.work
            except CancelledError:
                return "late"

        waiter = self.flight.join()
        self.flight.start(stubborn)
        waiter.cancel()
        self.failureResultOf(waiter, CancelledError)
        self.assertEqual((self.closed, self.landed), (1, ["late"]))

    def test_leaving_while_others_are_told(self) -> None:
        """One that is told first may make another leave."""
        first, second = self.flight.join(), self.flight.join()
        first.addCallback(lambda _: second.cancel())
        self.flight.start(lambda: self.work)
        self.work.callback("done")
        self.failureResultOf(second, CancelledError)
        self.assertEqual((self.closed, self.landed), (1, ["done"]))

    def test_given_up_from_outside(self) -> None:
        """When all is stopped, those who wait hear why."""
        waiter = self.flight.join()
        self.flight.start(lambda: self.work)
        self.flight.give_up(UpstreamError(503, "stopping"))
        self.assertEqual(str(self.failureResultOf(waiter, UpstreamError).value), "stopping")
        self.assertEqual((self.closed, self.landed), (1, []))

    def test_given_up_before_it_began(self) -> None:
        """Work that has not begun is given up as well."""
        waiter = self.flight.join()
        self.flight.give_up(UpstreamError(503, "stopping"))
        self.failureResultOf(waiter, UpstreamError)
        self.assertEqual(self.closed, 1)

    def test_a_fault_that_nobody_hears_of(self) -> None:
        """A mistake of ours is logged when nobody is left to get it."""

        async def broken() -> str:
            try:
                return await self.work
            except CancelledError:
                raise ValueError("secret") from None

        waiter = self.flight.join()
        self.flight.start(broken)
        waiter.cancel()
        self.failureResultOf(waiter, CancelledError)
        self.assertNotIn("secret", str(self.flushLoggedErrors(Fault)[0].value))
