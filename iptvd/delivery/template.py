"""
A playlist with gaps: everything that all of its viewers get alike, worked out once, and what goes into the gaps.

An origin's playlist is read once for each version of it, however many viewers there are. What is left to do for a
viewer is to put its own tokens where the origin's URIs were, which is one join.
"""

from __future__ import annotations

import re
from binascii import hexlify
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import urandom

from attrs import evolve, field, frozen

from iptvd.errors import ProtocolError
from iptvd.protocols.m3u8 import MAX_OUTPUT, Rewriting, Rewritten, Role

#: Links of a template that is worth keeping; a longer playlist is a film's, which each viewer reads once.
WORTH_KEEPING = 1000

# Marks a gap while a template is being made: no playlist may hold NUL, and the value of a variable, which may, cannot
# know the rest.
_MARK = b"\0" + hexlify(urandom(8))
_SEGMENT_LINE = re.compile(rb"^" + _MARK + rb"([0-9]+)" + _MARK, re.MULTILINE)


@frozen
class Link:
    """
    Where a URI of a playlist leads.

    :ivar key: tells it from others.
    """

    url: str = field(repr=False)
    role: Role
    extension: str
    key: str = field(init=False, repr=False)

    @key.default
    def _key(self) -> str:
        return f"{self.role.value} {self.extension} {self.url}"


@frozen(eq=False)
class Template:
    """
    A playlist with gaps.

    :ivar links: what goes into the gaps, in their order; one that is there several times is one link.
    :ivar facts: what the playlist says; its body is none.
    :ivar numbers: the media sequence number of each segment that has a URL of its own.
    """

    links: Sequence[Link]
    facts: Rewritten
    numbers: Mapping[str, int] = field(repr=False)
    _parts: Sequence[bytes] = field(repr=False)

    def filled(self, uris: Sequence[bytes]) -> bytes:
        """
        The playlist with these in its gaps, one for each link.

        :raises ProtocolError: when it grows beyond all bounds.
        """
        parts = list(self._parts)
        parts[1::2] = uris
        body = b"".join(parts)
        if len(body) > MAX_OUTPUT:
            raise ProtocolError(f"The playlist would grow beyond {MAX_OUTPUT >> 20} MiB.")
        return body


class Drafting:
    """
    A template in the making: iterate over it once, which does the work in short steps, then ask `result`.

    :param body: what the origin answered with.
    :param base_url: where it came from, after redirects.
    :param variables: see `iptvd.protocols.m3u8.Rewriting`.
    :param direct: whether viewers are to get what such a URL leads to from the origin itself.
    :raises ProtocolError: as `Rewriting` does.
    """

    def __init__(
        self, body: bytes, base_url: str, variables: Mapping[str, str], direct: Callable[[str, Role], bool]
    ) -> None:
        self._links: list[Link] = []
        self._direct = direct
        self._body = body
        self._rewriting = Rewriting(body, base_url, self._mark, variables)

    def __iter__(self) -> Iterator[None]:
        return iter(self._rewriting)

    def result(self) -> Template:
        """What came of it, after the last step."""
        facts = self._rewriting.result()
        # Literal text and numbers of links take turns.
        parts = facts.body.split(_MARK)
        links = [self._links[int(number)] for number in parts[1::2]]
        return Template(links, evolve(facts, body=b""), self._numbers(facts), parts)

    def _numbers(self, facts: Rewritten) -> Mapping[str, int]:
        # Parts of one file are told apart by their byte ranges; and without a number to begin with there are none.
        told = b"#EXT-X-MEDIA-SEQUENCE" in self._body and b"#EXT-X-BYTERANGE" not in self._body
        if facts.ended or facts.multivariant or not told or facts.segments > WORTH_KEEPING:
            return {}
        urls = [self._links[int(line[1])].url for line in _SEGMENT_LINE.finditer(facts.body)]
        often = {url for url, count in Counter(urls).items() if count > 1}
        first = facts.media_sequence + facts.skipped
        return {url: first + at for at, url in enumerate(urls) if url not in often}

    def _mark(self, url: str, role: Role, extension: str) -> str:
        if self._direct(url, role):
            return url
        self._links.append(Link(url, role, extension))
        mark = _MARK.decode()
        return f"{mark}{len(self._links) - 1}{mark}"
