"""What is known of whether each channel can be had: what watching has shown, and looks at those nobody watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from iptvd.delivery.hub import SessionObserver
from iptvd.delivery.session import Session
from iptvd.log import Log
from iptvd.model import ChannelStatus, Outcome, Reachability
from iptvd.recording import Recording

#: How a session ends whose channel could not be had.
FAILED = (Outcome.EXHAUSTED, Outcome.UPSTREAM_LOST, Outcome.UPSTREAM_STALLED)


class Reach:
    """
    What is known of the channels.

    :param wall: seconds since the epoch.
    :param changed: is told of a channel that can no longer be had, or can again.
    """

    log = Log()

    def __init__(
        self,
        wall: Callable[[], float],
        changed: Callable[[int, ChannelStatus], None] = lambda channel, status: None,
    ) -> None:
        self._wall = wall
        self._changed = changed
        self._known: dict[int, ChannelStatus] = {}

    def of(self, channel: int) -> ChannelStatus:
        """How a channel did last."""
        return self._known.get(channel) or ChannelStatus()

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return self._wall()

    def good(self, channel: int) -> None:
        """It was there just now."""
        now = self._wall()
        self._now(channel, ChannelStatus(Reachability.OK, "", now, now))

    def bad(self, channel: int, reason: str) -> None:
        """It was not to be had just now."""
        now = self._wall()
        self._now(channel, ChannelStatus(Reachability.FAILING, reason, self.of(channel).seen, now))

    def _now(self, channel: int, status: ChannelStatus) -> None:
        before = self.of(channel).state
        self._known[channel] = status
        known = before is not Reachability.UNKNOWN or status.state is Reachability.FAILING
        if status.state is not before and known:
            self.log.info(
                "channel {channel}: {state}. {reason}",
                channel=channel,
                state=status.state.value,
                reason=status.reason,
            )
            self._changed(channel, status)

    def ended(self, session: Session) -> None:
        """Somebody has watched, or tried to; what a channel has shown before says nothing of what it shows now."""
        if isinstance(session.channel, Recording):
            return
        if session.outcome in FAILED:
            self.bad(session.channel.id, session.reason or "it stopped")
        elif session.bytes_sent:
            self.good(session.channel.id)

    def forget_others(self, channels: Mapping[int, object]) -> None:
        """Keep only what is known of these channels."""
        for channel in [channel for channel in self._known if channel not in channels]:
            del self._known[channel]

    def counts(self, channels: int) -> dict[str, int]:
        """How many channels of so many are in which state."""
        found = dict.fromkeys((each.value for each in Reachability), 0)
        for status in self._known.values():
            found[status.state.value] += 1
        found[Reachability.UNKNOWN.value] = max(0, channels - len(self._known))
        return found

    def rows(self) -> Iterator[object]:
        """What is known, to be kept on disk."""
        for channel, status in self._known.items():
            yield [channel, status.state.value, status.reason, status.seen, status.tried]

    def take(self, row: object) -> None:
        """
        One of those rows.

        :raises TypeError, ValueError: when it is none.
        """
        if not isinstance(row, list):
            raise TypeError("a channel is a list")
        channel, state, reason, seen, tried = row
        self._known[int(channel)] = ChannelStatus(Reachability(state), str(reason), seen, tried)


class Watched:
    """
    Tells of sessions to an observer, and of what they have shown to `Reach`.

    It is the observer of the hub's sessions (`iptvd.delivery.hub.SessionObserver`).
    """

    def __init__(self, observer: SessionObserver, reach: Reach) -> None:
        self._observer = observer
        self._reach = reach
        self.session_started = observer.session_started
        self.session_refused = observer.session_refused

    def session_ended(self, session: Session) -> None:
        """It has its outcome."""
        self._observer.session_ended(session)
        self._reach.ended(session)
