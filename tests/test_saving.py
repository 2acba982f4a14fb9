"""Long answers on their way to the disk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone

from iptvd.errors import ProviderError, StoreError
from iptvd.saving import BLOCK, Saver
from tests.doubles import folder_for, offload

T = TypeVar("T")


class SaverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = folder_for(self) / "file"
        self.transport = StringTransport()
        self.waiting: list[Deferred[None]] = []

    def slow(self, work: Callable[..., T], /, *args: object) -> Awaitable[T]:
        """A disk that takes until it is told."""

        async def do() -> T:
            turn: Deferred[None] = Deferred()
            self.waiting.append(turn)
            await turn
            return work(*args)

        return Deferred.fromCoroutine(do())

    def saver(self, limit: int = 1 << 30, path: Path | None = None, *, slow: bool = False) -> Saver:
        saver = Saver(path or self.path, limit, self.slow if slow else offload)
        saver.makeConnection(self.transport)
        return saver

    def end(self, saver: Saver, reason: Exception | None = None) -> None:
        saver.connectionLost(Failure(reason or ResponseDone()))

    def test_all_of_it(self) -> None:
        """The file holds what came, whatever its size."""
        for size in (0, 1, BLOCK - 1, BLOCK, 3 * BLOCK + 5):
            saver = self.saver()
            content = bytes(number % 251 for number in range(size))
            for start in range(0, size, 60_000):
                saver.dataReceived(content[start : start + 60_000])
            self.end(saver)
            self.assertEqual(self.successResultOf(saver.done), size)
            self.assertEqual(self.path.read_bytes(), content)

    def test_no_faster_than_the_disk(self) -> None:
        """While the disk is busy nothing more is read."""
        saver = self.saver(slow=True)
        saver.dataReceived(b"a" * BLOCK)
        self.assertEqual(self.transport.producerState, "paused")
        self.waiting.pop().callback(None)
        self.assertEqual(self.transport.producerState, "producing")

    def test_the_end_while_the_disk_is_busy(self) -> None:
        """What came last is written before it is said to be done."""
        saver = self.saver(slow=True)
        saver.dataReceived(b"a" * BLOCK)
        saver.dataReceived(b"b")
        self.end(saver)
        while self.waiting:
            self.assertNoResult(saver.done)
            self.waiting.pop().callback(None)
        self.assertEqual(self.successResultOf(saver.done), BLOCK + 1)
        self.assertEqual(self.path.read_bytes(), b"a" * BLOCK + b"b")

    def test_cut_short(self) -> None:
        """An answer that ends before its end is an error."""
        saver = self.saver()
        saver.dataReceived(b"half")
        self.end(saver, ConnectionLost())
        self.assertIn("cut short", str(self.failureResultOf(saver.done, ProviderError).value))

    def test_too_long(self) -> None:
        """Beyond the limit it is given up at once."""
        saver = self.saver(limit=1 << 20)
        saver.dataReceived(b"a" * (1 << 20))
        self.assertNoResult(saver.done)
        saver.dataReceived(b"b")
        self.assertIn("longer than 1 MiB", str(self.failureResultOf(saver.done, ProviderError).value))
        self.assertTrue(self.transport.disconnecting)
        saver.dataReceived(b"more")
        self.end(saver)

    def test_too_long_while_the_disk_is_busy(self) -> None:
        """Given up in the middle of a write, the file is closed once that is over."""
        saver = self.saver(limit=BLOCK, slow=True)
        saver.dataReceived(b"a" * BLOCK)
        saver.dataReceived(b"b")
        self.failureResultOf(saver.done, ProviderError)
        self.waiting.pop().callback(None)
        self.end(saver)
        self.assertEqual(self.waiting, [])

    def test_given_up(self) -> None:
        """Cancelled, it closes the connection."""
        for slow in (False, True):
            self.transport = StringTransport()
            saver = self.saver(slow=slow)
            saver.dataReceived(b"a" * (BLOCK if slow else 1))
            saver.done.cancel()
            self.failureResultOf(saver.done, CancelledError)
            self.assertTrue(self.transport.disconnecting)

    def test_a_disk_that_cannot(self) -> None:
        """What the disk says is told."""
        saver = self.saver(path=self.path / "nowhere")
        saver.dataReceived(b"a")
        self.end(saver)
        self.assertIn("cannot be written", str(self.failureResultOf(saver.done, StoreError).value))
