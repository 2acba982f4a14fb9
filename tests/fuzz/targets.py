"""The readers that are fed, each by what is done with some bytes, and what is tried first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from attrs import frozen

import tests

VECTORS = Path(tests.__file__).parent / "vectors"

#: Modules here that have a function ``one`` and a list ``SEEDS``.
NAMES = ("xmltv", "m3u", "lists", "schedules", "players", "socks5", "proxied", "catchup")


@frozen
class Target:
    """
    A reader.

    :ivar one: reads some bytes; what it raises is a fault, for errors of ours are caught in it.
    :ivar seeds: inputs that it understands.
    """

    name: str
    one: Callable[[bytes], None]
    seeds: Sequence[bytes]


def target(name: str) -> Target:
    """
    One of them.

    :raises KeyError: when there is none of that name.
    """
    if name not in NAMES:
        raise KeyError(f"there is no target {name}; there are {', '.join(NAMES)}")
    module: Any = import_module(f"tests.fuzz.{name}")
    return Target(name, module.one, module.SEEDS)


def split(data: bytes) -> Iterator[bytes]:
    """What a reader of streams is fed with: the first byte says how large the pieces of the others are."""
    size = 1 + (data[0] if data else 0) * 8
    for start in range(1, len(data), size):
        yield data[start : start + size]


def told(sentence: str) -> None:
    """What is wrong was said, and nothing that must not be."""
    assert sentence
    assert "s3cret" not in sentence
