"""The guide as the daemon has it: guides taken in, linked to the lineup, and whoever asks told what is on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from attrs import asdict
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from iptvd.epg.guides import FIRST_RETRY, Guide, GuideSource, GuideStatus, Known, Saves, Terms
from iptvd.epg.reading import GuideReader
from iptvd.epg.work import DamagedError, Writers
from iptvd.errors import IptvdError, StoreError
from iptvd.lineup import Lineup
from iptvd.log import Log
from iptvd.model import Channel, Event
from iptvd.repeating import Repeating
from iptvd.store import Offload, RowsFile

#: Seconds until linking is tried again that failed.
RETRY = 300.0


class EpgService(MultiService):
    """
    All of it.

    :param folder: for the database and what is on its way into it.
    :param rows: gives a file of rows in that folder, by its name and kind.
    :param fetcher: gives the one that a guide is fetched with.
    :param run: see `iptvd.children.Children.run`.
    :param lineup: gives the lineup as it is now.
    :param events: gives the events as they are now, each with its provider's name.
    :ivar reader: answers questions.
    """

    log = Log()

    def __init__(
        self,
        folder: Path,
        rows: Callable[[str, str], RowsFile],
        fetcher: Callable[[GuideSource], Saves],
        run: Callable[[Sequence[str]], Awaitable[tuple[int, bytes]]],
        offload: Offload,
        clock: IReactorTime,
        wall: Callable[[], float],
        random: Random,
        lineup: Callable[[], Lineup],
        events: Callable[[], Iterable[tuple[str, Event]]],
    ) -> None:
        super().__init__()
        self._folder = folder
        self.database = folder / "guide.db"
        self.reader = GuideReader(self.database, offload)
        self._fetcher = fetcher
        self._offload = offload
        self._clock = clock
        self._wall = wall
        self._random = random
        self._lineup = lineup
        self._events = events
        self._work = Writers(run)
        self._known_file = rows("guides.rows", "guides 1")
        self._rows_file = rows("lineup.rows", "guide lineup 1")
        self._known: dict[str, Known] = {}
        self._sources: list[GuideSource] = []
        self._terms = Terms(14400.0, (), 0)
        self._guides: dict[str, tuple[Guide, Repeating]] = {}
        self._loaded = False
        self._made_anew: float | None = None
        self._linking = Repeating("linking", self._link, clock, random)
        self._linking.setServiceParent(self)
        self._keeping = Repeating("keeping", self._keep, clock, random, self._load)
        self._keeping.setServiceParent(self)

    @property
    def statuses(self) -> list[GuideStatus]:
        """How each guide is doing, in the order of preference."""
        return [guide.status for guide, _ in self._guides.values()]

    def stopService(self) -> Deferred[Any]:
        """Stop, and let go of the database."""
        self.reader.close()
        stopped: Deferred[Any] = super().stopService()
        return stopped

    def configure(self, sources: Sequence[GuideSource], terms: Terms) -> None:
        """Take in these guides, in the order in which they are preferred; what did not change goes on."""
        changed = list(sources) != self._sources
        self._sources, self._terms = list(sources), terms
        if self._loaded:
            self._begin_guides()
            if changed:
                self.relink()

    def refresh(self) -> None:
        """Look for what is new in every guide now."""
        for _, repeating in self._guides.values():
            repeating.now()

    def relink(self) -> None:
        """Link the lineup and the events to the guides anew: one of them has changed."""
        self._linking.now(afresh=True)

    async def _load(self) -> None:
        """What is known from the last run."""

        def take(row: object) -> None:
            if not isinstance(row, dict):
                raise TypeError("a guide is an object")
            known = Known(**row)
            self._known[known.name] = known

        try:
            there = await self._known_file.load(take)
            if there and not await self._offload(self.database.exists):
                self._known.clear()
        except StoreError as error:
            self._known.clear()
            self._known_file.set_aside()
            self.log.warn("the guides are taken in anew: {reason}", reason=error.sentence)
        self._loaded = True
        self._begin_guides()

    def _begin_guides(self) -> None:
        # Linking clears away what is not among the sources: what is known of it holds no longer.
        names = {source.name for source in self._sources}
        if not names.issuperset(self._known):
            self._known = {name: known for name, known in self._known.items() if name in names}
            self._keeping.now(afresh=True)
        former, self._guides = self._guides, {}
        for source in self._sources:
            present = former.get(source.name)
            fetcher = self._fetcher(source)
            if present is not None and (present[0].source, present[0].terms) == (source, self._terms):
                # By another way it is the same guide all the same.
                present[0].fetcher = fetcher
                self._guides[source.name] = former.pop(source.name)
                continue
            guide = Guide(
                source,
                self._terms,
                self.database,
                fetcher,
                self._offload,
                self._work,
                self._wall,
                self._taken_in,
                self._known.get(source.name),
            )
            self._guides[source.name] = (guide, self._repeating(guide))
        for _, repeating in former.values():
            repeating.disownServiceParent()
        for _, repeating in self._guides.values():
            if repeating.parent is None:
                repeating.setServiceParent(self)

    def _repeating(self, guide: Guide) -> Repeating:
        async def work() -> float:
            try:
                return await guide.round()
            except DamagedError:
                await self._set_aside()
                return FIRST_RETRY

        return Repeating(f"guide {guide.source.name}", work, self._clock, self._random)

    def _taken_in(self, imported: bool) -> None:
        self._known = {guide.source.name: guide.known for guide, _ in self._guides.values() if guide.known is not None}
        self._keeping.now(afresh=True)
        if imported:
            self.relink()

    async def _keep(self) -> None:
        try:
            await self._known_file.save(map(asdict, self._known.values()))
        except StoreError as error:
            self.log.error("what is known of the guides could not be kept: {reason}", reason=error.sentence)

    # Linking

    async def _link(self) -> float | None:
        if self._lineup().revision == Lineup().revision:
            # Before the first is put together, what was linked last is better than nothing.
            return None
        try:
            await self._rows_file.save(self._rows())
            said = await self._work("linking", str(self.database), str(self._rows_file.path))
        except DamagedError:
            await self._set_aside()
            return FIRST_RETRY
        except IptvdError as error:
            self.log.error("the lineup could not be linked to the guide: {reason}", reason=error.sentence)
            return RETRY
        self.log.debug("{matched} channels have a guide", matched=said.get("matched", 0))
        return None

    def _rows(self) -> Iterator[dict[str, object]]:
        yield {"guides": {source.name: list(source.providers) for source in self._sources}}
        for channel in self._lineup().channels:
            yield _row_of(channel)
        for provider, event in list(self._events()):
            yield {"event": {"provider": provider, **asdict(event)}}

    async def _set_aside(self) -> None:
        """Make the database anew: it is damaged, or of another version. One that is new is not made anew again."""
        now = self._clock.seconds()
        if self._made_anew is not None and now - self._made_anew < RETRY:
            return
        self._made_anew = now
        self.log.error("the guide's database is damaged or of another version: it is made anew")
        self.reader.close()
        await self._offload(_move_aside, self.database)
        for guide, repeating in self._guides.values():
            guide.forget()
            repeating.now()


def _row_of(channel: Channel) -> dict[str, object]:
    entry = channel.entry
    return {
        "channel": channel.id,
        "number": channel.number,
        "name": channel.name,
        "group": channel.group,
        "kind": channel.kind.value,
        "xmltv_id": channel.xmltv_id,
        "tvg_id": channel.tvg_id,
        "tvg_name": entry.tvg_name,
        "logo": bool(channel.logo),
        "guide": channel.guide,
        "shift": channel.guide_shift * 60,
        "entries": [(provider, entry.key) for provider, entry in channel.entries],
    }


def _move_aside(database: Path) -> None:
    """The newest damaged one is kept, for whoever wants to look."""
    with suppress(OSError):
        database.replace(database.with_name(database.name + ".damaged"))
    for ending in ("-wal", "-shm"):
        database.with_name(database.name + ending).unlink(missing_ok=True)
