"""
Whether live playlists move on: RFC 8216 section 6.2.1 has a new version follow within 1.5 target durations.

When a version was made is not known, only when it was asked for first; and a cache on the way may add some time of its
own. So a playlist is overdue when it should have changed after one target duration, and has not for `OVERDUE` more.
Only what was asked for tells: a playlist that nobody asks for is not overdue.
"""

from __future__ import annotations

from attrs import define
from twisted.internet.interfaces import IReactorTime

from iptvd.delivery.locator import Locator
from iptvd.protocols.m3u8_tags import count, seconds, value_of

#: Target durations past its time after which a live playlist is overdue.
OVERDUE = 1.5
#: Seconds that a target duration is taken for at least.
LEAST_TARGET = 1.0
#: Playlists that are known.
MOST = 256


@define(eq=False)
class _Known:
    """
    A live playlist.

    :ivar mark: tells its version from the next.
    :ivar since: when that was asked for first, and ``last`` when it was last.
    """

    target: float
    mark: object
    since: float
    last: float


class Freshness:
    """Knows it of those that were asked for last."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._known: dict[Locator, _Known] = {}

    def see(self, locator: Locator, body: bytes, asked: float) -> None:
        """
        A playlist has come.

        :param locator: how it is asked for, without delivery directives.
        :param asked: when it was, by the clock.
        """
        former = self._known.pop(locator, None)
        told = seconds(value_of(body, b"#EXT-X-TARGETDURATION"))
        if told is None or b"#EXT-X-ENDLIST" in body:
            return
        target = max(told, LEAST_TARGET)
        # Addresses may be signed anew in a version that has nothing new; without a number they are all there is.
        number = count(value_of(body, b"#EXT-X-MEDIA-SEQUENCE"))
        mark = (number, body.count(b"#EXTINF"), 0 if number else hash(body))
        since = former.since if former is not None and former.mark == mark else asked
        self._known[locator] = _Known(target, mark, since, asked)
        if len(self._known) > MOST:
            del self._known[next(iter(self._known))]

    def overdue(self, locator: Locator) -> bool:
        """Whether a playlist has not changed for longer than it may."""
        known = self._known.get(locator)
        return known is not None and known.last >= known.since + _patience(known.target)

    def left(self, locator: Locator) -> float | None:
        """Seconds until a playlist that does not change is overdue, negative after that; None for all others."""
        known = self._known.get(locator)
        return known.since + _patience(known.target) - self._clock.seconds() if known is not None else None


def _patience(target: float) -> float:
    return (1 + OVERDUE) * target
