"""What is given back when nobody watches, and when that is."""

from __future__ import annotations

from unittest import mock

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.quiet import AGAIN, INTERVAL, PATIENCE, QuietService, give_back_memory


class QuietTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.idle = True
        self.given: list[str] = []
        calls = (lambda: self.given.append("pipes"), lambda: self.given.append("memory"))
        self.service = QuietService(self.clock, lambda: self.idle, calls)
        self.service.startService()

    def look(self, times: int) -> None:
        self.clock.pump([INTERVAL] * times)

    def test_when_nobody_watches(self) -> None:
        """Once nobody has watched for a while everything is given back, and not again right after."""
        self.look(PATIENCE - 1)
        self.assertEqual(self.given, [])
        self.look(AGAIN)
        self.assertEqual(self.given, ["pipes", "memory"])
        self.look(1)
        self.assertEqual(self.given, ["pipes", "memory"] * 2)

    def test_while_somebody_watches(self) -> None:
        """While somebody watches nothing is given back, however long that is; a short pause changes nothing."""
        self.idle = False
        self.look(2 * AGAIN)
        self.idle = True
        self.look(PATIENCE - 1)
        self.idle = False
        self.look(1)
        self.idle = True
        self.look(PATIENCE - 1)
        self.assertEqual(self.given, [])
        self.look(1)
        self.assertEqual(self.given, ["pipes", "memory"])

    def test_the_end(self) -> None:
        """Nothing is left behind when the daemon stops, and it can be started again."""
        self.service.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.service.startService()
        self.look(PATIENCE)
        self.assertEqual(self.given, ["pipes", "memory"])
        self.service.stopService()


class MemoryTests(SynchronousTestCase):
    def test_what_libc_keeps(self) -> None:
        """libc is asked to keep nothing; one that cannot give back is left alone."""
        libc = mock.Mock()
        with mock.patch("ctypes.CDLL", return_value=libc):
            give_back_memory()
        libc.malloc_trim.assert_called_once_with(0)
        with mock.patch("ctypes.CDLL", return_value=object()):
            give_back_memory()
        with mock.patch("ctypes.CDLL", side_effect=OSError):
            give_back_memory()
