"""An HLS source that is read as a stream while others watch its segments as HLS: each is fetched once."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from iptvd.delivery.hlspull import HlsUpstream
from iptvd.delivery.locator import locate
from iptvd.delivery.opening import Ask, Opened
from iptvd.delivery.shelf import Terms
from iptvd.delivery.slots import Slot
from iptvd.protocols.m3u8 import Role
from tests.delivery.hls_script import Reply, encrypted, listed, ts
from tests.delivery.origins import Drinker
from tests.delivery.pulling import KEY, SOURCE, PullTestCase


class SharedTestCase(PullTestCase):
    def view(self, name: str, ask: Ask | None = None, role: Role = Role.SEGMENT) -> Deferred[Drinker]:
        """A viewer of HLS asks for something of the source."""
        url, ask, opener = f"http://origin.test/{name}", ask or Ask(), self.origin.opener()
        terms = Terms(3.0, "p", lambda: Slot(lambda: None))
        opening = self.cache.open(locate(SOURCE, url), ask, role, terms, lambda: opener.open_url(SOURCE, url, ask))

        def drink(opened: Opened) -> Drinker:
            assert opened.upstream is not None
            return Drinker(opened.upstream)

        return Deferred.fromCoroutine(opening).addCallback(drink)

    def viewed(self, name: str, ask: Ask | None = None, role: Role = Role.SEGMENT) -> bytes:
        """What a viewer of HLS gets, who waits for it."""
        viewer = self.view(name, ask, role)
        self.run_for(0.2)
        drinker = self.successResultOf(viewer)
        self.assertEqual(drinker.ends, [None])
        return drinker.got

    def each_once(self) -> None:
        """But for playlists nothing was asked of the origin twice."""
        asked = [path for path in self.origin.asked() if not path.endswith(".m3u8")]
        self.assertEqual(sorted(set(asked)), sorted(asked))


class OrderTests(SharedTestCase):
    def test_the_stream_first(self) -> None:
        """A viewer of HLS who comes at any time begins with what the stream has fetched already."""
        for quarter in range(2, 50):
            self.begin()
            began = self.clock.seconds()
            self.live(10)
            upstream = self.pull()
            self.run_for(quarter / 4)
            edge = 15 + int((self.clock.seconds() - began) / 2)
            for number in range(edge - 2, edge + 1):
                self.assertEqual(self.viewed(f"{number}.ts"), ts(number))
            self.each_once()
            upstream.stopProducing()
            self.whole_and_in_order(13)

    def test_the_stream_later(self) -> None:
        """A stream begins with what viewers of HLS have had."""
        self.live(10)
        for number in (13, 14, 15):
            self.assertEqual(self.viewed(f"{number}.ts"), ts(number))
        self.pull()
        self.run_for(1)
        self.assertEqual(self.origin.asked(), ["/13.ts", "/14.ts", "/15.ts", "/index.m3u8"])
        self.run_for(6)
        self.whole_and_in_order(13)

    def test_keys_and_byte_ranges(self) -> None:
        """Keys and parts of files are fetched once too."""
        size = len(encrypted(ts(0), KEY, bytes(16)))
        data = b"".join(encrypted(ts(number), KEY, number.to_bytes(16, "big")) for number in range(4))

        def part(wanted: str) -> Reply:
            start, _, last = wanted.removeprefix("bytes=").partition("-")
            return Reply(206, data[int(start) : int(last) + 1], (f"Content-Range: bytes {start}-{last}/{len(data)}",))

        key = '#EXT-X-KEY:METHOD=AES-128,URI="k"\n'
        lines = [f"#EXT-X-BYTERANGE:{size}@{size * number}\nall.bin" for number in range(4)]
        self.pages |= {"/all.bin": part, "/k": KEY, "/index.m3u8": listed(0, key + lines[0], *lines[1:], ended=True)}
        self.pull()
        self.run_for(0.5)
        self.assertEqual(self.viewed("k", role=Role.KEY), KEY)
        ask = Ask(headers=(("Range", f"bytes=0-{size - 1}"),))
        self.assertEqual(self.viewed("all.bin", ask), data[:size])
        self.run_for(8)
        self.assertEqual(bytes(self.taken.data), b"".join(map(ts, range(4))))
        self.assertEqual((len(self.origin.asked("/all.bin")), len(self.origin.asked("/k"))), (4, 1))


class LeavingTests(SharedTestCase):
    def both(self) -> tuple[HlsUpstream, Drinker]:
        """A stream and a viewer of HLS, who have a part of the same segment each."""
        self.pages["/13.ts"] = Reply(200, ts(13, 2000), delay=0.1)
        self.live(10)
        upstream, viewer = self.pull(), self.view("13.ts")
        self.run_for(0.12)
        self.assertEqual(self.origin.asked("/13"), ["/13.ts"])
        return upstream, self.successResultOf(viewer)

    def test_the_viewer_leaves(self) -> None:
        """When the viewer leaves in the middle of a segment the stream has all of it."""
        _, viewer = self.both()
        viewer.leave()
        self.run_for(3)
        self.assertEqual(self.origin.asked("/13"), ["/13.ts"])
        self.assertTrue(self.taken.data.startswith(ts(13, 2000)[: len(self.taken.data)]))
        self.assertEqual(self.taken.order(), [13, 14])

    def test_the_stream_leaves(self) -> None:
        """When the stream ends in the middle of a segment the viewer has all of it."""
        upstream, viewer = self.both()
        upstream.stopProducing()
        self.run_for(1)
        self.assertEqual((viewer.got, viewer.ends), (ts(13, 2000), [None]))
        self.assertEqual(self.origin.asked("/13"), ["/13.ts"])

    def test_nobody_else(self) -> None:
        """A stream that nobody shares closes its connection when it ends, however much of a segment has come."""
        whole = ts(13, 1000)
        for cut in (1000, len(whole) - 100):
            self.begin()
            self.live(10)
            self.pages["/13.ts"] = Reply(200, whole, cut=cut, silent=True)
            self.pull().stopProducing()
            self.nothing_left()

    def test_not_for_long(self) -> None:
        """What was fetched for a stream alone is gone when it has been delivered, or soon after the stream is over."""
        self.live(10)
        upstream = self.pull()
        for _ in range(200):
            self.run_for(0.1)
            self.assertLessEqual(self.cache.figures.bytes_held, 3 * len(ts(0)))
        upstream.stopProducing()
        self.run_for(3.1)
        self.assertEqual((self.cache.figures.entries, self.clock.getDelayedCalls()), (0, []))


class NameTests(SharedTestCase):
    def test_names_that_are_used_again(self) -> None:
        """An origin whose segments all have the same few names has each of them fetched."""
        for names in (1, 3):
            self.begin()
            told = iter(map(ts, range(100)))
            for name in range(names):
                self.pages[f"/x{name}.ts"] = lambda _, told=told: next(told)  # type: ignore[misc]
            lines = [f"x{number % names}.ts" for number in range(6)]
            self.pages["/index.m3u8"] = listed(0, *lines, duration=1.0, target=1, ended=True)
            self.pull()
            self.run_for(7)
            self.assertEqual((bytes(self.taken.data), self.taken.ends), (b"".join(map(ts, range(6))), [None]))

    def test_what_is_no_good_is_not_kept(self) -> None:
        """A page in place of a segment is asked for again, and not what a viewer of HLS gets then."""
        pages = iter([Reply(200, b"<html>" * 100), Reply(200, ts(13))])
        self.pages["/13.ts"] = lambda _: next(pages)
        self.live(10)
        self.pull()
        self.run_for(1.5)
        self.assertEqual(self.viewed("13.ts"), ts(13))
        self.assertEqual(self.origin.asked("/13"), ["/13.ts"] * 2)
        self.run_for(3)
        self.whole_and_in_order(13)

    def test_a_range_that_cannot_be_had(self) -> None:
        """A part that the file of a viewer's whole segment does not have is a segment that is left out."""
        self.assertEqual(self.viewed("1.ts"), ts(1))
        self.pages["/index.m3u8"] = listed(0, f"#EXT-X-BYTERANGE:188@{len(ts(1))}\n1.ts", "2.ts", ended=True)
        self.pages["/1.ts"] = Reply(416)
        self.pull()
        self.run_for(5)
        self.assertEqual((bytes(self.taken.data), self.taken.ends), (ts(2), [None]))

    def test_numbers_are_forgotten(self) -> None:
        """Of a stream that goes on for long few names are remembered."""
        self.live(10, seconds=1.0)
        upstream = self.pull()
        self.run_for(20)
        self.assertLessEqual(len(upstream._fetcher._numbers), 8)
