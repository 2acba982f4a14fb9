"""``iptvctl users``: who may watch."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from iptvd.ctl.asked import Asked, asking
from iptvd.ctl.texts import listed, moment, of, plain

_SPAN = re.compile(r"([1-9][0-9]{0,4})([hdwmy])")
_HOURS = {"h": 1, "d": 24, "w": 7 * 24, "m": 30 * 24, "y": 365 * 24}
#: Bytes of a token that is made here, which are written as twice as many digits.
_TOKEN = 32


@click.group()
def users() -> None:
    """Who may watch."""


class Expiry(click.ParamType[str]):
    """A time as people write it, which becomes ISO 8601 in UTC; ``never`` becomes nothing."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read it; a day without a time lasts until its end."""
        text = str(value).strip().lower()
        if text == "never":
            return ""
        span = _SPAN.fullmatch(text)
        try:
            if span is not None:
                when = datetime.now(UTC) + timedelta(hours=int(span[1]) * _HOURS[span[2]])
            elif len(text) == 10:
                when = datetime.fromisoformat(text).astimezone() + timedelta(days=1)
            else:
                when = datetime.fromisoformat(text.upper()).astimezone()
            return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        except (ValueError, OverflowError):
            self.fail("it is such as 30d, 12h, 2027-01-31, 2027-01-31T20:00, or never", param, ctx)


@users.command()
@click.argument("name")
@click.option(
    "--password",
    prompt="Password for the pages",
    prompt_required=False,
    hide_input=True,
    confirmation_prompt=True,
    metavar="[TEXT]",
    help="With a password to log in to the pages by; it is asked for where none follows.",
)
@click.option("--expires", type=Expiry(), metavar="WHEN", help="30d, 2027-01-31, 2027-01-31T20:00, or never.")
@click.option("--max-connections", type=click.IntRange(0), metavar="N", help="Streams at once; 0 for no limit.")
@click.option("--groups", multiple=True, metavar="A,B", help="Channel groups that they see; without, all.")
@click.option("--email", metavar="TEXT", help="Where they are written to.")
@click.option("--notes", metavar="TEXT", help="What you want to remember.")
@asking
def add(asked: Asked, /, name: str, groups: tuple[str, ...], expires: str | None, **more: Any) -> None:
    """Have a new user; print the token, and the addresses to give them."""
    body: dict[str, object] = {"username": name}
    if expires is not None:
        body["expires_at"] = expires or None
    if groups:
        body["groups"] = [group.strip() for each in groups for group in each.split(",") if group.strip()]
    body |= {field: value for field, value in more.items() if value is not None}
    facts = asked.api.post("api", "users", body=body)
    asked.tell(facts, lambda: asked.facts(_ways(asked, facts)))


def is_a_person() -> bool:
    """Whether somebody is there who can be asked."""
    return sys.stdin.isatty()


def _ways(asked: Asked, facts: Any) -> Iterable[tuple[str, object]]:
    """What a user needs to watch."""
    base, name, token = asked.api.place.public, of(facts, "username"), of(facts, "token")
    yield "User", name
    yield "Token", token
    yield "Playlist", f"{base}/playlist.m3u8?token={token}"
    yield "EPG", f"{base}/epg.xml?token={token}"
    yield "Xtream", f"{base} (user {name}, password {token})"


@users.command("list")
@asking
def list_(asked: Asked) -> None:
    """Everybody."""
    facts = asked.api.get("api", "users")
    asked.tell(
        facts,
        lambda: asked.table(
            map(_user, listed(facts, "users")),
            "Name", "May watch", "Now", "At once", "Until", "Groups", "Notes",
            right=("Now", "At once"), nothing="There are no users: everybody in trusted_networks may watch.",
        ),
    )  # fmt: skip


def _user(each: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        of(each, "username"),
        _may_watch(each),
        of(each, "active_connections"),
        of(each, "max_connections") or "no limit",
        moment(of(each, "expires_at")) or "always",
        of(each, "groups") or "all",
        of(each, "notes"),
    )


def _may_watch(each: Mapping[str, Any]) -> str:
    until = of(each, "expires_at")
    try:
        over = isinstance(until, str) and datetime.fromisoformat(until).astimezone() < datetime.now(UTC)
    except (ValueError, OverflowError):
        over = False
    return "expired" if over else plain(bool(of(each, "is_active")))


@users.command()
@click.argument("name")
@asking
def show(asked: Asked, name: str) -> None:
    """All that is known of a user but the token."""
    facts = asked.api.get("api", "users", name)
    shown = {field: value for field, value in facts.items() if field != "token"} if isinstance(facts, Mapping) else {}
    times = ("expires_at", "created_at")
    asked.tell(
        shown,
        lambda: asked.facts((plain(field), moment(it) if field in times else it) for field, it in shown.items()),
    )


@users.command()
@click.argument("name", nargs=-1, required=True)
@asking
def disable(asked: Asked, name: tuple[str, ...]) -> None:
    """Let users watch no more; what they watch ends."""
    _set(asked, name, {"is_active": False}, "may not watch any more")


@users.command()
@click.argument("name", nargs=-1, required=True)
@asking
def enable(asked: Asked, name: tuple[str, ...]) -> None:
    """Let users watch again."""
    _set(asked, name, {"is_active": True}, "may watch")


def _set(asked: Asked, names: tuple[str, ...], body: Mapping[str, object], done: str) -> None:
    told = [asked.api.put("api", "users", name, body=body) for name in names]
    asked.tell(told[0] if len(told) == 1 else told, lambda: asked.line(f"{', '.join(names)} {done}."))


@users.command()
@click.argument("name")
@click.option("--new", is_flag=True, help="Make another one: the one there was is good for nothing any more.")
@asking
def token(asked: Asked, name: str, new: bool) -> None:
    """Print a user's token, and the addresses to give them."""
    if new:
        facts = asked.api.put("api", "users", name, body={"token": secrets.token_hex(_TOKEN)})
    else:
        facts = asked.api.get("api", "users", name)
    asked.tell({field: of(facts, field) for field in ("username", "token")}, lambda: asked.facts(_ways(asked, facts)))


@users.command()
@click.argument("name", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask whether that is meant.")
@asking
def remove(asked: Asked, name: tuple[str, ...], yes: bool) -> None:
    """Forget users; what they watch ends, and their tokens are good for nothing any more."""
    if not yes and is_a_person():
        click.confirm(f"Forget {plain(name)}?", abort=True, err=True)
    for each in name:
        asked.api.delete("api", "users", each)
    asked.tell({"removed": list(name)}, lambda: asked.line(f"{', '.join(name)} has been forgotten."))
