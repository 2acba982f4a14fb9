"""
The items of a large JSON array or object one by one, so that tens of megabytes are decoded in many short steps.

The body stays bytes: a window of it at a time becomes text, and items are decoded out of that window. What a step may
cost is bounded: at most `LARGEST_ITEM` bytes are read from one item to the next, whatever lies between them.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from json import JSONDecoder

from iptvd.errors import ProtocolError

#: Where a value is: keys of objects and indexes of arrays, outermost first.
Path = tuple[str | int, ...]

#: Bytes turned into text at a time.
WINDOW = 64 * 1024

#: Bytes read without arriving at another item, beyond which the body is given up.
LARGEST_ITEM = 256 * 1024

_CLOSING = {"[": "]", "{": "}"}
# NaN and the infinities are no JSON, and no number of ours: they read as null.
_DECODER = JSONDecoder(parse_constant=lambda name: None)


def _only_the_outermost(path: Path, bracket: str) -> bool:
    return False


def items(
    body: bytes | bytearray,
    opened: Callable[[Path, str], bool] = _only_the_outermost,
    *,
    window: int = WINDOW,
) -> Iterator[tuple[Path, object]]:
    """
    The items of the array or object that ``body`` holds (RFC 8259), in their order, each with its path.

    Bytes that are no UTF-8 become U+FFFD, a byte order mark is passed over, and so is what follows the outermost
    bracket. A key that occurs twice comes twice.

    :param opened: told the path and the opening bracket of an inner array or object, says whether its items come
        one by one too, in place of it.
    :param window: bytes turned into text at a time.
    :raises ProtocolError: while it is iterated, when the body is neither an array nor an object, is cut short or
        malformed, or has an item that is too large.
    """
    return _inside(_Text(body, window), (), opened)


def _inside(text: _Text, path: Path, opened: Callable[[Path, str], bool]) -> Iterator[tuple[Path, object]]:
    bracket = text.peek()
    if bracket not in _CLOSING:
        raise ProtocolError("the JSON is neither an array nor an object" if bracket else "the JSON is cut short")
    closing = _CLOSING[bracket]
    text.at += 1
    if text.peek() == closing:
        text.at += 1
        return
    index = 0
    while True:
        inner: Path = (*path, index if bracket == "[" else text.key())
        first = text.peek()
        if first in _CLOSING and opened(inner, first):
            yield from _inside(text, inner, opened)
        else:
            yield inner, text.item()
        index += 1
        mark = text.peek()
        if mark not in (",", closing):
            raise ProtocolError("the JSON is cut short or malformed")
        text.at += 1
        if mark == closing:
            return


class _Text:
    """
    The body as text, a window at a time.

    :ivar at: index of the next character in the window; after `peek` gave one, that one.
    """

    def __init__(self, body: bytes | bytearray, window: int) -> None:
        self._body = body
        self._window = window
        self._read = 0
        self._since_item = 0
        self._decode = getincrementaldecoder("utf-8-sig")("replace").decode
        self._text = ""
        self.at = 0

    def _more(self) -> bool:
        """Turn more of the body into text, twice as much each time for a long item; false when there is no more."""
        if self._read >= len(self._body):
            return False
        rest = self._text[self.at :]
        size = min(max(self._window, len(rest)), LARGEST_ITEM - self._since_item)
        if size <= 0:
            raise ProtocolError(f"the JSON has an item of more than {LARGEST_ITEM // 1024} KiB")
        end = self._read + size
        self._text = rest + self._decode(self._body[self._read : end], end >= len(self._body))
        self.at = 0
        self._read = end
        self._since_item += size
        return True

    def peek(self) -> str:
        """The next character that is not white space, or an empty string at the end."""
        while True:
            while self.at < len(self._text):
                if self._text[self.at] not in " \t\r\n":
                    return self._text[self.at]
                self.at += 1
            if not self._more():
                return ""

    def _value(self) -> object:
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self.at)
            except (ValueError, RecursionError):
                if not self._more():
                    # The decoder's own error carries the body, which may hold a password: it is not passed on.
                    raise ProtocolError("the JSON is cut short or malformed") from None
            else:
                # A number may go on behind the window: "1" of "1e+5" ends two characters before where the window does.
                if end + 2 < len(self._text) or not self._more():
                    self.at = end
                    return value

    def item(self) -> object:
        """The value that begins here."""
        value = self._value()
        self._since_item = 0
        return value

    def key(self) -> str:
        """The key that begins here, and its colon."""
        if self.peek() == '"':
            key = self._value()
            if self.peek() == ":":
                self.at += 1
                return str(key)
        raise ProtocolError("the JSON is cut short or malformed")
