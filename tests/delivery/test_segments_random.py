"""The segment cache under whatever viewers and origins may do, in any order."""

from __future__ import annotations

from collections.abc import Awaitable
from zlib import crc32

from attrs import define
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.locator import locate
from iptvd.delivery.opening import Ask, Opened
from iptvd.delivery.segments import SegmentCache
from iptvd.delivery.shared_body import Reader
from iptvd.delivery.shelf import Terms
from iptvd.delivery.slots import Slot, Slots
from iptvd.errors import UpstreamError
from iptvd.model import Source, SourceKind
from iptvd.protocols.m3u8 import Role
from tests.delivery.origins import Asked, Drinker

SOURCE = Source(SourceKind.HLS, url="http://origin.test/live/index.m3u8")
LIMIT = 4000
AHEAD = 64
BLOCK = 40
#: Lengths of what there is: small, as big as may be, too big; those at odd places do not tell it.
LENGTHS = (30, 200, 500, 300, 1000, 1000, 1300, 1300)


def body_of(thing: int) -> bytes:
    seed = crc32(bytes([thing]))
    return bytes((seed >> (place % 24)) + place & 0xFF for place in range(LENGTHS[thing]))


def tells_length(thing: int) -> bool:
    return thing % 2 == 0


@define(eq=False)
class Sending:
    """A request to the origin for a thing."""

    thing: int
    asked: Asked
    sent: int = 0
    failed: bool = False
    done: bool = False

    @property
    def over(self) -> bool:
        return self.failed or self.done or self.asked.cancelled or bool(self.asked.tap.stopped)

    @property
    def open(self) -> bool:
        return self.asked.reply.called and not self.done and not self.asked.tap.stopped


@define(eq=False)
class Watching:
    """A viewer's request for a thing."""

    thing: int
    work: Deferred[None] | None = None
    drinker: Drinker | None = None
    refused: bool = False
    left: bool = False


class World:
    """A cache, its origin and its viewers, and what must hold of them at any time."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.cache = SegmentCache(LIMIT, self.clock, ahead=AHEAD)
        self.slots = Slots(lambda provider: 0)
        self.sendings: list[Sending] = []
        self.viewers: list[Watching] = []

    def hold(self) -> Slot:
        slot = self.slots.take("p")
        assert slot is not None
        return slot

    # What viewers do

    def watch(self, thing: int, sip: int) -> None:
        viewer = Watching(thing)

        def fetch() -> Awaitable[Opened]:
            self.sendings.append(Sending(thing, Asked()))
            return self.sendings[-1].asked.reply

        async def play() -> None:
            locator = locate(SOURCE, f"http://origin.test/{thing}.ts")
            opened = await self.cache.open(locator, Ask(), Role.SEGMENT, Terms(8.0, "p", self.hold), fetch)
            assert opened.upstream is not None
            viewer.drinker = Drinker(opened.upstream, sip)

        def refused(failure: Failure) -> None:
            failure.trap(UpstreamError, CancelledError)
            viewer.refused = True

        self.viewers.append(viewer)
        viewer.work = Deferred.fromCoroutine(play()).addErrback(refused)

    def leave(self, viewer: Watching) -> None:
        viewer.left = True
        if viewer.drinker is not None:
            viewer.drinker.leave()
        elif viewer.work is not None:
            viewer.work.cancel()

    # What the origin does

    def answer(self, sending: Sending, well: bool) -> None:
        if sending.asked.reply.called:
            return
        if well:
            sending.asked.answer(LENGTHS[sending.thing] if tells_length(sending.thing) else None)
        else:
            sending.failed = True
            sending.asked.reply.errback(UpstreamError(502, "no"))

    def send(self, sending: Sending, blocks: int) -> None:
        body = body_of(sending.thing)
        for _ in range(blocks):
            if not sending.open or sending.asked.tap.paused:
                return
            sending.asked.tap.deliver(body[sending.sent : sending.sent + BLOCK])
            sending.sent = min(sending.sent + BLOCK, len(body))
            if sending.sent == len(body) and sending.open:
                sending.done = True
                sending.asked.tap.finish()

    def fail(self, sending: Sending) -> None:
        if sending.open:
            sending.failed = sending.done = True
            sending.asked.tap.finish(UpstreamError(502, "gone"))

    # What must hold

    def check(self) -> None:
        figures = self.cache.figures
        passing = sum(sending.open and not tells_length(sending.thing) for sending in self.sendings)
        assert figures.bytes_held <= LIMIT * 7 // 8 + (passing + len(self.viewers)) * (2 * AHEAD + BLOCK)
        assert self.cache._segments.charged <= LIMIT * 7 // 8
        assert figures.misses + figures.passed == len(self.sendings)
        # Whatever is on its way for all has a connection, and nothing has one that is not under way.
        assert figures.in_flight <= self.slots.total <= sum(not sending.over for sending in self.sendings)
        for viewer in self.viewers:
            drinker = viewer.drinker
            if drinker is None:
                continue
            body = body_of(viewer.thing)
            assert body.startswith(drinker.got)
            assert len(drinker.ends) <= 1
            if drinker.ends == [None]:
                assert drinker.got == body
            upstream = drinker.upstream
            if isinstance(upstream, Reader) and not (drinker.over or drinker.paused or viewer.left):
                # Nobody who reads waits for anything but the origin.
                assert len(drinker.got) == upstream._body.size
                assert not upstream._body._paused

    def finish(self) -> None:
        """Let everyone read and the origin send all there is."""
        for _ in range(1000):
            for viewer in self.viewers:
                if viewer.drinker is not None and not viewer.left:
                    viewer.drinker.resume()
            for sending in list(self.sendings):
                self.answer(sending, well=True)
                self.send(sending, 1)
            if not any(sending.open for sending in self.sendings):
                break
        for _ in range(50):
            for viewer in self.viewers:
                if viewer.drinker is not None and not viewer.left:
                    viewer.drinker.resume()
        failed = {sending.thing for sending in self.sendings if sending.failed}
        for viewer in self.viewers:
            if viewer.left:
                continue
            if viewer.drinker is None:
                assert viewer.refused
                assert viewer.thing in failed
                continue
            assert viewer.drinker.over
            if viewer.drinker.ends != [None]:
                # Either its origin failed, or it was too slow for what could not be kept.
                assert viewer.thing in failed or not tells_length(viewer.thing)


NUMBERS = st.integers(0, 10**6)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("watch"), st.integers(0, len(LENGTHS) - 1), st.sampled_from((0, 0, 50, 200))),
        st.tuples(st.just("leave"), NUMBERS, st.just(0)),
        st.tuples(st.just("pause"), NUMBERS, st.just(0)),
        st.tuples(st.just("resume"), NUMBERS, st.just(0)),
        st.tuples(st.just("answer"), NUMBERS, st.integers(0, 5)),
        st.tuples(st.just("send"), NUMBERS, st.integers(1, 30)),
        st.tuples(st.just("fail"), NUMBERS, st.just(0)),
        st.tuples(st.just("wait"), st.integers(1, 7), st.just(0)),
    ),
    max_size=60,
)


def take(world: World, kind: str, number: int, amount: int) -> None:
    """One step."""
    if kind == "watch":
        world.watch(number, amount)
    elif kind == "wait":
        world.clock.advance(number)
    elif kind in ("leave", "pause", "resume") and world.viewers:
        viewer = world.viewers[number % len(world.viewers)]
        if kind == "leave":
            world.leave(viewer)
        elif viewer.drinker is not None and not viewer.left:
            (viewer.drinker.pause if kind == "pause" else viewer.drinker.resume)()
    elif kind in ("answer", "send", "fail") and world.sendings:
        sending = world.sendings[number % len(world.sendings)]
        if kind == "answer":
            world.answer(sending, well=amount > 0)
        elif kind == "send":
            world.send(sending, amount)
        else:
            world.fail(sending)


class RandomTests(SynchronousTestCase):
    @settings(max_examples=200)
    @given(STEPS)
    def test_anything_may_happen(self, steps: list[tuple[str, int, int]]) -> None:
        """Whoever joins, pauses, leaves or fails, each viewer gets exactly its bytes, and nothing is left."""
        world = World()
        for step in steps:
            take(world, *step)
            world.check()
        world.finish()
        world.check()
        world.cache.clear()
        figures = world.cache.figures
        self.assertEqual((figures.bytes_held, figures.in_flight, figures.entries), (0, 0, 0))
        self.assertEqual(world.cache._segments.charged, 0)
        self.assertEqual((world.clock.getDelayedCalls(), world.slots.total), ([], 0))
        for sending in world.sendings:
            if sending.asked.reply.called and not sending.failed and not sending.asked.cancelled:
                self.assertTrue(sending.done or sending.asked.tap.stopped)

    @given(st.lists(st.tuples(st.sampled_from(("watch", "pause", "resume", "send")), NUMBERS), max_size=60))
    def test_one_request_whatever_viewers_do(self, steps: list[tuple[str, int]]) -> None:
        """However many viewers come when, pause and go on: a segment costs its origin one request."""
        world = World()
        world.watch(4, 0)
        world.answer(world.sendings[0], well=True)
        for kind, number in steps:
            if kind == "watch":
                world.watch(4, number % 100)
            else:
                take(world, kind, number, 3)
        world.finish()
        self.assertEqual(len(world.sendings), 1)
        self.assertTrue(all(viewer.drinker and viewer.drinker.got == body_of(4) for viewer in world.viewers))
        world.cache.clear()
