"""The players of the website lead to media that plays, for those who come from them, or to what they are meant to."""

from __future__ import annotations

import re
from base64 import b64decode

import pytest

from tests.simulators.media import Media
from tests.simulators.website_stations import DEPTH, FRAME, MEDIA, PLAYER, SITE
from tests.simulators.website_visitor import Visitor, whole


@pytest.fixture
def visitor(media: Media) -> Visitor:
    """A website."""
    return Visitor(media)


@pytest.mark.parametrize("number", ["51", "52", "53", "61", "62"])
def test_players(visitor: Visitor, number: str) -> None:
    """Each way to a playlist leads to one with whole addresses, for the page that plays it and for no other."""
    url, player = visitor.playlist(number)
    assert (FRAME if number in ("53", "62") else PLAYER) in player
    listed, _ = visitor.listed(number)
    assert len(listed) >= 6
    for each in (url, *listed):
        assert each.startswith(visitor.site.url(MEDIA) + "/")
        assert visitor.media(each, player).status == 200, each
        assert visitor.get(each, player).status == 403
        assert visitor.get(each, "", "/".join(player.split("/")[:3])).status == 403
        assert visitor.media(each, "http://elsewhere.test/").status == 403
    keys = [each for each in listed if "/key/" in each]
    assert bool(keys) == (number != "62")
    assert all(len(whole(visitor.media(each, player))) == 16 for each in keys)


def test_keys_change(visitor: Visitor) -> None:
    """The key of a channel is another after some segments."""
    before = [each for each in visitor.listed("51")[0] if "/key/" in each]
    visitor.clock.advance(20)
    player = visitor.playlist("51")[1]
    after = [each for each in visitor.listed("51")[0] if "/key/" in each]
    assert not set(before) & set(after)
    assert visitor.media(before[0], player).body != visitor.media(after[0], player).body


def test_disguises(visitor: Visitor) -> None:
    """Segments can be called pictures and styles, and be sent as such."""
    for number, extension, kind in (("61", ".png", "image/png"), ("62", ".css", "text/css")):
        listed, player = visitor.listed(number)
        assert listed[-1].endswith(extension)
        assert dict(visitor.media(listed[-1], player).headers)["Content-Type"] == kind
    assert whole(visitor.media(listed[-1], player))[:1] == b"\x47"


def test_variants(visitor: Visitor) -> None:
    """A playlist can have variants, which are named relative to it and expire with it."""
    url, player = visitor.playlist("54")
    listed, _ = visitor.listed("54")
    assert set(listed) == {"0/index.m3u8", "1/index.m3u8", "2/index.m3u8"}
    variant = url.replace("index.m3u8", "0/index.m3u8")
    reply = visitor.media(variant, player)
    assert whole(reply).startswith(b"#EXTM3U")
    visitor.tell("/expire")
    assert {visitor.media(each, player).status for each in (url, variant)} == {403}


def test_no_player(visitor: Visitor) -> None:
    """Players can be dead, want a signature, be empty, lead to no playlist, lie too deep, and in themselves."""

    def player(number: str) -> tuple[str, str]:
        page = visitor.site.url(SITE) + f"/stream/stream-{number}.php"
        return visitor.frames(page, visitor.site.url(SITE) + "/")[0], page

    assert visitor.get(*player("55")).status == 502
    assert "authSig" in visitor.text(*player("56"))
    lookup = visitor.site.url(PLAYER) + "/server_lookup.php?channel_id=signed56"
    assert visitor.get(lookup, player("56")[0]).status == 403
    assert visitor.get(visitor.site.url(PLAYER) + "/auth.php").status == 404
    url, inside = visitor.playlist("57")
    hollow = visitor.media(url, inside)
    assert (hollow.status, whole(hollow)[:6]) == (200, b"<html>")
    assert visitor.frames(*player("59")) == [player("59")[0]]
    assert visitor.frames(*player("60")) == []
    url, inside = visitor.playlist("58")
    assert f"depth={DEPTH}" in inside
    assert visitor.media(url, inside).status == 200


def test_decoys(visitor: Visitor) -> None:
    """Among what a player decodes one address alone is that of a playlist, and a frame in a script is none."""
    page = visitor.site.url(SITE) + "/stream/stream-53.php"
    (player,) = visitor.frames(page, visitor.site.url(SITE) + "/")
    assert "' + url + '" in visitor.text(player, page)
    (inner,) = visitor.frames(player, page)
    found = re.findall(r"""atob\(["']([\w+/=]+)["']\)""", visitor.text(inner, player))
    texts = [b64decode(each).decode() for each in found]
    assert len(texts) == 4
    assert [each for each in texts if each.startswith("http") and ".m3u8" in each] == [visitor.playlist("53")[0]]


def test_expiry(visitor: Visitor) -> None:
    """A path is over after so many requests, so much time, or when it is said; then there is another."""
    first, player = visitor.playlist("51")
    assert visitor.playlist("51")[0] == first
    visitor.set(requests=2, expired=410)
    segment = visitor.listed("51")[0][-1]
    assert [visitor.media(first, player).status for _ in range(3)] == [200, 410, 410]
    assert visitor.media(segment, player).status == 410
    second = visitor.playlist("51")[0]
    assert second != first
    assert visitor.media(second, player).status == 200
    visitor.set(requests=0, seconds=5, expired=404)
    third = visitor.playlist("61")[0]
    visitor.clock.advance(4)
    assert visitor.media(third, player).status == 200
    visitor.clock.advance(2)
    assert visitor.media(third, player).status == 404
    assert visitor.playlist("61")[0] != third
    visitor.tell("/reset")
    fixed = visitor.playlist("52")[0]
    visitor.tell("/expire")
    assert visitor.media(fixed, player).status == 200
    assert visitor.media(visitor.site.url(MEDIA) + "/zz999/premium51/mono.m3u8", player).status == 403
