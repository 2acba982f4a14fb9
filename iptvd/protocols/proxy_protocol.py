"""
The PROXY protocol, versions 1 and 2: what a proxy says about a connection before the connection's own bytes.

See haproxy.org/download/2.6/doc/proxy-protocol.txt; its sections are named below.
"""

from __future__ import annotations

import re
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

from attrs import frozen

from iptvd.errors import ProtocolError

Address = IPv4Address | IPv6Address

#: Bytes of a header of version 1 with its line's end (section 2.1), and of what follows the first 16 of version 2.
MAX_LINE, MAX_REST = 107, 2048

#: Section 2.2: what a header of version 2 begins with.
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_LINE = re.compile(rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?|TCP([46]) ([0-9a-fA-F:.]+) ([0-9a-fA-F:.]+) (\d{1,5}) (\d{1,5}))")
_BEGINS = b"PROXY "
#: The families and protocols of section 2.2 that are ours: TCP over IPv4 and IPv6.
_FORMS = {0x11: struct.Struct("!4s4sHH"), 0x21: struct.Struct("!16s16sHH")}
#: Section 2.2.5: the type of what tells about TLS, and the bit that the client came by it.
_TLS, _BY_TLS = 0x20, 0x01


@frozen
class Relayed:
    """
    A connection as its proxy tells it.

    :ivar client: address and port of the client, None where they are not known.
    :ivar local: where the client connected to, likewise.
    :ivar secure: whether the client spoke TLS with the proxy.
    :ivar own: whether the proxy has connected for itself, to see whether we are there: then nothing else is told.
    """

    client: tuple[Address, int] | None = None
    local: tuple[Address, int] | None = None
    secure: bool = False
    own: bool = False


class HeaderReader:
    """Reads one header, which may come in any pieces."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> tuple[Relayed, bytes] | None:
        """
        Take some bytes.

        :return: when the header is whole, what it tells, and the bytes after it.
        :raises ProtocolError: when it is none, or longer than it may be.
        """
        self._data += data
        got = self._data
        if got[: len(SIGNATURE)] == SIGNATURE[: len(got)]:
            return self._binary(got)
        if got[: len(_BEGINS)] == _BEGINS[: len(got)]:
            return self._line(got)
        raise ProtocolError("A connection to listen_proxy does not begin with a PROXY header")

    def _line(self, got: bytes) -> tuple[Relayed, bytes] | None:
        end = got.find(b"\r\n", 0, MAX_LINE)
        if end < 0:
            if len(got) >= MAX_LINE:
                raise ProtocolError("A PROXY header of version 1 is too long")
            return None
        match = _LINE.fullmatch(got, 0, end)
        if match is None:
            raise ProtocolError("A PROXY header of version 1 is not well-formed")
        rest = got[end + 2 :]
        if not match[1]:
            # Section 2.1: what the proxy does not know is to be ignored, whatever it writes.
            return Relayed(), rest
        client, local = (_place(match[at], match[at + 2], match[1] == b"4") for at in (2, 3))
        return Relayed(client, local), rest

    def _binary(self, got: bytes) -> tuple[Relayed, bytes] | None:
        if len(got) < 16:
            return None
        command, form, size = struct.unpack_from("!BBH", got, 12)
        if command not in (0x20, 0x21):
            raise ProtocolError("A PROXY header has a version or a command that there is not")
        if size > MAX_REST:
            raise ProtocolError("A PROXY header of version 2 is too long")
        if len(got) < 16 + size:
            return None
        body, rest = got[16 : 16 + size], got[16 + size :]
        if command == 0x20:
            return Relayed(own=True), rest
        addresses = _FORMS.get(form)
        if addresses is None:
            # Section 2.2: what is not TCP over IP is as if it were not known.
            return Relayed(), rest
        if size < addresses.size:
            raise ProtocolError("A PROXY header of version 2 has no room for its addresses")
        source, here, source_port, here_port = addresses.unpack_from(body)
        secure = _is_secure(body[addresses.size :])
        return Relayed((ip_address(source), source_port), (ip_address(here), here_port), secure), rest


def _place(address: bytes, port: bytes, four: bool) -> tuple[Address, int]:
    try:
        parsed = (IPv4Address if four else IPv6Address)(address.decode())
    except ValueError:
        raise ProtocolError("A PROXY header names an address that is none") from None
    if int(port) > 65535:
        raise ProtocolError("A PROXY header names a port that is none")
    return parsed, int(port)


def _is_secure(more: bytes) -> bool:
    """Whether what follows the addresses tells that the client spoke TLS (section 2.2.5)."""
    at = 0
    while at < len(more):
        if len(more) - at < 3:
            raise ProtocolError("A PROXY header of version 2 is cut short")
        kind, size = struct.unpack_from("!BH", more, at)
        at += 3
        if len(more) - at < size:
            raise ProtocolError("A PROXY header of version 2 is cut short")
        if kind == _TLS and size:
            return bool(more[at] & _BY_TLS)
        at += size
    return False
