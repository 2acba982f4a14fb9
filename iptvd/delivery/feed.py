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

from collections.abc import Awaitable, Callable
from enum import Enum

from attrs import frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from iptvd.delivery.broadcast import Broadcast
from iptvd.delivery.candidates import DELIVERED, MOST_ATTEMPTS, Candidates, Connected, Opens
from iptvd.delivery.line import Line
from iptvd.delivery.pulse import Pulse, Rate
from iptvd.delivery.search import Search
from iptvd.delivery.session import Viewer
from iptvd.delivery.slots import Slots
from iptvd.errors import UpstreamError
from iptvd.log import Log
from iptvd.model import Channel, Outcome, Source, SourceKind
from iptvd.protocols.mpegts import null_packets
from iptvd.protocols.process_upstream import ProcessUpstream

#: Seconds between two looks at how the lead is doing.
LOOK = 0.25
#: Seconds of silence after which the next source is connected beside the lead.
SILENCE = 1.0
#: Seconds without anything to watch after which it is given up, however few the attempts were.
MOST_QUIET = 60.0
#: Seconds that a source has to bring something that a viewer can begin with.
JOIN_PATIENCE = 15.0
#: Seconds of the ring that tell how the old stream ended.
TAIL = 2.0
#: Null packets that keep players alive while there is nothing else, and how often.
KEEPALIVE = 7


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
    :param switched: called when another source has taken over, with what led before, what leads now, and why.
    :ivar switches: how often another source has taken over.
    :ivar disguised: whether the source it began with is a playlist that its provider lists as a stream.
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
        switched: Callable[[str, str, str], None] = lambda former, source, reason: None,
    ) -> None:
        self.state = FeedState.CONNECTING
        self.switches = 0
        self.disguised = False
        self._channel = channel
        self._broadcast = broadcast
        self._candidates = Candidates(channel, sources, opener, slots, clock, wall)
        self._search = Search(self._candidates, clock, self._make_way, self._found, self._found_none, self._hopeless)
        self._clock = clock
        self._timing = timing
        self._given_up = given_up
        self._switched = switched
        self._lead: Line | None = None
        self._candidate: Line | None = None
        self._timer: IDelayedCall | None = None
        self._pulse = Pulse()
        self._rate = Rate()
        self._index = 0
        self._reason = ""
        self._cause = ""
        self._quiet_since = 0.0
        self._may_recover = False
        self._watched = True
        self._fed = 0.0

    @property
    def leading(self) -> tuple[str, int] | None:
        """The provider of the source that leads, and its place among the channel's, from 0; None when none does."""
        return (self._candidates.provider(self._lead.index), self._lead.index) if self._lead is not None else None

    @property
    def source(self) -> str:
        """Which source leads, as ``provider/place``; empty when none does."""
        return self._name(self._lead.index) if self._lead is not None else ""

    @property
    def pid(self) -> int:
        """The id of the process that makes the stream which leads, 0 where none does."""
        upstream = self._lead.upstream if self._lead is not None else None
        return upstream.pid if isinstance(upstream, ProcessUpstream) else 0

    @property
    def bitrate(self) -> float:
        """Bits a second that the source which leads has brought in the last seconds."""
        return self._rate.bits(self._clock.seconds())

    @property
    def providers(self) -> set[str]:
        """The providers with whom a connection is open."""
        lines = [line for line in (self._lead, self._candidate) if line is not None]
        return {self._candidates.provider(line.index) for line in lines}

    def _name(self, index: int) -> str:
        return f"{self._candidates.provider(index)}/{index}"

    # The beginning

    def follow_playlists(self) -> None:
        """Begin with a source that turns out to be a playlist, too, instead of raising that."""
        self._candidates.follows = True

    async def start(self, viewer: Viewer | None = None) -> None:
        """
        Open the first source that works.

        :param viewer: who wants it; something that the same viewer has turned away from makes way for it.
        :raises UpstreamError: that of the best, when none does.
        :raises LimitError: when there is no slot for any.
        :raises FoundPlaylist: when it is a playlist where a stream was listed, unless those are followed.
        :raises NotShareable: when it is no MPEG-TS.
        """
        try:
            connected = await self._candidates.open_best(viewer)
            upstream = connected.upstream
            self.disguised = connected.disguised
            self.follow_playlists()
            if upstream is None or self.state is FeedState.CLOSED:
                connected.close()
                if upstream is None:
                    raise NotShareable
                return
        except BaseException:
            self.state = FeedState.CLOSED
            raise
        line = Line(self, connected.index, upstream, connected.slot, self._clock.seconds())
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
            self._candidates.worked(line.index)
            self._fed = now
            self._rate.came(len(packets))
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
        self._candidates.expired()

    def line_ended(self, line: Line, reason: str) -> None:
        """A line has ended."""
        self._reason = reason
        self._candidates.failed(line.index)
        if line is self._candidate:
            self._candidate = None
        if line is self._lead:
            self._lead = None
            self._begin_switch(reason)
        if self.state is FeedState.SWITCHING:
            self._connect_next()

    # Switching

    def fail_over(self) -> None:
        """Go to the next source in order, by hand; nothing happens while there is none that could be left."""
        if self.state in (FeedState.STREAMING, FeedState.SWITCHING):
            self._begin_switch("by hand")
            self._drop_candidate()
            self._connect_next()

    async def renew(self) -> None:
        """Go on by the sources that the channel has now, from the next switch on."""
        await self._candidates.renew()

    def watch(self, watched: bool) -> None:
        """Say whether anybody watches: for nobody no further source is connected, and only the lead is kept."""
        self._watched = watched
        if not watched:
            self._drop_candidate()
        elif self.state is FeedState.SWITCHING:
            if self._lead is None:
                # What was not looked for has not been missed.
                self._quiet_since = self._clock.seconds()
            self._connect_next()

    def _begin_switch(self, reason: str, may_recover: bool = False) -> None:
        if self.state is FeedState.STREAMING:
            self._may_recover = may_recover
            self._cause = reason
            self.state = FeedState.SWITCHING
            self._quiet_since = self._clock.seconds()
            name = self._name(self._index)
            self.log.info(
                "channel {channel}: {source} fails: {reason}", channel=self._channel.id, source=name, reason=reason
            )

    def _take_over(self, line: Line, packets: bytes) -> None:
        """The candidate has reached a join point: from here on it leads."""
        self._broadcast.break_here()
        packets = line.entering(packets, self._broadcast, self._fed - TAIL)
        if line is self._lead:
            # The same source after a break of its own; whether it is silent has nothing to do with it.
            line.leads = True
            self._broadcast.take(packets)
            return
        former, self._lead, self._candidate = self._lead, None, None
        if former is not None:
            former.close()
        self.switches += 1
        before = self._name(self._index)
        self._set_lead(line)
        self.log.info(
            "channel {channel}: {source} carries on", channel=self._channel.id, source=self._name(line.index)
        )
        self._broadcast.take(packets)
        self._switched(before, self.source, self._cause)

    def _drop_candidate(self) -> None:
        self._search.stop()
        candidate, self._candidate = self._candidate, None
        if candidate is not None:
            candidate.close()

    def _connect_next(self) -> None:
        """Begin to connect a source beside what is there, unless that is being done."""
        if self._candidate is None and self._watched and self.state is not FeedState.CLOSED:
            self._search.go_on(self._index)

    def _found(self, connected: Connected) -> None:
        """The next source is open: have it look for a join point."""
        upstream = connected.upstream
        if upstream is None or self.state is not FeedState.SWITCHING:
            connected.close()
            if self.state is FeedState.SWITCHING:
                raise UpstreamError(502, "the origin sent something else than MPEG-TS")
            return
        self._candidate = line = Line(self, connected.index, upstream, connected.slot, self._clock.seconds())
        upstream.attach(line)

    def _found_none(self, reason: str) -> None:
        self._reason = reason

    def _hopeless(self) -> bool:
        """Give up where so many attempts have failed, unless something comes still of the source there is."""
        if self._lead is not None:
            return False
        few = f"{MOST_ATTEMPTS} attempts in a minute failed or brought less than {DELIVERED:g} s"
        self._give_up(f"{few}, the last because {self._reason}")
        return True

    def _make_way(self, provider: str) -> bool:
        """A provider that allows one connection leaves no room for two: close the silent one."""
        lead = self._lead
        if lead is None or self._candidates.provider(lead.index) != provider:
            return False
        self._lead = None
        lead.close()
        return True

    def _look(self) -> None:
        """Look how the lead is doing."""
        self._timer = self._clock.callLater(LOOK, self._look)
        now = self._clock.seconds()
        self._rate.see(now)
        lead = self._lead
        if lead is not None:
            self._pulse.see(now, self._broadcast.follower.last_pcr)
            if lead.leads and not lead.proven and lead.heard - lead.began >= DELIVERED:
                lead.proven = True
                self._candidates.delivered(lead.index)
            silent = self._silence_of(lead, now)
            if silent >= self._timing.stall:
                lead.end(f"the origin sent nothing for {self._timing.stall:g} s")
            elif silent >= SILENCE or self._pulse.trickles:
                self._begin_switch("it is silent" if silent >= SILENCE else "it trickles", silent >= SILENCE)
                self._connect_next()
            elif self.state is FeedState.SWITCHING and self._may_recover and self._has_joined():
                # It has come back before another one was there.
                self._drop_candidate()
                self.state = FeedState.STREAMING
        candidate = self._candidate
        if candidate is not None and now - candidate.heard >= self._timing.stall:
            candidate.end(f"the origin sent nothing for {self._timing.stall:g} s")
        for line in (self._candidate, self._lead):
            waits = line is not None and not (line.leads and self._broadcast.ring.joins)
            if line is not None and waits and now - line.began >= JOIN_PATIENCE:
                line.end("nothing came that a player can begin with")
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
        source = self._candidates.source(lead.index)
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
