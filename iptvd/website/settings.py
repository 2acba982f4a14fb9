"""The settings of a website: where it is, and where on it and its players things are."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal
from zoneinfo import ZoneInfo

from attrs import Attribute, field, frozen

from iptvd.errors import ProtocolError
from iptvd.protocols.urls import split_url

_MOST_BASES = 20
_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?")
_PLACES = re.compile(r"\{[^{}]*\}")


def _bases(value: object) -> tuple[str, ...]:
    """One address or several, as text separated by white space or commas."""
    parts = re.split(r"[\s,]+", value.strip()) if isinstance(value, str) else value
    if not isinstance(parts, Sequence) or not all(isinstance(each, str) for each in parts):
        raise ValueError("the addresses of the site, such as https://tv.example.com")
    return tuple(dict.fromkeys(each.strip().rstrip("/") for each in parts if each.strip()))


def _template(*places: str) -> Callable[[object, Attribute[str], str], None]:
    """Checks that a template is the address of something, with no other places in it than these."""

    def check(_: object, attribute: Attribute[str], value: str) -> None:
        filled = _PLACES.sub(lambda found: "x" if found[0] in places else found[0], value)
        good = value.isprintable() and not any(each in filled for each in "{}\\ ")
        try:
            if not value.startswith("/"):
                split_url(filled)
        except ProtocolError:
            good = False
        if not good:
            raise ValueError(f"an address with {' and '.join(places)} in it")

    return check


@frozen
class WebsiteSettings:
    """What the provider is told."""

    base_url: tuple[str, ...] = field(
        default=(),
        converter=_bases,
        metadata={"help": "Where the site is. Several addresses are tried in order. None is known by itself."},
    )
    method: Literal["get", "post"] = field(
        default="get", metadata={"help": "The method with which the site wants its stream pages asked for."}
    )
    timezone: str = field(
        default="",
        metadata={"help": "The time zone of the schedule; without one, the one that it names, or Europe/London."},
    )
    group_by: Literal["group", "country", "tags"] = field(
        default="group", metadata={"help": "What of the table of known channels becomes the group of a channel."}
    )
    logos: str = field(
        default="/logos/{slug}.png",
        metadata={"help": "Where the site has its logos, with {slug} in it. Empty for none of them."},
    )
    stream_paths: tuple[str, ...] = field(
        default=("stream", "watch", "cast", "plus", "casting", "player"),
        metadata={"help": "The folders in which the site has its stream pages, the one to be tried first in front."},
    )
    lookup: str = field(
        default="/server_lookup.php?channel_id={key}",
        validator=_template("{key}"),
        metadata={"help": "Where a player asks for the server of its channel, on its own host."},
    )
    playlist: str = field(
        default="https://{server}new.{cdn}/{server}/{key}/mono.m3u8",
        validator=_template("{server}", "{first}", "{key}", "{cdn}"),
        metadata={"help": "Where the playlist of a channel is on its server."},
    )
    playlist_path: str = field(
        default="https://{first}.{cdn}/{server}/{key}/mono.m3u8",
        validator=_template("{server}", "{first}", "{key}", "{cdn}"),
        metadata={"help": "The same for servers with a slash in their name; {first} is what stands before it."},
    )
    cdn: str = field(
        default="",
        metadata={"help": "The host that {cdn} stands for. Without one, it is the one that the player's page names."},
    )
    verify_tls: bool = field(
        default=True,
        metadata={"help": "Whether the certificates of the site, its players and its streams must be valid."},
    )

    @base_url.validator
    def _are_bases(self, attribute: Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
        if len(value) > _MOST_BASES:
            raise ValueError(f"at most {_MOST_BASES} addresses")
        for each in value:
            try:
                good = split_url(each).userinfo is None and not re.search(r"[?#\\\s]", each)
            except ProtocolError:
                good = False
            if not good:
                raise ValueError("the addresses of the site, such as https://tv.example.com, without user and query")

    @method.validator
    def _is_a_method(self, attribute: Attribute[str], value: str) -> None:
        if value not in ("get", "post"):
            raise ValueError("get or post")

    @group_by.validator
    def _is_a_column(self, attribute: Attribute[str], value: str) -> None:
        if value not in ("group", "country", "tags"):
            raise ValueError("group, country or tags")

    @timezone.validator
    def _is_a_zone(self, attribute: Attribute[str], value: str) -> None:
        try:
            if value:
                ZoneInfo(value)
        except (ValueError, OSError, KeyError):
            raise ValueError("a time zone such as Europe/London or UTC") from None

    @logos.validator
    def _is_a_logo(self, attribute: Attribute[str], value: str) -> None:
        if value:
            _template("{slug}")(self, attribute, value)

    @stream_paths.validator
    def _are_names(self, attribute: Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
        if not isinstance(value, tuple) or not 0 < len(value) <= 20 or not all(map(_NAME.fullmatch, value)):
            raise ValueError("names of folders such as stream")

    @cdn.validator
    def _is_a_host(self, attribute: Attribute[str], value: str) -> None:
        if value and not _HOST.fullmatch(value):
            raise ValueError("the name of a host, possibly with a port")
