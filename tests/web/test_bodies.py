"""What requests bring along, as JSON."""

from __future__ import annotations

import json
from datetime import datetime
from io import BytesIO
from typing import Annotated, Any

from hypothesis import given
from hypothesis import strategies as some
from msgspec import Meta, Struct
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from iptvd.web.bodies import MOST, MOST_DEEP, checked, json_of, parsed, whole
from iptvd.web.request import Refusal


class Request:
    """A request with a body."""

    def __init__(self, body: bytes, **headers: str) -> None:
        self.content = BytesIO(body)
        self.requestHeaders = Headers()
        for name, value in headers.items():
            self.requestHeaders.addRawHeader(name.replace("_", "-"), value)

    def getHeader(self, name: str) -> str | None:
        values = self.requestHeaders.getRawHeaders(name)
        return values[-1] if values else None


def read(body: bytes, **headers: str) -> dict[str, Any]:
    request: Any = Request(body, **headers)
    return json_of(request)


class Part(Struct):
    """A part."""

    name: Annotated[str, Meta(max_length=3)]


class Whole(Struct):
    """A whole."""

    parts: list[Part]
    sizes: dict[Annotated[str, Meta(max_length=3)], int] = {}


Code = Annotated[str, Meta(pattern=r"^[a-z]+(?!\n)$", description="Small letters and nothing else.")]


class Formed(Struct):
    """Text of a certain form."""

    code: Code
    codes: list[Code] | None = None


class BodyTests(SynchronousTestCase):
    def refused(self, status: int, body: bytes, **headers: str) -> str:
        with self.assertRaises(Refusal) as caught:
            read(body, **headers)
        self.assertEqual(caught.exception.status, status)
        return str(caught.exception)

    def test_objects(self) -> None:
        """An object in JSON is what it says; no body is an empty one, and a mark at its beginning does not matter."""
        self.assertEqual(read(b'{"a": [1, null, "\xc3\xa4"]}'), {"a": [1, None, "ä"]})
        self.assertEqual(read(b""), {})
        self.assertEqual(read(b"", content_type="text/plain"), {})
        self.assertEqual(read(b"\xef\xbb\xbf{}"), {})

    def test_types(self) -> None:
        """A body is JSON in UTF-8, also where it does not say so; what says that it is something else is refused."""
        for kind in ("application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"', ""):
            self.assertEqual(read(b"{}", content_type=kind), {})
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"):
            self.assertIn("application/json", self.refused(415, b"{}", content_type=kind))
        self.assertEqual(read(b"{}", content_encoding="identity"), {})
        self.assertIn("Content-Encoding", self.refused(415, b"{}", content_encoding="gzip"))

    def test_what_is_none(self) -> None:
        """What is no object, no JSON or no UTF-8 is refused with what would be right."""
        for body in (b"[]", b"1", b'"a"', b"null"):
            self.assertIn("JSON object", self.refused(422, body))
        for body in (b"{", b"}", b'{"a":}', b"a=b", b"NaN", b"1e999", b'{"a":"\\ud800"}', b'{"a":1}x', b" "):
            self.assertIn("The body", self.refused(422, body))
        self.assertIn("UTF-8", self.refused(422, b'{"a":"\xff"}'))

    def test_depth(self) -> None:
        """A body is as deep as anything sensible, and what is deeper is refused however it is written."""
        for begin, end in ((b"[", b"]"), (b'{"":', b"}"), (b'[{"\\"]":', b"}]")):
            deep = MOST_DEEP // (2 if len(begin) > 6 else 1)
            self.assertTrue(parsed(begin * deep + b"1" + end * deep))
            for times in (deep + 1, 10_000):
                with self.assertRaises(Refusal) as caught:
                    parsed(begin * times + b"1" + end * times)
                self.assertIn(str(MOST_DEEP), caught.exception.sentence)
        self.assertEqual(parsed(b'"' + b"[" * 100 + b'"'), "[" * 100)

    def test_the_longest(self) -> None:
        """The longest and worst of bodies are refused or read all the same."""
        for piece in (b"[", b'"', b"\\", b'"\\', b"[]", b"[],", b'"a",'):
            with self.assertRaises(Refusal):
                parsed(piece * (MOST // len(piece)))
        self.assertEqual(len(read(b'{"a":[' + b"[]," * 20_000 + b"[]]}")["a"]), 20_001)
        self.assertEqual(len(read(b'{"a":"' + b"x" * (MOST - 8) + b'"}')["a"]), MOST - 8)

    @given(some.recursive(some.none() | some.booleans() | some.integers() | some.text(), some.lists, max_leaves=20))
    def test_any_json(self, value: object) -> None:
        """What JSON is comes out as it was."""
        self.assertEqual(parsed(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")), _encodable(value))

    @given(some.binary(max_size=200))
    def test_any_bytes(self, raw: bytes) -> None:
        """Any bytes are read or refused."""
        try:
            parsed(raw)
        except Refusal as refusal:
            self.assertEqual(refusal.status, 422)


def _encodable(value: Any) -> Any:
    if isinstance(value, list):
        return [_encodable(each) for each in value]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


class CheckTests(SynchronousTestCase):
    def test_wrong(self) -> None:
        """What is wrong is said in JSON's words, with where it is."""
        for value, name, sentence in (
            ({}, "parts", "it is missing"),
            ({"parts": [{}]}, "parts[0].name", "it is missing"),
            ({"parts": [{"name": 1}]}, "parts[0].name", "expected string, got integer"),
            ({"parts": [{"name": "long"}]}, "parts[0].name", "expected string of length <= 3"),
            ({"parts": [], "sizes": {"a": True}}, "sizes[...]", "expected integer, got boolean"),
            ({"parts": [], "sizes": {"long": 1}}, "sizes", "expected string of length <= 3"),
            ([], "", "expected object, got array"),
        ):
            with self.assertRaises(Refusal) as caught:
                checked(value, Whole)
            self.assertEqual((caught.exception.status, caught.exception.errors), (422, ((name, sentence),)))

    def test_forms(self) -> None:
        """Of text of a certain form it is said in words what that is, and no pattern or standard is named."""
        words = "it has to be of another form: small letters and nothing else"
        for value, kind, name, sentence in (
            ({"code": "A"}, Formed, "code", words),
            ({"code": "a", "codes": ["b", "C"]}, Formed, "codes[1]", words),
            ("", Annotated[str, Meta(pattern="^x")], "q", "it is not of the form that it has to be of"),
            ("soon", datetime, "q", "it has to be a time such as 2030-12-31T23:59:59Z"),
        ):
            with self.assertRaises(Refusal) as caught:
                checked(value, kind, "q")
            self.assertEqual(caught.exception.errors, ((name, sentence),))

    def test_arguments(self) -> None:
        """An argument is text that is read as what it is to be."""
        self.assertEqual(checked("5", int, "limit", strict=False), 5)
        with self.assertRaises(Refusal) as caught:
            checked("x", int, "limit", strict=False)
        self.assertEqual(caught.exception.sentence, "limit: expected integer, got string")

    def test_whole_numbers(self) -> None:
        """A number without a fraction is an integer, as long as it is exact."""
        self.assertEqual([type(whole(it)) for it in (2.0, -0.0, 2.5, 1e300, "2.0", None)], _TYPES)


_TYPES = [int, int, float, float, str, type(None)]
