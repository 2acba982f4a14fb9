"""Gzip as it comes (RFC 1952): blocks in, blocks out, however many files lie one after another."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from iptvd.errors import ProtocolError

#: What gzip begins with.
MAGIC = b"\x1f\x8b"


def gunzipped(blocks: Iterator[bytes], most: int, what: str) -> Iterator[bytes]:
    """
    The content, in blocks of at most ``most`` bytes.

    :param what: it is, for the sentence when it is damaged.
    :raises ProtocolError: when it is damaged or was cut short.
    """
    inflate = zlib.decompressobj(wbits=31)
    try:
        for packed in blocks:
            while packed:
                if inflate.eof:
                    if packed[0] != MAGIC[0]:
                        # Padding, or what a program left there: gzip itself ignores it too.
                        return
                    inflate = zlib.decompressobj(wbits=31)
                yield inflate.decompress(packed, most)
                packed = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
    except zlib.error:
        raise ProtocolError(f"{what} is a damaged gzip file: get it again") from None
    if not inflate.eof:
        raise ProtocolError(f"{what} is a gzip file that was cut short: get it again")
