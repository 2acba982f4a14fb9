"""A moment's patience with players that zap."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.patience import ZAP, ZAP_LOOK, patiently
from iptvd.errors import LimitError, UpstreamError


class PatienceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.tries = 0
        self.error: Exception | None = LimitError("full")

    def begin(self) -> Deferred[str]:
        async def attempt() -> str:
            self.tries += 1
            if self.error is not None:
                raise self.error
            return "done"

        return Deferred.fromCoroutine(patiently(self.clock, attempt))

    def test_soon(self) -> None:
        """What there is room for soon is had soon."""
        work = self.begin()
        self.clock.advance(ZAP_LOOK)
        self.assertNoResult(work)
        self.error = None
        self.clock.advance(ZAP_LOOK)
        self.assertEqual((self.successResultOf(work), self.tries), ("done", 3))

    def test_full(self) -> None:
        """Who waits in vain is refused after a moment."""
        work = self.begin()
        self.clock.pump([ZAP_LOOK] * (round(ZAP / ZAP_LOOK) - 1))
        self.assertNoResult(work)
        self.clock.advance(2 * ZAP_LOOK)
        self.failureResultOf(work, LimitError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_other_errors(self) -> None:
        """No other error is waited out."""
        self.error = UpstreamError(502, "broken")
        self.failureResultOf(self.begin(), UpstreamError)
        self.assertEqual(self.tries, 1)

    def test_leaving(self) -> None:
        """Who leaves meanwhile is not waited for."""
        work = self.begin()
        work.cancel()
        self.failureResultOf(work, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
