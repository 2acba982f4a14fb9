"""``iptvctl channels``, ``search`` and ``epg``: what there is to watch, and how the guide fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from iptvd.ctl.asked import Asked, asking
from iptvd.ctl.texts import listed, moment, number, of

#: What the API gives at once.
MOST = 500

_PAGE = click.option("--page", type=click.IntRange(1, 100_000), default=1, help="Which page; 1.")
_LIMIT = click.option(
    "--limit", type=click.IntRange(1, MOST), default=100, help=f"How many on a page; 100, up to {MOST}."
)


@click.command()
@click.option("--group", help="Those of one group.")
@click.option("--provider", help="Those of one provider.")
@click.option("--type", "kind", type=click.Choice(["live", "vod", "radio"]), help="Those of one kind.")
@click.option("--search", "words", metavar="WORDS", help="Those whose names have these words.")
@_PAGE
@_LIMIT
@asking
def channels(
    asked: Asked, group: str | None, provider: str | None, kind: str | None, words: str | None, page: int, limit: int
) -> None:
    """The channels, what is on, and whether they can be had."""
    facts = asked.api.get(
        "api", "channels", group=group, provider=provider, type=kind, q=words, offset=(page - 1) * limit, limit=limit
    )

    def people() -> None:
        found = listed(facts, "channels")
        asked.table(
            map(_channel, found), "No.", "Id", "Name", "Group", "On now", "State",
            right=("No.", "Id"), nothing="There are no such channels.",
        )  # fmt: skip
        total = int(number(of(facts, "total")))
        if len(found) < total:
            asked.line(f"Page {page} of {-(-total // limit)}: {len(found)} of {total} channels.")

    asked.tell(facts, people)


def _channel(each: Mapping[str, Any]) -> tuple[object, ...]:
    state, reason = of(each, "status", "state"), of(each, "status", "reason")
    told = f"{state}: {reason}" if reason else "" if state == "unknown" else state
    names = (of(each, name) for name in ("number", "id", "name", "group"))
    return *names, of(each, "now", "title"), of(each, "unsupported") or told


@click.command()
@click.argument("words", nargs=-1, required=True)
@click.option("--limit", type=click.IntRange(1, 200), default=50, help="How many at most; 50, up to 200.")
@asking
def search(asked: Asked, words: tuple[str, ...], limit: int) -> None:
    """Find channels, programmes and events by the beginnings of words."""
    facts = asked.api.get("api", "search", q=" ".join(words), limit=limit)
    asked.tell(
        facts,
        lambda: asked.table(
            map(_hit, listed(facts, "results")),
            "What", "Name", "Begins", "Channel", "Id",
            right=("Id",), nothing="Nothing was found.",
        ),
    )  # fmt: skip


def _hit(each: Mapping[str, Any]) -> tuple[object, ...]:
    kind, begins = of(each, "type"), "now" if of(each, "live") else moment(of(each, "start"))
    if kind == "channel":
        return kind, of(each, "name"), "", of(each, "name"), of(each, "id")
    shown = listed(each, "channels") or [of(each, "channel") or {}]
    return kind, of(each, "title"), begins, [of(one, "name") for one in shown], of(shown[0], "id")


@click.group()
def epg() -> None:
    """The guide."""


@epg.command()
@click.option("--how", type=click.Choice(["rule", "id", "name", "fuzzy"]), help="Those that were found so.")
@_PAGE
@_LIMIT
@asking
def matches(asked: Asked, how: str | None, page: int, limit: int) -> None:
    """Which guide channel was found for which channel, the least certain first."""
    facts = asked.api.get("api", "epg", "matches", how=how, offset=(page - 1) * limit, limit=limit)
    asked.tell(
        facts,
        lambda: asked.table(
            map(_match, listed(facts, "matches")),
            "Id", "Channel", "In the guide", "Guide", "How", "Score",
            right=("Id", "Score"), nothing="No channel was found in a guide.",
        ),
    )  # fmt: skip


def _match(each: Mapping[str, Any]) -> tuple[object, ...]:
    names = (of(each, name) for name in ("guide_id", "source", "how", "score"))
    return of(each, "channel", "id"), of(each, "channel", "name"), *names
