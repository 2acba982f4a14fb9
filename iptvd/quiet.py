"""
What is given back once nobody has watched for a while: spare pipes, and the memory that libc keeps for later.

While viewers watch, buffers of every size come and go, and libc's allocator gives back to the system only what is at
the end of its heap. After two minutes of thirty viewers it kept 50 MiB of which nothing was in use: nearly half of all
that the process had. malloc_trim(3) gives them back. It takes some twenty milliseconds, so nobody may be watching.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Seconds between two looks.
INTERVAL = 15.0
#: Looks in a row at which nobody watches, until everything is given back: what lingers is over by then.
PATIENCE = 2
#: Looks after which it is done again while still nobody watches: lineups are put together then, too.
AGAIN = 240


def give_back_memory() -> None:
    """Have libc give back to the system what it keeps; nothing happens where it cannot (musl, macOS)."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return
    trim(0)


class QuietService(Service):
    """
    Looks for such moments, as long as it runs.

    :param idle: whether nobody watches now.
    :param give_back: what is done then; none of them may raise.
    """

    name = "quiet"

    def __init__(
        self, clock: IReactorTime, idle: Callable[[], bool], give_back: Sequence[Callable[[], object]]
    ) -> None:
        self._clock = clock
        self._idle = idle
        self._give_back = give_back
        self._looks = 0
        self._call: IDelayedCall | None = None

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._looks = 0
        self._call = self._clock.callLater(INTERVAL, self._look)

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self._call = self._clock.callLater(INTERVAL, self._look)
        self._looks = self._looks + 1 if self._idle() else 0
        if self._looks % AGAIN == PATIENCE:
            for give_back in self._give_back:
                give_back()
