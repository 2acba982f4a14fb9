"""
What media the first bytes of something are, told by their content and never by a name or a header.

A verdict stands: more bytes of the same thing do not change it. Formats with a signature at their start are known by a
few bytes; transport streams and bare audio by headers that follow each other at the right distance, because single
ones occur by chance; text only once `ENOUGH` bytes of it, or all of it, are text.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from enum import Enum

#: Bytes with which there is always a verdict; more are not looked at.
ENOUGH = 4096


class Media(Enum):
    """
    What bytes are.

    ``MP3`` is MPEG audio of layer II or III; ``TEXT`` is anything readable that is nothing else here (JSON, XML, a
    sentence); ``UNKNOWN`` is binary.
    """

    TS = "ts"
    HLS = "hls"
    MP4 = "mp4"
    MATROSKA = "matroska"
    AAC = "aac"
    MP3 = "mp3"
    OGG = "ogg"
    FLV = "flv"
    WEBVTT = "webvtt"
    HTML = "html"
    TEXT = "text"
    UNKNOWN = "unknown"


_TYPES = {
    Media.TS: ("video/mp2t", "ts"),
    Media.HLS: ("application/vnd.apple.mpegurl", "m3u8"),
    Media.MP4: ("video/mp4", "mp4"),
    Media.MATROSKA: ("video/x-matroska", "mkv"),
    Media.AAC: ("audio/aac", "aac"),
    Media.MP3: ("audio/mpeg", "mp3"),
    Media.OGG: ("application/ogg", "ogg"),
    Media.FLV: ("video/x-flv", "flv"),
    Media.WEBVTT: ("text/vtt", "vtt"),
    Media.HTML: ("text/html", "html"),
    Media.TEXT: ("text/plain", "txt"),
    Media.UNKNOWN: ("application/octet-stream", "bin"),
}

_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n\f"

_SIGNATURES = (
    (b"\x1aE\xdf\xa3", Media.MATROSKA),  # EBML, RFC 8794 section 11.2.1
    (b"OggS", Media.OGG),  # RFC 3533 section 6
    (b"FLV\x01", Media.FLV),
)

# ISO/IEC 14496-12 section 4.2: the types a file or a segment starts with. Its size, before it, is below 2^24, so that
# its first byte is none of a text.
_BOX = re.compile(rb"\0...(?:ftyp|styp|moof|sidx|moov|mdat|emsg|prft|free|skip|wide)", re.DOTALL)

# Packets of 188 bytes (ISO/IEC 13818-1 section 2.4.3.2), bare, with a time stamp, or with error correction.
_DISTANCES = (188, 192, 204)
_PACKETS_SHOW = 6 * max(_DISTANCES)
# A header: the sync byte, no transport error, and an adaptation field control that is not the reserved 00.
_HEADER = rb"G[\x00-\x7f].[\x10-\x3f\x50-\x7f\x90-\xbf\xd0-\xff]"
_FIVE_PACKETS = tuple(
    re.compile(_HEADER + rb"(?:.{%d}%b){4}" % (distance - 4, _HEADER), re.DOTALL) for distance in _DISTANCES
)
_PACKET_HEADER = re.compile(_HEADER, re.DOTALL)

_HTML = re.compile(
    rb"<!--|<(?:!doctype[ \t\r\n]+html|html|head|body|title|script|style|meta|iframe|div|table|center|h1|br|p|b|a)"
    rb"[ \t\r\n/>]",
    re.IGNORECASE,
)
_XHTML = re.compile(rb"<\?xml[^>]*>.*?<html[ \t\r\n>]", re.IGNORECASE | re.DOTALL)
# What no text has: the binary data bytes of the WHATWG's MIME Sniffing, section 3.
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")

# kbit/s by whether it is MPEG 1, the layer's code (1 is III, 2 is II) and the bit rate's code less one
# (ISO/IEC 11172-3 and 13818-3 section 2.4.2.3).
_BITRATES = {
    (True, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (False, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES = (44100, 48000, 32000)

#: Gives the length of the frame whose header is at an index, and what all of a stream's headers have in common; None
#: where there is no header.
_Header = Callable[[bytes, int], tuple[int, bytes] | None]


def sniff(data: bytes, final: bool = False) -> Media | None:
    """
    Tell what starts with ``data``, or None when more of it is needed; `ENOUGH` bytes always are enough.

    :param final: that there is no more, so that the verdict is never None.
    """
    head = bytes(data[:ENOUGH])
    final = final or len(head) == ENOUGH
    for signature, media in _SIGNATURES:
        if head.startswith(signature):
            return media
    if _BOX.match(head):
        return Media.MP4
    text = _sniff_text(head, final)
    if text is not None:
        return text
    if final and _is_text(head):
        return Media.TEXT
    if _is_ts(head, final):
        return Media.TS
    # Bare audio may also stand at the start of what turns out to be the rest of a packet.
    if final or len(head) >= _PACKETS_SHOW:
        audio = _sniff_audio(head, final)
        if audio is not None:
            return audio
    return Media.UNKNOWN if final else None


def content_type(media: Media) -> str:
    """The media type to serve it with."""
    return _TYPES[media][0]


def extension(media: Media) -> str:
    """The file name extension players expect, without a dot."""
    return _TYPES[media][1]


def _sniff_text(head: bytes, final: bool) -> Media | None:
    """The kinds of text that have a signature."""
    text = head.removeprefix(_BOM)
    # A signature's end has to be in sight: "WEBVTTX" is another word.
    if re.match(rb"WEBVTT(?:[ \t\r\n]|$)" if final else rb"WEBVTT[ \t\r\n]", text):
        return Media.WEBVTT
    text = text.lstrip(_SPACE)
    if text.startswith(b"#EXTM3U"):
        return Media.HLS
    if _HTML.match(text) or (final and _XHTML.match(text)):
        return Media.HTML
    return None


def _is_text(head: bytes) -> bool:
    if not head or _NOT_TEXT.search(head):
        return False
    try:
        # The last character may be cut.
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        # An older encoding: mostly ASCII all the same.
        return sum(byte < 0x80 for byte in head) >= len(head) * 3 / 4
    return True


def _is_ts(head: bytes, final: bool) -> bool:
    """Whether there are packets: five in a row anywhere, or, if that is all there is, two from the start."""
    if not _NOT_TEXT.search(head):
        return False
    if any(pattern.search(head) for pattern in _FIVE_PACKETS):
        return True
    if not final:
        return False
    for distance in _DISTANCES:
        starts = range(4 if distance == 192 else 0, len(head) - 3, distance)
        if len(starts) > 1 and all(_PACKET_HEADER.match(head, start) for start in starts):
            return True
    return False


def _sniff_audio(head: bytes, final: bool) -> Media | None:
    """ADTS or MPEG audio, after ID3 tags or without, from its start or, once there is enough, from inside a frame."""
    start = _after_id3(head)
    formats = ((_adts_header, Media.AAC), (_mpeg_header, Media.MP3))
    for header, media in formats:
        if _are_frames(head, start, header, final):
            return media
    if not final:
        return None
    for found in re.finditer(rb"\xff", head[start:]):
        for header, media in formats:
            if _are_frames(head, start + found.start(), header):
                return media
    # A tag so long that it hides what follows is an MP3's, with a picture in it.
    return Media.MP3 if start else None


def _after_id3(head: bytes) -> int:
    """The index after the ID3 tags at the start (ID3v2.4.0 section 3.1), which may be past the end."""
    at = 0
    while head.startswith(b"ID3", at) and len(head) >= at + 10:
        major, flags, sizes = head[at + 3], head[at + 5], head[at + 6 : at + 10]
        if major not in (2, 3, 4) or max(sizes) >= 0x80:
            break
        size = sizes[0] << 21 | sizes[1] << 14 | sizes[2] << 7 | sizes[3]
        at += 10 + size + (10 if flags & 0x10 else 0)
    return at


def _are_frames(head: bytes, at: int, header: _Header, may_end: bool = False) -> bool:
    """Whether three frames of one kind start here, or with ``may_end`` fewer, if no place is left for more."""
    common = None
    for count in range(3):
        found = header(head, at)
        if found is None or (common is not None and found[1] != common):
            return may_end and count > 0 and at + 7 > len(head)
        at += found[0]
        common = found[1]
    return True


def _adts_header(head: bytes, at: int) -> tuple[int, bytes] | None:
    """ISO/IEC 13818-7 section 6.2: 12 bits of sync, layer 00."""
    fields = head[at : at + 7]
    if len(fields) < 7 or fields[0] != 0xFF or fields[1] & 0xF6 != 0xF0 or (fields[2] >> 2) & 0xF > 12:
        return None
    length = (fields[3] & 3) << 11 | fields[4] << 3 | fields[5] >> 5
    return (length, bytes((fields[1], fields[2] & 0xFD, fields[3] & 0xC0))) if length > 7 else None


def _mpeg_header(head: bytes, at: int) -> tuple[int, bytes] | None:
    """ISO/IEC 11172-3 section 2.4.1.3, and version 2.5: 11 bits of sync; the layer is never 00."""
    fields = head[at : at + 3]
    if len(fields) < 3 or fields[0] != 0xFF or fields[1] & 0xE0 != 0xE0:
        return None
    version, layer = (fields[1] >> 3) & 3, (fields[1] >> 1) & 3
    bitrate, rate = fields[2] >> 4, (fields[2] >> 2) & 3
    if version == 1 or layer not in (1, 2) or bitrate in (0, 15) or rate == 3:
        return None
    is_mpeg1 = version == 3
    # Samples a frame over eight, times the bits a second, over the samples a second.
    factor = 72 if layer == 1 and not is_mpeg1 else 144
    divisor = {3: 1, 2: 2, 0: 4}[version]
    length = factor * 1000 * _BITRATES[is_mpeg1, layer][bitrate - 1] * divisor // _SAMPLE_RATES[rate]
    padding = (fields[2] >> 1) & 1
    return length + padding, bytes((fields[1] & 0xFE, fields[2] & 0x0C))
