"""A body that is wanted whole."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.whole import Whole
from iptvd.errors import UpstreamError
from tests.protocols.test_upstream import Tap


class WholeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tap = Tap()
        self.done = Whole(self.tap, 5, "key").done

    def test_whole(self) -> None:
        """A body comes as one, in order, once it has ended."""
        self.tap.deliver(b"ab")
        self.tap.deliver(b"cde")
        self.assertNoResult(self.done)
        self.tap.finish()
        self.assertEqual(self.successResultOf(self.done), b"abcde")

    def test_too_long(self) -> None:
        """One that is too long is closed and says what it was, and what still comes changes nothing."""
        self.tap.deliver(b"abcdef")
        self.assertIn("key is longer than 5", self.failureResultOf(self.done, UpstreamError).value.sentence)
        self.assertEqual(self.tap.stopped, 1)

    def test_lost(self) -> None:
        """One that is lost fails with the reason."""
        self.tap.finish(UpstreamError(502, "cut short"))
        self.assertEqual(self.failureResultOf(self.done, UpstreamError).value.sentence, "cut short")

    def test_cancelled(self) -> None:
        """When nobody wants it any more its upstream is closed."""
        self.done.cancel()
        self.failureResultOf(self.done, CancelledError)
        self.assertEqual(self.tap.stopped, 1)
