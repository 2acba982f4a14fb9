"""Segments that fail, are missing, or are too large: no byte is doubled or mixed, and what is missing is told."""

from __future__ import annotations

import random
from collections.abc import Callable

from iptvd.delivery import hlspiece
from iptvd.delivery.hlspull import HlsUpstream
from iptvd.errors import UpstreamError
from iptvd.protocols.upstream import HOLD
from tests.delivery.hls_script import Reply, listed, numbered, ts
from tests.delivery.pulling import SOURCE, PullTestCase
from tests.doubles import sliced


class FaultTests(PullTestCase):
    def twice(self, first: Reply, second: Reply | bytes) -> Callable[[str], Reply | bytes]:
        replies = iter([first, second])
        return lambda _: next(replies)

    def test_a_segment_that_fails_once(self) -> None:
        """A segment that fails is asked for once more; no byte of it is missing or doubled."""
        whole = ts(14, 300)
        for trouble in (
            Reply(404),
            Reply(500),
            Reply(200, whole, cut=0),
            Reply(200, whole, cut=100),
            Reply(200, whole, cut=20_001),
            Reply(200, whole, cut=40_000, silent=True),
            Reply(200, b"<html><p>Come back later</p></html>"),
            Reply(200, b""),
            Reply(200, random.Random(1).randbytes(5000)),
            Reply(200, whole, silent=True, delay=11),
        ):
            self.begin()
            self.live(10)
            self.pages["/14.ts"] = self.twice(trouble, whole)
            self.pull()
            self.run_for(20)
            self.assertTrue(self.taken.data.startswith(ts(13) + whole))
            self.assertEqual(self.origin.asked("/14"), ["/14.ts"] * 2)
            self.assertEqual(self.taken.ends, [])
            self.upstream.stopProducing()
            self.nothing_left()

    def test_a_segment_that_fails_twice(self) -> None:
        """A segment that fails again is left out: what came of it ends with a whole packet, and the break is told."""
        half = Reply(200, ts(14, 300), cut=20_001)
        for page, kept in ((Reply(404), b""), (half, ts(14, 300)[: 106 * 188])):
            self.begin()
            self.live(10)
            self.pages["/14.ts"] = page
            self.pull()
            self.run_for(9)
            self.assertTrue(self.taken.data.startswith(ts(13) + kept + ts(15)))
            self.assertEqual(self.taken.breaks, [len(ts(13) + kept)])
            self.upstream.stopProducing()

    def test_less_the_second_time(self) -> None:
        """A segment that is shorter the second time than what had come of it is left out."""
        self.live(10)
        self.pages["/14.ts"] = self.twice(Reply(200, ts(14, 300), cut=40_000), ts(14, 10))
        self.pull()
        self.run_for(9)
        self.assertTrue(self.taken.data.startswith(ts(13) + ts(14, 300)[: 212 * 188] + ts(15)))

    def test_three_in_a_row(self) -> None:
        """After three segments in a row that cannot be had the source is lost; two are not enough."""
        self.live(10)
        for number in (14, 15, 17, 18, 20, 21, 22):
            self.pages[f"/{number}.ts"] = Reply(404)
        self.pull()
        self.run_for(14)
        self.assertEqual(self.taken.ends, [])
        self.run_for(8)
        self.assertEqual(self.ended_with(UpstreamError, "3 segments in a row cannot be had").status, 404)
        self.assertEqual(self.taken.order(), [13, 16, 19])

    def test_gaps(self) -> None:
        """Segments that the origin says are missing are not asked for, and leave their time free."""
        self.pages["/index.m3u8"] = listed(0, "0.ts", "#EXT-X-GAP\n1.ts", "2.ts", ended=True)
        self.pull()
        self.run_for(7)
        self.assertEqual(bytes(self.taken.data), ts(0) + ts(2))
        self.assertEqual(self.taken.breaks, [len(ts(0))])
        self.assertEqual(self.origin.asked("/"), ["/index.m3u8", "/0.ts", "/2.ts"])

    def test_a_source_of_gaps(self) -> None:
        """A source that is missing three segments in a row itself is lost."""
        self.pages["/index.m3u8"] = listed(0, *["#EXT-X-GAP\n1.ts"] * 6)
        self.pull()
        self.run_for(1)
        self.ended_with(UpstreamError, "missing it itself")

    def test_segments_of_unknown_size(self) -> None:
        """Segments whose size is not told are spread over their time by the size of those before."""
        self.live(10)
        for number in range(13, 30):
            self.pages[f"/{number}.ts"] = Reply(200, ts(number, 300), length=False)
        self.pull()
        self.run_for(20)
        expected = b"".join(ts(number, 300) for number in range(13, 30))
        self.assertTrue(expected.startswith(self.taken.data))
        self.assertLess(self.taken.gap(after=1.0), 0.5)

    def test_a_segment_beyond_all_bounds(self) -> None:
        """A segment that does not end is given up."""
        self.patch(hlspiece, "MAX_SEGMENT", 50_000)
        self.pages["/index.m3u8"] = listed(0, "big.ts", ended=True)
        self.pages["/big.ts"] = ts(0, 600)
        self.pull()
        self.run_for(5)
        self.assertLess(len(self.taken.data), 80_000)
        self.assertEqual(self.taken.ends, [None])

    def test_a_large_segment(self) -> None:
        """A segment that is larger than what we hold is read as it is delivered, whole."""
        self.patch(hlspiece, "HELD", 40_000)
        self.pages["/index.m3u8"] = listed(0, "big.ts", duration=20.0, target=20, ended=True)
        self.pages["/big.ts"] = ts(0, 2000)
        self.pull()
        peak = 0
        for _ in range(1000):
            self.run_for(0.02)
            held = sum(piece.received - piece.taken for piece in self.upstream._pieces)
            peak = max(peak, held)
        self.assertEqual(bytes(self.taken.data), ts(0, 2000))
        self.assertLess(peak, 40_000 + HOLD)
        self.assertEqual(self.taken.ends, [None])

    def test_a_large_segment_and_a_pause(self) -> None:
        """A viewer that pauses in the middle of such a segment still gets the rest of it, from the same connection."""
        self.patch(hlspiece, "HELD", 40_000)
        self.pages["/index.m3u8"] = listed(0, "big.ts", duration=20.0, target=20, ended=True)
        self.pages["/big.ts"] = ts(0, 2000)
        self.pull()
        self.run_for(3)
        self.upstream.pauseProducing()
        self.run_for(30)
        self.upstream.resumeProducing()
        self.run_for(20)
        self.assertEqual(bytes(self.taken.data), ts(0, 2000))
        self.assertEqual(self.origin.asked("/big"), ["/big.ts"])

    def test_an_error_of_ours(self) -> None:
        """An error of our own is logged, and ends the source with a sentence."""
        self.pages["/index.m3u8"] = numbered(0, 3)
        upstream = HlsUpstream(None, self.cache, SOURCE, self.clock, sliced)  # type: ignore[arg-type]
        upstream.attach(self.taken)
        upstream.start()
        self.ended_with(UpstreamError, "error in iptvd")
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
