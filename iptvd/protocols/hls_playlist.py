"""
A reader of HLS playlists: what a media or a multivariant playlist says, as the values of `hls_values`.

The format is RFC 8216 and its second edition, draft-pantos-hls-rfc8216bis. What players forgive is forgiven: a byte
order mark, a missing EXTINF or target duration, unknown tags. What would lead to wrong bytes is an error: a byte range
that starts nowhere, a key without an address, variants and segments in one playlist. Partial segments are passed over,
as their whole segments follow, and a delta update is an error because nobody asked for one.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from math import ceil
from urllib.parse import unquote_to_bytes

from iptvd.errors import ProtocolError
from iptvd.protocols.hls_values import (
    ByteRange,
    InitSection,
    Key,
    KeyMethod,
    MediaPlaylist,
    MultivariantPlaylist,
    Rendition,
    Segment,
    Variant,
)
from iptvd.protocols.m3u8 import MAX_LINE, MAX_OUTPUT, lines_of
from iptvd.protocols.m3u8_tags import Variables, attributes, count, seconds
from iptvd.protocols.references import Base

#: Seconds that a segment, and so a target duration, may last.
MAX_DURATION = 3600.0
#: Bytes of a key, and of its initialization vector (RFC 8216 section 5.2).
KEY_SIZE = 16
# What one step of `Reading` may cost: bytes looked at, and as much for each line as a segment costs.
_STEP = 16 * 1024
_LINE_COST = 512

_RANGE = re.compile(rb"([0-9]{1,18})(?:@([0-9]{1,18}))?")
_IV = re.compile(rb"0[xX]([0-9A-Fa-f]{1,32})")
_SIZE = re.compile(rb"([0-9]{1,5})[xX]([0-9]{1,5})")
_INLINE = re.compile(rb"data:[^,]{0,200}?(;base64)?,(.{1,100})", re.IGNORECASE | re.DOTALL)


class Reading:
    """
    One playlist being read: iterate over it once, which does the work in short steps, then ask `result`.

    :param body: what the origin answered with.
    :param base_url: where it came from, after redirects.
    :param variables: what the multivariant playlist that led here defined.
    :raises ProtocolError: here, from a step or from `result`, when it is no playlist, exceeds a bound, uses a variable
        that is not defined, or leads to something that is neither http nor https.
    """

    def __init__(self, body: bytes, base_url: str, variables: Mapping[str, str] | None = None) -> None:
        self._lines = lines_of(body)
        self._base = Base(base_url)
        self._variables = Variables(self._base.query[1:], variables or {}, self._grow)
        self._grown = 0
        self._variants: list[Variant] = []
        self._renditions: list[Rendition] = []
        self._segments: list[Segment] = []
        self._variant: Mapping[bytes, bytes] | None = None
        self._multivariant = self._ended = self._independent = False
        self._target = 0.0
        self._media_sequence = self._discontinuity_sequence = 0
        # What is known of the segment to come.
        self._duration: float | None = None
        self._range: tuple[int, int | None] | None = None
        self._discontinuity = self._gap = False
        self._time: float | None = None
        # What holds for all that come.
        self._keys: dict[bytes, Key] = {}
        self._key: Key | None = None
        self._init: InitSection | None = None

    def __iter__(self) -> Iterator[None]:
        spent = 0
        for line in self._lines:
            spent += len(line) + _LINE_COST
            if spent > _STEP:
                yield
                spent = len(line) + _LINE_COST
            if len(line) > MAX_LINE:
                raise ProtocolError(f"The playlist has a line of more than {MAX_LINE >> 10} KiB.")
            text = line.strip()
            if text.startswith(b"#"):
                name, _, value = text.partition(b":")
                read = _TAGS.get(name)
                if read is not None:
                    read(self, value)
            elif text:
                self._uri_line(text)

    def result(self) -> MediaPlaylist | MultivariantPlaylist:
        """What came of it, after the last step."""
        if self._multivariant:
            if self._segments:
                raise ProtocolError("The playlist lists variants and segments at once, which no player understands.")
            if not self._variants:
                raise ProtocolError("The playlist lists no variant that could be played.")
            known = self._variables.known()
            return MultivariantPlaylist(tuple(self._variants), tuple(self._renditions), self._independent, known)
        longest = max((segment.duration for segment in self._segments), default=0.0)
        if not self._target and not longest:
            raise ProtocolError("The playlist tells no duration: it is a list of channels, or empty, but not HLS.")
        # RFC 8216 section 4.3.3.1: a segment's duration, rounded, does not exceed the target.
        target = self._target if round(longest) <= self._target else float(ceil(longest))
        return MediaPlaylist(
            target,
            self._media_sequence,
            self._discontinuity_sequence,
            tuple(self._segments),
            self._ended,
            self._independent,
        )

    def _grow(self, size: int) -> None:
        self._grown += size
        if self._grown > MAX_OUTPUT:
            raise ProtocolError(f"The playlist's variables would make it grow beyond {MAX_OUTPUT >> 20} MiB.")

    def _attributes(self, text: bytes) -> dict[bytes, bytes]:
        """A tag's attributes; of two of the same name the last, as players have it. URIs are expanded later."""
        expand = self._variables.expand
        return {name: value if name == b"URI" else expand(value) for name, value, _ in attributes(text)}

    def _url(self, text: bytes) -> str:
        url = self._base.resolve(self._variables.expand(text, strict=True).strip())
        if url is None:
            raise ProtocolError("The playlist leads to something that is neither http nor https.")
        return url

    def _uri_line(self, text: bytes) -> None:
        if self._variant is not None:
            self._variants.append(self._variant_of(self._variant, self._url(text)))
            self._variant = None
            return
        uri = self._url(text)
        segments = self._segments
        byte_range = None
        if self._range is not None:
            length, start = self._range
            if start is None:
                # RFC 8216 section 4.3.2.2: right after the range before it, of the same resource.
                before = segments[-1] if segments else None
                if before is None or before.byte_range is None or before.uri != uri:
                    raise ProtocolError("The playlist has a byte range that does not tell where it starts.")
                start = before.byte_range.start + before.byte_range.length
            byte_range = ByteRange(start, length)
        segments.append(
            Segment(
                uri,
                self._target if self._duration is None else self._duration,
                self._media_sequence + len(segments),
                byte_range,
                self._key,
                self._init,
                self._discontinuity,
                self._time,
                self._gap,
            )
        )
        self._duration = self._range = self._time = None
        self._discontinuity = self._gap = False

    @staticmethod
    def _variant_of(told: Mapping[bytes, bytes], uri: str) -> Variant:
        size = _SIZE.fullmatch(told.get(b"RESOLUTION", b""))
        codecs = _text(told.get(b"CODECS", b"")).split(",")
        return Variant(
            uri,
            count(told.get(b"BANDWIDTH", b"")),
            count(told.get(b"AVERAGE-BANDWIDTH", b"")),
            (int(size[1]), int(size[2])) if size else None,
            tuple(codec.strip() for codec in codecs if codec.strip()),
            _text(told.get(b"AUDIO", b"")),
        )

    # The tags

    def _extinf(self, value: bytes) -> None:
        self._duration = _seconds(value)

    def _target_duration(self, value: bytes) -> None:
        self._target = _seconds(value) or 0.0

    def _sequence(self, value: bytes) -> None:
        # After the first segment it would not be where RFC 8216 section 4.3.3.2 wants it, and numbers would change.
        if not self._segments:
            self._media_sequence = count(value)

    def _discontinuities(self, value: bytes) -> None:
        self._discontinuity_sequence = count(value)

    def _broken(self, value: bytes) -> None:
        self._discontinuity = True

    def _missing(self, value: bytes) -> None:
        self._gap = True

    def _end(self, value: bytes) -> None:
        self._ended = True

    def _all_independent(self, value: bytes) -> None:
        self._independent = True

    def _define(self, value: bytes) -> None:
        self._variables.define(value)

    def _skip(self, value: bytes) -> None:
        raise ProtocolError("The playlist leaves out segments although it was asked for whole.")

    def _byte_range(self, value: bytes) -> None:
        self._range = _range(value)

    def _date(self, value: bytes) -> None:
        try:
            when = datetime.fromisoformat(_text(value.strip()))
        except ValueError:
            return
        self._time = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()

    def _map(self, value: bytes) -> None:
        told = self._attributes(value)
        if not told.get(b"URI"):
            raise ProtocolError("The playlist has an initialization section without an address.")
        byte_range = None
        if told.get(b"BYTERANGE"):
            length, start = _range(told[b"BYTERANGE"])
            byte_range = ByteRange(start or 0, length)
        self._init = InitSection(self._url(told[b"URI"]), byte_range, self._key)

    def _key_tag(self, value: bytes) -> None:
        told = self._attributes(value)
        method = told.get(b"METHOD", b"")
        if method == b"NONE":
            self._keys.clear()
        else:
            # RFC 8216 section 4.3.2.4: keys of several formats hold side by side; without one it is "identity".
            key_format = told.get(b"KEYFORMAT") or b"identity"
            self._keys[key_format] = self._key_of(method, key_format, told)
        self._key = self._keys.get(b"identity") or next(iter(self._keys.values()), None)

    def _key_of(self, method: bytes, key_format: bytes, told: Mapping[bytes, bytes]) -> Key:
        try:
            known = KeyMethod(_text(method))
        except ValueError:
            known = KeyMethod.OTHER
        uri = told.get(b"URI", b"")
        if known is KeyMethod.OTHER or key_format != b"identity" or uri[:4].lower() == b"skd:":
            return Key(KeyMethod.OTHER)
        if not uri:
            raise ProtocolError("The playlist has a key without an address.")
        iv = None
        if b"IV" in told:
            match = _IV.fullmatch(told[b"IV"])
            if match is None:
                raise ProtocolError("The playlist has an initialization vector that is no hexadecimal number.")
            iv = int(match[1], 16).to_bytes(KEY_SIZE, "big")
        if uri[:5].lower() == b"data:":
            return Key(known, "", iv, _inline(self._variables.expand(uri, strict=True)))
        return Key(known, self._url(uri), iv)

    def _stream(self, value: bytes) -> None:
        self._multivariant = True
        self._variant = self._attributes(value)

    def _i_frames(self, value: bytes) -> None:
        self._multivariant = True

    def _media(self, value: bytes) -> None:
        self._multivariant = True
        told = self._attributes(value)
        self._renditions.append(
            Rendition(
                _text(told.get(b"TYPE", b"")),
                _text(told.get(b"GROUP-ID", b"")),
                _text(told.get(b"NAME", b"")),
                _text(told.get(b"LANGUAGE", b"")),
                told.get(b"DEFAULT") == b"YES",
                told.get(b"AUTOSELECT") == b"YES",
                self._url(told[b"URI"]) if told.get(b"URI") else "",
            )
        )


_TAGS: Mapping[bytes, Callable[[Reading, bytes], None]] = {
    b"#EXTINF": Reading._extinf,
    b"#EXT-X-TARGETDURATION": Reading._target_duration,
    b"#EXT-X-MEDIA-SEQUENCE": Reading._sequence,
    b"#EXT-X-DISCONTINUITY-SEQUENCE": Reading._discontinuities,
    b"#EXT-X-DISCONTINUITY": Reading._broken,
    b"#EXT-X-GAP": Reading._missing,
    b"#EXT-X-ENDLIST": Reading._end,
    b"#EXT-X-INDEPENDENT-SEGMENTS": Reading._all_independent,
    b"#EXT-X-DEFINE": Reading._define,
    b"#EXT-X-SKIP": Reading._skip,
    b"#EXT-X-BYTERANGE": Reading._byte_range,
    b"#EXT-X-PROGRAM-DATE-TIME": Reading._date,
    b"#EXT-X-MAP": Reading._map,
    b"#EXT-X-KEY": Reading._key_tag,
    b"#EXT-X-STREAM-INF": Reading._stream,
    b"#EXT-X-I-FRAME-STREAM-INF": Reading._i_frames,
    b"#EXT-X-MEDIA": Reading._media,
}


def parse(
    body: bytes, base_url: str, variables: Mapping[str, str] | None = None
) -> MediaPlaylist | MultivariantPlaylist:
    """Read a playlist at once, in 10 µs a segment or less; see `Reading`, which does it in steps."""
    reading = Reading(body, base_url, variables)
    for _ in reading:
        pass
    return reading.result()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _seconds(raw: bytes) -> float | None:
    value = seconds(raw)
    if value is not None and value > MAX_DURATION:
        raise ProtocolError(f"The playlist has a segment of more than {MAX_DURATION:g} s.")
    return value


def _range(raw: bytes) -> tuple[int, int | None]:
    match = _RANGE.fullmatch(raw.strip())
    if match is None or not int(match[1]):
        raise ProtocolError("The playlist has a byte range that is none.")
    return int(match[1]), int(match[2]) if match[2] else None


def _inline(uri: bytes) -> bytes:
    """The key in a data: URI (RFC 2397)."""
    match = _INLINE.fullmatch(uri)
    try:
        value = b"" if match is None else b64decode(match[2]) if match[1] else unquote_to_bytes(match[2])
    except ValueError:
        value = b""
    if len(value) != KEY_SIZE:
        raise ProtocolError(f"The playlist holds a key that is not of {KEY_SIZE} bytes.")
    return value
