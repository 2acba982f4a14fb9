"""
Reads what requests and the proxies they passed through say of addresses, hosts and URLs.

Nothing here decides whom to believe. Everything is bounded, and what makes no sense raises `ProtocolError`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from attrs import evolve, frozen

from iptvd.errors import ProtocolError

Address = IPv4Address | IPv6Address

#: Characters of one header, all its lines together, beyond which it is not read.
MAX_HEADER = 4096
MAX_PREFIX = 200

DEFAULT_PORTS: Mapping[str, int] = {"http": 80, "https": 443}

#: RFC 7239 section 4: a token or a quoted string, or neither. Many proxies leave the quotes off colons and brackets.
_PAIR = re.compile(
    r"[ \t]*(?:([!#$%&'*+.^`|~\w-]+)=(?:([!#$%&'*+.^`|~\w:\[\]-]+)|\"((?:[^\"\\]|\\.)*)\")[ \t]*)?([;,]|\Z)",
    re.ASCII | re.DOTALL,
)
#: RFC 7239 section 6: an address, in brackets when it is IPv6, with or without a port.
_NODE = re.compile(r"\[([^\[\]]+)\](?::[\w.-]+)?|([0-9.]+):[\w.-]+|([^\[\]]+)", re.ASCII)
#: RFC 9110 section 7.2, less the percent-encoding and the punctuation that no name in use has.
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)(?:%[\w.~-]*)?\]|(\w[\w.-]{0,253}))(?::([0-9]*))?", re.ASCII)
_PREFIX = re.compile(r"(?:/[\w.~-]+)*", re.ASCII)


@frozen
class Place:
    """
    Where a URL points to.

    :ivar name: as URLs have it: lower case, without the root's dot, IPv6 in brackets.
    :ivar port: the port that was written with it, if any.
    """

    name: str
    port: int | None = None

    def under(self, scheme: str) -> Place:
        """The same place without a port that goes without saying."""
        return evolve(self, port=None) if self.port == DEFAULT_PORTS[scheme] else self

    def __str__(self) -> str:
        return self.name if self.port is None else f"{self.name}:{self.port}"


def parse_address(text: str) -> Address:
    """
    An address, with or without brackets, port and zone; IPv4 in IPv6's clothes (RFC 4291 section 2.5.5.2) as IPv4.

    :raises ProtocolError: when it is none: ``unknown`` and the made-up names of RFC 7239 section 6.3 are none either.
    """
    match = _NODE.fullmatch(text)
    try:
        address = ip_address((match[1] or match[2] or match[3]).partition("%")[0] if match else "")
    except ValueError:
        raise ProtocolError("A proxy named a client by something else than an IP address") from None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def parse_place(text: str) -> Place:
    """
    ``name``, ``name:port`` or ``[IPv6]:port``.

    :raises ProtocolError: when it is nothing of the kind.
    """
    match = _HOST.fullmatch(text)
    if match is None:
        raise ProtocolError("A request names a host that is no host name")
    if match[1]:
        try:
            name = f"[{IPv6Address(match[1])}]"
        except ValueError:
            raise ProtocolError("A request names a host by something that is no IPv6 address") from None
    else:
        name = match[2].lower().removesuffix(".")
        if not all(0 < len(label) < 64 for label in name.split(".")):
            raise ProtocolError("A request names a host with an empty or overlong label")
    return Place(name, parse_port(match[3]) if match[3] else None)


def parse_port(text: str) -> int:
    """
    A port, 1 to 65535.

    :raises ProtocolError: when it is none.
    """
    if not re.fullmatch("[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise ProtocolError("A request names a port that is not 1 to 65535")
    return int(text)


def parse_prefix(text: str) -> str:
    """
    What a path starts with, without a slash at its end: ``/iptv/`` is ``/iptv``, ``/`` is nothing.

    :raises ProtocolError: when it does not start with one slash, goes up, is longer than `MAX_PREFIX`, or holds
        anything but letters, digits and ``-._~`` between its slashes.
    """
    text = text.removesuffix("/")
    if len(text) > MAX_PREFIX or not _PREFIX.fullmatch(text) or {".", ".."} & set(text.split("/")):
        raise ProtocolError("A proxy named a path prefix that is none")
    return text


def parse_list(lines: Sequence[str]) -> list[str]:
    """
    The items of a comma-separated header, empty ones left out.

    :raises ProtocolError: when it is longer than `MAX_HEADER`.
    """
    return [item for item in map(str.strip, _joined(lines).split(",")) if item]


def parse_forwarded(lines: Sequence[str]) -> list[Mapping[str, str]]:
    """
    The elements of ``Forwarded`` (RFC 7239 section 4), the client's end first, parameter names in lower case.

    :raises ProtocolError: when it is not well-formed or longer than `MAX_HEADER`.
    """
    text = _joined(lines)
    elements: list[dict[str, str]] = [{}]
    position = 0
    while position < len(text):
        match = _PAIR.match(text, position)
        if match is None:
            raise ProtocolError("A proxy sent a Forwarded header that is not well-formed")
        if match[1]:
            name = match[1].lower()
            if name in elements[-1]:
                raise ProtocolError("A proxy sent a Forwarded header that says one thing twice")
            elements[-1][name] = match[2] or re.sub(r"\\(.)", r"\1", match[3], flags=re.DOTALL)
        if match[4] == ",":
            elements.append({})
        position = match.end()
    return [element for element in elements if element]


def _joined(lines: Sequence[str]) -> str:
    # RFC 9110 section 5.3: several lines are one list.
    text = ",".join(lines)
    if len(text) > MAX_HEADER:
        raise ProtocolError("A proxy sent a header that is too long")
    return text
