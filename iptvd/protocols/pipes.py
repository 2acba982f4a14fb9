"""
Pipes to move bytes through inside the kernel, shared by all streams that need one for a moment.

An unprivileged user has 64 MiB of pipe in all (pipe(7), pipe-user-pages-soft) and gets pipes of two pages past that.
So a pipe is 64 KiB, and only while few are in use it is larger, which is cheaper for a fast viewer.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from mmap import PAGESIZE

from attrs import define, field

#: Bytes of a pipe; there is room for hundreds of these.
SMALL = 65536
#: Bytes of the first ones: a third less work for one fast viewer.
LARGE = 1 << 20
#: Bytes of a large one that are enough for a viewer that does not read.
ENOUGH = 1 << 18
FEW = 16
#: Empty pipes of the small size that are kept.
SPARE = 64


@define(eq=False)
class Pipe:
    """
    A pipe.

    :ivar size: bytes it may hold.
    :ivar held: bytes it holds.
    :ivar enough: bytes to hold in it for a viewer that does not read.
    :ivar pieces: how many it may hold of what came in separate packets or writes; each takes up a page, however small.
    """

    reader: int
    writer: int
    size: int
    held: int = 0
    enough: int = field(init=False)
    pieces: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.enough = min(self.size // 2, ENOUGH)
        self.pieces = self.size // PAGESIZE

    def close(self) -> None:
        """Give its descriptors back."""
        os.close(self.reader)
        os.close(self.writer)


class PipePool:
    """
    The pipes of the whole daemon.

    :param large: bytes of the first ``few`` pipes.
    :ivar in_use: how many are borrowed.
    """

    def __init__(self, large: int = LARGE, few: int = FEW, spare: int = SPARE) -> None:
        self.in_use = 0
        self._large_size = large
        self._large_left = few
        self._large: list[Pipe] = []
        self._spare = spare
        self._small: list[Pipe] = []
        self._closed = False

    def borrow(self) -> Pipe:
        """
        An empty pipe, to be given back.

        :raises OSError: when there are no descriptors left.
        """
        if self._large:
            pipe = self._large.pop()
        elif self._large_left <= 0 and self._small:
            pipe = self._small.pop()
        else:
            pipe = self._make()
        self.in_use += 1
        return pipe

    def give_back(self, pipe: Pipe) -> None:
        """Take a pipe back; one that is not empty is of no more use to anyone."""
        self.in_use -= 1
        large = pipe.size > SMALL
        kept, room = (self._large, True) if large else (self._small, len(self._small) < self._spare)
        # One that was made small because we have too many is not worth keeping.
        if self._closed or pipe.held or pipe.size < SMALL or not room:
            pipe.close()
            if large:
                self._large_left += 1
        else:
            kept.append(pipe)

    def shrink(self) -> None:
        """Close those that nobody has."""
        self._large_left += len(self._large)
        for pipe in (*self._large, *self._small):
            pipe.close()
        self._large.clear()
        self._small.clear()

    def close(self) -> None:
        """Close those that nobody has; the others are closed when they come back."""
        self._closed = True
        self.shrink()

    def _make(self) -> Pipe:
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        size = fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ)
        wanted = SMALL
        if self._large_left > 0:
            wanted = max(self._large_size, SMALL)
        if size != wanted:
            # Not allowed to everyone: then it is what it is, and asking for large ones is over.
            with suppress(OSError):
                size = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, wanted)
        if self._large_left > 0:
            self._large_left = self._large_left - 1 if size > SMALL else 0
        return Pipe(reader, writer, size)
