"""What is in memory already, as a body: handed on piece by piece, as fast as its receiver takes it."""

from __future__ import annotations

from collections.abc import Iterable

from iptvd.protocols.upstream import Upstream


class MemoryUpstream(Upstream):
    """Some pieces of memory, none of them copied here."""

    def __init__(self, pieces: Iterable[memoryview | bytes]) -> None:
        super().__init__()
        self._pieces = iter(pieces)
        self._paused = True
        self._delivering = False

    def pauseProducing(self) -> None:
        """Hand on no further piece."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Go on."""
        self._paused = False
        if self._delivering:
            return
        self._delivering = True
        try:
            while not self._paused and not self.ended:
                piece = next(self._pieces, None)
                if piece is None:
                    self._end(None)
                else:
                    self._deliver(piece)
        finally:
            self._delivering = False

    def stopProducing(self) -> None:
        """Let go of the pieces."""
        self.ended = True
        self._pieces = iter(())
        self._held.clear()
