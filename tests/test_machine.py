"""How busy the machine is."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path
from typing import Any

import psutil
from twisted.trial.unittest import SynchronousTestCase

from iptvd.machine import INTERVAL, Machine

Times = namedtuple("Times", ("user", "system", "idle", "iowait", "guest"))
Disk = namedtuple("Disk", ("percent",))


class MachineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 0.0
        self.times = Times(10.0, 10.0, 100.0, 0.0, 5.0)
        self.patch(psutil, "cpu_times", lambda: self.times)
        self.machine = Machine(Path("/"), lambda: self.now)

    def spend(self, seconds: float, **more: float) -> float:
        """What the load is after so long, of which the processors have spent this."""
        self.now += seconds
        self.times = Times(*(spent + more.get(name, 0.0) for name, spent in self.times._asdict().items()))
        return self.machine.look().cpu

    def test_processors(self) -> None:
        """The load is that since it was asked before; waiting for a disk is no work, and guests count once."""
        self.assertEqual(self.spend(2.0, user=1.0, idle=3.0, guest=1.0), 25.0)
        self.assertEqual(self.spend(2.0, system=1.0, idle=0.5, iowait=0.5), 50.0)

    def test_asked_often(self) -> None:
        """Who asks again at once is told the same."""
        self.spend(2.0, user=1.0, idle=1.0)
        self.assertEqual(self.spend(INTERVAL / 2, user=1.0), 50.0)
        self.assertEqual(self.spend(INTERVAL / 2, idle=3.0), 25.0)

    def test_a_clock_that_stands(self) -> None:
        """Where nothing has been counted the former load stays."""
        self.assertEqual(self.spend(10.0), 0.0)

    def test_the_rest(self) -> None:
        """Memory, disk and network are as the machine says; what it does not say is nothing."""
        load = self.machine.look()
        self.assertTrue(0 < load.memory < 100 and load.memory_used > 0 and 0 <= load.disk <= 100)
        self.patch(psutil, "disk_usage", lambda path: Disk(12.5 if path == "/" else 0.0))
        self.assertEqual(self.machine.look().disk, 12.5)

        def fails(path: str) -> Any:
            raise OSError

        self.patch(psutil, "disk_usage", fails)
        self.patch(psutil, "net_io_counters", lambda: None)
        load = self.machine.look()
        self.assertEqual((load.disk, load.sent, load.received), (0.0, 0, 0))
