"""What the tests of HLS as a stream share: one source, whose origin the test plays."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.hlspull import HlsUpstream
from iptvd.delivery.segments import SegmentCache
from iptvd.errors import UpstreamError
from iptvd.model import Source, SourceKind
from tests.delivery.hls_script import ScriptedOrigin, Taken, numbered, ts
from tests.doubles import sliced

URL = "http://origin.test/index.m3u8"
SOURCE = Source(SourceKind.HLS, url=URL)
KEY = b"0123456789abcdef"
OTHER_KEY = b"fedcba9876543210"


class PullTestCase(SynchronousTestCase):
    """Plays the origin of one source."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.cache = SegmentCache(64 << 20, self.clock)
        self.addCleanup(self.cache.clear)
        self.begin()

    def begin(self) -> None:
        self.cache.clear()
        self.origin = ScriptedOrigin(self.clock)
        self.taken = Taken(self.clock)
        self.pages = self.origin.pages
        for number in range(400):
            self.pages[f"/{number}.ts"] = ts(number)

    def pull(self, cap: int = 0) -> HlsUpstream:
        self.upstream = upstream = HlsUpstream(self.origin.opener(), self.cache, SOURCE, self.clock, sliced, cap)
        upstream.on_discontinuity = self.taken.broken
        upstream.start()
        upstream.attach(self.taken)
        self.addCleanup(upstream.stopProducing)
        return upstream

    def live(self, first: int, window: int = 6, seconds: float = 2.0, rate: float = 1.0) -> None:
        """A channel whose playlist begins with segment ``first`` now, and moves on."""
        began = self.clock.seconds()

        def playlist(_: str) -> bytes:
            now = first + int((self.clock.seconds() - began) * rate / seconds)
            return numbered(now, now + window - 1, target=seconds, duration=seconds)

        self.pages["/index.m3u8"] = playlist

    def run_for(self, seconds: float, step: float = 0.02) -> None:
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def ended_with(self, kind: type[UpstreamError], words: str) -> UpstreamError:
        self.assertEqual(len(self.taken.ends), 1, "it has not ended")
        error = self.taken.ends[0]
        assert isinstance(error, kind)
        self.assertIn(words, error.sentence)
        self.assertNotIn("origin.test", error.sentence)
        self.nothing_left()
        return error

    def nothing_left(self) -> None:
        """No connection is open, and nothing is waited for once what was fetched is not kept any more."""
        self.assertEqual([each for each in self.origin.connections if each.open], [])
        self.assertEqual(self.cache.figures.in_flight, 0)
        self.run_for(1)
        self.cache.clear()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def whole_and_in_order(self, first: int, breaks: list[int] | None = None) -> None:
        """What came is whole segments from ``first`` on, but for the last, with nothing twice and nothing missing."""
        numbers = self.taken.order()
        expected = b"".join(ts(number) for number in range(first, first + len(numbers)))
        self.assertTrue(expected.startswith(self.taken.data))
        self.assertEqual(self.taken.breaks, breaks or [])
