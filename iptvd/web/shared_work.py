"""Work that several requests ask for at once: done once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


@define(eq=False)
class _Work(Generic[T]):
    running: Deferred[T]
    waiting: list[Deferred[T]] = field(factory=list)


class SharedWork(Generic[T]):
    """Work that several requests ask for at once: it is done once, and given up when the last of them has left."""

    def __init__(self) -> None:
        self._works: dict[object, _Work[T]] = {}

    def __call__(self, key: object, begin: Callable[[], Coroutine[Deferred[Any], Any, T]]) -> Deferred[T]:
        """
        The result of the work of that name, begun unless it is under way.

        What it raises is raised to everybody who waits. Cancelling concerns only the one who does it.
        """
        work = self._works.get(key)
        begun = work is None
        if work is None:
            work = self._works[key] = _Work(Deferred.fromCoroutine(begin()))
        mine: Deferred[T] = Deferred(lambda gone: self._left(key, work, gone))
        work.waiting.append(mine)
        if begun:
            work.running.addBoth(lambda result: self._done(key, work, result))
        return mine

    def _left(self, key: object, work: _Work[T], gone: Deferred[T]) -> None:
        work.waiting.remove(gone)
        if not work.waiting:
            self._forget(key, work)
            work.running.cancel()

    def _done(self, key: object, work: _Work[T], result: T | Failure) -> None:
        self._forget(key, work)
        waiting, work.waiting = work.waiting, []
        for one in waiting:
            if isinstance(result, Failure):
                one.errback(result)
            else:
                one.callback(result)

    def _forget(self, key: object, work: _Work[T]) -> None:
        if self._works.get(key) is work:
            del self._works[key]
