"""``iptvctl monitor``: what is on air and who watches it, anew each second."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from iptvd.ctl.asked import Asked, asking
from iptvd.ctl.exits import Ended
from iptvd.ctl.texts import count, listed, number, of, plain, rate, size
from iptvd.ctl.viewers import totals

if TYPE_CHECKING:
    from rich.console import Group

#: Lines of a frame that are no rows of its tables.
_AROUND = 10


class Rates:
    """How fast counters grow, from one frame to the next."""

    def __init__(self) -> None:
        self._last: dict[object, tuple[float, float]] = {}
        self._next: dict[object, tuple[float, float]] = {}

    def of(self, key: object, value: object, now: float) -> float | None:
        """So much a second, None for what was not there before."""
        total = number(value)
        self._next[key] = now, total
        before = self._last.get(key)
        if before is None or now <= before[0]:
            return None
        return max(0.0, (total - before[1]) / (now - before[0]))

    def over(self) -> None:
        """The frame is over: what was not in it is forgotten."""
        self._last, self._next = self._next, {}


@click.command()
@click.option("--once", is_flag=True, help="One look, and no more.")
@click.option("--interval", type=click.FloatRange(0.2, 3600), default=1.0, help="Seconds between two looks; 1.")
@asking
def monitor(asked: Asked, once: bool, interval: float) -> None:
    """What is on air and who watches it, until Ctrl-C."""
    if once:
        facts = asked.api.get("stats")
        asked.tell(facts, lambda: asked.show(frame(facts, Rates(), 0.0, 0)))
        return
    # It goes on when the daemon is not there, but does not begin so.
    facts = asked.api.get("stats")
    with suppress(KeyboardInterrupt):
        if asked.json or not asked.console.is_terminal:
            _in_lines(asked, facts, interval)
        else:
            _on_screen(asked, facts, interval)


def _looks(asked: Asked, first: Any, interval: float) -> Iterator[Any]:
    """What the daemon says each time: its facts, or the sentence of why there are none."""
    yield first
    while True:
        time.sleep(interval)
        try:
            yield asked.api.get("stats")
        except Ended as error:
            yield plain(error.message)


def _in_lines(asked: Asked, first: Any, interval: float) -> None:
    rates = Rates()
    for facts in _looks(asked, first, interval):
        if asked.json:
            asked.write_json(facts if not isinstance(facts, str) else {"error": facts}, indent=None)
        else:
            asked.show(frame(facts, rates, time.monotonic(), 0), "")


def _on_screen(asked: Asked, first: Any, interval: float) -> None:
    from rich.live import Live

    rates, console = Rates(), asked.console
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for facts in _looks(asked, first, interval):
            live.update(frame(facts, rates, time.monotonic(), max(4, console.height - _AROUND)), refresh=True)


def frame(facts: Any, rates: Rates, now: float, rows: int) -> Group:
    """
    One look.

    :param facts: what ``/stats`` said, or the sentence of why it did not.
    :param rows: of both tables together, 0 for all.
    """
    from rich.console import Group
    from rich.text import Text

    from iptvd.ctl.tables import table

    if isinstance(facts, str):
        return Group(Text(facts, style="bold red"))
    # Those that are watched most are at the top, and those that are not are the first that have no room.
    streams = sorted(listed(facts, "streams"), key=lambda each: -number(of(each, "client_count")))
    clients = listed(facts, "clients")
    line = Text("   ").join(Text.assemble((f"{name} ", "dim"), plain(value)) for name, value in totals(facts))
    names = {of(each, "stream_id"): _name(each) for each in streams}
    made = Group(
        line,
        Text(),
        table(
            _cut([_stream(each, rates, now) for each in streams], rows // 2),
            "Stream", "Viewers", "Sent", "Rate", "Errors",
            right=("Viewers", "Sent", "Rate", "Errors"), title=f"Streams: {count(len(streams))}",
        ),
        Text(),
        table(
            _cut([_client(each, names, rates, now) for each in clients], rows - rows // 2),
            "Client", "Stream", "Address", "Player", "Sent", "Rate",
            right=("Sent", "Rate"), keep=("Client",), title=f"Viewers: {count(len(clients))}",
        ),
    )  # fmt: skip
    rates.over()
    return made


def _cut(rows: list[tuple[object, ...]], most: int) -> list[tuple[object, ...]]:
    if not most or len(rows) <= most:
        return rows
    return [*rows[: most - 1], (f"and {len(rows) - most + 1} more", *[""] * (len(rows[0]) - 1))]


def _name(each: Mapping[str, Any]) -> object:
    return of(each, "name") or of(each, "stream_id")


def _stream(each: Mapping[str, Any], rates: Rates, now: float) -> tuple[object, ...]:
    sent = of(each, "total_bytes_served")
    return (
        _name(each),
        count(of(each, "client_count")),
        size(sent),
        _rate(rates.of(("stream", of(each, "stream_id")), sent, now)),
        count(of(each, "error_count")),
    )


def _client(each: Mapping[str, Any], names: Mapping[Any, object], rates: Rates, now: float) -> tuple[object, ...]:
    sent = of(each, "bytes_served")
    return (
        of(each, "client_id"),
        of(each, "channel") or names.get(of(each, "stream_id")) or of(each, "stream_id"),
        of(each, "ip_address"),
        of(each, "user_agent"),
        size(sent),
        _rate(rates.of(("client", of(each, "client_id")), sent, now)),
    )


def _rate(value: float | None) -> str:
    return rate(value) if value is not None else ""
