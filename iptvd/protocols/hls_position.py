"""
Which variant of an HLS source to read, where in it to begin, and what comes next as its playlist moves on.

A position is a media sequence number. RFC 8216 section 6.3.3 wants a live stream begun three target durations before
its end; section 6.3.4 says when to read its playlist again. Origins restart and their numbers begin anew, and caches
answer with a playlist older than the one before: the first is a reset, the second is waited out.
"""

from __future__ import annotations

from attrs import frozen

from iptvd.protocols.hls_values import MediaPlaylist, MultivariantPlaylist, Rendition, Segment, Variant

#: Segments from the end of a live stream at which to begin, and how many target durations that has to be at least:
#: less than as many, because segments are often a little shorter than the target.
FROM_EDGE = 3
LEAST_FROM_EDGE = 2.5
#: Older playlists in a row, each another one, that make a reset of what might have been a cache.
RESETS = 2

_SOUND = ("mp4a", "ac-3", "ec-3", "ac-4", "opus", "flac", "mp3", "dts")


@frozen
class Choice:
    """
    What to read of a multivariant playlist.

    :ivar audio: where the sound is when it is in a playlist of its own.
    """

    variant: Variant
    audio: Rendition | None = None


@frozen
class Next:
    """
    A segment whose turn it is.

    :ivar broken: it does not carry on what came before it.
    """

    segment: Segment
    broken: bool


def choose(playlist: MultivariantPlaylist, cap: int = 0) -> Choice:
    """
    The best variant that does not exceed ``cap``, or the smallest when all do.

    Variants with picture come before those without, and those that bring their sound along before those whose sound is
    in another playlist.

    :param cap: peak bits a second; 0 is no limit.
    """
    choices = [Choice(variant, _separate_sound(playlist, variant)) for variant in playlist.variants]
    choices = [choice for choice in choices if not _is_sound(choice.variant)] or choices
    fitting = [choice for choice in choices if not cap or choice.variant.bandwidth <= cap]
    if not fitting:
        return min(choices, key=lambda choice: (choice.variant.bandwidth, choice.audio is not None))
    return max(fitting, key=lambda choice: (choice.audio is None, choice.variant.bandwidth))


def _separate_sound(playlist: MultivariantPlaylist, variant: Variant) -> Rendition | None:
    """The rendition to be heard, None when the sound is in the variant's own segments (RFC 8216 section 4.3.4.2.1)."""
    group = [each for each in playlist.renditions if each.kind == "AUDIO" and variant.audio == each.group]
    if not variant.audio or not group or not all(each.uri for each in group):
        return None
    return max(group, key=lambda each: (each.default, each.autoselect))


def _is_sound(variant: Variant) -> bool:
    told = variant.codecs
    return variant.resolution is None and bool(told) and all(codec.lower().startswith(_SOUND) for codec in told)


class Position:
    """
    How far a media playlist has been read.

    :ivar playlist: the one that counts, None before the first.
    """

    def __init__(self) -> None:
        self.playlist: MediaPlaylist | None = None
        self._seen: tuple[int, int, bool] | None = None
        self._next: int | None = None
        self._broken = False
        self._older = 0

    def see(self, playlist: MediaPlaylist) -> bool:
        """
        The playlist has been read again.

        :returns: whether it has changed, which decides how soon to read it the next time.
        """
        former, seen = self.playlist, self._seen
        self._seen = playlist.media_sequence, playlist.end, playlist.ended
        if former is None or playlist.end >= former.end:
            self.playlist = playlist
            self._older = 0
            return self._seen != seen
        self._older += self._seen != seen
        # Further back than its own length, or going on from there: it is no old copy.
        if playlist.end + len(playlist.segments) >= former.end and self._older < RESETS:
            return False
        self.playlist = playlist
        self._older = 0
        if self._next is not None:
            self._next = _start_of(playlist)
            self._broken = True
        return True

    def take(self) -> Next | None:
        """The segment whose turn it is, which is then behind us; None while there is none."""
        playlist = self.playlist
        if playlist is None or not playlist.segments:
            return None
        if self._next is None:
            self._next = _start_of(playlist)
            first = playlist.segments[self._next - playlist.media_sequence]
            self._next += 1
            return Next(first, False)
        if self._next < playlist.media_sequence:
            # It has left the playlist before it was its turn.
            self._next = _start_of(playlist)
            self._broken = True
        index = self._next - playlist.media_sequence
        if index >= len(playlist.segments):
            return None
        segment = playlist.segments[index]
        broken, self._broken = self._broken or segment.discontinuity, False
        self._next += 1
        return Next(segment, broken)

    def ahead(self, enough: float) -> float:
        """Seconds of what is listed and not yet taken, counted up to ``enough`` or a little more."""
        playlist = self.playlist
        seconds = 0.0
        if playlist is not None and self._next is not None:
            for segment in playlist.segments[max(0, self._next - playlist.media_sequence) :]:
                seconds += segment.duration
                if seconds >= enough:
                    break
        return seconds

    @property
    def done(self) -> bool:
        """Whether all has been taken, and nothing will follow."""
        playlist = self.playlist
        return playlist is not None and playlist.ended and (self._next or playlist.media_sequence) >= playlist.end


def _start_of(playlist: MediaPlaylist) -> int:
    """The sequence number to begin at: what has ended is a film, and begins with its first segment."""
    listed = 0.0
    if not playlist.ended:
        for segment in reversed(playlist.segments):
            listed += segment.duration
            count = playlist.end - segment.sequence
            if count >= FROM_EDGE and listed >= LEAST_FROM_EDGE * playlist.target_duration:
                return segment.sequence
    return playlist.media_sequence
