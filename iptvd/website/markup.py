"""
HTML parsed within bounds.

An HTML5 parser has to repair whatever it is given, and for some markup that takes time that grows with the square of
its length: elements opened ten thousand deep, or hundreds of fonts that each new paragraph has to begin anew. A page
of 256 KiB was seen to take ten seconds. No page that is meant to be looked at is so; it is cut where it begins to be.
"""

from __future__ import annotations

import re
from collections import Counter

from selectolax.lexbor import LexborHTMLParser

#: Elements that may be open at a time, and of those that only say how text looks, which are begun anew in each block.
MOST_OPEN = 256
MOST_STYLES = 24
#: Characters of a start tag; one that is longer is left out, as its attributes are compared with each other.
LONGEST_TAG = 2048

_TAG = re.compile(r"<(?:!--(?:.*?-->|.*)|(/?)([a-zA-Z][a-zA-Z0-9]{0,20})[^>]*)", re.DOTALL)
_ENDS = {name: re.compile(f"</{name}", re.IGNORECASE) for name in ("script", "style", "textarea", "title")}
_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"]
)
_STYLES = frozenset(("a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"))


def parse(text: str) -> LexborHTMLParser:
    """The tree of a page, or of a part of one."""
    return LexborHTMLParser(bounded(text))


def bounded(text: str) -> str:
    """The text up to where it has more open elements than it may, without tags that are too long."""
    parts: list[str] = []
    opened: Counter[str] = Counter()
    every = styles = kept = at = 0
    end = len(text)
    while (found := _TAG.search(text, at)) is not None:
        at = found.end()
        name = (found[2] or "").lower()
        if at - found.start() > LONGEST_TAG and name:
            parts.append(text[kept : found.start()])
            kept = at
            continue
        if not name or name in _VOID:
            continue
        step = 1
        if found[1]:
            step = -1 if opened[name] else 0
        elif name in _ENDS:
            # What is in it is no markup, whatever it looks like.
            closing = _ENDS[name].search(text, at)
            at = closing.start() if closing is not None else end
        opened[name] += step
        every += step
        styles += step * (name in _STYLES)
        if every > MOST_OPEN or styles > MOST_STYLES:
            end = found.start()
            break
    return "".join([*parts, text[kept:end]])
