"""What the parts of the daemon tell of themselves, as others are to hear of it: see `iptvd.activity`."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from iptvd.activity import Activity, Kind
from iptvd.delivery.hub import SessionObserver
from iptvd.delivery.reach import FAILED
from iptvd.delivery.session import Session
from iptvd.delivery.slots import Slots
from iptvd.model import Channel, ChannelStatus, ProviderState
from iptvd.public import without_urls
from iptvd.recording import Recording
from iptvd.streams import stream_id_of

#: Seconds at least between two reports of how many connections there are.
SLOTS_PAUSE = 1.0


@define(eq=False)
class _Stream:
    """
    What several clients may be watching.

    :ivar clients: how many there are.
    :ivar begun: whether any of them has got something.
    """

    clients: int = 0
    begun: bool = False


class Reporter:
    """
    Tells of sessions, channels, providers and their connections.

    It is an observer of the hub's sessions (`iptvd.delivery.hub.SessionObserver`).

    :param observer: is told of sessions before.
    :param find: gives the channel of an id.
    """

    def __init__(
        self,
        activity: Activity,
        observer: SessionObserver,
        find: Callable[[int], Channel | None],
        clock: IReactorTime,
    ) -> None:
        self._activity = activity
        self._observer = observer
        self._find = find
        self._clock = clock
        self.session_refused = observer.session_refused
        self._streams: dict[tuple[int, ...], _Stream] = {}
        self._states: dict[str, tuple[ProviderState, str]] = {}
        self._connections: dict[str, tuple[int, int]] = {}
        self._moved: set[str] = set()
        self._timer: IDelayedCall | None = None
        self._not_before = 0.0
        self._slots: Slots | None = None

    # Sessions

    def session_started(self, session: Session) -> None:
        """It was admitted."""
        self._observer.session_started(session)
        self._streams.setdefault(_stream_of(session), _Stream()).clients += 1
        session.at_first_byte(self._first_byte)
        self._tell_of(Kind.CLIENT_CONNECTED, session)

    def _first_byte(self, session: Session) -> None:
        stream = self._streams.get(_stream_of(session))
        if stream is not None and not stream.begun:
            stream.begun = True
            self._tell(Kind.STREAM_STARTED, session.channel)

    def session_ended(self, session: Session) -> None:
        """It has its outcome."""
        self._observer.session_ended(session)
        seconds = round(self._activity.now - session.started, 1)
        how: dict[str, object] = {
            "outcome": session.outcome.value if session.outcome is not None else "",
            "reason": without_urls(session.reason),
        }
        got = {"bytes_served": session.bytes_sent, "segments_served": session.segments}
        self._tell_of(Kind.CLIENT_DISCONNECTED, session, **how, seconds=seconds, **got)
        key = _stream_of(session)
        stream = self._streams[key]
        stream.clients -= 1
        if stream.clients:
            return
        del self._streams[key]
        if session.outcome in FAILED:
            self._tell(Kind.STREAM_FAILED, session.channel, **how)
        elif stream.begun:
            self._tell(Kind.STREAM_STOPPED, session.channel, **how)

    def _tell_of(self, kind: Kind, session: Session, **facts: object) -> None:
        viewer = session.viewer
        whose = {
            "client_id": session.id,
            "ip_address": viewer.address,
            "user_agent": viewer.agent,
            "username": viewer.user or viewer.called,
            "face": session.face.value,
        }
        self._tell(kind, session.channel, **whose, **facts)

    def _tell(self, kind: Kind, channel: Channel, **facts: object) -> None:
        self._activity.tell(kind, channel.id, stream_id_of(channel), **{**_channel(channel), **facts})

    # Channels and providers

    def switched(self, channel: Channel, former: str, source: str, reason: str) -> None:
        """Another source supplies a channel; both are named as ``provider/place``."""
        facts: dict[str, object] = {"from": former, "to": source, "reason": without_urls(reason)}
        self._tell(Kind.FAILOVER_TRIGGERED, channel, provider=source.rpartition("/")[0], **facts)

    def reach_changed(self, channel_id: int, status: ChannelStatus) -> None:
        """A channel can no longer be had, or can again."""
        channel = self._find(channel_id)
        if channel is not None:
            facts = {"state": status.state.value, "reason": without_urls(status.reason)}
            self._tell(Kind.CHANNEL_STATUS, channel, **facts)

    def refreshed(self, provider: str, state: ProviderState, sentence: str) -> None:
        """How a provider is doing after it was asked; told when that is something else than before."""
        now = state, without_urls(sentence)
        if self._states.get(provider) != now:
            self._states[provider] = now
            self._activity.tell(Kind.PROVIDER_STATE, provider=provider, state=state.value, reason=now[1])

    # Connections

    def watch(self, slots: Slots) -> None:
        """Tell of the connections to providers: their numbers as they are then, once a second at most."""
        self._slots = slots
        slots.changed = self._connections_changed

    def _connections_changed(self, provider: str) -> None:
        self._moved.add(provider)
        if self._timer is None:
            wait = self._not_before - self._clock.seconds()
            self._timer = self._clock.callLater(max(0.0, wait), self._tell_of_connections, self._slots)

    def _tell_of_connections(self, slots: Slots) -> None:
        self._timer = None
        self._not_before = self._clock.seconds() + SLOTS_PAUSE
        moved, self._moved = self._moved, set()
        for provider in sorted(moved):
            used, limit = slots.used(provider), slots.limit(provider)
            if self._connections.get(provider, (0, limit)) != (used, limit):
                self._connections[provider] = used, limit
                self._activity.tell(Kind.SLOTS, provider=provider, used=used, limit=limit)

    def close(self) -> None:
        """Wait for nothing any more."""
        if self._slots is not None:
            self._slots.changed = lambda provider: None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _stream_of(session: Session) -> tuple[int, ...]:
    """What all its clients have in common; what a channel has shown before is a stream of its own."""
    channel = session.channel
    past = (channel.start, channel.duration) if isinstance(channel, Recording) else ()
    return (channel.id, *past)


def _channel(channel: Channel) -> dict[str, object]:
    facts: dict[str, object] = {"channel": {"id": channel.id, "name": channel.name}, "provider": channel.provider}
    return facts | {"catchup": True} if isinstance(channel, Recording) else facts
