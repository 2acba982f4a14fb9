"""
Cuts a ring's packets into segments.

A segment ends at the first join point at or after the target. Beside join points only those packets are looked at
that start a PES packet of the stream that the join points are of: their PTS tell how long the segment is by now, and
whether the clock has jumped. Where no join point comes in time, and where the clock jumps, a segment ends before such
a packet; what follows may not be decodable alone, and ends at the next join point.

What is left of a source before another takes over may be so little that no sound is whole in it, and a player would
find a hole in the sound. It is left out: the segments before it are in playlists already, and cannot take it in.

The target duration that a playlist announces may never change. It is chosen with the first segment, so that segments
fit that end at join points as far apart as those that were seen; one that would not fit later ends early.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from time import perf_counter

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from iptvd.delivery.pieces import Filling, Segment, carried_on, pid_at, say_the_same, split, trim
from iptvd.delivery.ring import Block, JoinPoint, Ring
from iptvd.protocols.mpegts import PACKET
from iptvd.protocols.timestamps import TICKS, elapsed, pes_pts

#: A target duration is between so many targets.
LEAST = 2
LONGEST = 3
#: Part of a target that a short segment has at least.
SHORT = 0.4
#: Seconds by which a segment may exceed a target duration, as what counts is its duration when rounded.
_ROUNDED = 0.49
#: Seconds of media below which what comes before a discontinuity is no segment.
_LEFTOVER = 0.4
#: Seconds of looking at blocks in one turn of the reactor.
_SLICE = 0.005


@lru_cache(maxsize=32)
def _starts(high: int) -> bytes:
    """Marks the second bytes of packets that start a PES packet on a PID with these high bits."""
    return bytes(byte & 0xDF == 0x40 | high for byte in range(256))


def _pts_at(data: bytes, at: int) -> int | None:
    start = at + 5 + data[at + 4] if data[at + 3] & 0x20 else at + 4
    return pes_pts(data, start, at + PACKET)


class Cutter:
    """
    Cuts one ring from its oldest join point on; have `look` called when there is more in the ring.

    What is in the ring is gone through in turns of a few milliseconds.

    :param target: seconds, more than 0.
    :param sequence: the number of the first segment.
    :param largest: bytes that a segment has at most, wherever it ends for that; no block of the ring has more.
    :param cut: gets what was cut, in order, each time there is nothing left to look at.
    """

    def __init__(
        self,
        ring: Ring,
        clock: IReactorTime,
        wall: Callable[[], float],
        target: float,
        sequence: int,
        largest: int,
        cut: Callable[[list[Segment]], None],
    ) -> None:
        self._ring = ring
        self._clock = clock
        self._wall = wall
        self._target = target * TICKS
        # Ticks after which a segment ends at the next join point.
        self._enough = self._target
        self._sequence = sequence
        self._largest = largest
        self._cut_ready = cut
        self._least = math.ceil(LEAST * target)
        self._longest = math.ceil(LONGEST * target)
        self._chosen: int | None = None
        self._open: Filling | None = None
        self._number = ring.first
        self._joins: deque[JoinPoint] = deque()
        self._newest: JoinPoint | None = None
        # Ticks between join points, at most.
        self._gap = 0
        self._broken_at: int | None = None
        # When what follows the last segment is to begin, in seconds since the epoch.
        self._due = 0.0
        self._ready: list[Segment] = []
        self._turn: IDelayedCall | None = None
        self._over = False

    @property
    def target_duration(self) -> int:
        """Seconds that no segment exceeds when rounded; from the first segment on it stays what it is."""
        return self._longest if self._chosen is None else self._chosen

    @property
    def pending(self) -> int:
        """Bytes of what is cut but not given out, and of what is still to be cut."""
        opened = self._open.end - self._open.start if self._open is not None else 0
        return opened + sum(segment.size for segment in self._ready)

    @property
    def due(self) -> float | None:
        """When the next segment is to be expected, by the clock; None while there is nothing to cut."""
        opened = self._open
        return None if opened is None else opened.time + max(self._enough, self._gap) / TICKS

    def shorten(self, short: bool) -> None:
        """Whether to cut at join points that come earlier than the target from now on, see `SHORT`."""
        self._enough = SHORT * self._target if short else self._target

    def break_here(self) -> None:
        """What comes into the ring from now on does not carry on what was before."""
        if self._broken_at is None:
            self._broken_at = self._ring.end

    def look(self) -> None:
        """See what is new in the ring."""
        if self._over:
            return
        new: list[JoinPoint] = []
        for join in reversed(self._ring.joins):
            if self._newest is not None and join.offset <= self._newest.offset:
                break
            new.append(join)
        for join in reversed(new):
            self._measure(join)
            self._joins.append(join)
        if self._turn is None:
            self._go_on()

    def close(self) -> None:
        """Let go of everything."""
        self._over = True
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._open = None
        self._ready.clear()
        self._joins.clear()

    # From block to block

    def _measure(self, join: JoinPoint) -> None:
        before, self._newest = self._newest, join
        if before is not None and before.pts is not None and join.pts is not None:
            self._gap = max(self._gap, elapsed(before.pts, join.pts))

    def _go_on(self) -> None:
        self._turn = None
        begun = perf_counter()
        while self._number < self._ring.next:
            block = self._ring.block(self._number)
            if block is None:
                self._miss()
                continue
            self._take(block)
            self._number += 1
            if self._number < self._ring.next and perf_counter() - begun > _SLICE:
                self._turn = self._clock.callLater(0, self._go_on)
                return
        if self._ready:
            ready, self._ready = self._ready, []
            self._cut_ready(ready)

    def _miss(self) -> None:
        """The ring has let go of what would come next."""
        self._number = self._ring.first
        if self._open is not None:
            self._end(self._open, None, self._clock.seconds())
            self._open = None

    def _take(self, block: Block) -> None:
        at, end = block.offset, block.offset + len(block.data)
        opened = self._open
        if opened is not None:
            if len(opened.tables) + end - opened.start > self._largest:
                opened = self._cut(opened, at, None, block.time)
            opened.pieces.append((block.data, 0, len(block.data)))
            opened.end = end
        while self._joins and self._joins[0].offset < end:
            join = self._joins.popleft()
            self._frames(block, at, join.offset)
            self._join(join)
            at = max(at, join.offset + PACKET)
        self._frames(block, at, end)

    def _frames(self, block: Block, begin: int, end: int) -> None:
        """Go over the frames that begin in a block between two offsets."""
        opened = self._open
        if opened is None:
            return
        data, low, first = block.data, opened.pid & 0xFF, begin - block.offset
        marks = data[first + 1 : max(first, end - block.offset) : PACKET].translate(_starts(opened.pid >> 8))
        found = marks.find(1)
        while found >= 0:
            at = first + found * PACKET
            pts = _pts_at(data, at) if data[at + 2] == low else None
            if pts is not None:
                jumps = opened.jumps(pts)
                if jumps or opened.elapsed(pts, block.time) >= self.target_duration * TICKS:
                    opened = self._cut(opened, block.offset + at, pts, block.time, discontinuity=jumps)
                opened.note(pts)
            found = marks.find(1, found + 1)

    def _join(self, join: JoinPoint) -> None:
        opened = self._open
        if opened is None:
            self._begin(join)
            return
        broken_at, other = self._broken_at, not say_the_same(join.tables, opened.tables)
        if broken_at is not None and broken_at <= join.offset:
            self._broken_at, other = None, True
        else:
            broken_at = None
        if join.offset == opened.start:
            # It was cut here before it was known that a decoder can begin here.
            opened.independent = True
            opened.tables = join.tables
            opened.discontinuity = opened.discontinuity or other
        elif join.offset > opened.start:
            other = other or opened.jumps(join.pts)
            if other or not opened.independent or opened.elapsed(join.pts, join.time) >= self._enough:
                opened = self._cut(opened, join.offset, join.pts, join.time, join.tables, other, broken_at)
                opened.note(join.pts)
            elif join.number == self._number:
                opened.note(join.pts)

    # Beginnings and ends

    def _date(self, time: float) -> float:
        """When that was, in seconds since the epoch, but not before what was cut already ends."""
        return max(self._wall() - (self._clock.seconds() - time), self._due)

    def _begin(self, join: JoinPoint) -> None:
        """Begin with a join point, in the block at hand or before it."""
        if join.number < self._ring.first:
            return
        blocks = self._ring.after(join.number, self._number + 1 - join.number)
        first, last = blocks[0], blocks[-1]
        self._open = Filling(
            start=join.offset,
            end=last.offset + len(last.data),
            pieces=[(block.data, 0, len(block.data)) for block in blocks],
            tables=join.tables,
            pid=pid_at(first.data, join.place),
            time=join.time,
            date=self._date(join.time),
            independent=True,
            discontinuity=self._due > 0.0,
        )
        self._open.pieces[0] = (first.data, join.place, len(first.data))
        self._open.note(join.pts)

    def _cut(
        self,
        former: Filling,
        offset: int,
        pts: int | None,
        time: float,
        tables: bytes = b"",
        discontinuity: bool = False,
        broken_at: int | None = None,
    ) -> Filling:
        """
        End a segment before an offset and begin one there.

        :param pts: of the frame there, None when it is not known.
        :param tables: those in force there, where it is a join point.
        :param broken_at: from where on what is before it belongs to neither.
        """
        pieces = split(former.pieces, former.end, offset)
        end, former.end = former.end, offset
        if broken_at is not None and broken_at > former.start:
            split(former.pieces, offset, broken_at)
            former.end = broken_at
        if discontinuity and tables:
            # A player that meets other tables at the end of a segment would look for what they name in it.
            former.end -= trim(former.pieces, tables)
        if not discontinuity or former.seconds(None, time) >= _LEFTOVER:
            self._choose(former)
            self._end(former, None if discontinuity else pts, time)
        self._open = opened = Filling(
            start=offset,
            end=end,
            pieces=pieces,
            tables=tables or carried_on(former.tables, former.pieces),
            pid=pid_at(*pieces[0][:2]) if tables else former.pid,
            time=time,
            date=self._date(time) if discontinuity else self._due,
            independent=bool(tables),
            discontinuity=discontinuity and self._due > 0.0,
            last=None if discontinuity else former.last,
        )
        return opened

    def _choose(self, first: Filling) -> None:
        """Choose the target duration with the first segment."""
        if self._chosen is None:
            needed = max(self._target + self._gap, first.span) / TICKS
            self._chosen = min(max(self._least, math.ceil(needed)), self._longest)

    def _end(self, opened: Filling, following: int | None, time: float) -> None:
        duration = min(max(opened.seconds(following, time), 0.001), self.target_duration + _ROUNDED)
        self._due = opened.date + duration
        size = len(opened.tables) + opened.end - opened.start
        self._ready.append(
            Segment(
                self._sequence,
                duration,
                opened.date,
                opened.discontinuity,
                opened.independent,
                size,
                opened.tables,
                tuple(opened.pieces),
            )
        )
        self._sequence += 1
