"""Measures how late the reactor runs what is due: the one figure that tells whether everybody is served in time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Seconds that `LoopLag.worst` and `LoopLag.percentile` look back.
WINDOW = 60.0


class LoopLag(Service):
    """
    Asks to be called at fixed times and looks how late it is called.

    The times are multiples of the interval from the start on, so a late call does not put off the next one; those that
    were missed altogether are left out. The reactor's clock is the one on the wall: when it is set forward, that looks
    like one late call.

    :param interval: seconds between two measurements.
    :param observe: told of each measurement, in seconds.
    """

    name = "looplag"

    def __init__(
        self, clock: IReactorTime, interval: float = 0.25, observe: Callable[[float], object] | None = None
    ) -> None:
        self._clock = clock
        self._interval = interval
        self._observe = observe
        # Each with the time it was made at: after a pause, as many as fit in the window may span more than it.
        self._measured: deque[tuple[float, float]] = deque(maxlen=max(1, math.ceil(WINDOW / interval)))
        self._start = 0.0
        self._tick = 0
        self._due = 0.0
        self._call: IDelayedCall | None = None
        #: The last measurement in seconds.
        self.last = 0.0

    @property
    def worst(self) -> float:
        """The longest lag of the last minute, in seconds."""
        return max(self._recent(), default=0.0)

    def percentile(self, share: float) -> float:
        """The lag in seconds that ``share`` (0 to 1) of the last minute's measurements do not exceed."""
        lags = sorted(self._recent())
        return lags[max(0, math.ceil(share * len(lags)) - 1)] if lags else 0.0

    def startService(self) -> None:
        super().startService()
        self._start = self._clock.seconds()
        self._tick = 0
        self._plan()

    def stopService(self) -> None:
        super().stopService()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _plan(self) -> None:
        now = self._clock.seconds()
        self._tick = max(self._tick, math.floor((now - self._start) / self._interval)) + 1
        self._due = self._start + self._tick * self._interval
        self._call = self._clock.callLater(self._due - now, self._measure)

    def _measure(self) -> None:
        now = self._clock.seconds()
        self.last = max(0.0, now - self._due)
        self._measured.append((now, self.last))
        self._plan()
        if self._observe is not None:
            self._observe(self.last)

    def _recent(self) -> list[float]:
        since = self._clock.seconds() - WINDOW
        return [lag for when, lag in self._measured if when >= since]
