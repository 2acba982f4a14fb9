"""The sessions of viewers of HLS: taken up by their first request, and over when none has come for a while."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from zlib import crc32

from attrs import define, field, frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from iptvd.delivery.session import Session, Viewer
from iptvd.delivery.slots import Slot
from iptvd.errors import LimitError, UpstreamError
from iptvd.model import Channel, Outcome, Source
from iptvd.protocols.hls_seam import End, Seam
from iptvd.protocols.m3u8 import Rewritten
from iptvd.recording import connection_of

#: Seconds a session lives on without a request before the target duration of its playlist is known.
FIRST_IDLE = 12.0
#: An idle session ends after this many target durations, but not before `LEAST_IDLE` seconds.
IDLE_TARGETS = 2
LEAST_IDLE = 6.0
#: Target durations for which a player may go on with one version of a live playlist: it gets one that is up to a half
#: old, and reloads it after one (RFC 8216 section 6.3.4).
RELOAD_TARGETS = 1.5
#: Seconds that a player may take beyond a target duration to ask for the next thing.
SLACK = 0.5
#: Playlists of a session whose tokens are remembered, and addresses of which it is known what was had there.
PLAYLISTS = 4
ADDRESSES = 16

#: Sessions that are over, but may be taken up again, of which what they had is remembered.
FORMER = 256

#: What a playlist is to the one that lists it: one of its variants, or a sound that belongs to them.
VARIANT = "variant"
AUDIO = "AUDIO"
#: Those without which a player shows nothing.
ESSENTIAL = (VARIANT, AUDIO)


@frozen
class Supply:
    """
    One of a channel's sources, as viewers of HLS have it.

    :ivar place: among the channel's, from 0.
    :ivar key: what the provider's connection is shared by.
    :ivar name: names it in tokens: the same after a restart and a new resolution.
    """

    source: Source
    provider: str
    place: int
    key: object
    name: int = field(init=False)

    @name.default
    def _name(self) -> int:
        return crc32(str(self).encode())

    def __str__(self) -> str:
        return f"{self.provider}/{self.place}"


def supplies_of(channel: Channel, sources: Sequence[tuple[str, Source]]) -> list[Supply]:
    """A channel's sources, best first, as its viewers have them."""
    return [
        Supply(source, provider, place, connection_of(channel, place))
        for place, (provider, source) in enumerate(sources)
    ]


@frozen
class Thread:
    """
    What a player has had of a playlist under one address.

    :ivar supply: the name of the source that it came from last.
    :ivar own: how far that goes in the source's own numbers, and ``end`` in those that the player knows.
    :ivar ended: whether that was all there is: it is no live playlist, or not any more.
    :ivar seam: where that source carried on another one, None where it did not.
    """

    supply: int
    own: End
    end: End
    ended: bool
    seam: Seam | None


@define(eq=False)
class HlsSession:
    """
    What is remembered of a viewer of HLS.

    :ivar supply: the source that it has now.
    :ivar choices: how many sources its channel has.
    :ivar slot: the provider's connection, None while it has none.
    :ivar known: the sources that its tokens may name.
    :ivar variables: those that the multivariant playlist defined (RFC 8216bis, EXT-X-DEFINE).
    :ivar rhythm: seconds within which a player that goes on asks for something.
    :ivar life: seconds for which what a playlist names is kept, see `iptvd.delivery.shelf.Terms`.
    :ivar heard: when it asked for something last, or had got it.
    :ivar bodies: what is being got for the viewer or is on its way there; it is not idle as long as there is any.
    :ivar followed: whether anything that its first playlist leads to was asked for.
    :ivar tokens: by playlist, those that it got for each link.
    :ivar routes: where the playlists are now that it was first led to, in their order: a source that is resolved anew
        has others, and so has another source. Empty where there is none.
    :ivar kinds: what those playlists are.
    :ivar threads: by address, what it had there.
    :ivar seam: the last one that was made with its source, for playlists that it has not had before.
    :ivar left: the name of the source that it is to leave by hand, None for none.
    """

    session: Session
    supply: Supply
    choices: int = 1
    left: int | None = None
    slot: Slot | None = None
    known: dict[int, Supply] = field(factory=dict)
    variables: dict[str, str] = field(factory=dict)
    idle: float = FIRST_IDLE
    rhythm: float = LEAST_IDLE
    life: float = LEAST_IDLE
    timer: IDelayedCall | None = None
    heard: float = 0.0
    bodies: int = 0
    followed: bool = False
    tokens: dict[str, dict[str, bytes]] = field(factory=dict, repr=False)
    routes: dict[str, str] = field(factory=dict, repr=False)
    kinds: dict[str, str] = field(factory=dict, repr=False)
    threads: dict[str, Thread] = field(factory=dict, repr=False)
    seam: Seam | None = None

    def __attrs_post_init__(self) -> None:
        self.known[self.supply.name] = self.supply

    def hold(self, slot: Slot) -> None:
        """Have this connection until the session ends, or another source is gone on with."""
        self.slot = slot
        if self.session.outcome is not None:
            self.let_go()
        else:
            self.session.at_end(lambda ended: self.let_go())

    def let_go(self) -> None:
        """Give the connection back."""
        slot, self.slot = self.slot, None
        if slot is not None:
            slot.release()

    def go_on_with(self, other: HlsSession) -> None:
        """Have the source of another, that was tried for this one, and its connection."""
        self.let_go()
        self.slot, other.slot = other.slot, None
        self.supply = other.supply
        self.known[self.supply.name] = self.supply
        self.variables, self.routes, self.kinds = other.variables, other.routes, other.kinds
        self.tokens.clear()
        self.seam = None
        self.left = None

    def resume(self, former: HlsSession) -> None:
        """Go on where one of the same player was over."""
        self.threads = former.threads
        if former.supply.name == self.supply.name:
            self.routes, self.kinds, self.seam = former.routes, former.kinds, former.seam
            self.variables = former.variables

    def is_plain(self, address: str) -> bool:
        """Whether the numbers that the player has of a playlist are those of the source that it has now."""
        thread = self.threads.get(address)
        if thread is None:
            return self.seam is None
        return thread.seam is None and thread.supply == self.supply.name

    def take_in(self, facts: Rewritten) -> None:
        """What a playlist says that its viewer goes on with."""
        if facts.variables:
            self.variables.update(facts.variables)
        target = facts.target_duration
        if target is None:
            return
        self.rhythm = target + SLACK
        self.idle = max(LEAST_IDLE, IDLE_TARGETS * target)
        # A film's playlist is not loaded again.
        self.life = 2 * self.idle if facts.ended else RELOAD_TARGETS * target

    def leads_to(self, playlists: Mapping[str, str]) -> None:
        """
        These are the playlists of its source now: each in the place of the one that it was led to first.

        :param playlists: what each URL is, in their order.
        """
        if not self.routes:
            self.routes = {url: url for url in playlists}
            self.kinds = dict(playlists)
        for first in self.routes:
            # Of a session of before a restart it is not known.
            self.kinds.setdefault(first, playlists[_most_alike(first, list(playlists))])
        for kind in dict.fromkeys(self.kinds.values()):
            here = [first for first in self.routes if self.kinds[first] == kind]
            there = [url for url, its in playlists.items() if its == kind]
            if not there and kind in ESSENTIAL:
                # Sound that is not apart is in the variants.
                there = [url for url, its in playlists.items() if its in ESSENTIAL]
            for place, first in enumerate(here):
                if len(here) == len(there):
                    self.routes[first] = there[place]
                else:
                    # Not all of them are known: what has moved mostly keeps the end of its address.
                    self.routes[first] = _most_alike(self.routes[first], there) if there else ""

    def route(self, url: str) -> str:
        """Where a playlist that it was led to is now; empty when its source has none."""
        return self.routes.get(url, url)

    def remember_tokens(self, playlist: str, tokens: dict[str, bytes]) -> None:
        """Keep the tokens of a playlist, for the next time that it is asked for."""
        if playlist not in self.tokens and len(self.tokens) >= PLAYLISTS:
            del self.tokens[next(iter(self.tokens))]
        self.tokens[playlist] = tokens

    def remember(self, address: str, thread: Thread) -> None:
        """Keep what the player has had under an address."""
        if address not in self.threads and len(self.threads) >= ADDRESSES:
            del self.threads[next(iter(self.threads))]
        self.threads[address] = thread


def _most_alike(url: str, others: Sequence[str]) -> str:
    """The one whose end has most in common with that of an address."""
    alike = [_same_end(each, url) for each in others]
    return others[alike.index(max(alike))]


def _same_end(one: str, other: str) -> int:
    """How many characters the ends of two addresses have in common."""
    return sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(reversed(one), reversed(other), strict=False))
    )


def end_unserved(session: Session, error: BaseException) -> None:
    """End a session in which nothing was given, because of an error or because its viewer waited no longer."""
    if isinstance(error, UpstreamError):
        session.end(Outcome.EXHAUSTED, error.sentence)
    elif isinstance(error, LimitError):
        session.end(Outcome.REFUSED, error.sentence)
    else:
        session.end(Outcome.VIEWER_LEFT)


class HlsSessions:
    """Those that go on, by the id of their session."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._known: dict[str, HlsSession] = {}
        self._unfollowed: dict[str, HlsSession] = {}
        self._former: dict[str, HlsSession] = {}

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._known

    def __iter__(self) -> Iterator[HlsSession]:
        return iter(list(self._known.values()))

    def get(self, session_id: str) -> HlsSession | None:
        """The session of that id, None when there is none."""
        return self._known.get(session_id)

    def former(self, session_id: str) -> HlsSession | None:
        """The session of that id that is over, if it went over to another source; it is asked for once."""
        return self._former.pop(session_id, None)

    def heard_of(self, hls: HlsSession) -> None:
        """Its viewer is there now: it goes on for a while."""
        session = hls.session
        if session.outcome is not None:
            # It has ended while something was waited for.
            return
        hls.heard = self._clock.seconds()
        if session.id not in self._known:
            self._known[session.id] = hls
            session.at_end(self._forget)
            if not hls.followed:
                self._unfollowed[session.id] = hls
        if hls.timer is not None and hls.timer.active():
            hls.timer.reset(hls.idle)
        else:
            hls.timer = self._clock.callLater(hls.idle, self._idle, hls)

    def followed(self, hls: HlsSession) -> None:
        """Something that its first playlist leads to is asked for."""
        hls.followed = True
        self._unfollowed.pop(hls.session.id, None)
        self.heard_of(hls)

    def give_up(self, provider: str, viewer: Viewer | None) -> bool:
        """
        End a session of a viewer who wants a connection of the provider for something else.

        One address and agent may be many people (behind a server): only one that a player which goes on would have
        been heard of in meanwhile, and of which nothing is on its way.
        """
        now = self._clock.seconds()
        for hls in self:
            idle = not hls.bodies and now - hls.heard >= hls.rhythm
            if idle and hls.supply.provider == provider and hls.session.viewer == viewer:
                hls.session.end(Outcome.VIEWER_LEFT, "its viewer turned to another channel")
                return True
        return False

    def end_unfollowed(self, channel_id: int, viewer: Viewer) -> None:
        """
        End what this viewer has opened of the channel and not followed.

        Players look at what is at an address and then open it anew: the first look must not take the place of the
        second. Should it have been another player, its next request takes the session up again.
        """
        for hls in list(self._unfollowed.values()):
            if hls.session.channel.id == channel_id and hls.session.viewer == viewer:
                hls.session.end(Outcome.VIEWER_LEFT, "the channel was opened anew")

    def _idle(self, hls: HlsSession) -> None:
        """Nothing was asked for in a while; whether what is on its way is read is for its relay to judge."""
        if hls.bodies:
            self.heard_of(hls)
        else:
            hls.session.end(Outcome.VIEWER_LEFT)

    def _forget(self, session: Session) -> None:
        hls = self._known.pop(session.id, None)
        self._unfollowed.pop(session.id, None)
        if hls is not None and any(thread.seam is not None for thread in hls.threads.values()):
            # A player that pauses has still to have its numbers go on.
            self._former[session.id] = hls
            if len(self._former) > FORMER:
                del self._former[next(iter(self._former))]
        if hls is not None and hls.timer is not None and hls.timer.active():
            hls.timer.cancel()
