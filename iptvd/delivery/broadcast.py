"""
One live channel for all who watch it: packets go in, into the ring, and out to every viewer's cursor.

What comes in close together goes out together. Between two rounds of sending lies a pause that depends on what a round
costs: with few viewers next to nothing, with many so long that sending takes a bounded share of the time. What comes
when the pause is over does not wait. A round goes over the viewers that are not waiting for room themselves, in slices
of at most `SLICE` seconds a turn of the reactor; what comes in meanwhile goes out with the next, after the pause.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from time import perf_counter

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from iptvd.delivery.pages import open_pages
from iptvd.delivery.ring import JoinPoint, Ring
from iptvd.delivery.viewers import Viewer
from iptvd.model import Outcome
from iptvd.protocols.joins import Follower

#: Bytes that are not kept waiting for more.
COALESCED = 65536
#: Bounds of the pause after a round, in seconds, and how many times the cost of the round it is.
LEAST_WAIT = 0.001
MOST_WAIT = 0.1
WAIT_FOR_COST = 2.0
#: Seconds of sending in one turn of the reactor.
SLICE = 0.005
#: Viewers between two looks at the clock.
_LOOK = 16
#: Seconds between two looks for viewers that take nothing.
SLOW_CHECK = 1.0


class Broadcast:
    """
    The feed.

    :param slow_timeout: seconds that a viewer may take nothing while there is something for it.
    :ivar bytes_in: bytes that came in.
    :ivar joined: how many viewers have begun.
    """

    def __init__(self, ring: Ring, clock: IReactorTime, slow_timeout: float) -> None:
        self.ring = ring
        self.bytes_in = 0
        self.joined = 0
        self._clock = clock
        self._slow_timeout = slow_timeout
        self._follower = Follower()
        self._incoming: list[bytes] = []
        self._incoming_size = 0
        self._pause_ends = 0.0
        self._timer: IDelayedCall | None = None
        self._slow_timer: IDelayedCall | None = None
        self._viewers: dict[Viewer, None] = {}
        self._unstarted: set[Viewer] = set()
        self._round: Iterator[Viewer] | None = None
        self._round_size = 0
        self._round_cost = 0.0
        self._again = False
        self._turn: IDelayedCall | None = None
        self._over = False
        self._observers: list[Callable[[], None]] = []
        self._told_of_breaks: list[Callable[[], None]] = []

    # Viewers

    @property
    def viewers(self) -> list[Viewer]:
        """Who watches."""
        return list(self._viewers)

    def add(self, viewer: Viewer, back: float) -> None:
        """
        Let a viewer begin, at once where there is a join point.

        :param back: seconds behind the newest at which it is to begin, so that its player has something to start with.
        """
        self._viewers[viewer] = None
        if self._slow_timer is None:
            self._slow_timer = self._clock.callLater(SLOW_CHECK, self._look_for_slow)
        join = self.ring.join_for(back)
        if join is None:
            self._unstarted.add(viewer)
        else:
            self._begin(viewer, join)
        viewer.pump()

    def remove(self, viewer: Viewer) -> None:
        """Forget a viewer; it has stopped."""
        self._viewers.pop(viewer, None)
        self._unstarted.discard(viewer)

    def _begin(self, viewer: Viewer, join: JoinPoint) -> None:
        self.joined += 1
        viewer.start(join)

    # Packets

    def take(self, packets: bytes) -> None:
        """Whole packets of the channel's programme."""
        if self._over or not packets:
            return
        self.bytes_in += len(packets)
        self._incoming.append(packets)
        self._incoming_size += len(packets)
        if self._incoming_size >= COALESCED:
            self.flush()
        elif self._timer is None and not self._sending:
            # No longer than any pause is, should the clock be set back.
            left = min(max(0.0, self._pause_ends - self._clock.seconds()), MOST_WAIT)
            self._timer = self._clock.callLater(left, self.flush)

    def flush(self) -> None:
        """Let what has come in so far go out."""
        if not self._incoming:
            return
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        incoming, self._incoming, self._incoming_size = self._incoming, [], 0
        data = incoming[0] if len(incoming) == 1 else b"".join(incoming)
        block = self.ring.append(data, self._clock.seconds())
        for join in self._follower.scan(data):
            self.ring.join_at(block.offset + join.offset, join.tables, join.pts)
        if self._unstarted and self.ring.joins:
            newest = self.ring.joins[-1]
            for viewer in self._unstarted:
                self._begin(viewer, newest)
            self._unstarted.clear()
        if self._sending:
            self._again = True
        else:
            self._start_round()
        for came in tuple(self._observers):
            came()

    def break_here(self) -> None:
        """What comes from now on is of another source, or of another time, than what was before."""
        self.flush()
        for broke in tuple(self._told_of_breaks):
            broke()

    def observe(self, came: Callable[[], None], broke: Callable[[], None] | None = None) -> None:
        """
        Have this called each time there is more in the ring.

        :param broke: is called where what follows does not carry on what was before, which is all in the ring by then.
        """
        self._observers.append(came)
        if broke is not None:
            self._told_of_breaks.append(broke)

    def unobserve(self, came: Callable[[], None], broke: Callable[[], None] | None = None) -> None:
        """No more."""
        if came in self._observers:
            self._observers.remove(came)
        if broke in self._told_of_breaks:
            self._told_of_breaks.remove(broke)

    @property
    def follower(self) -> Follower:
        """What is known of the programme."""
        return self._follower

    # Sending

    @property
    def _sending(self) -> bool:
        """Whether a round is under way, or about to begin."""
        return self._round is not None or self._turn is not None

    def _start_round(self) -> None:
        self._turn = None
        self._again = False
        self._round_cost = 0.0
        viewers = [viewer for viewer in self._viewers if viewer.blocked_since is None]
        self._round_size = len(viewers)
        self._round = iter(viewers)
        self._send()

    def _send(self) -> None:
        self._turn = None
        begun = perf_counter()
        if self._send_slice(begun + SLICE):
            self._round_cost += perf_counter() - begun
            self._round = None
            pause = min(max(LEAST_WAIT, WAIT_FOR_COST * self._round_cost), MOST_WAIT)
            self._pause_ends = self._clock.seconds() + pause
            if self._again:
                self._turn = self._clock.callLater(0, self._start_round)
            elif self._incoming:
                self._timer = self._clock.callLater(pause, self.flush)
        else:
            self._round_cost += perf_counter() - begun
            self._turn = self._clock.callLater(0, self._send)

    def _send_slice(self, end: float) -> bool:
        """Go on with the round until about ``end`` by `perf_counter`; tells whether it is done."""
        ring = self.ring
        number, data, pages = -1, b"", -1
        try:
            for count, viewer in enumerate(self._round or (), 1):
                if viewer.level and viewer.number != number:
                    # Nearly all are at the same block: what they are given is put together once.
                    number, data = viewer.number, ring.since(viewer.number)
                    if pages >= 0:
                        os.close(pages)
                        pages = -1
                    pages = open_pages(data, self._round_size)
                if viewer.level and data:
                    viewer.take(data, ring.next, pages)
                else:
                    viewer.pump()
                if not count % _LOOK and perf_counter() > end:
                    return False
        finally:
            if pages >= 0:
                os.close(pages)
        return True

    def _look_for_slow(self) -> None:
        self._slow_timer = None
        now = self._clock.seconds()
        for viewer in list(self._viewers):
            since = viewer.blocked_since
            if since is not None and now - since >= self._slow_timeout:
                viewer.session.end(Outcome.VIEWER_TOO_SLOW, f"the viewer took nothing for {self._slow_timeout:g} s")
        if self._viewers:
            self._slow_timer = self._clock.callLater(SLOW_CHECK, self._look_for_slow)

    # The end

    def close(self, ended: Callable[[Viewer], None]) -> None:
        """Let go of everything; ``ended`` is called for each viewer that is still there."""
        self._over = True
        for timer in (self._timer, self._slow_timer, self._turn):
            if timer is not None and timer.active():
                timer.cancel()
        self._round = None
        self._incoming.clear()
        self._observers.clear()
        self._told_of_breaks.clear()
        for viewer in list(self._viewers):
            ended(viewer)
        self.ring.clear()
