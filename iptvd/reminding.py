"""Says when what providers announce is about to begin, and when it begins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from iptvd.activity import Activity, Kind
from iptvd.epg.announced import LONGEST_TITLE, stable_id
from iptvd.lineup import Lineup
from iptvd.log import Log
from iptvd.model import Channel, Event
from iptvd.public import moment, without_urls

#: Seconds before its beginning that an event is soon.
SOON = 300.0
#: Seconds after its beginning that it is worth telling, where it was not known before.
LATE = 600.0
#: Seconds between two looks at most: a machine may have slept, or its clock been set.
MOST_WAIT = 900.0
#: Seconds between two looks at least.
LEAST_WAIT = 1.0
#: Channels that are told of one event.
MOST_CHANNELS = 50

#: What there is to say of an event: what, of whose, which, and for which time it was announced.
_Due = tuple[Kind, str, str, float]


class Reminding(Service):
    """
    Looks at what is announced whenever that has changed, and again when the next thing is due.

    Each thing is said once, of what was due after the start; what is put off to another time is announced anew.

    :param events: gives the events as they are now, each with its provider's name.
    :param lineup: gives the lineup as it is now.
    :param sliced: see `iptvd.slices.Slicer`.
    """

    log = Log()

    def __init__(
        self,
        events: Callable[[], Iterable[tuple[str, Event]]],
        lineup: Callable[[], Lineup],
        activity: Activity,
        clock: IReactorTime,
        sliced: Callable[[Iterator[object]], Awaitable[None]],
    ) -> None:
        self.setName("reminding")
        self._events = events
        self._lineup = lineup
        self._activity = activity
        self._clock = clock
        self._sliced = sliced
        self._began = activity.now
        self._said: set[_Due] = set()
        # When there will be something to say.
        self._coming = 0.0
        self._timer: IDelayedCall | None = None
        self._work: Deferred[Any] | None = None
        self._again = False

    def startService(self) -> None:
        """Look for the first time."""
        if not self.running:
            super().startService()
            self._began = self._activity.now
            self.look()

    def stopService(self) -> Deferred[Any] | None:
        """Say nothing more."""
        super().stopService()
        self._forget_timer()
        work, self._work = self._work, None
        if work is not None:
            work.cancel()
        return work

    def look(self) -> None:
        """See what is due now, and when the next thing will be; called meanwhile, once more afterwards."""
        if not self.running:
            return
        if self._work is not None:
            self._again = True
            return
        self._again = False
        self._forget_timer()
        work: Deferred[Any] = Deferred.fromCoroutine(self._look())
        if not work.called:
            self._work = work

        def fault(failure: Failure) -> float:
            self.log.fault("what is announced could not be looked at", failure)
            return MOST_WAIT

        def plan(wait: float | None) -> None:
            self._work = None
            if wait is not None and self.running:
                self._timer = self._clock.callLater(wait, self.look)
            if self._again:
                self.look()

        work.addErrback(lambda failure: failure.trap(CancelledError) and None)
        work.addErrback(fault)
        work.addCallback(plan)

    def _forget_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    async def _look(self) -> float:
        """Say what is due; gives the seconds until the next look."""
        now = self._activity.now
        due: list[tuple[Kind, str, Event]] = []
        self._coming = now + MOST_WAIT
        # All at once: the providers may be others in the middle of it.
        await self._sliced(self._sort_out(list(self._events()), now, due))
        shown_on: dict[tuple[str, str], Channel] = {}
        wanted = {(provider, key) for _, provider, event in due for key in event.channels}
        if wanted:
            await self._sliced(_find_channels(wanted, self._lineup(), shown_on))
        for kind, provider, event in sorted(due, key=lambda each: each[2].start):
            self._said.add((kind, provider, event.key, event.start))
            self._say(kind, provider, event, shown_on)
        return max(LEAST_WAIT, self._coming - now)

    def _sort_out(
        self, events: Iterable[tuple[str, Event]], now: float, due: list[tuple[Kind, str, Event]]
    ) -> Iterator[None]:
        """What is to be said now, and when there will be something to say."""
        self._said = {each for each in self._said if now < each[3] + LATE}
        for number, (provider, event) in enumerate(events):
            start = event.start
            for kind, begins, ends in (
                (Kind.LIVE_EVENT_SOON, start - SOON, start),
                (Kind.LIVE_EVENT_STARTED, start, start + LATE),
            ):
                if begins > now:
                    self._coming = min(self._coming, begins)
                elif self._began < begins and now < ends and (kind, provider, event.key, start) not in self._said:
                    due.append((kind, provider, event))
            if number % 100 == 99:
                yield

    def _say(self, kind: Kind, provider: str, event: Event, shown_on: Mapping[tuple[str, str], Channel]) -> None:
        found = (shown_on.get((provider, key)) for key in event.channels)
        channels = {channel.id: channel.name for channel in found if channel is not None}
        told = {
            "id": stable_id(provider, event.key),
            "title": without_urls(event.title[:LONGEST_TITLE]),
            "category": without_urls(event.category[:LONGEST_TITLE]),
            "start": moment(event.start),
            "end": moment(event.stop),
            "channels": [{"id": each, "name": channels[each]} for each in list(channels)[:MOST_CHANNELS]],
        }
        self._activity.tell(kind, next(iter(channels), 0), event=told, provider=provider)


def _find_channels(
    wanted: set[tuple[str, str]], lineup: Lineup, into: dict[tuple[str, str], Channel]
) -> Iterator[None]:
    """The channels that stand for some providers' entries."""
    for number, channel in enumerate(lineup.channels):
        for provider, entry in channel.entries:
            if (provider, entry.key) in wanted:
                into[provider, entry.key] = channel
        if number % 100 == 99:
            yield
