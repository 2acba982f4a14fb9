"""The table at the end: what was demanded, what there was, and whether the soak is passed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

from tests.soak.holdings import Holdings
from tests.soak.players import Progress

#: How much more open files and memory may be than at the start.
TOLERANCE = 0.05
_MIB = 1 << 20


@frozen
class Row:
    """One demand."""

    what: str
    demanded: str
    found: str
    good: bool


def held(before: Holdings, after: Holdings) -> Iterable[Row]:
    """The rows on what the daemon holds when all have left."""
    for name in ("sessions", "slots", "channels", "children", "upstreams"):
        for when, holdings in (("baseline", before), ("end", after)):
            count = getattr(holdings.load, name)
            if when == "end" or count:
                yield Row(f"{name} in use ({when})", "0", str(count), not count)
    yield Row("children not waited for", "0", str(after.zombies), not after.zombies)
    yield Row("sessions without an outcome", "0", str(after.unbalanced), not after.unbalanced)
    allowed = int(before.open_files * (1 + TOLERANCE))
    yield Row("open files", f"<= {allowed}", str(after.open_files), after.open_files <= allowed)
    more = after.rss / before.rss - 1
    demanded = f"{before.rss / _MIB:.1f} MiB +-{TOLERANCE:.0%}"
    yield Row("RSS", demanded, f"{after.rss / _MIB:.1f} MiB ({more:+.1%})", abs(more) <= TOLERANCE)


def played(player: Progress, switches: Sequence[float]) -> Iterable[Row]:
    """The rows on one player."""
    name = f"player of {player.name}"
    yield Row(f"{name}: played to the end", "yes", "no" if player.ended else "yes", not player.ended)
    stalls = f"{len(player.stalls)}, {player.worst:.1f} s at most"
    yield Row(f"{name}: stalls", "0", stalls, not player.stalls and player.played > 0)
    yield Row(f"{name}: switches of source", "> 0", str(len(switches)), bool(switches))
    faults = player.undeclared(switches)
    found = f"{len(faults)}, and {len(player.complaints) - len(faults)} at switches"
    yield Row(f"{name}: complaints", "0", found, not faults)


def table(rows: Sequence[Row]) -> str:
    """All of them, the failed ones marked."""
    heads = Row("what", "demanded", "found", True)
    widths = [max(len(getattr(row, name)) for row in (heads, *rows)) for name in ("what", "demanded", "found")]
    lines = []
    for row in (heads, *rows):
        cells = (row.what.ljust(widths[0]), row.demanded.ljust(widths[1]), row.found.ljust(widths[2]))
        mark = "" if row is heads else ("ok" if row.good else "FAILED")
        lines.append("  ".join((*cells, mark)).rstrip())
    lines.insert(1, "-" * (sum(widths) + 10))
    return "\n".join(lines)


def memory(before: Holdings, after: Holdings) -> str:
    """What tells a leak from memory that is kept for later."""
    lines = []
    for when, holdings in (("baseline", before), ("end", after)):
        census = holdings.census
        lines.append(
            f"{when}: RSS {holdings.rss / _MIB:.1f} MiB; {census.objects} objects, {census.blocks} blocks; "
            f"libc has given out {census.given_out / _MIB:.1f} MiB and keeps {census.kept / _MIB:.1f} MiB; "
            f"{holdings.threads} threads; files {dict(holdings.files)}"
        )
    growth = after.census.growth(before.census)
    lines.append("more of: " + (", ".join(f"{kind} +{count}" for kind, count in growth) or "nothing"))
    return "\n".join(lines)
