"""The channels that are on: one broadcast and its feed each, from the first viewer until a while after the last."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from iptvd.delivery.broadcast import Broadcast
from iptvd.delivery.candidates import Opens
from iptvd.delivery.feed import Feed, Timing
from iptvd.delivery.ring import Budget, Ring
from iptvd.delivery.session import Session
from iptvd.delivery.session import Viewer as Who
from iptvd.delivery.slots import Slots
from iptvd.delivery.viewers import Viewer
from iptvd.errors import UpstreamError
from iptvd.log import Log
from iptvd.model import Channel, Outcome, Source

#: Players known to look at five seconds of a stream before they show anything, by what their User-Agent begins with.
PROBING = ("Lavf",)


@frozen
class LiveSettings:
    """
    The settings that concern what is shared, in seconds.

    :ivar span: of stream that a ring keeps.
    :ivar join_back: behind the newest that a viewer begins.
    :ivar probe_back: the same for players that look at much of a stream before they show anything.
    :ivar linger: that a channel stays on when nobody watches.
    :ivar slow: that a viewer may take nothing.
    """

    span: float = 12.0
    join_back: float = 2.0
    probe_back: float = 6.0
    linger: float = 3.0
    slow: float = 20.0
    timing: Timing = Timing()  # noqa: RUF009 - it is frozen


@define(eq=False)
class OnAir:
    """
    One channel that is on.

    :ivar users: who keeps it on, viewers and packagers.
    :ivar failure: why it could not be turned on.
    :ivar at_close: is told when it is turned off, and why.
    """

    channel: Channel
    broadcast: Broadcast
    feed: Feed
    users: int = 0
    starting: bool = True
    closed: bool = False
    failure: Failure | None = None
    _waiting: list[Deferred[None]] = field(factory=list)
    linger: IDelayedCall | None = None
    work: Deferred[None] | None = None
    at_close: list[Callable[[Outcome, str], None]] = field(factory=list)


class Live:
    """
    Turns channels on and off.

    :param sources: resolves a channel.
    :ivar opener: opens live sources as MPEG-TS, whatever they are.
    :ivar switched: called when another source supplies a channel, with what did before, what does now, and why.
    """

    log = Log()

    def __init__(
        self,
        sources: Callable[[Channel], Awaitable[list[tuple[str, Source]]]],
        opener: Opens,
        slots: Slots,
        clock: IReactorTime,
        wall: Callable[[], float],
        budget: Budget,
        settings: LiveSettings,
    ) -> None:
        self.settings = settings
        self._sources = sources
        self.opener = opener
        self.switched: Callable[[Channel, str, str, str], None] = lambda channel, former, source, reason: None
        self._slots = slots
        self._clock = clock
        self._wall = wall
        self._budget = budget
        self._on_air: dict[int, OnAir] = {}
        slots.on_want(self._give_up_one)

    @property
    def on_air(self) -> Mapping[int, OnAir]:
        """What is on, by channel id."""
        return self._on_air

    async def tune(self, channel: Channel, who: Who | None = None, steady: bool = False) -> OnAir:
        """
        The channel, turned on if it is not; whoever gets it has to `leave` it once.

        :param steady: whether it is wanted as a stream even where a source turns out to be a playlist.
        :raises FoundPlaylist: when it does, and nobody who waits for the channel wants that.
        :raises UpstreamError: when no source works.
        :raises LimitError: when there is no slot.
        :raises NotShareable: when it is no MPEG-TS.
        """
        on_air = self._on_air.get(channel.id)
        if on_air is not None:
            on_air.users += 1
            if steady:
                on_air.feed.follow_playlists()
            if on_air.linger is not None and on_air.linger.active():
                on_air.linger.cancel()
                on_air.feed.watch(True)
        if on_air is None or on_air.closed:
            # A feed that is watched again may find that there is no hope for it.
            on_air = self._make(channel)
            on_air.users += 1
            if steady:
                on_air.feed.follow_playlists()
            on_air.work = Deferred.fromCoroutine(on_air.feed.start(who))
            on_air.work.addBoth(self._started, on_air)
        if on_air.starting:
            waiting: Deferred[None] = Deferred()
            on_air._waiting.append(waiting)
            try:
                await waiting
            except BaseException:
                self.leave(on_air)
                raise
        elif on_air.failure is not None:
            # It failed before anything had to be waited for.
            self.leave(on_air)
            on_air.failure.raiseException()
        return on_air

    def leave(self, on_air: OnAir) -> None:
        """One of its users is gone; after the last it lingers, for a zap back."""
        on_air.users -= 1
        if on_air.users or on_air.closed:
            return
        if on_air.starting:
            self._close(on_air)
        else:
            on_air.feed.watch(False)
            on_air.linger = self._clock.callLater(self.settings.linger, self._close, on_air)

    def back_for(self, agent: str) -> float:
        """How far behind the newest a viewer begins, by its User-Agent."""
        return self.settings.probe_back if agent.startswith(PROBING) else self.settings.join_back

    def show(self, on_air: OnAir, viewer: Viewer) -> None:
        """Let a viewer have the channel until its session ends."""
        session = viewer.session

        def over(session: Session) -> None:
            viewer.stop()
            on_air.broadcast.remove(viewer)
            self.leave(on_air)

        session.at_end(over)
        on_air.broadcast.add(viewer, self.back_for(session.viewer.agent))

    def turn_off(self, channel_id: int, reason: str) -> None:
        """Turn one channel off at the operator's word, whoever watches it; nothing happens where it is not on."""
        on_air = self._on_air.get(channel_id)
        if on_air is None:
            return
        waiting, on_air._waiting = on_air._waiting, []
        for one in waiting:
            if not one.called:
                one.errback(UpstreamError(503, reason))
        self._close(on_air, Outcome.ENDED_BY_OPERATOR, reason)

    def close(self) -> None:
        """Turn everything off."""
        for on_air in list(self._on_air.values()):
            self._close(on_air)

    def _make(self, channel: Channel) -> OnAir:
        settings = self.settings
        broadcast = Broadcast(Ring(settings.span, self._budget), self._clock, settings.slow)

        def given_up(outcome: Outcome, reason: str) -> None:
            self.log.warn("channel {channel} is given up: {reason}", channel=channel.id, reason=reason)
            self._close(on_air, outcome, reason)

        feed = Feed(
            channel,
            broadcast,
            self._sources,
            self.opener,
            self._slots,
            self._clock,
            self._wall,
            settings.timing,
            given_up,
            lambda former, source, reason: self.switched(channel, former, source, reason),
        )
        on_air = OnAir(channel, broadcast, feed)
        self._on_air[channel.id] = on_air
        return on_air

    def _started(self, result: Failure | None, on_air: OnAir) -> None:
        on_air.starting = False
        waiting, on_air._waiting = on_air._waiting, []
        if isinstance(result, Failure):
            on_air.failure = result
            self._close(on_air)
        for one in waiting:
            if not one.called:
                one.callback(result)

    def _close(self, on_air: OnAir, outcome: Outcome = Outcome.EXHAUSTED, reason: str = "") -> None:
        if on_air.closed:
            return
        on_air.closed = True
        if on_air.linger is not None and on_air.linger.active():
            on_air.linger.cancel()
        self._on_air.pop(on_air.channel.id, None)
        if on_air.work is not None:
            on_air.work.cancel()
        on_air.feed.close()
        for call in tuple(on_air.at_close):
            call(outcome, reason)
        on_air.broadcast.close(lambda viewer: viewer.session.end(outcome, reason))

    def _give_up_one(self, provider: str, viewer: Who | None) -> bool:
        """Turn off something of this provider that nobody watches."""
        for on_air in list(self._on_air.values()):
            if not on_air.users and provider in on_air.feed.providers:
                self._close(on_air)
                return True
        return False
