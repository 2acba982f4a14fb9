"""What it costs to know where a viewer could begin, for many channels with one viewer each."""

from __future__ import annotations

from bench.film import film
from bench.lab import Lab, cpu_per_gb
from bench.report import Table

TITLE = "following many channels"

CHANNELS = 200
RATE = 8000


def run(lab: Lab) -> list[Table]:
    """The same with join points followed all the time, and up to the first one only."""
    name = film(lab.films, RATE).stem
    tables = []
    origin, port = lab.origin()
    viewers = lab.viewers()
    paths = [f"/{name}/{RATE}/32768/{number}" for number in range(CHANNELS)]
    plain = "not followed"
    # With short rings they are full when it is measured, and take no new memory any more.
    ring = "ring_seconds = 4"
    those = [
        lab.iptvd(port, paths, name="followed", settings=ring),
        lab.iptvd(port, paths, name=plain, settings=ring, environment={"BENCH_UNFOLLOWED": "1"}),
    ]
    table = Table(f"{CHANNELS} channels x 1 viewer at {RATE // 1000} Mbit/s", "CPU s/GB")
    expected = CHANNELS * RATE / 1000
    cpu_per_gb(lab, table, viewers, those, paths, settle=5.0, nap=0.004, expected=expected, busy=(origin, viewers))
    table.against("followed", plain, 1.3)
    tables.append(table)
    return tables
