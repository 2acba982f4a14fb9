"""What is announced, told when it is about to begin and when it begins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.activity import Activity
from iptvd.epg.announced import stable_id
from iptvd.model import Event
from iptvd.reminding import LATE, MOST_CHANNELS, MOST_WAIT, SOON, Reminding
from tests.doubles import sliced
from tests.web.building import UPSTREAM, Later, entries, lineup_of

#: When the daemon starts.
BEGAN = 1_900_000_000.0
MATCH = Event("a", "Ann vs Bob", BEGAN + 1000, BEGAN + 4000, "Tennis", ("key2", "gone", "key1"))


class RemindingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(BEGAN)
        self.lineup = lineup_of(*entries(60))
        self.activity = Activity(self.clock, self.clock.seconds)
        self.first = self.activity.newest
        self.events: list[tuple[str, Event]] = [("home", MATCH)]
        self.looks = 0

    def start(self, sliced: Callable[[Iterator[object]], Awaitable[None]] = sliced) -> Reminding:
        def events() -> list[tuple[str, Event]]:
            self.looks += 1
            return self.events

        reminding = Reminding(events, lambda: self.lineup, self.activity, self.clock, sliced)
        reminding.startService()
        self.addCleanup(reminding.stopService)
        return reminding

    def pass_time(self, until: float) -> None:
        """Live through the time until so many seconds after the beginning, a second at a time."""
        while self.clock.seconds() < BEGAN + until:
            self.clock.advance(1)

    def told(self) -> list[tuple[str, str, float]]:
        """What was told: of what kind, of which event, and when after the beginning."""
        found = self.activity.since(self.first) or ()
        return [
            (each.kind.value, str(self.event(number)["title"]), each.time - BEGAN) for number, each in enumerate(found)
        ]

    def event(self, number: int) -> dict[str, object]:
        event = (self.activity.since(self.first) or ())[number].facts["event"]
        assert isinstance(event, dict)
        return event

    def test_in_time(self) -> None:
        """An event is told five minutes before it begins and when it begins, once each."""
        self.start()
        self.pass_time(3000)
        both = [("live_event_soon", "Ann vs Bob", 1000 - SOON), ("live_event_started", "Ann vs Bob", 1000.0)]
        self.assertEqual(self.told(), both)

    def test_what_is_told(self) -> None:
        """It is told with its id, as in /api/events, its times, and the channels that show it."""
        self.start()
        self.pass_time(1000)
        happening = (self.activity.since(self.first) or [])[0]
        first, second = self.lineup.channels[:2]
        self.assertEqual((happening.channel, happening.facts["provider"]), (second.id, "home"))
        self.assertEqual(
            self.event(0),
            {
                "id": stable_id("home", "a"),
                "title": "Ann vs Bob",
                "category": "Tennis",
                "start": "2030-03-17T18:03:20Z",
                "end": "2030-03-17T18:53:20Z",
                "channels": [{"id": second.id, "name": second.name}, {"id": first.id, "name": first.name}],
            },
        )

    def test_after_a_start(self) -> None:
        """What was due before the daemon started is not told again; what is due since then is."""
        self.events = [
            ("home", evolve(MATCH, key="on", title="On", start=BEGAN - 60)),
            ("home", evolve(MATCH, key="soon", title="Soon", start=BEGAN + 60)),
        ]
        self.start()
        self.pass_time(100)
        self.assertEqual(self.told(), [("live_event_started", "Soon", 60.0)])

    def test_late_news(self) -> None:
        """What is heard of late is told still, unless it is long past; what was told is not told again."""
        self.events = []
        reminding = self.start()
        self.pass_time(2000)
        self.events = [
            ("home", evolve(MATCH, key="late", title="Late", start=BEGAN + 2000 + SOON / 2)),
            ("home", evolve(MATCH, key="on", title="On", start=BEGAN + 2000 - LATE / 2)),
            ("home", evolve(MATCH, key="past", title="Past", start=BEGAN + 2000 - LATE)),
        ]
        reminding.look()
        expected = [("live_event_started", "On", 2000.0), ("live_event_soon", "Late", 2000.0)]
        self.assertEqual(self.told(), expected)
        reminding.look()
        self.assertEqual(self.told(), expected)

    def test_put_off(self) -> None:
        """An event that is put off is told anew for its new time."""
        reminding = self.start()
        self.pass_time(800)
        self.events = [("home", evolve(MATCH, start=BEGAN + 1500))]
        reminding.look()
        self.pass_time(2000)
        self.assertEqual([when for _, _, when in self.told()], [700.0, 1200.0, 1500.0])

    def test_it_rests(self) -> None:
        """Between what is due it looks rarely."""
        self.events = [
            ("home", evolve(MATCH, start=BEGAN + 10 * MOST_WAIT)),
            ("home", evolve(MATCH, start=float("nan"))),
        ]
        self.start()
        for _ in range(4):
            self.clock.advance(MOST_WAIT)
        self.assertEqual(self.looks, 5)

    def test_many(self) -> None:
        """However many channels show it, some are told; titles are cut, and hold no address."""
        keys = tuple(f"key{number}" for number in range(1, 61))
        title = f"see http://{UPSTREAM}/x " + "x" * 5000
        self.events = [("home", evolve(MATCH, channels=keys, title=title, category=title, stop=None))]
        self.start()
        self.pass_time(700)
        told = self.event(0)
        channels = told["channels"]
        assert isinstance(channels, list)
        self.assertEqual(len(channels), MOST_CHANNELS)
        self.assertLess(len(str(told["title"])), 1100)
        self.assertNotIn(UPSTREAM, str(told))
        self.assertIsNone(told["end"])

    def test_changes_meanwhile(self) -> None:
        """What changes while it looks is looked at afterwards."""
        later = Later()
        self.events = [("home", evolve(MATCH, start=BEGAN + 60 + number, key=str(number))) for number in range(250)]
        reminding = self.start(later)
        reminding.look()
        reminding.look()
        self.assertEqual((self.looks, later.begun), (1, 1))
        later.finish()
        self.assertEqual((self.looks, later.begun), (2, 2))

    def test_the_end(self) -> None:
        """When it is stopped it looks no more, even in the middle of it, and is not woken any more."""

        def waiting(steps: Iterator[object]) -> Deferred[None]:
            return Deferred()

        for run in (sliced, waiting):
            reminding = self.start(run)
            reminding.startService()
            reminding.stopService()
            reminding.look()
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_fault(self) -> None:
        """A fault is logged, and it looks again later."""
        self.events = [("home", evolve(MATCH, start="canary"))]  # type: ignore[arg-type]
        self.start()
        (failure,) = self.flushLoggedErrors()
        self.assertNotIn("canary", str(failure.value))
        self.events = [("home", evolve(MATCH, start=BEGAN + MOST_WAIT + 10))]
        self.pass_time(MOST_WAIT)
        self.assertEqual([kind for kind, _, _ in self.told()], ["live_event_soon"])
