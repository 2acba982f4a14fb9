"""HLS playlists of our own: the text of a media playlist (RFC 8216 section 4.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from attrs import field, frozen

# What EXTINF with decimals needs (RFC 8216 section 7).
_VERSION = 3
_BREAKS_OUT = re.compile(r"[\r\n]|^#|^\s*$")
# Every line that is neither a tag nor a comment is a URI.
_URI = re.compile(rb"^(?=[^#\r\n])", re.MULTILINE)


@frozen
class Listed:
    """
    A segment as a playlist lists it.

    :ivar uri: where it is, no line ends; it cannot begin with ``#``.
    :ivar duration: seconds.
    :ivar date: of its first sample, in seconds since the epoch, or None.
    :ivar discontinuity: whether clock, encoding or tracks change between the segment before it and this one.
    """

    uri: str = field(repr=False)
    duration: float
    date: float | None = None
    discontinuity: bool = False


def fits(duration: float, target: int) -> bool:
    """Whether a segment may be that long: rounded to whole seconds it is not above the target (section 4.3.3.1)."""
    return duration < target + 0.5


def media_playlist(
    target: int,
    sequence: int,
    discontinuity_sequence: int,
    segments: Iterable[Listed],
    *,
    independent: bool = False,
    ended: bool = False,
) -> bytes:
    """
    A media playlist.

    :param target: seconds that no segment exceeds, the same as long as the playlist lives.
    :param sequence: the number of the first segment.
    :param discontinuity_sequence: how many discontinuities there were in what is listed no more.
    :param independent: each segment can be decoded without the others.
    :param ended: nothing more will come.
    :raises ValueError: when a segment is longer than ``target`` allows, or a URI would not be read as one.
    """
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{_VERSION}",
        f"#EXT-X-TARGETDURATION:{target}",
        f"#EXT-X-MEDIA-SEQUENCE:{sequence}",
    ]
    if discontinuity_sequence:
        lines.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuity_sequence}")
    if independent:
        lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
    for segment in segments:
        if not fits(segment.duration, target):
            raise ValueError(f"a segment of {segment.duration:g} s is too long for a target duration of {target} s")
        if _BREAKS_OUT.search(segment.uri):
            raise ValueError("a segment's address cannot be empty, begin with # or hold a line end")
        if segment.discontinuity:
            lines.append("#EXT-X-DISCONTINUITY")
        if segment.date is not None:
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{_iso(segment.date)}")
        lines.append(f"#EXTINF:{segment.duration:.5f},")
        lines.append(segment.uri)
    if ended:
        lines.append("#EXT-X-ENDLIST")
    return ("\n".join(lines) + "\n").encode()


def with_prefix(playlist: bytes, prefix: str) -> bytes:
    """
    The same playlist with something before each of its URIs.

    :param playlist: of ours.
    :raises ValueError: when its URIs would not be read as such any more.
    """
    if not prefix:
        return playlist
    if _BREAKS_OUT.search(prefix):
        raise ValueError("what comes before a segment's address cannot begin with # or hold a line end")
    before = prefix.encode()
    return _URI.sub(lambda _: before, playlist)


def _iso(date: float) -> str:
    return datetime.fromtimestamp(date, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
