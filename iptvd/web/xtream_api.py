"""``player_api.php`` and ``panel_api.php``: the login, and what Xtream clients ask for by an ``action``."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from twisted.web.server import Request

from iptvd import __version__
from iptvd.accounts import Accounts, User
from iptvd.delivery.hub import Hub
from iptvd.epg.reading import GuideReader
from iptvd.model import Channel, ChannelKind, Programme
from iptvd.web.answering import AnswerResource
from iptvd.web.playlist import groups_of
from iptvd.web.request import argument, caller_of, is_current, require_viewer, send, who_of
from iptvd.web.xtream_body import Bodies, Body
from iptvd.web.xtream_catalogue import Catalogues, Shelf
from iptvd.web.xtream_guide import DAY, MOST, SHORT, listings
from iptvd.web.xtream_lists import Wanted, categories, episodes, panel, programmes, rows, seen
from iptvd.web.xtream_login import barred_user, plain_url, server_info, user_info, wait_for_wrong
from iptvd.web.xtream_rows import archive_days, film_info

_JSON = "application/json"
_CATEGORIES = {f"get_{shelf.value}_categories": shelf for shelf in Shelf}
_LISTS = {"get_live_streams": Shelf.LIVE, "get_vod_streams": Shelf.VOD, "get_series": Shelf.SERIES}
#: Days back that a whole guide has where no archive goes back further.
_BACK = 1


class PhpResource(AnswerResource):
    """A leaf that is asked by GET or by POST, with the same arguments in the query or in a form."""

    open_to_pages = True

    def render(self, request: Request) -> Any:
        """Answer the methods that there are."""
        return self.render_GET(request) if request.method == b"POST" else super().render(request)


class XtreamApi:
    """
    What the resources here ask.

    :param channel_of: gives the channel with an id.
    :param days: for how many days ahead the guide is told.
    :param short_guide: what a channel's own provider says that comes next, where no guide has it.
    :param wall: seconds since the epoch.
    """

    def __init__(
        self,
        catalogues: Catalogues,
        bodies: Bodies,
        accounts: Accounts,
        hub: Hub,
        channel_of: Callable[[int], Channel | None],
        reader: GuideReader,
        days: Callable[[], int],
        short_guide: Callable[[Channel], Awaitable[Sequence[Programme]]],
        wall: Callable[[], float],
    ) -> None:
        self.catalogues = catalogues
        self.bodies = bodies
        self.accounts = accounts
        self.wall = wall
        self._hub = hub
        self._channel_of = channel_of
        self._reader = reader
        self._days = days
        self._short_guide = short_guide

    def login(self, request: Request, user: User | None) -> dict[str, Any]:
        """What a login is told."""
        now = self.wall()
        return {
            "user_info": user_info(request, user, self._hub, now),
            "server_info": server_info(plain_url(who_of(request)), now),
        }

    def find(self, request: Request, name: str) -> Channel | None:
        """The channel whose id an argument is, None when there is none for who asks."""
        channel = self._channel_of(number_in(request, name, 0))
        if channel is None or channel.entry.unsupported or not who_of(request).may_see(channel):
            return None
        return channel

    async def next_of(self, channel: Channel, limit: int) -> Sequence[Programme]:
        """What is on at a channel, and comes then."""
        now = self.wall()
        found: Sequence[Programme] = await self._reader.programmes(channel.id, now, now + self._days() * DAY)
        if not found:
            found = [each for each in await self._short_guide(channel) if each.stop > now]
        return found[:limit]

    async def all_of(self, channel: Channel) -> Sequence[Programme]:
        """What a channel has shown lately, shows and will show."""
        now = self.wall()
        start = now - max(archive_days(channel), _BACK) * DAY
        found: Sequence[Programme] = await self._reader.programmes(channel.id, start, now + self._days() * DAY)
        return found or await self._short_guide(channel)


class LoginResource(PhpResource):
    """One at which a login that is wrong is no error, but an answer like others: clients look at nothing else."""

    # It looks itself at who asks.
    guarded = False

    def __init__(self, api: XtreamApi) -> None:
        super().__init__()
        self.api = api

    async def answer(self, request: Request) -> bytes | None:
        """Say that the login is wrong, or what is asked."""
        request.setHeader("Cache-Control", "no-store")
        if who_of(request).status in (401, 403):
            user = barred_user(request, self.api.accounts)
            if user is not None:
                return send_facts(request, self.api.login(request, user))
            wait_for_wrong(request)
            return send_facts(request, {"user_info": {"auth": 0}})
        require_viewer(request)
        return await self.tell(request)

    @abstractmethod
    async def tell(self, request: Request) -> bytes | None:
        """The answer for who may ask."""

    async def send_body(self, request: Request, body: Callable[[], Body]) -> bytes | None:
        """A long one."""
        request.setHeader("Content-Type", _JSON)
        request.setHeader("X-Content-Type-Options", "nosniff")
        request.setHeader("Vary", "Accept-Encoding")
        if request.method == b"HEAD":
            return b""
        await self.api.bodies.send(request, body(), caller_of(request).base_url)
        return None


class PlayerApi(LoginResource):
    """``player_api.php``."""

    async def tell(self, request: Request) -> bytes | None:
        """See `LoginResource.tell`; an action that there is not is a login, as with panels."""
        action = argument(request, "action")
        if action in _CATEGORIES:
            catalogue = await self.api.catalogues.now()
            return send_facts(request, categories(catalogue, _CATEGORIES[action], groups_of(request)))
        if action in _LISTS:
            return await self._list(request, _LISTS[action])
        if action == "get_vod_info":
            return await self._film(request)
        if action == "get_series_info":
            return await self._series(request)
        if action in ("get_short_epg", "get_simple_data_table"):
            return await self._guide(request, action == "get_short_epg")
        return send_facts(request, self.api.login(request, who_of(request).user))

    async def _list(self, request: Request, shelf: Shelf) -> bytes | None:
        catalogue = await self.api.catalogues.now()
        wanted = Wanted(shelf, argument(request, "category_id")[:20], groups_of(request))
        told = repr((__version__, catalogue.revision, wanted, caller_of(request).base_url))
        etag = f'W/"{blake2b(told.encode("utf-8", "replace"), digest_size=12).hexdigest()}"'
        request.setHeader("ETag", etag)
        request.setHeader("Cache-Control", "no-cache")
        if is_current(request, etag):
            request.setResponseCode(304)
            return b""
        return await self.send_body(
            request, lambda: self.api.bodies.get(catalogue.revision, wanted, lambda: rows(catalogue, wanted))
        )

    async def _film(self, request: Request) -> bytes:
        channel = self.api.find(request, "vod_id")
        if channel is None or channel.kind is not ChannelKind.VOD:
            return send_facts(request, {"info": {}, "movie_data": {}})
        known = (await self.api.catalogues.now()).categories
        # Whoever asks for an episode as if it were a film is told of it as one.
        category = known[Shelf.VOD].get(channel.group) or known[Shelf.SERIES].get(channel.group)
        number = category.id if category is not None else 0
        return send_facts(request, film_info(channel, number, caller_of(request).base_url))

    async def _series(self, request: Request) -> bytes | None:
        catalogue = await self.api.catalogues.now()
        series = catalogue.series.get(number_in(request, "series_id", 0))
        if series is None or series.group not in seen(groups_of(request)):
            return send_facts(request, {"seasons": [], "info": {}, "episodes": {}})
        return await self.send_body(request, lambda: self.api.bodies.make(episodes(catalogue, series)))

    async def _guide(self, request: Request, short: bool) -> bytes | None:
        channel = self.api.find(request, "stream_id")
        if channel is None:
            return send_facts(request, {"epg_listings": []})
        if short:
            limit = min(number_in(request, "limit", SHORT) or SHORT, MOST)
            found = await self.api.next_of(channel, limit)
        else:
            found = await self.api.all_of(channel)
        told = listings(channel, found, self.api.wall(), not short)
        return await self.send_body(request, lambda: self.api.bodies.make(programmes(told)))


class PanelApi(LoginResource):
    """``panel_api.php``: all of it at once."""

    async def tell(self, request: Request) -> bytes | None:
        """See `LoginResource.tell`."""
        catalogue = await self.api.catalogues.now()
        head = self.api.login(request, who_of(request).user)
        return await self.send_body(request, lambda: self.api.bodies.make(panel(catalogue, head, groups_of(request))))


def number_in(request: Request, name: str, default: int) -> int:
    """A whole number in the arguments; the default where there is none that makes sense."""
    text = argument(request, name).strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 11 else default


def send_facts(request: Request, facts: Mapping[str, Any] | Sequence[Any]) -> bytes:
    """What a render method returns for some JSON."""
    return send(request, json.dumps(facts, ensure_ascii=False).encode("utf-8", "replace"), _JSON)
