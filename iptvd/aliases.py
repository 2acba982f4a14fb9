"""
The names that other IPTV proxies give their settings in the environment, and what they do here.

Somebody who comes from one of them keeps the ``.env`` file: what has a counterpart works, and what has none is named
once at the start.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Container, Mapping

from attrs import frozen


@frozen
class Alias:
    """
    A foreign name; at most one of ``setting`` and ``provider`` is set, and without any it has no effect.

    :ivar says: what it does here, for the reference and, as ``NAME SAYS.``, for the notice when it has no effect.
    :ivar setting: the field of `Config` it sets.
    :ivar provider: the kind and the field of a provider's settings it is the default of.
    :ivar address: whether it has an effect only when it is an IP address or ``localhost``.
    """

    name: str
    says: str
    setting: str = ""
    provider: tuple[str, str] | None = None
    address: bool = False


#: In this order: of two that set the same, the first that is set counts.
ALIASES = (
    Alias("PORT", "sets the port", "port"),
    Alias("M3U_PROXY_PORT", "sets the port", "port"),
    Alias("BACKEND_PORT", "sets the port, where PORT does not: one port serves everything here", "port"),
    Alias("HOST", "sets the address to listen on, if it is an IP address or localhost", "host", address=True),
    Alias("HOST_IP", "sets the address to listen on, as HOST does", "host", address=True),
    Alias("M3U_PROXY_HOST", "sets the address to listen on, as HOST does", "host", address=True),
    Alias("API_URL", "sets the public URL, which is used when a request names no host", "public_url"),
    Alias("BACKEND_URI", "sets the public URL, where API_URL does not", "public_url"),
    Alias("BACKEND_HOST_URI", "sets the public URL, where API_URL and BACKEND_URI do not", "public_url"),
    Alias("WORKERS", "has no effect here: one process serves everything"),
    Alias("CLEANUP_INTERVAL", "has no effect here: a stream is closed when its last viewer leaves"),
    Alias("DADDYLIVE_URI", "is the base_url of providers of kind daddylive", provider=("daddylive", "base_url")),
    Alias("PROXY_CONTENT", "sets whether streams go through the daemon", "proxy_content"),
    Alias("SOCKS5", "sets the SOCKS5 proxy that everything for providers goes through", "socks5"),
    Alias("API_TOKEN", "sets the token to manage with", "api_token"),
    Alias("MAX_CONCURRENT_STREAMS", "sets how many viewers are served at once", "max_streams"),
    Alias("CLIENT_TIMEOUT", "sets how long a viewer may take nothing", "client_timeout"),
    Alias("STREAM_TIMEOUT", "sets how long a stream may bring nothing", "stall_timeout"),
    Alias("LOG_LEVEL", "sets the least level that is logged", "log_level"),
)


@frozen
class Foreign:
    """
    What the foreign names come to.

    :ivar settings: by field of `Config`: the name that sets it, and its text.
    :ivar providers: by kind and field of a provider's settings: likewise.
    :ivar notices: a sentence for each name that is set and has no effect.
    """

    settings: Mapping[str, tuple[str, str]]
    providers: Mapping[tuple[str, str], tuple[str, str]]
    notices: tuple[str, ...]


def read_aliases(environ: Mapping[str, str], provider_fields: Container[tuple[str, str]]) -> Foreign:
    """
    Look for foreign names; one that is set to nothing is not set.

    :param provider_fields: the kinds of provider there are, each with a field of its settings.
    """
    settings: dict[str, tuple[str, str]] = {}
    providers: dict[tuple[str, str], tuple[str, str]] = {}
    notices = []
    for alias in ALIASES:
        text = environ.get(alias.name, "").strip()
        if not text:
            continue
        if alias.address and not _is_address(text):
            notices.append(f"{alias.name} has no effect here: it is neither an IP address nor localhost.")
        elif alias.setting:
            settings.setdefault(alias.setting, (alias.name, text))
        elif alias.provider and alias.provider in provider_fields:
            providers[alias.provider] = (alias.name, text)
        elif alias.provider:
            notices.append(f"{alias.name} has no effect: there is no provider of kind {alias.provider[0]}.")
        else:
            notices.append(f"{alias.name} {alias.says}.")
    return Foreign(settings, providers, tuple(notices))


def _is_address(text: str) -> bool:
    if text.lower() == "localhost":
        return True
    try:
        ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
