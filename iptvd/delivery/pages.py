"""
What many viewers are given at once, where the kernel can take it from memory without copying it for each of them.

The bytes are written once to a file that has no name (memfd_create(2)), and sendfile(2) lets every socket refer to its
pages. They are never written again, and live until the last socket has sent them, also after the file is closed.
"""

from __future__ import annotations

import os

#: Bytes and sockets from which on that costs less than a copy for each.
LEAST_BYTES = 16384
LEAST_SOCKETS = 32

#: Whether the platform has what it takes.
AVAILABLE = hasattr(os, "memfd_create") and hasattr(os, "sendfile")


def open_pages(data: bytes, sockets: int) -> int:
    """
    A descriptor of a file that holds ``data``, for sendfile(2); whoever opened it closes it.

    :param sockets: that will be given it, about.
    :return: -1 where it is not worth it, or not to be had.
    """
    if not AVAILABLE or len(data) < LEAST_BYTES or sockets < LEAST_SOCKETS:
        return -1
    try:
        pages = os.memfd_create("viewers", os.MFD_CLOEXEC)
    except OSError:
        return -1
    try:
        written = os.write(pages, data)
    except OSError:
        written = 0
    if written < len(data):
        os.close(pages)
        return -1
    return pages
