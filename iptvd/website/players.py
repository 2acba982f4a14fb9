"""
What a page on the way to a channel's playlist says: the frames in it, or how its player finds the playlist.

Two players are known. P1 asks its own host on which server a channel is; P2 has the playlist's address in Base64. Only
what is written there is read: a page that wants an access signature made is not gone past.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from urllib.parse import quote, urljoin, urlsplit

from attrs import field, frozen

from iptvd.errors import ProtocolError
from iptvd.protocols.jsonstream import items
from iptvd.protocols.urls import split_url
from iptvd.website.markup import parse

#: Bytes of a page that are looked at.
LONGEST = 128 * 1024
MOST_FRAMES = 40
_LONGEST_ADDRESS = 2048

# Each begins with a letter or two, which are found fast; what stands before them is looked at afterwards.
_KEY = re.compile(r"""[cC](?:hannel_?[kK]ey|HANNEL_?KEY)["']?\s{0,9}[:=]\s{0,9}["']([A-Za-z0-9_-]{1,64})["']""")
_SOURCE = re.compile(
    r"""source(?<![A-Za-z0-9_$]source)["']?\s{0,9}[:=]\s{0,9}(?:window\.)?atob\(\s{0,9}(["'])([A-Za-z0-9+/=_-]{8,8192})\1\s{0,9}\)"""
)
# In small letters.
_SIGNED = (
    *("authsig", "auth_sig", "authrnd", "auth_rnd", "authts", "auth_ts", "authtoken", "auth_token", "auth.php?"),
    *("?sig=", "&sig=", "?signature=", "&signature=", "crypto.subtle", "cryptojs", "hmacsha"),
)
_CDN = re.compile(r"""(?:["'`/]top1|[}"'`]new)\.((?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}(?::[0-9]{1,5})?)/""")
_SERVER = re.compile(r"[A-Za-z0-9-]{1,63}(?:/[A-Za-z0-9_-]{1,63}){0,3}")
# What stands in place of an address that a script would write.
_UNWRITTEN = re.compile(r"""[\s'"`{}<>\\]|\$\{""")
_PLAYER_NAME = re.compile(r"player|video|stream|frame", re.IGNORECASE)
_HIDDEN = re.compile(r"display\s{0,9}:\s{0,9}none|visibility\s{0,9}:\s{0,9}hidden", re.IGNORECASE)
_TINY = re.compile(r"[0-2](?:px)?")


@frozen
class PlayerPage:
    """
    What was found.

    :ivar playlist: the address that a player P2 has, or empty.
    :ivar key: what a player P1 calls the channel, or empty.
    :ivar cdn: the host that a player P1 names for its playlists, possibly with a port, or empty.
    :ivar signed: whether it says something about signatures.
    :ivar frames: addresses of the frames that look like players, in their order, then of others.
    :ivar likely: how many of them look like players.
    """

    playlist: str = field(default="", repr=False)
    key: str = ""
    cdn: str = field(default="", repr=False)
    signed: bool = False
    frames: tuple[str, ...] = field(default=(), repr=False)
    likely: int = 0


def read_page(body: bytes, url: str) -> PlayerPage:
    """
    Look at a page; what it is not is simply not found in it.

    :param url: of the page, after redirects.
    """
    tree = parse(body[:LONGEST].decode("utf-8", "replace"))
    script = "\n".join(node.text() for node in tree.css("script"))
    small = script.lower()
    likely: dict[str, None] = {}
    others: dict[str, None] = {}
    for node in tree.css("iframe")[:MOST_FRAMES]:
        attributes = {name.lower(): value or "" for name, value in node.attributes.items()}
        address = _address(attributes.get("src", ""), url)
        if address and not _is_hidden(attributes):
            (likely if _is_player(attributes) or "allowfullscreen" in attributes else others)[address] = None
    key, cdn = _KEY.search(script), _CDN.search(script)
    return PlayerPage(
        playlist=next(filter(None, map(_decoded, _SOURCE.finditer(script))), ""),
        key=key[1] if key else "",
        cdn=cdn[1] if cdn else "",
        signed=any(word in small for word in _SIGNED),
        frames=(*likely, *(each for each in others if each not in likely)),
        likely=len(likely),
    )


def _address(written: str, url: str) -> str:
    """The whole address that an attribute names; empty when it names none that can be asked for."""
    written = written.strip()
    if not written or len(written) > _LONGEST_ADDRESS or _UNWRITTEN.search(written):
        return ""
    try:
        address = urljoin(url, written).partition("#")[0]
        split_url(address)
    except (ValueError, ProtocolError):
        return ""
    return address


def _is_hidden(attributes: Mapping[str, str]) -> bool:
    small = any(_TINY.fullmatch(attributes.get(side, "").strip()) for side in ("width", "height"))
    return small or bool(_HIDDEN.search(attributes.get("style", "")))


def _is_player(attributes: Mapping[str, str]) -> bool:
    """Whether a frame looks like what a player lies in, not an advertisement."""
    allowed = attributes.get("allow", "")
    named = any(_PLAYER_NAME.search(attributes.get(name, "")) for name in ("id", "class", "name"))
    wide = any(attributes.get(side, "").strip() == "100%" for side in ("width", "height"))
    return named or wide or "fullscreen" in allowed or "encrypted-media" in allowed


def _decoded(found: re.Match[str]) -> str:
    """The address of a playlist that is written in Base64; empty when it is something else."""
    text = found[2].rstrip("=").replace("-", "+").replace("_", "/")
    try:
        address = b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except ValueError:
        return ""
    return address if is_playlist(address) else ""


def is_playlist(address: str) -> bool:
    """Whether an address is one of HLS, over http or https."""
    if not address.isprintable() or _UNWRITTEN.search(address):
        return False
    try:
        split_url(address)
        return ".m3u8" in urlsplit(address).path.lower()
    except (ValueError, ProtocolError):
        return False


def lookup_url(template: str, key: str, url: str) -> str:
    """
    Where a player P1 asks for the server of its channel.

    :param template: with ``{key}``, relative to the player's page.
    :param url: of that page.
    """
    return urljoin(url, template.replace("{key}", quote(key, safe="")))


def read_server(body: bytes) -> str:
    """
    The server that a player P1 is told.

    :raises ProtocolError: when the answer names none.
    """
    for path, value in items(body):
        if path == ("server_key",) and isinstance(value, str) and _SERVER.fullmatch(value):
            return value
    raise ProtocolError("0 of 1 selectors matched: none for server_key")


def playlist_url(template: str, server: str, key: str, cdn: str) -> str:
    """
    The playlist of a player P1.

    :param template: with ``{server}``, ``{first}`` (what the server has before its first slash), ``{key}``, ``{cdn}``.
    """
    parts = {"{server}": server, "{first}": server.partition("/")[0], "{key}": key, "{cdn}": cdn}
    for name, value in parts.items():
        template = template.replace(name, value)
    return template
