"""A segment cache whose origin the test plays."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.locator import Locator, locate
from iptvd.delivery.opening import Ask, Opened
from iptvd.delivery.segments import SegmentCache
from iptvd.delivery.shelf import Terms
from iptvd.delivery.slots import Slot, Slots
from iptvd.model import Headers, Source, SourceKind
from iptvd.protocols.m3u8 import Role
from tests.delivery.origins import Drinker, Origin, drink

SOURCE = Source(SourceKind.HLS, url="http://origin.test/live/index.m3u8")
PROVIDER = "p"
LIMIT = 8000
#: What may be kept at most of one, and of all segments.
BIGGEST = LIMIT // 4
OF_SEGMENTS = LIMIT - LIMIT // 8
LIFE = 12.0
PLAIN = Ask()


def segment(number: int) -> Locator:
    return locate(SOURCE, f"http://origin.test/live/{number}.ts")


def ranged(value: str, **others: str) -> Ask:
    return Ask(headers=(("Range", value), *((name.replace("_", "-"), other) for name, other in others.items())))


class CacheTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.origin = Origin()
        self.cache = SegmentCache(LIMIT, self.clock, ahead=100)
        self.slots = Slots(lambda provider: 0)
        self.addCleanup(self.nothing_is_left)

    def nothing_is_left(self) -> None:
        """Whatever a test did, nothing outlives the cache."""
        self.cache.clear()
        figures = self.cache.figures
        self.assertEqual((figures.bytes_held, figures.in_flight, figures.entries), (0, 0, 0))
        self.assertEqual((self.clock.getDelayedCalls(), self.slots.total), ([], 0))

    def open(
        self, which: int | Locator = 1, ask: Ask = PLAIN, role: Role = Role.SEGMENT, life: float = LIFE
    ) -> Deferred[Opened]:
        locator = segment(which) if isinstance(which, int) else which
        opening = self.cache.open(locator, ask, role, self.terms(life), self.origin.fetch)
        waiting = Deferred.fromCoroutine(opening)
        self.addCleanup(self._give_up, waiting)
        return waiting

    def _give_up(self, waiting: Deferred[Opened]) -> None:
        waiting.addErrback(lambda failure: None)
        waiting.cancel()

    def terms(self, life: float = LIFE) -> Terms:
        return Terms(life, PROVIDER, self.hold)

    def hold(self) -> Slot:
        slot = self.slots.take(PROVIDER)
        assert slot is not None
        return slot

    def opened(self, which: int = 1, ask: Ask = PLAIN, role: Role = Role.SEGMENT) -> Opened:
        """What comes without any more word of the origin."""
        return self.successResultOf(self.open(which, ask, role))

    def drunk(self, which: int = 1, ask: Ask = PLAIN, role: Role = Role.SEGMENT) -> bytes:
        """What is there, read."""
        viewer = drink(self.opened(which, ask, role))
        self.assertEqual(viewer.ends, [None])
        return viewer.got

    def keep(self, which: int, body: bytes, headers: Headers = ()) -> None:
        """Have one viewer fetch and read it."""
        waiting = self.open(which)
        self.origin.last.answer_whole(body, headers=headers)
        self.assertEqual(drink(self.successResultOf(waiting)).got, body)

    def begun(self, which: int = 1, size: int | None = BIGGEST) -> Drinker:
        """A viewer whose request is answered, with that length; none of the body has come."""
        waiting = self.open(which)
        self.origin.last.answer(size)
        return drink(self.successResultOf(waiting))

    def held(self) -> int:
        return self.cache.figures.bytes_held
