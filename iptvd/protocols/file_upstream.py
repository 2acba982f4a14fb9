"""A file on this machine as a body: read off the reactor, a block at a time, as fast as its receiver takes it."""

from __future__ import annotations

import os
from typing import BinaryIO

from twisted.internet.defer import Deferred, ensureDeferred

from iptvd.errors import UpstreamError
from iptvd.protocols.upstream import Upstream
from iptvd.store import Offload

BLOCK = 131072


class FileUpstream(Upstream):
    """
    Some bytes of an open file.

    :param start: offset of the first byte.
    :param length: how many bytes.
    """

    def __init__(self, file: BinaryIO, start: int, length: int, offload: Offload) -> None:
        super().__init__()
        self._file = file
        self._position = start
        self._left = length
        self._offload = offload
        self._paused = True
        self._reading = False

    async def _read_on(self) -> None:
        self._reading = True
        try:
            while self._wanted():
                if not self._left:
                    self._end(None)
                    break
                size = min(BLOCK, self._left)
                data = await self._offload(os.pread, self._file.fileno(), size, self._position)
                if self._closed():
                    break
                if not data:
                    self._end(UpstreamError(502, "the file became shorter while it was read"))
                    break
                self._position += len(data)
                self._left -= len(data)
                self._deliver(data)
        except OSError as error:
            self._end(UpstreamError(502, f"the file cannot be read: {error.strerror}"))
        finally:
            self._reading = False
            if self.ended:
                self._file.close()

    def _wanted(self) -> bool:
        return not self._paused and not self.ended

    def _closed(self) -> bool:
        return self.ended

    # IPushProducer

    def pauseProducing(self) -> None:
        """Read no further block."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Read on."""
        self._paused = False
        if not self._reading and not self.ended:
            reading: Deferred[None] = ensureDeferred(self._read_on())
            reading.addErrback(lambda failure: self._end(UpstreamError(502, "the file cannot be read")))

    def stopProducing(self) -> None:
        """Close the file."""
        self.ended = True
        self._held.clear()
        if not self._reading:
            self._file.close()
