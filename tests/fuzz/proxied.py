"""What a proxy says before a connection's own bytes: the PROXY protocol, versions 1 and 2."""

from __future__ import annotations

from iptvd.errors import ProtocolError
from iptvd.protocols.proxy_protocol import SIGNATURE, HeaderReader
from tests.fuzz.targets import split, told

SEEDS = [
    b"\xffPROXY TCP4 192.0.2.1 192.0.2.2 50000 443\r\nGET",
    b"\x00PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n",
    b"\xffPROXY UNKNOWN\r\n",
    b"\xff" + SIGNATURE + b"\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x00\x01\x00\x02GET",
    b"\xff" + SIGNATURE + b"\x21\x21\x00\x24" + bytes(36),
    b"\xff" + SIGNATURE + b"\x21\x11\x00\x14" + bytes(12) + b"\x20\x00\x05\x01\x00\x00\x00\x00",
    b"\xff" + SIGNATURE + b"\x20\x00\x00\x00",
]


def one(data: bytes) -> None:
    """Read it; what comes after the header is the client's own, to the byte."""
    reader, fed = HeaderReader(), 0
    try:
        for piece in split(data):
            fed += len(piece)
            found = reader.feed(piece)
            if found is not None:
                assert data[1 : 1 + fed].endswith(found[1])
                assert fed - len(found[1]) >= 15
                return
    except ProtocolError as error:
        told(error.sentence)
