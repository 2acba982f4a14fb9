"""Byte ranges and the conditions that go with them, for serving files and relaying VOD (RFC 9110)."""

from __future__ import annotations

import re

from attrs import frozen

from iptvd.errors import ProtocolError

# 19 digits: what 64 bits hold.
_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,19})-([0-9]{0,19})[ \t]*", re.IGNORECASE | re.ASCII)
_CONTENT_RANGE = re.compile(
    r"bytes[ \t]+(?:([0-9]{1,19})-([0-9]{1,19})/(?:([0-9]{1,19})|\*)|\*/([0-9]{1,19}))", re.IGNORECASE | re.ASCII
)
_ENTITY_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')


class RangeNotSatisfiable(ProtocolError):  # noqa: N818 - the status's own name
    """
    A range lies outside of what there is: status 416.

    :ivar size: bytes there are.
    """

    def __init__(self, size: int) -> None:
        super().__init__(f"The requested range lies outside of the {size} bytes there are: ask for less.")
        self.size = size


@frozen
class ByteRange:
    """The bytes from ``start`` up to but not including ``stop``; at least one."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """How many bytes it is."""
        return self.stop - self.start

    def content_range(self, size: int) -> str:
        """The Content-Range of a 206, out of ``size`` bytes (RFC 9110 section 14.4)."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """
    What a Range header asks for out of ``size`` bytes, or None when all of it is to be served (RFC 9110 section 14.2).

    None stands for no header, and for one that is to be ignored: another unit than bytes, bad syntax, more than one
    range, or the last bytes of nothing.

    :raises RangeNotSatisfiable: when it begins after the end, or asks for the last 0 bytes.
    """
    found = _RANGE.fullmatch(header) if header else None
    if found is None:
        return None
    first, last = found[1], found[2]
    if not first:
        if not last or not size:
            return None
        if int(last) == 0:
            raise RangeNotSatisfiable(size)
        return ByteRange(max(size - int(last), 0), size)
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise RangeNotSatisfiable(size)
    return ByteRange(int(first), min(int(last) + 1, size) if last else size)


def unsatisfied_content_range(size: int) -> str:
    """The Content-Range of a 416 (RFC 9110 section 15.5.17)."""
    return f"bytes */{size}"


def parse_content_range(header: str) -> tuple[int, int, int | None]:
    """
    The start, the stop (not included) and the whole size out of an origin's Content-Range.

    The size is None where the origin does not know it.

    :raises RangeNotSatisfiable: for ``bytes */size``, the form that belongs to a 416.
    :raises ProtocolError: for anything that is not a range of bytes within its size.
    """
    found = _CONTENT_RANGE.fullmatch(header.strip(" \t"))
    if found is None:
        raise ProtocolError("The origin's Content-Range is malformed: ask for the whole file instead.")
    first, last, size, unsatisfied = found.groups()
    if unsatisfied is not None:
        raise RangeNotSatisfiable(int(unsatisfied))
    start, stop = int(first), int(last) + 1
    if start >= stop or (size is not None and stop > int(size)):
        raise ProtocolError("The origin's Content-Range contradicts itself: ask for the whole file instead.")
    return start, stop, None if size is None else int(size)


def if_range_matches(header: str | None, etag: str | None, last_modified: str | None) -> bool:
    """
    Whether a Range header is to be honoured in the presence of this If-Range (RFC 9110 section 13.1.5).

    Tags are compared strongly, dates letter for letter. Without the header there is no condition to fail.

    :param etag: our entity tag with its quotes, if any.
    :param last_modified: our Last-Modified as it is sent, if any.
    """
    if header is None:
        return True
    wanted = header.strip(" \t")
    if _ENTITY_TAG.fullmatch(wanted):
        return wanted == etag and not wanted.startswith("W/")
    return bool(wanted) and wanted == last_modified


def if_none_match(header: str | None, etag: str | None) -> bool:
    """
    Whether an If-None-Match names what we have, so that the answer is 304 (RFC 9110 section 13.1.2).

    Tags are compared weakly; ``*`` names anything.

    :param etag: our entity tag with its quotes, if any.
    """
    if not header:
        return False
    if header.strip(" \t") == "*":
        return True
    return etag is not None and etag.removeprefix("W/") in _ENTITY_TAG.findall(header)
