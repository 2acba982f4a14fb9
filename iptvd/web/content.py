"""``/content/`` and ``/key/``: what the tokens in an HLS playlist stand for."""

from __future__ import annotations

import re
from functools import lru_cache

from attrs import evolve
from twisted.web.resource import Resource
from twisted.web.server import Request

from iptvd.delivery.hls import HlsRelay
from iptvd.delivery.opening import Ask
from iptvd.delivery.session import Viewer
from iptvd.model import Headers
from iptvd.protocols.m3u8 import Role
from iptvd.web.answering import AnswerResource, AtOnce, Body
from iptvd.web.player import Player, answer_headers, respond
from iptvd.web.request import FOR_PAGES, header, viewer_of

HLS_TYPE = "application/vnd.apple.mpegurl"
#: Why a channel is not to be had in the forms that we make of MPEG-TS.
NOT_SHAREABLE = "This channel is not MPEG-TS: it is to be had only as it is."
#: How long players may keep what a playlist names.
SEGMENT_CACHING = "private, max-age=300"

#: What a segment is, by the ending that it has in our playlists.
_TYPES = {
    "ts": "video/mp2t",
    "m4s": "video/iso.segment",
    "mp4": "video/mp4",
    "aac": "audio/aac",
    "mp3": "audio/mpeg",
    "vtt": "text/vtt",
}
_MEDIA = re.compile(r"(?:video|audio)/|text/vtt|application/(?:mp4|octet-stream)", re.IGNORECASE)

#: What of a viewer's request for a file or segment concerns the origin.
_ASKED = ("Range", "If-Range")


def header_lines(headers: Headers) -> bytes:
    """Headers as an answer at once has them."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")


_PLAYLIST_HEAD = header_lines((*FOR_PAGES, ("Content-Type", HLS_TYPE), ("Cache-Control", "no-store")))


def named(headers: Headers, extension: str) -> Headers:
    """
    The headers of what has a name of ours with this ending.

    Origins name and type their segments otherwise than they are, so that nobody finds them: as pictures or styles.
    """
    right = _TYPES.get(extension)
    given = next((value for name, value in headers if name == "Content-Type"), "")
    if right is None or _MEDIA.match(given):
        return headers
    return (*((name, value) for name, value in headers if name != "Content-Type"), ("Content-Type", right))


def send_playlist(request: Request, body: bytes) -> bytes:
    """What a render method returns for a playlist of HLS, which is another one a moment later."""
    request.setHeader("Content-Type", HLS_TYPE)
    request.setHeader("Cache-Control", "no-store")
    request.setHeader("Content-Length", str(len(body)))
    return b"" if request.method == b"HEAD" else body


@lru_cache(1024)
def _segment_head(headers: Headers, extension: str) -> bytes:
    kept = (item for item in answer_headers(named(headers, extension)) if item[0] != "Content-Length")
    return header_lines((*FOR_PAGES, ("Cache-Control", SEGMENT_CACHING), *kept))


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

    def at_once(self, name: str, viewer: Viewer, plain: bool) -> AtOnce | None:
        """See `AnswerResource.at_once`."""
        token, _, extension = name.partition(".")
        if self._keys:
            return None
        if extension == "m3u8":
            body = self._hls.playlist_at_once(token, viewer)
            return AtOnce(_PLAYLIST_HEAD, body) if body is not None else None
        kept = self._hls.content_at_once(token, viewer) if plain else None
        if kept is None:
            return None
        body_of, opened = kept.entry.body, kept.entry.opened
        means = self._player.means
        return AtOnce(
            _segment_head(opened.headers, extension),
            Body(body_of.size, body_of.blocks, kept.session, means, kept.begin),
        )

    async def answer(self, request: Request) -> bytes | None:
        """Relay it."""
        name = (request.prepath or [b""])[-1].decode("ascii", "replace")
        token, _, extension = name.partition(".")
        viewer = viewer_of(request)
        if extension == "m3u8" and not self._keys:
            query = request.uri.partition(b"?")[2].decode("ascii", "replace")
            return send_playlist(request, await self._hls.playlist(token, query, viewer))
        role = Role.KEY if self._keys else None
        session, opened, over = await self._hls.content(token, role, ask_of(request), viewer)
        request.setHeader("Cache-Control", "no-store" if self._keys else SEGMENT_CACHING)
        if not self._keys:
            opened = evolve(opened, headers=named(opened.headers, extension))
        if opened.upstream is None:
            respond(request, opened)
            return b""
        self._player.play(request, session, opened, endless=False, over=over)
        return None
