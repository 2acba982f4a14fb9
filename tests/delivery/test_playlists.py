"""Playlists of origins, fetched once for all viewers."""

from __future__ import annotations

from collections.abc import Awaitable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.locator import Locator, locate
from iptvd.delivery.playlists import LEAST_AGE, MOST_AGE, WITHOUT_TARGET, PlaylistBody, Playlists
from iptvd.errors import UpstreamError
from iptvd.model import Source, SourceKind

SOURCE = Source(SourceKind.HLS, url="http://origin.test/live/index.m3u8")
URL = "http://origin.test/live/low.m3u8"
HERE = locate(SOURCE, URL)


def media(target: str = "4", filler: int = 0) -> PlaylistBody:
    body = f"#EXTM3U\r\n#EXT-X-VERSION:3\r\n#EXT-X-TARGETDURATION:{target}\r\n" + "#" * filler
    return PlaylistBody(URL, body.encode())


class AgeTests(SynchronousTestCase):
    def test_half_a_target_duration(self) -> None:
        """A media playlist may be used for half its target duration, within bounds, and any other for a moment."""
        for target, age in (("4", 2.0), ("6.5", 3.25), (" 10", 5.0), ("0", LEAST_AGE), ("999999999", MOST_AGE)):
            self.assertEqual(media(target).max_age, age)
        for body in (b"", b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n", b"#EXT-X-TARGETDURATION:soon"):
            self.assertEqual(PlaylistBody(URL, body).max_age, WITHOUT_TARGET)

    def test_nothing_is_shown(self) -> None:
        """Neither a playlist nor a locator shows an address."""
        self.assertNotIn("origin", repr(media()) + repr(HERE))


class PlaylistsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.playlists = Playlists(1000, self.clock)
        self.asked: list[Deferred[PlaylistBody]] = []

    def fetch(self) -> Awaitable[PlaylistBody]:
        self.asked.append(Deferred())
        return self.asked[-1]

    def get(self, locator: Locator = HERE) -> Deferred[PlaylistBody]:
        return Deferred.fromCoroutine(self.playlists.get(locator, self.fetch))

    def test_many_viewers_one_fetch(self) -> None:
        """However many viewers ask, the origin is asked once in half a target duration."""
        waiting = [self.get() for _ in range(5)]
        self.asked[0].callback(media())
        for waiter in waiting:
            self.assertEqual(self.successResultOf(waiter), media())
        self.clock.advance(1.9)
        self.assertEqual(self.successResultOf(self.get()), media())
        self.assertEqual((len(self.asked), self.playlists.hits, self.playlists.misses), (1, 5, 1))
        self.clock.advance(0.2)
        self.assertNoResult(self.get())
        self.assertEqual(len(self.asked), 2)

    @given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=40))
    def test_never_more_often(self, steps: list[tuple[int, bool]]) -> None:
        """Whenever viewers ask and however long answers take, fetches are half a target duration apart at least."""
        clock = Clock()
        playlists = Playlists(1000, clock)
        starts: list[float] = []
        open_ones: list[Deferred[PlaylistBody]] = []

        def fetch() -> Awaitable[PlaylistBody]:
            starts.append(clock.seconds())
            open_ones.append(Deferred())
            return open_ones[-1]

        given_out: list[Deferred[PlaylistBody]] = []
        for quarters, answers in steps:
            given_out.append(Deferred.fromCoroutine(playlists.get(HERE, fetch)))
            clock.advance(quarters / 4)
            if answers and open_ones:
                open_ones.pop().callback(media())
        while open_ones:
            open_ones.pop().callback(media())
        for one in given_out:
            self.assertEqual(self.successResultOf(one), media())
        self.assertTrue(all(later - earlier >= 2.0 for earlier, later in pairwise(starts)))
        clock.advance(MOST_AGE)
        self.assertEqual((playlists.held, playlists.in_flight, clock.getDelayedCalls()), (0, 0, []))

    def test_the_age_counts_from_the_request(self) -> None:
        """A playlist that took long to come is old sooner."""
        self.get()
        self.clock.advance(1.5)
        self.asked[0].callback(media())
        self.clock.advance(0.6)
        self.get()
        self.clock.advance(2.5)
        self.asked[1].callback(media())
        self.get()
        self.assertEqual(len(self.asked), 3)

    def test_failures_are_not_kept(self) -> None:
        """All who waited get the failure, and who asks next asks the origin."""
        waiting = [self.get(), self.get()]
        self.asked[0].errback(UpstreamError(502, "no"))
        for waiter in waiting:
            self.failureResultOf(waiter, UpstreamError)
        self.get()
        self.assertEqual(len(self.asked), 2)

    def test_a_blocking_reload_is_its_own(self) -> None:
        """A request for a playlist that is yet to come does not get the one of now, nor keeps others from it."""
        self.get()
        self.get(locate(SOURCE, URL + "?_HLS_msn=7"))
        self.assertEqual((len(self.asked), self.playlists.in_flight), (2, 2))
        self.asked[0].callback(media())
        self.assertEqual(self.successResultOf(self.get()), media())

    def test_other_credentials_other_playlist(self) -> None:
        """What is asked for with other headers, or on behalf of another origin, is not shared."""
        headers = (("Authorization", "Basic Zm9v"),)
        for other in (
            Source(SourceKind.HLS, url=SOURCE.url, headers=headers),
            Source(SourceKind.HLS, url="https://origin.test/live/index.m3u8"),
            Source(SourceKind.HLS, url=SOURCE.url, verify_tls=False),
        ):
            self.assertNotEqual(locate(other, URL), HERE)
        fresh = Source(SourceKind.HLS, url="http://origin.test/other.m3u8?token=2", expires=1.0)
        self.assertEqual(locate(fresh, URL), HERE)

    def test_bytes_are_bounded(self) -> None:
        """The oldest go when there is no room, and what is too long for all of it is not kept."""
        for number in range(30):
            self.get(locate(SOURCE, f"{URL}?{number}"))
            self.asked[-1].callback(media(filler=200))
            self.assertLessEqual(self.playlists.held, 1000)
        self.assertGreater(self.playlists.held, 500)
        self.get()
        self.asked[-1].callback(media(filler=1000))
        self.get()
        self.assertEqual(len(self.asked), 32)

    def test_clear(self) -> None:
        """Nothing is left after all is stopped."""
        self.get()
        self.asked[0].callback(media())
        waiting = self.get(locate(SOURCE, URL + "?2"))
        self.playlists.clear(UpstreamError(503, "stopping"))
        self.assertEqual(self.failureResultOf(waiting, UpstreamError).value.status, 503)
        self.assertEqual((self.playlists.held, self.playlists.in_flight), (0, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])
