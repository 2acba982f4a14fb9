"""What the lineup is to Xtream clients: live channels, films and series, each on shelves that its groups are."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from enum import Enum
from hashlib import blake2b
from zlib import crc32

from attrs import define, field, frozen

from iptvd.identity import MAX_ID
from iptvd.lineup import Lineup
from iptvd.model import Channel, ChannelKind
from iptvd.web.shared_work import SharedWork

#: What a category is called that holds what is in no group: clients do not show what is in none.
OTHERS = "Other"

_STEP = 200
# By a name of its own: see `iptvd.web.playlist`.
_VOD = ChannelKind.VOD
# Not at the beginning: what has no name before it is no episode of anything.
_EPISODE = re.compile(r"(?<=[\s._-])S([0-9]{1,4})[ ._-]?E([0-9]{1,5})\b", re.IGNORECASE)
_SEASON = re.compile(r"(?<= )S([0-9]{2,4})(?= |$)")
_AROUND = " -–—:|.·_"  # noqa: RUF001
# When series begin and end to have been changed: see `Series.modified`.
_FROM, _SPAN = 1_500_000_000, 100_000_000


class Shelf(Enum):
    """The parts of what there is; their values are those of the clients' questions."""

    LIVE = "live"
    VOD = "vod"
    SERIES = "series"


@frozen
class Category:
    """
    A group, as far as it is of one kind.

    :ivar id: the same for ever for a group of this name; 1 to 2^31 - 1.
    :ivar channel: one of it: whoever may see that may see all.
    """

    id: int
    name: str
    channel: Channel = field(repr=False)


@frozen
class Mark:
    """
    What the name of an episode says.

    :ivar number: 0 where it is not told.
    """

    show: str
    season: int
    number: int


@define(eq=False)
class Series:
    """
    The episodes that one provider has of something, as their names tell.

    :ivar channels: the episodes, in the order of the lineup.
    """

    id: int
    name: str
    group: str
    channels: list[Channel] = field(factory=list, repr=False)
    _digest: int = 0

    def add(self, channel: Channel) -> None:
        """Take one more episode."""
        self.channels.append(channel)
        self._digest = crc32(f"{channel.id} {channel.name}".encode("utf-8", "replace"), self._digest)

    @property
    def modified(self) -> int:
        """
        Seconds since the epoch, another number whenever the episodes are other ones.

        When that happened is not known here; clients ask for the episodes again when this changes.
        """
        return _FROM + self._digest % _SPAN


@frozen(eq=False)
class Catalogue:
    """
    All of a lineup that can be played.

    :ivar categories: by their groups, in the order in which these occur.
    :ivar series: by their ids, in that order, too.
    """

    revision: str
    categories: Mapping[Shelf, Mapping[str, Category]]
    live: Sequence[Channel]
    films: Sequence[Channel]
    series: Mapping[int, Series]


def mark_in(name: str) -> Mark | None:
    """Of what a film's name says that it is an episode, None when it says nothing of that."""
    found = _EPISODE.search(name)
    number = int(found[2]) if found is not None else 0
    found = found or _SEASON.search(name)
    show = name[: found.start()].strip(_AROUND) if found is not None else ""
    return Mark(show, int(found[1]), number) if found is not None and show else None


class _Ids:
    """Ids that come of names alone, but for the one in millions that is another's."""

    def __init__(self) -> None:
        self._taken: set[int] = {0}

    def of(self, *names: str) -> int:
        text, tries = "\0".join(names).encode("utf-8", "replace"), 0
        while True:
            digest = blake2b(text + b"\0%d" % tries, digest_size=4).digest()
            candidate = int.from_bytes(digest, "big") & MAX_ID
            if candidate not in self._taken:
                self._taken.add(candidate)
                return candidate
            tries += 1


class _Sorting:
    """Puts every channel where it belongs, step by step."""

    def __init__(self, lineup: Lineup) -> None:
        self._lineup = lineup
        self._ids = _Ids()
        self._categories: dict[Shelf, dict[str, Category]] = {shelf: {} for shelf in Shelf}
        self._live: list[Channel] = []
        self._films: list[Channel] = []
        self._series: dict[tuple[str, str, str], Series] = {}

    @property
    def catalogue(self) -> Catalogue:
        """The whole, when all steps are done."""
        series = {each.id: each for each in self._series.values()}
        return Catalogue(self._lineup.revision, self._categories, self._live, self._films, series)

    def steps(self) -> Iterator[None]:
        channels = self._lineup.channels
        live, add = self._categories[Shelf.LIVE], self._live.append
        for start in range(0, len(channels), _STEP):
            for channel in channels[start : start + _STEP]:
                if channel.entry.unsupported:
                    continue
                if channel.kind is _VOD:
                    self._place(channel)
                else:
                    if channel.group not in live:
                        self._category(Shelf.LIVE, channel)
                    add(channel)
            yield

    def _place(self, channel: Channel) -> None:
        mark = mark_in(channel.name)
        if mark is None:
            self._category(Shelf.VOD, channel)
            self._films.append(channel)
            return
        self._category(Shelf.SERIES, channel)
        key = channel.provider, channel.group, mark.show.casefold()
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Series(self._ids.of("show", *key), mark.show, channel.group)
        series.add(channel)

    def _category(self, shelf: Shelf, channel: Channel) -> None:
        known, group = self._categories[shelf], channel.group
        if group not in known:
            known[group] = Category(self._ids.of(shelf.value, group), group or OTHERS, channel)


class Catalogues:
    """
    The catalogue of the lineup as it is now, made when somebody asks for it.

    :param lineup: gives the lineup.
    :param sliced: see `iptvd.slices.Slicer`.
    """

    def __init__(self, lineup: Callable[[], Lineup], sliced: Callable[[Iterator[object]], Awaitable[None]]) -> None:
        self._lineup = lineup
        self._sliced = sliced
        self._last: Catalogue | None = None
        self._making: SharedWork[Catalogue] = SharedWork()

    async def now(self) -> Catalogue:
        """The catalogue."""
        lineup = self._lineup()
        if self._last is not None and self._last.revision == lineup.revision:
            return self._last
        return await self._making(lineup.revision, lambda: self._make(lineup))

    async def _make(self, lineup: Lineup) -> Catalogue:
        sorting = _Sorting(lineup)
        await self._sliced(sorting.steps())
        self._last = sorting.catalogue
        return self._last
