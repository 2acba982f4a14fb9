"""
HLS passed through: the origin's playlists with every URI replaced by a token of ours, and what the tokens stand for.

A viewer's session is named in its tokens, so that each later request says whose it is; tokens survive a restart, and
so does a session: it is taken up again by the first request that names it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from urllib.parse import parse_qsl, urlsplit
from zlib import crc32

from attrs import define, field
from twisted.internet.defer import TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from iptvd.delivery.hub import Hub
from iptvd.delivery.locator import locate
from iptvd.delivery.opening import Ask, Opened, refusal
from iptvd.delivery.playlists import PlaylistBody
from iptvd.delivery.segments import SegmentCache
from iptvd.delivery.session import Face, Session, Viewer
from iptvd.delivery.whole import Whole
from iptvd.errors import LimitError, ProtocolError, TokenError, UpstreamError
from iptvd.model import Channel, Outcome, Source
from iptvd.protocols.m3u8 import MAX_BODY, Rewriting, Rewritten, Role, single_variant
from iptvd.protocols.sniff import ENOUGH
from iptvd.tokens import Grant, TokenBox

#: Seconds a session lives on without a request before the target duration of its playlist is known.
FIRST_IDLE = 30.0
#: An idle session ends after this many target durations, but not before `LEAST_IDLE` seconds.
IDLE_TARGETS = 2
LEAST_IDLE = 6.0
#: Seconds for all of a playlist.
PLAYLIST_TIMEOUT = 15.0
#: Bytes of playlist that are rewritten in one go; what is longer is done in slices.
AT_ONCE = 65536


@define(eq=False)
class HlsSession:
    """
    What is remembered of a viewer of HLS.

    :ivar variables: those that the multivariant playlist defined (RFC 8216bis, EXT-X-DEFINE).
    :ivar bodies: segments and the like that are on their way to the viewer; it is not idle as long as there are any.
    :ivar followed: whether anything that its first playlist leads to was asked for.
    """

    session: Session
    source: Source
    source_name: int
    provider: str
    variables: dict[str, str] = field(factory=dict)
    idle: float = FIRST_IDLE
    timer: IDelayedCall | None = None
    bodies: int = 0
    followed: bool = False


def _name_of_source(index: int, provider: str) -> int:
    """Names a source in a token: what survives a restart and a new resolution."""
    return crc32(f"{provider}/{index}".encode())


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
        self._sliced = sliced
        self.proxy_content = proxy_content
        self._sessions: dict[str, HlsSession] = {}
        hub.slots.on_want(self._give_up)

    async def open(self, channel: Channel, viewer: Viewer) -> bytes:
        """
        Begin a session and give the playlist a player is to start with.

        :raises LimitError: when it is not admitted.
        :raises UpstreamError: when no source has a playlist.
        """
        self._end_unfollowed(channel, viewer)
        session = self._hub.admit(channel, viewer, Face.HLS)
        try:
            body = await self._open(channel, session)
        except UpstreamError as error:
            session.end(Outcome.EXHAUSTED, error.sentence)
            raise
        except LimitError as error:
            session.end(Outcome.REFUSED, error.sentence)
            raise
        except BaseException:
            session.end(Outcome.VIEWER_LEFT)
            raise
        return body

    def _give_up(self, provider: str, viewer: Viewer | None) -> bool:
        """
        End a session of a viewer who wants a connection of the provider for something else.

        One address and agent may be many people (behind a server): only what nothing is being taken of right now.
        """
        for hls in self._sessions.values():
            if hls.provider == provider and not hls.bodies and hls.session.viewer == viewer:
                hls.session.end(Outcome.VIEWER_LEFT, "its viewer turned to another channel")
                return True
        return False

    def _end_unfollowed(self, channel: Channel, viewer: Viewer) -> None:
        """
        End what this viewer has opened of the channel and not followed.

        Players look at what is at an address and then open it anew: the first look must not take the place of the
        second. Should it have been another player, its next request takes the session up again.
        """
        for hls in list(self._sessions.values()):
            if not hls.followed and hls.session.channel.id == channel.id and hls.session.viewer == viewer:
                hls.session.end(Outcome.VIEWER_LEFT, "the channel was opened anew")

    async def _open(self, channel: Channel, session: Session) -> bytes:
        first_error: UpstreamError | None = None
        full = ""
        sources = await self._hub.sources(channel, channel.source_kind)
        for index, (provider, source) in enumerate(sources):
            hls = HlsSession(session, source, _name_of_source(index, provider), provider)
            slot = self._hub.slots.share(provider, (channel.id, index), session.viewer)
            if slot is None:
                full = full or self._hub.full(provider)
                continue
            try:
                rewritten = await self._fetch(hls, source.url, "../content/")
            except UpstreamError as error:
                slot.release()
                first_error = first_error or error
                continue
            except BaseException:
                slot.release()
                raise
            self._hub.hold(session, slot)
            if session.outcome is not None:
                raise UpstreamError(503, session.reason or "iptvd is stopping")
            self._keep(hls, rewritten)
            if rewritten.multivariant:
                return rewritten.body
            # A media playlist is not handed over at once: what the player reloads has to say whose it is.
            return single_variant("../content/" + self._seal(hls, source.url, Role.PLAYLIST) + ".m3u8")
        if first_error is not None:
            raise first_error
        raise LimitError(full) if full else UpstreamError(502, "it has no source")

    async def playlist(self, token: str, query: str, viewer: Viewer) -> bytes:
        """
        A playlist that a token stands for, as it is now.

        :param query: the request's; only delivery directives (RFC 8216bis section 6.2.5) are passed on.
        :raises TokenError, LimitError, UpstreamError:
        """
        grant = self._grant(token, Role.PLAYLIST)
        hls = await self._session_of(grant, viewer)
        url = grant.url
        directives = [f"{name}={value}" for name, value in parse_qsl(query) if name.startswith("_HLS_")]
        if directives and all(directive.isprintable() for directive in directives):
            url += ("&" if urlsplit(url).query else "?") + "&".join(directives)
        rewritten = await self._fetch(hls, url, "")
        self._keep(hls, rewritten)
        return rewritten.body

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
        opener, source = self._hub.opener, hls.source
        # Kept for as long as its playlist may name it, and a little longer for who is behind.
        opened = await self._cache.open(
            locate(source, grant.url), ask, grant.role, 2 * hls.idle, lambda: opener.open_url(source, grant.url, ask)
        )
        if opened.upstream is not None:
            if hls.session.outcome is not None:
                opened.upstream.stopProducing()
                raise LimitError(hls.session.reason or "iptvd is stopping")
            hls.bodies += 1

        def over(outcome: Outcome, reason: str) -> None:
            hls.bodies -= 1
            if hls.session.outcome is None:
                self._remember(hls)

        return hls.session, opened, over

    def _grant(self, token: str, role: Role | None) -> Grant:
        # A player may reload the playlist that it was given first for as long as it plays.
        grant = self._tokens.open(token, self._sessions.__contains__)
        fits = grant.role not in (Role.KEY, Role.PLAYLIST) if role is None else grant.role is role
        if not fits:
            raise TokenError("this address is not for what it is used for")
        return grant

    async def _session_of(self, grant: Grant, viewer: Viewer) -> HlsSession:
        hls = self._sessions.get(grant.session) or await self._taken_up(grant, viewer)
        hls.followed = True
        self._remember(hls)
        return hls

    async def _taken_up(self, grant: Grant, viewer: Viewer) -> HlsSession:
        """A session that was given up, or is of before a restart."""
        channel = self._find(grant.channel)
        if channel is None:
            raise UpstreamError(404, "this channel is no longer in the lineup")
        sources = await self._hub.sources(channel, channel.source_kind)
        # Another request of the same player may have been quicker.
        if grant.session in self._sessions:
            return self._sessions[grant.session]
        names = [_name_of_source(index, provider) for index, (provider, _) in enumerate(sources)]
        index = names.index(grant.source) if grant.source in names else 0
        slot = self._hub.slots.share(sources[index][0], (channel.id, index), viewer)
        if slot is None:
            raise LimitError(self._hub.full(sources[index][0]))
        try:
            session = self._hub.admit(channel, viewer, Face.HLS, grant.session)
        except LimitError:
            slot.release()
            raise
        self._hub.hold(session, slot)
        return HlsSession(session, sources[index][1], names[index], sources[index][0])

    def _keep(self, hls: HlsSession, rewritten: Rewritten) -> None:
        hls.variables.update(rewritten.variables)
        if rewritten.target_duration is not None:
            hls.idle = max(LEAST_IDLE, IDLE_TARGETS * rewritten.target_duration)
        self._remember(hls)

    def _remember(self, hls: HlsSession) -> None:
        """It was heard of now."""
        session = hls.session
        if session.id not in self._sessions:
            self._sessions[session.id] = hls
            session.at_end(self._forget)
        if hls.timer is not None and hls.timer.active():
            hls.timer.reset(hls.idle)
        else:
            hls.timer = self._clock.callLater(hls.idle, self._idle, hls)

    def _idle(self, hls: HlsSession) -> None:
        """Nothing was asked for in a while; whether what is on its way is read is for its relay to judge."""
        if hls.bodies:
            self._remember(hls)
        else:
            hls.session.end(Outcome.VIEWER_LEFT)

    def _forget(self, session: Session) -> None:
        hls = self._sessions.pop(session.id, None)
        if hls is not None and hls.timer is not None and hls.timer.active():
            hls.timer.cancel()

    async def _fetch(self, hls: HlsSession, url: str, here: str) -> Rewritten:
        """A playlist of the origin's, rewritten; ``here`` leads from the playlist's own address to our content."""
        direct = not self.proxy_content and self._hub.opener.needs_no_headers(hls.source)

        def mint(target: str, role: Role, extension: str) -> str:
            # An address with a password in it is not for others to see.
            if direct and role in (Role.SEGMENT, Role.INIT) and "@" not in urlsplit(target).netloc:
                return target
            token = self._seal(hls, target, role)
            if role is Role.KEY:
                return "../key/" + token
            return f"{here}{token}.{extension}"

        try:
            found = await self._cache.playlist(locate(hls.source, url), lambda: self._ask(hls.source, url))
            body = found.body
            rewriting = Rewriting(body, found.url, mint, hls.variables)
            if len(body) > AT_ONCE:
                await self._sliced(iter(rewriting))
            else:
                for _ in rewriting:
                    pass
            return rewriting.result()
        except ProtocolError as error:
            raise UpstreamError(502, f"the origin's playlist cannot be used: {error.sentence}") from None

    async def _ask(self, source: Source, url: str) -> PlaylistBody:
        """A playlist from its origin."""
        upstream = await self._hub.opener.http(source, url)
        if upstream.head is not None and upstream.head.status != 200:
            upstream.stopProducing()
            raise refusal(upstream.head.status)
        try:
            body = await Whole(upstream, MAX_BODY, "playlist").done.addTimeout(PLAYLIST_TIMEOUT, self._clock)
        except TimeoutError:
            raise UpstreamError(504, f"the origin's playlist took longer than {PLAYLIST_TIMEOUT:g} s") from None
        if b"#EXTM3U" not in body[:ENOUGH]:
            # This raises what it is instead, so that it is not kept: a page that says "later" may soon be gone.
            Rewriting(body, upstream.url, lambda target, role, extension: target)
        return PlaylistBody(upstream.url, body)

    def _seal(self, hls: HlsSession, url: str, role: Role) -> str:
        session = hls.session
        return self._tokens.seal(Grant(url, role, session.channel.id, session.id, hls.source_name))
