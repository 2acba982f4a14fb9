"""The sessions of viewers of HLS: taken up by their first request, and over when none has come for a while."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from zlib import crc32

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from iptvd.delivery.session import Session, Viewer
from iptvd.model import Outcome, Source
from iptvd.protocols.m3u8 import Rewritten

#: Seconds a session lives on without a request before the target duration of its playlist is known.
FIRST_IDLE = 30.0
#: An idle session ends after this many target durations, but not before `LEAST_IDLE` seconds.
IDLE_TARGETS = 2
LEAST_IDLE = 6.0
#: Target durations for which a player may go on with one version of a live playlist: it gets one that is up to a half
#: old, and reloads it after one (RFC 8216 section 6.3.4).
RELOAD_TARGETS = 1.5
#: Playlists of a session whose tokens are remembered.
PLAYLISTS = 4


@define(eq=False)
class HlsSession:
    """
    What is remembered of a viewer of HLS.

    :ivar source_name: names the source in tokens.
    :ivar slot_key: what the provider's connection is shared by.
    :ivar variables: those that the multivariant playlist defined (RFC 8216bis, EXT-X-DEFINE).
    :ivar life: seconds for which what a playlist names is kept, see `iptvd.delivery.shelf.Terms`.
    :ivar bodies: segments and the like that are on their way to the viewer; it is not idle as long as there are any.
    :ivar followed: whether anything that its first playlist leads to was asked for.
    :ivar tokens: by playlist, those that it got for each link.
    :ivar routes: where the playlists are now that it was first led to, in their order: a source that is resolved anew
        has others.
    """

    session: Session
    source: Source
    source_name: int
    provider: str
    slot_key: object
    variables: dict[str, str] = field(factory=dict)
    idle: float = FIRST_IDLE
    life: float = LEAST_IDLE
    timer: IDelayedCall | None = None
    bodies: int = 0
    followed: bool = False
    tokens: dict[str, dict[str, bytes]] = field(factory=dict, repr=False)
    routes: dict[str, str] = field(factory=dict, repr=False)

    def take_in(self, facts: Rewritten) -> None:
        """What a playlist says that its viewer goes on with."""
        if facts.variables:
            self.variables.update(facts.variables)
        target = facts.target_duration
        if target is None:
            return
        self.idle = max(LEAST_IDLE, IDLE_TARGETS * target)
        # A film's playlist is not loaded again.
        self.life = 2 * self.idle if facts.ended else RELOAD_TARGETS * target

    def leads_to(self, playlists: Sequence[str]) -> None:
        """These are the playlists of its source now: each in the place of the one that it was led to first."""
        if not self.routes:
            self.routes = {url: url for url in playlists}
        for place, (first, former) in enumerate(self.routes.items()):
            if len(playlists) == len(self.routes):
                self.routes[first] = playlists[place]
            else:
                # Not all of them are known: what has moved mostly keeps the end of its address.
                alike = [_same_end(url, former) for url in playlists]
                self.routes[first] = playlists[alike.index(max(alike))]

    def route(self, url: str) -> str:
        """Where a playlist that it was led to is now."""
        return self.routes.get(url, url)

    def remember_tokens(self, playlist: str, tokens: dict[str, bytes]) -> None:
        """Keep the tokens of a playlist, for the next time that it is asked for."""
        if playlist not in self.tokens and len(self.tokens) >= PLAYLISTS:
            del self.tokens[next(iter(self.tokens))]
        self.tokens[playlist] = tokens


def _same_end(one: str, other: str) -> int:
    """How many characters the ends of two addresses have in common."""
    return sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(reversed(one), reversed(other), strict=False))
    )


class HlsSessions:
    """Those that go on, by the id of their session."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._known: dict[str, HlsSession] = {}
        self._unfollowed: dict[str, HlsSession] = {}

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._known

    def __iter__(self) -> Iterator[HlsSession]:
        return iter(list(self._known.values()))

    def get(self, session_id: str) -> HlsSession | None:
        """The session of that id, None when there is none."""
        return self._known.get(session_id)

    def heard_of(self, hls: HlsSession) -> None:
        """Its viewer is there now: it goes on for a while."""
        session = hls.session
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

        One address and agent may be many people (behind a server): only what nothing is being taken of right now.
        """
        for hls in self:
            if hls.provider == provider and not hls.bodies and hls.session.viewer == viewer:
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
        if hls is not None and hls.timer is not None and hls.timer.active():
            hls.timer.cancel()


def name_of_source(index: int, provider: str) -> int:
    """Names a source in a token: what survives a restart and a new resolution."""
    return crc32(f"{provider}/{index}".encode())
