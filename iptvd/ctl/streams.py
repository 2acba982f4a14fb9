"""``iptvctl streams``: streams of one's own, made and looked after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click

from iptvd.ctl.asked import Asked, asking
from iptvd.ctl.texts import count, listed, moment, of, plain, size
from iptvd.ctl.viewers import show_clients


@click.group()
def streams() -> None:
    """Streams of your own: made from a URL, played by everybody who may watch."""


def _pairs(values: Iterable[str], mark: str, option: str) -> dict[str, str]:
    """
    Names and values.

    :raises click.BadParameter: for what is not both.
    """
    found = {}
    for each in values:
        name, between, value = each.partition(mark)
        if not between or not name.strip():
            raise click.BadParameter(f"{each!r} is not NAME{mark}VALUE", param_hint=option)
        found[name.strip()] = value.strip()
    return found


@streams.command()
@click.argument("source", metavar="URL")
@click.option("--failover", "failovers", multiple=True, metavar="URL", help="What to go on with; several times.")
@click.option("--user-agent", metavar="UA", help="What the origin is asked with.")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="A header for it; several times.")
@click.option("--name", help="What it is called.")
@click.option("--metadata", multiple=True, metavar="NAME=VALUE", help="A word of your own about it; several times.")
@asking
def create(
    asked: Asked,
    source: str,
    failovers: tuple[str, ...],
    user_agent: str | None,
    headers: tuple[str, ...],
    name: str | None,
    metadata: tuple[str, ...],
) -> None:
    """Make a stream out of a URL; made twice, it is the same stream."""
    body: dict[str, object] = {"url": source}
    more = {
        "failover_urls": list(failovers),
        "user_agent": user_agent,
        "headers": _pairs(headers, ":", "--header"),
        "name": name,
        "metadata": _pairs(metadata, "=", "--metadata"),
    }
    facts = asked.api.post("streams", body=body | {field: value for field, value in more.items() if value})
    asked.tell(facts, lambda: _made(asked, facts))


def _made(asked: Asked, facts: Any) -> None:
    asked.facts(_plays_at(asked.api.place.public, facts))


def _plays_at(base: str, facts: Any) -> Iterator[tuple[str, object]]:
    yield "Stream", of(facts, "stream_id")
    told = set()
    for name, field in (("Plays at", "stream_endpoint"), ("As HLS at", "playlist_url"), ("As one at", "direct_url")):
        path = of(facts, field)
        if isinstance(path, str) and path not in told:
            told.add(path)
            yield name, base + path
    yield "Done", of(facts, "message")


@streams.command("list")
@asking
def list_(asked: Asked) -> None:
    """The streams there are."""
    facts = asked.api.get("streams")
    asked.tell(
        facts,
        lambda: asked.table(
            map(_stream, listed(facts, "streams")),
            "Stream", "Name", "Viewers", "Sent", "Errors", "Failovers", "URL",
            right=("Viewers", "Sent", "Errors", "Failovers"), keep=("Stream",), nothing="There are no streams.",
        ),
    )  # fmt: skip


def _stream(each: Mapping[str, Any]) -> tuple[object, ...]:
    others = of(each, "failover_urls")
    return (
        of(each, "stream_id"),
        of(each, "name"),
        count(of(each, "client_count")),
        size(of(each, "total_bytes_served")),
        count(of(each, "error_count")),
        count(len(others) if isinstance(others, list) else 0),
        of(each, "original_url"),
    )


@streams.command()
@click.argument("stream")
@asking
def info(asked: Asked, stream: str) -> None:
    """All that is known of a stream."""
    facts = asked.api.get("streams", stream)
    told = of(facts, "stream")

    def people() -> None:
        if isinstance(told, Mapping):
            asked.facts((plain(name), _value(name, value)) for name, value in told.items())
        show_clients(asked, facts)

    asked.tell(facts, people)


def _value(name: str, value: Any) -> object:
    if name.endswith("bytes_served"):
        return size(value)
    return moment(value) if name in ("last_access", "created_at") else value


@streams.command()
@click.argument("stream")
@asking
def failover(asked: Asked, stream: str) -> None:
    """Have a stream go on with its next source."""
    asked.tell_each([asked.api.post("streams", stream, "failover")], "It goes on with its next source.")


@streams.command()
@click.argument("stream", nargs=-1, required=True)
@asking
def delete(asked: Asked, stream: tuple[str, ...]) -> None:
    """Have streams gone; who watches one is let go."""
    asked.tell_each([asked.api.delete("streams", each) for each in stream], "It is gone.")
