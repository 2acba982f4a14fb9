"""``iptvctl providers``: how the places that channels come from are doing, and asking them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from iptvd.ctl.asked import Asked, asking
from iptvd.ctl.texts import count, listed, moment, of

_NONE = "There are no providers."


@click.group()
def providers() -> None:
    """Where channels come from."""


@providers.command("list")
@asking
def list_(asked: Asked) -> None:
    """How each of them is doing."""
    facts = asked.api.get("api", "providers")
    asked.tell(
        facts,
        lambda: asked.table(
            map(_provider, listed(facts, "providers")),
            "Name", "Kind", "State", "Channels", "Last good", "Next", "Account", "Why",
            right=("Channels",), nothing=_NONE,
        ),
    )  # fmt: skip


def _provider(each: Mapping[str, Any]) -> tuple[object, ...]:
    names = (of(each, name) for name in ("name", "kind", "state"))
    times = (moment(of(each, name)) for name in ("last_good", "next_refresh"))
    return *names, count(of(each, "entries")), *times, _account(of(each, "account")), of(each, "sentence")


def _account(account: Any) -> str:
    if not isinstance(account, Mapping):
        return ""
    told = [str(of(account, "status") or "")]
    most = of(account, "max_connections")
    if most:
        told.append(f"{of(account, 'active_connections')} of {most} connections")
    if of(account, "expires"):
        told.append(f"until {moment(of(account, 'expires'))}")
    return ", ".join(filter(None, told))


@providers.command()
@click.argument("name", nargs=-1)
@asking
def refresh(asked: Asked, name: tuple[str, ...]) -> None:
    """Ask providers for their channels now; all of them where none is named."""
    names = name or tuple(str(of(each, "name")) for each in listed(asked.api.get("api", "providers"), "providers"))
    told = [asked.api.post("api", "providers", each, "refresh") for each in names]
    asked.tell(told, lambda: asked.line("Being asked now:", ", ".join(names)) if names else asked.line(_NONE))
