"""The segments of a packager: those that a playlist lists, those that have left it, and room for them."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.pieces import Segment
from iptvd.delivery.window import Window

#: Seconds and bytes of each segment, and the target duration that is announced.
LONG, SIZE, TARGET = 2.0, 100, 2


class WindowTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.window = Window(self.clock, 3)

    def add(self, *numbers: int, independent: bool = True, discontinuity: bool = False) -> None:
        """More segments, each of which is in a playlist when it has come."""
        for number in numbers:
            self.window.add(Segment(number, LONG, 0.0, discontinuity, independent, SIZE, b"", ()), TARGET)
            self.window.listed()

    def numbers(self) -> list[int]:
        return [segment.sequence for segment in self.window.segments]

    def test_the_newest(self) -> None:
        """The window has the newest, for as many as it is meant to have, and three target durations at least."""
        self.add(1, 2, 3, 4)
        self.assertEqual((self.numbers(), self.window.seconds), ([2, 3, 4], 3 * LONG))
        short = Window(self.clock, 1)
        for number in range(9):
            short.add(Segment(number, 1.0, 0.0, False, True, SIZE, b"", ()), TARGET)
        self.assertEqual([segment.sequence for segment in short.segments], [3, 4, 5, 6, 7, 8])

    def test_what_has_left(self) -> None:
        """What was in a playlist stays for its own and the playlist's duration, and goes with the next that comes."""
        self.add(1, 2, 3, 4)
        self.clock.advance(LONG + 3 * LONG - 0.1)
        self.add(5)
        self.assertIsNotNone(self.window.segment(1))
        self.clock.advance(0.1)
        self.add(6)
        self.assertIsNone(self.window.segment(1))
        self.assertIsNotNone(self.window.segment(2))
        self.assertEqual(self.window.size, 5 * SIZE)

    def test_never_listed(self) -> None:
        """What no playlist has named is gone as soon as it leaves."""
        for number in range(4):
            self.window.add(Segment(number, LONG, 0.0, False, True, SIZE, b"", ()), TARGET)
        self.assertIsNone(self.window.segment(0))
        self.assertEqual(self.window.size, 3 * SIZE)

    def test_room(self) -> None:
        """For room the oldest go, those that have left before those in the window, and the newest stays."""
        self.add(1, 2, 3, 4)
        self.assertFalse(self.window.make_room(3 * SIZE))
        self.assertIsNone(self.window.segment(1))
        self.assertTrue(self.window.make_room(2 * SIZE))
        self.assertEqual((self.numbers(), self.window.size), ([3, 4], 2 * SIZE))
        self.assertTrue(self.window.make_room(0))
        self.assertEqual((self.numbers(), self.window.size), ([4], SIZE))

    def test_what_a_playlist_tells(self) -> None:
        """Discontinuities that have left are counted, and what was once not independent never claims to be again."""
        self.add(1, discontinuity=True)
        self.add(2, independent=False)
        self.add(3, 4, 5)
        self.assertEqual((self.window.discontinuities, self.window.independent), (1, False))

    def test_clear(self) -> None:
        """All of it can be let go of."""
        self.add(1, 2, 3, 4)
        self.window.clear()
        self.assertEqual((self.numbers(), self.window.size, self.window.segment(4)), ([], 0, None))
