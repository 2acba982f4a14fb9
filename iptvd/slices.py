"""Long work in short turns: an iterator is run to its end while the reactor goes on serving viewers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from time import perf_counter

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Cooperator, SchedulerStopped, TaskFinished

#: Seconds of sliced work in one reactor turn, all of it together.
SLICE = 0.005


def _slice_is_over() -> Callable[[], bool]:
    end = perf_counter() + SLICE
    return lambda: perf_counter() >= end


class Slicer:
    """
    Runs iterators step by step, together at most `SLICE` seconds a reactor turn.

    A step must itself be short: what it does is not interrupted.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._cooperator = Cooperator(
            terminationPredicateFactory=_slice_is_over,
            scheduler=lambda step: clock.callLater(0, step),
        )

    def __call__(self, steps: Iterator[object]) -> Awaitable[None]:
        """Run ``steps`` to its end; what it raises comes out of the result. Cancelling stops it."""
        return self._run(steps)

    async def _run(self, steps: Iterator[object]) -> None:
        # None tells the Cooperator to go on; anything else that is yielded would be waited for.
        task = self._cooperator.cooperate(None for _ in steps)
        try:
            await task.whenDone()
        except SchedulerStopped:
            # We are stopping: to whoever waits that is no fault.
            raise CancelledError from None
        finally:
            with suppress(SchedulerStopped, TaskFinished):
                task.stop()

    def stop(self) -> None:
        """Stop all that runs."""
        self._cooperator.stop()
