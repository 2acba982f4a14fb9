"""What all ways to a source have in common, tried on one that does what the test says."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import UpstreamError
from iptvd.protocols.upstream import HOLD, Upstream


class Tap(Upstream):
    """An upstream that delivers what the test says, and notes what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.paused = False
        self.stopped = 0

    def deliver(self, data: bytes) -> None:
        self._deliver(data)

    def finish(self, error: UpstreamError | None = None) -> None:
        self._end(error)

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def stopProducing(self) -> None:
        self.stopped += 1
        self.ended = True


class Gathered:
    """
    A receiver that keeps everything.

    :param at_data: is called whenever something came.
    """

    def __init__(self, at_data: Callable[[], object] = lambda: None) -> None:
        self.data = b""
        self.ends: list[UpstreamError | None] = []
        self._at_data = at_data

    def data_received(self, data: bytes | memoryview) -> None:
        self.data += data
        self._at_data()

    def body_ended(self, error: UpstreamError | None) -> None:
        self.ends.append(error)


class UpstreamTests(SynchronousTestCase):
    def test_it_holds_until_someone_takes_it(self) -> None:
        """What comes before there is a viewer is kept, bounded, and delivered first."""
        tap, gathered = Tap(), Gathered()
        chunk = bytes(HOLD // 2)
        tap.deliver(chunk)
        self.assertFalse(tap.paused)
        tap.deliver(chunk)
        self.assertTrue(tap.paused)
        tap.attach(gathered)
        self.assertEqual(gathered.data, chunk * 2)
        self.assertFalse(tap.paused)
        tap.deliver(b"more")
        self.assertEqual(gathered.data, chunk * 2 + b"more")

    def test_a_receiver_that_pauses_at_once(self) -> None:
        """A receiver that pauses while it is given what was held stays paused."""
        tap = Tap()
        tap.deliver(b"abc")
        gathered = Gathered(lambda: tap.pauseProducing())
        tap.attach(gathered)
        self.assertTrue(tap.paused)

    def test_an_end_before_there_is_a_receiver(self) -> None:
        """What ended before anyone took it is still delivered whole, and then its end, once."""
        for error in (None, UpstreamError(502, "gone")):
            tap, gathered = Tap(), Gathered()
            tap.deliver(b"abc")
            tap.finish(error)
            tap.finish(UpstreamError(502, "late"))
            tap.attach(gathered)
            self.assertEqual((gathered.data, gathered.ends), (b"abc", [error]))

    def test_giving_up_the_first_bytes(self) -> None:
        """Who no longer waits for the first bytes closes the source."""
        tap = Tap()
        first = tap.first_bytes(4)
        first.addErrback(lambda failure: failure.trap(CancelledError) and None)
        first.cancel()
        self.assertEqual(tap.stopped, 1)

    def test_a_kind_has_to_say_how(self) -> None:
        """What pausing, resuming and closing mean is for each kind of source to say."""
        ways = ("pauseProducing", "resumeProducing", "stopProducing")
        for missing in ways:
            kind = type("Kind", (Upstream,), {way: getattr(Tap, way) for way in ways if way != missing})
            with self.assertRaisesRegex(TypeError, missing):
                kind()

    def test_the_first_bytes(self) -> None:
        """Who looks at the first bytes gets them once there are enough, and they are still delivered."""
        tap = Tap()
        first = tap.first_bytes(4)
        tap.deliver(b"abc")
        self.assertNoResult(first)
        tap.deliver(b"de")
        self.assertEqual(self.successResultOf(first), b"abcde")
        self.assertEqual(self.successResultOf(tap.first_bytes(1)), b"abcde")

    def test_an_end_before_the_first_bytes(self) -> None:
        """An upstream that fails before its first byte fails whoever waits for it; a short one gives what it has."""
        tap = Tap()
        first = tap.first_bytes(4)
        tap.finish(UpstreamError(502, "gone"))
        self.assertEqual(self.failureResultOf(first, UpstreamError).value.status, 502)
        short = Tap()
        first = short.first_bytes(4)
        short.deliver(b"ab")
        short.finish()
        self.assertEqual(self.successResultOf(first), b"ab")
