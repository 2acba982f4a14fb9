"""
The segment cache: what viewers of HLS have in common is fetched once, however many ask for it.

A segment is known by how its origin is asked for it (`Locator`) and by the byte range. The first viewer's request is
the only one: who asks while it is on its way reads along from the beginning, and who asks later gets what was kept.
When the last reader leaves before the end, the fetch goes on if more than half is there, else it is stopped; one that
was begun for a stream (`iptvd.delivery.hlsfetch`) is stopped in any case.

Nothing outlives its playlist: what is asked for is kept for the time that a player may go on with one version of a
playlist, and each new version renews what it names. So a segment is gone once no player can know of it any more. An
origin that gives another segment a name that it has used before is noticed by the numbers of the two: see `renew`.
Keys have a shelf of their own, are few, and live `KEY_LIFE` seconds at most. Errors are not kept: those who waited get
them, and who asks next asks the origin.

A fetch has one of its provider's connections for as long as it lasts, whoever asked for it and has left since.

The bytes of segments, those on their way included, stay below the limit. What would take more than a quarter of it,
or finds no room because all is in use, is not shared: each viewer has it by a request of its own. Only a body that
does not tell its length can turn out to be too much later; it is then no longer found, and goes on for its readers as
`SharedBody` says, beyond the limit by twice `AHEAD` at most.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from iptvd.delivery.flight import Flight
from iptvd.delivery.locator import Locator
from iptvd.delivery.opening import Ask, Opened
from iptvd.delivery.playlists import PlaylistBody, Playlists
from iptvd.delivery.shelf import Entry, Key, Shelf, Terms
from iptvd.delivery.slots import Slot
from iptvd.errors import UpstreamError
from iptvd.protocols.m3u8 import Role

#: Bytes of all that is kept.
LIMIT = 64 * 1024 * 1024
#: Segments that are kept, and seconds for which at most.
MOST = 4096
MOST_LIFE = 300.0
#: Keys that are kept, bytes that one may have, and seconds for which it is kept at most.
MOST_KEYS = 256
MOST_KEY_SIZE = 1024
KEY_LIFE = 30.0
#: Bytes that are fetched before any reader wants them.
AHEAD = 1024 * 1024

_SHARED = (Role.SEGMENT, Role.INIT, Role.KEY)
_UNDERSTOOD = frozenset({"range", "if-range"})

#: Asks the origin.
Fetch = Callable[[], Awaitable[Opened]]


@frozen
class Figures:
    """
    What the cache has done and holds, for metrics and health.

    :ivar hits: requests that cost the origin none.
    :ivar misses: requests to an origin for what can be kept.
    :ivar passed: requests to an origin for what cannot.
    :ivar entries: segments and keys that are there, whole or in part.
    :ivar in_flight: fetches of any kind.
    :ivar bytes_held: of segments, keys and playlists.
    """

    hits: int
    misses: int
    passed: int
    playlist_hits: int
    playlist_misses: int
    entries: int
    in_flight: int
    bytes_held: int


class _Alone:
    """What is not shared, for the first who takes it: from then on it has the connection of that viewer's session."""

    def __init__(self, opened: Opened, slot: Slot) -> None:
        self._opened: Opened | None = opened
        self._slot = slot

    def take(self) -> Opened | None:
        """What was opened, once."""
        opened, self._opened = self._opened, None
        self._slot.release()
        return opened

    def close(self) -> None:
        """Nobody else will take it."""
        opened = self.take()
        if opened is not None and opened.upstream is not None:
            opened.upstream.stopProducing()


_Found = Entry | _Alone | Opened


class SegmentCache:
    """
    Segments, keys and playlists of all channels.

    :param limit: bytes: an eighth for playlists, the rest for segments. Keys are too small to count.
    :param ahead: see `AHEAD`.
    """

    def __init__(self, limit: int, clock: IReactorTime, ahead: int = AHEAD) -> None:
        of_playlists = limit // 8
        self._segments = Shelf(clock, limit - of_playlists, limit // 4, MOST, MOST_LIFE, ahead)
        self._keys = Shelf(clock, MOST_KEYS * MOST_KEY_SIZE, MOST_KEY_SIZE, MOST_KEYS, KEY_LIFE, ahead)
        self._playlists = Playlists(of_playlists, clock)
        self._flights: dict[tuple[Shelf, Key], Flight[_Found]] = {}
        self._hits = 0
        self._misses = 0
        self._passed = 0

    @property
    def figures(self) -> Figures:
        """As they are now."""
        entries = [*self._segments.alive, *self._keys.alive]
        on_their_way = sum(not entry.body.over for entry in entries)
        return Figures(
            self._hits,
            self._misses,
            self._passed,
            self._playlists.hits,
            self._playlists.misses,
            len(entries),
            len(self._flights) + on_their_way + self._playlists.in_flight,
            sum(entry.body.held for entry in entries) + self._playlists.held,
        )

    async def open(self, locator: Locator, ask: Ask, role: Role, terms: Terms, fetch: Fetch) -> Opened:
        """
        Open a segment, an initialization section or a key; anything else goes to the origin each time.

        :param fetch: asks the origin what the viewer has asked. It may serve others, and go on when this viewer has
            left.
        :return: an upstream of the viewer's own, with the status and headers that the origin gave the first. Whoever
            gets it attaches a receiver or stops it.
        :raises UpstreamError: what ``fetch`` raised, for all that waited for it.
        :raises LimitError: when there is no connection to fetch it by.
        """
        if role not in _SHARED or any(name.lower() not in _UNDERSTOOD for name, _ in ask.headers):
            return await self._pass(terms, fetch)
        shelf = self._shelf(role)
        byte_range = _range_of(ask)
        conditional = ask.method != "GET" or ask.get("If-Range") is not None
        entry = shelf.find((locator, ""))
        if byte_range or conditional:
            if entry is not None and entry.whole:
                self._hits += 1
                return entry.answer(ask)
            if conditional:
                return await self._pass(terms, fetch)
            entry = shelf.find((locator, byte_range))
        if entry is not None:
            self._hits += 1
            return entry.read()
        return await self._shared(shelf, (locator, byte_range), terms, fetch)

    def whole(self, locator: Locator, role: Role) -> Entry | None:
        """A thing that is there as a whole, for one who sends it; None when it has to be opened."""
        entry = self._shelf(role).find((locator, "")) if role in _SHARED else None
        if entry is None or not entry.whole:
            return None
        self._hits += 1
        return entry

    def renew(self, named: Iterable[tuple[Locator, Role]], again: Iterable[Locator], life: float) -> None:
        """
        Keep what a new version of a playlist names.

        :param again: what it names is another thing than what its last version named so.
        :param life: seconds from now, see `Terms`.
        """
        for locator in again:
            self._segments.forget((locator, ""))
        for locator, role in named:
            if role in _SHARED:
                self._shelf(role).renew((locator, ""), life)

    def keep(self, locator: Locator, ask: Ask, role: Role, life: float) -> None:
        """Keep what was opened so for so many seconds from now on, if it is there."""
        for byte_range in {"", _range_of(ask)}:
            self._shelf(role).renew((locator, byte_range), life)

    def forget(self, locator: Locator, ask: Ask, role: Role) -> None:
        """Have nobody find what was opened so any more; who reads it reads on."""
        for byte_range in {"", _range_of(ask)}:
            self._shelf(role).forget((locator, byte_range))

    def let_go(self, provider: str) -> bool:
        """Stop a fetch that nobody waits for, because its connection is wanted; whether there was one."""
        return self._segments.let_go(provider) or self._keys.let_go(provider)

    async def playlist(self, locator: Locator, fetch: Callable[[], Awaitable[PlaylistBody]]) -> PlaylistBody:
        """See `Playlists.get`."""
        return await self._playlists.get(locator, fetch)

    def fresh_playlist(self, locator: Locator) -> PlaylistBody | None:
        """See `Playlists.fresh`."""
        return self._playlists.fresh(locator)

    def clear(self) -> None:
        """Stop all fetches and let go of everything; who waits for or reads something gets an error."""
        error = UpstreamError(503, "iptvd is stopping")
        for flight in list(self._flights.values()):
            flight.give_up(error)
        self._segments.clear(error)
        self._keys.clear(error)
        self._playlists.clear(error)

    def _shelf(self, role: Role) -> Shelf:
        return self._keys if role is Role.KEY else self._segments

    async def _pass(self, terms: Terms, fetch: Fetch) -> Opened:
        self._passed += 1
        slot = terms.hold()
        try:
            return await fetch()
        finally:
            slot.release()

    async def _shared(self, shelf: Shelf, key: Key, terms: Terms, fetch: Fetch) -> Opened:
        flight = self._flights.get((shelf, key))
        begun = flight is None
        if flight is None:
            self._misses += 1
            flight = self._flights[shelf, key] = self._flight(shelf, key)
        # What it brings is taken at the moment it lands, which may be before this goes on: then it is let go of.
        waiter = flight.join().addCallback(_taken)
        if begun:
            flight.start(lambda: _fetched(shelf, key, terms, fetch))
        opened = await waiter
        if opened is None:
            return await self._pass(terms, fetch)
        if not begun:
            self._hits += 1
        return opened

    def _flight(self, shelf: Shelf, key: Key) -> Flight[_Found]:
        def closed() -> None:
            del self._flights[shelf, key]

        def landed(found: _Found) -> None:
            if isinstance(found, Entry):
                found.start()
            elif isinstance(found, _Alone):
                found.close()

        return Flight(closed, landed)


async def _fetched(shelf: Shelf, key: Key, terms: Terms, fetch: Fetch) -> _Found:
    slot = terms.hold()
    try:
        opened = await fetch()
    except BaseException:
        slot.release()
        raise
    if opened.upstream is None:
        slot.release()
        return opened
    return shelf.put(key, opened, terms, slot) or _Alone(opened, slot)


def _range_of(ask: Ask) -> str:
    return (ask.get("Range") or "").strip(" \t")


def _taken(found: _Found) -> Opened | None:
    """One waiter's share; None when it was for another."""
    if isinstance(found, Entry):
        return found.read()
    return found.take() if isinstance(found, _Alone) else found
