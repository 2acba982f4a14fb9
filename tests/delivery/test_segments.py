"""What viewers of HLS have in common, fetched once."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.locator import Locator, locate
from iptvd.delivery.opening import Ask, Opened
from iptvd.delivery.playlists import PlaylistBody
from iptvd.delivery.segments import KEY_LIFE, MOST_KEY_SIZE, MOST_KEYS, MOST_LIFE, SegmentCache
from iptvd.delivery.shelf import FINISH, SILENCE
from iptvd.errors import UpstreamError
from iptvd.model import Headers, Source, SourceKind
from iptvd.protocols.m3u8 import Role
from tests.delivery.origins import Asked, Drinker, Origin, drink

SOURCE = Source(SourceKind.HLS, url="http://origin.test/live/index.m3u8")
LIMIT = 8000
#: What may be kept at most of one, and of all segments.
BIGGEST = LIMIT // 4
OF_SEGMENTS = LIMIT - LIMIT // 8
LIFE = 12.0
PLAIN = Ask()


def segment(number: int) -> Locator:
    return locate(SOURCE, f"http://origin.test/live/{number}.ts")


def ranged(value: str, **others: str) -> Ask:
    return Ask(headers=(("Range", value), *((name.replace("_", "-"), other) for name, other in others.items())))


class CacheTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.origin = Origin()
        self.cache = SegmentCache(LIMIT, self.clock, ahead=100)
        self.addCleanup(self.nothing_is_left)

    def nothing_is_left(self) -> None:
        """Whatever a test did, nothing outlives the cache."""
        self.cache.clear()
        figures = self.cache.figures
        self.assertEqual((figures.bytes_held, figures.in_flight, figures.entries), (0, 0, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def open(
        self, which: int | Locator = 1, ask: Ask = PLAIN, role: Role = Role.SEGMENT, life: float = LIFE
    ) -> Deferred[Opened]:
        locator = segment(which) if isinstance(which, int) else which
        return Deferred.fromCoroutine(self.cache.open(locator, ask, role, life, self.origin.fetch))

    def opened(self, which: int = 1, ask: Ask = PLAIN, role: Role = Role.SEGMENT) -> Opened:
        """What comes without any more word of the origin."""
        return self.successResultOf(self.open(which, ask, role))

    def drunk(self, which: int = 1, ask: Ask = PLAIN, role: Role = Role.SEGMENT) -> bytes:
        """What is there, read."""
        viewer = drink(self.opened(which, ask, role))
        self.assertEqual(viewer.ends, [None])
        return viewer.got

    def keep(self, which: int, body: bytes, headers: Headers = ()) -> None:
        """Have one viewer fetch and read it."""
        waiting = self.open(which)
        self.origin.last.answer_whole(body, headers=headers)
        self.assertEqual(drink(self.successResultOf(waiting)).got, body)

    def held(self) -> int:
        return self.cache.figures.bytes_held


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


class LeavingTests(CacheTests):
    def reading(self, length: int | None) -> Drinker:
        waiting = self.open()
        self.origin.last.answer(length)
        return drink(self.successResultOf(waiting))

    def test_who_leaves_before_the_answer(self) -> None:
        """A viewer who leaves before the origin answers takes nothing from another who waits."""
        first, second = self.open(), self.open()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.origin.last.answer_whole(b"abc")
        self.assertEqual(drink(self.successResultOf(second)).got, b"abc")

    def test_all_leave_before_the_answer(self) -> None:
        """The request is given up when nobody waits for it any more, and the next viewer asks anew."""
        waiting = [self.open(), self.open()]
        for waiter in waiting:
            waiter.cancel()
            self.failureResultOf(waiter, CancelledError)
        self.assertTrue(self.origin.last.cancelled)
        self.keep(1, b"abc")

    def test_an_answer_that_nobody_waits_for(self) -> None:
        """A connection that comes although all have left is closed."""
        for length in (10, BIGGEST + 1):
            late: Deferred[Opened] = Deferred(lambda late: None)

            async def fetch(late: Deferred[Opened] = late) -> Opened:
                try:
                    return await late
                except CancelledError:
                    asked = self.origin.asked[-1]
                    asked.answer(length)  # noqa: B023 - it is called within this round
                    return await asked.reply

            self.origin.fetch()
            waiting = Deferred.fromCoroutine(self.cache.open(segment(1), Ask(), Role.SEGMENT, LIFE, fetch))
            waiting.cancel()
            self.failureResultOf(waiting, CancelledError)
            self.assertEqual(self.origin.last.tap.stopped, 1)
            self.assertEqual((self.cache.figures.entries, self.cache.figures.in_flight), (0, 0))

    def test_one_leaves_at_once(self) -> None:
        """A viewer who is gone by the time of the answer takes nothing from those who are told after it."""
        first, second = self.open(), self.open()
        first.addCallback(lambda opened: drink(opened).leave())
        self.origin.last.answer_whole(b"abc")
        viewer = drink(self.successResultOf(second))
        self.assertEqual((viewer.got, viewer.ends), (b"abc", [None]))

    def test_all_leave_early(self) -> None:
        """A fetch is stopped at once when its last viewer leaves before half of it is there."""
        viewer = self.reading(10)
        self.origin.last.tap.deliver(b"abcde")
        viewer.leave()
        self.assertEqual((self.origin.last.tap.stopped, self.held(), self.cache.figures.in_flight), (1, 0, 0))

    def test_all_leave_late(self) -> None:
        """When more than half is there, the rest is fetched for the next viewer."""
        viewer = self.reading(10)
        viewer.pause()
        self.origin.last.tap.deliver(b"abcdef")
        viewer.leave()
        self.assertEqual((self.origin.last.tap.stopped, self.origin.last.tap.paused), (0, False))
        next_viewer = drink(self.opened())
        self.clock.advance(FINISH)
        self.origin.last.tap.deliver(b"ghij")
        self.origin.last.tap.finish()
        self.assertEqual((next_viewer.got, len(self.origin.asked)), (b"abcdefghij", 1))
        self.assertEqual(self.drunk(), b"abcdefghij")

    def test_all_leave_late_while_it_is_held_up(self) -> None:
        """A fetch that waited for its viewers goes on when they leave and most of it is there."""
        viewer = self.reading(300)
        viewer.pause()
        self.origin.last.tap.deliver(bytes(200))
        self.assertTrue(self.origin.last.tap.paused)
        viewer.leave()
        self.assertFalse(self.origin.last.tap.paused)
        self.origin.last.tap.deliver(bytes(100))
        self.origin.last.tap.finish()
        self.assertEqual(len(self.drunk()), 300)

    def test_the_rest_does_not_come(self) -> None:
        """A fetch that nobody waits for is stopped when it does not become whole in time."""
        viewer = self.reading(10)
        self.origin.last.tap.deliver(b"abcdef")
        viewer.leave()
        self.clock.advance(FINISH)
        self.assertEqual((self.origin.last.tap.stopped, self.held()), (1, 0))

    def test_the_rest_fails(self) -> None:
        """A fetch that nobody waits for and that fails leaves nothing."""
        viewer = self.reading(10)
        self.origin.last.tap.deliver(b"abcdef")
        viewer.leave()
        self.origin.last.tap.finish(UpstreamError(502, "gone"))
        self.assertEqual((self.held(), self.cache.figures.entries), (0, 0))

    def test_half_of_what(self) -> None:
        """Where the length is not told, a fetch without viewers is stopped."""
        viewer = self.reading(None)
        self.origin.last.tap.deliver(bytes(1000))
        viewer.leave()
        self.assertEqual((self.origin.last.tap.stopped, self.held()), (1, 0))

    def test_two_answers(self) -> None:
        """Of a request that could not be given up and the one that took its place, the latter is kept."""
        late: Deferred[Opened] = Deferred()

        async def stubborn() -> Opened:
            try:
                return await self.origin.fetch()
            except CancelledError:
                return await late

        waiting = Deferred.fromCoroutine(self.cache.open(segment(1), PLAIN, Role.SEGMENT, LIFE, stubborn))
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        viewer = self.reading(6)
        stale = Asked()
        stale.answer(6)
        late.callback(self.successResultOf(stale.reply))
        self.assertEqual(stale.tap.stopped, 1)
        self.origin.last.tap.deliver(b"abcdef")
        self.origin.last.tap.finish()
        self.assertEqual((viewer.got, viewer.ends), (b"abcdef", [None]))
        self.assertEqual(self.drunk(), b"abcdef")

    def test_a_silent_fetch_is_not_joined(self) -> None:
        """Behind a fetch that has gone silent nobody queues up: the next viewer's request goes to the origin."""
        stuck = self.reading(10)
        self.origin.last.tap.deliver(b"abc")
        self.clock.advance(SILENCE + 1)
        self.keep(1, b"ABCDEFGHIJ")
        first = self.origin.asked[0].tap
        self.assertEqual((first.stopped, self.held()), (0, 13))
        first.deliver(b"defghij")
        first.finish()
        self.assertEqual((stuck.got, stuck.ends, self.held()), (b"abcdefghij", [None], 10))
        self.assertEqual(self.drunk(), b"ABCDEFGHIJ")


class KeepingTests(CacheTests):
    def test_a_time_to_live(self) -> None:
        """A segment is gone a while after it was whole, however often it is asked for."""
        self.keep(1, b"abc")
        self.clock.advance(LIFE - 1)
        self.assertEqual(self.drunk(), b"abc")
        self.clock.advance(1)
        self.assertEqual(self.held(), 0)
        self.keep(1, b"def")

    def test_the_longest_life(self) -> None:
        """Nothing is kept for longer than a bound, whatever a playlist says, and a key for much less."""
        for role, longest in ((Role.SEGMENT, MOST_LIFE), (Role.KEY, KEY_LIFE)):
            waiting = self.open(role=role, life=1e9)
            self.origin.last.answer_whole(b"0123456789abcdef")
            drink(self.successResultOf(waiting))
            self.clock.advance(longest - 1)
            self.assertEqual(self.held(), 16)
            self.clock.advance(1)
            self.assertEqual(self.held(), 0)

    def test_a_slow_reader_of_what_has_expired(self) -> None:
        """A viewer that has paused when a segment's time is up gets the rest of it."""
        waiting = self.open()
        tap = self.origin.last.answer(6)
        slow = drink(self.successResultOf(waiting), sip=1)
        tap.deliver(b"abc")
        tap.deliver(b"def")
        tap.finish()
        self.clock.advance(LIFE)
        self.assertEqual((self.held(), self.cache.figures.entries), (6, 1))
        slow.resume()
        self.assertEqual((slow.got, slow.ends), (b"abcdef", [None]))
        self.assertEqual((self.held(), self.cache.figures.entries), (0, 0))

    def test_the_least_recently_used_goes(self) -> None:
        """When there is no room, what was not asked for the longest goes first."""
        size = OF_SEGMENTS // 4
        for number in range(4):
            self.keep(number, bytes([number]) * size)
        self.drunk(0)
        self.keep(4, bytes([4]) * size)
        self.assertLessEqual(self.held(), OF_SEGMENTS)
        for number in (0, 2, 3, 4):
            self.assertEqual(self.drunk(number), bytes([number]) * size)
        self.keep(1, b"again")

    def test_too_big_to_keep(self) -> None:
        """What is too big to be kept is each viewer's own, with no word between the origin and the viewer."""
        waiting = [self.open() for _ in range(3)]
        self.origin.last.answer(BIGGEST + 1)
        opened = self.successResultOf(waiting[0])
        self.assertIs(opened.upstream, self.origin.asked[0].tap)
        self.assertEqual(len(self.origin.asked), 3)
        for waiter, asked in zip(waiting[1:], self.origin.asked[1:], strict=True):
            asked.answer(BIGGEST + 1)
            self.assertIs(self.successResultOf(waiter).upstream, asked.tap)
        figures = self.cache.figures
        self.assertEqual((figures.entries, figures.misses, figures.passed, figures.hits), (0, 1, 2, 0))

    def test_no_room(self) -> None:
        """While all the room is taken by what is being read, other segments are their viewers' own."""
        viewers = []
        for number in range(3):
            waiting = self.open(number)
            self.origin.last.answer(BIGGEST)
            viewers.append(drink(self.successResultOf(waiting)))
        waiting = self.open(3)
        self.origin.last.answer(BIGGEST)
        self.assertIs(self.successResultOf(waiting).upstream, self.origin.last.tap)
        self.keep(4, bytes(OF_SEGMENTS - 3 * BIGGEST))
        viewers[0].leave()
        self.keep(5, bytes(BIGGEST))

    def test_what_is_in_use_stays(self) -> None:
        """What viewers still read, or what is about to become whole, is not taken away to make room for others."""
        slow = []
        for number in range(2):
            waiting = self.open(number)
            self.origin.last.answer(BIGGEST)
            slow.append(drink(self.successResultOf(waiting)))
            slow[-1].pause()
            self.origin.last.tap.deliver(bytes(BIGGEST))
            self.origin.last.tap.finish()
        waiting = self.open(2)
        self.origin.last.answer(BIGGEST)
        gone = drink(self.successResultOf(waiting))
        self.origin.last.tap.deliver(bytes(BIGGEST - 1))
        gone.leave()
        waiting = self.open(3)
        self.origin.last.answer(BIGGEST)
        self.assertIs(self.successResultOf(waiting).upstream, self.origin.last.tap)
        self.assertEqual((self.cache.figures.entries, self.held()), (3, 3 * BIGGEST - 1))
        slow[0].resume()
        self.keep(4, bytes(BIGGEST))
        slow[1].resume()
        self.assertEqual([len(viewer.got) for viewer in slow], [BIGGEST] * 2)

    def test_it_turns_out_to_be_too_big(self) -> None:
        """A body without a length that grows too big reaches its viewers whole, but is dropped as they read it."""
        waiting = [self.open(), self.open()]
        tap = self.origin.last.answer()
        viewers = [drink(self.successResultOf(waiter)) for waiter in waiting]
        for number in range(100):
            tap.deliver(bytes([number]) * 50)
            self.assertLessEqual(self.held(), BIGGEST)
        self.assertEqual(self.held(), 0)
        self.assertNoResult(self.open().addErrback(lambda failure: None))
        tap.finish()
        whole = b"".join(bytes([number]) * 50 for number in range(100))
        self.assertEqual([(viewer.got, viewer.ends) for viewer in viewers], [(whole, [None])] * 2)

    def test_no_room_left_on_the_way(self) -> None:
        """A body without a length that finds no room any more is dropped as it is read; what was promised stays."""
        viewers = []
        for number in range(3):
            waiting = self.open(number)
            self.origin.last.answer(BIGGEST)
            viewers.append(drink(self.successResultOf(waiting)))
        waiting = self.open(3)
        tap = self.origin.last.answer()
        growing = drink(self.successResultOf(waiting))
        tap.deliver(bytes(OF_SEGMENTS - 3 * BIGGEST))
        self.assertEqual(self.cache.figures.entries, 4)
        tap.deliver(bytes(1))
        self.assertEqual(self.held(), 0)
        growing.leave()
        self.assertEqual((tap.stopped, self.cache.figures.entries), (1, 3))
        for viewer, asked in zip(viewers, self.origin.asked, strict=False):
            asked.tap.deliver(bytes(BIGGEST))
            asked.tap.finish()
            self.assertEqual((len(viewer.got), viewer.ends), (BIGGEST, [None]))
        self.assertEqual(self.held(), 3 * BIGGEST)

    def test_more_than_was_promised(self) -> None:
        """A body that goes on after its length is counted, and no good to those who come later."""
        waiting = self.open()
        tap = self.origin.last.answer(3)
        viewer = drink(self.successResultOf(waiting))
        tap.deliver(b"abcdef")
        tap.finish()
        self.assertIsInstance(viewer.ends[0], UpstreamError)
        self.assertEqual(self.held(), 0)

    def test_keys_are_few_and_small(self) -> None:
        """No more than so many keys are kept, and nothing that is too long for a key."""
        for number in range(MOST_KEYS + 10):
            waiting = self.open(number, role=Role.KEY)
            self.origin.last.answer_whole(bytes(16))
            drink(self.successResultOf(waiting))
        self.assertEqual(self.cache.figures.entries, MOST_KEYS)
        self.assertEqual(self.drunk(MOST_KEYS, role=Role.KEY), bytes(16))
        waiting = self.open(0, role=Role.KEY)
        self.origin.last.answer(MOST_KEY_SIZE + 1)
        self.assertIs(self.successResultOf(waiting).upstream, self.origin.last.tap)
        self.assertEqual(self.cache.figures.entries, MOST_KEYS)

    def test_clear(self) -> None:
        """When all is stopped, those who wait and those who read are told, and nothing is left."""
        waiting = self.open(1)
        self.keep(2, b"abc")
        reading = self.open(3)
        tap = self.origin.last.answer(6)
        viewer = drink(self.successResultOf(reading))
        self.cache.clear()
        self.assertEqual(self.failureResultOf(waiting, UpstreamError).value.status, 503)
        self.assertIsInstance(viewer.ends[0], UpstreamError)
        self.assertEqual(tap.stopped, 1)
        self.assertTrue(self.origin.asked[0].cancelled)

    def test_cleared_while_they_are_told(self) -> None:
        """One who is told first may stop everything; the next gets an error, and the origin is left."""
        first, second = self.open(), self.open()
        first.addCallback(lambda opened: self.cache.clear())
        self.origin.last.answer(6)
        viewer = drink(self.successResultOf(second))
        self.assertIsInstance(viewer.ends[0], UpstreamError)
        self.assertGreater(self.origin.last.tap.stopped, 0)


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
