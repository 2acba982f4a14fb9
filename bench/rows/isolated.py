"""One upstream for one viewer, plain HTTP on both sides: what passing on costs."""

from __future__ import annotations

from bench.film import film
from bench.lab import Lab, cpu_per_gb
from bench.report import Table

TITLE = "isolated, HTTP → HTTP"

#: kbit/s of each viewer in the paced measurements.
RATE = 20000


def run(lab: Lab) -> list[Table]:
    """One viewer as fast as it goes, then many paced ones, for both sizes of the origin's writes."""
    name = film(lab.films, RATE).stem
    origin, port = lab.origin()
    viewers = lab.viewers()
    kinds = [(0, 32768, 1), (RATE, 32768, 200), (0, 1316, 1), (RATE, 1316, 20)]
    paths = {(rate, write): f"/{name}/{rate}/{write}" for rate, write, _ in kinds}
    those = [*lab.peers(port), lab.iptvd(port, list(paths.values()), sharing="isolated")]
    tables = []
    for rate, write, count in kinds:
        how = f"{count} viewers x {rate // 1000} Mbit/s" if rate else "1 viewer, unpaced"
        table = Table(f"{how}, the origin writes {write:,} bytes", "CPU s/GB")
        every = [paths[rate, write]] * count
        nap = 0.004 if rate else 0.0
        cpu_per_gb(lab, table, viewers, those, every, nap=nap, expected=count * rate / 1000, busy=(origin, viewers))
        table.against("iptvd", "nginx", 1.0)
        table.against("iptvd", "HAProxy, splicing", 1.25)
        tables.append(table)
    tables[3].notes.append("20 viewers: the origin cannot write so small for more on two cores")
    return tables
