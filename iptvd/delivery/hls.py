"""
HLS passed through: the origin's playlists with every URI replaced by a token of ours, and what the tokens stand for.

A viewer's session is named in its tokens, so that each later request says whose it is; tokens survive a restart, and
so does a session: it is taken up again by the first request that names it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from iptvd.delivery.hls_playlists import HlsPlaylists
from iptvd.delivery.hls_sessions import HlsSession, HlsSessions, Supply, end_unserved, supplies_of
from iptvd.delivery.hls_switching import HlsSwitching, playlists_of
from iptvd.delivery.hub import Hub
from iptvd.delivery.locator import locate
from iptvd.delivery.opening import Ask, Opened, SourceGone
from iptvd.delivery.patience import patiently
from iptvd.delivery.segments import SegmentCache
from iptvd.delivery.session import Face, Session, Viewer
from iptvd.delivery.shelf import Entry, Terms
from iptvd.errors import IptvdError, LimitError, TokenError, UpstreamError
from iptvd.model import Channel, Outcome, Source
from iptvd.protocols.m3u8 import Role, single_variant
from iptvd.tokens import Grant, TokenBox


@frozen
class Kept:
    """
    A segment or the like that is there, for a session.

    :ivar begin: to be called when sending it takes longer; what it gives is to be called when that is over.
    """

    session: Session
    entry: Entry
    begin: Callable[[], Callable[[], None]]


class HlsRelay:
    """
    Serves HLS channels.

    :param find: gives a channel by its id, None when there is none.
    :param sliced: see `iptvd.slices.Slicer`.
    :param cache: what viewers have in common is fetched once.
    :param proxy_content: whether segments go through us even where the viewer could get them directly.
    """

    def __init__(
        self,
        hub: Hub,
        tokens: TokenBox,
        find: Callable[[int], Channel | None],
        clock: IReactorTime,
        sliced: Callable[[Iterator[object]], Awaitable[None]],
        proxy_content: bool,
        cache: SegmentCache,
    ) -> None:
        self._cache = cache
        self._hub = hub
        self._tokens = tokens
        self._find = find
        self._clock = clock
        self._playlists = HlsPlaylists(hub, tokens, clock, sliced, proxy_content, cache)
        self._sessions = HlsSessions(clock)
        #: See its ``switched``.
        self.switching = HlsSwitching(hub, self._playlists, self._sessions, clock)
        hub.slots.on_want(self._sessions.give_up)
        hub.slots.on_want(lambda provider, viewer: cache.let_go(provider))

    @property
    def proxy_content(self) -> bool:
        """See `HlsPlaylists`."""
        return self._playlists.proxy_content

    @proxy_content.setter
    def proxy_content(self, value: bool) -> None:
        self._playlists.proxy_content = value

    @property
    def cached(self) -> int:
        """How many segments and keys are kept."""
        return self._cache.figures.entries

    async def open(self, channel: Channel, viewer: Viewer, root: str = "../") -> bytes:
        """
        Begin a session and give the playlist a player is to start with.

        :param root: the way from that playlist to the top of the tree.
        :raises LimitError: when it is not admitted.
        :raises UpstreamError: when no source has a playlist.
        """
        self._sessions.end_unfollowed(channel.id, viewer)
        session = self._hub.admit(channel, viewer, Face.HLS)
        try:
            return await patiently(self._clock, lambda: self._open(channel, session, root))
        except BaseException as error:
            end_unserved(session, error)
            raise

    async def _open(self, channel: Channel, session: Session, root: str) -> bytes:
        sources = await self._hub.sources(channel, channel.source_kind)
        try:
            return await self._open_first(channel, session, root, sources)
        except SourceGone:
            # Resolved anew before it counts: what is remembered of where a source is may be old.
            fresh = await self._hub.sources(channel, channel.source_kind)
            if fresh == sources:
                raise
            return await self._open_first(channel, session, root, fresh)

    async def _open_first(
        self, channel: Channel, session: Session, root: str, sources: Sequence[tuple[str, Source]]
    ) -> bytes:
        first_error: UpstreamError | None = None
        full = ""
        for supply in supplies_of(channel, sources):
            hls = HlsSession(session, supply, len(sources))
            slot = self._hub.slots.share(supply.provider, supply.key, session.viewer)
            if slot is None:
                full = full or self._hub.full(supply.provider)
                continue
            url = supply.source.url
            try:
                template = await self._playlists.get(hls, url)
            except UpstreamError as error:
                slot.release()
                first_error = first_error or error
                continue
            except BaseException:
                slot.release()
                raise
            hls.hold(slot)
            if session.outcome is not None:
                raise UpstreamError(503, session.reason or "iptvd is stopping")
            hls.take_in(template.facts)
            hls.leads_to(playlists_of(supply.source, template))
            self._sessions.heard_of(hls)
            if template.facts.multivariant:
                sealed = await self._playlists.sealed(hls, template)
                return self._playlists.filled(hls, url, template, sealed, f"{root}content/".encode())
            # A media playlist is not handed over at once: what the player reloads has to say whose it is.
            return single_variant(f"{root}content/{self._playlists.seal(hls, url, Role.PLAYLIST)}.m3u8")
        if first_error is not None:
            raise first_error
        raise LimitError(full) if full else UpstreamError(502, "it has no source")

    def fail_over(self, channel_id: int) -> int:
        """See `HlsSwitching.fail_over`."""
        return self.switching.fail_over(channel_id)

    def leading(self, channel_id: int) -> int | None:
        """The place of the source of the channel's viewer who began last; None where there is none."""
        return next(
            (each.supply.place for each in reversed(list(self._sessions)) if each.session.channel.id == channel_id),
            None,
        )

    async def playlist(self, token: str, query: str, viewer: Viewer) -> bytes:
        """
        A playlist that a token stands for, as it is now.

        :param query: the request's; only delivery directives (RFC 8216bis section 6.2.5) are passed on.
        :raises TokenError, LimitError, UpstreamError:
        """
        grant = self._grant(token, Role.PLAYLIST)
        hls = await self._session_of(grant, viewer)
        hls.bodies += 1
        try:
            url, template = await self.switching.playlist(hls, grant.url, query)
            sealed = await self._playlists.sealed(hls, template)
        finally:
            hls.bodies -= 1
        _still_on(hls.session)
        hls.take_in(template.facts)
        self._sessions.heard_of(hls)
        return self._playlists.delivered(hls, grant.url, url, template, sealed)

    def playlist_at_once(self, token: str, viewer: Viewer) -> bytes | None:
        """As `playlist` without a query, where everything for it is there; else None, and nothing has happened."""
        found = self._found(token, viewer)
        if found is None or found[0].role is not Role.PLAYLIST:
            return None
        grant, hls = found
        url = hls.route(grant.url)
        template = self._playlists.ready(hls, url)
        if template is None or self.switching.wants_another(hls, grant.url):
            return None
        try:
            body = self._playlists.delivered(hls, grant.url, url, template, {})
        except UpstreamError:
            return None
        hls.take_in(template.facts)
        self._sessions.followed(hls)
        return body

    def content_at_once(self, token: str, viewer: Viewer) -> Kept | None:
        """As `content` of a segment, where that is there; else None, and nothing has happened."""
        found = self._found(token, viewer)
        if found is None or found[0].role is Role.KEY:
            return None
        grant, hls = found
        supply = hls.known.get(grant.source)
        entry = self._cache.whole(locate(supply.source, grant.url), grant.role) if supply is not None else None
        if entry is None:
            return None
        self._sessions.followed(hls)
        hls.session.segments += grant.role is Role.SEGMENT

        def begin() -> Callable[[], None]:
            give_back = entry.body.lend()
            hls.bodies += 1

            def over() -> None:
                give_back()
                self._over(hls)

            return over

        return Kept(hls.session, entry, begin)

    def _found(self, token: str, viewer: Viewer) -> tuple[Grant, HlsSession] | None:
        try:
            grant = self._tokens.open(token, self._sessions.__contains__)
        except TokenError:
            return None
        hls = self._sessions.get(grant.session)
        # Another user's is refused the long way.
        return None if hls is None or hls.session.viewer.user != viewer.user else (grant, hls)

    async def content(
        self, token: str, role: Role | None, ask: Ask, viewer: Viewer
    ) -> tuple[Session, Opened, Callable[[Outcome, str], None]]:
        """
        Open the segment, key or other thing that a token stands for.

        :param role: what it has to be, or None for anything but a key or a playlist.
        :return: whose it is, what was opened, and what is to be called once that is over.
        :raises TokenError, LimitError, UpstreamError:
        """
        grant = self._grant(token, role)
        hls = await self._session_of(grant, viewer)
        supply = await self._supply(hls, grant.source)
        session, opener, source = hls.session, self._hub.opener, supply.source
        _still_on(session)
        terms = Terms(hls.life, supply.provider, lambda: self._playlists.slot(hls, supply))
        locator = locate(source, grant.url)
        hls.bodies += 1
        work = Deferred.fromCoroutine(
            self._cache.open(locator, ask, grant.role, terms, lambda: opener.open_url(source, grant.url, ask))
        )
        # A session that ends waits for nothing more.
        forget = session.at_end(lambda ended: work.cancel())
        opened: Opened | None = None
        try:
            opened = await work
        except CancelledError:
            _still_on(session)
            raise
        finally:
            forget()
            if opened is None or opened.upstream is None:
                hls.bodies -= 1
        session.segments += grant.role is Role.SEGMENT and opened.upstream is not None
        return session, opened, lambda outcome, reason: self._over(hls)

    def _over(self, hls: HlsSession) -> None:
        """A body has gone to the viewer, or not."""
        hls.bodies -= 1
        self._sessions.heard_of(hls)

    def _grant(self, token: str, role: Role | None) -> Grant:
        # A player may reload the playlist that it was given first for as long as it plays.
        grant = self._tokens.open(token, self._sessions.__contains__)
        fits = grant.role not in (Role.KEY, Role.PLAYLIST) if role is None else grant.role is role
        if not fits:
            raise TokenError("this address is not for what it is used for")
        return grant

    async def _session_of(self, grant: Grant, viewer: Viewer) -> HlsSession:
        hls = self._sessions.get(grant.session) or await self._taken_up(grant, viewer)
        hls.session.require(viewer)
        self._sessions.followed(hls)
        return hls

    async def _taken_up(self, grant: Grant, viewer: Viewer) -> HlsSession:
        """A session that was given up, or is of before a restart."""
        channel = self._find(grant.channel)
        if channel is None:
            raise UpstreamError(404, "this channel is no longer in the lineup")
        sources = await self._hub.sources(channel, channel.source_kind)
        # Another request of the same player may have been quicker.
        present = self._sessions.get(grant.session)
        if present is not None:
            return present
        supplies = supplies_of(channel, sources)
        former = self._sessions.former(grant.session)
        name = former.supply.name if former is not None else grant.source
        supply = next((each for each in supplies if each.name == name), supplies[0])
        slot = self._hub.slots.share(supply.provider, supply.key, viewer)
        if slot is None:
            raise LimitError(self._hub.full(supply.provider))
        try:
            session = self._hub.admit(channel, viewer, Face.HLS, grant.session)
        except IptvdError:
            slot.release()
            raise
        hls = HlsSession(session, supply, len(sources))
        if former is not None:
            hls.resume(former)
        hls.hold(slot)
        return hls

    async def _supply(self, hls: HlsSession, name: int) -> Supply:
        """The source that a token names, which its session need not have any more; else the one that it has."""
        known = hls.known.get(name)
        if known is None:
            channel = hls.session.channel
            supplies = supplies_of(channel, await self._hub.sources(channel, channel.source_kind))
            known = next((each for each in supplies if each.name == name), hls.supply)
            hls.known.setdefault(name, known)
        return known


def _still_on(session: Session) -> None:
    """
    Go on only with a session that goes on.

    :raises LimitError: when it has ended while something was waited for.
    """
    if session.outcome is not None:
        raise LimitError(session.reason or "iptvd is stopping") from None
