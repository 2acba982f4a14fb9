"""What an elementary stream is, by its stream type and descriptors (ISO/IEC 13818-1 clause 2.4.4.9, EN 300 468)."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum


class Kind(Enum):
    """What a stream is to a viewer; teletext is among the subtitles, and what is not known is data."""

    VIDEO = "video"
    AUDIO = "audio"
    SUBTITLES = "subtitles"
    DATA = "data"


_KINDS = {
    Kind.VIDEO: "mpeg1video mpeg2video mpeg4 h264 hevc vvc av1 vc1 cavs avs2 avs3 dirac jpeg2000 jpegxs",
    Kind.AUDIO: "mp2 aac aac_latm ac3 eac3 ac4 dts truehd opus s302m mpegh",
    Kind.SUBTITLES: "dvbsub teletext",
}
_KIND_OF = {codec: kind for kind, codecs in _KINDS.items() for codec in codecs.split()}

# Table 2-34, and ATSC A/53 part 3 and common practice from 0x80 on.
_BY_TYPE = {
    0x01: "mpeg1video",
    0x02: "mpeg2video",
    0x03: "mp2",
    0x04: "mp2",
    0x0F: "aac",
    0x10: "mpeg4",
    0x11: "aac_latm",
    0x1B: "h264",
    0x1C: "aac",
    0x21: "jpeg2000",
    0x24: "hevc",
    0x2D: "mpegh",
    0x2E: "mpegh",
    0x32: "jpegxs",
    0x33: "vvc",
    0x42: "cavs",
    0x81: "ac3",
    0x82: "dts",
    0x83: "truehd",
    0x84: "eac3",
    0x85: "dts",
    0x87: "eac3",
    0x8A: "dts",
    0xD1: "dirac",
    0xD2: "avs2",
    0xD4: "avs3",
    0xEA: "vc1",
}
# EN 300 468 table 12, for private data.
_BY_DESCRIPTOR = {
    0x46: "teletext",
    0x56: "teletext",
    0x59: "dvbsub",
    0x6A: "ac3",
    0x7A: "eac3",
    0x7B: "dts",
    0x7C: "aac",
}
# EN 300 468 table 54, inside of the extension descriptor; 0x80 is in common use for Opus.
_BY_EXTENSION = {0x0E: "dts", 0x15: "ac4", 0x80: "opus"}
_EXTENSION = 0x7F
# The SMPTE registration authority's names.
_BY_REGISTRATION = {
    b"AC-3": "ac3",
    b"AC-4": "ac4",
    b"AV01": "av1",
    b"BSSD": "s302m",
    b"DTS1": "dts",
    b"DTS2": "dts",
    b"DTS3": "dts",
    b"EAC3": "eac3",
    b"HEVC": "hevc",
    b"Opus": "opus",
    b"VC-1": "vc1",
    b"VVC ": "vvc",
    b"drac": "dirac",
    b"mlpa": "truehd",
}
_REGISTRATION = 0x05
_LANGUAGES = (0x0A, 0x56, 0x59)
_PRIVATE_PES = 0x06
_USER_PRIVATE = 0x80


def descriptors(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The tag and the content of each descriptor; one that is cut short ends them."""
    at = 0
    while at + 2 <= len(data) and at + 2 + data[at + 1] <= len(data):
        yield data[at], data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]


def codec(stream_type: int, described: bytes = b"") -> str:
    """
    What a stream is coded in, by a name such as ``h264``, ``hevc``, ``mpeg2video``, ``aac``, ``ac3``, ``mp2``,
    ``dvbsub`` or ``teletext``; empty when that is not known.

    :param described: the stream's descriptors.
    """
    known = _BY_TYPE.get(stream_type, "")
    if known or (stream_type != _PRIVATE_PES and stream_type < _USER_PRIVATE):
        return known
    for tag, content in descriptors(described):
        if tag == _REGISTRATION:
            known = _BY_REGISTRATION.get(content[:4], "")
        elif stream_type == _PRIVATE_PES and tag == _EXTENSION:
            known = _BY_EXTENSION.get(content[0] if content else 0, "")
        elif stream_type == _PRIVATE_PES:
            known = _BY_DESCRIPTOR.get(tag, "")
        if known:
            break
    return known


def kind(codec_name: str) -> Kind:
    """What something coded so is to a viewer."""
    return _KIND_OF.get(codec_name, Kind.DATA)


def language(described: bytes) -> str:
    """The first language that a stream's descriptors name, three letters of ISO 639 in lower case, or empty."""
    for tag, content in descriptors(described):
        letters = content[:3]
        if tag in _LANGUAGES and len(letters) == 3 and letters.isalpha():
            return letters.decode("ascii").lower()
    return ""
