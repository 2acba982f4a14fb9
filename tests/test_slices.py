"""Long work in short turns."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.slices import Slicer


class SlicerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.slicer = Slicer(self.clock)

    def start(self, steps: Iterator[object]) -> Deferred[None]:
        return Deferred.fromCoroutine(self.slicer(steps))  # type: ignore[arg-type]

    def test_it_runs_to_the_end(self) -> None:
        """All steps are done, in order, in turns of the reactor."""
        done: list[int] = []

        def steps() -> Iterator[None]:
            for number in range(10):
                done.append(number)
                yield

        work = self.start(steps())
        self.assertNoResult(work)
        self.clock.pump([0] * 20)
        self.successResultOf(work)
        self.assertEqual(done, list(range(10)))

    def test_two_share_the_turns(self) -> None:
        """Two pieces of work go on side by side."""
        order: list[str] = []

        def steps(name: str) -> Iterator[None]:
            for _ in range(3):
                order.append(name)
                yield

        works = [self.start(steps("a")), self.start(steps("b"))]
        self.clock.pump([0] * 20)
        for work in works:
            self.successResultOf(work)
        self.assertEqual(order, ["a", "b"] * 3)

    def test_an_error_comes_out(self) -> None:
        """What a step raises is what the work fails with."""

        def steps() -> Iterator[None]:
            yield
            raise KeyError("x")

        work = self.start(steps())
        self.clock.pump([0] * 5)
        self.failureResultOf(work, KeyError)

    def test_cancelled(self) -> None:
        """Cancelled work does no further step."""
        done: list[int] = []

        def steps() -> Iterator[None]:
            while True:
                done.append(1)
                yield

        work = self.start(steps())
        work.cancel()
        self.failureResultOf(work, CancelledError)
        before = len(done)
        self.clock.pump([0] * 5)
        self.assertEqual(len(done), before)

    def test_stopped(self) -> None:
        """Work that is under way when all is stopped is cancelled, and so is what comes after."""
        work = self.start(iter(range(10**9)))
        self.slicer.stop()
        self.failureResultOf(work, CancelledError)
        self.failureResultOf(self.start(iter(())), CancelledError)
