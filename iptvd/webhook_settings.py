"""The ``[[webhook]]`` tables of the settings file: where what happens is posted to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from attrs import field, frozen

from iptvd.activity import Kind
from iptvd.errors import ConfigError, ProtocolError
from iptvd.protocols.urls import split_url
from iptvd.values import LONGEST, YES_NO, Form, seconds, whole

#: How many there can be.
MOST = 50
#: How often one can be tried again.
MOST_RETRIES = 10

_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")


@frozen
class Webhook:
    """
    One of them.

    :ivar name: what logs and metrics call it.
    :ivar url: http or https.
    :ivar events: what it is told of.
    :ivar secret: what its requests are signed with, empty where they are not.
    :ivar timeout: seconds that it has to answer.
    :ivar nearby: whether it may be on this machine or link-local.
    :ivar retries: how often it is tried again to tell it something.
    """

    name: str
    url: str = field(repr=False)
    events: frozenset[Kind] = frozenset(Kind)
    secret: str = field(default="", repr=False)
    timeout: float = 10.0
    nearby: bool = False
    retries: int = 3


def _name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError
    return value


def webhook_url(value: object) -> str:
    """
    Where a webhook may lead.

    :raises ValueError: for anything but an http or https URL.
    """
    if not isinstance(value, str) or not value.isprintable() or " " in value:
        raise ValueError
    try:
        split_url(value)
    except ProtocolError:
        raise ValueError from None
    return value


def _secret(value: object) -> str:
    if not isinstance(value, str) or not value or len(value) > LONGEST:
        raise ValueError
    return value


def _events(value: object) -> frozenset[Kind]:
    if not isinstance(value, list) or not value:
        raise ValueError
    return frozenset(map(Kind, value))


def _toml(right: str, read: Any) -> Form[Any]:
    return Form(right, read, read)


_FORMS: Mapping[str, Form[Any]] = {
    "name": _toml("1 to 32 letters, digits, - and _", _name),
    "url": _toml("an http or https URL", webhook_url),
    "events": _toml(f"a list of some of {', '.join(kind.value for kind in Kind)}", _events),
    "secret": _toml(f"a text of 1 to {LONGEST} characters", _secret),
    "timeout": seconds(1, 60),
    "nearby": YES_NO,
    "retries": whole(0, MOST_RETRIES),
}


def read_webhooks(tables: object, origin: str) -> tuple[Webhook, ...]:
    """
    Webhooks out of the tables of a settings file.

    :param origin: where they come from, for the sentence: ``file /etc/iptvd/iptvd.toml``.
    :raises ConfigError: for the first that cannot work, named by its number, from 1; no value is repeated.
    """
    if not isinstance(tables, Iterable) or isinstance(tables, str | Mapping):
        raise ConfigError(f"webhook ({origin}) must be tables, each written as [[webhook]].")
    found = [_webhook(table, number, f"Webhook {number} ({origin})") for number, table in enumerate(tables, 1)]
    if len(found) > MOST:
        raise ConfigError(f"There are {len(found)} webhooks ({origin}): at most {MOST} are possible.")
    for number, each in enumerate(found, 1):
        if any(other.name == each.name for other in found[: number - 1]):
            raise ConfigError(f"Webhook {number} ({origin}): another one is named {each.name} already.")
    return tuple(found)


def _webhook(table: object, number: int, where: str) -> Webhook:
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where} must be a table, written as [[webhook]].")
    values: dict[str, Any] = {"name": f"webhook-{number}"}
    for key, value in table.items():
        if key not in _FORMS:
            close = get_close_matches(str(key), _FORMS, 1)
            hint = f"did you mean {close[0]}" if close else f"there are {', '.join(_FORMS)}"
            raise ConfigError(f"{where} has the unknown key {key}: {hint}.")
        try:
            values[key] = _FORMS[key].from_toml(value)
        except (ValueError, TypeError):
            raise ConfigError(f"{where}: {key} must be {_FORMS[key].right}.") from None
    if "url" not in values:
        raise ConfigError(f"{where} needs url, where what happens is posted to.")
    return Webhook(**values)
