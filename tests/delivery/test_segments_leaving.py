"""Viewers who leave, and what becomes of what was being fetched for them."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from iptvd.delivery.opening import Ask, Opened
from iptvd.delivery.shelf import FINISH, SILENCE
from iptvd.errors import UpstreamError
from iptvd.protocols.m3u8 import Role
from tests.delivery.caching import BIGGEST, PLAIN, CacheTests, segment
from tests.delivery.origins import Asked, Drinker, drink


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
            waiting = Deferred.fromCoroutine(self.cache.open(segment(1), Ask(), Role.SEGMENT, self.terms(), fetch))
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

        waiting = Deferred.fromCoroutine(self.cache.open(segment(1), PLAIN, Role.SEGMENT, self.terms(), stubborn))
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
