"""
Many descriptors read in rounds, so that what comes in small pieces is taken in few turns.

An origin that writes seven packets at a time would have us woken for each write of each stream, which costs more than
moving them. So all descriptors are in an epoll set of their own, which the reactor knows as one descriptor. Bytes that
come after a silence are taken at once. A round that found some is followed by a rest, in which the reactor does not
know of the set; then comes the next, for all streams together. A round that finds nothing ends that: the reactor
watches the set again, and there is no timer while nothing comes.

A stream that much came for during a rest is in a hurry: there is no rest for a while, or until what comes is little
again.
"""

from __future__ import annotations

import select
from typing import ClassVar, Protocol
from weakref import WeakValueDictionary

from twisted.internet.interfaces import IDelayedCall, IReactorFDSet, IReactorTime, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from iptvd.log import Log

__all__ = ["HURRY", "LITTLE", "MOST", "MUCH", "REST", "Reader", "Rounds", "shared_rounds"]

#: Seconds from a round that found something to the next: what reading later may add to the way of a byte.
REST = 0.005
#: Bytes from one descriptor in one round that begin a hurry: a rest full of them is 400 Mbit/s.
MUCH = 1 << 18
#: Bytes that are not worth a round: when no descriptor has more, the hurry is over.
LITTLE = 16384
#: Seconds after which a hurry that did not go on is over as well.
HURRY = 0.05
#: Descriptors that are read in one round: more than these wait until the reactor has looked at everything else.
MOST = 128


class Reader(Protocol):
    """Who reads from one descriptor."""

    def fill(self) -> int:
        """Take what has come, possibly nothing, and not more than one turn of the reactor has time for; how much."""

    def lost(self) -> None:
        """Reading failed with an error that nobody expected, which has been logged."""


@implementer(IReadDescriptor)
class Rounds:
    """
    The descriptors, and when they are looked at.

    Nothing is open and nothing is under way while it has none.
    """

    log: ClassVar[Log] = Log()

    _set: select.epoll

    def __init__(self, reactor: IReactorFDSet, clock: IReactorTime) -> None:
        self._reactor = reactor
        self._clock = clock
        self._readers: dict[int, Reader] = {}
        self._watching = False
        self._timer: IDelayedCall | None = None
        self._hurried_until = 0.0

    def enter(self, number: int, reader: Reader) -> None:
        """
        Add a descriptor, which is not read yet.

        :raises OSError: when there are no descriptors left.
        """
        if not self._readers:
            self._set = select.epoll()
            self._watch()
        self._readers[number] = reader

    def leave(self, number: int) -> None:
        """Drop a descriptor that is not read any more, before it is closed."""
        del self._readers[number]
        if not self._readers:
            self._watch_not()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._set.close()

    def read_on(self, number: int) -> None:
        """Read from a descriptor when it has something, from now on."""
        self._set.register(number, select.EPOLLIN)

    def pause(self, number: int) -> None:
        """Read no more from a descriptor, whatever happens to it."""
        self._set.unregister(number)

    # What the reactor calls

    def fileno(self) -> int:
        return self._set.fileno()

    def doRead(self) -> None:
        now = self._clock.seconds()
        looked_at = self._set
        found = looked_at.poll(0, MOST)
        most = 0
        for number, _ in found:
            # One that an earlier one of this round has ended is not there; one in its place may have nothing.
            reader = self._readers.get(number)
            if reader is None:
                continue
            try:
                most = max(most, reader.fill())
            except Exception:
                self._failed(reader)
        if not self._readers or self._set is not looked_at:
            return
        if most >= MUCH:
            self._hurried_until = now + HURRY
        elif most < LITTLE:
            self._hurried_until = now
        if found and len(found) < MOST and now >= self._hurried_until:
            self._watch_not()
            self._timer = self._clock.callLater(REST, self._rested)
        else:
            self._watch()

    def _rested(self) -> None:
        self._timer = None
        self.doRead()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends, and tells the connections themselves as well."""

    def logPrefix(self) -> str:
        return "rounds"

    def _failed(self, reader: Reader) -> None:
        self.log.fault("reading failed", Failure())
        try:
            reader.lost()
        except Exception:
            self.log.fault("ending what could not be read failed", Failure())

    def _watch(self) -> None:
        if not self._watching:
            self._watching = True
            self._reactor.addReader(self)

    def _watch_not(self) -> None:
        if self._watching:
            self._watching = False
            self._reactor.removeReader(self)


_SHARED: WeakValueDictionary[IReactorFDSet, Rounds] = WeakValueDictionary()


def shared_rounds(reactor: IReactorFDSet) -> Rounds:
    """The rounds of a reactor, the same for all who have them at a time."""
    rounds = _SHARED.get(reactor)
    if rounds is None:
        rounds = _SHARED[reactor] = Rounds(reactor, IReactorTime(reactor))
    return rounds
