"""
Playlists of origins, fetched once for all viewers.

A playlist may be half a target duration old: that is how long a player waits before it asks again for one that had not
changed (RFC 8216 section 6.3.4). The age counts from when it was asked for. Failures are not kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from attrs import define, field, frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from iptvd.delivery.flight import Flight
from iptvd.delivery.locator import Locator
from iptvd.delivery.template import Template
from iptvd.errors import IptvdError
from iptvd.protocols.m3u8_tags import seconds, value_of

#: Seconds for which a playlist without a target duration (a multivariant one) is used again.
WITHOUT_TARGET = 2.0
#: Half a target duration counts as at least and at most so many seconds.
LEAST_AGE = 0.5
MOST_AGE = 30.0


@frozen
class PlaylistBody:
    """
    A playlist as it came.

    :ivar url: after redirects, against which its URIs resolve.
    :ivar forms: what was made of it for all viewers, by what that depends on.
    """

    url: str = field(repr=False)
    body: bytes = field(repr=False)
    forms: dict[object, Template] = field(factory=dict, init=False, eq=False, repr=False)

    @property
    def max_age(self) -> float:
        """Seconds for which it may be used again."""
        target = seconds(value_of(self.body, b"#EXT-X-TARGETDURATION"))
        return WITHOUT_TARGET if target is None else min(max(target / 2, LEAST_AGE), MOST_AGE)


@define(eq=False)
class _Kept:
    playlist: PlaylistBody
    timer: IDelayedCall


class Playlists:
    """
    Those that are fresh.

    :param limit: bytes of them together.
    :ivar hits: requests that cost the origin none, those that waited for another's included.
    :ivar misses: requests to an origin.
    """

    def __init__(self, limit: int, clock: IReactorTime) -> None:
        self.hits = 0
        self.misses = 0
        self.held = 0
        self._limit = limit
        self._clock = clock
        self._kept: dict[Locator, _Kept] = {}
        self._flights: dict[Locator, Flight[PlaylistBody]] = {}

    @property
    def in_flight(self) -> int:
        """How many are being fetched."""
        return len(self._flights)

    def fresh(self, locator: Locator) -> PlaylistBody | None:
        """A playlist that is there; None when it has to be fetched, or waited for."""
        kept = self._kept.get(locator)
        if kept is None:
            return None
        self.hits += 1
        return kept.playlist

    async def get(self, locator: Locator, fetch: Callable[[], Awaitable[PlaylistBody]]) -> PlaylistBody:
        """
        A playlist that is fresh; what ``fetch`` raises comes out, for all that waited for it.

        :param locator: a blocking reload (``_HLS_msn`` in its URL) is a playlist of its own.
        """
        fresh = self.fresh(locator)
        if fresh is not None:
            return fresh
        flight = self._flights.get(locator)
        if flight is not None:
            self.hits += 1
            return await flight.join()
        self.misses += 1
        flight = Flight(lambda: self._closed(locator), lambda playlist: None)
        self._flights[locator] = flight
        waiter = flight.join()
        flight.start(lambda: self._fetched(locator, fetch))
        return await waiter

    def clear(self, error: IptvdError) -> None:
        """Keep none; those who wait for one get the error."""
        for flight in list(self._flights.values()):
            flight.give_up(error)
        for locator in list(self._kept):
            self._drop(locator)

    async def _fetched(self, locator: Locator, fetch: Callable[[], Awaitable[PlaylistBody]]) -> PlaylistBody:
        asked = self._clock.seconds()
        playlist = await fetch()
        left = asked + playlist.max_age - self._clock.seconds()
        size = len(playlist.body)
        if left > 0 and size <= self._limit:
            while self.held + size > self._limit:
                self._drop(next(iter(self._kept)))
            self._kept[locator] = _Kept(playlist, self._clock.callLater(left, self._drop, locator))
            self.held += size
        return playlist

    def _closed(self, locator: Locator) -> None:
        del self._flights[locator]

    def _drop(self, locator: Locator) -> None:
        kept = self._kept.pop(locator)
        self.held -= len(kept.playlist.body)
        if kept.timer.active():
            kept.timer.cancel()
