"""What providers announce: each one's schedule, fetched every few minutes, its last good state kept on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random

from attrs import asdict, define, field
from twisted.application.service import MultiService
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from iptvd.errors import ProviderError, StoreError
from iptvd.interfaces import IScheduled
from iptvd.log import Log
from iptvd.model import Event, ProviderState, Schedule
from iptvd.refresh import SLOW_RETRY, backoff
from iptvd.repeating import Repeating
from iptvd.store import RowsFile

#: Seconds until a failed fetch is tried again, doubled with each failure in a row, up to the interval.
FIRST_RETRY = 60.0
#: Events of one provider that are kept: the first.
MOST = 20_000


@define
class ScheduleStatus:
    """
    What is known of a provider's schedule now.

    :ivar sentence: why the state is what it is; empty when it is ok.
    :ivar last_good: when the events in use were fetched, in seconds since the epoch, or None.
    """

    name: str
    state: ProviderState = ProviderState.LOADING
    sentence: str = ""
    events: int = 0
    last_good: float | None = None
    failures: int = 0
    skipped: Mapping[str, int] = field(factory=dict)


class Announcer:
    """
    One provider's schedule.

    :ivar events: the last good ones.
    :ivar provider: what it asks.
    :ivar interval: seconds between two fetches.
    :param changed: called when ``events`` has become another list.
    """

    log = Log()

    def __init__(
        self,
        name: str,
        provider: IScheduled,
        file: RowsFile,
        clock: IReactorTime,
        wall: Callable[[], float],
        interval: float,
        changed: Callable[[], None],
        random: Random,
    ) -> None:
        self.status = ScheduleStatus(name)
        self.events: list[Event] = []
        self.provider = provider
        self.interval = interval
        self._file = file
        self._wall = wall
        self._changed = changed
        self.service = Repeating(f"schedule of {name}", self._round, clock, random, self._load)

    async def _load(self) -> None:
        found: list[Event] = []

        def take(row: object) -> None:
            if not isinstance(row, dict):
                raise TypeError("an event is an object")
            row["channels"] = tuple(row["channels"])
            found.append(Event(**row))

        try:
            fetched = await self._file.load_dated(take)
        except StoreError as error:
            aside = self._file.set_aside()
            self.log.error(
                "{provider}: the kept events are set aside as {aside}: {reason}",
                provider=self.status.name,
                aside=str(aside),
                reason=error.sentence,
            )
            return
        if fetched is not None:
            self.events = found
            self.status.state, self.status.sentence = ProviderState.STALE, "not refreshed since the start yet"
            self.status.events, self.status.last_good = len(found), fetched
            self._changed()

    async def _round(self) -> float:
        status = self.status
        try:
            schedule = await self.provider.schedule()
        except ProviderError as error:
            return self._failed(error.state, error.sentence)
        except CancelledError:
            raise
        except Exception:
            self.log.fault("{provider}: a fault of ours or of the plugin", Failure(), provider=status.name)
            return self._failed(
                ProviderState.NOT_UNDERSTOOD, "its schedule was not understood; the log has the details"
            )
        now = self._wall()
        events = _first_of_each(schedule)
        status.state, status.sentence, status.failures = ProviderState.OK, "", 0
        status.events, status.last_good, status.skipped = len(events), now, dict(schedule.skipped)
        if events != self.events:
            self.events = events
            self._changed()
        try:
            await self._file.save_dated(now, map(asdict, events))
        except StoreError as error:
            self.log.error("{provider}: {reason}", provider=status.name, reason=error.sentence)
        return self.interval

    def _failed(self, state: ProviderState, sentence: str) -> float:
        status = self.status
        status.failures += 1
        if (state, sentence) != (status.state, status.sentence):
            self.log.warn(
                "{provider}: its schedule: {state}: {reason}",
                provider=status.name,
                state=state.value,
                reason=sentence,
            )
        status.state, status.sentence = state, sentence
        if state in (ProviderState.UNCONFIGURED, ProviderState.BLOCKED):
            # However often schedules are asked for: only a person can mend it.
            return max(SLOW_RETRY, self.interval)
        return backoff(FIRST_RETRY, status.failures, self.interval)


def _first_of_each(schedule: Schedule) -> list[Event]:
    """The events, one for each key, at most `MOST`."""
    found: dict[str, Event] = {}
    for event in schedule.events:
        if len(found) >= MOST:
            break
        found.setdefault(event.key, event)
    return list(found.values())


class EventService(MultiService):
    """
    The schedules of all providers that have one.

    :param rows: gives the file that a provider's events are kept in, by the provider's name.
    :param changed: called whenever any of them has changed.
    """

    def __init__(
        self,
        rows: Callable[[str], RowsFile],
        clock: IReactorTime,
        wall: Callable[[], float],
        changed: Callable[[], None],
        random: Random,
    ) -> None:
        super().__init__()
        self._rows = rows
        self._clock = clock
        self._wall = wall
        self._changed = changed
        self._random = random
        self._announcers: dict[str, Announcer] = {}

    def configure(self, providers: Mapping[str, object], interval: float) -> None:
        """Follow these providers, as far as they are `IScheduled`; what did not change goes on."""
        former, self._announcers = self._announcers, {}
        for name, provider in providers.items():
            present = former.get(name)
            if present is not None and present.provider is provider and present.interval == interval:
                self._announcers[name] = former.pop(name)
            elif IScheduled.providedBy(provider):
                self._announcers[name] = self._announcer(name, provider, interval)
        for announcer in former.values():
            announcer.service.disownServiceParent()
        for announcer in self._announcers.values():
            if announcer.service.parent is None:
                announcer.service.setServiceParent(self)
        if former:
            self._changed()

    def _announcer(self, name: str, provider: IScheduled, interval: float) -> Announcer:
        return Announcer(
            name,
            provider,
            self._rows(name),
            self._clock,
            self._wall,
            interval,
            self._changed,
            self._random,
        )

    @property
    def statuses(self) -> list[ScheduleStatus]:
        """How each schedule is doing."""
        return [announcer.status for announcer in self._announcers.values()]

    def refresh(self) -> None:
        """Fetch every schedule now."""
        for announcer in self._announcers.values():
            announcer.service.now()

    def all(self) -> Iterator[tuple[str, Event]]:
        """Each event with its provider's name, in the order of the settings."""
        for name, announcer in self._announcers.items():
            for event in announcer.events:
                yield name, event
