"""Every plain setting as a table: what it is called where, what it takes, and what it is without a word."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import attrs
from attrs import frozen

from iptvd.settings import PREFIX, Config
from iptvd.values import Form


@frozen
class Setting:
    """
    One plain setting: a field of `Config` other than rules, webhooks and providers.

    :ivar env: its name in the environment.
    :ivar option: its option, or empty.
    :ivar default: its default, for ``state_dir`` a factory.
    :ivar default_text: its default in Markdown.
    :ivar secret: whether it may hold a password.
    """

    name: str
    help: str
    form: Form[Any]
    env: str
    option: str
    default: Any
    default_text: str
    secret: bool = False


def shown(value: object) -> str:
    """A value as it is shown to a user, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return " ".join(map(shown, value))
    if isinstance(value, Mapping):
        return " ".join(f"{shown(name)}={shown(each)}" for name, each in value.items())
    if isinstance(value, Enum):
        return shown(value.value)
    if isinstance(value, float):
        return f"{value:g}" if value < 1e6 else f"{value:.0f}"
    return "" if value is None else str(value)


def _plain(attribute: attrs.Attribute[Any]) -> Setting:
    facts = attribute.metadata
    return Setting(
        attribute.name,
        facts["help"],
        facts["form"],
        PREFIX + attribute.name.upper(),
        facts["option"],
        attribute.default,
        facts["shown"] or f"`{shown(attribute.default)}`",
        facts["secret"],
    )


#: Every plain setting, in the order of `Config`.
SETTINGS = tuple(_plain(each) for each in attrs.fields(Config) if "form" in each.metadata)
