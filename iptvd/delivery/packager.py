"""
A broadcast as HLS: its segments, and a playlist of the newest of them.

A player that begins with one segment never has more than that ahead of it: it would run dry before each one that is as
long, and for seconds where it asks for the playlist a moment too early. So a channel that was just turned on has two
short segments in its first playlist and short ones after it, unless its origin sends more than that at once; and a
playlist that is asked for when a segment is about to be complete waits for it.

Most players begin three segments before the end of the playlist that they see first. Where segments are short that is
less than a source that falls silent costs, so that playlist leaves out the newest ones: the player finds them in the
next, and has as much ahead of it as where segments are long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from time import perf_counter

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from iptvd.delivery.broadcast import Broadcast
from iptvd.delivery.cutting import SHORT, Cutter
from iptvd.delivery.pieces import Segment
from iptvd.delivery.window import Window
from iptvd.errors import UpstreamError
from iptvd.protocols.hls_writer import Listed, media_playlist, with_prefix
from iptvd.protocols.timestamps import TICKS, elapsed

#: Seconds of media in a segment, and segments in a playlist.
TARGET = 2.0
WINDOW = 6
#: Bytes that one packager may hold, and how many segments at least that has to be enough for.
MOST = 64 * 1024 * 1024
SHARE = 2
#: Seconds that it lives on without a request, and that the first playlist is waited for.
LINGER = 15.0
PATIENCE = 15.0
#: Targets of media in the first playlist at least, and those that a player has ahead where no segment has to be short.
FIRST = 2 * SHORT
AMPLE = 2
#: Segments from the end of its first playlist at which a player begins, and targets that it is to have from there on.
BEGINS = 3
RESERVE = 3
#: Seconds before and after a segment is due in which a playlist waits for it.
EARLY = 0.3
LATE = 1.0
#: Seconds of answering those who wait in one turn of the reactor.
_SLICE = 0.005
#: Bits a second that are announced while nothing is known.
_BANDWIDTH = 8_000_000


def _name(sequence: int) -> str:
    return f"{sequence}.ts"


class Packager:
    """
    Packages one broadcast, from what its ring holds on, until nobody asks any more.

    :param wall: seconds since the epoch.
    :param closed: called once when it closes, by itself or not.
    :param target: seconds of media that a segment has at least.
    :param window: segments that a playlist has at least, once there are so many.
    :param name: a segment's address, relative to what `playlist` is given, by its number.
    :param smooth: whether segments are short where there is little yet, and playlists wait for what is due.
    :param most: bytes that it may hold.
    """

    def __init__(
        self,
        broadcast: Broadcast,
        clock: IReactorTime,
        wall: Callable[[], float],
        closed: Callable[[], None],
        *,
        target: float = TARGET,
        window: int = WINDOW,
        name: Callable[[int], str] = _name,
        most: int = MOST,
        smooth: bool = True,
        linger: float = LINGER,
        patience: float = PATIENCE,
    ) -> None:
        self._broadcast = broadcast
        self._clock = clock
        self._closed = closed
        self._target = target
        self._name = name
        self._most = most
        self._smooth = smooth
        self._linger = linger
        self._patience = patience
        self._window = Window(clock, window)
        # When who began with the first playlist has played all there is.
        self._dry = 0.0
        self._bandwidth = 0.0
        self._body = b""
        self._waiting: deque[Deferred[None]] = deque()
        self._turn: IDelayedCall | None = None
        self._over = False
        # The number goes on where one packager follows another: an address never means two things.
        sequence = int(wall())
        self._cutter = Cutter(broadcast.ring, clock, wall, target, sequence, most // SHARE, self._add)
        self._idle: IDelayedCall = clock.callLater(linger, self._look_if_idle)
        self._cutter.shorten(smooth and self._span() < AMPLE * target)
        broadcast.observe(self._look, self.discontinuity)
        self._cutter.look()

    # What is asked of it

    @property
    def ready(self) -> bool:
        """Whether there is a playlist to be had at once."""
        return bool(self._body)

    @property
    def size(self) -> int:
        """Bytes that it holds, those that the ring holds as well among them."""
        return self._window.size + self._cutter.pending

    @property
    def target_duration(self) -> int:
        """Seconds; from the first segment on it stays what it is."""
        return self._cutter.target_duration

    @property
    def bandwidth(self) -> int:
        """Bits a second of the segment that had most, for a multivariant playlist."""
        return round(self._bandwidth) or _BANDWIDTH

    async def playlist(self, prefix: str = "", *, first: bool = False) -> bytes:
        """
        The media playlist as it is now; while there is no segment, the first.

        :param prefix: comes before each segment's address.
        :param first: whether it is the first that a player sees: it may end before the newest segments.
        :raises UpstreamError: 504 when no segment is complete in time, 503 when it has closed.
        """
        self.touched()
        left_out = self._left_out() if first and self._body else 0
        if left_out:
            return with_prefix(self._playlist(len(self._window.segments) - left_out), prefix)
        if self._body:
            with suppress(TimeoutError):
                await self._more(self._until_due())
        elif not self._over:
            try:
                await self._more(self._patience)
            except TimeoutError:
                raise UpstreamError(
                    504, f"nothing that a player can begin with came within {self._patience:g} s"
                ) from None
            self.touched()
        if self._over:
            raise UpstreamError(503, "the channel has been turned off")
        return with_prefix(self._body, prefix)

    def _left_out(self) -> int:
        """Newest segments that a player's first playlist leaves out, so that the player begins early enough."""
        ahead, wanted = 0.0, RESERVE * self._target if self._smooth else 0.0
        for count, segment in enumerate(reversed(self._window.segments), 1):
            ahead += segment.duration
            if count >= BEGINS and ahead >= wanted:
                return count - BEGINS
        return max(0, len(self._window.segments) - BEGINS)

    def _until_due(self) -> float:
        """Seconds for which the next segment is worth waiting for, 0 when it is not."""
        due, now = self._cutter.due, self._clock.seconds()
        near = self._smooth and due is not None and due - EARLY <= now < due + LATE
        return due + LATE - now if near and due is not None else 0.0

    async def _more(self, patience: float) -> None:
        if patience:
            waiting: Deferred[None] = Deferred(self._waiting.remove)
            self._waiting.append(waiting)
            await waiting.addTimeout(patience, self._clock)

    def segment(self, sequence: int) -> Segment | None:
        """A segment by its number; None when it is gone or yet to come."""
        self.touched()
        return self._window.segment(sequence)

    def touched(self) -> None:
        """Somebody uses it."""
        if not self._over:
            self._idle.reset(self._linger)

    def discontinuity(self) -> None:
        """What the broadcast takes in from now on does not carry on what was before."""
        self._broadcast.flush()
        self._cutter.break_here()

    def close(self) -> None:
        """Let go of everything; who waits for a playlist is refused."""
        if self._over:
            return
        self._over = True
        self._broadcast.unobserve(self._look, self.discontinuity)
        self._cutter.close()
        if self._idle.active():
            self._idle.cancel()
        self._window.clear()
        self._body = b""
        if self._turn is not None:
            self._turn.cancel()
        while self._waiting:
            self._waiting.popleft().callback(None)
        self._closed()

    def _look_if_idle(self) -> None:
        if self._waiting:
            self._idle = self._clock.callLater(self._linger, self._look_if_idle)
        else:
            self.close()

    def _tell(self) -> None:
        """Answer those who wait, in turns of a few milliseconds."""
        self._turn = None
        begun = perf_counter()
        while self._waiting:
            self._waiting.popleft().callback(None)
            if self._waiting and perf_counter() - begun > _SLICE:
                self._turn = self._clock.callLater(0, self._tell)
                return

    # Segments

    def _span(self) -> float:
        """Seconds between the first and the last join point that there are."""
        joins = self._broadcast.ring.joins
        if not joins:
            return 0.0
        first, last = joins[0], joins[-1]
        if first.pts is None or last.pts is None:
            return last.time - first.time
        return elapsed(first.pts, last.pts) / TICKS

    def _look(self) -> None:
        self._cutter.look()
        self._make_room()

    def _add(self, segments: list[Segment]) -> None:
        """There are more."""
        window = self._window
        for segment in segments:
            self._bandwidth = max(self._bandwidth, segment.size * 8 / segment.duration)
            window.add(segment, self.target_duration)
        self._make_room()
        now = self._clock.seconds()
        if not self._body:
            if self._smooth and window.seconds < FIRST * self._target:
                return
            self._dry = now + window.seconds
        else:
            self._dry = max(self._dry, now) + sum(segment.duration for segment in segments)
        self._cutter.shorten(self._smooth and self._dry - now < AMPLE * self._target)
        window.listed()
        self._write()
        if self._turn is None:
            self._tell()

    def _make_room(self) -> None:
        if self._window.make_room(self._most - self._cutter.pending):
            self._write()

    def _write(self) -> None:
        self._body = self._playlist(len(self._window.segments))

    def _playlist(self, count: int) -> bytes:
        """That of the oldest so many segments of the window."""
        window = self._window
        return media_playlist(
            self.target_duration,
            window.segments[0].sequence,
            window.discontinuities,
            [
                Listed(self._name(one.sequence), one.duration, one.date, one.discontinuity)
                for one in islice(window.segments, count)
            ],
            independent=window.independent,
        )
