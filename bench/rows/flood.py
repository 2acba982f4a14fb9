"""What viewers notice of a storm of slow heads, endless heads or wrong logins: their rate, and how late it is."""

from __future__ import annotations

import time

from bench.film import film
from bench.lab import Lab, leave, watch
from bench.processes import Helper
from bench.report import Table, share
from bench.storm import FLOODS, LOGINS, SLOW, told

TITLE = "viewers in a storm"

VIEWERS = 100
RATE = 2000
#: Seconds that a storm has for being at its full strength.
GATHERING = 2.0
KINDS = {
    "slow": f"{SLOW:,} slow heads",
    "flood": f"{FLOODS} heads of 300 KB a second",
    "logins": f"{LOGINS} wrong logins a second",
}
ALONE = "no storm"


def run(lab: Lab) -> list[Table]:
    """Viewers of one channel, without a storm and with each kind of it."""
    path = f"/{film(lab.films, RATE).stem}/{RATE}/1316/stamped"
    _, port = lab.origin()
    viewers, storm = lab.viewers(), lab.add(Helper("storm"))
    # The limits as they are by themselves.
    contender = lab.iptvd(port, [path], settings="connections_per_address = 256\ntoken_rate = 1000")
    title = f"{VIEWERS} viewers x {RATE / 1000:g} Mbit/s of one channel"
    rates, lates = Table(f"{title}: arrived", "Mbit/s"), Table(f"{title}: origin's write → viewer's read, p99", "ms")
    seen: dict[str, str] = {}
    for _ in range(lab.rounds):
        for kind in ("", *KINDS):
            name = KINDS.get(kind, ALONE)
            watch(viewers, contender, [path] * VIEWERS, stamps=True)
            if kind:
                storm.ask(do="begin", kind=kind, port=contender.port)
            time.sleep(GATHERING)
            storm.ask(do="tell")
            begun = viewers.ask(do="anew")
            time.sleep(lab.seconds)
            ended = viewers.ask(do="latencies")
            if kind:
                seen[name] = told(storm.ask(do="end"))
            leave(viewers)
            took = (ended["now"] - begun["now"]) / 1e9
            rates.add(name, (ended["bytes"] - begun["bytes"]) * 8 / took / 1e6)
            lates.add(name, share(ended["latencies"], 0.99) / 1e6)
            if ended["ended"]:
                rates.notes.append(f"{name}: {ended['ended']} viewers were dropped")
    alone = rates.line(ALONE).median
    for name in KINDS.values():
        part = rates.line(name).median / alone
        rates.goals.append(
            f"{name} / {ALONE}: **{part:.2f}**, target ≥ 0.98: {'met' if part >= 0.98 else '**missed**'}"
        )
        rates.line(name, seen[name])
        lates.goals.append(f"{name} / {ALONE}: **{lates.line(name).median / lates.line(ALONE).median:.2f}**")
    lates.notes.append("the storm, the viewers and the origin take CPU of the same machine")
    return [rates, lates]
