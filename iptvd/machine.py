"""How busy the machine is: processors, memory, disk, network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
from attrs import frozen

#: Seconds over which the processors' load is measured at least.
INTERVAL = 1.0


@frozen
class Load:
    """
    What was found.

    :ivar cpu: percent of all processors since it was asked before, and so for memory and disk.
    :ivar memory_used: bytes, as are ``sent`` and ``received``, by all of the machine since it was started.
    """

    cpu: float
    memory: float
    memory_used: int
    disk: float
    sent: int
    received: int


class Machine:
    """
    Looks.

    :param folder: on the disk that counts.
    :param clock: seconds, of which only the differences count.
    """

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._clock = clock
        self._busy, self._total = _spent()
        self._measured = clock()
        self._cpu = 0.0

    def look(self) -> Load:
        """How it is now; may wait for a disk, so it is for a thread."""
        now = self._clock()
        if now - self._measured >= INTERVAL:
            busy, total = _spent()
            if total > self._total:
                self._cpu = 100 * (busy - self._busy) / (total - self._total)
            self._busy, self._total, self._measured = busy, total, now
        memory, network = psutil.virtual_memory(), psutil.net_io_counters()
        try:
            disk = psutil.disk_usage(str(self._folder)).percent
        except OSError:
            disk = 0.0
        # There is none where no network is, as in a container without one.
        sent, received = (network.bytes_sent, network.bytes_recv) if network is not None else (0, 0)
        return Load(min(max(self._cpu, 0.0), 100.0), memory.percent, memory.used, disk, sent, received)


def _spent() -> tuple[float, float]:
    """Processor seconds since the machine was started: those at work, and all of them."""
    times = psutil.cpu_times()
    # Linux counts what guests take among what users take, too.
    named = times._asdict()
    total = sum(value for name, value in named.items() if not name.startswith("guest"))
    return total - named["idle"] - named.get("iowait", 0.0), total
