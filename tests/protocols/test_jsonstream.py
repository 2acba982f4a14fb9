"""Big JSON bodies are read item by item, whatever the window, and bad ones are refused with a sentence."""

from __future__ import annotations

import json

from hypothesis import given, settings, strategies
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.protocols.jsonstream import LARGEST_ITEM, Path, items

JSON = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers(-(2**60), 2**60)
    | strategies.floats(allow_nan=False, allow_infinity=False)
    | strategies.text(),
    lambda inner: strategies.lists(inner, max_size=4) | strategies.dictionaries(strategies.text(), inner, max_size=4),
    max_leaves=12,
)
ROWS = strategies.lists(JSON, max_size=6) | strategies.dictionaries(strategies.text(), JSON, max_size=6)

SAMPLE = '\ufeff [ {"name": "Zoë \U0001f4fa", "n": [1, 2]}, 12345, "a,]}", null ,true,-1.5e3,{}, []\r\n]'.encode()
SAMPLE_ITEMS = [{"name": "Zoë \U0001f4fa", "n": [1, 2]}, 12345, "a,]}", None, True, -1500.0, {}, []]


def values(body: bytes, window: int = 64 * 1024) -> list[object]:
    """The items without their paths."""
    return [value for _, value in items(body, window=window)]


class ItemTests(SynchronousTestCase):
    """Good bodies."""

    def test_array(self) -> None:
        """The items of an array come in order with their indexes."""
        self.assertEqual(list(items(b'[1, "two", {"three": 3}]')), [((0,), 1), ((1,), "two"), ((2,), {"three": 3})])

    def test_object(self) -> None:
        """The items of an object come in order with their keys, a repeated key twice."""
        self.assertEqual(list(items(b'{"b": 1, "a": [], "b": 2}')), [(("b",), 1), (("a",), []), (("b",), 2)])

    def test_empty(self) -> None:
        """An empty array and an empty object have no items."""
        self.assertEqual([values(b" [ ] "), values(b"{\n}")], [[], []])

    def test_any_window(self) -> None:
        """However few bytes are looked at in one go, the items are the same."""
        for window in range(1, len(SAMPLE) + 1):
            self.assertEqual(values(SAMPLE, window), SAMPLE_ITEMS, window)

    @given(ROWS, strategies.integers(1, 40), strategies.booleans())
    @settings(max_examples=100, deadline=None)
    def test_as_the_whole_decoder(self, rows: list[object] | dict[str, object], window: int, ascii_only: bool) -> None:
        """What comes item by item is what decoding the body in one go gives."""
        body = json.dumps(rows, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        expected = json.loads(body.decode("utf-8", "replace"))
        found = values(body, window)
        self.assertEqual(found, expected if isinstance(expected, list) else list(expected.values()))

    def test_opened(self) -> None:
        """Inner arrays and objects that are asked for come item by item too, empty ones as nothing."""
        body = b'{"info": {"a": 1}, "episodes": {"1": [{"id": 5}, {"id": 6}], "2": [], "3": {"x": {"id": 7}}}, "z": 0}'

        def opened(path: Path, bracket: str) -> bool:
            return path == ("episodes",) or (path[0] == "episodes" and bracket == "[")

        self.assertEqual(
            list(items(body, opened)),
            [
                (("info",), {"a": 1}),
                (("episodes", "1", 0), {"id": 5}),
                (("episodes", "1", 1), {"id": 6}),
                (("episodes", "3"), {"x": {"id": 7}}),
                (("z",), 0),
            ],
        )

    def test_not_utf8(self) -> None:
        """A name in some other encoding costs that name its odd letters and nothing else."""
        self.assertEqual(values(b'["caf\xe9", 1]'), ["caf\ufffd", 1])

    def test_no_numbers(self) -> None:
        """What is not a number reads as null."""
        self.assertEqual(values(b"[NaN, Infinity, -Infinity]"), [None, None, None])

    def test_what_follows(self) -> None:
        """What a server writes behind the list does no harm."""
        self.assertEqual(values(b"[1]\n<!-- 3 ms -->"), [1])

    def test_large_item(self) -> None:
        """One item may be as long as a few hundred kilobytes."""
        text = "x" * (LARGEST_ITEM - 1024)
        self.assertEqual(values(json.dumps([text]).encode()), [text])


class RefusalTests(SynchronousTestCase):
    """Bad bodies."""

    def refused(self, body: bytes, window: int = 64 * 1024) -> str:
        """The sentence with which a body is refused."""
        error: ProtocolError = self.assertRaises(ProtocolError, values, body, window)
        return error.sentence

    def test_cut_short(self) -> None:
        """A body that ends too early is refused wherever it was cut."""
        whole = b'{"a": [1, {"b": "c"}], "d" : 12 }'
        for end in range(len(whole)):
            for window in (1, 7, 64):
                self.assertIn("cut short", self.refused(whole[:end], window))
        self.assertEqual(values(whole), [[1, {"b": "c"}], 12])

    def test_malformed(self) -> None:
        """Commas, colons and keys have to be where they belong."""
        for body in (b"[1 2]", b"[1,]", b"[,1]", b"{1: 2}", b'{"a" 2}', b'{"a": 1,}', b"[1}", b"[tru]", b"['a']"):
            self.assertIn("malformed", self.refused(body))

    def test_scalar(self) -> None:
        """A lone value is no list."""
        for body in (b"null", b'"text"', b"17", b"<html>"):
            self.assertIn("neither an array nor an object", self.refused(body))

    def test_nested_too_deep(self) -> None:
        """A tower of brackets is refused and does not end the daemon."""
        self.assertIn("malformed", self.refused(b"[" * 60_000))

    def test_number_too_long(self) -> None:
        """A number of thousands of digits is refused."""
        self.assertIn("malformed", self.refused(b"[" + b"9" * 10_000 + b"]"))

    def test_item_too_large(self) -> None:
        """An item that would hold up everything else is refused."""
        self.assertIn("256 KiB", self.refused(b'["' + b"x" * (2 * LARGEST_ITEM) + b'"]'))

    def test_nothing_between(self) -> None:
        """Endless white space, and endless lists with nothing in them, are refused too."""
        self.assertIn("256 KiB", self.refused(b"[1," + b" " * (2 * LARGEST_ITEM) + b"2]"))
        hollow = b"[" + b"[]," * LARGEST_ITEM + b"1]"
        with self.assertRaises(ProtocolError):
            list(items(hollow, lambda path, bracket: True))

    def test_says_nothing_of_the_body(self) -> None:
        """What is refused is not repeated in the error."""
        error = self.assertRaises(ProtocolError, values, b'{"password": "s3cret", ')
        self.assertNotIn("s3cret", repr(error) + str(error))
