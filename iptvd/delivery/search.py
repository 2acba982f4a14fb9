"""The search for a source that works: one attempt after another, each when its source may be tried."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from iptvd.delivery.candidates import Candidates, Connected
from iptvd.errors import UpstreamError
from iptvd.log import Log

#: Seconds at least between two attempts where one has to be waited for.
LEAST_WAIT = 0.25


class Search:
    """
    One channel's, which begins whenever `go_on` is called while nothing is under way.

    :param make_room: see `Candidates.open`.
    :param found: gets what is open; an `UpstreamError` from it makes that attempt one that failed.
    :param failed: is told why an attempt failed.
    :param hopeless: is asked, when there were as many attempts as there may be, whether that is the end of it; else
        there will be another when enough of them are long ago.
    """

    log = Log()

    def __init__(
        self,
        candidates: Candidates,
        clock: IReactorTime,
        make_room: Callable[[str], bool],
        found: Callable[[Connected], None],
        failed: Callable[[str], None],
        hopeless: Callable[[], bool],
    ) -> None:
        self._candidates = candidates
        self._clock = clock
        self._make_room = make_room
        self._found = found
        self._failed = failed
        self._hopeless = hopeless
        self._work: Deferred[Connected] | None = None
        self._retry: IDelayedCall | None = None

    def go_on(self, index: int) -> None:
        """Try the source that comes next after a place, now or when it may be tried."""
        if self._work is not None or (self._retry is not None and self._retry.active()):
            return
        spent = self._candidates.spent
        if spent and self._hopeless():
            return
        following, wait = self._candidates.next_after(index)
        if wait > 0 or spent:
            self._retry = self._clock.callLater(max(wait, LEAST_WAIT), self.go_on, index)
            return
        self._candidates.attempted(following)
        work = Deferred.fromCoroutine(self._candidates.open(following, self._make_room))
        if not work.called:
            self._work = work

        def ended(result: Connected | Failure) -> Connected | Failure:
            # Before anybody hears of it: what is found may end at once, and then the search goes on.
            self._work = None
            return result

        def went_wrong(failure: Failure) -> None:
            if isinstance(failure.value, UpstreamError):
                self._candidates.failed(following)
                self._failed(failure.value.sentence)
                self.go_on(index)
            elif not failure.check(CancelledError):
                self.log.fault("a source could not be connected", failure)

        work.addBoth(ended).addCallback(self._found).addErrback(went_wrong)

    def stop(self) -> None:
        """Give up what is under way; it can be begun again."""
        if self._work is not None:
            self._work.cancel()
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
