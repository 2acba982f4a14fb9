"""
A guide in XMLTV, read as a stream: bytes in, channels and programmes out, whatever its size.

Nothing that a document type declares is fetched or expanded: a document that declares entities of its own is refused,
and names that only HTML knows (``&nbsp;``) are read as HTML does. Of a programme, what the DTD knows is written anew
in the DTD's order, so that it is valid wherever it is put.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, tzinfo
from html.entities import html5
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from attrs import frozen

from iptvd.errors import ProtocolError
from iptvd.protocols.xmltv_times import TimeReader

#: Characters of one text; what is longer is cut.
MAX_TEXT = 8192
MAX_ID = 256
#: Elements within one programme; more are left out.
MAX_PARTS = 64
MAX_NAMES = 16
#: How deep elements may be within each other: the DTD needs five.
MAX_DEPTH = 16
#: Bytes of a single tag, comment or the like, which expat holds until they are complete.
MAX_TOKEN = 1024 * 1024
#: Seconds that a programme takes at most, and that one takes whose end is not told.
LONGEST, UNTOLD = 7 * 86400, 3600

#: The parts of a programme that are kept, in the order of the DTD, each with its attributes.
_PARTS: Mapping[str, tuple[str, ...]] = {
    "title": ("lang",),
    "sub-title": ("lang",),
    "desc": ("lang",),
    "credits": (),
    "date": (),
    "category": ("lang",),
    "keyword": ("lang",),
    "language": ("lang",),
    "orig-language": ("lang",),
    "length": ("units",),
    "icon": ("src", "width", "height"),
    "country": ("lang",),
    "episode-num": ("system",),
    "previously-shown": ("start", "channel"),
    "premiere": ("lang",),
    "last-chance": ("lang",),
    "new": (),
    "rating": ("system",),
    "star-rating": ("system",),
}
_RANK = {name: rank for rank, name in enumerate(_PARTS)}
_ONE_ONLY = frozenset({"credits", "date", "language", "orig-language", "length", "previously-shown", "premiere",
                       "last-chance", "new"})  # fmt: skip
#: What has to have text, what may, and what has none.
_MAY_BE_EMPTY = frozenset({"premiere", "last-chance"})
_EMPTY = frozenset({"icon", "previously-shown", "new"})
#: What has elements within it, and no text of its own.
_NESTED = frozenset({"credits", "rating", "star-rating"})
_CREDITS = ("director", "actor", "writer", "adapter", "producer", "composer", "editor", "presenter", "commentator",
            "guest")  # fmt: skip
_CREDIT_RANK = {name: rank for rank, name in enumerate(_CREDITS)}
_UNITS = ("seconds", "minutes", "hours")
#: An icon that anyone may fetch: no user, no query in which an account might be.
_PICTURE = re.compile(r"https?://[^\s/?#@\"<>]+/[^\s?#\"<>]*", re.IGNORECASE)
_SPACE = re.compile(r"\s+")


@frozen
class GuideChannel:
    """
    A channel as the guide knows it.

    :ivar names: what it is called, the main name first; possibly none.
    """

    id: str
    names: tuple[str, ...]


@frozen
class GuideProgramme:
    """
    A programme of a channel.

    :ivar start: seconds since the epoch, as is ``stop``, which is after it.
    :ivar xml: what is in its element, valid by the DTD.
    """

    channel: str
    start: int
    stop: int
    title: str
    xml: str


class XmltvParser:
    """
    Reads one document.

    :param zone: of times that name none.
    :ivar skipped: why programmes were left out, and how many for each reason.
    """

    def __init__(self, zone: tzinfo = UTC) -> None:
        self.skipped: Counter[str] = Counter()
        self._time = TimeReader(zone)
        self._fed = 0
        self._found: list[GuideChannel | GuideProgramme] = []
        #: By channel, the programme whose end is not told: its next one's beginning tells it.
        self._open: dict[str, tuple[int, str, str]] = {}
        self._path: list[str] = []
        self._text: list[str] = []
        self._length = 0
        self._attributes: dict[str, str] = {}
        self._item: dict[str, str] = {}
        self._names: list[str] = []
        self._parts: list[tuple[int, str]] = []
        self._title = ""
        self._inner: list[tuple[int, str]] = []
        self._value = ""
        self._expat = parser = expat.ParserCreate()
        parser.buffer_text = True
        # As if there were a document type elsewhere: names that the document does not declare are then no errors.
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_UNLESS_STANDALONE)
        parser.UseForeignDTD(True)
        parser.ExternalEntityRefHandler = self._external
        parser.EntityDeclHandler = self._declared
        parser.SkippedEntityHandler = self._skipped_entity
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters

    def feed(self, data: bytes) -> list[GuideChannel | GuideProgramme]:
        """
        What is complete with these bytes.

        :raises ProtocolError: when it is not XMLTV.
        """
        return self._parse(data, False)

    def close(self) -> list[GuideChannel | GuideProgramme]:
        """
        What is left at the end.

        :raises ProtocolError: when it was cut short.
        """
        found = self._parse(b"", True)
        for channel, (start, title, xml) in self._open.items():
            found.append(GuideProgramme(channel, start, start + UNTOLD, title, xml))
        self._open.clear()
        return found

    def _parse(self, data: bytes, final: bool) -> list[GuideChannel | GuideProgramme]:
        if not self._fed:
            # Programs that write guides begin with empty lines now and then.
            data = data.lstrip(b"\r\n\t ")
        self._fed += len(data)
        try:
            self._expat.Parse(data, final)
        except expat.ExpatError as error:
            what = "it is cut short" if final else "it is not well-formed XML"
            raise ProtocolError(f"the guide cannot be read: {what} (line {error.lineno})") from None
        except (ValueError, LookupError, UnicodeError):
            raise ProtocolError("the guide cannot be read: its encoding is not known") from None
        if self._fed - self._expat.CurrentByteIndex > max(MAX_TOKEN, len(data)):
            raise ProtocolError("the guide has a tag or comment that is too long")
        found, self._found = self._found, []
        return found

    # What expat finds

    def _external(self, context: str | None, base: object, system: object, public: object) -> int:
        # Nothing is fetched: whatever is there is taken to be empty.
        self._expat.ExternalEntityParserCreate(context).Parse(b"", True)
        return 1

    def _declared(self, name: str, is_parameter: bool, value: object, *rest: object) -> None:
        raise ProtocolError("the guide declares entities of its own, which is not done in XMLTV: it is refused")

    def _skipped_entity(self, name: str, is_parameter: bool) -> None:
        if not is_parameter:
            self._characters(html5.get(f"{name};", ""))

    def _characters(self, text: str) -> None:
        depth = len(self._path)
        # What is marked in a text is text; what is within a person is not the name.
        counts = depth in (3, 4) or (depth > 4 and self._path[2] not in _NESTED)
        if counts and self._length < MAX_TEXT:
            self._text.append(text)
            self._length += len(text)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        path = self._path
        depth = len(path)
        path.append(name)
        if depth == 0:
            if name != "tv":
                raise ProtocolError("this is no guide in XMLTV: its first element is not tv")
        elif depth == 1:
            self._item = attributes
            self._parts, self._names, self._title = [], [], ""
        elif depth == 2:
            self._attributes = attributes
            self._inner, self._value = [], ""
            self._begin_text()
        elif depth == 3 and path[2] in _NESTED:
            self._begin_text()
            if name == "actor":
                self._attributes = attributes
        elif depth >= MAX_DEPTH:
            raise ProtocolError("the guide has elements too deep within each other")

    def _begin_text(self) -> None:
        self._text.clear()
        self._length = 0

    def _take_text(self) -> str:
        text = _SPACE.sub(" ", "".join(self._text)[:MAX_TEXT]).strip()
        self._begin_text()
        return text

    def _end(self, name: str) -> None:
        path = self._path
        path.pop()
        depth = len(path)
        if depth == 1:
            if name == "programme":
                self._end_programme()
            elif name == "channel":
                self._end_channel()
        elif depth == 2:
            if path[1] == "programme":
                self._end_part(name)
            elif name == "display-name" and len(self._names) < MAX_NAMES:
                text = self._take_text()[:MAX_ID]
                if text and text not in self._names:
                    self._names.append(text)
        elif depth == 3 and path[2] in _NESTED:
            self._end_inner(path[2], name)

    def _end_inner(self, part: str, name: str) -> None:
        text = self._take_text()
        if part == "credits" and name in _CREDIT_RANK and text and len(self._inner) < MAX_PARTS:
            role = self._attributes.get("role", "") if name == "actor" else ""
            attribute = f" role={quoteattr(role[:MAX_ID])}" if role else ""
            self._inner.append((_CREDIT_RANK[name], f"<{name}{attribute}>{escape(text)}</{name}>"))
        elif part != "credits" and name == "value":
            self._value = self._value or text

    def _end_part(self, name: str) -> None:
        rank = _RANK.get(name)
        if rank is None or len(self._parts) >= MAX_PARTS:
            return
        if name in _ONE_ONLY and any(present == rank for present, _ in self._parts):
            return
        xml = self._part(name, self._take_text())
        if xml:
            self._parts.append((rank, xml))

    def _part(self, name: str, text: str) -> str:
        """One part, written anew; empty when it says nothing that the DTD allows."""
        attributes = self._attributes
        if name == "credits":
            self._inner.sort(key=lambda one: one[0])
            content = "".join(xml for _, xml in self._inner)
        elif name in ("rating", "star-rating"):
            content = f"<value>{escape(self._value)}</value>" if self._value else ""
        else:
            content = "" if name in _EMPTY else escape(text)
            if name == "title" and not self._title:
                self._title = text[:MAX_ID]
        if name == "icon" and _PICTURE.fullmatch(attributes.get("src", "")) is None:
            return ""
        if name == "length" and (attributes.get("units") not in _UNITS or not text.isdigit()):
            return ""
        if not content and name not in _EMPTY and name not in _MAY_BE_EMPTY:
            return ""
        written = "".join(
            f" {key}={quoteattr(attributes[key][:MAX_TEXT])}" for key in _PARTS[name] if key in attributes
        )
        return f"<{name}{written}>{content}</{name}>" if content else f"<{name}{written}/>"

    def _end_channel(self) -> None:
        identity = self._item.get("id", "").strip()
        if not identity or len(identity) > MAX_ID:
            self.skipped["a channel without an id"] += 1
            return
        self._found.append(GuideChannel(identity, tuple(self._names)))

    def _end_programme(self) -> None:
        item = self._item
        channel = item.get("channel", "").strip()
        if not channel or len(channel) > MAX_ID:
            self.skipped["no channel"] += 1
            return
        if not self._title:
            self.skipped["no title"] += 1
            return
        try:
            start = self._time(item.get("start", ""))
            stop = self._time(item["stop"]) if item.get("stop") else None
        except ProtocolError:
            self.skipped["no time that can be read"] += 1
            return
        self._parts.sort(key=lambda one: one[0])
        xml = "".join(part for _, part in self._parts)
        self._end_of_former(channel, start)
        if stop is None:
            self._open[channel] = (start, self._title, xml)
        elif stop <= start or stop - start > LONGEST:
            self.skipped["it stops before it starts, or after a week"] += 1
        else:
            self._found.append(GuideProgramme(channel, start, stop, self._title, xml))

    def _end_of_former(self, channel: str, start: int) -> None:
        former = self._open.pop(channel, None)
        if former is not None:
            begun, title, xml = former
            stop = start if 0 < start - begun <= 6 * UNTOLD else begun + UNTOLD
            self._found.append(GuideProgramme(channel, begun, stop, title, xml))
