"""The hosts that a website's players lie on: pages in frames of each other, at the end of which is a playlist."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from tests.simulators import website_pages as pages
from tests.simulators.exchange import Reply, Request, text_reply
from tests.simulators.website_media import Passes
from tests.simulators.website_stations import (
    ADS,
    DECODED,
    DEPTH,
    FOLDERS,
    FRAME,
    MEDIA,
    MOVED,
    PLAYER,
    SITE,
    Way,
    key_of,
)

STREAM_PAGE = re.compile(rf"(?:/tv)?/(?:{'|'.join(FOLDERS)})/stream-([\w.]+)\.php")

_KEY = re.compile(r"([a-z]+)\d+")


def html_reply(text: str) -> Reply:
    """A page."""
    return Reply(200, (("Content-Type", "text/html; charset=UTF-8"),), text.encode())


class PlayerHosts:
    """
    ``/WAY/embed.php?id=N`` and ``/server_lookup.php`` on one host, ``/WAY/frame.php?id=N`` on another.

    :param url: gives the address of a host.
    :param passes: gives the paths under which playlists are found.
    """

    def __init__(self, url: Callable[[str], str], passes: Passes) -> None:
        self._url = url
        self._passes = passes

    def answer(self, host: str, request: Request, strict: bool) -> Reply:
        """
        The reply to a request.

        :param strict: whether only the page that a frame is in may ask for it.
        """
        if host == PLAYER and request.path == "/server_lookup.php":
            return self._lookup(request, strict)
        found = re.fullmatch(r"/(\w+)/(embed|frame)\.php", request.path)
        way = next((each for each in Way if found is not None and each.value == found[1]), None)
        if found is None or way is None or (found[2] == "embed") != (host == PLAYER):
            return text_reply(404, "nothing here")
        if strict and not self._framed_rightly(request, way):
            return text_reply(403, "not in this frame")
        return text_reply(502, "no player") if way is Way.DEAD else html_reply(self._page(way, host, request))

    def _page(self, way: Way, host: str, request: Request) -> str:
        number = request.query.get("id", "")
        key = key_of(way, number)
        if way is Way.SIGNED:
            return pages.signed_page(key)
        if way is Way.BARE:
            return "<html><body>Stream will start soon</body></html>\n"
        if way is Way.LOOP:
            return pages.frame_page(self._url(host) + request.target)
        if way not in DECODED:
            return pages.lookup_page(key, self._url(MEDIA))
        depth = int(request.query.get("depth", "0"))
        if depth < (DEPTH if way is Way.DEEP else 1):
            return pages.frame_page(f"{self._url(FRAME)}/{way.value}/frame.php?id={number}&amp;depth={depth + 1}")
        name = "index.m3u8" if way is Way.WIDE else "mono.m3u8"
        return pages.decoded_page(f"{self._url(MEDIA)}/{self._passes.hand_out(key)}/{key}/{name}", self._url(ADS))

    def _framed_rightly(self, request: Request, way: Way) -> bool:
        """Whether a page is asked for by the one that it is a frame of."""
        referer, number = request.headers.get("referer", ""), request.query.get("id", "")
        if "depth" in request.query or way is Way.LOOP:
            inside = tuple(f"{self._url(host)}/{way.value}/" for host in (PLAYER, FRAME))
            if referer.startswith(inside):
                return True
        found = STREAM_PAGE.fullmatch(urlsplit(referer).path)
        at_site = referer.startswith(tuple(f"{self._url(host)}/" for host in (SITE, MOVED)))
        return at_site and found is not None and found[1] == number and "depth" not in request.query

    def _lookup(self, request: Request, strict: bool) -> Reply:
        key = request.query.get("channel_id", "")
        found = _KEY.fullmatch(key)
        if found is None or (strict and not request.headers.get("referer", "").startswith(f"{self._url(PLAYER)}/")):
            return text_reply(403, "who asks?")
        if found[1] == Way.SIGNED.value:
            return text_reply(403, "sign first")
        server = "top1/cdn" if found[1] == Way.TOP.value else self._passes.hand_out(key)
        return Reply(200, (("Content-Type", "application/json"),), json.dumps({"server_key": server}).encode())
