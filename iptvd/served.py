"""What each channel has been to its viewers since the start: bytes, segments, errors, and when it was watched last."""

from __future__ import annotations

from collections.abc import Callable, Collection

from attrs import define, field

from iptvd.delivery.hub import SessionObserver
from iptvd.delivery.reach import FAILED
from iptvd.delivery.session import Session
from iptvd.model import Channel

#: Channels that nobody watches of which it is remembered.
MOST = 10_000


@define(eq=False)
class _Sums:
    """Sums over sessions that are over, and how many have begun."""

    bytes: int = 0
    segments: int = 0
    errors: int = 0
    began: int = 0
    last: float | None = None

    def add(self, session: Session, now: float) -> None:
        self.bytes += session.bytes_sent
        self.segments += session.segments
        self.errors += session.outcome in FAILED
        self.last = now


@define(eq=False)
class _OfChannel(_Sums):
    """Those of a channel, and those of its sessions that go on."""

    sessions: dict[str, Session] = field(factory=dict)


@define
class Totals:
    """
    What it comes to at one moment.

    :ivar errors: sessions that failed, and sources that did while they were watched.
    :ivar began: how many sessions there have been.
    :ivar last: when it was watched last, in seconds since the epoch; None for never.
    """

    bytes: int = 0
    segments: int = 0
    errors: int = 0
    began: int = 0
    last: float | None = None


class Served:
    """
    It is an observer of the hub's sessions (`iptvd.delivery.hub.SessionObserver`).

    :param observer: is told of sessions before.
    :param wall: seconds since the epoch.
    :ivar started: when it began to count, likewise.
    """

    def __init__(self, observer: SessionObserver, wall: Callable[[], float]) -> None:
        self._observer = observer
        self._wall = wall
        self.started = wall()
        self.session_refused = observer.session_refused
        self._all = _Sums()
        #: By channel; those that were watched last come last.
        self._channels: dict[int, _OfChannel] = {}

    def session_started(self, session: Session) -> None:
        """It was admitted."""
        self._observer.session_started(session)
        sums = self._of(session.channel.id)
        sums.sessions[session.id] = session
        sums.began += 1
        self._all.began += 1

    def session_ended(self, session: Session) -> None:
        """It has its outcome."""
        self._observer.session_ended(session)
        now, channel = self._wall(), session.channel.id
        sums = self._of(channel)
        del sums.sessions[session.id]
        sums.add(session, now)
        self._all.add(session, now)
        self._channels[channel] = self._channels.pop(channel)
        if len(self._channels) > MOST:
            oldest = next((each for each, sums in self._channels.items() if not sums.sessions), None)
            if oldest is not None:
                del self._channels[oldest]

    def switched(self, channel: Channel, former: str, source: str, reason: str) -> None:
        """Another source supplies a channel: the former has failed, unless somebody wanted it so."""
        if reason != "by hand":
            self._all.errors += 1
            self._of(channel.id).errors += 1

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return self._wall()

    @property
    def watched(self) -> Collection[int]:
        """The channels that somebody watches."""
        return list(filter(self.is_watched, self._channels))

    def is_watched(self, channel: int) -> bool:
        """Whether somebody watches a channel."""
        sums = self._channels.get(channel)
        return sums is not None and bool(sums.sessions)

    def sessions(self, channel: int) -> list[Session]:
        """Who watches a channel, or what it has shown; who began first before the others."""
        sums = self._channels.get(channel)
        return list(sums.sessions.values()) if sums is not None else []

    def of(self, channel: int) -> Totals:
        """What it comes to for a channel."""
        sums = self._channels.get(channel)
        return self._told(sums, sums.sessions.values()) if sums is not None else Totals()

    @property
    def all(self) -> Totals:
        """What it comes to for all together."""
        return self._told(self._all, [each for sums in self._channels.values() for each in sums.sessions.values()])

    def forget(self, channel: int) -> None:
        """A channel is gone, and who watched it."""
        sums = self._channels.get(channel)
        if sums is not None and not sums.sessions:
            del self._channels[channel]

    def _of(self, channel: int) -> _OfChannel:
        sums = self._channels.get(channel)
        if sums is None:
            sums = self._channels[channel] = _OfChannel()
        return sums

    def _told(self, over: _Sums, going_on: Collection[Session]) -> Totals:
        return Totals(
            over.bytes + sum(session.bytes_sent for session in going_on),
            over.segments + sum(session.segments for session in going_on),
            over.errors,
            over.began,
            self._wall() if going_on else over.last,
        )
