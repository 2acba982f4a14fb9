"""Work that is done to its end, whoever still waits for it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")


def finished(work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
    """
    Begin work, and give what it gives.

    Cancelling that only stops the waiting, as when a client that asked for a change hangs up: what is half done is
    not left so, and nobody else's turn comes before it is over. What the work raises then is dropped.
    """
    # Whoever cancels this one finds no way to the work.
    waiting: Deferred[T] = Deferred()
    Deferred.fromCoroutine(work).addBoth(waiting.callback)
    return waiting
