"""A crowd before one channel: is anybody dropped, and how late does the reactor run what is due."""

from __future__ import annotations

import time

from bench.film import film
from bench.lab import Lab, watch
from bench.report import Table

TITLE = "a crowd of one channel"

VIEWERS = 5000
RATE = 256
#: The daemon's own figures look back one minute: it has to be full of the crowd.
SECONDS = 62
LONG = 300


def run(lab: Lab) -> list[Table]:
    """All join at once and stay; the daemon's own measurement of its loop is read at the end."""
    name = film(lab.films, RATE).stem
    path = f"/{name}/{RATE}/1316"
    origin, port = lab.origin()
    viewers = lab.viewers()
    contender = lab.iptvd(port, [path])
    seconds = LONG if lab.long else SECONDS
    title = f"{VIEWERS:,} viewers of one channel at {RATE} kbit/s for {seconds} s, the origin writes 1,316 bytes"
    table = Table(f"{title}: loop lag", "ms")
    begun = time.monotonic()
    state = watch(viewers, contender, [path] * VIEWERS, nap=0.02)
    joined = time.monotonic() - begun
    storm = contender.json("/health")["loop_lag_seconds"]
    before, spent, at = viewers.ask(do="tell"), contender.process.cpu(), time.monotonic()
    time.sleep(seconds)
    after, spent, took = viewers.ask(do="tell"), contender.process.cpu() - spent, time.monotonic() - at
    lag = contender.json("/health")["loop_lag_seconds"]
    table.add("p99 of the last minute", lag["p99"] * 1000)
    table.add("worst of the last minute", lag["worst"] * 1000)
    table.add("worst while they joined", storm["worst"] * 1000)
    table.at_most("p99 of the last minute", 20)
    dropped = after["ended"] + VIEWERS - state["started"]
    told = "met" if not dropped else "**missed**"
    table.goals.append(f"dropped: **{dropped}** of {VIEWERS:,}, target none: {told}")
    rate = (after["bytes"] - before["bytes"]) * 8 / took / 1e6
    table.notes += [
        f"all had their first byte {joined:.1f} s after the first connected",
        f"{rate:.0f} of {VIEWERS * RATE / 1000:.0f} Mbit/s arrived, for {100 * spent / took:.0f} % of a core",
        f"{origin.ask(do='counts')['most']} connection to the origin",
    ]
    return [table]
