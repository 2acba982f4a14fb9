"""
Extended M3U channel lists, read and written.

There is no standard: what is read is what lists in the field hold, and what is written is what players agree on. An
entry is an ``#EXTINF:`` line of ``key="value"`` attributes and a name, then lines on how to ask for it, then its URL.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Mapping
from sys import intern
from urllib.parse import unquote_plus

from attrs import field, frozen

from iptvd.errors import ProtocolError
from iptvd.model import Headers

_CATCHUP = ("type", "source", "days", "correction", "id")
#: Attributes that describe catch-up, kept as they come.
CATCHUP_ATTRIBUTES = ("catchup", *(f"catchup-{name}" for name in _CATCHUP), "timeshift", "tvg-rec")

_MAX_LINE = 64 * 1024
_MAX_ENTRIES = 500_000
_MAX_ATTRIBUTES = 64
_MAX_HEADERS = 32
_MAX_HEADER_NAME = 64
_MAX_HEADER_VALUE = 4096

# Every quantifier that could give back is possessive: no line makes these take more than linear time.
_EXTINF = re.compile(r'\s*+([-+]?\d{0,15}+(?:\.\d{0,15}+)?)((?:\s*+[\w.-]++="[^"]*+")*+)\s*+,(.*)', re.ASCII)
_DURATION = re.compile(r"\s*+([-+]?\d{0,15}+(?:\.\d{0,15}+)?)(?=[\s,]|$)", re.ASCII)
_PAIR = re.compile(r'([\w.-]++)="([^"]*+)"', re.ASCII)
_LOOSE_PAIR = re.compile(r"""\s*+([^\s=,"']++)\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s,]*+))""")
_JUNK = re.compile(r"\s*+[^\s,]*+")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]+")

#: Control characters and other ends of lines become spaces, byte order marks vanish.
_CONTROLS: dict[int, str | None] = dict.fromkeys([*range(32), *range(127, 160), 0x2028, 0x2029], " ") | {0xFEFF: None}
_QUOTED = _CONTROLS | {ord('"'): "'"}

_HEADER_OPTIONS = {
    "http-user-agent": "User-Agent",
    "user-agent": "User-Agent",
    "http-referrer": "Referer",
    "http-referer": "Referer",
    "http-origin": "Origin",
}
_HEADER_PROPERTY = re.compile(r"inputstream\.adaptive\.(?:stream|manifest|common)_headers")
# Those that frame a message, belong to one connection, or choose a part or a form of the answer are ours to set; those
# of the last two lines are options of Kodi's own that share the place of headers.
_REFUSED_HEADER = re.compile(
    r"host|content-(?:length|encoding|type)|transfer-encoding|connection|keep-alive|proxy-.*|te|trailer|upgrade|expect"
    r"|range|if-.*|accept-encoding|http2-settings|icy-metadata"
    r"|verifypeer|seekable|auth|customrequest|postdata|noshout|sslcipherlist|failonerror|connection-timeout"
    r"|redirect-limit|acceptencoding",
    re.IGNORECASE,
)


@frozen
class M3UEntry:
    """
    One entry of a list.

    :ivar url: as it stands there, without Kodi's suffix of headers; anything at all, not only URLs.
    :ivar attributes: of its ``#EXTINF`` line, names in lower case.
    :ivar duration: seconds, -1 when it is endless or not told.
    :ivar group: its ``group-title``, else that of the ``#EXTGRP`` in force.
    :ivar headers: request headers it asks for; safe to send.
    :ivar properties: of its ``#KODIPROP`` lines, names in lower case.
    """

    name: str
    url: str = field(repr=False)
    attributes: Mapping[str, str] = field(factory=dict, repr=False)
    duration: float = -1.0
    group: str = ""
    headers: Headers = field(default=(), repr=False)
    properties: Mapping[str, str] = field(factory=dict, repr=False)

    @property
    def number(self) -> int | None:
        """The channel number, if there is a positive whole one of at most nine digits."""
        text = self.attributes.get("tvg-chno") or self.attributes.get("channel-number", "")
        number = int(text) if text.isdecimal() and len(text) < 10 else 0
        return number or None

    @property
    def logo(self) -> str:
        """What it names as its logo, or empty."""
        return self.attributes.get("tvg-logo") or self.attributes.get("logo", "")

    @property
    def radio(self) -> bool:
        """Whether it says of itself that it is radio."""
        return self.attributes.get("radio", "").lower() in ("true", "1", "yes")


def allowed_header(name: str, value: str) -> bool:
    """
    Whether a request header from outside may be sent: well-formed (RFC 9110 5.1, 5.5), within bounds, and none that
    frames the message, belongs to the connection or chooses a part of the answer.
    """
    return (
        len(name) <= _MAX_HEADER_NAME
        and len(value) <= _MAX_HEADER_VALUE
        and _TOKEN.fullmatch(name) is not None
        and _REFUSED_HEADER.fullmatch(name) is None
        and _FIELD_VALUE.fullmatch(value) is not None
    )


def catchup_of(attributes: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The catch-up attributes among these, placeholders intact; also of a list's own first line."""
    return tuple((name, attributes[name]) for name in CATCHUP_ATTRIBUTES if attributes.get(name))


class M3UParser:
    """
    Reads a list piece by piece.

    The work is proportional to the length of a piece and of the line it continues: 4 KiB take well under 5 ms.

    :ivar attributes: of the ``#EXTM3U`` line, names in lower case.
    :ivar count: the entries so far.
    :param max_line: bytes.
    """

    def __init__(self, *, max_line: int = _MAX_LINE, max_entries: int = _MAX_ENTRIES) -> None:
        self.attributes: dict[str, str] = {}
        self.count = 0
        self._max_line = max_line
        self._max_entries = max_entries
        self._start = b""
        self._begun = False
        self._decoder: codecs.IncrementalDecoder | None = None
        self._rest = b""
        self._has_text = False
        self._has_header = False
        self._group = ""
        self._info: tuple[float, dict[str, str], str] | None = None
        self._headers: dict[str, tuple[str, str]] = {}
        self._properties: dict[str, str] = {}

    def feed(self, data: bytes) -> list[M3UEntry]:
        """
        The entries that these bytes complete.

        :raises ProtocolError: when this is no channel list, or is beyond a bound.
        """
        if not self._begun:
            data = self._start + data
            if len(data) < len(codecs.BOM_UTF16):
                self._start = data
                return []
            self._begun = True
            if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                self._decoder = codecs.getincrementaldecoder("utf-16")("replace")
        if self._decoder is not None:
            data = self._decoder.decode(data).encode()
        return self._lines(data)

    def close(self) -> list[M3UEntry]:
        """
        The entry that the last line completes, at the end of the list.

        :raises ProtocolError: when this was no channel list.
        """
        end = b"\n" if self._begun else self._start + b"\n"
        if self._decoder is not None:
            end = self._decoder.decode(b"", final=True).encode() + end
        entries = self._lines(end)
        if not self._has_text:
            raise ProtocolError("the playlist is empty: check its address")
        if not self._has_header and not self.count:
            raise ProtocolError("this is not an M3U playlist: it has no #EXTM3U line, no #EXTINF line and no URL")
        return entries

    def _lines(self, data: bytes) -> list[M3UEntry]:
        data = self._rest + data
        # A CR whose LF comes with the next piece only makes an empty line more, which means nothing.
        lines = data.splitlines()
        self._rest = lines.pop() if lines and data[-1] not in b"\r\n" else b""
        entries = [entry for line in lines if line and (entry := self._line(line)) is not None]
        if len(self._rest) > self._max_line:
            raise self._too_long()
        return entries

    def _too_long(self) -> ProtocolError:
        return ProtocolError(
            f"a line after entry {self.count} of the playlist is longer than {self._max_line} bytes: take it out"
        )

    def _line(self, raw: bytes) -> M3UEntry | None:
        if len(raw) > self._max_line:
            raise self._too_long()
        try:
            line = raw.decode()
        except UnicodeDecodeError:
            # What calls itself latin-1 is in truth its superset (WHATWG Encoding, 4.2).
            line = raw.removeprefix(codecs.BOM_UTF8).decode("cp1252", "replace")
        if not line.isprintable():
            line = line.translate(_CONTROLS)
        line = line.strip()
        if not line:
            return None
        if not self._has_text:
            self._has_text = True
            _refuse_other_formats(line)
        if line[0] != "#":
            return self._entry(line)
        if line.startswith("#EXTINF:"):
            self._extinf(line)
        else:
            self._tag(line)
        return None

    def _tag(self, line: str) -> None:
        tag, _, value = line.partition(":")
        tag = tag.rstrip().upper()
        if tag.startswith("#EXTM3U"):
            self._has_header = True
            # Lists that were joined have several such lines: the first one is the list's own.
            self.attributes = self.attributes or _scan(line[len("#EXTM3U") :], ends_at_comma=False)[0]
        elif tag == "#EXTINF":
            self._extinf("#EXTINF:" + value)
        elif tag == "#EXTGRP":
            self._group = value.strip()
        elif tag == "#EXTVLCOPT":
            name, _, value = value.partition("=")
            header = _HEADER_OPTIONS.get(name.strip().lower())
            if header is not None:
                self._add_header(header, value.strip().strip('"'))
        elif tag == "#KODIPROP":
            self._property(value)
        elif tag == "#EXT-X-TARGETDURATION" or (tag == "#EXT-X-STREAM-INF" and not self.count):
            raise ProtocolError(
                "this is the HLS playlist of one stream, not a channel list: put its URL into a list of your own"
            )

    def _property(self, text: str) -> None:
        name, _, value = text.partition("=")
        name, value = name.strip().lower(), value.strip()
        if _HEADER_PROPERTY.fullmatch(name) is not None:
            self._add_headers(value)
        elif len(self._properties) < _MAX_ATTRIBUTES:
            self._properties[name] = value

    def _add_headers(self, encoded: str) -> bool:
        """Take ``A=b&C=d``, URL-encoded; whether it had that form at all."""
        pairs = [pair.partition("=") for pair in encoded.split("&", _MAX_HEADERS) if pair][:_MAX_HEADERS]
        if not pairs or not all(equals for _, equals, _ in pairs):
            return False
        for name, _, value in pairs:
            self._add_header(unquote_plus(name), unquote_plus(value))
        return True

    def _add_header(self, name: str, value: str) -> None:
        name, value = name.strip(), value.strip(" ")
        lower = name.lower()
        if allowed_header(name, value) and (len(self._headers) < _MAX_HEADERS or lower in self._headers):
            self._headers[lower] = (name, value)

    def _extinf(self, line: str) -> None:
        if self._info is not None:
            # The entry before never came to its URL: what belonged to it must not reach this one.
            self._headers, self._properties = {}, {}
        match = _EXTINF.match(line, 8)
        if match is not None:
            duration, pairs, name = match.groups()
            attributes = {intern(key.lower()): value.strip() for key, value in _PAIR.findall(pairs)[:_MAX_ATTRIBUTES]}
            if not attributes and _PAIR.match(name.lstrip()) is not None:
                # A comma too many: ``-1, tvg-id="a",Name``.
                found, rest = _scan(name)
                if rest is not None:
                    attributes, name = found, rest
        else:
            start = _DURATION.match(line, 8)
            duration = start[1] if start is not None else ""
            text = line[8 if start is None else start.end() :]
            attributes, rest = _scan(text)
            # Without a comma all that is not an attribute is the name.
            name = rest if rest is not None else ("" if attributes else text)
        self._info = float(duration) if duration.strip("+-.") else -1.0, attributes, name.strip()

    def _entry(self, url: str) -> M3UEntry | None:
        if self._info is None and not self._has_header and "://" not in url:
            return None
        self.count += 1
        if self.count > self._max_entries:
            raise ProtocolError(f"the playlist has more than {self._max_entries} entries: split it")
        duration, attributes, name = self._info or (-1.0, {}, "")
        if not _HEADER_OPTIONS.keys().isdisjoint(attributes):
            for option, header in _HEADER_OPTIONS.items():
                self._add_header(header, attributes.get(option, ""))
        if "|" in url:
            before, _, suffix = url.partition("|")
            if self._add_headers(suffix):
                url = before.rstrip()
        headers, properties = self._headers, self._properties
        self._info, self._headers, self._properties = None, {}, {}
        return M3UEntry(
            name or attributes.get("tvg-name", ""),
            url,
            attributes,
            duration,
            attributes.get("group-title") or self._group,
            tuple(headers.values()),
            properties,
        )


def _scan(text: str, *, ends_at_comma: bool = True) -> tuple[dict[str, str], str | None]:
    """Attributes in any quotes or none, junk between them skipped; and what follows the comma, if there is one."""
    attributes: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _LOOSE_PAIR.match(text, position)
        if match is not None:
            key, double, single, bare = match.groups()
            if len(attributes) < _MAX_ATTRIBUTES:
                value = double if double is not None else single if single is not None else bare.strip("\"'")
                attributes[intern(key.lower())] = value.strip()
            position = match.end()
        elif text[position] == ",":
            if ends_at_comma:
                return attributes, text[position + 1 :]
            position += 1
        else:
            junk = _JUNK.match(text, position)
            assert junk is not None
            position = junk.end()
    return attributes, None


def _refuse_other_formats(line: str) -> None:
    start = line[:64].lower()
    if start.startswith("<"):
        found = "an XML document" if start.startswith("<?xml") and "html" not in line.lower() else "an HTML page"
    elif start.startswith("[playlist]"):
        found = "a PLS playlist"
    elif start.startswith(("{", "[")):
        found = "JSON"
    else:
        return
    raise ProtocolError(f"this is {found}, not an M3U playlist: check the address and whether the account is valid")


def header(epg_url: str = "") -> str:
    """The first line of a list, with its end; the guide's URL has two names, and players look for either."""
    url = epg_url.translate(_QUOTED)
    return f'#EXTM3U x-tvg-url="{url}" url-tvg="{url}"\n' if url else "#EXTM3U\n"


def entry(
    url: str,
    name: str,
    *,
    tvg_id: str = "",
    tvg_name: str = "",
    number: int | None = None,
    logo: str = "",
    group: str = "",
    catchup: Iterable[tuple[str, str]] = (),
    radio: bool = False,
    mpegts: bool = False,
) -> str:
    """
    The lines of one entry, with their ends.

    Double quotes become single ones and control characters spaces; empty values are left out.

    :param mpegts: whether to say that it is MPEG-TS, which lets Kodi start without looking.
    """
    together = f"{name}{tvg_id}{tvg_name}{logo}{group}{url}"
    if '"' in together or not together.isprintable():
        name, tvg_id, tvg_name = name.translate(_QUOTED), tvg_id.translate(_QUOTED), tvg_name.translate(_QUOTED)
        logo, group, url = logo.translate(_QUOTED), group.translate(_QUOTED), url.translate(_CONTROLS)
    attributes = f' tvg-id="{tvg_id}"' if tvg_id else ""
    if tvg_name:
        attributes += f' tvg-name="{tvg_name}"'
    if number:
        attributes += f' tvg-chno="{number}"'
    if logo:
        attributes += f' tvg-logo="{logo}"'
    if group:
        attributes += f' group-title="{group}"'
    if radio:
        attributes += ' radio="true"'
    for key, value in catchup:
        if value:
            attributes += f' {key}="{value.translate(_QUOTED)}"'
    if mpegts:
        return f"#EXTINF:-1{attributes},{name}\n#KODIPROP:mimetype=video/mp2t\n{url}\n"
    return f"#EXTINF:-1{attributes},{name}\n{url}\n"
