"""
``/``: the channels with their links and what is on, the playlist's address, and how the providers are.

A user sees their channels; how the providers are is for whoever manages, as long as there are users.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from html import escape
from itertools import islice
from urllib.parse import urlencode

from twisted.web.server import Request

from iptvd import __version__
from iptvd.lineup_service import LineupService
from iptvd.model import Channel, SourceKind
from iptvd.public import without_urls
from iptvd.refresh import ProviderStatus
from iptvd.web.answering import AnswerResource
from iptvd.web.channels_api import NOTHING, NowNext
from iptvd.web.playlist import Filter, filter_of, path_of
from iptvd.web.request import Refusal, argument, caller_of, send, who_of

#: Channels on one page.
PAGE = 200

_PAGE_NUMBER = re.compile("[1-9][0-9]{0,5}")

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:1rem auto;padding:0 1rem;color-scheme:light dark}"
    "img{width:2rem;height:2rem;object-fit:contain;vertical-align:middle}"
    "table{border-collapse:collapse;width:100%}td,th{padding:.25rem .5rem;text-align:left}"
    "code{user-select:all}.bad{color:#c33}"
)
_POLICY = (
    "default-src 'none'; img-src 'self'; media-src 'self'; base-uri 'none'; form-action 'self'; "
    f"frame-ancestors 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
)


class IndexResource(AnswerResource):
    """The page."""

    isLeaf = False

    def __init__(
        self,
        lineup: LineupService,
        kind_of: Callable[[Channel], SourceKind],
        notices: Callable[[], list[str]],
        now_next: Callable[[Sequence[int]], Awaitable[Mapping[int, NowNext]]],
    ) -> None:
        super().__init__()
        self._now_next = now_next
        self._lineup = lineup
        self._kind_of = kind_of
        self._notices = notices

    async def answer(self, request: Request) -> bytes:
        """One page of it."""
        lineup = self._lineup.lineup
        base = caller_of(request).base_url
        chosen = filter_of(request)
        asked = argument(request, "page") or "1"
        if _PAGE_NUMBER.fullmatch(asked) is None:
            raise Refusal(400, "page is a number from 1 to 999999")
        number = int(asked)
        first = (number - 1) * PAGE
        who = who_of(request)
        tells_all = who.manager or who.user is None
        visible = Filter(groups=chosen.groups).among(lineup.channels)
        count = sum(1 for _ in visible) if chosen.groups else len(lineup.channels)
        found = list(islice(chosen.among(lineup.channels), first, first + PAGE + 1))
        shown, more = found[:PAGE], len(found) > PAGE
        on = await self._now_next([channel.id for channel in shown])
        prefix = "/" + base.partition("://")[2].partition("/")[2]
        prefix = prefix.rstrip("/")
        parts = [
            f"<!DOCTYPE html><html lang=en><meta charset=utf-8><title>iptvd</title><style>{_STYLE}</style>",
            '<meta name=viewport content="width=device-width">',
            f"<h1>iptvd</h1><p>Playlist for your player: <code>{escape(base)}/playlist.m3u8</code>",
            f' (<a href="{escape(prefix)}/playlist.m3u8">open</a>)</p>',
            *(self._state() if tells_all else ()),
            f"<h2>Channels ({count})</h2><table>",
            *(self._row(channel, prefix, chosen.form, on.get(channel.id, NOTHING)) for channel in shown),
            "</table><p>",
        ]
        query = {name: argument(request, name) for name in ("group", "provider", "type", "format")}
        query = {name: value for name, value in query.items() if value}
        for there, page, text in ((first > 0, number - 1, "Previous"), (more, number + 1, "Next")):
            if there:
                parts.append(f'<a href="?{escape(urlencode({**query, "page": page}))}">{text}</a> ')
        parts.append(f"</p><p><small>iptvd {__version__}</small></p></html>\n")
        request.setHeader("Content-Security-Policy", _POLICY)
        request.setHeader("Referrer-Policy", "no-referrer")
        request.setHeader("Cache-Control", "no-store")
        return send(request, "".join(parts).encode("utf-8", "replace"), "text/html; charset=utf-8")

    def _state(self) -> Iterator[str]:
        """What the operator should know."""
        yield from (f"<p class=bad>{escape(notice)}</p>" for notice in self._notices())
        yield "<h2>Providers</h2><table><tr><th>Name<th>State<th>Entries<th>Why</tr>"
        yield from map(_provider_row, self._lineup.statuses)
        yield "</table>"

    def _row(self, channel: Channel, prefix: str, form: SourceKind | None, on: NowNext) -> str:
        name = escape(channel.name)
        logo = f'<img src="{escape(prefix)}/logo/{channel.id}" alt="" loading=lazy>'
        if channel.entry.unsupported:
            name = f"{name} <small class=bad>{escape(without_urls(channel.entry.unsupported))}</small>"
        else:
            path = path_of(channel, self._kind_of(channel), form)
            name = f'<a href="{escape(prefix + path)}">{name}</a>'
        now, then = on
        if now is not None:
            name += f"<br><small>Now: {escape(now.title)}</small>"
        if then is not None:
            name += f"<br><small>{_clock(then.start)} UTC: {escape(then.title)}</small>"
        return f"<tr><td>{channel.number or ''}<td>{logo}<td>{name}<td>{escape(channel.group)}<td>{channel.kind.value}"


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%H:%M")


def _provider_row(status: ProviderStatus) -> str:
    mark = "" if not status.sentence else " class=bad"
    return (
        f"<tr><td>{escape(status.name)}<td{mark}>{status.state.value}<td>{status.entries}"
        f"<td>{escape(without_urls(status.sentence))}</tr>"
    )
