"""Segments as slices of the blocks they lie in: nothing is copied, and the blocks live as long as the segments do."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define, field, frozen

from iptvd.protocols.mpegts import NULL_PID, PACKET
from iptvd.protocols.timestamps import TICKS, elapsed

#: Whole packets: some bytes, and from where to where in them.
Piece = tuple[bytes, int, int]

# A clock that goes on by more ticks than this, or back, from one frame to the next has jumped.
_JUMP = TICKS
# Seconds of a single frame.
_FRAME = 0.04
_NO_COUNTERS = bytes(byte & 0xF0 for byte in range(256))


@frozen(eq=False)
class Segment:
    """
    A segment: the tables, and then packets as they came.

    :ivar sequence: its number.
    :ivar duration: seconds.
    :ivar date: of its first picture or sound, in seconds since the epoch.
    :ivar discontinuity: whether it does not carry on what was before.
    :ivar independent: whether it begins where a decoder can.
    :ivar size: bytes.
    """

    sequence: int
    duration: float
    date: float
    discontinuity: bool
    independent: bool
    size: int
    tables: bytes = field(repr=False)
    pieces: tuple[Piece, ...] = field(repr=False)

    def __iter__(self) -> Iterator[memoryview]:
        """Its bytes, `size` of them in all."""
        yield memoryview(self.tables)
        for data, start, stop in self.pieces:
            yield memoryview(data)[start:stop]


@define(eq=False)
class Filling:
    """
    A segment that is being filled.

    :ivar start: offset of its first packet.
    :ivar pid: of the stream that is followed.
    :ivar time: when its first packet came, by the ring's clock.
    :ivar pts: of its first frame, None while there is none.
    :ivar last: the PTS of the frame that came last.
    :ivar span: ticks from the first frame to the latest.
    """

    start: int
    end: int
    pieces: list[Piece]
    tables: bytes
    pid: int
    time: float
    date: float
    independent: bool
    discontinuity: bool
    pts: int | None = None
    last: int | None = None
    frames: int = 0
    span: int = 0

    def note(self, pts: int | None) -> None:
        """A frame that begins in it."""
        if pts is not None:
            if self.pts is None:
                self.pts = pts
            self.frames += 1
            self.last = pts
            self.span = max(self.span, elapsed(self.pts, pts))

    def elapsed(self, pts: int | None, time: float) -> float:
        """Ticks from its beginning; by when it came where it has no PTS."""
        if self.pts is not None and pts is not None:
            return elapsed(self.pts, pts)
        return (time - self.time) * TICKS

    def jumps(self, pts: int | None) -> bool:
        """Whether the clock jumps with the next frame."""
        return pts is not None and self.last is not None and abs(elapsed(self.last, pts)) > _JUMP

    def seconds(self, following: int | None, time: float) -> float:
        """
        How long it is.

        :param following: the PTS with which the next one carries on, None where none does.
        :param time: when what follows came.
        """
        if self.pts is None:
            return time - self.time
        if following is not None:
            return elapsed(self.pts, following) / TICKS
        # The last frame lasts as long as the others do.
        return self.span / TICKS * self.frames / (self.frames - 1) if self.frames > 1 else _FRAME


def pid_at(data: bytes, at: int) -> int:
    """The PID of the packet at ``at``."""
    return (data[at + 1] & 0x1F) << 8 | data[at + 2]


def split(pieces: list[Piece], end: int, at: int) -> list[Piece]:
    """Take from pieces that end at the offset ``end`` what comes from the offset ``at`` on."""
    taken: list[Piece] = []
    while end > at:
        data, start, stop = pieces.pop()
        begin = end - (stop - start)
        if begin < at:
            middle = start + at - begin
            pieces.append((data, start, middle))
            start = middle
        taken.append((data, start, stop))
        end = begin
    taken.reverse()
    return taken


def trim(pieces: list[Piece], tables: bytes) -> int:
    """Drop from the end packets that have the PIDs of these tables, or say nothing; gives how many bytes they were."""
    pids = {pid_at(tables, at) for at in range(0, len(tables), PACKET)} | {NULL_PID}
    dropped = 0
    while pieces:
        data, start, stop = pieces.pop()
        end = stop
        while end > start and pid_at(data, end - PACKET) in pids:
            end -= PACKET
        dropped += stop - end
        if end > start:
            pieces.append((data, start, end))
            break
    return dropped


def say_the_same(tables: bytes, others: bytes) -> bool:
    """Whether packets with tables say the same, whatever their continuity counters."""
    return _uncounted(tables) == _uncounted(others)


def _uncounted(tables: bytes) -> bytes:
    data = bytearray(tables)
    data[3::PACKET] = data[3::PACKET].translate(_NO_COUNTERS)
    return bytes(data)


def carried_on(tables: bytes, pieces: list[Piece]) -> bytes:
    """The tables with the counters of those that came last in some pieces: what follows goes on from there."""
    data = bytearray(tables)
    counters: dict[int, int | None] = {}
    for at in range(len(data) - PACKET, -1, -PACKET):
        pid = pid_at(tables, at)
        counter = counters[pid] if pid in counters else _last_counter(pieces, pid)
        if counter is not None:
            data[at + 3] = data[at + 3] & 0xF0 | counter
            counter = (counter - 1) % 16
        counters[pid] = counter
    return bytes(data)


def _last_counter(pieces: list[Piece], pid: int) -> int | None:
    """The counter of the last packet on a PID, None when there is none."""
    for data, start, stop in reversed(pieces):
        lows = data[start + 2 : stop : PACKET]
        found = lows.rfind(pid & 0xFF)
        while found >= 0:
            at = start + found * PACKET
            if pid_at(data, at) == pid:
                return data[at + 3] & 0x0F
            found = lows.rfind(pid & 0xFF, 0, found)
    return None
