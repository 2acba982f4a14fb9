"""
The segments of a packager: those that its playlist lists, and those that have left it.

Segments that have left the window stay for as long as RFC 8216 section 6.2.2 asks, so that who has an older playlist
finds them; and the window is never shorter than three target durations, once there is that much. Room comes before
both: past it the oldest segments go.
"""

from __future__ import annotations

from collections import deque

from attrs import define
from twisted.internet.interfaces import IReactorTime

from iptvd.delivery.pieces import Segment

#: Target durations that a playlist has at least, once there is so much (RFC 8216 section 6.2.2).
SHORTEST = 3


@define(eq=False)
class _Left:
    """A segment that has left the window, and when it goes."""

    segment: Segment
    until: float


class Window:
    """
    What is kept of one broadcast.

    :param count: segments that it has at least, once there are so many.
    :ivar segments: those in the window, oldest first.
    :ivar seconds: how long they are together.
    :ivar size: bytes of all segments that are kept.
    :ivar discontinuities: how many have left the window.
    :ivar independent: whether each segment so far can be decoded alone; once it has been taken back it is not claimed
        again, so that a playlist does not change to and fro.
    """

    def __init__(self, clock: IReactorTime, count: int) -> None:
        self.segments: deque[Segment] = deque()
        self.seconds = 0.0
        self.size = 0
        self.discontinuities = 0
        self.independent = True
        self._clock = clock
        self._count = count
        self._left: deque[_Left] = deque()
        self._by_number: dict[int, Segment] = {}
        # Seconds of the longest playlist that each segment of the window was in.
        self._longest: dict[int, float] = {}

    def segment(self, sequence: int) -> Segment | None:
        """A segment by its number; None when it is gone or yet to come."""
        return self._by_number.get(sequence)

    def add(self, segment: Segment, target_duration: int) -> None:
        """The newest; what it pushes out leaves the window, and what has left it long ago goes."""
        self._by_number[segment.sequence] = segment
        self.size += segment.size
        self.independent = self.independent and segment.independent
        self.segments.append(segment)
        self.seconds += segment.duration
        shortest = SHORTEST * target_duration
        while len(self.segments) > self._count and self.seconds - self.segments[0].duration >= shortest:
            self._leave()
        now = self._clock.seconds()
        while self._left and self._left[0].until <= now:
            self._drop(self._left.popleft().segment)

    def listed(self) -> None:
        """What is in the window now is in a playlist."""
        for segment in self.segments:
            self._longest[segment.sequence] = max(self._longest.get(segment.sequence, 0.0), self.seconds)

    def make_room(self, most: int) -> bool:
        """
        Let the oldest go until no more than so many bytes are kept; the newest segment stays.

        :return: whether the window has become shorter.
        """
        before = len(self.segments)
        while self.size > most and (self._left or len(self.segments) > 1):
            if not self._left:
                self._leave()
            if self._left:
                self._drop(self._left.popleft().segment)
        return len(self.segments) < before

    def clear(self) -> None:
        """Let go of all."""
        self.segments.clear()
        self._left.clear()
        self._by_number.clear()
        self._longest.clear()
        self.size = 0

    def _leave(self) -> None:
        """The oldest segment leaves the window."""
        segment = self.segments.popleft()
        self.seconds -= segment.duration
        self.discontinuities += segment.discontinuity
        longest = self._longest.pop(segment.sequence, 0.0)
        if longest:
            self._left.append(_Left(segment, self._clock.seconds() + segment.duration + longest))
        else:
            self._drop(segment)

    def _drop(self, segment: Segment) -> None:
        del self._by_number[segment.sequence]
        self.size -= segment.size
