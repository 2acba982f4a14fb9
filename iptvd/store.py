"""
Files of rows that survive anything: written whole and durably, verified when read, set aside when damaged.

The first line says what the file is, how many rows follow and their checksum; each row is one line of JSON. A reader
therefore never takes half a file for a whole one, and a writer that is killed leaves the former file as it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Protocol, TypeVar

from iptvd.errors import StoreError

T = TypeVar("T")

#: Rows of JSON in one step of sliced work.
_ROWS_A_STEP = 200
#: Bytes of the first line at most, and of one read.
_LONGEST_HEAD = 4096
_BLOCK = 256 * 1024


class Offload(Protocol):
    """Runs a blocking function off the reactor: for disk work only, which leaves the interpreter lock alone."""

    def __call__(self, work: Callable[..., T], /, *args: object) -> Awaitable[T]:
        """Call ``work(*args)`` in a thread."""


def write_durably(path: Path, blocks: Iterable[bytes], mode: int = 0o600) -> None:
    """Replace a file's content so that after a crash either the old or the new one is there, whole. Blocks."""
    # A name of its own: a save that was given up may still be writing in its thread.
    partial = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with open(descriptor, "wb") as file:  # noqa: PTH123
            for block in blocks:
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error


def open_state_dir(path: Path) -> None:
    """
    Make sure that the state directory is there, ours alone, and can be written.

    :raises StoreError: with one sentence, when it is not so.
    """
    make_folder(path)
    try:
        probe = path / f".probe.{os.getpid()}"
        probe.touch(mode=0o600)
        probe.unlink()
        for leftover in path.rglob(".*.partial"):
            leftover.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


def make_folder(path: Path) -> None:
    """
    Make a folder that is ours alone, unless it is there.

    :raises StoreError: with one sentence, when it cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"the state directory {path} cannot be written ({error.strerror}): choose another with --state-dir"
    )


def read_rows(path: Path, kind: str) -> Iterator[object]:
    """
    The rows of such a file, one after another, each as it is asked for; for processes of their own, as it blocks.

    :param kind: what the rows are.
    :raises StoreError: before the first row, when there is no such file or it is damaged.
    """
    try:
        with path.open("rb") as file:
            head = file.readline(_LONGEST_HEAD)
            digest = sha256()
            while block := file.read(_BLOCK):
                digest.update(block)
            if not _is_head_of(head, kind, digest.hexdigest()):
                raise StoreError(f"{path} is damaged")
            file.seek(len(head))
            yield from map(json.loads, file)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise StoreError(f"{path} is damaged: {type(error).__name__}") from error


def _is_head_of(line: bytes, kind: str, digest: str) -> bool:
    try:
        head = json.loads(line)
        return bool(head["kind"] == kind and head["sha256"] == digest)
    except (ValueError, KeyError, TypeError):
        return False


class RowsFile:
    """
    One such file.

    :param kind: what the rows are; a file of another kind or version is damaged as far as we are concerned.
    :param sliced: see `iptvd.slices.Slicer`.
    """

    def __init__(
        self,
        path: Path,
        kind: str,
        sliced: Callable[[Iterator[object]], Awaitable[None]],
        offload: Offload,
    ) -> None:
        self.path = path
        self._kind = kind
        self._sliced = sliced
        self._offload = offload

    async def save(self, rows: Iterable[object]) -> None:
        """Replace the file's rows, each a JSON value."""
        blocks: list[bytes] = []
        count = 0

        def encode() -> Iterator[None]:
            nonlocal count
            pending: list[str] = []
            for row in rows:
                pending.append(json.dumps(row, ensure_ascii=False, separators=(",", ":")))
                count += 1
                if len(pending) >= _ROWS_A_STEP:
                    blocks.append(("\n".join(pending) + "\n").encode("utf-8", "surrogatepass"))
                    pending.clear()
                    yield
            if pending:
                blocks.append(("\n".join(pending) + "\n").encode("utf-8", "surrogatepass"))

        await self._sliced(encode())

        def write() -> None:
            digest = sha256()
            for block in blocks:
                digest.update(block)
            head = json.dumps({"kind": self._kind, "rows": count, "sha256": digest.hexdigest()})
            write_durably(self.path, [head.encode() + b"\n", *blocks])

        await self._offload(write)

    async def load(self, take: Callable[[object], None]) -> bool:
        """
        Hand each row to ``take`` in order; False when there is no file.

        :raises StoreError: when the file is damaged, before the first row is handed over; or when ``take`` raises
            `ValueError`, `KeyError`, `TypeError` or `IndexError`.
        """

        def read() -> tuple[bytes, int] | None:
            try:
                data = self.path.read_bytes()
            except FileNotFoundError:
                return None
            except OSError as error:
                raise StoreError(f"{self.path} cannot be read: {error.strerror}") from error
            start = data.find(b"\n") + 1
            if not _is_head_of(data[:start], self._kind, sha256(memoryview(data)[start:]).hexdigest()):
                raise StoreError(f"{self.path} is damaged")
            return data, start

        found = await self._offload(read)
        if found is None:
            return False
        data, start = found

        def decode() -> Iterator[None]:
            end, size = start, len(data)
            while end < size:
                # About 32 KiB of lines a step.
                cut = data.find(b"\n", min(end + 32768, size - 1)) + 1
                for line in data[end:cut].splitlines():
                    take(json.loads(line))
                end = cut
                yield

        try:
            await self._sliced(decode())
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise StoreError(f"{self.path} is damaged: {type(error).__name__}") from error
        return True

    async def save_dated(self, moment: float, rows: Iterable[object]) -> None:
        """As `save`, with the time that the rows are of."""
        await self.save(chain([moment], rows))

    async def load_dated(self, take: Callable[[object], None]) -> float | None:
        """
        As `load`, of what was saved with a time: that, or None when there is no file.

        :raises StoreError: as `load` does, and when there is no time in it.
        """
        moment: float | None = None

        def take_all(row: object) -> None:
            nonlocal moment
            if moment is not None:
                take(row)
            elif isinstance(row, (int, float)):
                moment = float(row)
            else:
                raise TypeError("the first row is a time")

        if await self.load(take_all) and moment is None:
            raise StoreError(f"{self.path} is damaged")
        return moment

    def set_aside(self) -> Path:
        """Move a damaged file out of the way, keeping it for whoever wants to look; the newest one is kept."""
        aside = self.path.with_name(self.path.name + ".damaged")
        with suppress(OSError):
            self.path.replace(aside)
        return aside
