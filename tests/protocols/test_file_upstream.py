"""A file on this machine as a body."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.file_upstream import BLOCK, FileUpstream
from tests.doubles import folder_for, offload
from tests.protocols.test_upstream import Gathered

T = TypeVar("T")
DATA = bytes(range(256)) * (3 * BLOCK // 256) + b"tail"


class Disk:
    """Disk work that is done when the test says."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Deferred[object], Callable[[], object]]] = []

    def offload(self, work: Callable[..., T], /, *args: object) -> Awaitable[T]:
        done: Deferred[T] = Deferred()
        self.waiting.append((done, lambda: work(*args)))  # type: ignore[arg-type]
        return done

    def turn(self) -> None:
        """One piece of it."""
        done, work = self.waiting.pop(0)
        try:
            result = work()
        except OSError:
            done.errback()
        else:
            done.callback(result)


class FileUpstreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = folder_for(self) / "film.ts"
        self.path.write_bytes(DATA)
        self.disk = Disk()
        self.gathered = Gathered()

    def file(self, path: Path | None = None) -> BinaryIO:
        file = (path or self.path).open("rb")
        self.addCleanup(file.close)
        return file

    def test_whole(self) -> None:
        """A file comes whole and in order, and is closed at its end."""
        file = self.file()
        FileUpstream(file, 0, len(DATA), offload).attach(self.gathered)
        self.assertEqual((self.gathered.data == DATA, self.gathered.ends), (True, [None]))
        self.assertTrue(file.closed)

    def test_part(self) -> None:
        """Of a part not a byte more is read."""
        for start, length in ((0, 1), (5, BLOCK + 7), (len(DATA) - 4, 4), (10, 0)):
            gathered = Gathered()
            FileUpstream(self.file(), start, length, offload).attach(gathered)
            self.assertEqual((gathered.data, gathered.ends), (DATA[start : start + length], [None]))

    def test_backpressure(self) -> None:
        """While its reader pauses nothing more is read than the one block that is on its way."""
        upstream = FileUpstream(self.file(), 0, len(DATA), self.disk.offload)
        upstream.attach(self.gathered)
        upstream.pauseProducing()
        self.disk.turn()
        self.assertEqual((len(self.gathered.data), self.disk.waiting), (BLOCK, []))
        upstream.resumeProducing()
        upstream.resumeProducing()
        self.assertEqual(len(self.disk.waiting), 1)
        while self.disk.waiting:
            self.disk.turn()
        self.assertEqual((self.gathered.data == DATA, self.gathered.ends), (True, [None]))

    def test_a_pause_that_is_over_before_the_block_comes(self) -> None:
        """A pause that ends while a block is on its way neither loses nor doubles anything."""
        upstream = FileUpstream(self.file(), 0, len(DATA), self.disk.offload)
        upstream.attach(self.gathered)
        upstream.pauseProducing()
        upstream.resumeProducing()
        self.assertEqual(len(self.disk.waiting), 1)
        while self.disk.waiting:
            self.disk.turn()
        self.assertEqual(self.gathered.data, DATA)

    def test_leaving(self) -> None:
        """When the reader leaves the file is closed at once, or as soon as the block on its way is there."""
        idle = self.file()
        FileUpstream(idle, 0, len(DATA), self.disk.offload).stopProducing()
        self.assertTrue(idle.closed)
        busy = self.file()
        upstream = FileUpstream(busy, 0, len(DATA), self.disk.offload)
        upstream.attach(self.gathered)
        upstream.stopProducing()
        self.assertFalse(busy.closed)
        self.disk.turn()
        self.assertTrue(busy.closed)
        self.assertEqual((self.gathered.data, self.gathered.ends), (b"", []))
        upstream.resumeProducing()
        self.assertEqual(self.disk.waiting, [])

    def test_a_file_that_shrinks(self) -> None:
        """A file that became shorter is not shown as whole."""
        FileUpstream(self.file(), 0, len(DATA) + 1, offload).attach(self.gathered)
        (error,) = self.gathered.ends
        assert error is not None
        self.assertEqual((error.status, "shorter" in error.sentence), (502, True))

    def test_a_disk_that_fails(self) -> None:
        """A disk that fails ends the body with a sentence, and without the file's name."""
        folder = self.path.parent / "folder"
        folder.mkdir()
        upstream = FileUpstream(self.file(), 0, len(DATA), self.disk.offload)
        upstream.attach(self.gathered)
        done, _ = self.disk.waiting.pop()
        done.errback(OSError(5, "Input/output error", str(self.path)))
        (error,) = self.gathered.ends
        assert error is not None
        self.assertEqual(error.sentence, "the file cannot be read: Input/output error")

    def test_what_is_no_file(self) -> None:
        """A fault of ours while reading ends the body too, instead of leaving the viewer waiting."""
        FileUpstream(BytesIO(b"abc"), 0, 3, offload).attach(self.gathered)
        (error,) = self.gathered.ends
        assert error is not None
        self.assertEqual(error.status, 502)
