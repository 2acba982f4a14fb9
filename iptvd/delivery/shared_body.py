"""
A body that arrives once and is read by many.

It is kept as a list of immutable blocks, and a reader is a cursor into it with a pace of its own: one that pauses
holds up nobody. What arrives is handed on at once, in slices of at most `SLICE` seconds a reactor turn. The fetch
itself is paused only while all readers are, and then not before it is `ahead` bytes further than any of them has come.

A body may be more than there is room for. It is then let *pass*: what all its readers have had is dropped, and a
reader that falls more than ``ahead`` bytes behind the quickest is ended, because nothing else would bound what has to
be kept for it. A single reader is never behind: it sees no difference.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from iptvd.errors import UpstreamError
from iptvd.log import Log
from iptvd.protocols.upstream import HOLD, Receiver, Upstream

#: Seconds of handing on in one reactor turn.
SLICE = 0.010
#: Bytes of a block on average, below which blocks are put together when somebody wants all of them once more.
_SMALL = 16384


class Owner(Protocol):
    """Is told how a body does."""

    def body_grew(self) -> None:
        """More of it has come, which no reader has seen yet."""

    def body_finished(self) -> None:
        """All of it has come, or it failed; readers have yet to be told."""

    def readers_left(self) -> None:
        """The last reader has gone, whether it had all of it or not."""


class SharedBody:
    """
    A body, and where its readers are in it.

    :param expected: bytes it has to have, None when that is not told.
    :ivar size: bytes that have come, those that were dropped included.
    :ivar over: whether nothing more will come.
    :ivar error: why it is not whole.
    :ivar furthest: the bytes that the quickest of its readers has had.
    """

    log = Log()

    def __init__(
        self, upstream: Upstream, expected: int | None, owner: Owner, clock: IReactorTime, ahead: int
    ) -> None:
        self.expected = expected
        self.size = 0
        self.over = False
        self.error: UpstreamError | None = None
        self.furthest = 0
        self._upstream = upstream
        self._owner = owner
        self._clock = clock
        self._ahead = ahead
        self._blocks: list[bytes] = []
        # The number of the oldest block that is there, and the bytes that came before it.
        self._first = 0
        self._dropped = 0
        self._passing = False
        self._paused = False
        self._heard = clock.seconds()
        self._readers: dict[Reader, None] = {}
        self._lent = 0
        self._due: deque[Reader] = deque()
        self._turn: IDelayedCall | None = None
        self._serving = False

    @property
    def held(self) -> int:
        """Bytes that are kept now."""
        return self.size - self._dropped

    @property
    def read(self) -> bool:
        """Whether it has readers, or is lent."""
        return bool(self._readers) or self._lent > 0

    @property
    def blocks(self) -> Sequence[bytes]:
        """All of it, when all of it is there."""
        self._gather()
        return self._blocks

    @property
    def silent_for(self) -> float:
        """Seconds since something came of what may come."""
        return 0.0 if self.over or self._paused else self._clock.seconds() - self._heard

    def start(self) -> None:
        """Have it come; readers may have been made before."""
        self._upstream.attach(self)
        self.settle()

    def reader(self, start: int = 0, stop: int | None = None) -> Reader:
        """Another reader, of all of it, or of some bytes of what is there."""
        self._gather()
        number, skip = self._first, start
        for block in self._blocks if start else ():
            if skip < len(block):
                break
            skip -= len(block)
            number += 1
        reader = Reader(self, number, skip, start, stop)
        self._readers[reader] = None
        reader.pump()
        self.settle()
        return reader

    def lend(self) -> Callable[[], None]:
        """Count as read by one who sends its blocks without being a reader; to be called when that is over."""
        self._lent += 1

        def give_back() -> None:
            self._lent -= 1
            if not self.read:
                self._owner.readers_left()

        return give_back

    def let_pass(self) -> None:
        """Keep from now on only what readers have yet to get."""
        self._passing = True

    def drop(self, error: UpstreamError) -> None:
        """Stop it and keep nothing; readers that are left are told why."""
        if not self.over:
            self.over = True
            self.error = error
            self._upstream.stopProducing()
        for reader in list(self._readers):
            reader.fail(error)
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._due.clear()
        self._blocks.clear()
        self._dropped = self.size

    # What the upstream tells

    def data_received(self, data: bytes | memoryview) -> None:
        """Keep it, and hand it on."""
        if self.over or not data:
            return
        self._heard = self._clock.seconds()
        self._blocks.append(bytes(data))
        self.size += len(data)
        self._owner.body_grew()
        self._hand_on()

    def body_ended(self, error: UpstreamError | None) -> None:
        """That was all."""
        if self.over:
            return
        if error is None and self.expected not in (None, self.size):
            error = UpstreamError(502, "the origin closed the connection before it had sent everything")
        self.over = True
        self.error = error
        self._upstream.stopProducing()
        self._owner.body_finished()
        self._hand_on()

    # For the readers

    def blocks_from(self, number: int) -> list[bytes]:
        """The blocks from a number on, of `HOLD` bytes together unless one alone is more; none when all were had."""
        blocks = self._blocks
        first = end = number - self._first
        size = 0
        while end < len(blocks) and (end == first or size + len(blocks[end]) <= HOLD):
            size += len(blocks[end])
            end += 1
        return blocks[first:end]

    def leave(self, reader: Reader) -> None:
        """A reader has gone."""
        if reader not in self._readers:
            return
        del self._readers[reader]
        if self._readers:
            self.settle()
            return
        if not self.read:
            self._owner.readers_left()

    def _gather(self) -> None:
        """Make few blocks of many: what arrived in crumbs is not sent to everybody in crumbs."""
        small = len(self._blocks) * _SMALL > self.size + HOLD
        if not small or not self.over or self._passing or self._readers:
            return
        blocks: list[bytes] = []
        part: list[bytes] = []
        size = 0
        for block in self._blocks:
            if part and size + len(block) > HOLD:
                blocks.append(b"".join(part))
                part, size = [], 0
            part.append(block)
            size += len(block)
        self._blocks = [*blocks, b"".join(part)]

    def settle(self) -> None:
        """Drop what nobody needs, and pause or resume the fetch by what its readers do."""
        if self._passing:
            self._trim()
        if self.over:
            return
        # A reader that is not paused has had all there is.
        hold = bool(self._readers) and self.size - self.furthest > self._ahead
        if hold and not self._paused:
            self._paused = True
            self._upstream.pauseProducing()
        elif self._paused and not hold:
            self._paused = False
            self._heard = self._clock.seconds()
            self._upstream.resumeProducing()

    def _trim(self) -> None:
        least = min((reader.number for reader in self._readers), default=self._first + len(self._blocks))
        gone = least - self._first
        if gone > 0:
            self._dropped += sum(map(len, self._blocks[:gone]))
            del self._blocks[:gone]
            self._first = least

    def _hand_on(self) -> None:
        for reader in self._readers:
            if not reader.due and (self.over or not reader.paused):
                reader.due = True
                self._due.append(reader)
        if self._turn is None and not self._serving:
            self._serve()

    def _serve(self) -> None:
        self._turn = None
        self._serving = True
        end = perf_counter() + SLICE
        while self._due:
            reader = self._due.popleft()
            reader.due = False
            try:
                reader.pump()
            except Exception:
                # It is that viewer's trouble alone.
                self.log.fault("a viewer could not be fed", Failure())
                reader.stopProducing()
            if self._due and perf_counter() >= end:
                self._turn = self._clock.callLater(0, self._serve)
                break
        self._serving = False
        if self._passing:
            self._end_laggards()
        self.settle()

    def _end_laggards(self) -> None:
        for reader in list(self._readers):
            if not reader.due and self.furthest - reader.position > self._ahead:
                reader.fail(UpstreamError(503, "the viewer fell too far behind others of the same: ask again"))


class Reader(Upstream):
    """
    One reader of a shared body, which is an upstream to it.

    :param stop: where it ends, None for where the body does.
    :ivar position: the place in the body up to which it has been fed.
    :ivar number: the block that comes next.
    :ivar due: whether it is about to be fed.
    """

    def __init__(self, body: SharedBody, number: int, skip: int, start: int, stop: int | None) -> None:
        super().__init__()
        self.position = start
        self.number = number
        self.paused = False
        self.due = False
        self._body = body
        self._skip = skip
        self._stop = stop
        self._pumping = False

    def first_bytes(self, enough: int) -> Deferred[bytes]:
        """See `Upstream.first_bytes`."""
        first = super().first_bytes(enough)
        self.pump()
        return first

    def attach(self, receiver: Receiver) -> None:
        """See `Upstream.attach`."""
        self._receiver = receiver
        was_ended = self.ended
        self.paused = False
        held, self._held = self._held, []
        # What was held goes first, whatever the receiver does meanwhile.
        self._pumping = True
        for data in held:
            receiver.data_received(data)
        self._pumping = False
        if was_ended:
            receiver.body_ended(self._error)
        else:
            self.pump()
            self._body.settle()

    def pump(self) -> None:
        """Feed it what there is, as much as it takes."""
        if self._pumping:
            return
        self._pumping = True
        body = self._body
        while not self.paused and not self.ended:
            blocks = body.blocks_from(self.number) if self.position != self._stop else []
            if not blocks:
                break
            self.number += len(blocks)
            data = blocks[0] if len(blocks) == 1 else b"".join(blocks)
            if self._skip:
                data, self._skip = data[self._skip :], 0
            if self._stop is not None and len(data) > self._stop - self.position:
                data = data[: self._stop - self.position]
            self.position += len(data)
            body.furthest = max(body.furthest, self.position)
            self._deliver(data)
        self._pumping = False
        if not self.ended and (self.position == self._stop or (body.over and self.position == body.size)):
            self._leave()
            self._end(body.error)

    def fail(self, error: UpstreamError) -> None:
        """End it, wherever it is."""
        if not self.ended:
            self._leave()
            self._end(error)

    def _leave(self) -> None:
        self._body.leave(self)

    # IPushProducer

    def pauseProducing(self) -> None:
        """Take no more until `resumeProducing`."""
        if not self.paused and not self.ended:
            self.paused = True
            self._body.settle()

    def resumeProducing(self) -> None:
        """Go on."""
        if self.paused and not self.ended:
            self.paused = False
            self.pump()
            self._body.settle()

    def stopProducing(self) -> None:
        """Take no more at all."""
        self.ended = True
        self._held.clear()
        self._leave()
