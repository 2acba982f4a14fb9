"""A guide's file as plain bytes: gzip and xz are told by how they begin (RFC 1952, the .xz file format)."""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from iptvd.errors import ProtocolError
from iptvd.protocols.gunzip import MAGIC, gunzipped

#: Bytes of plain text in one block, and of the file in one read.
BLOCK = 64 * 1024
#: Memory that unpacking xz may take: what its strongest preset needs, and a little.
_XZ_MEMORY = 72 * 1024 * 1024


def plain(path: Path, limit: int) -> Iterator[bytes]:
    """
    The file's content in blocks of at most `BLOCK` bytes.

    :param limit: bytes of content beyond which it is given up.
    :raises ProtocolError: when it is damaged or too long.
    :raises OSError: when it cannot be read.
    """
    # What does not get smaller by being unpacked need not be begun with.
    _check(path.stat().st_size, limit)
    size = 0
    with path.open("rb") as file:
        first = file.read(BLOCK)
        blocks = _reads(file, first)
        if first.startswith(MAGIC):
            blocks = gunzipped(blocks, BLOCK, "the guide")
        elif first.startswith(b"\xfd7zXZ\x00"):
            blocks = _unxzed(blocks)
        for block in blocks:
            size += len(block)
            _check(size, limit)
            yield block


def _check(size: int, limit: int) -> None:
    if size > limit:
        raise ProtocolError(f"the guide is longer than {limit >> 20} MiB: raise epg_max_mb, or take another")


def _reads(file: BinaryIO, block: bytes) -> Iterator[bytes]:
    while block:
        yield block
        block = file.read(BLOCK)


def _unxzed(blocks: Iterator[bytes]) -> Iterator[bytes]:
    expand = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
    try:
        for packed in blocks:
            while packed or not (expand.needs_input or expand.eof):
                if expand.eof:
                    if not packed.strip(b"\0"):
                        break
                    expand = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
                yield expand.decompress(packed, BLOCK)
                packed = expand.unused_data if expand.eof else b""
    except lzma.LZMAError:
        raise ProtocolError("the guide is a damaged xz file, or needs too much memory") from None
    if not expand.eof:
        raise ProtocolError("the guide is an xz file that was cut short")
