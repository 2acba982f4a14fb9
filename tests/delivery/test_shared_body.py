"""A body that arrives once and is read by many."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery import shared_body
from iptvd.delivery.shared_body import Reader, SharedBody
from iptvd.errors import UpstreamError
from iptvd.log import Fault
from iptvd.protocols.upstream import HOLD
from tests.delivery.origins import Drinker
from tests.protocols.test_upstream import Tap

AHEAD = 100


class Shelf:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def body_grew(self) -> None:
        self.told.append("grew")

    def body_finished(self) -> None:
        self.told.append("finished")

    def readers_left(self) -> None:
        self.told.append("left")


class BodyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.tap = Tap()
        self.shelf = Shelf()
        self.body = self.of(None)

    def of(self, expected: int | None) -> SharedBody:
        return SharedBody(self.tap, expected, self.shelf, self.clock, AHEAD)

    def started(self, count: int = 1, expected: int | None = None) -> list[Drinker]:
        self.body = self.of(expected)
        drinkers = [Drinker(self.body.reader()) for _ in range(count)]
        self.body.start()
        return drinkers


class SharedBodyTests(BodyTests):
    def test_the_first_byte_does_not_wait_for_the_last(self) -> None:
        """Every viewer gets each byte as it arrives, whether it came early or late."""
        first, second = self.started(2)
        self.tap.deliver(b"abc")
        late = Drinker(self.body.reader())
        self.tap.deliver(memoryview(b"def"))  # type: ignore[arg-type]
        self.assertEqual([one.got for one in (first, second, late)], [b"abcdef"] * 3)
        self.assertFalse(first.over)
        self.tap.finish()
        self.assertEqual([one.ends for one in (first, second, late)], [[None]] * 3)
        self.assertEqual(self.shelf.told, ["grew", "grew", "finished", "left"])
        self.assertEqual(self.tap.stopped, 1)

    def test_what_came_before_the_first_viewer(self) -> None:
        """What the origin sent with its head is there too."""
        self.tap.deliver(b"early")
        (viewer,) = self.started()
        self.assertEqual(viewer.got, b"early")

    def test_one_that_pauses_holds_up_nobody(self) -> None:
        """Only the viewer that pauses waits; it goes on where it was."""
        slow, quick = self.started(2)
        slow.pause()
        for _ in range(10):
            self.tap.deliver(bytes(AHEAD))
            self.assertFalse(self.tap.paused)
        self.assertEqual((len(slow.got), len(quick.got)), (0, 10 * AHEAD))
        self.tap.finish()
        self.assertEqual((slow.over, quick.over), (False, True))
        slow.resume()
        self.assertEqual((len(slow.got), slow.ends), (10 * AHEAD, [None]))

    def test_the_fetch_waits_when_all_wait(self) -> None:
        """The origin is held up when every viewer is, and not before some more is there for the quickest."""
        one, other = self.started(2)
        self.tap.deliver(b"x" * 50)
        one.pause()
        other.pause()
        self.tap.deliver(b"x" * AHEAD)
        self.assertFalse(self.tap.paused)
        self.tap.deliver(b"x")
        self.assertTrue(self.tap.paused)
        self.clock.advance(100)
        self.assertEqual(self.body.silent_for, 0)
        other.resume()
        self.assertFalse(self.tap.paused)
        self.assertEqual(len(other.got), 151)
        self.clock.advance(2)
        self.assertEqual(self.body.silent_for, 2)
        other.pause()
        self.tap.deliver(b"x" * 101)
        self.assertTrue(self.tap.paused)
        # A newcomer is not held up by them.
        self.assertEqual(len(Drinker(self.body.reader()).got), 252)
        self.assertFalse(self.tap.paused)

    def test_the_last_that_reads_leaves(self) -> None:
        """When those that are left are paused, the origin waits for them."""
        slow, quick = self.started(2)
        slow.pause()
        self.tap.deliver(b"x" * 500)
        quick.pause()
        self.tap.deliver(b"x" * 101)
        self.assertTrue(self.tap.paused)
        quick.leave()
        self.assertTrue(self.tap.paused)
        self.assertNotIn("left", self.shelf.told)
        slow.leave()
        slow.leave()
        self.assertEqual(self.shelf.told.count("left"), 1)

    def test_a_viewer_that_pauses_at_each_bite(self) -> None:
        """A viewer whose connection fills with each block gets all of it, one block each time it asks."""
        self.started()
        self.tap.deliver(b"a" * HOLD)
        self.tap.deliver(b"b" * HOLD)
        self.tap.finish()
        viewer = Drinker(self.body.reader(), sip=1)
        self.assertEqual((len(viewer.got), viewer.over), (HOLD, False))
        viewer.resume()
        self.assertEqual((viewer.got, viewer.ends), (b"a" * HOLD + b"b" * HOLD, [None]))

    def test_small_blocks_are_put_together(self) -> None:
        """What an origin sent in small pieces leaves in large ones."""

        class Counting(Drinker):
            writes = 0

            def data_received(self, data: bytes | memoryview) -> None:
                self.writes += 1
                super().data_received(data)

        self.started()
        for _ in range(200):
            self.tap.deliver(bytes(1316))
        self.tap.finish()
        viewer = Counting(self.body.reader())
        self.assertEqual(len(viewer.got), 200 * 1316)
        self.assertLessEqual(viewer.writes, 6)

    def test_before_it_is_attached(self) -> None:
        """A reader that nobody listens to yet holds its first bytes, can show them, and loses none."""
        self.started()
        reader = self.body.reader()
        first = reader.first_bytes(4)
        self.tap.deliver(b"abc")
        self.assertNoResult(first)
        self.tap.deliver(b"def" * HOLD)
        self.assertEqual(self.successResultOf(first)[:6], b"abcdef")
        self.tap.deliver(b"ghi" * HOLD)
        self.tap.finish()
        self.assertEqual(len(Drinker(reader).got), 3 + 6 * HOLD)

    def test_what_was_held_goes_first(self) -> None:
        """A viewer that pauses and goes on while it gets what was held for it gets all in order."""

        class Hasty(Drinker):
            def data_received(self, data: bytes | memoryview) -> None:
                self.upstream.pauseProducing()
                self.upstream.resumeProducing()
                super().data_received(data)

        self.started()
        reader = self.body.reader()
        for number in range(5):
            self.tap.deliver(bytes([number]) * (HOLD // 2))
        self.assertEqual(Hasty(reader).got, b"".join(bytes([number]) * (HOLD // 2) for number in range(5)))

    def test_a_short_body_before_it_is_attached(self) -> None:
        """A body that is whole before anyone listens is heard whole."""
        self.started()
        self.tap.deliver(b"abc")
        reader = self.body.reader()
        self.tap.finish()
        viewer = Drinker(reader)
        self.assertEqual((viewer.got, viewer.ends), (b"abc", [None]))
        late = Drinker(self.body.reader())
        self.assertEqual((late.got, late.ends), (b"abc", [None]))

    def test_an_empty_body(self) -> None:
        """A body without a byte ends well."""
        (viewer,) = self.started(expected=0)
        self.tap.deliver(b"")
        self.tap.finish()
        self.assertEqual((viewer.got, viewer.ends), (b"", [None]))

    def test_a_failure_midway(self) -> None:
        """When the origin breaks off, each viewer gets what there is and then the reason."""
        quick, slow = self.started(2)
        slow.pause()
        self.tap.deliver(b"abc")
        self.tap.finish(UpstreamError(502, "gone"))
        self.assertEqual((quick.got, str(quick.ends[0])), (b"abc", "gone"))
        self.assertFalse(slow.over)
        slow.resume()
        self.assertEqual((slow.got, str(slow.ends[0])), (b"abc", "gone"))

    def test_shorter_than_promised(self) -> None:
        """A body that is shorter than its head said is not whole."""
        (viewer,) = self.started(expected=5)
        self.tap.deliver(b"abc")
        self.tap.finish()
        self.assertIsInstance(viewer.ends[0], UpstreamError)

    def test_a_part(self) -> None:
        """A part of a body that is there is read like a body of its own, wherever its blocks begin."""
        self.started()
        for block in (b"abc", b"de", b"fghi"):
            self.tap.deliver(block)
        self.tap.finish()
        for start in range(9):
            for stop in range(start + 1, 10):
                viewer = Drinker(self.body.reader(start, stop), sip=1)
                while not viewer.over:
                    viewer.resume()
                self.assertEqual((viewer.got, viewer.ends), (b"abcdefghi"[start:stop], [None]))

    def test_a_part_of_large_blocks(self) -> None:
        """A part that begins within one block and ends within another is exact."""
        self.started()
        blocks = [bytes([number]) * HOLD for number in range(4)]
        for block in blocks:
            self.tap.deliver(block)
        self.tap.finish()
        start, stop = HOLD + 7, 3 * HOLD + 9
        self.assertEqual(Drinker(self.body.reader(start, stop)).got, b"".join(blocks)[start:stop])

    def test_the_end_is_told_to_one_that_is_paused(self) -> None:
        """A viewer that has had everything is told so, even while it takes nothing."""
        (viewer,) = self.started()
        self.tap.deliver(b"abc")
        viewer.pause()
        self.tap.finish()
        self.assertEqual(viewer.ends, [None])

    def test_dropped(self) -> None:
        """Who still reads a body that is dropped is told why; nothing is kept, and the origin is left."""
        one, other = self.started(2)
        other.pause()
        self.tap.deliver(b"abc")
        self.body.drop(UpstreamError(503, "stopping"))
        self.assertEqual([str(viewer.ends[0]) for viewer in (one, other)], ["stopping"] * 2)
        self.assertEqual((self.body.held, self.tap.stopped, self.body.over), (0, 1, True))
        self.tap.deliver(b"late")
        self.body.body_ended(None)
        self.assertEqual((self.body.held, len(one.ends)), (0, 1))

    def test_one_end_brings_another(self) -> None:
        """A viewer may leave because of how another's ended."""

        class Attached(Drinker):
            def body_ended(self, error: UpstreamError | None) -> None:
                super().body_ended(error)
                other.leave()

        self.body = self.of(None)
        first = Attached(self.body.reader())
        other = Drinker(self.body.reader())
        self.body.start()
        self.body.drop(UpstreamError(503, "stopping"))
        self.assertEqual((len(first.ends), other.ends), (1, []))

    def test_a_body_that_passes(self) -> None:
        """What may not be kept is dropped as it is read, and waits for its viewer."""
        (viewer,) = self.started()
        self.tap.deliver(bytes(1000))
        self.body.let_pass()
        self.tap.deliver(bytes(1000))
        self.assertEqual(self.body.held, 0)
        viewer.pause()
        total = 2000
        while not self.tap.paused:
            self.tap.deliver(bytes(30))
            total += 30
        self.assertEqual(self.body.held, 120)
        viewer.resume()
        self.tap.deliver(b"end")
        self.tap.finish()
        self.assertEqual((len(viewer.got), viewer.ends, self.body.held), (total + 3, [None], 0))

    def test_one_that_falls_behind_what_passes(self) -> None:
        """Of what may not be kept, a viewer that falls too far behind another is ended, and the other reads on."""
        slow, quick = self.started(2)
        slow.pause()
        self.body.let_pass()
        self.tap.deliver(bytes(AHEAD))
        self.assertFalse(slow.over)
        self.tap.deliver(b"x")
        self.assertEqual((len(slow.ends), len(quick.got), self.body.held), (1, AHEAD + 1, 0))
        self.assertFalse(self.tap.paused)

    def test_many_viewers_are_served_in_turns(self) -> None:
        """With more viewers than fit into one turn of the reactor, the rest follow in the next, and all get all."""
        ticks = iter(range(10**6))
        self.patch(shared_body, "perf_counter", lambda: next(ticks) * 0.004)
        viewers = self.started(8)
        self.tap.deliver(b"abc")
        served = sum(bool(viewer.got) for viewer in viewers)
        self.assertTrue(0 < served < 8)
        self.tap.deliver(b"def")
        self.tap.finish()
        while self.clock.getDelayedCalls():
            self.clock.advance(0)
        self.assertEqual([(viewer.got, viewer.ends) for viewer in viewers], [(b"abcdef", [None])] * 8)

    def test_more_comes_while_it_is_handed_on(self) -> None:
        """What comes because a viewer took something reaches all in order, and leaves no turn behind."""
        ticks = iter(range(10**6))
        self.patch(shared_body, "perf_counter", lambda: next(ticks) * 0.004)
        tap = self.tap

        class Eager(Drinker):
            def data_received(self, data: bytes | memoryview) -> None:
                super().data_received(data)
                if len(self.got) < 12:
                    tap.deliver(b"abc")

        viewers = self.started(4)
        eager = Eager(self.body.reader())
        tap.deliver(b"abc")
        while self.clock.getDelayedCalls():
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
            self.clock.advance(0)
        self.assertEqual([viewer.got for viewer in (*viewers, eager)], [b"abc" * 4] * 5)

    def test_dropped_between_turns(self) -> None:
        """A body that is dropped while some wait for their turn leaves nothing to be done."""
        ticks = iter(range(10**6))
        self.patch(shared_body, "perf_counter", lambda: next(ticks) * 0.004)
        viewers = self.started(8)
        self.tap.deliver(b"abc")
        self.body.drop(UpstreamError(503, "stopping"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual([len(viewer.ends) for viewer in viewers], [1] * 8)

    def test_a_viewer_that_cannot_be_fed(self) -> None:
        """What goes wrong with one viewer's connection is logged, and none of the others' business."""

        class Broken(Drinker):
            def data_received(self, data: bytes | memoryview) -> None:
                raise ValueError("broken")

        (viewer,) = self.started()
        Broken(self.body.reader())
        self.tap.deliver(b"abc")
        self.tap.deliver(b"def")
        self.assertEqual(viewer.got, b"abcdef")
        self.assertEqual(len(self.flushLoggedErrors(Fault)), 1)

    def test_leaving_in_the_middle(self) -> None:
        """A viewer may leave, and resume, while it is being fed."""

        class Leaving(Drinker):
            def data_received(self, data: bytes | memoryview) -> None:
                super().data_received(data)
                self.upstream.pauseProducing()
                self.upstream.resumeProducing()
                if len(self.got) > HOLD:
                    self.upstream.stopProducing()

        self.started()
        for _ in range(3):
            self.tap.deliver(bytes(HOLD))
        self.tap.finish()
        reader = self.body.reader()
        viewer = Leaving(reader)
        self.assertEqual((len(viewer.got), viewer.ends), (2 * HOLD, []))
        self.assertIsInstance(reader, Reader)
        reader.resumeProducing()
        reader.pauseProducing()
        self.assertEqual(len(viewer.got), 2 * HOLD)
