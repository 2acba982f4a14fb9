"""Playlists of HLS channels as viewers get them: fetched and worked out for all, and filled with a viewer's tokens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from urllib.parse import urlsplit

from twisted.internet.defer import TimeoutError
from twisted.internet.interfaces import IReactorTime

from iptvd.delivery.hls_sessions import RELOAD_TARGETS, HlsSession
from iptvd.delivery.hub import Hub
from iptvd.delivery.locator import Locator, locate
from iptvd.delivery.opening import refusal
from iptvd.delivery.playlists import PlaylistBody
from iptvd.delivery.segments import SegmentCache
from iptvd.delivery.slots import Slot
from iptvd.delivery.template import WORTH_KEEPING, Drafting, Template
from iptvd.delivery.whole import Whole
from iptvd.errors import LimitError, ProtocolError, UpstreamError
from iptvd.model import Source
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

    def _is_direct(self, hls: HlsSession) -> bool:
        return not self.proxy_content and self._hub.opener.needs_no_headers(hls.source)

    def _form(self, hls: HlsSession) -> object:
        """What a playlist's template depends on, besides the playlist."""
        return self._is_direct(hls), tuple(hls.variables.items())

    def ready(self, hls: HlsSession, url: str) -> Template | None:
        """A playlist that is there and fresh; None when it has to be got."""
        fresh = self._cache.fresh_playlist(locate(hls.source, url))
        return fresh.forms.get(self._form(hls)) if fresh is not None else None

    async def get(self, hls: HlsSession, url: str) -> Template:
        """
        A playlist of the origin's as it is now.

        :raises LimitError, UpstreamError:
        """
        locator = locate(hls.source, url)
        found = await self._cache.playlist(locator, lambda: self._ask(hls, url))
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

    def filled(self, hls: HlsSession, url: str, template: Template, here: bytes = b"") -> bytes:
        """
        A playlist with the tokens of a session.

        :param here: leads from the playlist's own address to our content.
        :raises UpstreamError: when it exceeds a bound.
        """
        known, tokens = hls.tokens.get(url, {}), {}
        try:
            for link in template.links:
                token = known.get(link.key)
                if token is None:
                    sealed = self.seal(hls, link.url, link.role)
                    is_key = link.role is Role.KEY
                    token = (f"../key/{sealed}" if is_key else f"{sealed}.{link.extension}").encode("ascii")
                tokens[link.key] = token
            if len(tokens) <= WORTH_KEEPING:
                hls.remember_tokens(url, tokens)
            uris = [tokens[link.key] for link in template.links]
            if here:
                uris = [uri if uri.startswith(b"../key/") else here + uri for uri in uris]
            return template.filled(uris)
        except ProtocolError as error:
            raise _unusable(error) from None

    def slot(self, hls: HlsSession) -> Slot:
        """
        A connection of the provider's for a fetch: the one that the session has, for as long as the fetch lasts.

        :raises LimitError: when the session has given it up, and there is no other.
        """
        slot = self._hub.slots.share(hls.provider, hls.slot_key, hls.session.viewer)
        if slot is None:
            raise LimitError(self._hub.full(hls.provider))
        return slot

    async def _ask(self, hls: HlsSession, url: str) -> PlaylistBody:
        """A playlist from its origin."""
        slot = self.slot(hls)
        try:
            return await self._asked(hls.source, url)
        finally:
            slot.release()

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
        session = hls.session
        return self._tokens.seal(Grant(url, role, session.channel.id, session.id, hls.source_name))


def _unusable(error: ProtocolError) -> UpstreamError:
    return UpstreamError(502, f"the origin's playlist cannot be used: {error.sentence}")
