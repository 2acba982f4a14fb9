"""The pages on the way to a channel's playlist, and what a player's own host answers."""

from __future__ import annotations

from urllib.parse import urlsplit

from iptvd.errors import ProtocolError
from iptvd.website import players
from tests.fuzz.targets import VECTORS, told

URL = "http://site.test/stream/stream-1.php"
SEEDS = [
    (VECTORS / "website" / name).read_bytes()
    for name in ("stream.html", "p1.html", "p2.html", "signed.html", "challenge.html")
] + [b'{"server_key": "zeko"}', b'<iframe src="//[::1"></iframe>', b'<iframe src="https://[x]:99999/"></iframe>']


def one(data: bytes) -> None:
    """Read it as a page, and as an answer."""
    page = players.read_page(data, URL)
    assert 0 <= page.likely <= len(page.frames)
    for address in (*page.frames, *filter(None, [page.playlist])):
        assert urlsplit(address).scheme in ("http", "https")
        assert urlsplit(address).hostname
        players.is_playlist(address)
    if page.key:
        assert page.key in players.lookup_url("/server_lookup?channel_id={key}", page.key, URL)
    try:
        server = players.read_server(data)
    except ProtocolError as error:
        told(error.sentence)
    else:
        players.playlist_url("https://{first}new.{cdn}/{server}/{key}/mono.m3u8", server, page.key, page.cdn)
