"""What channels were resolved to, until that is over; resolved once for all who ask at the same moment."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from iptvd.errors import ProviderError
from iptvd.model import ProviderState, Source

#: Channels that are kept.
MOST = 2000
#: Seconds for which a site that refused a channel is not asked for it again.
BLOCKED_FOR = 300.0


@frozen
class _Kept:
    """How a resolution ended, and until when that holds."""

    until: float
    sources: Sequence[Source] = ()
    error: ProviderError | None = None


@define(eq=False)
class _Flight:
    """A resolution on its way, and those who wait for it."""

    waiters: list[Deferred[Sequence[Source]]] = field(factory=list)
    work: Deferred[Any] = field(factory=Deferred)


class Resolutions:
    """
    A cache over work that may be asked for by many at once.

    :param resolve: gives the sources of a channel, each with the time at which it expires.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, resolve: Callable[[str], Coroutine[Deferred[Any], Any, Sequence[Source]]]
    ) -> None:
        self._clock = clock
        self._resolve = resolve
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._flights: dict[str, _Flight] = {}

    def get(self, identity: str) -> Awaitable[Sequence[Source]]:
        """
        The sources of a channel; cancelling leaves the others theirs.

        :raises ProviderError: as the work does.
        """
        kept = self._kept.get(identity)
        if kept is not None and kept.until > self._clock.seconds():
            self._kept.move_to_end(identity)
            if kept.error is not None:
                return fail(ProviderError(kept.error.state, kept.error.sentence))
            return succeed(kept.sources)
        flight = self._flights.get(identity)
        if flight is not None:
            return self._join(identity, flight)
        flight = self._flights[identity] = _Flight()
        waiter = self._join(identity, flight)
        flight.work = Deferred.fromCoroutine(self._resolve(identity))
        flight.work.addBoth(self._landed, identity, flight)
        return waiter

    def _join(self, identity: str, flight: _Flight) -> Deferred[Sequence[Source]]:
        waiter: Deferred[Sequence[Source]] = Deferred(lambda gone: self._leave(identity, flight, gone))
        flight.waiters.append(waiter)
        return waiter

    def forget(self, identity: str) -> None:
        """Resolve it anew the next time; that a site refused it is kept in mind."""
        kept = self._kept.get(identity)
        if kept is not None and kept.error is None:
            del self._kept[identity]

    def _leave(self, identity: str, flight: _Flight, gone: Deferred[Sequence[Source]]) -> None:
        flight.waiters.remove(gone)
        if not flight.waiters and self._flights.get(identity) is flight:
            # Whoever comes now begins anew.
            del self._flights[identity]
            flight.work.cancel()

    def _landed(self, result: Sequence[Source] | Failure, identity: str, flight: _Flight) -> None:
        if self._flights.get(identity) is flight:
            del self._flights[identity]
        if isinstance(result, Failure):
            error = result.value
            if isinstance(error, ProviderError) and error.state is ProviderState.BLOCKED:
                self._keep(identity, _Kept(self._clock.seconds() + BLOCKED_FOR, error=error))
            if not flight.waiters and result.check(CancelledError, ProviderError) is None:
                # Nobody hears of it; its text may hold what it worked on.
                self._log.critical("resolving failed with {kind}", kind=type(error).__name__)
        else:
            expires = (each.expires for each in result)
            self._keep(identity, _Kept(min(each for each in expires if each is not None), result))
        while flight.waiters:
            flight.waiters.pop(0).callback(result)

    def _keep(self, identity: str, kept: _Kept) -> None:
        self._kept[identity] = kept
        self._kept.move_to_end(identity)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
