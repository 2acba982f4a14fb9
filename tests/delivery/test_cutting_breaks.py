"""Cutting a ring where what comes does not carry on what was before."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery import cutting as module
from iptvd.delivery.ring import JoinPoint
from iptvd.protocols.joins import Follower
from iptvd.protocols.mpegts import PACKET, null_packets
from tests.delivery.test_cutting import Cut, moved, whole
from tests.protocols.tsmaking import (
    FILM,
    VIDEO_PID,
    TsWriter,
    blocks,
    made_film,
    pes,
)


class BreakTests(SynchronousTestCase):
    def test_a_jump_before_a_join_point(self) -> None:
        """Where the clock jumps between join points a segment ends, and what follows ends at the next join point."""
        writer = TsWriter()
        one = Cut()
        pictures = [
            writer.packets(
                VIDEO_PID,
                pes(b"x" * 20, pts=moved(number / 25 + (1000 if number >= 80 else 0))),
                rai=number % 25 == 0,
                pcr=number,
            )
            for number in range(200)
        ]
        one.feed([writer.tables(), *pictures])
        self.assertEqual(one.durations, [2.0, 1.2, 0.8, 2.0])
        self.assertEqual(one.breaks, [False, False, True, False])
        self.assertEqual(one.independent, [True, True, False, True])

    def test_a_jump_at_a_join_point(self) -> None:
        """A clock that jumps with a join point, back or forth, ends a segment at once."""
        for jump in (-60.0, 60.0):
            one = Cut()
            one.feed(blocks(made_film(5, first_pts=moved(100.0)) + made_film(5, first_pts=moved(100.0 + jump)), [30]))
            self.assertEqual(one.durations, [2.0, 2.0, 1.0, 2.0, 2.0])
            self.assertEqual(one.breaks, [False, False, False, True, False])
            self.assertEqual(one.independent, [True] * 5)
            dates = [segment.date for segment in one.segments]
            self.assertEqual(dates, sorted(dates))

    def test_other_tables(self) -> None:
        """Where the programme is made of something else, a segment ends, and has nothing of the new tables in it."""
        other = type(FILM)(1, 0x200, (type(FILM.streams[0])(0x200, 0x1B), FILM.streams[1]))
        one = Cut()
        one.feed(blocks(made_film(5) + made_film(5, program_map=other, first_pts=moved(5.0)), [30]))
        self.assertEqual(one.durations, [2.0, 2.0, 1.0, 2.0, 2.0])
        self.assertEqual(one.breaks, [False, False, False, True, False])
        follower = Follower()
        follower.scan(whole(one.segments[2]))
        self.assertEqual(follower.revision, 2)

    def test_what_is_said_to_break(self) -> None:
        """What does not carry on begins with a join point; what came in between is in neither segment."""
        one = Cut()
        one.feed(blocks(made_film(3), [30]))
        one.cutter.break_here()
        one.cutter.break_here()
        one.feed([null_packets(2), *blocks(made_film(5, first_pts=moved(3.2)), [30])])
        self.assertEqual(one.durations[:3], [2.0, 1.0, 2.0])
        self.assertEqual(one.breaks, [False, False, True, False])
        self.assertFalse(whole(one.segments[1]).endswith(null_packets(1)))

    def test_little_is_left(self) -> None:
        """Too little for any sound to be whole in it, before what does not carry on, is left out and has no number."""
        film, pictures = made_film(3), 4 * PACKET
        for seconds, expected in ((2.3, [2.0, 2.0, 2.0]), (0.3, [2.0, 2.0]), (2.5, [2.0, 0.5, 2.0, 2.0])):
            one = Cut()
            begin = blocks(film[: round(len(film) * seconds / 3) // PACKET * PACKET], [pictures // PACKET])
            one.feed(begin)
            one.cutter.break_here()
            one.feed(blocks(made_film(5, first_pts=moved(100.0)), [30]))
            self.assertEqual([round(duration, 1) for duration in one.durations], expected)
            self.assertEqual([segment.sequence for segment in one.segments], list(range(7, 7 + len(expected))))
            # Where nothing was before there is nothing that is not carried on.
            self.assertEqual(one.breaks, [False, True, False] if seconds == 2.3 else one.breaks)
            self.assertEqual(sum(one.breaks), 0 if seconds < 1 else 1)
            dates = [segment.date for segment in one.segments]
            self.assertEqual(dates, sorted(dates))

    def test_a_break_just_where_a_segment_began(self) -> None:
        """A break is not forgotten where a segment began just then."""
        one = Cut()
        film = made_film(2)
        one.feed([film])
        one.cutter.break_here()
        one.feed(blocks(made_film(5, first_pts=moved(2.0)), [30]))
        self.assertEqual(one.breaks[:2], [False, True])

    def test_what_the_ring_has_let_go_of(self) -> None:
        """One that falls off the ring goes on with what is there, after a discontinuity."""
        self.patch(module, "_SLICE", 60.0)
        one = Cut(span=3.0)
        film = list(blocks(made_film(20), [12]))
        one.feed(film[:100])
        one.fill(film[100:300])
        one.feed(film[300:])
        self.assertTrue(any(one.breaks))
        self.assertTrue(all(one.independent))
        self.assertTrue(all(0 < duration <= 4.0 for duration in one.durations))

    def test_a_ring_that_is_emptied(self) -> None:
        """When the ring is emptied before all of it was looked at, what was being filled ends there."""
        one = Cut()
        one.fill(blocks(made_film(3), [30]))
        self.patch(module, "_SLICE", -1.0)
        one.cutter.look()
        one.ring.clear()
        one.clock.advance(0)
        self.assertEqual((len(one.segments), one.cutter.pending), (1, 0))

    def test_a_join_point_that_has_left(self) -> None:
        """A join point that is understood when it has left the ring begins nothing."""
        one = Cut(span=1.0)
        one.feed([null_packets(1)] * 3, 0.1)
        late = JoinPoint(0, 0, 0, 0.0, TsWriter().tables())
        one.clock.advance(2.0)
        one.ring.append(null_packets(1), one.clock.seconds())
        one.ring.joins.append(late)
        one.cutter.look()
        self.assertEqual(one.cutter.pending, 0)
