"""A channel's sources: how each has done lately, which is next to be tried, and how one is opened."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from math import inf
from typing import Protocol

from attrs import define, evolve, frozen
from twisted.internet.interfaces import IReactorTime

from iptvd.delivery.opening import FoundPlaylist, Opened, SourceGone
from iptvd.delivery.session import Viewer
from iptvd.delivery.slots import Slot, Slots
from iptvd.errors import LimitError, UpstreamError
from iptvd.model import Channel, Source, SourceKind
from iptvd.protocols.sniff import Media
from iptvd.protocols.upstream import Upstream
from iptvd.recording import connection_of

#: Seconds until a source that failed is tried again, doubled with each failure in a row.
FIRST_BACKOFF = 0.25
MOST_BACKOFF = 15.0
#: Attempts in a minute after which no more are made; what has delivered for so many seconds is none of them.
MOST_ATTEMPTS = 12
MINUTE = 60.0
DELIVERED = 3.0


class Opens(Protocol):
    """Opens a live source as MPEG-TS."""

    async def open(self, source: Source, extension: str, part: Callable[[], None] = lambda: None) -> Opened:
        """See `iptvd.delivery.live_sources.LiveSources.open`."""


async def open_followed(
    opener: Opens,
    source: Source,
    extension: str,
    follows: Callable[[], bool],
    part: Callable[[], None] = lambda: None,
) -> tuple[Source, Opened]:
    """
    Open a live source, or, where it is a playlist that its provider lists as a stream, what that playlist leads to.

    :param follows: is asked, when it is a playlist, whether that is wanted.
    :param part: see `iptvd.delivery.live_sources.LiveSources.open`.
    :return: the source as it is, which is not always as it was listed.
    :raises FoundPlaylist: when it is not.
    :raises UpstreamError: when nothing can be played.
    """
    try:
        return source, await opener.open(source, extension, part)
    except FoundPlaylist:
        if not follows():
            raise
    if not source.url:
        raise UpstreamError(502, "its command gives a playlist instead of a stream")
    source = evolve(source, kind=SourceKind.HLS)
    return source, await opener.open(source, extension)


@define(eq=False)
class Health:
    """
    How a source has done lately.

    :ivar failures: in a row.
    :ivar not_before: when it may be tried again.
    """

    failures: int = 0
    not_before: float = 0.0

    def failed(self, now: float) -> None:
        """It has failed once more."""
        self.not_before = now + min(FIRST_BACKOFF * 2**self.failures, MOST_BACKOFF)
        self.failures += 1


@frozen
class Connected:
    """
    A source that is open.

    :ivar index: its place among the channel's.
    :ivar disguised: whether it is a playlist that its provider lists as a stream.
    """

    index: int
    opened: Opened
    slot: Slot
    disguised: bool = False

    @property
    def upstream(self) -> Upstream | None:
        """What it brings, None where that is no MPEG-TS."""
        return self.opened.upstream if self.opened.media is Media.TS else None

    def close(self) -> None:
        """Close its connection and give its slot back."""
        if self.opened.upstream is not None:
            self.opened.upstream.stopProducing()
        self.slot.release()


class Candidates:
    """
    One channel's, in whatever form they deliver; only films are none of them.

    The viewers of a channel's HLS form and whoever reads the same source as a stream share a connection.

    :param resolve: gives the channel's sources, best first, each with its provider's name.
    :param wall: seconds since the epoch, by which a source's address expires.
    :ivar follows: whether a source that turns out to be a playlist is made a stream of too, instead of being told.
    """

    def __init__(
        self,
        channel: Channel,
        resolve: Callable[[Channel], Awaitable[list[tuple[str, Source]]]],
        opener: Opens,
        slots: Slots,
        clock: IReactorTime,
        wall: Callable[[], float],
    ) -> None:
        self.follows = False
        self._channel = channel
        self._resolve = resolve
        self._opener = opener
        self._slots = slots
        self._clock = clock
        self._wall = wall
        self._sources: list[tuple[str, Source]] = []
        self._health: dict[int, Health] = {}
        # When, and of which source.
        self._attempts: deque[tuple[float, int]] = deque()
        # Whether their addresses may have expired, whatever they say themselves.
        self._stale = False
        # Those that are listed as streams and are playlists.
        self._disguised: set[int] = set()
        # The connection that was had last for each: whose it is, what it is shared by, and our share.
        self._held: dict[int, tuple[str, object, Slot]] = {}

    def provider(self, index: int) -> str:
        """Whose source that is."""
        return self._sources[index][0]

    def source(self, index: int) -> Source:
        """The source at a place."""
        return self._sources[index][1]

    # How they do

    def worked(self, index: int) -> None:
        """It brings something."""
        self._health_of(index).failures = 0

    def failed(self, index: int) -> None:
        """It could not be opened, or has ended."""
        self._health_of(index).failed(self._clock.seconds())

    def expired(self) -> None:
        """One refuses what it gave before: its address may be an old one."""
        self._stale = True

    def _health_of(self, index: int) -> Health:
        return self._health.setdefault(index, Health())

    # Which is next

    @property
    def spent(self) -> bool:
        """Whether as many attempts of the last minute came to nothing as may."""
        since = self._clock.seconds() - MINUTE
        while self._attempts and self._attempts[0][0] < since:
            self._attempts.popleft()
        return len(self._attempts) >= MOST_ATTEMPTS

    def attempted(self, index: int) -> None:
        """One is about to be tried."""
        self._attempts.append((self._clock.seconds(), index))

    def delivered(self, index: int) -> None:
        """One has delivered for `DELIVERED` seconds: its last attempt is none of those that come to nothing."""
        latest = max((attempt for attempt in self._attempts if attempt[1] == index), default=None)
        if latest is not None:
            self._attempts.remove(latest)

    def next_after(self, index: int) -> tuple[int, float]:
        """
        Which comes next in turn, from the last to the first; one that may not be tried yet is passed over.

        :return: its place, and the seconds for which it has to wait when none may be tried.
        """
        now, count = self._clock.seconds(), len(self._sources)
        order = [(index + step) % count for step in range(1, count + 1)]
        fitting = [each for each in order if self._sources[each][1].kind is not SourceKind.VOD] or [index]
        ready = next((each for each in fitting if self._health_of(each).not_before <= now), None)
        if ready is not None:
            return ready, 0.0
        soonest = min(fitting, key=lambda each: self._health_of(each).not_before)
        return soonest, self._health_of(soonest).not_before - now

    # Opening

    async def open_best(self, viewer: Viewer | None) -> Connected:
        """
        Resolve the channel and open the best source that works.

        :param viewer: who wants it; something that the same viewer has turned away from makes way for it.
        :raises FoundPlaylist: when it is a playlist where a stream was listed, unless those are followed.
        :raises UpstreamError: that of the best, when none works.
        :raises LimitError: when there is no slot for any.
        """
        former = await self._resolve(self._channel)
        self._sources = list(former)
        try:
            return await self._open_first(viewer)
        except SourceGone:
            # Resolved anew before it counts: what is remembered of where a source is may be old.
            self._sources = list(await self._resolve(self._channel))
            if former == self._sources:
                raise
            self._health.clear()
            return await self._open_first(viewer)

    async def _open_first(self, viewer: Viewer | None) -> Connected:
        error: UpstreamError | None = None
        full = ""
        for index, (provider, source) in enumerate(self._sources):
            if source.kind is SourceKind.VOD:
                continue
            slot = self._slot(index, viewer)
            if slot is None:
                full = full or self._slots.full(provider)
                continue
            try:
                return await self._open(index, slot)
            except FoundPlaylist:
                raise
            except LimitError as failure:
                full = full or failure.sentence
            except UpstreamError as failure:
                error = error or failure
                self.failed(index)
        if error is not None:
            raise error
        raise LimitError(full) if full else UpstreamError(502, "its provider offers it in another form now")

    async def open(self, index: int, make_room: Callable[[str], bool]) -> Connected:
        """
        Open the source at a place; one whose address has expired is resolved anew before.

        :param make_room: is asked, when there is no slot of a provider, to close what holds one, and says whether it
            did.
        :raises UpstreamError: when it does not work, or there is no slot.
        """
        expires = self.source(index).expires
        if self._stale or (expires is not None and expires <= self._wall()):
            await self._resolve_anew(index)
        refused = self._sources[index]
        try:
            return await self._open_beside(index, make_room)
        except SourceGone:
            # As in `open_best`: resolved anew before it counts.
            await self._resolve_anew(index)
            if self._sources[index] == refused:
                raise
            return await self._open_beside(index, make_room)

    async def renew(self) -> None:
        """
        Have the sources be those that the channel has now, which may be more or fewer.

        Places that there are no more keep what is there, for it may be open, and are not tried again.

        :raises UpstreamError: when there is none; those that were there stay then.
        """
        fresh = list(await self._resolve(self._channel))
        self._health.clear()
        for index in range(len(fresh), len(self._sources)):
            self._health_of(index).not_before = inf
        self._sources[: len(fresh)] = fresh
        self._disguised -= set(range(len(fresh)))

    async def _resolve_anew(self, index: int) -> None:
        """Have the source at a place be where it is now."""
        fresh = await self._resolve(self._channel)
        self._stale = False
        if index < len(fresh):
            self._sources[index] = fresh[index]
            self._disguised.discard(index)

    async def _open_beside(self, index: int, make_room: Callable[[str], bool]) -> Connected:
        provider = self.provider(index)
        # What is beside another connection of our own to the same source is one more.
        slot = self._slot(index) if self._parted(index) else None
        if slot is None and make_room(provider):
            slot = self._slot(index)
        if slot is None:
            raise UpstreamError(503, self._slots.full(provider))
        try:
            return await self._open(index, slot)
        except LimitError as error:
            raise UpstreamError(503, error.sentence) from None

    async def _open(self, index: int, slot: Slot) -> Connected:
        listed = self.source(index)

        def part() -> None:
            if not self._parted(index):
                raise LimitError(self._slots.full(self.provider(index)))

        try:
            source, opened = await open_followed(
                self._opener, listed, self._channel.extension, lambda: self.follows, part
            )
        except BaseException:
            slot.release()
            raise
        self._sources[index] = (self.provider(index), source)
        if source is not listed:
            self._disguised.add(index)
        return Connected(index, opened, slot, disguised=source is not listed)

    def _slot(self, index: int, viewer: Viewer | None = None) -> Slot | None:
        """A connection for a source, perhaps one with others who have it in another form; None when there is none."""
        provider, key = self.provider(index), self._shared_by(index)
        slot = self._slots.take(provider, viewer) if key is None else self._slots.share(provider, key, viewer)
        if slot is not None:
            self._held[index] = provider, key, slot
        return slot

    def _parted(self, index: int) -> bool:
        """Have our connection to a source, if there is one, be shared with nobody; False when that cannot be."""
        held = self._held.get(index)
        return held is None or self._slots.part(*held)

    def _shared_by(self, index: int) -> object:
        """What a source's connection is shared by, as viewers of the channel's HLS form have it; None if it is not."""
        source = self.source(index)
        if self._channel.source_kind is not SourceKind.HLS or not self._is_listed_as_hls(index) or not source.url:
            return None
        return connection_of(self._channel, sum(map(self._is_listed_as_hls, range(index))))

    def _is_listed_as_hls(self, index: int) -> bool:
        return self.source(index).kind is SourceKind.HLS and index not in self._disguised
