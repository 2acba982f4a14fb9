"""An origin that dies while a backup lives: how long nothing comes."""

from __future__ import annotations

import time

from bench import contenders
from bench.film import film
from bench.lab import Lab, leave, watch
from bench.processes import Helper
from bench.report import Table

TITLE = "failover to a live backup"

RATE = 8000


def run(lab: Lab) -> list[Table]:
    """The gap between two reads of a viewer, and what of it is the backup's own."""
    path = f"/{film(lab.films, RATE).stem}/{RATE}/1316"
    first, port = lab.origin()
    second, other = lab.origin()
    viewers = lab.viewers()
    urls = [(f"http://127.0.0.1:{port}{path}", f"http://127.0.0.1:{other}{path}")]
    usual = Table("the longest gap of two seconds without a failure", "ms")
    tables = [usual]
    for how, title in (("reset", "after RST"), ("end", "after EOF")):
        table = Table(f"{title}: the longest gap between two reads", "ms")
        own = Table(f"{title}: from the failure until the backup was asked", "ms")
        for _ in range(lab.rounds):
            contender = contenders.iptvd(lab.folder, urls)
            try:
                watch(viewers, contender, [path])
                time.sleep(1)
                viewers.ask(do="anew")
                time.sleep(2)
                usual.add("iptvd", _gap(viewers))
                viewers.ask(do="anew")
                broken = first.ask(do="break", how=how)
                time.sleep(2)
                table.add("iptvd", _gap(viewers))
                own.add("iptvd", (second.ask(do="counts")["asked_at"] - broken) / 1e6)
                leave(viewers)
            finally:
                contender.process.stop()
        # The backup begins at a join point and writes at once: its own time to first byte is next to nothing.
        table.at_most("iptvd", 50)
        tables += [table, own]
    tables[-1].notes.append("the backups begin at a join point, as they are asked")
    return tables


def _gap(viewers: Helper) -> float:
    return float(viewers.ask(do="tell")["gap"]) / 1e6
