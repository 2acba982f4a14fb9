"""``/api/openapi.json``: what the API can do, as an OpenAPI 3.1 document made of what requests are checked against."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct
from twisted.web.server import Request

from iptvd import __version__
from iptvd.store import Offload
from iptvd.web.answering import AnswerResource
from iptvd.web.operations import Operation
from iptvd.web.problems import CONTENT_TYPE
from iptvd.web.request import caller_of, send

_JSON = "application/json"
_REF = "#/components/schemas/{name}"
_NAME = re.compile(r"\{([^}]+)\}")
#: Refusals of all operations, and of those that take something.
_ALWAYS, _GIVEN, _SENT = (401, 403, 404, 414, 429, 503), (422,), (413, 415)
#: What the connection answers, before there is a request that could be told anything.
_BEFORE_US = 414

#: How one shows who one is: whoever manages, and who watches.
_SCHEMES: Mapping[str, Mapping[str, str]] = {
    "apiToken": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Token",
        "description": "The API token (api_token) of who manages, or a user's token.",
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": "The same."},
    "apiTokenQuery": {"type": "apiKey", "in": "query", "name": "api_token", "description": "The same."},
    "tokenQuery": {"type": "apiKey", "in": "query", "name": "token", "description": "The same."},
    "basic": {"type": "http", "scheme": "basic", "description": "A user's name, with the token as the password."},
}
_Security = list[dict[str, list[str]]]
_MANAGERS: _Security = [{name: []} for name in _SCHEMES if name != "basic"]
# Without users, trusted networks need nothing.
_VIEWERS: _Security = [*_MANAGERS, {"basic": []}, {}]

_ABOUT = (
    "A self-hosted IPTV proxy. What goes wrong is told as problem details (RFC 9457). Fields that are not described "
    "are taken, and never refused. Without an API token in the settings, only this machine and manage_networks manage."
)


class WrongField(Struct):
    """A field of the body, or an argument, that is not as it should be."""

    field: str
    detail: str


class Problem(Struct, kw_only=True):
    """Why something cannot be done."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[WrongField] | msgspec.UnsetType = msgspec.UNSET


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """The whole of it, but for where we are."""
    operations = list(operations)
    schemas, components = _schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "iptvd", "version": __version__, "description": _ABOUT},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SCHEMES},
    }


def _schemas(operations: Sequence[Operation]) -> tuple[Mapping[object, Any], Mapping[str, Any]]:
    """The schema of each type there is, and what they refer to."""
    kinds: dict[object, None] = {Problem: None, str: None}
    for operation in operations:
        kinds.update(dict.fromkeys(kind for kind in (operation.body, operation.answer) if kind is not None))
        kinds.update(dict.fromkeys(each.kind for each in operation.query))
    schemas, components = msgspec.json.schema_components(list(kinds), ref_template=_REF)
    return dict(zip(kinds, schemas, strict=True)), components


def _described(operation: Operation, schemas: Mapping[object, Any]) -> dict[str, Any]:
    parameters = [
        *(
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for name in _NAME.findall(operation.path)
        ),
        *(
            {
                "name": each.name,
                "in": "query",
                "required": each.required,
                "description": each.meaning,
                "schema": schemas[each.kind],
            }
            for each in operation.query
        ),
    ]
    facts: dict[str, Any] = {
        "operationId": _id_of(operation),
        "summary": operation.summary,
        "tags": [next(part for part in operation.path.split("/") if part not in ("", "api"))],
        "security": _MANAGERS if operation.manages else _VIEWERS,
        "responses": dict(_responses(operation, schemas)),
    }
    if parameters:
        facts["parameters"] = parameters
    if operation.body is not None:
        required = any(each.required for each in msgspec.structs.fields(operation.body))
        facts["requestBody"] = {"required": required, "content": {_JSON: {"schema": schemas[operation.body]}}}
    return facts


def _id_of(operation: Operation) -> str:
    return re.sub(r"[^a-z0-9]+", "_", f"{operation.method} {operation.path}".lower()).strip("_")


def _responses(operation: Operation, schemas: Mapping[object, Any]) -> Iterator[tuple[str, Any]]:
    if operation.answer is None and operation.content_type == _JSON:
        yield "204", {"description": HTTPStatus(204).phrase}
    else:
        schema = schemas[str if operation.answer is None else operation.answer]
        phrase = HTTPStatus(operation.status).phrase
        yield str(operation.status), {"description": phrase, "content": {operation.content_type: {"schema": schema}}}
    refusals = {*_ALWAYS, *operation.errors}
    if operation.query or operation.body is not None:
        refusals.update(_GIVEN)
    if operation.body is not None:
        refusals.update(_SENT)
    for status in sorted(refusals):
        facts: dict[str, Any] = {"description": HTTPStatus(status).phrase}
        if status != _BEFORE_US:
            facts["content"] = {CONTENT_TYPE: {"schema": schemas[Problem]}}
        yield str(status), facts


class OpenApiResource(AnswerResource):
    """
    The document, for whoever may watch.

    :param offload: does work in a thread.
    """

    open_to_pages = True
    for_managers = True

    def __init__(self, operations: Sequence[Operation], offload: Offload) -> None:
        super().__init__()
        self._operations = operations
        self._offload = offload
        self._document: Mapping[str, Any] = {}

    async def answer(self, request: Request) -> bytes:
        """It, with our own address as it is seen by whoever asks."""
        # That takes some tens of milliseconds, once.
        self._document = self._document or await self._offload(document, self._operations)
        told = {**self._document, "servers": [{"url": caller_of(request).base_url}]}
        request.setHeader("Cache-Control", "no-store")
        return send(request, json.dumps(told, separators=(",", ":")).encode() + b"\n", _JSON)
