"""Gzip, piece by piece, so that it can be done in slices and sent while it is done."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

#: Bytes that are compressed in one step: some milliseconds.
AT_ONCE = 65536
#: As fast as it goes: the other eight levels take twice as long to make a playlist a tenth smaller.
FAST = 1

# With gzip's head and end (RFC 1952).
_GZIP = 31


def packed(pieces: Iterable[bytes | memoryview | None], level: int = FAST) -> Iterator[bytes | None]:
    """The same in gzip, a step for each piece: empty where nothing comes out yet, None where there was none."""
    packer = zlib.compressobj(level, zlib.DEFLATED, _GZIP)
    for piece in pieces:
        yield packer.compress(piece) if piece is not None else None
    yield packer.flush()


def pack(body: bytes, into: list[bytes], level: int = FAST) -> Iterator[None]:
    """Add a long text in gzip to a list, some of it in each step."""
    view = memoryview(body)
    for piece in packed((view[start : start + AT_ONCE] for start in range(0, len(view), AT_ONCE)), level):
        into.append(piece or b"")
        yield
