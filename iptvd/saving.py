"""A body that is too long for memory, written to a file as it comes, no faster than the disk takes it."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss

from iptvd.errors import ProviderError, StoreError
from iptvd.model import ProviderState
from iptvd.store import Offload

#: Bytes that are written at once; the connection waits meanwhile.
BLOCK = 256 * 1024


def too_long(limit: int) -> ProviderError:
    """What a body is that exceeds ``limit`` bytes."""
    return ProviderError(ProviderState.NOT_UNDERSTOOD, f"the answer is longer than {limit / 1_048_576:g} MiB")


def cut_short(reason: Failure) -> ProviderError | None:
    """What is wrong with a body that ended for this reason, None where it is whole."""
    if reason.check(ResponseDone, PotentialDataLoss):
        return None
    return ProviderError(ProviderState.UNREACHABLE, "the answer was cut short")


class Saver(Protocol):
    """
    Writes what it is delivered.

    :ivar done: fires with the number of bytes once all of it is in the file, or with `ProviderError` or `StoreError`;
        cancelling it closes the connection. The file is left as far as it came.
    :param limit: bytes beyond which it is given up.
    """

    def __init__(self, path: Path, limit: int, offload: Offload) -> None:
        self._path = path
        self._limit = limit
        self._offload = offload
        self._blocks: list[bytes] = []
        self._pending = 0
        self._size = 0
        self._file: BinaryIO | None = None
        self._writing = False
        self._over: Failure | None = None
        self.done: Deferred[int] = Deferred(lambda _: self._give_up())

    def dataReceived(self, data: bytes) -> None:
        """Keep it until there is enough for a write."""
        if self.done.called:
            return
        self._size += len(data)
        if self._size > self._limit:
            self._fail(too_long(self._limit))
            return
        self._blocks.append(data)
        self._pending += len(data)
        if self._pending >= BLOCK:
            if self.transport is not None:
                self.transport.pauseProducing()  # type: ignore[attr-defined]
            self._write()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Nothing more comes."""
        self._over = reason
        if not self.done.called:
            self._write()

    def _write(self) -> None:
        if self._writing:
            return
        self._writing = True
        blocks, self._blocks, self._pending = self._blocks, [], 0
        Deferred.fromCoroutine(self._put(blocks)).addErrback(self._failed)

    async def _put(self, blocks: list[bytes]) -> None:
        def put() -> None:
            if self._file is None:
                self._file = self._path.open("wb")
            self._file.writelines(blocks)
            if self._over is not None and not self._blocks:
                self._file.close()

        try:
            await self._offload(put)
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written: {error.strerror}") from None
        finally:
            self._writing = False
        if self.done.called:
            self._close()
        elif self._blocks:
            self._write()
        elif self._over is None:
            if self.transport is not None:
                self.transport.resumeProducing()  # type: ignore[attr-defined]
        elif self._file is not None and not self._file.closed:
            # The end came while the last block was being written.
            self._write()
        elif (lack := cut_short(self._over)) is not None:
            self.done.errback(lack)
        else:
            self.done.callback(self._size)

    def _failed(self, failure: Failure) -> None:
        self._close()
        if not self.done.called:
            self.done.errback(failure)
        self._hang_up()

    def _fail(self, error: ProviderError) -> None:
        self.done.errback(error)
        self._blocks.clear()
        self._hang_up()
        if not self._writing:
            self._close()

    def _give_up(self) -> None:
        self._blocks.clear()
        self._hang_up()
        self.done.errback(CancelledError())
        if not self._writing:
            self._close()

    def _hang_up(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
