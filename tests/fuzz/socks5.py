"""What a SOCKS5 proxy answers, to a client with a password and to one without; and how operators write proxies."""

from __future__ import annotations

from iptvd.errors import ProtocolError
from iptvd.protocols.socks5 import Proxy, Socks5Client, read_proxy
from tests.fuzz.targets import split, told

_CONNECTED = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x1f\x90"
SEEDS = [
    b"\xff\x05\x00" + _CONNECTED + b"HTTP/1.1 200 OK",
    b"\x00\x05\x02\x01\x00" + _CONNECTED,
    b"\xff\x05\x02\x05\x00\x05\x00\x00\x03\x04host\x00\x50rest",
    b"\xff\x05\x00\x05\x00\x00\x04" + bytes(18),
    b"\xff\x05\x00\x05\x05\x00\x01" + bytes(6),
    b"\xff\x05\xff",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"user:password@[::1]:1080",
    b"proxy.test:1080",
]


def one(data: bytes) -> None:
    """Talk to it; what came after its last answer is the stream's own, to the byte."""
    for proxy in (Proxy("p.test", 1080), Proxy("p.test", 1080, "bob", "s3cret")):
        client = Socks5Client(proxy, "host.test", 80)
        client.begin()
        pieces = list(split(data))
        fed = 0
        try:
            for piece in pieces:
                if client.done:
                    break
                fed += len(piece)
                client.feed(piece)
        except ProtocolError as error:
            told(error.sentence)
            continue
        if client.done:
            whole = data[1 : 1 + fed]
            assert whole.endswith(client.rest)
            assert len(whole) - len(client.rest) >= 2 + 4 + 1 + 2
    try:
        assert read_proxy(data.decode("utf-8", "surrogateescape")).port
    except ValueError as error:
        told(str(error))
