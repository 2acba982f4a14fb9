"""
The last seconds of a channel: immutable blocks of whole packets at absolute offsets, and the join points among them.

A reader is a cursor: the number of a block and a place in it. The ring knows none of its readers; one that has fallen
behind notices it by asking for a block that is gone. Blocks leave when they are older than the span or when there is
no room, whichever comes first, but not those from the newest join point on: a viewer can always join. Only where no
other follows for very long, or where one ring alone would take all the room, that one goes too.
"""

from __future__ import annotations

from collections import deque

from attrs import define, field, frozen

from iptvd.protocols.mpegts import announced_gap

#: Seconds after which a join point that no other has followed is let go of.
STALE = 60.0
#: Bytes that are given in one piece at most, and blocks on either side of a join point that tell its counters.
_TOGETHER = 1 << 20
_AROUND = 32
#: Blocks that have left are cut off the list in one go, when there are this many of them.
_CUT = 512


@define
class Budget:
    """
    Bytes that all rings together may hold.

    :ivar used: bytes that they hold now.
    """

    limit: int
    used: int = 0


@frozen
class Block:
    """
    Some whole packets.

    :ivar offset: of its first byte, counted from the channel's beginning.
    :ivar time: when it came, by the ring's clock.
    """

    offset: int
    data: bytes = field(repr=False)
    time: float


@frozen
class JoinPoint:
    """
    Where a viewer can begin.

    :ivar number: of the block it lies in.
    :ivar place: in that block.
    :ivar tables: PAT and PMT in force there, as packets to be sent before it.
    :ivar pts: of the first picture, in 90 kHz, where it is known.
    """

    number: int
    place: int
    offset: int
    time: float
    tables: bytes = field(repr=False)
    pts: int | None = None


class Ring:
    """
    One channel's.

    :param span: seconds that are kept.
    :param budget: shared with the other rings; this one makes room for what it takes in by letting go of its own.
    """

    def __init__(self, span: float, budget: Budget) -> None:
        self._span = span
        self._budget = budget
        self._blocks: list[Block] = []
        self._gone = 0
        self._cut = 0
        self.size = 0
        self.end = 0
        self._joins: deque[JoinPoint] = deque()
        self._gap: tuple[JoinPoint, bytes] | None = None

    @property
    def first(self) -> int:
        """The number of the oldest block that is there."""
        return self._cut + self._gone

    @property
    def next(self) -> int:
        """The number that the next block will have."""
        return self._cut + len(self._blocks)

    @property
    def seconds(self) -> float:
        """The time between the oldest block and the newest."""
        return self._blocks[-1].time - self._blocks[self._gone].time if self.next > self.first else 0.0

    @property
    def joins(self) -> deque[JoinPoint]:
        """The join points that are there, oldest first."""
        return self._joins

    def block(self, number: int) -> Block | None:
        """A block by its number; None when it has left or is yet to come."""
        index = number - self._cut
        return self._blocks[index] if self._gone <= index < len(self._blocks) else None

    def after(self, number: int, most: int) -> list[Block]:
        """At most so many blocks from a number on; the caller knows that the first is there."""
        index = number - self._cut
        return self._blocks[index : index + most]

    def since(self, number: int) -> bytes:
        """
        All from a block on in one piece; empty where there is nothing, that is gone, or it is very much.

        A single block is not copied.
        """
        index = number - self._cut
        blocks = self._blocks
        if not self._gone <= index < len(blocks):
            return b""
        if index == len(blocks) - 1:
            return blocks[index].data
        if self.end - blocks[index].offset > _TOGETHER:
            return b""
        return b"".join([block.data for block in blocks[index:]])

    def append(self, data: bytes, now: float) -> Block:
        """Take a block in, and let go of what is too old or too much."""
        block = Block(self.end, data, now)
        self._blocks.append(block)
        self.end += len(data)
        self.size += len(data)
        self._budget.used += len(data)
        self._evict(now)
        return block

    def join_at(self, offset: int, tables: bytes, pts: int | None) -> JoinPoint | None:
        """Note a join point at an offset that is among the blocks; None when that has left."""
        index = len(self._blocks) - 1
        while index >= self._gone and self._blocks[index].offset > offset:
            index -= 1
        if index < self._gone:
            return None
        block = self._blocks[index]
        join = JoinPoint(self._cut + index, offset - block.offset, offset, block.time, tables, pts)
        self._joins.append(join)
        return join

    def join_for(self, back: float) -> JoinPoint | None:
        """
        The newest join point that lies at least so many seconds behind the newest block, else the oldest there is.

        None when there is none at all.
        """
        if not self._joins:
            return None
        wanted = self._blocks[-1].time - back
        return next((join for join in reversed(self._joins) if join.time <= wanted), self._joins[0])

    def gap_before(self, join: JoinPoint) -> bytes:
        """
        What is to be sent before a join point, tables included, to one who was sent something else before.

        Many may jump to the same one: it is made once.
        """
        if self._gap is None or self._gap[0] is not join:
            index = join.number - self._cut
            around = self._blocks[max(index - _AROUND, self._gone) : index + _AROUND]
            data = b"".join([block.data for block in around])
            place = join.offset - around[0].offset
            self._gap = join, announced_gap(data[:place], join.tables + data[place:]) + join.tables
        return self._gap[1]

    def clear(self) -> None:
        """Let go of everything; numbers and offsets go on."""
        self._gap = None
        self._budget.used -= self.size
        self.size = 0
        self._cut += len(self._blocks)
        self._blocks = []
        self._gone = 0
        self._joins.clear()

    def _evict(self, now: float) -> None:
        budget, blocks = self._budget, self._blocks
        oldest = now - self._span
        if self._joins and (self._joins[-1].time < min(oldest, now - STALE) or self.size > budget.limit):
            self._joins.clear()
        # Without a join point everything may leave but the newest block.
        keep = (self._joins[-1].number - self._cut) if self._joins else len(blocks) - 1
        while self._gone < keep and (blocks[self._gone].time < oldest or budget.used > budget.limit):
            size = len(blocks[self._gone].data)
            blocks[self._gone] = _GONE
            self._gone += 1
            self.size -= size
            budget.used -= size
        first = self.first
        while self._joins and self._joins[0].number < first:
            self._joins.popleft()
        if self._gone >= _CUT:
            del blocks[: self._gone]
            self._cut += self._gone
            self._gone = 0


_GONE = Block(0, b"", 0.0)
