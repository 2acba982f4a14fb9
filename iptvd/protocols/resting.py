"""
Reading less often what comes in many small pieces.

An origin that writes seven packets at a time would have us woken for each write, and each of them would be handed to
every viewer by itself. So an upstream that brings little, and that so soon after the last that a rest of `REST`
seconds would bring three times as much, is not read for that long. All of a reactor that rest do so until the same
moment, so that there is one timer. Where a rest brought less there is none until reads follow each other as fast
again: what comes more slowly is never held up.
"""

from __future__ import annotations

from typing import Protocol
from weakref import WeakValueDictionary

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Seconds of a rest, which is also what it may add to the way of a byte.
REST = 0.002
#: Reads that one after a rest has to be worth.
WORTH = 3
#: Bytes of a read that is not worth being handed on alone.
LITTLE = 16384


class Sleeper(Protocol):
    """Who rests."""

    def rested(self) -> None:
        """The rest is over."""


class Rests:
    """Those of a reactor that rest just now."""

    def __init__(self, clock: IReactorTime) -> None:
        self.seconds = clock.seconds
        self._later = clock.callLater
        self._resting: list[Sleeper] = []
        self._timer: IDelayedCall | None = None

    def rest(self, one: Sleeper) -> None:
        """Have it told when its rest is over, within `REST` seconds."""
        self._resting.append(one)
        if self._timer is None:
            self._timer = self._later(REST, self._over)

    def _over(self) -> None:
        self._timer = None
        resting, self._resting = self._resting, []
        for one in resting:
            one.rested()


class Pace:
    """How fast, and in how small pieces, something comes; ``came`` says whether a rest is worth it."""

    __slots__ = ("_at", "_rested", "_single")

    def __init__(self) -> None:
        self._at = float("-inf")
        self._single = 0
        self._rested = False

    def came(self, size: int, now: float) -> bool:
        """So many bytes were read; whether to rest before the next read."""
        soon = now - self._at < REST / WORTH
        self._at = now
        if size >= LITTLE:
            self._rested = False
        elif self._rested:
            # One may have been cut short by the others' timer.
            self._rested = size > self._single * (WORTH - 1)
        elif soon:
            self._single = size
            self._rested = True
        return self._rested


_SHARED: WeakValueDictionary[IReactorTime, Rests] = WeakValueDictionary()


def shared_rests(clock: IReactorTime) -> Rests:
    """Those of a reactor, the same for all who have them at a time."""
    rests = _SHARED.get(clock)
    if rests is None:
        rests = _SHARED[clock] = Rests(clock)
    return rests
