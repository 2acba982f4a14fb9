"""What the segment cache keeps: for how long, how much of it, and what has to go."""

from __future__ import annotations

from iptvd.delivery.segments import KEY_LIFE, MOST_KEY_SIZE, MOST_KEYS, MOST_LIFE
from iptvd.errors import UpstreamError
from iptvd.protocols.m3u8 import Role
from tests.delivery.caching import BIGGEST, LIFE, OF_SEGMENTS, CacheTests, segment
from tests.delivery.origins import drink


class KeepingTests(CacheTests):
    def test_a_time_to_live(self) -> None:
        """A segment is gone a while after it was whole, however often it is asked for."""
        self.keep(1, b"abc")
        self.clock.advance(LIFE - 1)
        self.assertEqual(self.drunk(), b"abc")
        self.clock.advance(1)
        self.assertEqual(self.held(), 0)
        self.keep(1, b"def")

    def renew(self, *numbers: int, again: tuple[int, ...] = (), life: float = LIFE) -> None:
        """A version of a playlist that names these has come."""
        named = [(segment(number), Role.SEGMENT) for number in numbers]
        self.cache.renew(named, [segment(number) for number in again], life)

    def test_as_long_as_it_is_named(self) -> None:
        """A segment is there as long as its playlist names it, and gone when no player can know of it any more."""
        self.keep(1, b"abc")
        for _ in range(5):
            self.clock.advance(LIFE - 1)
            self.renew(1, 2)
        self.clock.advance(1)
        self.renew(2, 3)
        self.clock.advance(LIFE - 2)
        self.assertEqual(self.drunk(), b"abc")
        self.clock.advance(1)
        self.assertEqual((self.held(), self.clock.getDelayedCalls()), (0, []))

    def test_named_before_it_is_whole(self) -> None:
        """What a playlist names while it is on its way is kept at least as long, and a shorter time takes nothing."""
        waiting = self.open(life=1.0)
        tap = self.origin.last.answer(3)
        drink(self.successResultOf(waiting))
        self.renew(1)
        self.clock.advance(LIFE / 2)
        tap.deliver(b"abc")
        tap.finish()
        self.renew(1, life=0.1)
        self.clock.advance(LIFE / 2 - 0.1)
        self.assertEqual(self.drunk(), b"abc")
        self.clock.advance(0.1)
        self.assertEqual(self.held(), 0)

    def test_not_for_ever(self) -> None:
        """A playlist that never changes keeps nothing for longer than the bound."""
        self.keep(1, b"abc")
        for _ in range(int(MOST_LIFE / LIFE)):
            self.clock.advance(LIFE)
            self.renew(1)
        self.assertEqual(self.held(), 0)

    def test_another_under_the_same_name(self) -> None:
        """An origin that uses a name again has the new one fetched, at once; who reads the old one reads on."""
        reader = self.begun(size=6)
        tap = self.origin.last.tap
        tap.deliver(b"abc")
        self.renew(1, again=(1, 2))
        self.keep(1, b"ABCDEF")
        tap.deliver(b"def")
        tap.finish()
        self.assertEqual((reader.got, reader.ends, self.held()), (b"abcdef", [None], 6))
        self.assertEqual(self.drunk(), b"ABCDEF")

    def test_keys_are_renewed(self) -> None:
        """A key that is still named is kept, within its own bound; what is never shared is no matter."""
        waiting = self.open(role=Role.KEY, life=3.0)
        self.origin.last.answer_whole(bytes(16))
        drink(self.successResultOf(waiting))
        for _ in range(int(KEY_LIFE / 2) - 1):
            self.clock.advance(2)
            self.cache.renew([(segment(1), Role.KEY), (segment(1), Role.PLAYLIST)], [], 3.0)
            self.drunk(role=Role.KEY)
        self.clock.advance(3)
        self.assertEqual(self.held(), 0)

    def test_lent(self) -> None:
        """What is being sent counts, and is not taken away, until it has been sent."""
        self.keep(1, bytes(BIGGEST))
        found = self.cache.whole(segment(1), Role.SEGMENT)
        assert found is not None
        give_back = [found.body.lend() for _ in range(2)]
        self.clock.advance(LIFE)
        self.assertIsNone(self.cache.whole(segment(1), Role.SEGMENT))
        for number in range(2, 10):
            self.keep(number, bytes(BIGGEST))
            self.assertLessEqual(self.held(), OF_SEGMENTS)
        self.assertEqual(b"".join(found.body.blocks), bytes(BIGGEST))
        before = self.held()
        give_back[0]()
        self.assertEqual(self.held(), before)
        give_back[1]()
        self.assertEqual(self.held(), before - BIGGEST)

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
        viewers = [self.begun(number) for number in range(3)]
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
            slow.append(self.begun(number))
            slow[-1].pause()
            self.origin.last.tap.deliver(bytes(BIGGEST))
            self.origin.last.tap.finish()
        gone = self.begun(2)
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
        viewers = [self.begun(number) for number in range(3)]
        growing = self.begun(3, None)
        tap = self.origin.last.tap
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
        viewer = self.begun(size=3)
        tap = self.origin.last.tap
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
