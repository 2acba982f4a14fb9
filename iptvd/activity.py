"""What happens in the daemon, numbered and kept for a while, for whoever wants to hear of it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cached_property
from time import perf_counter

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from iptvd.log import Log
from iptvd.public import moment
from iptvd.slices import SLICE

#: Happenings that are kept, for those who were away.
KEPT = 1000


class Kind(Enum):
    """
    What can happen.

    A *client* is one session, a *stream* a channel from the first byte that any client gets to the end of the last
    one's session.
    """

    CHANNEL_STATUS = "channel_status"
    LIVE_EVENT_SOON = "live_event_soon"
    LIVE_EVENT_STARTED = "live_event_started"
    STREAM_STARTED = "stream_started"
    STREAM_STOPPED = "stream_stopped"
    STREAM_FAILED = "stream_failed"
    CLIENT_CONNECTED = "client_connected"
    CLIENT_DISCONNECTED = "client_disconnected"
    FAILOVER_TRIGGERED = "failover_triggered"
    PROVIDER_STATE = "provider_state"
    SLOTS = "slots"


@frozen
class Happening:
    """
    Something that has happened.

    :ivar id: one more than that of the one before.
    :ivar time: seconds since the epoch.
    :ivar channel: the id of the channel that it is about, 0 where it is about none.
    :ivar facts: JSON values; never an address of an origin, never a secret.
    :ivar stream: what programs know that channel by; empty for its id.
    """

    id: int
    time: float
    kind: Kind
    channel: int
    facts: Mapping[str, object]
    stream: str = ""

    @cached_property
    def json(self) -> bytes:
        """All of it as one line of JSON, the same for everybody."""
        told = {
            "event_id": str(self.id),
            "event_type": self.kind.value,
            # Those who read it as text must not get a null.
            "stream_id": self.stream or (str(self.channel) if self.channel else ""),
            "timestamp": moment(self.time, "milliseconds"),
            "data": dict(self.facts),
        }
        return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


class Activity:
    """
    Keeps what has happened last, and wakes those who listen.

    Each of them reads on from the number that it has come to, so nothing is kept for one alone, and one that reads
    slowly costs the others nothing. They are woken in a turn of their own: whoever tells of something is not held up.

    :param wall: seconds since the epoch.
    :ivar newest: the number of what happened last. It begins with the milliseconds since the epoch, so that a number
        from an earlier run is none of this one.
    :ivar closed: whether nothing more will come.
    """

    log = Log()

    def __init__(self, clock: IReactorTime, wall: Callable[[], float], kept: int = KEPT) -> None:
        self.newest = int(wall() * 1000)
        self.closed = False
        self._clock = clock
        self._wall = wall
        self._kept: deque[Happening] = deque(maxlen=kept)
        self._listeners: dict[object, Callable[[], None]] = {}
        self._waking = False
        # Those who are still to be woken, and what had happened when that began.
        self._due: deque[object] = deque()
        self._round = 0
        # What is still to be written down as JSON.
        self._fresh: deque[Happening] = deque(maxlen=kept)

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return self._wall()

    def tell(self, kind: Kind, channel: int = 0, stream: str = "", /, **facts: object) -> None:
        """Something has happened now; see `Happening`."""
        self.newest += 1
        happening = Happening(self.newest, self.now, kind, channel, facts, stream)
        self._kept.append(happening)
        if self._listeners:
            self._fresh.append(happening)
            if not self._waking:
                self._waking = True
                self._clock.callLater(0, self._wake)

    @property
    def recent(self) -> list[Happening]:
        """All that is kept, the oldest first."""
        return list(self._kept)

    def since(self, number: int) -> list[Happening] | None:
        """What happened after the one with this number; None when not all of that is known any more, or ever was."""
        count = self.newest - number
        if not 0 <= count <= len(self._kept):
            return None
        return [self._kept[at] for at in range(-count, 0)]

    def listen(self, woken: Callable[[], None]) -> Callable[[], None]:
        """
        Have this called when something has happened, and at the end.

        :return: ends that.
        """
        mark = object()
        self._listeners[mark] = woken

        def forget() -> None:
            self._listeners.pop(mark, None)

        return forget

    def close(self) -> None:
        """Nothing more will happen: let everybody know what has, and that this is the end."""
        self.closed = True
        self._due = deque(self._listeners)
        while self._due:
            self._wake_one()

    def _wake(self) -> None:
        """Wake everybody, in slices: there may be many of them, and much for each."""
        self._round = self.newest
        self._due = deque(self._listeners)
        self._wake_some()

    def _wake_some(self) -> None:
        end = perf_counter() + SLICE
        while self._fresh or self._due:
            if self._fresh:
                # Once for all, and not all of it when the first of them asks for it.
                self._fresh.popleft().json  # noqa: B018
            else:
                self._wake_one()
            if (self._fresh or self._due) and perf_counter() >= end:
                self._clock.callLater(0, self._wake_some)
                return
        # What has happened since the first of them was woken, it may not have heard.
        self._waking = bool(self._listeners) and self.newest > self._round
        if self._waking:
            self._clock.callLater(0, self._wake)

    def _wake_one(self) -> None:
        # One that was woken before may have ended the listening of this one.
        woken = self._listeners.get(self._due.popleft())
        if woken is None:
            return
        try:
            woken()
        except Exception:
            self.log.fault("one who listens to what happens", Failure())
