"""One piece of work that many wait for: it is done once, and given up when the last of them has left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from iptvd.errors import IptvdError
from iptvd.log import Log

T = TypeVar("T")


class Flight(Generic[T]):
    """
    Work on its way.

    :param closed: called once, when nobody may join any more: before the first waiter is told, or when it is given up.
    :param landed: called with the result once every waiter has it, and also when there is none left to have it.
    """

    log = Log()

    def __init__(self, closed: Callable[[], None], landed: Callable[[T], None]) -> None:
        self._closed: Callable[[], None] | None = closed
        self._landed = landed
        self._waiters: dict[Deferred[T], None] = {}
        self._work: Deferred[T] | None = None

    def join(self) -> Deferred[T]:
        """
        The result, or the failure, that all get; cancelling leaves the others theirs.

        Work may be done the moment it begins: what has to be taken when it lands is taken in a callback that is added
        before.
        """
        waiter: Deferred[T] = Deferred(self._leave)
        self._waiters[waiter] = None
        return waiter

    def start(self, work: Callable[[], Awaitable[T]]) -> None:
        """Begin, after the first has joined."""
        self._work = Deferred.fromCoroutine(_awaited(work))
        self._work.addCallbacks(self._succeeded, self._failed)

    def give_up(self, error: IptvdError) -> None:
        """Stop the work; those who wait get this error."""
        self._close()
        while self._waiters:
            self._waiters.popitem()[0].errback(error)
        self._cancel()

    def _leave(self, waiter: Deferred[T]) -> None:
        self._waiters.pop(waiter, None)
        if not self._waiters:
            self._close()
            self._cancel()

    def _close(self) -> None:
        closed, self._closed = self._closed, None
        if closed is not None:
            closed()

    def _cancel(self) -> None:
        if self._work is not None:
            self._work.cancel()

    def _succeeded(self, result: T) -> None:
        self._close()
        while self._waiters:
            waiter = next(iter(self._waiters))
            del self._waiters[waiter]
            waiter.callback(result)
        self._landed(result)

    def _failed(self, failure: Failure) -> None:
        self._close()
        if not self._waiters and not failure.check(CancelledError, IptvdError):
            self.log.fault("work that nobody waited for any more failed", failure)
        while self._waiters:
            waiter = next(iter(self._waiters))
            del self._waiters[waiter]
            waiter.errback(failure)


async def _awaited(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
