"""
What keeps a broadcast supplied: the best source that works, and the next one when it fails.

States and what leads from one to the next:

==========  =====================================  ===========================================================
state       what is there                          what follows
==========  =====================================  ===========================================================
CONNECTING  nothing yet                            STREAMING with the first source that works, else CLOSED
STREAMING   a lead that delivers                   SWITCHING when it ends, is silent, trickles, or by hand
SWITCHING   a lead that is silent or gone,         STREAMING with whichever reaches a join point first;
            perhaps a candidate beside it          CLOSED when too many attempts have failed
CLOSED      nothing
==========  =====================================  ===========================================================

The candidate's packets are looked at but not passed on until it reaches a join point; from there they are translated
into the programme that the viewers' decoders know, and the candidate is the lead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Protocol

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from iptvd.delivery.broadcast import Broadcast
from iptvd.delivery.line import Health, Line
from iptvd.delivery.opening import FoundPlaylist, Opened
from iptvd.delivery.pulse import Pulse
from iptvd.delivery.session import Viewer
from iptvd.delivery.slots import Slot, Slots
from iptvd.errors import LimitError, UpstreamError
from iptvd.log import Log
from iptvd.model import Channel, Outcome, Source, SourceKind
from iptvd.protocols.mpegts import null_packets
from iptvd.protocols.sniff import Media
from iptvd.protocols.translation import Translator, read_ending

#: Seconds between two looks at how the lead is doing.
LOOK = 0.25
#: Seconds of silence after which the next source is connected beside the lead.
SILENCE = 1.0
#: Attempts in a minute after which the channel is given up.
MOST_ATTEMPTS = 12
MINUTE = 60.0
#: Seconds without anything to watch after which it is given up, however few the attempts were.
MOST_QUIET = 60.0
#: Seconds that a source has to bring something that a viewer can begin with.
JOIN_PATIENCE = 15.0
#: Seconds of the ring that tell how the old stream ended.
TAIL = 2.0
#: Null packets that keep players alive while there is nothing else, and how often.
KEEPALIVE = 7


class Opens(Protocol):
    """Opens a live source as MPEG-TS."""

    async def open(self, source: Source, extension: str) -> Opened:
        """See `iptvd.delivery.live_sources.LiveSources.open`."""


class FeedState(Enum):
    """See the table above."""

    CONNECTING = "connecting"
    STREAMING = "streaming"
    SWITCHING = "switching"
    CLOSED = "closed"


@frozen
class Timing:
    """
    The settings that concern a feed, in seconds.

    :ivar stall: of silence until the lead is closed.
    """

    stall: float = 5.0


class NotShareable(Exception):  # noqa: N818 - what was found
    """The source is no MPEG-TS: it cannot be cut into packets, so each viewer needs a connection of its own."""


class Feed:
    """
    Supplies one broadcast.

    :param sources: resolves the channel: its sources, best first, each with its provider's name.
    :param given_up: called once, when no source can be had any more, with the reason.
    :ivar switches: how often another source has taken over.
    """

    log = Log()

    def __init__(
        self,
        channel: Channel,
        broadcast: Broadcast,
        sources: Callable[[Channel], Awaitable[list[tuple[str, Source]]]],
        opener: Opens,
        slots: Slots,
        clock: IReactorTime,
        wall: Callable[[], float],
        timing: Timing,
        given_up: Callable[[Outcome, str], None],
    ) -> None:
        self.state = FeedState.CONNECTING
        self.switches = 0
        self._channel = channel
        self._broadcast = broadcast
        self._resolve = sources
        self._opener = opener
        self._slots = slots
        self._clock = clock
        self._wall = wall
        self._timing = timing
        self._given_up = given_up
        self._sources: list[tuple[str, Source]] = []
        self._health: dict[int, Health] = {}
        self._lead: Line | None = None
        self._candidate: Line | None = None
        self._connecting: Deferred[None] | None = None
        self._attempts: deque[float] = deque()
        self._timer: IDelayedCall | None = None
        self._retry: IDelayedCall | None = None
        self._pulse = Pulse()
        self._index = 0
        self._reason = ""
        self._quiet_since = 0.0
        self._may_recover = False
        # Whether the addresses of the sources may have expired.
        self._stale = False
        self._fed = 0.0

    @property
    def source(self) -> str:
        """Which source leads, as ``provider/place``; empty when none does."""
        return self._name(self._lead.index) if self._lead is not None else ""

    @property
    def providers(self) -> set[str]:
        """The providers with whom a connection is open."""
        lines = [line for line in (self._lead, self._candidate) if line is not None]
        return {self._sources[line.index][0] for line in lines}

    def _name(self, index: int) -> str:
        return f"{self._sources[index][0]}/{index}"

    # The beginning

    async def start(self, viewer: Viewer | None = None) -> None:
        """
        Open the first source that works.

        :param viewer: who wants it; something that the same viewer has turned away from makes way for it.
        :raises UpstreamError: that of the best, when none does.
        :raises LimitError: when there is no slot for any.
        :raises NotShareable: when it is no MPEG-TS.
        """
        self._sources = await self._resolve(self._channel)
        error: UpstreamError | None = None
        full = ""
        for index, (provider, source) in enumerate(self._sources):
            if source.kind is not self._channel.source_kind:
                continue
            slot = self._slots.take(provider, viewer)
            if slot is None:
                full = full or f"all {self._slots.limit(provider)} connections of {provider} are in use"
                continue
            try:
                opened = await self._opener.open(source, self._channel.extension)
            except FoundPlaylist:
                slot.release()
                raise
            except UpstreamError as failure:
                slot.release()
                error = error or failure
                self._health_of(index).failed(self._clock.seconds())
                continue
            except BaseException:
                slot.release()
                raise
            self._attach(opened, index, slot)
            return
        self.state = FeedState.CLOSED
        if error is not None:
            raise error
        raise LimitError(full) if full else UpstreamError(502, "its provider offers it in another form now")

    def _attach(self, opened: Opened, index: int, slot: Slot) -> None:
        upstream = opened.upstream
        if opened.media is not Media.TS or upstream is None or self.state is FeedState.CLOSED:
            if upstream is not None:
                upstream.stopProducing()
            slot.release()
            if self.state is FeedState.CLOSED:
                return
            raise NotShareable
        line = Line(self, index, upstream, slot, self._clock.seconds())
        self._index = index
        self._set_lead(line)
        self._look()
        upstream.attach(line)

    def _set_lead(self, line: Line) -> None:
        line.leads = True
        self._lead = line
        self._index = line.index
        self.state = FeedState.STREAMING
        self._pulse = Pulse()
        self._pulse.see(self._clock.seconds(), self._broadcast.follower.last_pcr)

    # What the lines tell

    def packets_came(self, line: Line, packets: bytes) -> None:
        """Whole packets of a line."""
        now = self._clock.seconds()
        line.heard = now
        if line.leads:
            self._health_of(line.index).failures = 0
            self._fed = now
            self._broadcast.take(line.translator.translate(packets) if line.translator is not None else packets)
            if not self._pulse.begun:
                self._pulse.see(now, self._broadcast.follower.last_pcr)
            return
        joins = line.follower.scan(packets)
        program = line.follower.program
        here = [join.offset for join in joins if join.offset >= 0]
        if here and program is not None:
            self._take_over(line, packets[here[0] :])

    def source_gone(self) -> None:
        """A source refuses what it gave before: its address may have expired."""
        self._stale = True

    def line_ended(self, line: Line, reason: str) -> None:
        """A line has ended by itself."""
        self._reason = reason
        self._health_of(line.index).failed(self._clock.seconds())
        if line is self._candidate:
            self._candidate = None
        if line is self._lead:
            self._lead = None
            self._begin_switch(reason)
        if self.state is FeedState.SWITCHING:
            self._connect_next()

    # Switching

    def fail_over(self) -> None:
        """Go to the next source in order, by hand."""
        if self.state is not FeedState.CLOSED:
            self._begin_switch("by hand")
            self._drop_candidate()
            self._connect_next()

    def _begin_switch(self, reason: str, may_recover: bool = False) -> None:
        if self.state is FeedState.STREAMING:
            self._may_recover = may_recover
            self.state = FeedState.SWITCHING
            self._quiet_since = self._clock.seconds()
            self.log.info(
                "channel {channel}: {source} fails: {reason}",
                channel=self._channel.id,
                source=self._name(self._index),
                reason=reason,
            )

    def _take_over(self, line: Line, packets: bytes) -> None:
        """The candidate has reached a join point: from here on it leads."""
        self._broadcast.break_here()
        ring, since = self._broadcast.ring, self._fed - TAIL
        blocks = [block.data for block in ring.after(ring.first, ring.next - ring.first) if block.time >= since]
        # The tables may have been sent before that.
        ending = read_ending([self._broadcast.follower.tables, *blocks]) if blocks else None
        program, pmt_pid = line.follower.program, line.follower.pmt_pid
        if ending is not None and program is not None:
            line.translator = Translator(ending, program, pmt_pid)
            packets = line.translator.translate(packets)
        else:
            packets = line.follower.tables + packets
        if line is self._lead:
            # The same source after a break of its own; whether it is silent has nothing to do with it.
            line.leads = True
            self._broadcast.take(packets)
            return
        former, self._lead, self._candidate = self._lead, None, None
        if former is not None:
            former.close()
        self.switches += 1
        self._set_lead(line)
        self.log.info(
            "channel {channel}: {source} carries on", channel=self._channel.id, source=self._name(line.index)
        )
        self._broadcast.take(packets)

    def _drop_candidate(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        candidate, self._candidate = self._candidate, None
        if candidate is not None:
            candidate.close()
        if self._retry is not None and self._retry.active():
            self._retry.cancel()

    def _connect_next(self) -> None:
        """Begin to connect a source beside what is there, unless that is being done."""
        waiting = self._retry is not None and self._retry.active()
        if self._connecting is not None or self._candidate is not None or waiting or self.state is FeedState.CLOSED:
            return
        now = self._clock.seconds()
        while self._attempts and self._attempts[0] < now - MINUTE:
            self._attempts.popleft()
        if len(self._attempts) >= MOST_ATTEMPTS and self._lead is None:
            self._give_up(f"{MOST_ATTEMPTS} attempts in a minute failed, the last because {self._reason}")
            return
        index, wait = self._next_index(now)
        if wait > 0 or len(self._attempts) >= MOST_ATTEMPTS:
            self._retry = self._clock.callLater(max(wait, LOOK), self._connect_next)
            return
        self._attempts.append(now)
        work: Deferred[None] = Deferred.fromCoroutine(self._connect(index))
        if not work.called:
            self._connecting = work

        def ended(result: object) -> object:
            self._connecting = None
            return result

        def failed(error: UpstreamError) -> None:
            self._reason = error.sentence
            self._health_of(index).failed(self._clock.seconds())
            self._connect_next()

        work.addBoth(ended)

        def went_wrong(failure: Failure) -> None:
            if isinstance(failure.value, UpstreamError):
                failed(failure.value)
            elif not failure.check(CancelledError):
                self.log.fault("a source could not be connected", failure)

        work.addErrback(went_wrong)

    def _next_index(self, now: float) -> tuple[int, float]:
        """Which source is next in turn, and how long it has to wait still."""
        kind = self._channel.source_kind
        order = [(self._index + step) % len(self._sources) for step in range(1, len(self._sources) + 1)]
        fitting = [index for index in order if self._sources[index][1].kind is kind] or [self._index]
        ready = next((index for index in fitting if self._health_of(index).not_before <= now), None)
        if ready is not None:
            return ready, 0.0
        soonest = min(fitting, key=lambda index: self._health_of(index).not_before)
        return soonest, self._health_of(soonest).not_before - now

    def _health_of(self, index: int) -> Health:
        return self._health.setdefault(index, Health())

    async def _connect(self, index: int) -> None:
        provider, source = self._sources[index]
        if self._stale or (source.expires is not None and source.expires <= self._wall()):
            self._stale = False
            fresh = await self._resolve(self._channel)
            if index < len(fresh):
                self._sources[index] = fresh[index]
                provider, source = fresh[index]
        slot = self._slots.take(provider)
        if slot is None and self._lead is not None and self._sources[self._lead.index][0] == provider:
            # A provider that allows one connection leaves no room for two: the silent one makes way.
            lead, self._lead = self._lead, None
            lead.close()
            slot = self._slots.take(provider)
        if slot is None:
            raise UpstreamError(503, f"all connections of {provider} are in use")
        try:
            opened = await self._opener.open(source, self._channel.extension)
        except BaseException:
            slot.release()
            raise
        upstream = opened.upstream
        if upstream is None or opened.media is not Media.TS or self.state is not FeedState.SWITCHING:
            if upstream is not None:
                upstream.stopProducing()
            slot.release()
            if self.state is FeedState.SWITCHING:
                raise UpstreamError(502, "the origin sent something else than MPEG-TS")
            return
        self._candidate = line = Line(self, index, upstream, slot, self._clock.seconds())
        upstream.attach(line)

    def _look(self) -> None:
        """Look how the lead is doing."""
        self._timer = self._clock.callLater(LOOK, self._look)
        now = self._clock.seconds()
        lead = self._lead
        if lead is not None:
            pcr = self._broadcast.follower.last_pcr
            self._pulse.see(now, pcr)
            silent = self._silence_of(lead, now)
            if silent >= self._timing.stall:
                lead.close()
                self.line_ended(lead, f"the origin sent nothing for {self._timing.stall:g} s")
            elif silent >= SILENCE or self._pulse.trickles(now, pcr):
                self._begin_switch("it is silent" if silent >= SILENCE else "it trickles", silent >= SILENCE)
                self._connect_next()
            elif self.state is FeedState.SWITCHING and self._may_recover and self._has_joined():
                # It has come back before another one was there.
                self._drop_candidate()
                self.state = FeedState.STREAMING
        candidate = self._candidate
        if candidate is not None and now - candidate.heard >= self._timing.stall:
            candidate.close()
            self.line_ended(candidate, f"the origin sent nothing for {self._timing.stall:g} s")
        for line in (self._candidate, self._lead):
            waits = line is not None and not (line.leads and self._broadcast.ring.joins)
            if line is not None and waits and now - line.began >= JOIN_PATIENCE:
                line.close()
                self.line_ended(line, "nothing came that a player can begin with")
        if self._lead is None and self.state is FeedState.SWITCHING:
            quiet = now - self._quiet_since
            if quiet >= MOST_QUIET:
                self._give_up(f"no source worked for {MOST_QUIET:g} s, the last because {self._reason}")
            elif quiet >= SILENCE:
                self._broadcast.take(null_packets(KEEPALIVE))

    def _silence_of(self, lead: Line, now: float) -> float:
        """
        For how long it has brought nothing.

        What is cut into segments comes in bursts: there, what came in advance has to be played first.
        """
        source = self._sources[lead.index][1]
        bursts = source.kind is SourceKind.HLS or bool(source.command)
        return self._pulse.silence(now, lead.heard) if bursts else now - lead.heard

    def _has_joined(self) -> bool:
        """Whether the lead has reached a join point since it fell silent."""
        joins = self._broadcast.ring.joins
        return bool(joins) and joins[-1].time > self._quiet_since

    # The end

    def _give_up(self, reason: str) -> None:
        self.close()
        self._given_up(Outcome.EXHAUSTED, reason)

    def close(self) -> None:
        """Let go of every connection."""
        self.state = FeedState.CLOSED
        self._drop_candidate()
        lead, self._lead = self._lead, None
        if lead is not None:
            lead.close()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
