"""What a viewer costs in memory: resident, and beside it what the kernel holds for sockets."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from bench import contenders
from bench.contenders import Contender
from bench.film import film
from bench.lab import Lab, leave, wait_until, watch
from bench.processes import Helper, socket_bytes
from bench.report import Table, share

TITLE = "memory of a viewer"

VIEWERS = 2000
RATE = 256
#: Fresh processes are measured so often at most: what a process once had it does not give back.
MOST_ROUNDS = 3


def run(lab: Lab) -> list[Table]:
    """Many viewers of one channel, shared and isolated; nginx has one connection to the origin for each anyway."""
    name = film(lab.films, RATE).stem
    path = f"/{name}/{RATE}/32768"
    _, port = lab.origin()
    viewers = lab.viewers()
    table = Table(f"{VIEWERS:,} viewers of one channel at {RATE} kbit/s, resident memory of the proxy", "KB a viewer")
    kinds: dict[str, Callable[[], Contender]] = {
        "iptvd, shared": lambda: lab.iptvd(port, [path]),
        "iptvd, isolated": lambda: lab.iptvd(port, [path], sharing="isolated"),
    }
    if contenders.present("nginx"):
        kinds = {"nginx": lambda: lab.add(contenders.nginx(lab.folder, port)), **kinds}
    kernel: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(min(lab.rounds, MOST_ROUNDS)):
        for kind, start in kinds.items():
            contender = start()
            resident, sockets, missing = _measure(contender, viewers, [path])
            contender.process.stop()
            table.add(kind, resident)
            kernel[kind].append(sockets)
            if missing:
                table.notes.append(f"{kind}: {missing} viewers got nothing")
    for kind, values in kernel.items():
        table.line(kind, f"sockets in the kernel, both ends and the origin's: {share(values, 0.5):.0f} KB a viewer")
    table.at_most("iptvd, shared", 4)
    table.at_most("iptvd, isolated", 12)
    return [table]


def _measure(contender: Contender, viewers: Helper, path: Sequence[str]) -> tuple[float, float, int]:
    """KB resident and in the kernel a viewer, beyond what the first one costs; and how many got nothing."""
    watch(viewers, contender, path)
    time.sleep(2)
    leave(viewers)
    watch(viewers, contender, path)
    time.sleep(1)
    resident, sockets = contender.process.resident(), socket_bytes()
    # The one leaves as the many come.
    viewers.ask(do="leave")
    state = watch(viewers, contender, list(path) * VIEWERS, nap=0.02)
    time.sleep(3)
    resident, sockets = contender.process.resident() - resident, socket_bytes() - sockets
    missing = VIEWERS - state["started"]
    leave(viewers)
    wait_until(viewers, lambda now: not now["open"])
    return resident / VIEWERS / 1000, sockets / VIEWERS / 1000, missing
