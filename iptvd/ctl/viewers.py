"""``iptvctl clients``, ``kick``, ``stats`` and ``health``: who watches, how much, and how the daemon is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from iptvd.ctl.asked import Asked, asking
from iptvd.ctl.exits import Ended, Exit
from iptvd.ctl.texts import count, duration, listed, moment, of, plain, size


@click.command()
@asking
def clients(asked: Asked) -> None:
    """Who watches."""
    facts = asked.api.get("clients")
    asked.tell(facts, lambda: show_clients(asked, facts))


def show_clients(asked: Asked, facts: Any) -> None:
    """Tell who watches."""
    asked.table(
        map(_client, listed(facts, "clients")),
        "Client", "Channel", "User", "Address", "Player", "Sent",
        right=("Sent",), keep=("Client",), nothing="Nobody watches.",
    )  # fmt: skip


def _client(each: Mapping[str, Any]) -> tuple[object, ...]:
    names = (of(each, name) for name in ("username", "ip_address", "user_agent"))
    return of(each, "client_id"), _watched(each), *names, size(of(each, "bytes_served"))


def _watched(each: Mapping[str, Any]) -> object:
    return of(each, "channel") or of(each, "stream_id")


# An id may begin with a dash.
@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("client", nargs=-1, required=True)
@asking
def kick(asked: Asked, client: tuple[str, ...]) -> None:
    """End what clients watch; "iptvctl clients" has their ids."""
    asked.tell_each([asked.api.delete("clients", each) for each in client], "It has been ended.")


@click.command()
@asking
def stats(asked: Asked) -> None:
    """How much is watched and sent."""
    facts = asked.api.get("stats")
    asked.tell(facts, lambda: asked.facts(totals(facts)))


def totals(facts: Any) -> Iterator[tuple[str, object]]:
    """What ``/stats`` tells of the daemon as a whole."""
    told = of(facts, "proxy_stats")
    yield "Up for", duration(of(told, "uptime_seconds"))
    yield "Streams", f"{count(of(told, 'active_streams'))} on air, {count(of(told, 'total_streams'))} in all"
    yield "Viewers", f"{count(of(told, 'active_clients'))} now, {count(of(told, 'total_clients'))} in all"
    yield "Sent", size(of(told, "total_bytes_served"))
    yield "Segments", count(of(told, "total_segments_served"))


@click.command()
@click.option("--detailed", is_flag=True, help="With providers, guides and what the operator should know.")
@asking
def health(asked: Asked, detailed: bool) -> None:
    """How the daemon is; exit status 1 when there is nothing that can be watched."""
    well, facts = asked.api.even_failing("health", *(["detailed"] if detailed else []))
    asked.tell(facts, lambda: _health(asked, facts))
    if not well:
        raise click.exceptions.Exit(int(Exit.REFUSED))


def _health(asked: Asked, facts: Any) -> None:
    if not isinstance(facts, Mapping):
        raise Ended(Exit.UNREACHABLE, "What answers there is not iptvd.")
    most = of(facts, "max_concurrent_streams")
    asked.facts(
        (
            ("Status", of(facts, "status")),
            ("Channels", count(of(facts, "channels_count"))),
            ("Viewers", f"{count(of(facts, 'total_active_streams'))}" + (f" of {plain(most)}" if most else "")),
            ("Up for", duration(of(facts, "uptime_seconds"))),
            ("Version", of(facts, "version")),
        )
    )
    reasons = of(facts, "reasons")
    for name, reason in reasons.items() if isinstance(reasons, Mapping) else ():
        asked.line(f"{name}: {reason}")
    for each in (*listed(facts, "providers"), *listed(facts, "guides")):
        good = moment(of(each, "last_good") or of(each, "fetched"))
        asked.line(f"{plain(of(each, 'name'))}: {plain(of(each, 'state'))}" + (f", last good {good}" if good else ""))
    notices = of(facts, "notices")
    for notice in notices if isinstance(notices, list) else ():
        asked.line(notice)
