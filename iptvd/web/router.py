"""
The API's operations as part of the tree: finding the one that is asked for, checking what it is given, answering.

The router is asked before the tree (`iptvd.web.site.Root`). What it does not have, or has only to describe it, is the
tree's: so an operation can stand beside a resource of the same address, each with its methods.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from attrs import Factory, define, frozen
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from iptvd.errors import StoreError
from iptvd.finishing import finished
from iptvd.web.answering import AnswerResource, begin, options
from iptvd.web.api import Sliced, send_json
from iptvd.web.bodies import checked, json_of, whole
from iptvd.web.operations import Call, Operation, invalid
from iptvd.web.request import Refusal, refuse, require_manager, require_our_pages, require_viewer, who_of

_SAFE = (b"GET", b"HEAD")
#: The first part of paths of which everything is for programs.
_API = "api"


@define
class _Node:
    """A place in the paths: what is below it by name, below it by any name, and what can be done at it."""

    named: dict[str, _Node] = Factory(dict)
    any: _Node | None = None
    operations: dict[str, Operation] = Factory(dict)

    def below(self, part: str) -> _Node:
        """What is there for a part of a template, made where it is not."""
        if not part.startswith("{"):
            return self.named.setdefault(part, _Node())
        self.any = self.any or _Node()
        return self.any

    def find(self, parts: Sequence[str]) -> _Node | None:
        """What is at the end of a path; a name goes before any name."""
        if not parts:
            return self if self.operations else None
        first, rest = parts[0], parts[1:]
        found = self.named[first].find(rest) if first in self.named else None
        if found is None and self.any is not None and first:
            found = self.any.find(rest)
        return found


@frozen
class Found:
    """
    What can be done at an address.

    :ivar operations: by method.
    """

    parts: Sequence[str]
    operations: Mapping[str, Operation]

    @property
    def allowed(self) -> str:
        """All methods, as in an Allow header."""
        methods = {*self.operations, "OPTIONS", *(["HEAD"] if "GET" in self.operations else [])}
        return ", ".join(sorted(methods))

    def of(self, method: str) -> Operation | None:
        """What a method does."""
        return self.operations.get("GET" if method == "HEAD" else method)

    def names(self, operation: Operation) -> dict[str, str]:
        """What stands in the path for each ``{name}`` of an operation's."""
        template = operation.path.strip("/").split("/")
        return {name[1:-1]: part for name, part in zip(template, self.parts, strict=True) if name.startswith("{")}


class Router:
    """
    All operations.

    :param sliced: see `iptvd.slices.Slicer`.
    """

    def __init__(self, operations: Iterable[Operation], sliced: Sliced) -> None:
        self._sliced = sliced
        self._root = _Node()
        for operation in operations:
            node = self._root
            for part in operation.path.strip("/").split("/"):
                node = node.below(part)
            if operation.method in node.operations:
                raise ValueError(f"{operation.method} {operation.path} is there twice")
            node.operations[operation.method] = operation

    def find(self, path: Sequence[bytes]) -> Found | None:
        """What can be done at an address, None where that is nothing; a slash at its end makes no difference."""
        try:
            parts = [part.decode() for part in path]
        except UnicodeDecodeError:
            return None
        if len(parts) > 1 and not parts[-1]:
            parts.pop()
        node = self._root.find(parts)
        return Found(parts, node.operations) if node is not None else None

    def begins(self, part: bytes) -> bool:
        """Whether anything has this first part."""
        return part.decode("utf-8", "replace") in self._root.named

    def is_for_programs(self, path: Sequence[bytes]) -> bool:
        """Whether what goes wrong at an address is told as JSON."""
        return path[:1] == [_API.encode()] or self.find(path) is not None

    def resource_for(self, request: Request, path: Sequence[bytes]) -> Resource | None:
        """What answers a request, None when the tree does."""
        found = self.find(path)
        if found is None:
            return None
        operation = found.of(request.method.decode("latin-1"))
        if operation is not None and operation.call is None:
            return None
        return OperationsResource(found, operation, self._sliced)


class OperationsResource(AnswerResource):
    """
    Answers at one address.

    :param operation: what is asked for; None for what is not possible there.
    """

    def __init__(self, found: Found, operation: Operation | None, sliced: Sliced) -> None:
        super().__init__()
        self.found = found
        self.operation = operation
        self._sliced = sliced

    def render(self, request: Request) -> Any:
        """Answer, whatever the method is."""
        if self.operation is None:
            if request.method == b"OPTIONS":
                return self.render_OPTIONS(request)
            allowed = self.found.allowed
            return refuse(request, Refusal(405, f"Only {allowed} work here.", (("Allow", allowed),)))
        begin(request, self.answer, self.log)
        return NOT_DONE_YET

    def render_OPTIONS(self, request: Request) -> int:
        """Tell the methods; what the tree has here may be read by pages of other sites, and nothing else."""
        get = self.found.operations.get("GET")
        self.open_to_pages = get is not None and get.call is None
        return options(request, self.found.allowed, self.open_to_pages)

    async def answer(self, request: Request) -> bytes:
        """Check what is asked, do it, and tell what came of it."""
        operation = self.operation
        assert operation is not None
        if operation.manages:
            require_manager(request)
        else:
            if not who_of(request).manager:
                require_viewer(request)
            require_our_pages(request)
        call = self._call(request, operation)
        request.setResponseCode(operation.status)
        work = _as_coroutine(operation, call)
        try:
            # What has begun to change is changed, even when nobody waits for the answer any more.
            result = await (work if request.method in _SAFE else finished(work))
        except StoreError as error:
            sentence = error.sentence if operation.manages else "This cannot be kept now."
            raise Refusal(503, sentence, (("Retry-After", "5"),)) from None
        if result is None:
            request.setResponseCode(204)
            return b""
        facts = msgspec.to_builtins(result) if isinstance(result, msgspec.Struct) else result
        return await send_json(request, facts, self._sliced)

    def _call(self, request: Request, operation: Operation) -> Call:
        path, query = self.found.names(operation), dict(_query_of(request, operation))
        if operation.body is None:
            return Call(request, path, query=query)
        value = json_of(request)
        known = {each.encode_name for each in msgspec.structs.fields(operation.body)}
        of_body = {name: whole(it) for name, it in value.items() if name in known}
        extra = {name: it for name, it in value.items() if name not in known}
        return Call(request, path, checked(of_body, operation.body), extra, query)


def _query_of(request: Request, operation: Operation) -> Iterator[tuple[str, Any]]:
    args = request.args or {}
    for each in operation.query:
        texts = args.get(each.name.encode())
        if texts:
            yield each.name, checked(texts[-1].decode("utf-8", "replace"), each.kind, each.name, strict=False)
        elif each.required:
            raise invalid(each.name, "it is missing")


async def _as_coroutine(operation: Operation, call: Call) -> Any:
    assert operation.call is not None
    return await operation.call(call)
