"""
What the tags of an HLS playlist are made of: attribute lists, and the variables that EXT-X-DEFINE defines.

Attribute lists are RFC 8216 section 4.2, variables draft-pantos-hls-rfc8216bis.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from iptvd.errors import ProtocolError

#: Attributes of one tag, counting what is between two commas.
MAX_ATTRIBUTES = 500
# Bytes that a number with all its decimals, and some white space before it, may have.
_LONGEST = 64

# Possessive, so that no line makes it try twice. White space around names and values is an indulgence.
_ATTRIBUTE = re.compile(rb'([^=,"]*+)(?:=[ \t]*+(?:"([^"]*+)"[ \t]*+|([^",]*+)))?(?:,|\Z)')
_REFERENCE = re.compile(rb"\{\$([A-Za-z0-9_-]+)\}")
_BREAKS_OUT = re.compile(rb'["\r\n]')
_NUMBER = re.compile(rb"[ \t]*([0-9]{1,20})((?:\.[0-9]{0,20})?)")


def count(text: bytes) -> int:
    """The whole number that a tag's value begins with (RFC 8216 section 4.2), 0 where there is none."""
    match = _NUMBER.match(text)
    return int(match[1]) if match else 0


def seconds(text: bytes) -> float | None:
    """The number with or without decimals that a tag's value begins with, None where there is none."""
    match = _NUMBER.match(text)
    return float(match[1] + match[2]) if match else None


def value_of(body: bytes, tag: bytes) -> bytes:
    """
    As much as a number may have of what follows the colon of the first tag of that name; empty when there is none.

    It looks for nothing else, so that a long playlist whose tags are at its beginning takes no time.
    """
    at = body.find(tag + b":")
    start = at + len(tag) + 1
    return body[start : start + _LONGEST] if at >= 0 else b""


def attributes(text: bytes) -> list[tuple[bytes, bytes, int]]:
    """
    The attributes in order: name, value without its quotes, and the index where the value starts.

    A name may come twice; an item without ``=`` is passed over.

    :param text: what follows a tag's colon.
    :raises ProtocolError: when a quotation mark is where none can be, or there are too many.
    """
    found: list[tuple[bytes, bytes, int]] = []
    position = items = 0
    while position < len(text):
        match = _ATTRIBUTE.match(text, position)
        if match is None:
            raise ProtocolError("The playlist has a tag whose attributes have a quotation mark too many or too few.")
        position = match.end()
        items += 1
        if items > MAX_ATTRIBUTES:
            raise ProtocolError(f"The playlist has a tag with more than {MAX_ATTRIBUTES} attributes.")
        if match.lastindex == 2:
            found.append((match[1].strip(), match[2], match.start(2)))
        elif match.lastindex == 3:
            found.append((match[1].strip(), match[3].rstrip(), match.start(3)))
    return found


class Variables:
    """
    The variables of one playlist, as far as it has been read.

    :param query: that of the playlist's own URL, without its question mark.
    :param imports: what the multivariant playlist that led here defined.
    :param grow: told how many bytes each substitution puts in; may raise.
    """

    def __init__(self, query: str, imports: Mapping[str, str], grow: Callable[[int], None]) -> None:
        self._query = query
        self._imports = imports
        self._grow = grow
        self._values: dict[bytes, bytes] = {}

    def __bool__(self) -> bool:
        return bool(self._values)

    def known(self) -> Mapping[str, str]:
        """All that are defined, for playlists that import them; bytes that are not UTF-8 as surrogates."""
        return {_text(name): _text(value) for name, value in self._values.items()}

    def define(self, text: bytes) -> bytes:
        """
        Take in an EXT-X-DEFINE, and give the attributes that it leaves us with, in which there is no value.

        :param text: its attributes.
        :raises ProtocolError: when the variable is to come from where it is not, or cannot stand in an attribute.
        """
        values = {name: self.expand(value) for name, value, _ in attributes(text)}
        if b"IMPORT" in values:
            name = values[b"IMPORT"]
            if _text(name) not in self._imports:
                raise ProtocolError("The playlist imports a variable that the playlist before it did not define.")
            self._values[name] = _bytes(self._imports[_text(name)])
            return text
        if b"QUERYPARAM" in values:
            name = values[b"QUERYPARAM"]
            # The first of that name counts.
            query = dict(reversed(parse_qsl(self._query, keep_blank_values=True, errors="surrogateescape")))
            if _text(name) not in query:
                raise ProtocolError("The playlist takes a variable from its own address, which does not have it.")
            value = _bytes(query[_text(name)])
        else:
            name = values.get(b"NAME", b"")
            value = values.get(b"VALUE", b"")
        if _BREAKS_OUT.search(value):
            raise ProtocolError("The playlist defines a variable that holds a quotation mark or a line end.")
        self._values[name] = value
        return b'NAME="%b",VALUE=""' % name

    def expand(self, text: bytes, *, strict: bool = False) -> bytes:
        """
        Put the values in where there are references.

        :param strict: a reference to nothing is an error; else it stays, as it may be meant literally.
        :raises ProtocolError: for that error.
        """

        def value(match: re.Match[bytes]) -> bytes:
            known = self._values.get(match[1])
            if known is not None:
                self._grow(len(known))
                return known
            if strict:
                raise ProtocolError("The playlist uses a variable that it does not define.")
            return match[0]

        return _REFERENCE.sub(value, text) if b"{$" in text else text


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
