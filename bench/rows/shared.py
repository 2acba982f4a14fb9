"""One upstream for all viewers of a live channel, against a proxy that needs one for each."""

from __future__ import annotations

from bench.film import film
from bench.lab import Lab, cpu_per_gb, leave, watch
from bench.report import Table

TITLE = "shared, HTTP → HTTP"

VIEWERS = 200


def run(lab: Lab) -> list[Table]:
    """Many viewers of one channel, for both sizes of the origin's writes."""
    kinds = [(20000, 32768), (2000, 1316)]
    paths = {kind: f"/{film(lab.films, kind[0]).stem}/{kind[0]}/{kind[1]}" for kind in kinds}
    origin, port = lab.origin()
    viewers = lab.viewers()
    those = [*lab.peers(port, spliced=False), lab.iptvd(port, list(paths.values()))]
    tables = []
    for kind, path in paths.items():
        rate, write = kind
        title = f"{VIEWERS} viewers x {rate / 1000:g} Mbit/s of one channel, the origin writes {write:,} bytes"
        table = Table(title, "CPU s/GB")
        every = [path] * VIEWERS
        # A viewer that joins is given some seconds at once: that is over when it is measured.
        cpu_per_gb(
            lab,
            table,
            viewers,
            those,
            every,
            settle=2.0,
            nap=0.004,
            expected=VIEWERS * rate / 1000,
            busy=(origin, viewers),
        )
        table.against("iptvd", "nginx", 0.6)
        for contender in those:
            origin.ask(do="counts")
            watch(viewers, contender, every, nap=0.004)
            table.notes.append(f"{contender.name}: {origin.ask(do='counts')['most']} connections to the origin")
            leave(viewers)
        tables.append(table)
    return tables
