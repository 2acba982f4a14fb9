"""What an HLS playlist says, as values: segments with what they need, variants, renditions. All URLs are absolute."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from attrs import field, frozen


class KeyMethod(Enum):
    """How segments are encrypted; ``OTHER`` is what only a system of rights management can undo."""

    AES_128 = "AES-128"
    SAMPLE_AES = "SAMPLE-AES"
    OTHER = "other"


@frozen
class Key:
    """
    What segments are encrypted with (EXT-X-KEY).

    :ivar uri: where the key is; empty for `KeyMethod.OTHER`, and where ``value`` is the key itself.
    :ivar iv: 16 bytes; None when it is the segment's media sequence number.
    """

    method: KeyMethod
    uri: str = field(default="", repr=False)
    iv: bytes | None = field(default=None, repr=False)
    value: bytes = field(default=b"", repr=False)


@frozen
class ByteRange:
    """A part of a resource, in bytes from its start."""

    start: int
    length: int


@frozen
class InitSection:
    """What has to come before segments of its kind (EXT-X-MAP), and the key it is itself encrypted with."""

    uri: str = field(repr=False)
    byte_range: ByteRange | None = None
    key: Key | None = None


@frozen
class Segment:
    """
    One media segment.

    :ivar duration: seconds.
    :ivar sequence: its media sequence number.
    :ivar discontinuity: it does not carry on what the segment before it was.
    :ivar program_date_time: seconds since the epoch at its start, where it is told.
    :ivar gap: it is known to be missing: not to be asked for.
    """

    uri: str = field(repr=False)
    duration: float
    sequence: int
    byte_range: ByteRange | None = None
    key: Key | None = None
    init: InitSection | None = None
    discontinuity: bool = False
    program_date_time: float | None = None
    gap: bool = False


@frozen
class MediaPlaylist:
    """
    A list of segments.

    :ivar target_duration: seconds; at least as long as the longest segment, which not every origin keeps to.
    :ivar media_sequence: the number of the first segment, or of the one to come when there is none.
    :ivar ended: no segment will follow.
    """

    target_duration: float
    media_sequence: int
    discontinuity_sequence: int
    segments: tuple[Segment, ...]
    ended: bool
    independent_segments: bool

    @property
    def end(self) -> int:
        """The number of the segment that will come after the last."""
        return self.media_sequence + len(self.segments)


@frozen
class Variant:
    """
    One form of the stream (EXT-X-STREAM-INF).

    :ivar bandwidth: peak bits a second.
    :ivar average_bandwidth: bits a second, 0 when it is not told; ``resolution`` and ``codecs`` may be missing too.
    :ivar audio: the group of audio renditions that belong to it, or empty.
    """

    uri: str = field(repr=False)
    bandwidth: int
    average_bandwidth: int = 0
    resolution: tuple[int, int] | None = None
    codecs: tuple[str, ...] = ()
    audio: str = ""


@frozen
class Rendition:
    """
    An alternative sound, picture or text (EXT-X-MEDIA).

    :ivar kind: ``AUDIO``, ``VIDEO``, ``SUBTITLES`` or ``CLOSED-CAPTIONS``.
    :ivar uri: empty when it is in the variant's own segments.
    """

    kind: str
    group: str
    name: str
    language: str = ""
    default: bool = False
    autoselect: bool = False
    uri: str = field(default="", repr=False)


@frozen
class MultivariantPlaylist:
    """
    A list of variants, at least one.

    :ivar variables: what EXT-X-DEFINE defined, for the media playlists that import from this one.
    """

    variants: tuple[Variant, ...]
    renditions: tuple[Rendition, ...]
    independent_segments: bool
    variables: Mapping[str, str] = field(repr=False)
