"""
Keeps Python's garbage collector from stopping the daemon for long.

A full collection looks at every object there is: with a hundred thousand channels that takes a sixth of a second, and
the collector starts one whenever a quarter is new, so several times while a lineup is put together. But a lineup has
no cycles and goes when nobody refers to it any more. So full collections are ours to start: often, over what is new
while that is little; what is much is put out of the collector's sight instead (`gc.freeze`). An object that became
garbage in a cycle after that is found by a thorough collection, which waits until nobody watches, but not for ever.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Seconds between two looks.
INTERVAL = 20.0
#: Seconds after a thorough collection until the next may be when nobody watches, and has to be else.
WHEN_IDLE = 3600.0
AT_LAST = 86400.0
#: Collections of the middle generation, each after some 8,000 new objects, above which what is new is much: looking at
#: so many takes about ten milliseconds.
MUCH = 8
#: So many collections of the middle generation never come together: the collector starts no full collection itself.
_NEVER = 1 << 30


class GarbageService(Service):
    """
    Starts the full collections of this process, as long as it runs.

    :param idle: whether a pause of a fifth of a second would disturb nobody now.
    """

    name = "garbage"

    def __init__(self, clock: IReactorTime, idle: Callable[[], bool]) -> None:
        self._clock = clock
        self._idle = idle
        self._call: IDelayedCall | None = None
        self._thorough_at = 0.0
        self._former = gc.get_threshold()

    def startService(self) -> None:
        """Take over from the collector; all that was imported is out of its sight from now on."""
        super().startService()
        self._former = gc.get_threshold()
        gc.set_threshold(self._former[0], self._former[1], _NEVER)
        self._thorough()
        self._call = self._clock.callLater(INTERVAL, self._look)

    def stopService(self) -> None:
        """Leave it to the collector again."""
        super().stopService()
        gc.set_threshold(*self._former)
        gc.unfreeze()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self._call = self._clock.callLater(INTERVAL, self._look)
        age = self._clock.seconds() - self._thorough_at
        if age >= AT_LAST or (age >= WHEN_IDLE and self._idle()):
            self._thorough()
        elif gc.get_count()[2] > MUCH:
            gc.freeze()
        else:
            gc.collect()

    def _thorough(self) -> None:
        self._thorough_at = self._clock.seconds()
        gc.unfreeze()
        gc.collect()
        gc.freeze()
