"""An HLS source becomes one steady stream, as its playlist moves on and its viewer pauses or leaves."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from iptvd.delivery import hlsfetch, hlspiece
from iptvd.delivery.hlspull import HlsUpstream, open_hls
from iptvd.delivery.opening import SourceGone
from iptvd.errors import UpstreamError
from iptvd.protocols.sniff import Media
from tests.delivery.hls_script import Reply, listed, numbered, ts
from tests.delivery.pulling import SOURCE, PullTestCase
from tests.doubles import sliced


class LiveTests(PullTestCase):
    def test_begins_behind_the_edge(self) -> None:
        """A live stream begins three segments from its end; half of the first comes at once."""
        self.live(10)
        self.pull()
        self.run_for(0.5)
        self.whole_and_in_order(13)
        self.assertGreaterEqual(len(self.taken.data), len(ts(13)) / 2)
        self.assertEqual(self.origin.asked("/1"), ["/13.ts", "/14.ts"])

    def test_steady(self) -> None:
        """What comes is smooth for minutes: no byte is missing or doubled, and there is no silence."""
        self.live(10)
        self.pull()
        self.run_for(120)
        self.whole_and_in_order(13)
        self.assertGreater(len(self.taken.order()), 59)
        self.assertLess(self.taken.gap(after=1.0), 0.5)

    def test_clocks_that_disagree(self) -> None:
        """An origin whose clock is a little slow or fast is followed for as long as it lasts."""
        for rate in (0.98, 1.02):
            self.begin()
            self.live(10, rate=rate)
            self.pull()
            self.run_for(400, step=0.05)
            self.whole_and_in_order(13)
            self.assertEqual(self.taken.ends, [])
            self.assertLess(self.taken.gap(after=200.0), 1.0)
            self.upstream.stopProducing()

    def test_reloading(self) -> None:
        """The playlist is read again after a target duration when it had changed, else after half of one."""
        self.pages["/index.m3u8"] = numbered(0, 5, target=4, duration=4.0)
        self.pull()
        self.run_for(7)
        self.pages["/index.m3u8"] = numbered(1, 6, target=4, duration=4.0)
        self.run_for(6)
        times = [round(when) for when in self.origin.times("/index.m3u8")]
        self.assertEqual(times, [0, 4, 6, 8, 12])

    def test_an_overdue_playlist(self) -> None:
        """A playlist that stops moving is given up soon after it should have; what is left of it comes at once."""
        self.pages["/index.m3u8"] = numbered(0, 5)
        self.pull()
        self.run_for(4.9)
        self.assertEqual(self.taken.ends, [])
        self.assertLess(len(self.taken.data), 3 * len(ts(0)))
        self.run_for(0.5)
        error = self.ended_with(UpstreamError, "overdue by 3 s")
        self.assertEqual((error.status, bytes(self.taken.data)), (504, b"".join(map(ts, (3, 4, 5)))))

    def test_a_playlist_that_fails_once(self) -> None:
        """A playlist that cannot be read once now and then is no reason to end."""
        self.live(10)
        self.pull()
        self.run_for(1)
        playlist = self.pages["/index.m3u8"]
        for trouble in (Reply(500), Reply(200, b"<html>"), Reply(200, b"#EXTM3U", cut=3)):
            before = len(self.origin.times("/index.m3u8"))
            self.pages["/index.m3u8"] = trouble
            while len(self.origin.times("/index.m3u8")) == before:
                self.run_for(0.02)
            self.pages["/index.m3u8"] = playlist
            self.run_for(5)
        self.whole_and_in_order(13)
        self.assertEqual(self.taken.ends, [])

    def test_a_playlist_that_fails_again(self) -> None:
        """A playlist that cannot be read twice in a row is given up, with what is here of it delivered at once."""
        self.live(10)
        self.pull()
        self.run_for(1)
        self.pages["/index.m3u8"] = Reply(500)
        self.run_for(2.5)
        self.ended_with(UpstreamError, "it answered 500")
        self.assertEqual(bytes(self.taken.data), b"".join(map(ts, (13, 14, 15))))

    def test_a_playlist_that_never_comes(self) -> None:
        """An origin that does not answer any more is given up when its playlist is overdue."""
        self.live(10)
        self.pull()
        self.run_for(1)
        self.pages["/index.m3u8"] = Reply(200, b"#EXTM3U", cut=0, silent=True)
        self.run_for(3.9)
        self.assertEqual(self.taken.ends, [])
        self.run_for(0.5)
        self.ended_with(UpstreamError, "overdue by 3 s")

    def test_what_is_left_is_taken_slowly(self) -> None:
        """What is left of a source that fails is delivered as fast as it is taken, up to what had come."""
        self.pages["/index.m3u8"] = numbered(0, 5)
        self.pages["/5.ts"] = Reply(200, ts(5), cut=1000, silent=True)
        self.pull()
        self.run_for(4)
        self.upstream.pauseProducing()
        self.run_for(4)
        self.assertEqual(self.taken.ends, [])
        self.taken.on_data = self.upstream.pauseProducing
        for _ in range(20):
            self.upstream.resumeProducing()
            self.run_for(0.1)
        self.ended_with(UpstreamError, "overdue")
        self.assertEqual(bytes(self.taken.data), ts(3) + ts(4) + ts(5)[: 1000 // 188 * 188])

    def test_a_source_that_is_gone(self) -> None:
        """When the playlist is refused the source has to be resolved anew, and that is said at once."""
        for status in (401, 403, 404, 410):
            self.begin()
            self.live(10)
            self.pull()
            self.run_for(1)
            self.pages["/index.m3u8"] = Reply(status)
            self.run_for(2)
            self.ended_with(SourceGone, f"it answered {status}")

    def test_falling_behind(self) -> None:
        """Segments that are gone before their turn are skipped, and the break is told where it is."""
        self.live(10)
        self.pull()
        self.run_for(3)
        self.live(60)
        self.run_for(10)
        numbers = self.taken.order()
        self.assertEqual(numbers[:5], [13, 14, 15, 16, 63])
        self.assertEqual(self.taken.breaks, [4 * len(ts(0))])

    def test_a_reset(self) -> None:
        """When the origin restarts and counts anew, its new stream follows, and the break is told."""
        self.live(300)
        self.pull()
        self.run_for(3)
        self.live(0)
        self.run_for(8)
        self.assertEqual(self.taken.order()[:6], [303, 304, 305, 306, 3, 4])
        self.assertEqual(self.taken.breaks, [4 * len(ts(0))])

    def test_announced_discontinuities(self) -> None:
        """A discontinuity in the playlist is told before its first byte comes."""
        names = ["0.ts", "1.ts", "2.ts", "3.ts", "#EXT-X-DISCONTINUITY\n4.ts", "5.ts"]
        self.pages["/index.m3u8"] = listed(0, *names, ended=True)
        self.pull()
        self.run_for(15)
        self.whole_and_in_order(0, [4 * len(ts(0))])

    def test_a_variant_is_chosen(self) -> None:
        """Of several variants the best is read that the cap allows."""
        lines = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100\nlow.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=900\nhigh.m3u8\n"
        for cap, chosen in ((0, "/high.m3u8"), (500, "/low.m3u8")):
            self.begin()
            self.pages["/index.m3u8"] = b'#EXTM3U\n#EXT-X-DEFINE:NAME="n",VALUE="1"\n' + lines.encode()
            self.pages[chosen] = b'#EXTM3U\n#EXT-X-DEFINE:IMPORT="n"\n#EXTINF:2,\n{$n}.ts\n#EXT-X-ENDLIST\n'
            self.pull(cap)
            self.run_for(4)
            self.assertEqual(self.origin.asked(), ["/index.m3u8", chosen, "/1.ts"])
            self.assertEqual(self.taken.ends, [None])

    def test_variants_of_variants(self) -> None:
        """A list of variants that leads to another one ends with a sentence."""
        self.pages["/index.m3u8"] = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100\nindex.m3u8\n"
        self.pull()
        self.run_for(1)
        self.ended_with(UpstreamError, "leads to another one")

    def test_no_playlist(self) -> None:
        """What is no playlist, does not come, or is too long, ends with a sentence."""
        self.patch(hlsfetch, "MAX_BODY", 1000)
        for page, words in (
            (Reply(200, b"<html><p>Hello</p></html>"), "web page"),
            (Reply(200, b"#EXTM3U" + b" " * 2000), "longer than 1000 bytes"),
            (Reply(200, b"#EXTM3U", cut=2), "closed the connection"),
            (Reply(200, b"#EXTM3U" + b" " * 9, cut=9, silent=True), "took longer than 10 s"),
            (Reply(503), "overloaded"),
        ):
            self.begin()
            self.pages["/index.m3u8"] = page
            self.pull()
            self.run_for(11)
            self.ended_with(UpstreamError, words)

    def test_a_long_playlist(self) -> None:
        """A long playlist is read in slices, and no worse for it."""
        self.patch(hlsfetch, "AT_ONCE", 10)
        self.live(10)
        self.pull()
        self.run_for(4)
        self.whole_and_in_order(13)


class FilmTests(PullTestCase):
    def test_what_has_ended(self) -> None:
        """A playlist that has ended is played from its beginning to its end, at the speed at which it plays."""
        self.pages["/index.m3u8"] = numbered(0, 9, ended=True)
        self.pull()
        self.run_for(15)
        self.assertEqual(self.taken.ends, [])
        self.run_for(5)
        self.assertEqual(bytes(self.taken.data), b"".join(map(ts, range(10))))
        self.assertEqual(self.taken.ends, [None])
        self.assertEqual(self.origin.times("/index.m3u8"), [0])
        self.nothing_left()

    def test_a_stream_that_ends(self) -> None:
        """When a live stream ends, the rest of it still comes."""
        self.pages["/index.m3u8"] = numbered(0, 5)
        self.pull()
        self.run_for(1)
        self.pages["/index.m3u8"] = numbered(0, 6, ended=True)
        self.run_for(9)
        self.assertEqual(bytes(self.taken.data), b"".join(map(ts, range(3, 7))))
        self.assertEqual(self.taken.ends, [None])
        self.nothing_left()


class FlowTests(PullTestCase):
    def test_pausing(self) -> None:
        """While the viewer is paused nothing comes and no more than two segments are held; then it goes on."""
        self.pages["/index.m3u8"] = numbered(0, 30, ended=True)
        self.pull()
        self.run_for(3)
        self.upstream.pauseProducing()
        size = len(self.taken.data)
        self.run_for(30)
        self.assertEqual(len(self.taken.data), size)
        self.assertLessEqual(len(self.origin.asked("/")), 5)
        self.upstream.resumeProducing()
        self.upstream.resumeProducing()
        self.run_for(10)
        self.whole_and_in_order(0)
        self.assertGreaterEqual(len(self.taken.order()), 6)
        self.assertLess(len(self.taken.order()), 12)

    def test_a_pause_that_was_too_long(self) -> None:
        """After a pause in which the live stream has moved on, it goes on near its edge, and the break is told."""
        self.live(10)
        self.pull()
        self.run_for(3)
        self.upstream.pauseProducing()
        self.run_for(60)
        self.upstream.resumeProducing()
        self.run_for(6)
        self.assertEqual(len(self.taken.breaks), 1)
        self.assertGreater(self.taken.order()[-1], 40)

    def test_a_viewer_that_pauses_with_each_delivery(self) -> None:
        """A viewer that takes one delivery at a time gets all of it."""
        self.pages["/index.m3u8"] = numbered(0, 3, ended=True)
        self.taken.on_data = lambda: self.upstream.pauseProducing()
        self.pull()
        for _ in range(200):
            self.run_for(0.1)
            self.upstream.resumeProducing()
        self.assertEqual(bytes(self.taken.data), b"".join(map(ts, range(4))))
        self.assertEqual(self.taken.ends, [None])

    def test_held_until_someone_takes_it(self) -> None:
        """Until someone takes it no more is held than of any upstream, and nothing of it is lost."""
        self.patch(hlspiece, "PACKET", 188)
        for number in range(4):
            self.pages[f"/{number}.ts"] = ts(number, 1000)
        self.pages["/index.m3u8"] = numbered(0, 3, ended=True)
        upstream = HlsUpstream(self.origin.opener(), self.cache, SOURCE, self.clock, sliced)
        upstream.start()
        self.run_for(20)
        first = self.successResultOf(upstream.first_bytes(1))
        self.assertLess(len(first), 3 * 65536)
        upstream.attach(self.taken)
        self.run_for(20)
        self.assertEqual(bytes(self.taken.data), b"".join(ts(number, 1000) for number in range(4)))

    def test_the_viewer_leaves_with_a_delivery(self) -> None:
        """A viewer may leave at the moment when something is delivered."""
        self.live(10)
        self.taken.on_data = lambda: self.upstream.stopProducing()
        self.pull()
        self.run_for(5)
        self.assertEqual(len(self.taken.times), 1)
        self.assertEqual(self.taken.ends, [])
        self.nothing_left()

    def test_the_viewer_leaves_with_a_break(self) -> None:
        """A viewer that leaves when a break is announced gets nothing after it."""
        self.live(10)
        self.pull()
        self.upstream.on_discontinuity = self.upstream.stopProducing
        self.run_for(3)
        self.live(60)
        self.run_for(5)
        self.assertEqual(self.taken.order(), [13, 14, 15, 16])
        self.nothing_left()

    @given(st.integers(0, 2**32))
    def test_any_course(self, seed: int) -> None:
        """Whatever fails, pauses and resumes: bytes are never doubled or mixed, and a stop leaves nothing behind."""
        chance = random.Random(seed)
        self.clock = Clock()
        self.begin()
        self.live(10, seconds=chance.choice([1.0, 2.0, 6.0]))
        moving = self.pages["/index.m3u8"]

        def trouble(page: Any) -> Callable[[str], Any]:
            def answer(wanted: str) -> Any:
                body = page(wanted) if callable(page) else page
                if chance.random() < 0.8:
                    return Reply(200, body, delay=chance.choice([0.01, 0.3, 2.0]), length=chance.random() < 0.7)
                cut = chance.randrange(len(body))
                return chance.choice([Reply(500), Reply(200, body, cut=cut), Reply(200, body, cut=cut, silent=True)])

            return answer

        for number in range(400):
            self.pages[f"/{number}.ts"] = trouble(ts(number))
        self.pages["/index.m3u8"] = trouble(moving)
        upstream = self.pull()
        for _ in range(chance.randrange(40)):
            self.run_for(chance.choice([0.02, 0.1, 1.0, 3.0]), step=0.02)
            chance.choice([upstream.pauseProducing, upstream.resumeProducing, upstream.resumeProducing])()
        upstream.stopProducing()
        self.nothing_left()
        numbers = self.taken.order()
        self.assertEqual(numbers, sorted(set(numbers)))
        for at in range(0, len(self.taken.data), 188):
            self.assertEqual(self.taken.data[at : at + 3], b"\x47\x01\x00")


class OpenTests(PullTestCase):
    def open(self) -> Deferred[Any]:
        return Deferred.fromCoroutine(open_hls(self.origin.opener(), self.cache, SOURCE, self.clock, sliced))

    def test_opened(self) -> None:
        """A source is open when its first bytes are there, as MPEG-TS."""
        self.live(10)
        work = self.open()
        self.run_for(0.5)
        opened = self.successResultOf(work)
        self.assertEqual((opened.status, opened.media), (200, Media.TS))
        opened.upstream.attach(self.taken)
        self.addCleanup(opened.upstream.stopProducing)
        self.run_for(3)
        self.whole_and_in_order(13)

    def test_not_opened(self) -> None:
        """A source that does not work says why, and leaves nothing open."""
        work = self.open()
        self.run_for(0.5)
        self.failureResultOf(work, SourceGone)
        self.nothing_left()
        self.pages["/index.m3u8"] = numbered(0, 0, target=100, duration=100)
        self.pages["/0.ts"] = Reply(200, ts(0), cut=0, silent=True)
        work = self.open()
        self.run_for(11)
        self.failureResultOf(work, UpstreamError)
        self.nothing_left()
