"""
When the bytes of an HLS source are due: over the time that they play, as if the origin had sent them as a stream.

The clock follows the playlist. How many seconds of media are listed ahead tells everything: with two target durations
of it in reserve, what is late may be caught up with at once; without, the origin itself is late, and the clock waits
for it instead of draining what is left. A reserve that grows or shrinks over hours, because two clocks never agree, is
met by going a little faster or slower.
"""

from __future__ import annotations

#: Seconds of media that are due at once at the start, whatever there is; but no more than this share of the first
#: segment, so that something is left while the second comes.
LEAST_LEAD = 1.0
MOST_LEAD = 0.5
#: Target durations that stay in reserve when something is caught up with: a playlist that was read just before it
#: changed is read again after one, and after one and a half at most (RFC 8216 section 6.3.4).
RESERVE = 2.0
#: Up to how many target durations ahead each speed holds; beyond, `FASTEST`.
_SPEEDS = ((1.05, 0.97), (3.5, 1.0), (6.0, 1.05))
FASTEST = 1.25


class Pace:
    """How much of a segment is due now."""

    def __init__(self) -> None:
        self._start = 0.0
        self._end: float | None = None

    def begin(self, now: float, duration: float, ahead: float, target: float, ended: bool) -> None:
        """
        The next segment's turn.

        :param duration: its seconds of media.
        :param ahead: seconds of media that are known and not delivered, its own among them.
        :param target: the playlist's target duration.
        :param ended: the playlist is complete, so that there is nothing to follow.
        """
        lead = min(max(ahead - RESERVE * target, 0.0), target)
        if self._end is None:
            self._start = now - min(max(lead, LEAST_LEAD), MOST_LEAD * duration)
        else:
            self._start = max(self._end, now - lead)
        self._end = self._start + duration / (1.0 if ended else _speed(ahead / target))

    def share(self, now: float) -> float:
        """How much of the segment is due, from 0 to 1."""
        end = self._end
        if end is None or now < self._start:
            return 0.0
        return 1.0 if now >= end else (now - self._start) / (end - self._start)


def _speed(reserve: float) -> float:
    return next((speed for most, speed in _SPEEDS if reserve <= most), FASTEST)
