"""``/api``: what all of it has in common: JSON out, arguments in, and times as everybody writes them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from twisted.web.resource import Resource
from twisted.web.server import Request

from iptvd.model import Programme
from iptvd.public import moment
from iptvd.web.answering import AnswerResource, Nothing
from iptvd.web.packing import pack
from iptvd.web.request import Refusal, accepts_gzip, argument, send

#: Items in one answer where none are asked for, and at most.
LIMIT, MOST = 100, 1000
#: Characters of a search.
MAX_WORDS = 200
#: Runs an iterator to its end without blocking: see `iptvd.slices.Slicer`.
Sliced = Callable[[Iterator[object]], Awaitable[None]]
#: Items that are written down in one step of it, and how well they are compressed.
_STEP, _LEVEL = 20, 5


class JsonResource(AnswerResource, ABC):
    """A leaf that answers with a JSON object, of which one field may be long."""

    open_to_pages = True
    for_managers = True

    def __init__(self, sliced: Sliced) -> None:
        super().__init__()
        self.sliced = sliced

    @abstractmethod
    async def tell(self, request: Request) -> Mapping[str, object]:
        """What is answered, by names: JSON values, or an iterator of them for a list, which is made in steps."""

    async def answer(self, request: Request) -> bytes:
        """The same as bytes."""
        return await send_json(request, await self.tell(request), self.sliced)


async def send_json(request: Request, facts: Mapping[str, object], sliced: Sliced) -> bytes:
    """Answer with JSON values by name, an iterator of them for a list, which is made in steps."""
    into: list[bytes] = []
    packed: list[bytes] = []
    await sliced(written(facts, into))
    body = b"".join(into)
    if accepts_gzip(request):
        await sliced(pack(body, packed, _LEVEL))
    request.setHeader("Cache-Control", "no-store")
    return send(request, body, "application/json", compressed=b"".join(packed))


def written(facts: Mapping[str, object], into: list[bytes]) -> Iterator[None]:
    """The JSON of an object, in steps."""
    mark = "{"
    for name, value in facts.items():
        into.append(f"{mark}{_json(name)}:".encode())
        mark = ","
        if isinstance(value, Iterator):
            yield from _list_of(value, into)
        else:
            into.append(_json(value).encode("utf-8", "replace"))
        yield
    into.append(b"}\n" if facts else b"{}\n")


def _list_of(items: Iterable[object], into: list[bytes]) -> Iterator[None]:
    mark = "["
    for number, item in enumerate(items):
        into.append((mark + _json(item)).encode("utf-8", "replace"))
        mark = ","
        if number % _STEP == _STEP - 1:
            yield
    into.append(b"]" if mark == "," else b"[]")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=msgspec.to_builtins)


class Folder(Resource):
    """A part of the tree that is nothing in itself."""

    def getChild(self, path: bytes, request: Request) -> Resource:
        """What is not there."""
        return Nothing()


def programme_facts(programme: Programme | None) -> dict[str, Any] | None:
    """A programme, what is empty left out."""
    if programme is None:
        return None
    facts: dict[str, Any] = {
        "title": programme.title,
        "start": moment(programme.start),
        "end": moment(programme.stop),
        "subtitle": programme.subtitle,
        "description": programme.description,
        "categories": list(programme.categories),
        "episode": programme.episode,
    }
    return {name: value for name, value in facts.items() if value}


def number_of(request: Request, name: str, default: int, most: int, least: int = 0) -> int:
    """
    A number in the query.

    :raises Refusal: when it is none, or out of bounds.
    """
    asked = argument(request, name)
    if not asked:
        return default
    if not (asked.isascii() and asked.isdigit() and len(asked) < 10 and least <= int(asked) <= most):
        raise Refusal(400, f"{name} is a number from {least} to {most}")
    return int(asked)


def words_of(request: Request) -> str:
    """
    What is searched for.

    :raises Refusal: when it is too long.
    """
    words = argument(request, "q")
    if len(words) > MAX_WORDS:
        raise Refusal(400, f"q has at most {MAX_WORDS} characters")
    return words


def flag_of(request: Request, name: str) -> bool:
    """
    A yes or no in the query; no without one.

    :raises Refusal: when it is neither.
    """
    asked = argument(request, name).lower()
    if asked not in ("", "0", "1", "true", "false"):
        raise Refusal(400, f"{name} is true or false")
    return asked in ("1", "true")


def time_of(request: Request, name: str) -> float | None:
    """
    A time in the query, in seconds since the epoch or ISO 8601 (UTC where it names no zone); None without one.

    :raises Refusal: when it is none.
    """
    asked = argument(request, name)
    if not asked:
        return None
    try:
        if asked.isascii() and asked.isdigit() and len(asked) < 11:
            return float(asked)
        # A plus in a query is a space.
        read = datetime.fromisoformat(asked[:40].replace(" ", "+") if "T" in asked else asked[:40])
        return (read if read.tzinfo is not None else read.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise Refusal(400, f"{name} is a time such as 2026-01-31T20:15:00Z, or seconds since 1970") from None
