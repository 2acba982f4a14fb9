"""What the daemon holds at a quiet moment, seen from outside, and what it should hold no more."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from time import monotonic, sleep

from attrs import field, frozen

from tests.daemon.client import wait_for
from tests.daemon.launch import facts
from tests.daemon.playing import Playing
from tests.soak.census import TRIM, Census, read
from tests.soak.scene import Scene

#: Seconds that the last session, channel and child may take to be over once everyone has left: an HLS session that
#: was never heard of again lasts longest.
PATIENCE = 60.0
#: Seconds of quiet after that, in which caches forget, the daemon collects its garbage twice and gives back what it
#: keeps for later (`iptvd.garbage`, `iptvd.quiet`).
QUIET = 50.0


@frozen
class Load:
    """What is in use: all of it should be nothing once everyone has left."""

    sessions: int
    slots: int
    channels: int
    children: int
    upstreams: int

    @property
    def over(self) -> bool:
        """Whether nothing is."""
        return not (self.sessions or self.slots or self.channels or self.children or self.upstreams)


@frozen
class Holdings:
    """
    What was there at one quiet moment.

    :ivar load: what was still in use.
    :ivar files: how many descriptors are open, by what they lead to.
    :ivar rss: bytes.
    :ivar unbalanced: sessions that neither go on nor have an outcome.
    """

    load: Load
    zombies: int
    files: Mapping[str, int]
    rss: int
    threads: int
    unbalanced: int
    census: Census = field(repr=False)

    @property
    def open_files(self) -> int:
        """All of them."""
        return sum(self.files.values())


def load(scene: Scene) -> Load:
    """What is in use now, as the daemon tells, the system and the origins."""
    told = facts(scene.daemon)
    return Load(
        len(told["sessions"]),
        sum(each["connections"]["used"] for each in told["providers"]),
        len(told["broadcasts"]),
        len(scene.daemon.children()),
        sum(origin.running.open_requests() for origin in scene.origins),
    )


def open_files(pid: int) -> Counter[str]:
    """What a process has open: ``socket``, ``pipe``, ``anon_inode``, or the path of a file."""
    found: Counter[str] = Counter()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found[str(entry.readlink()).partition(":[")[0]] += 1
        except FileNotFoundError:
            continue
    return found


def _zombies(pid: int) -> int:
    """Children that have ended and were not waited for."""
    count = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        count += fields[0] == "Z" and int(fields[1]) == pid
    return count


def _threads(pid: int) -> int:
    found = re.search(r"^Threads:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) if found is not None else 0


def _unbalanced(daemon: Playing) -> int:
    """Sessions that began, less those that go on or have an outcome; who was refused at the door never began."""
    sums: Counter[str] = Counter()
    for (name, label), value in daemon.samples().items():
        if label != "refused":
            sums[name] += int(value)
    refused = daemon.outcomes()["refused"]
    left = sums["iptvd_sessions_started_total"] - sums["iptvd_session_outcomes_total"] - sums["iptvd_sessions_active"]
    # A session that is refused for want of a connection has begun, one that is not admitted has not.
    return 0 if 0 <= left <= refused else left


def take_census(scene: Scene, trim: bool = False) -> Census:
    """What the daemon says that it holds; see `tests.soak.census.take`."""
    if trim:
        scene.census.with_name(TRIM).touch()
    scene.census.unlink(missing_ok=True)
    os.kill(scene.daemon.pid, signal.SIGUSR2)
    return wait_for(lambda: read(scene.census), what="the daemon's count of what it holds")


def when_quiet(scene: Scene) -> Holdings:
    """
    Wait until all is over, and some time more, and look.

    What is not over after `PATIENCE` seconds is in the result.
    """
    end = monotonic() + PATIENCE
    while not load(scene).over and monotonic() < end:
        sleep(0.5)
    sleep(QUIET)
    # The count needs memory itself: before the look, so that what it leaves behind is there in every look.
    census = take_census(scene)
    daemon = scene.daemon
    return Holdings(
        load(scene),
        _zombies(daemon.pid),
        open_files(daemon.pid),
        daemon.rss(),
        _threads(daemon.pid),
        _unbalanced(daemon),
        census,
    )
