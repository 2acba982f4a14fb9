"""
What keeps the playlists of a session coming: its source resolved anew, or the channel's next one.

A source fails when a playlist that a player needs cannot be had, comes too late or does not move on. Then the session
goes over to the next source in turn that works, with all of its playlists: each address that the player knows leads to
the one in its place there, which carries on what was there before (`iptvd.protocols.hls_seam`). Where no other works
the player gets what the first one gives, be it an error. A source that has failed is left alone for a while, so that
no number of viewers makes a storm of attempts.

What was given to a player before a restart is not known after it: then its playlists are those of the source that its
address names, or of the next, with that source's own numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from iptvd.delivery.candidates import Health
from iptvd.delivery.hls_playlists import HlsPlaylists
from iptvd.delivery.hls_sessions import ESSENTIAL, VARIANT, HlsSession, HlsSessions, Supply, supplies_of
from iptvd.delivery.hub import Hub
from iptvd.delivery.locator import locate
from iptvd.delivery.opening import SourceGone
from iptvd.delivery.slots import Slot
from iptvd.delivery.template import Template
from iptvd.errors import LimitError, UpstreamError
from iptvd.log import Log
from iptvd.model import Channel, Source
from iptvd.protocols.m3u8_tags import attributes

#: Seconds that a playlist has to come in where there is another source, however late it is already.
LEAST_PATIENCE = 1.0
#: Seconds that each of the playlists of another source has to come in.
TRIAL = 5.0
#: Sources of which it is known that they failed.
MOST_FAILING = 1024

_LISTS = (b"#EXT-X-MEDIA", b"#EXT-X-I-FRAME-STREAM-INF", b"#EXT-X-IMAGE-STREAM-INF")


class HlsSwitching:
    """
    Gets playlists for sessions.

    :ivar switched: called when the first viewer of a channel goes over to another of its sources, with what it had
        before, what it has now, and why.
    """

    log = Log()

    def __init__(self, hub: Hub, playlists: HlsPlaylists, sessions: HlsSessions, clock: IReactorTime) -> None:
        self.switched: Callable[[Channel, str, str, str], None] = lambda channel, former, source, reason: None
        self._hub = hub
        self._playlists = playlists
        self._sessions = sessions
        self._clock = clock
        self._failing: dict[tuple[str, object], Health] = {}

    def fail_over(self, channel_id: int) -> int:
        """
        Have the viewers of a channel go over to its next source, by hand, when their players ask for something.

        :return: how many they are.
        """
        theirs = [each for each in self._sessions if each.session.channel.id == channel_id]
        for hls in theirs:
            hls.left = hls.supply.name
        return len(theirs)

    def wants_another(self, hls: HlsSession, address: str) -> bool:
        """Whether another source is to be looked for though a playlist is there: by hand, or because it is old."""
        return self._is_left(hls, address) or (hls.choices > 1 and self._overdue(hls, address))

    def _is_left(self, hls: HlsSession, address: str) -> bool:
        return hls.left == hls.supply.name and hls.kinds.get(address, VARIANT) in ESSENTIAL

    async def playlist(self, hls: HlsSession, address: str, query: str) -> tuple[str, Template]:
        """
        The playlist for an address, and where it is, from the session's source or another that it has then.

        :param query: the request's.
        :raises LimitError, UpstreamError: when it is not to be had anywhere.
        """
        former = hls.supply
        try:
            found = await self._current(hls, address, query)
        except (UpstreamError, LimitError) as error:
            if not await self._go_over(hls, former, address, error.sentence):
                raise
        else:
            if hls.supply.name == former.name:
                if not self.wants_another(hls, address):
                    self._failing.pop(_home(former), None)
                    return found
                reason = "by hand" if self._is_left(hls, address) else "its playlist does not move on"
                if not await self._go_over(hls, former, address, reason):
                    # By hand it is tried once.
                    hls.left = None
                    return found
            # Else another request of the same player has gone over meanwhile: what came is of the former source.
        return await self._current(hls, address, query)

    def _overdue(self, hls: HlsSession, address: str) -> bool:
        return self._playlists.freshness.overdue(locate(hls.supply.source, hls.route(address)))

    # The source that the session has

    async def _current(self, hls: HlsSession, address: str, query: str) -> tuple[str, Template]:
        there = self._route(hls, address)
        try:
            return there, await self._in_time(hls, address, there, query)
        except SourceGone:
            await self._renew(hls, address)
            if hls.route(address) == there:
                raise
        there = self._route(hls, address)
        return there, await self._in_time(hls, address, there, query)

    def _route(self, hls: HlsSession, address: str) -> str:
        there = hls.route(address)
        if not there:
            raise UpstreamError(404, "the source that has taken over has no such playlist")
        return there

    async def _in_time(self, hls: HlsSession, address: str, there: str, query: str) -> Template:
        """A playlist; one that is known to be live is not waited for until the player has nothing left."""
        # Else the numbers in the query are not those of the source.
        query = query if hls.is_plain(address) else ""
        work = Deferred.fromCoroutine(self._playlists.get(hls, there, query))
        left = self._playlists.freshness.left(locate(hls.supply.source, there)) if hls.choices > 1 else None
        if left is not None:
            work.addTimeout(max(left, LEAST_PATIENCE), self._clock)
        try:
            return await work
        except TimeoutError:
            raise UpstreamError(504, "the origin's playlist does not come in time") from None

    async def _renew(self, hls: HlsSession, address: str) -> None:
        """Find where the source of a session is now; nothing changes when it is where it was."""
        channel = hls.session.channel
        supplies = supplies_of(channel, await self._hub.sources(channel, channel.source_kind))
        fresh = next((each for each in supplies if each.name == hls.supply.name), None)
        if fresh is None or (fresh.source.url == hls.supply.source.url and address in hls.routes):
            return
        template = await self._playlists.get(hls, fresh.source.url)
        hls.supply = hls.known[fresh.name] = fresh
        # After a restart nothing is known of a session but what its player asks for.
        hls.routes.setdefault(address, address)
        hls.leads_to(playlists_of(fresh.source, template))

    # Another one

    async def _go_over(self, hls: HlsSession, former: Supply, address: str, reason: str) -> bool:
        """Have the session go over to the next source that works, and say whether it has another one now."""
        if hls.supply.name != former.name:
            # Another request of the same player was quicker.
            return True
        thread = hls.threads.get(address)
        needed = hls.kinds.get(address, VARIANT) in ESSENTIAL and (address in hls.routes or not hls.routes)
        if not needed or (thread is not None and thread.ended):
            # What a player can do without, or a film, which would begin anew.
            return False
        self._failed(former)
        trial = await self._another(hls, former, address)
        if trial is None or hls.session.outcome is not None or hls.supply.name != former.name:
            if trial is not None:
                trial.let_go()
            return hls.supply.name != former.name
        channel = hls.session.channel
        first = all(each.supply != trial.supply or each.session.channel.id != channel.id for each in self._sessions)
        hls.go_on_with(trial)
        self.log.info(
            "session {session}: {source} fails: {reason}; {other} carries on",
            session=hls.session.id,
            channel=channel.id,
            source=str(former),
            other=str(hls.supply),
            reason=reason,
        )
        if first:
            self.switched(channel, str(former), str(hls.supply), reason)
        return True

    async def _another(self, hls: HlsSession, former: Supply, address: str) -> HlsSession | None:
        """A session as this one would be with the next source that works; None when there is none."""
        channel = hls.session.channel
        seen: list[Source] = [former.source]
        # What is remembered of where the others are may be old: once more with those that are elsewhere then.
        for again in (False, True):
            try:
                supplies = supplies_of(channel, await self._hub.sources(channel, channel.source_kind))
            except UpstreamError:
                return None
            hls.choices = len(supplies)
            others = [each for each in _after(former, supplies) if each.source not in seen]
            seen += [each.source for each in others]
            gone = False
            for supply in others if again else filter(self._may_try, others):
                try:
                    return await self._tried(hls, supply, address)
                except LimitError:
                    continue
                except UpstreamError as error:
                    gone = gone or isinstance(error, SourceGone)
                self._failed(supply)
            if not gone:
                return None
        return None

    async def _tried(self, hls: HlsSession, supply: Supply, address: str) -> HlsSession:
        """
        A session as this one would be with another source, with the connection for it; it has the playlist asked for.

        :raises LimitError, UpstreamError: when it cannot go on like that.
        """
        trial = HlsSession(hls.session, supply)
        trial.routes = dict(hls.routes) or {address: address}
        trial.kinds = dict(hls.kinds) or {address: VARIANT}
        slot, gave_up = self._slot(hls, supply)
        try:
            if slot is None:
                raise LimitError(self._hub.full(supply.provider))
            template = await self._within(trial, supply.source.url)
            trial.take_in(template.facts)
            trial.leads_to(playlists_of(supply.source, template))
            if template.facts.multivariant:
                template = await self._within(trial, trial.route(address))
            if not template.facts.segments or (template.facts.ended and address in hls.threads):
                raise UpstreamError(502, "the origin's playlist has nothing that is on now")
            if self._overdue(trial, address):
                raise UpstreamError(504, "the origin's playlist does not move on")
        except BaseException:
            if slot is not None:
                slot.release()
            for each in gave_up:
                if each.slot is None and each.session.outcome is None:
                    each.slot = self._hub.slots.share(each.supply.provider, each.supply.key)
            raise
        trial.slot = slot
        return trial

    async def _within(self, trial: HlsSession, url: str) -> Template:
        work = Deferred.fromCoroutine(self._playlists.get(trial, url))
        try:
            return await work.addTimeout(TRIAL, self._clock)
        except TimeoutError:
            raise UpstreamError(504, f"the origin's playlist took longer than {TRIAL:g} s") from None

    def _slot(self, hls: HlsSession, supply: Supply) -> tuple[Slot | None, list[HlsSession]]:
        """A connection for another source, and the sessions that gave theirs for it, if that had to be."""
        slots, viewer, former = self._hub.slots, hls.session.viewer, hls.supply
        slot = slots.share(supply.provider, supply.key, viewer)
        if slot is not None or supply.provider != former.provider:
            return slot, []
        # A provider that allows one connection leaves no room for two: all let go of the source that fails.
        sharing = [each for each in self._sessions if _home(each.supply) == _home(former)]
        for each in sharing:
            each.let_go()
        return slots.share(supply.provider, supply.key, viewer), sharing

    # How they do

    def _may_try(self, supply: Supply) -> bool:
        health = self._failing.get(_home(supply))
        return health is None or health.not_before <= self._clock.seconds()

    def _failed(self, supply: Supply) -> None:
        """It has failed; of the many viewers who find that out at the same time one counts."""
        if self._may_try(supply):
            self._failing.setdefault(_home(supply), Health()).failed(self._clock.seconds())
            if len(self._failing) > MOST_FAILING:
                del self._failing[next(iter(self._failing))]


def _home(supply: Supply) -> tuple[str, object]:
    return supply.provider, supply.key


def _after(former: Supply, supplies: Sequence[Supply]) -> list[Supply]:
    """All but one, in turn from the next to the one before it."""
    at = next((place for place, each in enumerate(supplies) if each.name == former.name), -1)
    return [*supplies[at + 1 :], *supplies[: max(at, 0)]]


def playlists_of(source: Source, template: Template) -> dict[str, str]:
    """The playlists that a player goes on with, and what each is: those that the first leads to, or that itself."""
    found: dict[str, str] = {}
    if template.facts.multivariant:
        links = template.links
        for line in template.filled([b"%d" % place for place in range(len(links))]).splitlines():
            tag, colon, value = line.strip().partition(b":")
            if tag in _LISTS and colon:
                told = {name: value for name, value, _ in attributes(value)}
                if told.get(b"URI", b"").isdigit():
                    found.setdefault(links[int(told[b"URI"])].url, told.get(b"TYPE", tag).decode("utf-8", "replace"))
            elif tag.isdigit():
                found[links[int(tag)].url] = VARIANT
    return found or {source.url: VARIANT}
