"""A website without a network, and a browser that goes from its pages to its media."""

from __future__ import annotations

import html
import json
import re
from base64 import b64decode
from datetime import UTC, datetime

from twisted.internet.task import Clock

from tests.simulators.exchange import Reply, Request, refusal
from tests.simulators.media import Media
from tests.simulators.website import Website
from tests.simulators.website_stations import ADS, MEDIA, PLAYER, SITE

#: The time that the website has.
NOON = datetime(2026, 7, 15, 12, 0, tzinfo=UTC).timestamp()


def whole(reply: Reply) -> bytes:
    """The body of a reply that does not come in pieces."""
    return reply.body if isinstance(reply.body, bytes) else b"".join(piece for _, piece in reply.body)


class Visitor:
    """A website without a network, and what asks it."""

    def __init__(self, media: Media) -> None:
        self.clock = Clock()
        self.site = Website(media, self.clock, NOON)
        self.site.port = 8000

    def get(self, url: str, referer: str = "", origin: str = "", method: str = "GET", body: bytes = b"") -> Reply:
        """The reply to a request; a path alone is one of the site's, asked for from the site."""
        if url.startswith("/"):
            url, referer = self.site.url(SITE) + url, referer or self.site.url(SITE) + "/"
        host, _, target = url.removeprefix("http://").partition("/")
        path, _, query = target.partition("?")
        headers = {"host": host, "referer": referer, "origin": origin}
        named = dict(part.split("=", 1) for part in query.split("&") if part)
        request = Request(method, f"/{target}", f"/{path}", named, headers, body)
        reply, knobs, _ = self.site.answer(request)
        return refusal(request, knobs) or reply

    def text(self, url: str, referer: str = "") -> str:
        """The body of what is there."""
        reply = self.get(url, referer)
        assert reply.status == 200, (url, reply)
        return whole(reply).decode()

    def set(self, **options: object) -> None:
        """Change its options."""
        self.tell("/site", options)

    def tell(self, path: str, value: object = None) -> None:
        """Change something."""
        assert self.get(path, method="POST", body=json.dumps(value).encode()).status == 200

    def frames(self, url: str, referer: str = "") -> list[str]:
        """The addresses of the frames in a page that are no advertisements, made whole."""
        found = re.findall(r"""<iframe[^>]*?\ssrc=["']([^"']+)["']""", self.text(url, referer), re.IGNORECASE)
        players = (each for each in found if ADS not in each and each != " + url + ")
        return [re.sub("^//", "http://", html.unescape(each)) for each in players]

    def playlist(self, number: str) -> tuple[str, str]:
        """What a browser finds for a channel: the address of its playlist, and that of the page that plays it."""
        page = self.site.url(SITE) + f"/stream/stream-{number}.php"
        (player, *_) = self.frames(page, self.site.url(SITE) + "/")
        return self.played_by(player, page)

    def played_by(self, player: str, page: str) -> tuple[str, str]:
        """Likewise for one player of a page."""
        text = self.text(player, page)
        key = re.search(r'channelKey="(\w+)"', text)
        if key is not None:
            lookup = self.site.url(PLAYER) + f"/server_lookup.php?channel_id={key[1]}"
            server = json.loads(self.text(lookup, player))["server_key"]
            return self.site.url(MEDIA) + f"/{server}/{key[1]}/mono.m3u8", player
        source = re.search(r"source: window\.atob\('([^']+)'\)", text)
        if source is not None:
            return b64decode(source[1]).decode(), player
        (inner,) = self.frames(player, page)
        return self.played_by(inner, player)

    def media(self, url: str, player: str) -> Reply:
        """What the host of the media gives to a player's page."""
        return self.get(url, player, "/".join(player.split("/")[:3]))

    def listed(self, number: str) -> tuple[list[str], str]:
        """The addresses in a channel's playlist, and the page that plays it."""
        url, player = self.playlist(number)
        text = whole(self.media(url, player)).decode()
        lines = (line for line in text.splitlines() if line and not line.startswith("#"))
        return [*re.findall(r'URI="([^"]+)"', text), *lines], player
