"""What providers announce, over months."""

from __future__ import annotations

from pathlib import Path
from random import Random

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from iptvd.errors import ProviderError
from iptvd.events import FIRST_RETRY, MOST, EventService
from iptvd.interfaces import IScheduled
from iptvd.model import Event, ProviderState, Schedule
from iptvd.refresh import SLOW_RETRY
from iptvd.repeating import JITTER
from iptvd.store import RowsFile
from tests.doubles import folder_for, offload, sliced

MATCH = Event("a", "Ann vs Bob", 1000.0, None, "Tennis", ("1", "2"))
RACE = Event("b", "Race", 2000.0, 3000.0)
INTERVAL = 900.0


@implementer(IScheduled)
class Announcing:
    """Gives what its script says, one thing a fetch; the last again and again."""

    def __init__(self, *script: Schedule | Exception) -> None:
        self.script = list(script)
        self.fetches = 0

    async def schedule(self) -> Schedule:
        self.fetches += 1
        now = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(now, Exception):
            raise now
        return now


class EventServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.folder = folder_for(self)
        self.changes = 0

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.rows"

    def service(self, **providers: object) -> EventService:
        service = EventService(
            lambda name: RowsFile(self.path(name), "events 1", sliced, offload),
            self.clock,
            self.clock.seconds,
            self.changed,
            Random(1),
        )
        service.configure(providers, INTERVAL)
        service.startService()
        self.addCleanup(service.stopService)
        return service

    def changed(self) -> None:
        self.changes += 1

    def test_all_that_is_announced(self) -> None:
        """The events of every provider that has any are there, each with whose it is."""
        service = self.service(
            one=Announcing(Schedule([MATCH], {"no title": 2})), none=object(), two=Announcing(Schedule([RACE, RACE]))
        )
        self.assertEqual(list(service.all()), [("one", MATCH), ("two", RACE)])
        first, second = service.statuses
        self.assertEqual((first.name, first.state, first.events), ("one", ProviderState.OK, 1))
        self.assertEqual((first.skipped, second.events), ({"no title": 2}, 1))
        self.assertEqual(self.changes, 2)

    def test_it_goes_on(self) -> None:
        """They are fetched again and again; those who show them are told only of what is new."""
        provider = Announcing(Schedule([MATCH]), Schedule([MATCH]), Schedule([RACE]))
        service = self.service(one=provider)
        for fetches, changes in ((2, 1), (3, 2)):
            self.clock.advance(INTERVAL * (1 + JITTER))
            self.assertEqual((provider.fetches, self.changes), (fetches, changes))
        self.assertEqual(list(service.all()), [("one", RACE)])

    def test_a_failure_loses_nothing(self) -> None:
        """What was announced before stays, the reason is told, and it is tried again soon."""
        failure = ProviderError(ProviderState.NOT_UNDERSTOOD, "schedule, shape S1: it is HTML")
        provider = Announcing(Schedule([MATCH]), failure, failure, RuntimeError("x"), Schedule([MATCH]))
        service = self.service(one=provider)
        (status,) = service.statuses
        self.clock.advance(INTERVAL * (1 + JITTER))
        self.assertEqual((status.state, status.sentence), (failure.state, failure.sentence))
        self.assertEqual((list(service.all()), status.last_good), ([("one", MATCH)], 0.0))
        self.clock.advance(FIRST_RETRY * (1 + JITTER))
        self.assertEqual((provider.fetches, status.failures), (3, 2))
        self.clock.advance(2 * FIRST_RETRY * (1 + JITTER))
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.assertEqual((status.state, status.failures), (ProviderState.NOT_UNDERSTOOD, 3))
        self.clock.advance(4 * FIRST_RETRY * (1 + JITTER))
        self.assertEqual((status.state, status.sentence, status.failures), (ProviderState.OK, "", 0))

    def test_a_refusal(self) -> None:
        """A site that does not want us is not asked again soon."""
        refusal = ProviderError(ProviderState.BLOCKED, "the site refuses with status 403")
        provider = Announcing(refusal, Schedule([MATCH]))
        (status,) = self.service(one=provider).statuses
        self.clock.advance(SLOW_RETRY * (1 - JITTER) - 1)
        self.assertEqual((provider.fetches, status.state), (1, ProviderState.BLOCKED))
        self.clock.advance(2 * SLOW_RETRY * JITTER + 2)
        self.assertEqual((provider.fetches, status.state), (2, ProviderState.OK))

    def test_over_a_restart(self) -> None:
        """They are there again at once after a restart, before the provider was asked."""
        self.service(one=Announcing(Schedule([MATCH, RACE])))
        service = self.service(one=Announcing(ProviderError(ProviderState.UNREACHABLE, "it does not answer")))
        self.assertEqual(list(service.all()), [("one", MATCH), ("one", RACE)])
        (status,) = service.statuses
        self.assertEqual((status.state, status.last_good, status.events), (ProviderState.UNREACHABLE, 0.0, 2))

    def test_a_damaged_file(self) -> None:
        """A file that is damaged is set aside, and the events are fetched anew."""
        self.path("one").write_text("damaged")
        service = self.service(one=Announcing(Schedule([MATCH])))
        self.assertEqual(list(service.all()), [("one", MATCH)])
        self.assertTrue(self.path("one").with_name("one.rows.damaged").exists())

    def test_other_settings(self) -> None:
        """A provider that stays is not asked again; one that is gone takes its events along."""
        stays, goes, comes = (Announcing(Schedule([evolve(MATCH, key=key)])) for key in "abc")
        service = self.service(stays=stays, goes=goes)
        service.configure({"stays": stays, "comes": comes}, INTERVAL)
        self.assertEqual([name for name, _ in service.all()], ["stays", "comes"])
        self.assertEqual((stays.fetches, comes.fetches), (1, 1))
        service.refresh()
        self.assertEqual((stays.fetches, goes.fetches, comes.fetches), (2, 1, 2))

    def test_a_bound(self) -> None:
        """However many a provider announces, only so many are kept."""
        events = [evolve(RACE, key=str(number)) for number in range(MOST + 5)]
        service = self.service(one=Announcing(Schedule(events)))
        self.assertEqual(len(list(service.all())), MOST)
