"""The search for a source that works."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.candidates import FIRST_BACKOFF, MOST_ATTEMPTS, Candidates, Connected
from iptvd.delivery.opening import Opened
from iptvd.delivery.search import Search
from iptvd.delivery.slots import Slots
from iptvd.errors import UpstreamError
from iptvd.log import Fault
from iptvd.model import Channel, Source, SourceKind
from iptvd.protocols.sniff import Media
from tests.delivery.feeding import Origins
from tests.delivery.test_relay import CHANNEL
from tests.doubles import result

REFUSED = UpstreamError(502, "refused")


class SearchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.origins = Origins()
        self.slots = Slots(lambda provider: 0)
        self.found: list[Connected] = []
        self.useless = False
        self.lost = 0
        self.reasons: list[str] = []
        self.hopeless = True
        self.asked_for_hope = 0
        sources = [(name, Source(SourceKind.TS, url=f"http://origin.test/{name}")) for name in "abc"]

        async def resolve(channel: Channel) -> list[tuple[str, Source]]:
            return list(sources)

        candidates = Candidates(CHANNEL, resolve, self.origins, self.slots, self.clock, self.clock.seconds)
        result(candidates.open_best(None)).close()
        self.origins.asked.clear()
        self.search = Search(
            candidates, self.clock, lambda provider: False, self.take, self.reasons.append, self.is_hopeless
        )

    def take(self, connected: Connected) -> None:
        if self.useless:
            connected.close()
            raise UpstreamError(502, "of no use")
        if self.lost:
            self.lost -= 1
            connected.close()
            self.search.go_on(connected.index)
            return
        self.found.append(connected)

    def is_hopeless(self) -> bool:
        self.asked_for_hope += 1
        return self.hopeless

    def test_the_next(self) -> None:
        """The next source that works is found, those that fail on the way are told of, and that is the end of it."""
        self.origins.script["b"] = [REFUSED]
        self.search.go_on(0)
        self.assertEqual([each.index for each in self.found], [2])
        self.assertEqual((self.origins.asked, self.reasons), (["b", "c"], ["refused"]))
        self.assertEqual((self.slots.total, self.clock.getDelayedCalls()), (1, []))

    def test_one_at_a_time(self) -> None:
        """While one is being opened no other is."""
        waiting: Deferred[Opened] = Deferred()
        self.origins.script["b"] = [waiting]
        self.search.go_on(0)
        self.search.go_on(0)
        self.assertEqual(self.origins.asked, ["b"])
        waiting.callback(self.origins.opened(Media.TS))
        self.assertEqual([each.index for each in self.found], [1])

    def test_all_rest(self) -> None:
        """When all have failed just now, the one that may be tried soonest is waited for, once."""
        for name in "abc":
            self.origins.script[name] = [REFUSED, Media.TS]
        self.search.go_on(0)
        self.search.go_on(0)
        self.assertEqual((self.origins.asked, len(self.clock.getDelayedCalls())), (["b", "c", "a"], 1))
        self.clock.advance(FIRST_BACKOFF)
        self.assertEqual([each.index for each in self.found], [1])

    def test_of_no_use(self) -> None:
        """What is open but of no use is a failure like any other."""
        self.useless = True
        self.search.go_on(0)
        self.assertEqual((self.origins.asked, self.reasons), (["b", "c", "a"], ["of no use"] * 3))
        self.assertEqual(self.slots.total, 0)
        self.search.stop()

    def test_no_storm(self) -> None:
        """However long everything fails, there are no more attempts a minute than there may be."""
        for name in "abc":
            self.origins.script[name] = [REFUSED]
        self.hopeless = False
        self.search.go_on(0)
        for _ in range(4 * 60):
            self.clock.advance(0.25)
        self.assertLessEqual(len(self.origins.asked), MOST_ATTEMPTS + 1)
        self.assertGreater(self.asked_for_hope, 0)
        before = len(self.origins.asked)
        self.clock.pump([0.25] * 4 * 60)
        self.assertLess(before, len(self.origins.asked))
        self.hopeless = True
        self.clock.pump([0.25] * 4 * 60)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_found_and_lost_at_once(self) -> None:
        """What ends the moment it is found is followed by the next, which is given up like any other."""
        opening: Deferred[Opened] = Deferred()
        given_up: list[object] = []
        for waits in (True, False):
            if waits:
                self.origins.script["b"] = [opening]
            self.origins.script["c"] = [Deferred(given_up.append)]
            self.lost = 1
            self.search.go_on(0)
            if waits:
                opening.callback(self.origins.opened(Media.TS))
            self.assertEqual(self.origins.asked, ["b", "c"])
            self.search.stop()
            self.origins.asked.clear()
            self.origins.script.clear()
        self.assertEqual((len(given_up), self.slots.total, self.found), (2, 0, []))

    def test_stopped(self) -> None:
        """Stopped while it opens or waits, nothing is left of it; and it can be begun again."""
        given_up: list[object] = []
        self.origins.script["b"] = [Deferred(given_up.append), REFUSED]
        self.search.go_on(0)
        self.search.stop()
        self.assertEqual((len(given_up), self.slots.total, self.reasons), (1, 0, []))
        for name in "ac":
            self.origins.script[name] = [REFUSED]
        self.search.go_on(0)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.search.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.found, [])

    def test_a_fault_of_ours(self) -> None:
        """An unexpected error is logged, without what it says, and no other source is tried for it."""
        broken: Deferred[Opened] = Deferred()
        self.origins.script["b"] = [broken]
        self.search.go_on(0)
        broken.errback(ZeroDivisionError("a secret"))
        self.assertEqual((self.origins.asked, self.slots.total), (["b"], 0))
        (failure,) = self.flushLoggedErrors(Fault)
        self.assertNotIn("secret", str(failure.value))
