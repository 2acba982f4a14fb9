"""
Pages read by tables: for each shape of page, which rows it has, and for each field of a row a selector and a check.

A site that changes then fails at one place, which can be named. HTML is cut before the start tags of rows and parsed
piece by piece, so that no page, however long, holds up the reactor: parsing one megabyte at once takes 50 ms.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from attrs import field, frozen
from selectolax.lexbor import LexborNode

from iptvd.protocols.jsonstream import items
from iptvd.website.markup import parse

#: Characters of HTML that are parsed at a time, and that a row may have: what is behind is not looked at.
PIECE = 32 * 1024
#: Characters that the start tag of a row may have before what it is known by.
_TAG = 2048
#: Marks that are looked at in one step.
_MARKS_A_STEP = 200

#: The values of a row, by field; of a field that comes once there is exactly one.
Row = Mapping[str, tuple[str, ...]]


@frozen
class Field:
    """
    One field of a row.

    :ivar check: gives the value out of a text, or an empty string when it is none.
    :ivar selector: within the row, CSS, empty for the row itself; of an item of JSON, the key.
    :ivar attribute: of the element; empty for its text.
    :ivar many: whether the row may have any number of it, also none.
    """

    name: str
    check: Callable[[str], str]
    selector: str = ""
    attribute: str = ""
    many: bool = False

    def texts(self, node: LexborNode) -> list[str]:
        """What the element, or each of them, says; empty when there is none."""
        found = node.css(self.selector) if self.selector else [node]
        found = found if self.many else found[:1]
        if not self.attribute:
            return [each.text(separator=" ") for each in found]
        return [text for each in found if (text := each.attributes.get(self.attribute)) is not None]


@frozen
class Shape:
    """
    One shape of page.

    :ivar subject: what such a page has, as it is called in errors; likewise ``name``.
    :ivar rows: selector of a row. Rows do not lie in one another.
    :ivar mark: what stands in the start tag of each row, and of each element that ``around`` is about, and nowhere
        else within them.
    :ivar around: fields that stand before rows, and hold for all rows until the next; they need not be there. A new
        first one ends all others.
    """

    subject: str
    name: str
    fields: tuple[Field, ...]
    rows: str = ""
    mark: re.Pattern[str] = field(default=re.compile("<"))
    around: tuple[Field, ...] = ()

    @property
    def place(self) -> str:
        """What an error names."""
        return f"{self.subject}, shape {self.name}"


class Reading:
    """
    One page, read by a shape.

    :ivar skipped: why rows were left out, and how many for each reason.
    :param take: called with each row.
    """

    def __init__(self, shape: Shape, take: Callable[[Row], None]) -> None:
        self.skipped: Counter[str] = Counter()
        self._shape = shape
        self._take = take
        self._rows = 0
        self._matched: Counter[str] = Counter()
        self._passed: Counter[str] = Counter()
        self._around: dict[str, tuple[str, ...]] = {each.name: ("",) for each in shape.around}

    def page(self, text: str) -> Iterator[None]:
        """Read HTML, in short steps."""
        shape = self._shape
        wanted = ", ".join([*(each.selector for each in shape.around), shape.rows])
        for piece in pieces(text, shape.mark):
            last: LexborNode | None = None
            for node in parse(piece).css(wanted) if piece else ():
                # An element that two selectors match comes twice.
                if last is None or node.mem_id != last.mem_id:
                    self._node(node)
                    yield
                last = node
            yield

    def items(self, body: bytes) -> Iterator[None]:
        """
        Read an array or object of JSON objects, in short steps.

        :raises ProtocolError: when it is neither.
        """
        for _, item in items(body):
            self._rows += 1
            if isinstance(item, dict):
                texts = {each.name: _text_of(item.get(each.selector)) for each in self._shape.fields}
                self._row(texts)
            else:
                self.skipped["not an object"] += 1
            yield

    def _node(self, node: LexborNode) -> None:
        shape = self._shape
        for place, each in enumerate(shape.around):
            if _is(node, each.selector):
                if place == 0:
                    self._around = {other.name: ("",) for other in shape.around}
                self._around[each.name] = (each.check(node.text(separator=" ")),)
                return
        self._rows += 1
        self._row({each.name: each.texts(node) for each in shape.fields})

    def _row(self, texts: Mapping[str, list[str]]) -> None:
        row = dict(self._around)
        for each in self._shape.fields:
            found = texts[each.name]
            self._matched[each.name] += bool(found)
            values = tuple(value for text in found if (value := each.check(text)))
            if not values and not each.many:
                self.skipped[f"no {each.name}"] += 1
                return
            self._passed[each.name] += 1
            row[each.name] = values
        self._take(row)

    @property
    def failure(self) -> str:
        """Where the table does not fit the page; empty when a row was taken."""
        if not self._rows:
            return "0 of 1 selectors matched"
        needed = [each for each in self._shape.fields if not each.many]
        for place, each in enumerate(needed, 1):
            if not self._matched[each.name]:
                return f"{place} of {place + 1} selectors matched: none for {each.name}"
            if not self._passed[each.name]:
                return f"no {each.name} in any of {self._rows} rows is one"
        return ""


def _is(node: LexborNode, selector: str) -> bool:
    """Whether the element itself matches, not one within it."""
    found = node.css_first(selector)
    return found is not None and found.mem_id == node.mem_id


def _text_of(value: object) -> list[str]:
    if isinstance(value, str | int) and not isinstance(value, bool):
        return [str(value)]
    return []


def pieces(text: str, mark: re.Pattern[str], size: int = PIECE) -> Iterator[str]:
    """
    The parts of a page that have rows, each from the start tag of a row to that of a later one.

    Empty strings come in between, to be passed over: they end a step.
    """
    first = last = -1
    for count, found in enumerate(mark.finditer(text), 1):
        at = found.start()
        tag = text.rfind("<", max(last + 1, at - _TAG), at + 1)
        if tag >= 0 and text.find(">", tag, at) < 0:
            if first < 0:
                first = tag
            elif tag - first >= size:
                yield text[first : min(tag, last + size)]
                first = tag
            last = tag
        if count % _MARKS_A_STEP == 0:
            yield ""
    if first >= 0:
        yield text[first : last + size]
