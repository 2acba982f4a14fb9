"""``/content/`` and ``/key/``: what the tokens in an HLS playlist stand for."""

from __future__ import annotations

from twisted.web.resource import Resource
from twisted.web.server import Request

from iptvd.delivery.hls import HlsRelay
from iptvd.delivery.opening import Ask
from iptvd.protocols.m3u8 import Role
from iptvd.web.player import Player, respond
from iptvd.web.request import AnswerResource, header, viewer_of

HLS_TYPE = "application/vnd.apple.mpegurl"

#: What of a viewer's request for a file or segment concerns the origin.
_ASKED = ("Range", "If-Range")


def ask_of(request: Request) -> Ask:
    """What of a request is for the source."""
    return Ask(
        "HEAD" if request.method == b"HEAD" else "GET",
        tuple((name, value) for name in _ASKED if (value := header(request, name))),
    )


class ContentResource(AnswerResource):
    """
    ``/content/<token>.<ext>`` and ``/key/<token>``.

    :param keys: whether this is where keys are.
    """

    open_to_pages = True
    isLeaf = False

    def __init__(self, hls: HlsRelay, player: Player, keys: bool) -> None:
        super().__init__()
        self._hls = hls
        self._player = player
        self._keys = keys

    def getChild(self, path: bytes, request: Request) -> Resource:
        """What the token stands for, whether it is good or not."""
        return self

    async def answer(self, request: Request) -> bytes | None:
        """Relay it."""
        name = (request.prepath or [b""])[-1].decode("ascii", "replace")
        token, _, extension = name.partition(".")
        viewer = viewer_of(request)
        if extension == "m3u8" and not self._keys:
            request.setHeader("Content-Type", HLS_TYPE)
            request.setHeader("Cache-Control", "no-store")
            query = request.uri.partition(b"?")[2].decode("ascii", "replace")
            body = await self._hls.playlist(token, query, viewer)
            request.setHeader("Content-Length", str(len(body)))
            return b"" if request.method == b"HEAD" else body
        role = Role.KEY if self._keys else None
        session, opened, over = await self._hls.content(token, role, ask_of(request), viewer)
        request.setHeader("Cache-Control", "no-store" if self._keys else "private, max-age=300")
        if opened.upstream is None:
            respond(request, opened)
            return b""
        self._player.play(request, session, opened, endless=False, over=over)
        return None
