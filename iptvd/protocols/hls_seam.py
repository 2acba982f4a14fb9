"""
One media playlist that goes on with the segments of another source, as RFC 8216 section 6.2.2 wants it numbered.

A player that reloads a playlist goes by its numbers: those of segments must not go back or begin anew, and those of
discontinuities neither. So what another source lists is numbered on from where the player was, begins with a
discontinuity, and leaves out what lies further back than where a player would begin (section 6.3.3). The segments of
the former source are listed no more.

What depends on the numbers that the source itself uses is told otherwise. A key without an initialization vector has
the segment's number for one (section 5.2), which is written down. Low latency is left out, as are the tags by which a
player would ask for a number of its own making: it goes on with whole segments.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import field, frozen

from iptvd.protocols.hls_position import FROM_EDGE, LEAST_FROM_EDGE
from iptvd.protocols.m3u8_tags import attributes, count, seconds, value_of

_BROKEN = b"#EXT-X-DISCONTINUITY"
_BREAKS = b"#EXT-X-DISCONTINUITY-SEQUENCE"
_SEQUENCE = b"#EXT-X-MEDIA-SEQUENCE"
_TARGET = b"#EXT-X-TARGETDURATION"
_RANGE = b"#EXT-X-BYTERANGE"
_KEY = b"#EXT-X-KEY"

#: Tags that say something of the one segment that follows them.
_OF_A_SEGMENT = frozenset({b"#EXTINF", _RANGE, _BROKEN, b"#EXT-X-PROGRAM-DATE-TIME", b"#EXT-X-GAP"})
#: Tags that are written anew, that promise what no longer holds, or that go by the numbers of the source.
_LEFT_OUT = frozenset(
    {
        *(b"#EXTM3U", _SEQUENCE, _BREAKS, b"#EXT-X-PLAYLIST-TYPE", b"#EXT-X-SERVER-CONTROL", b"#EXT-X-SKIP"),
        *(b"#EXT-X-PART-INF", b"#EXT-X-PART", b"#EXT-X-PRELOAD-HINT", b"#EXT-X-RENDITION-REPORT"),
    }
)


@frozen
class End:
    """
    How far a media playlist goes.

    :ivar number: the media sequence number of the segment that will come next.
    :ivar breaks: the discontinuity sequence number of the last segment.
    """

    number: int
    breaks: int


@frozen
class Seam:
    """
    Where a playlist goes on with another source.

    :ivar first: the media sequence number that the first segment from there has at that source, and ``first_breaks``
        its discontinuity sequence number.
    :ivar number: the one that the player knows it by, and ``breaks`` likewise.
    """

    first: int
    first_breaks: int
    number: int
    breaks: int

    def end(self, end: End) -> End:
        """How far a playlist goes in the player's numbers, by the source's own."""
        number = max(self.number, end.number - self.first + self.number)
        return End(number, max(self.breaks, end.breaks - self.first_breaks + self.breaks))


@frozen
class _Segment:
    """A segment with all the lines that come before it; the last is its own."""

    lines: list[bytes] = field(repr=False)
    seconds: float
    broken: bool


@frozen
class _Read:
    """
    A media playlist in pieces.

    :ivar loose: whether there is a byte range that begins where that of the segment before it ends.
    :ivar rest: the lines after the last segment.
    """

    sequence: int
    breaks: int
    target: float
    loose: bool
    segments: list[_Segment]
    rest: list[bytes] = field(repr=False)


def end_of(body: bytes, number: int) -> End:
    """
    How far a media playlist goes.

    :param number: the media sequence number of the segment that will come next.
    """
    before = count(value_of(body, _BREAKS))
    return End(number, before + body.count(_BROKEN) - body.count(_BREAKS))


def seam_after(end: End, body: bytes) -> Seam | None:
    """
    Where to go on with a media playlist of another source; None where it lists nothing.

    :param end: how far the player's own went.
    """
    read = _read(body)
    if not read.segments:
        return None
    index = 0 if read.loose else _from_edge(read)
    breaks = read.breaks + sum(segment.broken for segment in read.segments[: index + 1])
    return Seam(read.sequence + index, breaks, end.number, end.breaks + 1)


def sewn(body: bytes, seam: Seam) -> bytes:
    """
    A media playlist of the source that carries on, as the player is to have it.

    :raises ProtocolError: when a key has no readable attributes.
    """
    read = _read(body)
    ahead = read.sequence - seam.first
    number, breaks = seam.number, seam.breaks - 1
    if ahead > 0:
        number, breaks = seam.number + ahead, max(seam.breaks, read.breaks - seam.first_breaks + seam.breaks)
    lines = [b"#EXTM3U\n", b"%b:%d\n" % (_SEQUENCE, number), b"%b:%d\n" % (_BREAKS, breaks)]
    lines += _carried_on(read, seam.first)
    return b"".join(lines)


def _carried_on(read: _Read, first: int) -> Iterator[bytes]:
    """The lines from a segment on, and of those before what holds for it too."""
    implicit = b""
    for own, segment in enumerate(read.segments, read.sequence):
        *before, uri = segment.lines
        announced = own != first
        for line in before:
            name = _name(line)
            if name == _KEY:
                implicit = _implicit(line.strip(), implicit)
            if name in _LEFT_OUT or (own < first and (name in _OF_A_SEGMENT or not name)):
                continue
            if name in _OF_A_SEGMENT and not announced:
                announced = True
                yield _BROKEN + b"\n"
            if name != _BROKEN or own != first:
                yield line
        if own >= first:
            if not announced:
                yield _BROKEN + b"\n"
            if implicit:
                yield b"%b,IV=0x%032x\n" % (implicit, own)
            yield uri
    yield from (line for line in read.rest if _name(line) not in _LEFT_OUT)


def _implicit(key: bytes, former: bytes) -> bytes:
    """The key in force that goes with the segments' numbers, after one more; empty when there is none."""
    told = {name: value for name, value, _ in attributes(key.partition(b":")[2])}
    if told.get(b"METHOD") == b"NONE":
        return b""
    if told.get(b"KEYFORMAT", b"identity") != b"identity":
        # Beside it, for players that know another system.
        return former
    return b"" if b"IV" in told else key


def _from_edge(read: _Read) -> int:
    """The place of the segment that a player would begin with."""
    listed = 0.0
    for place, segment in enumerate(reversed(read.segments), 1):
        listed += segment.seconds
        if place >= FROM_EDGE and listed >= LEAST_FROM_EDGE * read.target:
            return len(read.segments) - place
    return 0


def _read(body: bytes) -> _Read:
    sequence = breaks = 0
    target = lasts = 0.0
    broken = loose = False
    segments: list[_Segment] = []
    lines: list[bytes] = []
    for line in body.splitlines(keepends=True):
        lines.append(line if line.endswith((b"\n", b"\r")) else line + b"\n")
        name, _, value = line.strip().partition(b":")
        if name and not name.startswith(b"#"):
            segments.append(_Segment(lines, lasts, broken))
            lines, lasts, broken = [], 0.0, False
        elif name == b"#EXTINF":
            lasts = seconds(value) or 0.0
        elif name == _TARGET:
            target = seconds(value) or 0.0
        elif name == _SEQUENCE:
            sequence = count(value)
        elif name == _BREAKS:
            breaks = count(value)
        elif name == _BROKEN:
            broken = True
        elif name == _RANGE:
            loose = loose or b"@" not in value
    return _Read(sequence, breaks, target, loose, segments, lines)


def _name(line: bytes) -> bytes:
    """Which tag a line is; empty for anything else."""
    text = line.strip()
    return text.partition(b":")[0] if text.startswith(b"#EXT") else b""
