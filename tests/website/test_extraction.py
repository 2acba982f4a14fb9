"""Pages read by tables."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.website.extraction import PIECE, Field, Reading, Row, Shape, pieces
from tests.website.pages import drain

SHAPE = Shape(
    "list",
    "X1",
    (Field("id", str.strip, "", "data-id"), Field("name", str.strip, "b"), Field("tags", str.strip, "i", many=True)),
    rows=".row",
    mark=re.compile("row|head"),
    around=(Field("head", str.strip, ".head"), Field("under", str.strip, ".under-head")),
)


def read(text: str, shape: Shape = SHAPE) -> tuple[list[Row], Reading]:
    found: list[Row] = []
    reading = Reading(shape, found.append)
    drain(reading.page(text))
    return found, reading


class ReadingTests(SynchronousTestCase):
    def failure(self, text: str) -> str:
        found, reading = read(text)
        self.assertEqual(found, [])
        return reading.failure

    def test_rows(self) -> None:
        """Each row gives its fields, those that come many times all of theirs, and what stands before it."""
        text = (
            '<p class=row data-id=0><b>zero</b></p><h1 class="head big">A</h1><h2 class=under-head>B</h2>'
            '<div data-id="1" class="row odd"><b>one</b><i>x</i><i> </i><i>y</i></div>'
            '<h1 class="head under-head">C</h1>'
            "<div class=row data-id=2><b>two</b></div><div class=row><b>none</b></div>"
        )
        found, reading = read(text)
        self.assertEqual(
            [(row["head"], row["under"], row["id"], row["name"], row["tags"]) for row in found],
            [
                (("",), ("",), ("0",), ("zero",), ()),
                (("A",), ("B",), ("1",), ("one",), ("x", "y")),
                (("C",), ("",), ("2",), ("two",), ()),
            ],
        )
        self.assertEqual(reading.skipped, {"no id": 1})

    def test_failures(self) -> None:
        """When nothing is found it says where the table does not fit."""
        self.assertEqual(self.failure("<p>row</p>"), "0 of 1 selectors matched")
        self.assertEqual(self.failure(""), "0 of 1 selectors matched")
        self.assertEqual(self.failure("<p class=row>"), "1 of 2 selectors matched: none for id")
        self.assertEqual(self.failure("<p class=row data-id=1>"), "2 of 3 selectors matched: none for name")
        self.assertEqual(self.failure("<p class=row data-id=' '>"), "no id in any of 1 rows is one")
        mixed = "<p class=row data-id=1><b> </b></p><p class=row data-id=''><b>x</b></p>"
        self.assertEqual(self.failure(mixed), "no name in any of 2 rows is one")

    def test_items(self) -> None:
        """Objects of JSON are rows too, a number counting as its digits."""
        shape = Shape("list", "X2", (Field("id", str.strip, "key"),))
        found: list[Row] = []
        reading = Reading(shape, found.append)
        drain(reading.items(b'[{"key": 1}, {"key": "2"}, {"key": true}, {"key": ["3"]}, {}, 4, null]'))
        self.assertEqual(found, [{"id": ("1",)}, {"id": ("2",)}])
        self.assertEqual(reading.skipped, {"no id": 3, "not an object": 2})
        with self.assertRaises(ProtocolError):
            drain(reading.items(b"<html>"))

    def test_long_page(self) -> None:
        """A long page is read in many short steps, with the same result as a short one."""
        row = '<div class="row" data-id="{}"><b>{}</b>{}</div>\n'
        text = "<html>" + "x" * 3 * PIECE + "".join(row.format(n, n, " " * 500) for n in range(300)) + "y" * 9 * PIECE
        found, _ = read(text)
        self.assertEqual([row["id"] for row in found], [(str(number),) for number in range(300)])
        lengths = [len(piece) for piece in pieces(text, SHAPE.mark)]
        self.assertGreater(len(lengths), 4)
        self.assertLessEqual(max(lengths), 2 * PIECE)

    def test_long_row(self) -> None:
        """What is far behind the start of a row is not looked at, and the next row is whole."""
        text = f"<p class=row data-id=1><b>a</b>{'x' * 3 * PIECE}<i>far</i></p><p class=row data-id=2><b>b</b></p>"
        found, _ = read(text)
        self.assertEqual([(row["id"], row["tags"]) for row in found], [(("1",), ()), (("2",), ())])

    def test_many_marks(self) -> None:
        """A page that is full of what rows are known by and has no rows is gone through in short steps."""
        self.assertGreater(drain(pieces("row " * 100_000, SHAPE.mark)), 400)
        self.assertEqual("".join(pieces("<p>" + "row " * 1000, SHAPE.mark)), "")

    @given(
        strategies.lists(
            strategies.sampled_from(
                ["<p class=row data-id=1>", "<b>n</b>", "<h1 class=head>A</h1>", ">", "x", "</p>", "<", "&"]
            ),
            max_size=60,
        ),
        strategies.integers(1, 200),
    )
    def test_any_size_of_piece(self, parts: Sequence[str], size: int) -> None:
        """Pieces follow each other in the page, each beginning with a start tag."""
        text = "".join(parts)
        at = 0
        for piece in filter(None, pieces(text, SHAPE.mark, size)):
            at = text.index(piece, at)
            self.assertEqual(piece[0], "<")
            at += len(piece)

    @given(strategies.text() | strategies.binary().map(lambda data: data.decode("utf-8", "replace")))
    def test_anything(self, text: str) -> None:
        """Whatever a page is, reading it comes to an end without a fault."""
        found, reading = read(f"<p class=row data-id=1>{text}<b>x</b>")
        self.assertTrue(found or reading.failure)

    @given(strategies.binary())
    def test_any_json(self, body: bytes) -> None:
        """Whatever comes instead of JSON, it is read or it is an error of ours."""
        reading = Reading(SHAPE, lambda row: None)
        try:
            drain(reading.items(body))
        except ProtocolError as error:
            self.assertTrue(error.sentence)
        self.assertTrue(reading.failure)
