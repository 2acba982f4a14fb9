"""
What a Python process holds, told by itself when it gets SIGUSR2: the way to tell a leak from memory kept for later.

RSS alone does not: the allocators keep what was once in use. What they have given out is another matter: it grows only
with what is held. So three figures stand beside RSS: the objects that the garbage collector knows, the blocks that
Python's own allocator has given out, and the bytes that libc's has. When it is asked to (`TRIM`), it also has libc
give back to the system what it can.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from types import FrameType

from attrs import asdict, field, frozen

#: The variable that names the file to which it is written.
VARIABLE = "SOAK_CENSUS"
#: A file beside that one which asks for that.
TRIM = "trim"
#: Kinds of objects that are told.
_KINDS = 400
#: What makes Python run `install` when it starts.
_STARTER = "from tests.soak.census import install\n\ninstall()\n"


@frozen
class Census:
    """
    What was counted.

    :ivar objects: that the garbage collector knows, after a collection.
    :ivar blocks: that Python's allocator has given out, of up to 512 bytes each.
    :ivar given_out: bytes that libc's allocator has given out, its pages of Python's allocator among them; -1 where
        libc does not tell. ``kept`` are those that it keeps for later.
    :ivar trimming: seconds that libc took to give back what it can, -1 where it was not asked to.
    :ivar kinds: how many objects of each class there are, of the most frequent ones.
    """

    objects: int
    blocks: int
    given_out: int
    kept: int
    trimming: float
    kinds: Mapping[str, int] = field(repr=False)

    def growth(self, before: Census, most: int = 8) -> list[tuple[str, int]]:
        """The kinds of which there are more now, with how many, those that grew most first."""
        more = {kind: count - before.kinds.get(kind, 0) for kind, count in self.kinds.items()}
        return [(kind, count) for kind, count in Counter(more).most_common(most) if count > 0]


_MALLINFO = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
    *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
)


class _Mallinfo(ctypes.Structure):
    """glibc's ``struct mallinfo2``."""

    _fields_ = [(name, ctypes.c_size_t) for name in _MALLINFO]


def _libc() -> tuple[int, int]:
    """Bytes that libc's allocator has given out and keeps for later, -1 where it does not tell."""
    try:
        ask = ctypes.CDLL(None).mallinfo2
    except (OSError, AttributeError):
        return -1, -1
    ask.restype = _Mallinfo
    told = ask()
    return told.uordblks + told.hblkhd, told.fordblks


def _trim() -> float:
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return -1
    begun = perf_counter()
    trim(0)
    return perf_counter() - begun


def take(trim: bool = False) -> Census:
    """Count what this process holds, and have libc give back what it can if that is asked for."""
    gc.collect()
    objects = gc.get_objects()
    kinds = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in objects)
    count = len(objects) + gc.get_freeze_count()
    del objects
    given_out, kept = _libc()
    trimming = _trim() if trim else -1
    return Census(count, sys.getallocatedblocks(), given_out, kept, trimming, dict(kinds.most_common(_KINDS)))


def _write(_signal: int, _frame: FrameType | None) -> None:
    path = Path(os.environ[VARIABLE])
    counted = take(path.with_name(TRIM).exists())
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(counted)))
    fresh.replace(path)


def install() -> None:
    """Count when told to, where the variable says to which file."""
    if VARIABLE in os.environ:
        signal.signal(signal.SIGUSR2, _write)


def prepare(folder: Path, project: Path) -> dict[str, str]:
    """
    Variables that make a Python process count when it is told to.

    :param folder: for the count and what Python runs when it starts; made when it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(_STARTER)
    return {VARIABLE: str(folder / "census.json"), "PYTHONPATH": f"{folder}{os.pathsep}{project}"}


def read(path: Path) -> Census | None:
    """What was written there, None when there is nothing."""
    try:
        return Census(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
