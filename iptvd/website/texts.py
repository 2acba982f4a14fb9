"""Names, titles and ids as such sites write them, made plain."""

from __future__ import annotations

import re
from html import unescape

#: Characters of a name, a title or a category that are kept.
LONGEST = 200

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_STREAM = re.compile(r"/stream-([A-Za-z0-9_-]{1,64})\.php(?![^?#])")
_WATCH = re.compile(r"watch\.php\?(?:[^#]{0,200}&)?id=([A-Za-z0-9_-]{1,64})(?![^&#])")
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>?|<!--")
_SUFFIX = re.compile(r"\s*\[[^\[\]]{0,60}\]$")


def plain(text: str) -> str:
    """A text on one line, without tags and entities, at most `LONGEST` characters."""
    # Entities are written twice now and then.
    text = unescape(_TAG.sub(" ", unescape(text[: 8 * LONGEST])))
    text = " ".join(_TAG.sub(" ", text).split())
    return "".join(each for each in text if each.isprintable())[:LONGEST].strip()


def channel_name(text: str) -> str:
    """A channel's name without what such sites put around it: ``#`` before it, ``[...]`` behind it."""
    name = plain(text).lstrip("# ")
    while shorter := _SUFFIX.sub("", name):
        if shorter == name:
            break
        name = shorter
    return name


def channel_id(text: str) -> str:
    """An id, possibly no number; empty when it is none."""
    text = text.strip()
    return text if _ID.fullmatch(text) else ""


def id_in_link(link: str) -> str:
    """The id in the address of a channel's page, of either form; empty when there is none."""
    found = _STREAM.search(link) or _WATCH.search(link)
    return found[1] if found else ""


def slug(name: str) -> str:
    """A name as the file of its logo is called."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
