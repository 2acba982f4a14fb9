"""Cutting a ring into segments."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery import cutting as module
from iptvd.delivery.cutting import Cutter
from iptvd.delivery.pieces import Segment
from iptvd.delivery.ring import Budget, Ring
from iptvd.protocols.joins import Follower
from iptvd.protocols.mpegts import PACKET, null_packets
from iptvd.protocols.timestamps import TICKS, WRAP
from tests.protocols.tsmaking import (
    AUDIO_PID,
    PMT_PID,
    SOUND,
    VIDEO_PID,
    TsWriter,
    blocks,
    continuity_errors,
    made_film,
    pes,
    scrambled,
    without_rai,
)

EPOCH = 1000.0
#: Pictures of H.264, so far as it takes to tell which can begin.
KEY = b"\0\0\1\x67" + b"\x80" * 400
OTHER = b"\0\0\1\x41\x9a" + b"\x80" * 20
LARGE = 10**9


class Cut:
    """A ring that is cut as it fills."""

    def __init__(self, *, target: float = 2.0, span: float = 1e6, largest: int = LARGE) -> None:
        self.clock = Clock()
        self.ring = Ring(span, Budget(LARGE))
        self.follower = Follower()
        self.segments: list[Segment] = []
        self.settings = target, largest
        self.cutter = self.new()

    def new(self) -> Cutter:
        """One more that cuts it, from what is there on."""
        target, largest = self.settings
        return Cutter(
            self.ring,
            self.clock,
            lambda: EPOCH + self.clock.seconds(),
            target,
            7,
            largest,
            self.segments.extend,
        )

    def fill(self, data: Iterable[bytes], step: float = 0.04) -> None:
        """Let blocks come, so many seconds after each other, without a look at them."""
        for block in data:
            self.clock.advance(step)
            taken = self.ring.append(block, self.clock.seconds())
            for join in self.follower.scan(block):
                self.ring.join_at(taken.offset + join.offset, join.tables, join.pts)

    def feed(self, data: Iterable[bytes], step: float = 0.04) -> None:
        """Let blocks come, and look at each."""
        for block in data:
            self.fill([block], step)
            self.cutter.look()

    @property
    def durations(self) -> list[float]:
        return [round(segment.duration, 2) for segment in self.segments]

    @property
    def breaks(self) -> list[bool]:
        return [segment.discontinuity for segment in self.segments]

    @property
    def independent(self) -> list[bool]:
        return [segment.independent for segment in self.segments]

    @property
    def media(self) -> bytes:
        """What the segments are made of, without the tables that were put before it."""
        return b"".join(b"".join(list(segment)[1:]) for segment in self.segments)


def whole(segment: Segment) -> bytes:
    return b"".join(segment)


def moved(seconds: float) -> int:
    return 126_000 + round(seconds * TICKS)


class SegmentTests(SynchronousTestCase):
    @given(st.lists(st.integers(1, 400), min_size=1, max_size=5), st.booleans(), st.integers(0, 2))
    def test_however_it_comes(self, sizes: list[int], marked: bool, wraps: int) -> None:
        """However a stream is cut into blocks, marked or not, wrapping or not, its segments are the same."""
        film = made_film(9, first_pts=(WRAP - TICKS * 3 * wraps) % WRAP)
        film = film if marked else without_rai(film)
        one = Cut()
        one.feed(blocks(film, sizes), 0.0)
        self.assertEqual(one.durations, [2.0] * 4)
        self.assertEqual([segment.sequence for segment in one.segments], [7, 8, 9, 10])
        self.assertEqual((one.breaks, one.independent), ([False] * 4, [True] * 4))
        self.assertEqual(one.cutter.target_duration, 4)
        # The first join point comes after the two packets of its tables, and each one starts its segment.
        self.assertEqual(one.media, film[2 * PACKET :][: len(one.media)])
        for segment in one.segments:
            tables, first = list(segment)[:2]
            self.assertEqual(continuity_errors(bytes(tables) + bytes(first[:PACKET])), [])
            self.assertEqual(
                (whole(segment)[2 * PACKET + 1] & 0x40, segment.date), (0x40, EPOCH + 2 * (segment.sequence - 7))
            )

    def test_from_what_is_there(self) -> None:
        """What was in the ring already is cut like what comes, in turns that leave the reactor its time."""
        one = Cut()
        one.fill(blocks(made_film(9), [20]))
        self.patch(module, "_SLICE", -1.0)
        one.cutter.look()
        turns = 1
        while one.clock.calls:
            self.assertEqual(one.segments, [])
            one.cutter.look()
            turn = one.clock.calls.pop()
            turn.called = True
            turn.func()
            turns += 1
        self.assertEqual(turns, one.ring.next)
        self.assertEqual(one.durations, [2.0] * 4)

    def test_the_target(self) -> None:
        """A segment ends at the first join point at or after the target."""
        for target, expected, announced in ((1.0, 1.0, 2), (1.5, 2.0, 3), (2.5, 3.0, 5), (3.0, 3.0, 6)):
            one = Cut(target=target)
            one.feed(blocks(made_film(10), [50]))
            self.assertEqual(set(one.durations), {expected})
            self.assertEqual(one.cutter.target_duration, announced)

    def test_short(self) -> None:
        """Short segments end at the first join point at or after a part of the target, while they are to be short."""
        film = list(blocks(made_film(20), [50]))
        for target, short in ((1.0, 1.0), (2.0, 1.0), (3.0, 2.0)):
            one = Cut(target=target)
            one.cutter.shorten(True)
            one.feed(film[: len(film) // 2])
            self.assertEqual(set(one.durations), {short})
            count = len(one.durations)
            one.cutter.shorten(False)
            one.feed(film[len(film) // 2 :])
            self.assertEqual(set(one.durations[count + 1 :]), {target})
            self.assertEqual(one.cutter.target_duration, 2 * target)

    def test_due(self) -> None:
        """The next segment is expected when it is as long as it has to be, or as join points have been apart."""
        pictures = len(made_film(1)) // PACKET // 25
        one = Cut()
        self.assertIsNone(one.cutter.due)
        one.cutter.shorten(True)
        film = list(blocks(made_film(9), [pictures]))
        expected = []
        for block in film:
            due, count = one.cutter.due, len(one.segments)
            one.feed([block])
            if len(one.segments) > count and due is not None:
                expected.append(one.clock.seconds() - due)
        self.assertGreaterEqual(len(expected), 5)
        # Before a second join point was seen it is not known how far they are apart.
        self.assertLess(max(map(abs, expected[1:])), 0.1)

    def test_sound_alone(self) -> None:
        """Sound is cut at any of its PES packets."""
        writer = TsWriter()
        made = writer.tables(SOUND)
        for number in range(100):
            sound = pes(b"\xff\xf1" * 100, pts=number * TICKS * 3 // 10, stream_id=0xC0)
            made += writer.packets(AUDIO_PID, sound, pcr=number)
        one = Cut()
        one.feed(blocks(made, [1]))
        self.assertEqual(set(one.durations), {2.1})
        self.assertEqual(one.cutter.target_duration, 4)

    def test_other_packets(self) -> None:
        """Nothing but the stream of the join points tells the time, and null packets do no harm."""
        film = made_film(5)
        one = Cut()
        one.feed([null_packets(3), *blocks(film, [100]), null_packets(1000)])
        self.assertEqual(one.durations, [2.0, 2.0])

    def test_scrambled(self) -> None:
        """A scrambled stream that marks its join points is cut by when it comes."""
        one = Cut()
        pictures = len(made_film(1)) // PACKET // 25
        one.feed(blocks(scrambled(made_film(9), VIDEO_PID), [pictures]))
        self.assertTrue(all(2.0 <= duration < 2.2 for duration in one.durations[:-1]), one.durations)


class LongTests(SynchronousTestCase):
    """Join points that are too far apart."""

    def film(self, seconds: int, every: int, writer: TsWriter | None = None, first: float = 0.0) -> bytes:
        """A key picture every so many seconds."""
        writer = writer or TsWriter()
        made = []
        for number in range(seconds * 25):
            if number % 25 == 0:
                made.append(writer.tables())
            pts = moved(first) + number * TICKS // 25
            made.append(
                writer.packets(VIDEO_PID, pes(b"x" * 500, pts=pts), rai=number % (every * 25) == 0, pcr=pts * 300)
            )
        return b"".join(made)

    def test_a_segment_ends_without_a_join_point(self) -> None:
        """With none within three targets a segment ends before another picture; the next ends at the join point."""
        one = Cut()
        film = self.film(31, 10)
        one.feed(blocks(film, [3]))
        self.assertEqual(one.durations, [6.0, 4.0, 6.0, 4.0, 6.0, 4.0])
        self.assertEqual(one.independent, [True, False] * 3)
        self.assertEqual(one.breaks, [False] * 6)
        self.assertEqual(one.cutter.target_duration, 6)
        self.assertEqual(one.media, film[2 * PACKET :][: len(one.media)])
        for segment in one.segments:
            self.assertEqual(whole(segment)[2 * PACKET + 1], 0x41)
            # The tables repeat the counters of those that came last.
            following = whole(segment)[2 * PACKET :]
            self.assertEqual(continuity_errors(whole(segment)[: 2 * PACKET] + following), [])

    def test_the_target_duration_stays(self) -> None:
        """What was announced while join points came often holds when they do not any more."""
        writer = TsWriter()
        one = Cut()
        one.feed(blocks(self.film(10, 1, writer) + self.film(21, 10, writer, 10.0), [3]))
        self.assertEqual(one.durations[:5], [2.0] * 5)
        self.assertEqual(one.durations[5:], [4.0, 4.0, 2.0] * 2)
        self.assertEqual(one.cutter.target_duration, 4)

    def test_join_points_seen_before(self) -> None:
        """Join points further apart than the target make for a longer target duration, so that they suffice."""
        one = Cut()
        one.feed(blocks(self.film(16, 3), [3]))
        self.assertEqual((one.durations, one.cutter.target_duration), ([3.0] * 5, 5))
        self.assertEqual(one.independent, [True] * 5)

    def test_a_join_point_understood_late(self) -> None:
        """A picture that shows only when more of it has come that it can begin a segment begins one all the same."""
        # In front of the limit, past it, and before the target; what comes late is in the second packet.
        for number, expected in ((20, [5.0, 5.0]), (24, [6.0, 4.0]), (4, [6.0, 0.5, 3.5])):
            writer = TsWriter()
            parts = [writer.tables()]
            for count in range(41):
                data = KEY if count in (0, 26, 40) else b"\x80" * 200 + KEY if count == number else OTHER
                made = writer.packets(VIDEO_PID, pes(data, pts=moved(count / 4)), pcr=count)
                parts += [made[:PACKET], made[PACKET:]] if count == number else [made]
            one = Cut()
            one.feed(parts)
            self.assertEqual(one.durations, expected)
            self.assertEqual(one.independent, [duration != 0.5 for duration in expected])

    def test_a_late_join_point_in_what_is_cut_already(self) -> None:
        """A join point in a segment that had to end meanwhile because it was too large changes nothing any more."""
        writer = TsWriter()
        late = writer.packets(VIDEO_PID, pes(b"\x80" * 200 + KEY, pts=moved(1.0)), pcr=1)
        first = writer.tables() + writer.packets(VIDEO_PID, pes(KEY * 10, pts=moved(0.0)), pcr=0)
        middle = null_packets(10) + late[:PACKET]
        one = Cut(largest=len(first + middle))
        one.feed([first, middle, late[PACKET:]])
        self.assertEqual(len(one.segments), 1)
        self.assertEqual(one.cutter.pending, len(late) - PACKET)

    def test_bytes_without_end(self) -> None:
        """A segment ends wherever it is when it has become too large."""
        one = Cut(largest=100_000)
        film = made_film(20, picture_size=20_000)
        one.feed(blocks(film, [10]), 20.0 * 10 * PACKET / len(film))
        self.assertTrue(all(segment.size <= 100_000 for segment in one.segments))
        self.assertLessEqual(one.cutter.pending, 100_000)
        self.assertLess(abs(sum(segment.duration for segment in one.segments) - 20.0), 1.0)
        self.assertEqual(continuity_errors(one.media), [])


class EndTests(SynchronousTestCase):
    def test_off_the_ring_before_it_began(self) -> None:
        """One that falls off the ring before it found anything begins where it can."""
        one = Cut(span=1.0)
        one.fill([null_packets(5)] * 40)
        one.feed(blocks(made_film(5), [12]))
        self.assertEqual((one.durations, one.breaks), ([2.0, 2.0], [False, False]))

    @given(st.integers(0, 200), st.booleans())
    def test_closed_at_any_moment(self, count: int, late: bool) -> None:
        """Closed at any moment, it holds nothing, waits for nothing and gives nothing out any more."""
        one = Cut()
        film = list(blocks(made_film(5), [5]))
        (one.fill if late else one.feed)(film[:count])
        one.cutter.look()
        one.cutter.close()
        before = len(one.segments)
        self.assertEqual((one.cutter.pending, one.clock.getDelayedCalls()), (0, []))
        one.feed(film[count:])
        self.assertEqual(len(one.segments), before)

    def test_closed_between_turns(self) -> None:
        """Closed while it goes through what was there, it leaves no turn behind."""
        one = Cut()
        one.fill(blocks(made_film(5), [5]))
        self.patch(module, "_SLICE", -1.0)
        one.cutter.look()
        self.assertEqual(len(one.clock.getDelayedCalls()), 1)
        one.cutter.close()
        self.assertEqual(one.clock.getDelayedCalls(), [])

    def test_tables_on_other_pids(self) -> None:
        """A programme whose map is on another PID is cut the same."""
        one = Cut()
        one.feed(blocks(made_film(5, pmt_pid=PMT_PID + 1), [30]))
        self.assertEqual(one.durations, [2.0, 2.0])
