"""The way from a channel's page to its playlists: through frames to players, within bounds."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from iptvd.errors import ProtocolError, ProviderError
from iptvd.interfaces import IFetcher, IPosts, ProviderContext
from iptvd.model import Fetched, ProviderState, Source, SourceKind
from iptvd.website import players
from iptvd.website.refusals import blocked, check_page, check_status
from iptvd.website.settings import WebsiteSettings
from iptvd.website.site import Site, is_inside

#: Frames in one another, requests, and seconds for one of them and for all, that one resolution may take.
MOST_HOPS = 4
MOST_PAGES = 8
HOP_TIME = 4.0
WHOLE_TIME = 13.0
#: Seconds that further players of a page are looked for once there is one.
MORE_TIME = 3.0
#: Seconds for which a playlist's address is believed that does not tell.
GOOD_FOR = 300.0
#: Seconds before an address is over by its own word, at which it counts as such.
EARLY = 10.0

_PAGE_LIMIT = 1024 * 1024
_ANSWER_LIMIT = 64 * 1024
_WEEK = 7 * 86400
_EPOCH = re.compile(r"(?<![0-9A-Za-z.])([0-9]{10})(?![0-9A-Za-z.])")
_STREAM_PAGE = "the stream page"
_PLAYER = "the player"


class _Spent(Exception):  # noqa: N818 - not an error: what there is by now is what there is
    """No pages or no time left."""


class Resolution:
    """One resolution of one channel."""

    def __init__(self, site: Site, settings: WebsiteSettings, context: ProviderContext) -> None:
        self._site = site
        self._settings = settings
        self._context = context
        self._pages = 0
        self._end = context.clock.seconds() + WHOLE_TIME
        self._seen: set[str] = set()
        self._failures: list[ProviderError] = []
        self._sources: dict[str, Source] = {}

    async def sources(self, identity: str) -> list[Source]:
        """
        The playlists of a channel, in the order of their players.

        :raises ProviderError: when there are none.
        """
        self._site.require()
        try:
            for base in self._site.bases:
                if not await self._of_site(self._site.now(base), identity):
                    break
        except _Spent:
            pass
        if self._sources:
            return list(self._sources.values())
        for state in (ProviderState.BLOCKED, ProviderState.NOT_UNDERSTOOD):
            for error in self._failures:
                if error.state is state:
                    raise error
        if self._failures:
            raise self._failures[0]
        raise ProviderError(ProviderState.UNREACHABLE, f"no player was found within {WHOLE_TIME:g} s")

    async def _of_site(self, base: str, identity: str) -> bool:
        """Go through the pages of one address; whether another one may help."""
        for name in self._settings.stream_paths:
            url = f"{base}/{name}/stream-{identity}.php"
            try:
                page = await self._ask(url, f"{base}/", _STREAM_PAGE, self._settings.method)
            except ProviderError as error:
                self._failures.append(error)
                if error.state in (ProviderState.BLOCKED, ProviderState.UNREACHABLE):
                    return error.state is ProviderState.UNREACHABLE
                continue
            try:
                await self._page(page, 0, _STREAM_PAGE)
            except ProviderError as error:
                self._failures.append(error)
                if error.state is ProviderState.BLOCKED:
                    return False
            if self._sources:
                return False
        return False

    async def _ask(self, url: str, referer: str, who: str, method: str = "get", limit: int = _PAGE_LIMIT) -> Fetched:
        left = self._end - self._context.clock.seconds()
        if self._pages >= MOST_PAGES or left <= 0:
            raise _Spent
        self._pages += 1
        self._seen.add(url)
        if is_inside(url) and not self._site.is_inside:
            raise ProviderError(ProviderState.NOT_UNDERSTOOD, f"{who} would be in a private network: it is not asked")
        fetcher: IFetcher | IPosts = self._context.fetcher
        if method == "get":
            ask = self._context.fetcher.get
        elif IPosts.providedBy(fetcher):
            ask = fetcher.post
        else:
            raise ProviderError(ProviderState.UNCONFIGURED, "POST cannot be sent: set method to get")
        fetched = await ask(
            url,
            headers=self._site.headers(referer),
            limit=limit,
            timeout=min(HOP_TIME, left),
            verify_tls=self._site.verify_tls,
        )
        check_status(fetched, who)
        return fetched

    async def _page(self, fetched: Fetched, hops: int, who: str) -> None:
        """Take the playlist of a page's player, or go on to the frames in it."""
        page = players.read_page(fetched.body, fetched.url)
        if page.playlist:
            self._add(page.playlist, fetched.url)
            return
        if page.signed and (page.key or not page.frames):
            raise blocked(who, "wants an access signature")
        if page.key:
            await self._look_up(page, fetched.url)
            return
        if not page.frames:
            check_page(fetched, who)
            raise ProviderError(
                ProviderState.NOT_UNDERSTOOD, f"{who}, shapes P1 and P2, 0 of 3 selectors matched: no player, no frame"
            )
        if hops >= MOST_HOPS:
            raise ProviderError(ProviderState.NOT_UNDERSTOOD, f"more than {MOST_HOPS} frames lie in one another")
        for place, url in enumerate(page.frames):
            if place >= page.likely and self._sources:
                return
            if url not in self._seen:
                await self._frame(url, fetched.url, hops + 1)

    async def _frame(self, url: str, referer: str, hops: int) -> None:
        try:
            await self._page(await self._ask(url, referer, _PLAYER), hops, _PLAYER)
        except ProviderError as error:
            self._failures.append(error)

    async def _look_up(self, page: players.PlayerPage, url: str) -> None:
        settings = self._settings
        answer = await self._ask(
            players.lookup_url(settings.lookup, page.key, url), url, "the server lookup", limit=_ANSWER_LIMIT
        )
        try:
            server = players.read_server(answer.body)
        except ProtocolError as error:
            check_page(answer, "the server lookup")
            raise ProviderError(ProviderState.NOT_UNDERSTOOD, f"server lookup, shape P1, {error.sentence}") from None
        template = settings.playlist_path if "/" in server else settings.playlist
        cdn = settings.cdn or page.cdn
        if "{cdn}" in template and not cdn:
            raise ProviderError(
                ProviderState.UNCONFIGURED, "the player does not say where its playlists are: set cdn or playlist"
            )
        self._add(players.playlist_url(template, server, page.key, cdn), url)

    def _add(self, playlist: str, player: str) -> None:
        if not players.is_playlist(playlist) or (is_inside(playlist) and not self._site.is_inside):
            raise ProviderError(ProviderState.NOT_UNDERSTOOD, "the player names no address of a playlist")
        now = self._context.clock.seconds()
        if not self._sources:
            self._end = min(self._end, now + MORE_TIME)
        parts = urlsplit(player)
        headers = (
            ("Referer", player),
            ("Origin", f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"),
            *self._site.agent,
        )
        self._sources.setdefault(
            playlist,
            Source(
                SourceKind.HLS,
                playlist,
                headers=headers,
                expires=expiry(playlist, now),
                verify_tls=self._site.verify_tls,
            ),
        )


def expiry(url: str, now: float) -> float:
    """
    When a playlist's address has to be resolved anew: as it says itself, or after `GOOD_FOR`.

    Sites write the time into it, in seconds since the epoch.
    """
    parts = urlsplit(url)
    told = (int(found) for found in _EPOCH.findall(f"{parts.path}?{parts.query}"))
    coming = [float(time) for time in told if now < time < now + _WEEK]
    return max(min(coming) - EARLY, now + 1) if coming else now + GOOD_FOR
