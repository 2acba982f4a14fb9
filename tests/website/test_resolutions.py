"""What channels were resolved to, and for how long that holds."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProviderError
from iptvd.model import ProviderState, Source, SourceKind
from iptvd.website import resolutions
from iptvd.website.resolutions import BLOCKED_FOR, Resolutions


class ResolutionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.resolutions = Resolutions(self.clock, self.resolve)
        self.works: list[Deferred[Sequence[Source]]] = []
        self.cancelled = 0

    async def resolve(self, identity: str) -> Sequence[Source]:
        work: Deferred[Sequence[Source]] = Deferred()
        self.works.append(work)
        try:
            return await work
        except CancelledError:
            self.cancelled += 1
            raise

    def sources(self, name: str = "a") -> list[Source]:
        now = self.clock.seconds()
        return [
            Source(SourceKind.HLS, f"http://{name}.test/1.m3u8", expires=now + 90),
            Source(SourceKind.HLS, f"http://{name}.test/2.m3u8", expires=now + 60),
        ]

    def ask(self, identity: str = "51") -> Deferred[Sequence[Source]]:
        asked = self.resolutions.get(identity)
        assert isinstance(asked, Deferred)
        return asked

    def test_once_for_all(self) -> None:
        """Those who ask at the same moment get the same; it is resolved once."""
        waiters = [self.ask() for _ in range(5)]
        other = self.ask("52")
        self.assertEqual(len(self.works), 2)
        found = self.sources()
        self.works[0].callback(found)
        self.assertEqual([self.successResultOf(each) for each in waiters], [found] * 5)
        self.assertNoResult(other)
        self.works[1].callback(found)
        self.successResultOf(other)

    def test_kept(self) -> None:
        """It is kept until the first of the sources expires."""
        self.ask()
        self.works[0].callback(self.sources())
        self.clock.advance(59)
        self.successResultOf(self.ask())
        self.assertEqual(len(self.works), 1)
        self.clock.advance(1)
        self.assertNoResult(self.ask())
        self.assertEqual(len(self.works), 2)

    def test_forgotten(self) -> None:
        """What an origin has refused is resolved anew."""
        self.ask()
        self.works[0].callback(self.sources())
        self.resolutions.forget("51")
        self.resolutions.forget("52")
        waiter = self.ask()
        self.works[1].callback(self.sources("b"))
        self.assertEqual(self.successResultOf(waiter), self.sources("b"))

    def test_failures(self) -> None:
        """A failure is for all who wait, and the next one tries again."""
        waiters = [self.ask(), self.ask()]
        self.works[0].errback(ProviderError(ProviderState.UNREACHABLE, "no"))
        for each in waiters:
            self.failureResultOf(each, ProviderError)
        self.assertNoResult(self.ask())

    def test_blocked(self) -> None:
        """A site that refuses is left alone for a while, also when it is asked to be resolved anew."""
        waiter = self.ask()
        self.works[0].errback(ProviderError(ProviderState.BLOCKED, "no"))
        self.failureResultOf(waiter, ProviderError)
        self.resolutions.forget("51")
        self.clock.advance(BLOCKED_FOR - 1)
        error = self.failureResultOf(self.ask(), ProviderError).value
        self.assertEqual((error.state, error.sentence, len(self.works)), (ProviderState.BLOCKED, "no", 1))
        self.clock.advance(1)
        self.assertNoResult(self.ask())

    def test_one_leaves(self) -> None:
        """One who leaves takes nothing from the others; when all have left, the work ends."""
        first, second = self.ask(), self.ask()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(self.cancelled, 0)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertEqual(self.cancelled, 1)
        third = self.ask()
        self.works[1].callback(self.sources())
        self.successResultOf(third)

    def test_left_while_told(self) -> None:
        """One may leave because another was told, and one may come."""
        first, second = self.ask(), self.ask()
        first.addCallback(lambda found: second.cancel())
        came: list[Deferred[Sequence[Source]]] = []
        first.addCallback(lambda _: came.append(self.ask()))
        self.works[0].callback(self.sources())
        self.failureResultOf(second, CancelledError)
        self.assertEqual(self.successResultOf(came[0]), self.sources())

    def test_at_once(self) -> None:
        """Work that waits for nothing is told at once."""

        async def at_once(identity: str) -> Sequence[Source]:
            return self.sources()

        self.resolutions = Resolutions(self.clock, at_once)
        self.assertEqual(self.successResultOf(self.ask()), self.sources())
        self.assertEqual(self.successResultOf(self.ask()), self.sources())

    def test_faults(self) -> None:
        """A fault of ours reaches whoever waits, and the log when nobody does any more."""
        waiter = self.ask()
        self.works[0].errback(ZeroDivisionError())
        self.failureResultOf(waiter, ZeroDivisionError)

        async def stubborn(identity: str) -> Sequence[Source]:
            try:
                return await Deferred()
            except CancelledError:
                raise ZeroDivisionError from None

        self.resolutions = Resolutions(self.clock, stubborn)
        waiter = self.ask()
        with capturedLogs() as events:
            waiter.cancel()
        self.failureResultOf(waiter, CancelledError)
        self.assertEqual([event["kind"] for event in events if "kind" in event], ["ZeroDivisionError"])

    def test_bound(self) -> None:
        """Only so many are kept: those that were asked for longest ago go first."""
        self.patch(resolutions, "MOST", 2)
        for place, identity in enumerate(("1", "2", "1", "3")):
            self.ask(identity)
            if place != 2:
                self.works[-1].callback(self.sources())
        self.assertEqual(len(self.works), 3)
        self.successResultOf(self.ask("1"))
        self.assertNoResult(self.ask("2"))
