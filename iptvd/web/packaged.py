"""``/hls/<channel>/<session>/``: the playlists and segments that we package ourselves."""

from __future__ import annotations

import re
from collections.abc import Callable

from twisted.web.server import Request

from iptvd.delivery.feed import NotShareable
from iptvd.delivery.opening import Opened
from iptvd.delivery.packaged import PackagedHls
from iptvd.delivery.session import Viewer
from iptvd.errors import TokenError, UpstreamError
from iptvd.protocols.memory_upstream import MemoryUpstream
from iptvd.web.answering import AnswerResource, AtOnce, Body
from iptvd.web.content import NOT_SHAREABLE, SEGMENT_CACHING, header_lines, send_playlist
from iptvd.web.player import Player, answer_headers, respond
from iptvd.web.request import FOR_PAGES, Refusal, viewer_of

_PATH = re.compile(r"([0-9]{1,10})/([A-Za-z0-9_-]{1,32})/(?:(index)\.m3u8|([0-9]{1,16})\.ts)")


_NAMED = re.compile(r"([0-9a-f]{32})/playlist\.m3u8")

_TYPE = ("Content-Type", "video/mp2t")
_SEGMENT_HEAD = header_lines((*FOR_PAGES, ("Cache-Control", SEGMENT_CACHING), *answer_headers((_TYPE,))))


class PackagedResource(AnswerResource):
    """
    All of it.

    :param named: gives what plays a stream by an id of 32 hexadecimal digits.
    """

    open_to_pages = True
    isLeaf = True

    def __init__(
        self, packaged: PackagedHls, player: Player, named: Callable[[str], AnswerResource] | None = None
    ) -> None:
        super().__init__()
        self._named = named
        self._packaged = packaged
        self._player = player

    def at_once(self, name: str, viewer: Viewer, plain: bool) -> AtOnce | None:
        """See `AnswerResource.at_once`: segments; a playlist may have to wait for the next of them."""
        match = _PATH.fullmatch(name)
        if match is None or match[3] or not plain:
            return None
        try:
            session, segment = self._packaged.segment(int(match[1]), match[2], int(match[4]), viewer)
        except (UpstreamError, TokenError):
            return None
        # What is being sent keeps the blocks that it lies in.
        pieces = tuple(segment)
        return AtOnce(_SEGMENT_HEAD, Body(segment.size, pieces, session, self._player.means, lambda: lambda: None))

    async def answer(self, request: Request) -> bytes | None:
        """A playlist or a segment."""
        path = b"/".join(request.postpath or []).decode("ascii", "replace")
        match = _PATH.fullmatch(path)
        stream = _NAMED.fullmatch(path)
        if stream is not None and self._named is not None:
            request.postpath = []
            return await self._named(stream[1]).answer(request)
        if match is None:
            raise Refusal(404, "There is nothing at this address.")
        channel, session_id, index, number = int(match[1]), match[2], match[3], match[4]
        if index:
            try:
                body = await self._packaged.playlist(channel, session_id, viewer_of(request))
            except NotShareable:
                raise Refusal(406, NOT_SHAREABLE) from None
            return send_playlist(request, body)
        session, segment = self._packaged.segment(channel, session_id, int(number), viewer_of(request))
        headers = (_TYPE, ("Content-Length", str(segment.size)))
        request.setHeader("Cache-Control", SEGMENT_CACHING)
        respond(request, Opened(None, 200, headers))
        if request.method == b"HEAD":
            return b""
        self._player.play_short(request, session, MemoryUpstream(segment))
        return None
