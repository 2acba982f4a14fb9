"""How much later a viewer reads what the origin wrote, with many viewers; the time is in the stream."""

from __future__ import annotations

import time

from bench.film import film
from bench.lab import Lab, leave, watch
from bench.report import Table, share

TITLE = "latency added"

VIEWERS = 200
RATE = 1000


def run(lab: Lab) -> list[Table]:
    """Many viewers of one channel, by way of each contender."""
    path = f"/{film(lab.films, RATE).stem}/{RATE}/1316/stamped"
    _, port = lab.origin()
    viewers = lab.viewers()
    those = [*lab.peers(port, spliced=False), lab.iptvd(port, [path])]
    title = f"{VIEWERS} viewers x {RATE / 1000:g} Mbit/s of one channel, origin's write → viewer's read"
    middle, late = Table(f"{title}, median", "ms"), Table(f"{title}, p99", "ms")
    for _ in range(lab.rounds):
        for contender in those:
            watch(viewers, contender, [path] * VIEWERS, stamps=True)
            # What a viewer was given at the join is older.
            time.sleep(1.5)
            viewers.ask(do="anew")
            time.sleep(lab.seconds)
            found = viewers.ask(do="latencies")["latencies"]
            leave(viewers)
            middle.add(contender.name, share(found, 0.5) / 1e6)
            late.add(contender.name, share(found, 0.99) / 1e6)
    middle.at_most("iptvd", 2)
    late.at_most("iptvd", 20)
    late.notes.append("the viewers read one after the other in one process: that is part of it")
    return [middle, late]
