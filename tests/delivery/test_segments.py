"""What viewers of HLS have in common, fetched once."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from iptvd.delivery.locator import locate
from iptvd.delivery.opening import Ask, Opened
from iptvd.delivery.playlists import PlaylistBody
from iptvd.delivery.shelf import Terms
from iptvd.delivery.slots import Slot
from iptvd.errors import LimitError, UpstreamError
from iptvd.model import Source, SourceKind
from iptvd.protocols.m3u8 import Role
from tests.delivery.caching import BIGGEST, LIFE, PLAIN, PROVIDER, SOURCE, CacheTests, ranged, segment
from tests.delivery.origins import Asked, drink


class SharingTests(CacheTests):
    def test_one_request_for_all(self) -> None:
        """Viewers who ask before the origin has answered, while it sends, and afterwards, cost it one request."""
        before = [self.open() for _ in range(3)]
        tap = self.origin.last.answer(6, headers=(("Content-Type", "video/mp2t"),))
        viewers = [drink(self.successResultOf(waiting)) for waiting in before]
        tap.deliver(b"abc")
        viewers.append(drink(self.opened()))
        self.assertEqual([viewer.got for viewer in viewers], [b"abc"] * 4)
        tap.deliver(b"def")
        tap.finish()
        viewers.append(drink(self.opened()))
        self.assertEqual([(viewer.got, viewer.ends) for viewer in viewers], [(b"abcdef", [None])] * 5)
        figures = self.cache.figures
        self.assertEqual((len(self.origin.asked), figures.misses, figures.hits, figures.passed), (1, 1, 4, 0))
        self.assertEqual((figures.entries, figures.in_flight, figures.bytes_held), (1, 0, 6))

    def test_all_get_the_head(self) -> None:
        """Everyone gets the status and the headers that the origin gave the first."""
        headers = (("Content-Type", "video/mp2t"), ("Etag", '"1"'), ("Content-Range", "bytes 0-2/6"))
        before = self.open(ask=ranged("bytes=0-2"))
        self.origin.last.answer_whole(b"abc", 206, headers)
        first = self.successResultOf(before)
        drink(first)
        later = self.opened(ask=ranged("bytes=0-2"))
        for one in (first, later):
            self.assertEqual((one.status, dict(one.headers)), (206, {**dict(headers), "Content-Length": "3"}))

    def test_the_length_is_told_once_it_is_known(self) -> None:
        """Of a segment whose origin did not tell its length, later viewers are told it."""
        waiting = self.open()
        tap = self.origin.last.answer()
        first = self.successResultOf(waiting)
        tap.deliver(b"abc")
        tap.finish()
        self.assertNotIn("Content-Length", dict(first.headers))
        self.assertEqual(dict(self.opened().headers)["Content-Length"], "3")

    def test_ranges_are_things_of_their_own(self) -> None:
        """Other byte ranges, other URLs and other sources are asked for by themselves."""
        other = Source(SourceKind.HLS, url=SOURCE.url, headers=(("Cookie", "a=b"),))
        for which in (segment(1), segment(2), locate(other, segment(1).url)):
            for ask in (Ask(), ranged("bytes=0-1"), ranged("bytes=1-2")):
                self.open(which, ask).addErrback(lambda failure: failure.trap(UpstreamError))
        self.assertEqual(len(self.origin.asked), 9)

    def test_errors_reach_all_and_are_not_kept(self) -> None:
        """All who waited get the origin's refusal; who asks next asks the origin."""
        waiting = [self.open(), self.open()]
        self.origin.last.reply.errback(UpstreamError(404, "gone"))
        for waiter in waiting:
            self.assertEqual(self.failureResultOf(waiter, UpstreamError).value.status, 404)
        self.keep(1, b"abc")
        self.assertEqual(len(self.origin.asked), 2)

    def test_a_body_that_breaks_off_is_not_kept(self) -> None:
        """Readers of a segment that breaks off are told, and the next viewer has it fetched again."""
        waiting = self.open()
        tap = self.origin.last.answer(6)
        viewers = [drink(self.successResultOf(waiting)), drink(self.opened())]
        tap.deliver(b"abc")
        tap.finish(UpstreamError(502, "gone"))
        self.assertEqual([(viewer.got, str(viewer.ends[0])) for viewer in viewers], [(b"abc", "gone")] * 2)
        self.assertEqual(self.held(), 0)
        self.keep(1, b"abcdef")

    def test_a_range_that_cannot_be_had(self) -> None:
        """All who waited are told that a range lies outside, and that is not kept."""
        waiting = [self.open(ask=ranged("bytes=90-")) for _ in range(2)]
        answer = Opened(None, 416, (("Content-Range", "bytes */6"),))
        self.origin.last.reply.callback(answer)
        self.assertEqual([self.successResultOf(waiter) for waiter in waiting], [answer] * 2)
        self.assertNoResult(self.open(ask=ranged("bytes=90-")).addErrback(lambda failure: None))

    def test_what_is_not_shared(self) -> None:
        """Playlists of ads and the like, and conditions that we do not know, go to the origin each time."""
        strange = Ask(headers=(("If-None-Match", '"1"'),))
        for role, ask in ((Role.OTHER, Ask()), (Role.PLAYLIST, Ask()), (Role.SEGMENT, strange)):
            for _ in range(2):
                waiting = self.open(ask=ask, role=role)
                self.origin.last.answer_whole(b"abc")
                self.assertIs(self.successResultOf(waiting).upstream, self.origin.last.tap)
        self.assertEqual((len(self.origin.asked), self.cache.figures.passed, self.held()), (6, 6, 0))

    def test_an_origin_that_answers_at_once(self) -> None:
        """What is there the moment it is asked for reaches its viewer, shared or not, and is asked for once."""
        for role, size in ((Role.SEGMENT, 10), (Role.KEY, 16), (Role.SEGMENT, BIGGEST + 1)):
            asked: list[Asked] = []

            async def fetch(asked: list[Asked] = asked, size: int = size) -> Opened:
                asked.append(Asked())
                asked[-1].answer(size)
                return await asked[-1].reply

            opening = Deferred.fromCoroutine(self.cache.open(segment(size), PLAIN, role, self.terms(), fetch))
            viewer = drink(self.successResultOf(opening))
            asked[0].tap.deliver(bytes(size))
            asked[0].tap.finish()
            self.assertEqual((len(viewer.got), viewer.ends, len(asked)), (size, [None], 1))

    def test_what_can_be_sent_as_it_is(self) -> None:
        """A segment that is there whole is given to whoever sends it by itself; a part, or what comes, is not."""
        waiting = self.open(1)
        tap = self.origin.last.answer(3)
        self.assertIsNone(self.cache.whole(segment(1), Role.SEGMENT))
        drink(self.successResultOf(waiting))
        self.assertIsNone(self.cache.whole(segment(1), Role.SEGMENT))
        tap.deliver(b"abc")
        tap.finish()
        found = self.cache.whole(segment(1), Role.SEGMENT)
        assert found is not None
        self.assertEqual((b"".join(found.body.blocks), self.cache.figures.hits), (b"abc", 1))
        self.assertIsNone(self.cache.whole(segment(1), Role.PLAYLIST))
        waiting = self.open(2, ranged("bytes=0-1"))
        self.origin.last.answer_whole(b"ab", 206)
        drink(self.successResultOf(waiting))
        self.assertIsNone(self.cache.whole(segment(2), Role.SEGMENT))


class SlotTests(CacheTests):
    """The provider's connections."""

    def test_it_lasts_as_long_as_the_fetch(self) -> None:
        """A fetch has its connection until the last byte, whoever of those that wait for it has left."""
        first, second = self.open(), self.open()
        self.assertEqual(self.slots.total, 1)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        tap = self.origin.last.answer(10)
        viewer = drink(self.successResultOf(second))
        tap.deliver(b"abcdef")
        viewer.leave()
        self.assertEqual(self.slots.total, 1)
        tap.deliver(b"ghij")
        self.assertEqual(self.slots.total, 1)
        tap.finish()
        self.assertEqual((self.slots.total, self.drunk()), (0, b"abcdefghij"))

    def test_it_ends_with_the_fetch(self) -> None:
        """A fetch that fails, that nobody waits for any more or that is stopped gives its connection back at once."""
        waiting = self.open(1)
        self.origin.last.reply.errback(UpstreamError(404, "gone"))
        self.failureResultOf(waiting, UpstreamError)
        self.assertEqual(self.slots.total, 0)
        waiting = self.open(2)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(self.slots.total, 0)
        waiting = self.open(3)
        self.origin.last.answer(10)
        drink(self.successResultOf(waiting)).leave()
        self.assertEqual(self.slots.total, 0)
        waiting = self.open(4)
        tap = self.origin.last.answer(10)
        drink(self.successResultOf(waiting))
        tap.finish(UpstreamError(502, "gone"))
        self.assertEqual(self.slots.total, 0)
        waiting = self.open(5, ranged("bytes=9-"))
        self.origin.last.reply.callback(Opened(None, 416, ()))
        self.successResultOf(waiting)
        self.assertEqual(self.slots.total, 0)

    def test_what_is_a_viewers_own(self) -> None:
        """What is not shared goes by the connection that its viewer's session has, from the answer on."""
        for ask, length in ((PLAIN, BIGGEST + 1), (Ask("HEAD"), 3)):
            waiting = self.open(length, ask)
            self.assertEqual(self.slots.total, 1)
            self.origin.last.answer(length)
            drink(self.successResultOf(waiting))
            self.assertEqual(self.slots.total, 0)

    def test_none_to_be_had(self) -> None:
        """Without a connection nothing is fetched, and all who wait for it hear why."""

        def none() -> Slot:
            raise LimitError("all in use")

        terms = Terms(LIFE, PROVIDER, none)
        for ask in (PLAIN, Ask("HEAD")):
            opening = self.cache.open(segment(1), ask, Role.SEGMENT, terms, self.origin.fetch)
            self.failureResultOf(Deferred.fromCoroutine(opening), LimitError)
        self.assertEqual((self.origin.asked, self.cache.figures.in_flight), ([], 0))

    def test_it_is_wanted(self) -> None:
        """A fetch that nobody waits for any more is stopped when its connection is wanted, and nothing else is."""
        viewers = []
        for number in (1, 2):
            waiting = self.open(number)
            self.origin.last.answer(10)
            viewers.append(drink(self.successResultOf(waiting)))
            self.origin.last.tap.deliver(b"abcdef")
        self.keep(3, b"abc")
        self.assertFalse(self.cache.let_go(PROVIDER))
        viewers[0].leave()
        self.assertFalse(self.cache.let_go("another"))
        self.assertEqual(self.slots.total, 2)
        self.assertTrue(self.cache.let_go(PROVIDER))
        self.assertEqual((self.slots.total, self.origin.asked[0].tap.stopped), (1, 1))
        self.assertFalse(self.cache.let_go(PROVIDER))
        self.assertEqual(self.drunk(3), b"abc")


class WholeTests(CacheTests):
    """Requests that a thing answers which is there whole."""

    HEADERS = (("Etag", '"1"'), ("Last-Modified", "Mon, 05 Jan 2026 10:00:00 GMT"), ("Content-Type", "video/mp2t"))

    def setUp(self) -> None:
        super().setUp()
        self.keep(1, b"abcdef", self.HEADERS)

    def head(self, opened: Opened) -> tuple[int, dict[str, str]]:
        headers = dict(opened.headers)
        return opened.status, {name: headers[name] for name in ("Content-Length", "Content-Range") if name in headers}

    def test_head(self) -> None:
        """HEAD is answered from a segment that is there."""
        opened = self.opened(ask=Ask("HEAD"))
        self.assertIsNone(opened.upstream)
        self.assertEqual(self.head(opened), (200, {"Content-Length": "6"}))
        self.assertEqual(dict(opened.headers)["Etag"], '"1"')

    def test_ranges(self) -> None:
        """A range of a segment that is there is cut from it."""
        for value, expected in (
            ("bytes=0-1", b"ab"),
            ("bytes=4-", b"ef"),
            ("bytes=-3", b"def"),
            ("bytes=1-99", b"bcdef"),
        ):
            opened = self.opened(ask=ranged(value))
            start = 6 - len(expected) if value != "bytes=0-1" else 0
            told = {
                "Content-Length": str(len(expected)),
                "Content-Range": f"bytes {start}-{start + len(expected) - 1}/6",
            }
            self.assertEqual(self.head(opened), (206, told))
            self.assertEqual(drink(opened).got, expected)
        self.assertEqual(len(self.origin.asked), 1)

    def test_ranges_that_are_none(self) -> None:
        """A range outside is refused, and one that means nothing gives all."""
        opened = self.opened(ask=ranged("bytes=6-"))
        self.assertEqual((opened.upstream, self.head(opened)), (None, (416, {"Content-Range": "bytes */6"})))
        self.assertEqual(self.drunk(ask=ranged("lines=1-2")), b"abcdef")

    def test_if_range(self) -> None:
        """A range that is wanted of the same version only is given of that, and else all of it is."""
        for validator in ('"1"', "Mon, 05 Jan 2026 10:00:00 GMT"):
            self.assertEqual(self.drunk(ask=ranged("bytes=0-1", If_Range=validator)), b"ab")
        opened = self.opened(ask=ranged("bytes=0-1", If_Range='"2"'))
        self.assertEqual(self.head(opened), (200, {"Content-Length": "6"}))
        self.assertEqual(drink(opened).got, b"abcdef")

    def test_they_pass_by_otherwise(self) -> None:
        """HEAD and If-Range go to the origin while the segment is not there whole, and nothing is kept of that."""
        tap = None
        for ask in (Ask("HEAD"), ranged("bytes=0-1", If_Range='"1"')):
            for asked_for in (2, 3):
                if asked_for == 3 and tap is None:
                    waiting = self.open(3)
                    tap = self.origin.last.answer(6)
                    drink(self.successResultOf(waiting))
                before = len(self.origin.asked)
                self.open(asked_for, ask)
                self.assertEqual(len(self.origin.asked), before + 1)
        self.assertEqual((self.cache.figures.passed, self.cache.figures.in_flight), (4, 1))

    def test_a_part_is_not_the_whole(self) -> None:
        """What an origin gave as a part of something else answers no other question than the one it was for."""
        waiting = self.open(2)
        self.origin.last.answer_whole(b"abc", 206, (("Content-Range", "bytes 0-2/6"),))
        drink(self.successResultOf(waiting))
        self.open(2, Ask("HEAD"))
        self.assertEqual(len(self.origin.asked), 3)


class PlaylistTests(CacheTests):
    def test_playlists(self) -> None:
        """Playlists are shared too, and counted."""

        async def fetch() -> PlaylistBody:
            return PlaylistBody("http://origin.test/final.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n")

        def get() -> Any:
            return self.successResultOf(Deferred.fromCoroutine(self.cache.playlist(segment(0), fetch)))

        self.assertIs(get(), get())
        figures = self.cache.figures
        self.assertEqual((figures.playlist_hits, figures.playlist_misses), (1, 1))
        self.assertEqual(figures.bytes_held, len(get().body))
