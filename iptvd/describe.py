"""The settings in force, for ``--check-config``: each with where it comes from, and without anything secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import attrs

from iptvd.activity import Kind
from iptvd.plain_settings import SETTINGS
from iptvd.plain_settings import shown as shown_plainly
from iptvd.protocols.socks5 import Proxy
from iptvd.provider_specs import COMMON
from iptvd.settings import Loaded, ProviderSpec

MASK = "********"

#: The user and password of a URL, its host, and all that follows: a path or a query can be a credential as well.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(?:[^\s/?#@]*@)?([^\s/?#@|]*)(\S*)")


def masked(text: str) -> str:
    """A text in which every URL is cut down to its scheme and host."""

    def mask(url: re.Match[str]) -> str:
        user = MASK + "@" if "@" in url[0][: url.end(2) - url.start()] else ""
        return url[1] + user + url[2] + ("/" + MASK if url[3] not in ("", "/") else url[3])

    return _URL.sub(mask, text)


def shown(value: object) -> str:
    """As `iptvd.settings.shown`, a proxy as its host and port."""
    if not isinstance(value, Proxy):
        return shown_plainly(value)
    host = f"[{value.host}]" if ":" in value.host else value.host
    return f"{MASK}@{host}:{value.port}" if value.username else f"{host}:{value.port}"


def describe(loaded: Loaded) -> str:
    """Every effective setting, every provider with its fields, and the notices, as lines; no secret in any of them."""
    return "\n".join([*_settings(loaded), *_providers(loaded), *_webhooks(loaded), *_notices(loaded)]) + "\n"


def _line(name: str, value: str, origin: str, indent: str = "  ") -> str:
    return f"{indent}{name:<18} {value or '(none)'}  [{origin}]"


def _settings(loaded: Loaded) -> Iterator[str]:
    yield "Settings:"
    for setting in SETTINGS:
        value = shown(getattr(loaded.config, setting.name))
        value = masked(value) if setting.secret else value
        yield _line(setting.name, value, loaded.origins.get(setting.name, "default"))
    rules = loaded.config.rules
    yield _line("rules", str(len(rules)), loaded.origins.get("rules", "default"))


def _providers(loaded: Loaded) -> Iterator[str]:
    yield "Providers:"
    for spec in loaded.config.providers:
        state = "" if spec.enabled else ", disabled"
        yield f"  {spec.name} (kind {spec.kind}{state})  [{loaded.origins.get(f'provider {spec.name}', 'default')}]"
        for name, value in _fields(spec):
            yield _line(name, value, loaded.origins.get(f"provider {spec.name}.{name}", "default"), "    ")


def _fields(spec: ProviderSpec) -> Iterator[tuple[str, str]]:
    kind: type[Any] = type(spec.settings)
    for name in COMMON:
        value = getattr(spec, name)
        unset = "as it says itself" if name == "max_connections" else "as all have"
        # Whether it is started stands behind its name.
        if name != "enabled":
            yield name, unset if value is None else shown(value)
    for each in attrs.fields(kind):
        value = getattr(spec.settings, each.name)
        text = MASK if each.metadata.get("secret") and value else masked(shown(value))
        if each.init:
            yield each.alias or each.name, text


def _webhooks(loaded: Loaded) -> Iterator[str]:
    if loaded.config.webhooks:
        yield "Webhooks:"
    origin = loaded.origins.get("webhooks", "default")
    for each in loaded.config.webhooks:
        yield f"  {each.name}  [{origin}]"
        kinds = [kind.value for kind in Kind if kind in each.events]
        for name, value in (
            ("url", masked(each.url)),
            ("events", " ".join(kinds)),
            ("secret", MASK if each.secret else ""),
            ("timeout", shown(each.timeout)),
            ("nearby", shown(each.nearby)),
        ):
            yield _line(name, value, origin, "    ")


def _notices(loaded: Loaded) -> Iterator[str]:
    if loaded.notices:
        yield "Notices:"
        yield from (f"  {notice}" for notice in loaded.notices)
