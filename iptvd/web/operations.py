"""What can be done by the API: declared once, for finding it, for checking what is asked, and for describing it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

from attrs import field, frozen
from msgspec import Meta
from twisted.web.server import Request

from iptvd.web.request import Refusal

#: A time, in what is taken and answered: ISO 8601.
Moment = Annotated[datetime, Meta(extra_json_schema={"format": "date-time"})]


@frozen
class Query:
    """
    An argument in the query.

    :ivar kind: ``str``, ``int``, ``bool``, or a `msgspec` type such as ``Annotated[int, Meta(ge=0)]``.
    :ivar required: whether it has to be there.
    """

    name: str
    meaning: str
    kind: Any = str
    required: bool = False


@frozen
class Call:
    """
    One request for something to be done.

    :ivar path: what stands in the path for each ``{name}``.
    :ivar body: an instance of the operation's ``body``, None where it has none.
    :ivar extra: the fields of the body that its type does not name.
    :ivar query: the operation's arguments that are in the query, each of its kind.
    """

    request: Request
    path: Mapping[str, str]
    body: Any = None
    extra: Mapping[str, object] = field(factory=dict)
    query: Mapping[str, Any] = field(factory=dict)


@frozen
class Operation:
    """
    Something that can be done.

    :ivar path: with a ``{name}`` for each part that is not the same for all.
    :ivar call: does it, and gives what is answered: JSON values by name, where an iterator stands for a long list, or
        a `msgspec.Struct`; None for no content. None in its place: another resource answers, it is described only.
    :ivar answer: the `msgspec.Struct` that describes what is answered, None for no content.
    :ivar body: the one that a body is checked against, None where none is taken; fields that it does not name are
        kept for the call.
    :ivar status: of the answer when it is done.
    :ivar manages: whether only who manages may.
    :ivar errors: statuses of refusals beside those that all operations have.
    :ivar content_type: of what is answered.
    """

    method: str
    path: str
    summary: str
    call: Callable[[Call], Awaitable[object]] | None
    answer: type | None
    body: type | None = None
    query: tuple[Query, ...] = ()
    status: int = 200
    manages: bool = True
    errors: tuple[int, ...] = ()
    content_type: str = "application/json"


def invalid(name: str, sentence: str) -> Refusal:
    """
    A refusal because of a field of the body, or an argument.

    :param name: the field, as in ``headers.Referer``; empty for all of the body.
    :param sentence: what is wrong, or would be right; it goes on after the name.
    """
    return Refusal(422, f"{name}: {sentence}" if name else sentence, errors=((name, sentence),))
