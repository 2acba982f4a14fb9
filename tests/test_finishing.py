"""Work that is done to its end."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from iptvd.finishing import finished


class FinishedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.step: Deferred[str] = Deferred()
        self.done: list[str] = []

    async def work(self) -> str:
        self.done.append(await self.step)
        return "done"

    def test_what_it_gives(self) -> None:
        """Whoever waits gets what the work gives, or what it raises."""
        work = finished(self.work())
        self.step.callback("x")
        self.assertEqual((self.successResultOf(work), self.done), ("done", ["x"]))
        self.step = Deferred()
        work = finished(self.work())
        self.step.errback(ValueError("no"))
        self.failureResultOf(work, ValueError)

    def test_nobody_waits(self) -> None:
        """When nobody waits any more the work goes on to its end, and what it raises then troubles nobody."""
        for end, done in (("x", ["x"]), (ValueError("no"), [])):
            self.step, self.done = Deferred(), []
            work = finished(self.work())
            work.cancel()
            self.failureResultOf(work, CancelledError)
            if isinstance(end, str):
                self.step.callback(end)
            else:
                self.step.errback(end)
            self.assertEqual(self.done, done)
