"""Work that is done again and again over months: one round at a time, each at its own time, with jitter."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from iptvd.log import Log

#: Everything varies by this share, so that many installations do not ask at the same second.
JITTER = 0.1
#: Seconds until a round is tried again after a fault of ours.
AFTER_FAULT = 300.0


class Repeating(Service):
    """
    Runs a round, then the next one after as many seconds as the round says.

    :param work: one round; it gives the seconds until the next, or None when there is to be none until `now`.
    :param begun: done once before the first round, such as loading what is on disk.
    """

    log = Log()

    def __init__(
        self,
        name: str,
        work: Callable[[], Coroutine[Deferred[Any], Any, float | None]],
        clock: IReactorTime,
        random: Random,
        begun: Callable[[], Coroutine[Deferred[Any], Any, None]] | None = None,
    ) -> None:
        self.setName(name)
        self._work = work
        self._clock = clock
        self._random = random
        self._begun = begun
        self._timer: IDelayedCall | None = None
        self._running: Deferred[Any] | None = None
        self._again = False

    @property
    def due_in(self) -> float | None:
        """Seconds until the next round, or None when none is planned."""
        timer = self._timer
        return max(0.0, timer.getTime() - self._clock.seconds()) if timer is not None and timer.active() else None

    def startService(self) -> None:
        """Begin, unless it has begun: a parent that is being started may do it twice."""
        if self.running:
            return
        super().startService()
        self._run(self._first())

    def stopService(self) -> Deferred[Any] | None:
        """Stop; a round under way is cancelled."""
        super().stopService()
        self._again = False
        self._forget_timer()
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
        return running

    def now(self, *, afresh: bool = False) -> None:
        """
        Have a round now, unless one is under way.

        :param afresh: when one is under way, have another after it, for it may not have seen what is new.
        """
        if not self.running:
            return
        if self._running is not None:
            self._again = self._again or afresh
            return
        self._forget_timer()
        self._run(self._round())

    def _forget_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _run(self, work: Coroutine[Deferred[Any], Any, None]) -> None:
        running: Deferred[Any] = Deferred.fromCoroutine(work)
        self._running = running

        def ended(result: object) -> None:
            if self._running is running:
                self._running = None
            if self._again and self.running:
                self._again = False
                self.now()

        running.addErrback(lambda failure: failure.trap(CancelledError) and None)
        running.addErrback(lambda failure: self.log.fault("a fault of ours in {work}", failure, work=self.name))
        running.addBoth(ended)

    async def _first(self) -> None:
        if self._begun is not None:
            await self._begun()
        await self._round()

    async def _round(self) -> None:
        delay: float | None = AFTER_FAULT
        try:
            delay = await self._work()
        except CancelledError:
            delay = None
            raise
        finally:
            if delay is not None and self.running:
                delay *= 1 + self._random.uniform(-JITTER, JITTER)
                self._timer = self._clock.callLater(delay, self.now)
