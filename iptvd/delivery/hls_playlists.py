"""Playlists of HLS channels as viewers get them: fetched and worked out for all, and filled with a viewer's tokens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from urllib.parse import parse_qsl, urlsplit
from weakref import WeakKeyDictionary

from twisted.internet.defer import TimeoutError
from twisted.internet.interfaces import IReactorTime

from iptvd.delivery.hls_freshness import Freshness
from iptvd.delivery.hls_sessions import RELOAD_TARGETS, HlsSession, Supply, Thread
from iptvd.delivery.hub import Hub
from iptvd.delivery.locator import Locator, locate
from iptvd.delivery.opening import refusal
from iptvd.delivery.playlists import PlaylistBody
from iptvd.delivery.segments import SegmentCache
from iptvd.delivery.session import Session
from iptvd.delivery.slots import Slot
from iptvd.delivery.template import WORTH_KEEPING, Drafting, Link, Template
from iptvd.delivery.whole import Whole
from iptvd.errors import LimitError, ProtocolError, UpstreamError
from iptvd.model import Source
from iptvd.protocols.hls_seam import End, end_of, seam_after, sewn
from iptvd.protocols.m3u8 import MAX_BODY, Rewriting, Role
from iptvd.protocols.sniff import ENOUGH
from iptvd.tokens import Grant, TokenBox

#: Seconds for all of a playlist.
PLAYLIST_TIMEOUT = 15.0
#: Bytes of playlist that are read in one go; what is longer is read in slices.
AT_ONCE = 65536
#: Playlists whose segments' numbers are remembered from one version to the next.
PLAYLISTS = 256
#: Forms of one playlist that are kept: it depends on the variables of the playlist that led to it.
FORMS = 4


class HlsPlaylists:
    """
    Gives them.

    :param sliced: see `iptvd.slices.Slicer`.
    :ivar proxy_content: whether segments go through us even where the viewer could get them directly.
    """

    def __init__(
        self,
        hub: Hub,
        tokens: TokenBox,
        clock: IReactorTime,
        sliced: Callable[[Iterator[object]], Awaitable[None]],
        proxy_content: bool,
        cache: SegmentCache,
    ) -> None:
        self.proxy_content = proxy_content
        self._hub = hub
        self._tokens = tokens
        self._clock = clock
        self._sliced = sliced
        self._cache = cache
        self._numbered: dict[Locator, Template] = {}
        self._ends: WeakKeyDictionary[Template, End] = WeakKeyDictionary()
        #: Whether they move on as they should.
        self.freshness = Freshness(clock)

    def _is_direct(self, hls: HlsSession) -> bool:
        return not self.proxy_content and self._hub.opener.needs_no_headers(hls.supply.source)

    def _form(self, hls: HlsSession) -> object:
        """What a playlist's template depends on, besides the playlist."""
        return self._is_direct(hls), tuple(hls.variables.items())

    def ready(self, hls: HlsSession, url: str) -> Template | None:
        """A playlist that is there and fresh; None when it has to be got."""
        fresh = self._cache.fresh_playlist(locate(hls.supply.source, url))
        return fresh.forms.get(self._form(hls)) if fresh is not None else None

    async def get(self, hls: HlsSession, url: str, query: str = "") -> Template:
        """
        A playlist of the origin's as it is now.

        :param query: of a player's request; only delivery directives (RFC 8216bis section 6.2.5) are passed on.
        :raises LimitError, UpstreamError:
        """
        plain = locate(hls.supply.source, url)
        locator = plain.to(_directed(url, query))
        found = await self._cache.playlist(locator, lambda: self._ask(hls, plain, locator.url))
        form = self._form(hls)
        template = found.forms.get(form)
        if template is None:
            template = await self._drafted(found, hls)
            if len(template.links) <= WORTH_KEEPING and len(found.forms) < FORMS:
                if not found.forms:
                    self._renew(locator, template)
                found.forms[form] = template
        return template

    async def _drafted(self, found: PlaylistBody, hls: HlsSession) -> Template:
        is_direct = self._is_direct(hls)

        def direct(target: str, role: Role) -> bool:
            # An address with a password in it is not for others to see.
            return is_direct and role in (Role.SEGMENT, Role.INIT) and "@" not in urlsplit(target).netloc

        try:
            drafting = Drafting(found.body, found.url, hls.variables, direct)
            if len(found.body) > AT_ONCE:
                await self._sliced(iter(drafting))
            else:
                for _ in drafting:
                    pass
            return drafting.result()
        except ProtocolError as error:
            raise _unusable(error) from None

    def _renew(self, locator: Locator, template: Template) -> None:
        """Have what a new version of a live playlist names kept, and what others had those names forgotten."""
        target = template.facts.target_duration
        if template.facts.multivariant or template.facts.ended or target is None:
            return
        former = self._numbered.pop(locator, None)
        self._numbered[locator] = template
        if len(self._numbered) > PLAYLISTS:
            del self._numbered[next(iter(self._numbered))]
        before = former.numbers if former is not None else {}
        again = [locator.to(url) for url, number in template.numbers.items() if before.get(url, number) != number]
        self._cache.renew(
            [(locator.to(link.url), link.role) for link in template.links], again, RELOAD_TARGETS * target
        )

    async def sealed(self, hls: HlsSession, template: Template) -> Mapping[str, bytes]:
        """
        The tokens of a playlist that is too long for one turn of the reactor, by link; none of any other.

        :raises UpstreamError: when it exceeds a bound.
        """
        tokens: dict[str, bytes] = {}
        # Another source may be gone over to meanwhile: these are of the one that it has now.
        name = hls.supply.name

        def steps() -> Iterator[None]:
            for link in template.links:
                if link.key not in tokens:
                    tokens[link.key] = self._token(hls.session, link, name)
                    yield

        if len(template.links) > WORTH_KEEPING:
            try:
                await self._sliced(steps())
            except ProtocolError as error:
                raise _unusable(error) from None
        return tokens

    def filled(
        self, hls: HlsSession, url: str, template: Template, sealed: Mapping[str, bytes], here: bytes = b""
    ) -> bytes:
        """
        A playlist with the tokens of a session.

        :param sealed: see `sealed`.
        :param here: leads from the playlist's own address to our content.
        :raises UpstreamError: when it exceeds a bound.
        """
        known, tokens = sealed or hls.tokens.get(url, {}), {}
        try:
            for link in template.links:
                token = known.get(link.key)
                tokens[link.key] = self._token(hls.session, link, hls.supply.name) if token is None else token
            if len(tokens) <= WORTH_KEEPING:
                hls.remember_tokens(url, tokens)
            uris = [tokens[link.key] for link in template.links]
            if here:
                uris = [uri if uri.startswith(b"../key/") else here + uri for uri in uris]
            return template.filled(uris)
        except ProtocolError as error:
            raise _unusable(error) from None

    def delivered(
        self, hls: HlsSession, address: str, url: str, template: Template, sealed: Mapping[str, bytes]
    ) -> bytes:
        """
        A playlist as the player that asks for it under an address is to have it: it carries on what was there before.

        :param sealed: see `sealed`.
        :raises UpstreamError: when it exceeds a bound.
        """
        body = self.filled(hls, url, template, sealed)
        if template.facts.multivariant:
            return body
        had, own = hls.threads.get(address), self._end(template, body)
        if had is None or had.supply != hls.supply.name or had.own != own or had.ended != template.facts.ended:
            had = self._thread(hls, had, own, body, template.facts.ended)
            hls.remember(address, had)
        try:
            return body if had.seam is None else sewn(body, had.seam)
        except ProtocolError as error:
            raise _unusable(error) from None

    def _end(self, template: Template, body: bytes) -> End:
        end = self._ends.get(template)
        if end is None:
            facts = template.facts
            end = self._ends[template] = end_of(body, facts.media_sequence + facts.skipped + facts.segments)
        return end

    def _thread(self, hls: HlsSession, had: Thread | None, own: End, body: bytes, ended: bool) -> Thread:
        """What an address has with one more version of its playlist."""
        if had is None:
            # Variants are mostly numbered alike.
            seam = hls.seam if hls.seam is not None and own.number > hls.seam.first else None
        elif had.supply == hls.supply.name and (had.seam is None or own.number > had.seam.first):
            seam = had.seam
        else:
            # Another source, or one that has begun to count anew.
            seam = hls.seam = seam_after(had.end, body) or had.seam
        return Thread(hls.supply.name, own, own if seam is None else seam.end(own), ended, seam)

    def slot(self, hls: HlsSession, supply: Supply | None = None) -> Slot:
        """
        A connection of the provider's for a fetch: the one that the session has, for as long as the fetch lasts.

        :param supply: another source than the one that the session has now.
        :raises LimitError: when the session has given it up, and there is no other.
        """
        supply = supply or hls.supply
        slot = self._hub.slots.share(supply.provider, supply.key, hls.session.viewer)
        if slot is None:
            raise LimitError(self._hub.full(supply.provider))
        return slot

    async def _ask(self, hls: HlsSession, plain: Locator, url: str) -> PlaylistBody:
        """
        A playlist from its origin.

        :param plain: how it is asked for without directives.
        """
        asked = self._clock.seconds()
        slot = self.slot(hls)
        try:
            playlist = await self._asked(hls.supply.source, url)
        finally:
            slot.release()
        self.freshness.see(plain, playlist.body, asked)
        return playlist

    async def _asked(self, source: Source, url: str) -> PlaylistBody:
        upstream = await self._hub.opener.http(source, url)
        if upstream.head is not None and upstream.head.status != 200:
            upstream.stopProducing()
            raise refusal(upstream.head.status)
        try:
            body = await Whole(upstream, MAX_BODY, "playlist").done.addTimeout(PLAYLIST_TIMEOUT, self._clock)
        except TimeoutError:
            raise UpstreamError(504, f"the origin's playlist took longer than {PLAYLIST_TIMEOUT:g} s") from None
        if b"#EXTM3U" not in body[:ENOUGH]:
            try:
                # This raises what it is instead, so that it is not kept: a page that says "later" may soon be gone.
                Rewriting(body, upstream.url, lambda target, role, extension: target)
            except ProtocolError as error:
                raise _unusable(error) from None
        return PlaylistBody(upstream.url, body)

    def seal(self, hls: HlsSession, url: str, role: Role) -> str:
        """
        A token of a session's.

        :raises ProtocolError: when the URL is longer than a token can hold.
        """
        return self._seal(hls.session, url, role, hls.supply.name)

    def _seal(self, session: Session, url: str, role: Role, supply: int) -> str:
        return self._tokens.seal(Grant(url, role, session.channel.id, session.id, supply))

    def _token(self, session: Session, link: Link, supply: int) -> bytes:
        """What stands in a playlist for a link, seen from our content."""
        token = self._seal(session, link.url, link.role, supply)
        return (f"../key/{token}" if link.role is Role.KEY else f"{token}.{link.extension}").encode("ascii")


def _unusable(error: ProtocolError) -> UpstreamError:
    return UpstreamError(502, f"the origin's playlist cannot be used: {error.sentence}")


def _directed(url: str, query: str) -> str:
    """A playlist's address with the delivery directives of a query (RFC 8216bis section 6.2.5)."""
    directives = [f"{name}={value}" for name, value in parse_qsl(query) if name.startswith("_HLS_")]
    if not directives or not all(directive.isprintable() for directive in directives):
        return url
    return url + ("&" if urlsplit(url).query else "?") + "&".join(directives)
