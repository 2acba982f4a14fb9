"""What a website with channels has: its hosts, its channels as oddly written as such sites do, how each is played."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from enum import Enum
from struct import pack

from attrs import frozen

SITE, PLAYER, MEDIA, MOVED, FRAME, ADS = (f"127.0.0.{last}" for last in range(1, 7))
HOSTS = (SITE, PLAYER, MEDIA, MOVED, FRAME, ADS)
#: An address at which nobody listens.
NOWHERE = "127.0.0.9"
#: The folders in which a channel's stream page is found.
FOLDERS = ("stream", "watch", "cast", "plus", "casting", "player")


@frozen
class Station:
    """
    A channel as the site writes it down.

    :ivar number: what the site knows it by, not always a number.
    :ivar written: its name with all that the site puts around it.
    """

    number: str
    written: str

    @property
    def slug(self) -> str:
        """What the file of its logo is called, without the extension."""
        return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\[.*?\]", "", self.written.lower())).strip("-")


#: What the site has. The twelve from 51 on are played in a way of their own each, see `WAYS`.
STATIONS = (
    Station("51", "#BBC One UK"),
    Station("52", "Demo & Two"),
    Station("53", "Demo Three [HD]"),
    Station("54", "Café 'Four' (Local)"),
    Station("55", "Demo Five"),
    Station("56", "Demo Signed"),
    Station("57", "Demo Hollow"),
    Station("58", "Demo Deep"),
    Station("59", "Demo Loop"),
    Station("60", "Demo Bare"),
    Station("61", "Demo Image"),
    Station("62", "Demo Style"),
    *(Station(str(number), f"Demo {number}") for number in range(63, 76)),
)
#: Rows that are no channels of their own: an id again, under the same name and another, and ids that are none.
ODD = (
    Station("51", "#BBC One UK"),
    Station("52", "Demo Two again"),
    Station("abc", "Demo Letters"),
    Station("", "Demo Nothing"),
    Station("5/../1", "Demo Path"),
)


class Way(Enum):
    """
    How a player comes to its playlist, or what keeps it from it.

    ``P1`` and ``TOP`` look their server up, ``P2`` decodes an address in a nested frame, ``WIDE`` likewise, with
    variants; ``IMAGE`` and ``STYLE`` are ``P1`` and ``P2`` with segments that are named and typed as something else.
    ``DEAD`` answers 502, ``SIGNED`` wants a signature, ``HOLLOW`` leads to a 200 that is no playlist, ``DEEP`` has
    `DEPTH` frames in one another, ``LOOP`` itself, ``BARE`` nothing.
    """

    P1 = "premium"
    TOP = "special"
    P2 = "framed"
    WIDE = "wide"
    IMAGE = "image"
    STYLE = "style"
    DEAD = "dead"
    SIGNED = "signed"
    HOLLOW = "hollow"
    DEEP = "deep"
    LOOP = "loop"
    BARE = "bare"


#: The players of each channel, the first on its page first; all others have `Way.P1`.
WAYS: Mapping[str, tuple[Way, ...]] = {
    "52": (Way.TOP,),
    "53": (Way.P2,),
    "54": (Way.WIDE,),
    "55": (Way.DEAD, Way.P2, Way.P1),
    "56": (Way.SIGNED,),
    "57": (Way.HOLLOW,),
    "58": (Way.DEEP,),
    "59": (Way.LOOP,),
    "60": (Way.BARE,),
    "61": (Way.IMAGE,),
    "62": (Way.STYLE,),
}
#: The ways whose playlist is decoded in a nested frame.
DECODED = (Way.P2, Way.WIDE, Way.STYLE, Way.DEEP)
#: How many frames lie in one another in `Way.DEEP`.
DEPTH = 9


def key_of(way: Way, number: str) -> str:
    """What the players' hosts know a channel by."""
    return way.value + number


def _png() -> bytes:
    """A picture of one point."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))

    parts = chunk(b"IHDR", pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)), chunk(b"IDAT", zlib.compress(b"\0\x20\x60\xa0"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


#: The kinds of logo there are: extension, media type, bytes.
_LOGOS = (
    ("png", "image/png", _png()),
    ("jpg", "image/jpeg", _png()),
    ("svg", "image/svg+xml", b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'),
)


def logos() -> dict[str, tuple[str, bytes]]:
    """The media type and the bytes of each logo, by its path; every fifth channel has none."""
    found = {}
    for place, station in enumerate(STATIONS):
        extension, kind, data = _LOGOS[place % len(_LOGOS)]
        if place % 5 != 4:
            found[f"/logos/{station.slug}.{extension}"] = (kind, data)
    return found
