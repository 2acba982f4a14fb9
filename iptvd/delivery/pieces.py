"""A segment as slices of the blocks it lies in: nothing is copied, and the blocks live as long as the segment does."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import field, frozen

from iptvd.protocols.mpegts import PACKET

#: Whole packets: some bytes, and from where to where in them.
Piece = tuple[bytes, int, int]

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
        pid = pid_at(data, at)
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
