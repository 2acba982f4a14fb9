"""The garbage collector, held to what viewers bear."""

from __future__ import annotations

import gc
import weakref

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.garbage import AT_LAST, INTERVAL, MUCH, WHEN_IDLE, GarbageService


class Knot:
    """An object that only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


class GarbageTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.idle = True
        self.full = 0
        self.service = GarbageService(self.clock, lambda: self.idle)
        former = gc.get_threshold()
        gc.callbacks.append(self.saw)
        self.addCleanup(gc.callbacks.remove, self.saw)
        self.addCleanup(lambda: self.assertEqual(gc.get_threshold(), former))
        self.addCleanup(lambda: self.service.stopService() if self.service.running else None)
        self.service.startService()
        self.full = 0

    def saw(self, phase: str, info: dict[str, int]) -> None:
        self.full += phase == "start" and info["generation"] == 2

    def knot(self) -> weakref.ref[Knot]:
        return weakref.ref(Knot())

    def make_much(self) -> list[list[int]]:
        """So many objects that the collector has looked at the middle generation often enough."""
        kept: list[list[int]] = []
        while gc.get_count()[2] <= MUCH:
            kept += ([number] for number in range(10_000))
        return kept

    def test_what_is_new(self) -> None:
        """Garbage that is new is found within two looks, and the rest is not looked at for it."""
        knot = self.knot()
        self.clock.advance(INTERVAL)
        self.assertIsNone(knot())
        self.assertEqual(self.full, 1)
        self.assertGreater(gc.get_freeze_count(), 1000)

    def test_much_is_not_looked_at(self) -> None:
        """While much is new no full collection takes place, neither by the collector itself nor by us."""
        kept, knot = self.make_much(), self.knot()
        self.clock.advance(INTERVAL)
        self.assertEqual(self.full, 0)
        self.assertGreater(gc.get_freeze_count(), len(kept))
        self.clock.advance(INTERVAL)
        self.assertEqual(self.full, 1)
        self.assertIsNotNone(knot())
        self.clock.advance(WHEN_IDLE)
        self.assertIsNone(knot())

    def test_thorough(self) -> None:
        """What became garbage out of sight is found when nobody watches, else in the end all the same."""
        self.idle = False
        old = Knot()
        found = weakref.ref(old)
        gc.freeze()
        del old
        self.clock.pump([INTERVAL] * int(WHEN_IDLE // INTERVAL + 2))
        self.assertIsNotNone(found())
        self.clock.advance(AT_LAST)
        self.assertIsNone(found())

    def test_the_end(self) -> None:
        """Afterwards the collector is its own master again."""
        self.service.stopService()
        self.assertEqual(gc.get_freeze_count(), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
