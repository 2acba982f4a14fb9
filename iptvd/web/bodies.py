"""
What requests bring along: kept in memory up to a bound, and read as JSON.

A body can be deep, huge, or in no encoding; it is looked at for that before anything is made of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct
from msgspec.inspect import Field, Metadata, StrType, Type, type_info
from twisted.web.server import Request

from iptvd.web.operations import invalid
from iptvd.web.request import Refusal, header

T = TypeVar("T")

#: Bytes of a body, and of one that is a form.
MOST, MOST_OF_A_FORM = 1 << 20, 16384
#: Bytes of all bodies at once: whoever may ask nothing can send one all the same.
MOST_AT_ONCE = 32 << 20
#: How deep lists and objects are in one another, and how many quotes, commas and opening brackets there are: reading
#: as many takes some 20 ms.
MOST_DEEP, MOST_MARKS = 32, 50_000
#: Bytes of the fields that mean nothing here and are kept with something for whoever sent them.
MOST_EXTRA = 16_384

# Up to here a float has each integer.
_EXACT = 2.0**53
_MARKS = (b'"', b",", b"[", b"{")
_BOM = b"\xef\xbb\xbf"
# One that is not closed goes to the end: to look for its end again from each quote in it would take for ever.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(code for code in range(256) if code not in b"[]{}")
_PLACE = re.compile(r"(.*?)(?: - at (?:`key` in )?`\$?\.?(.*?)`)?", re.DOTALL)
# Python's names for what JSON calls otherwise.
_WORDS = (
    ("Invalid RFC3339 encoded datetime", "it has to be a time such as 2030-12-31T23:59:59Z"),
    *(("`", ""), ("int", "integer"), ("str", "string"), ("bool", "boolean"), ("float", "number")),
)
_MISSING = re.compile(r"Object missing required field `(.*)`")
_FORM = re.compile(r"Expected `str` matching regex (.*)", re.DOTALL)
_FORMLESS = "it is not of the form that it has to be of"


class Room:
    """How many bytes of bodies are kept now, of all requests together."""

    def __init__(self) -> None:
        self.taken = 0

    def take(self, count: int) -> bool:
        """Whether there was room for so many more; fewer than none give some back."""
        if self.taken + count > MOST_AT_ONCE:
            return False
        self.taken += count
        return True


def json_of(request: Request) -> dict[str, Any]:
    """
    The JSON object that a request brings along; an empty one without a body.

    :raises Refusal: when it is something else.
    """
    raw = request.content.read() if request.content is not None else b""
    if not raw:
        return {}
    kind, _, parameters = (header(request, "Content-Type") or "application/json").partition(";")
    charset = parameters.partition("charset=")[2].strip(' "').lower()
    if kind.strip().lower() != "application/json" or charset not in ("", "utf-8"):
        raise Refusal(415, "The body is JSON in UTF-8: its Content-Type is application/json.")
    if (header(request, "Content-Encoding") or "identity").lower() != "identity":
        raise Refusal(415, "The body has no Content-Encoding.")
    value = parsed(raw.removeprefix(_BOM))
    if not isinstance(value, dict):
        raise Refusal(422, "The body is a JSON object.")
    return value


def parsed(raw: bytes) -> object:
    """
    JSON as Python values.

    :raises Refusal: when it is none, or too deep.
    """
    try:
        raw.decode()
        if sum(map(raw.count, _MARKS)) > MOST_MARKS:
            raise Refusal(422, "The body has too many values.")
        if not _is_flat(raw):
            raise Refusal(422, f"The body is no JSON, or deeper than {MOST_DEEP} lists and objects in one another.")
        return msgspec.json.decode(raw)
    except UnicodeDecodeError:
        raise Refusal(422, "The body is not in UTF-8.") from None
    except msgspec.MsgspecError as error:
        raise Refusal(422, f"The body cannot be read: {error}.") from None


def _is_flat(raw: bytes) -> bool:
    """Whether the brackets close one another, without going too deep: each round takes away the innermost."""
    brackets = _STRING.sub(b"", raw).translate(_BRACKETS, _NO_BRACKETS)
    for _ in range(MOST_DEEP):
        if not brackets:
            return True
        brackets = brackets.replace(b"[]", b"")
    return not brackets


def whole(value: Any) -> Any:
    """A number such as ``2.0`` as the integer that it is in JSON, and everything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT else value


def checked(value: object, kind: type[T] | Any, name: str = "", *, strict: bool = True) -> T:
    """
    Values as what they are to be.

    :param name: of the field that all of it is the value of.
    :raises Refusal: with the field that is wrong.
    """
    try:
        found: T = msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise _told(str(error), kind, name) from None
    return found


def check_extra(extra: Mapping[str, object]) -> None:
    """
    Take only so much of what means nothing here.

    :param extra: all that is to be kept of it, what was sent before too.
    :raises Refusal: when that is too much.
    """
    if len(msgspec.json.encode(extra)) > MOST_EXTRA:
        raise invalid("", f"the fields that mean nothing here have at most {MOST_EXTRA} bytes")


def _told(text: str, kind: Any, name: str) -> Refusal:
    sentence, place = cast("re.Match[str]", _PLACE.fullmatch(text)).group(1, 2)
    place = place or ""
    missing = _MISSING.fullmatch(sentence)
    if missing is not None:
        return invalid(".".join(filter(None, (place, missing[1]))), "it is missing")
    formed = _FORM.fullmatch(sentence)
    if formed is not None:
        words = next((words for pattern, words in _forms(type_info(kind)) if repr(pattern) == formed[1] and words), "")
        what = f"it has to be of another form: {words[:1].lower()}{words[1:].rstrip('.')}" if words else _FORMLESS
        return invalid(place or name, what)
    for ours, theirs in _WORDS:
        sentence = sentence.replace(ours, theirs)
    return invalid(place or name, sentence[:1].lower() + sentence[1:])


def _forms(node: Struct) -> Iterator[tuple[str, str]]:
    """The patterns of text that there are in a type, as msgspec describes it, each with what its declaration says."""
    if isinstance(node, Metadata) and isinstance(node.type, StrType) and node.type.pattern is not None:
        yield node.type.pattern, str((node.extra_json_schema or {}).get("description", ""))
    for field in node.__struct_fields__:
        value = getattr(node, field)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, Type | Field):
                yield from _forms(each)
