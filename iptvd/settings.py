"""The settings, all of them: one frozen `Config`, and for each field what it means and how it can be given."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen

from iptvd import __version__
from iptvd.discovery import Found
from iptvd.errors import ConfigError
from iptvd.protocols.socks5 import Proxy
from iptvd.rules import Rule
from iptvd.tuners import TUNERS, Tuner
from iptvd.values import (
    ADDRESS,
    ENDPOINTS,
    FOLDER,
    FOLDERS,
    GUIDES,
    HEADER_VALUE,
    HOST_NAMES,
    HTTP_URL,
    LOG_LEVEL,
    NETWORKS,
    SHARING,
    SOCKS5,
    TEXT,
    TIME_ZONE,
    YES_NO,
    Form,
    Network,
    NoProxy,
    seconds,
    whole,
)
from iptvd.webhook_settings import Webhook

#: What every environment name of ours begins with.
PREFIX = "IPTVD_"

#: Where the settings file is, unless an option or the environment names another.
DEFAULT_FILE = Path("/etc/iptvd/iptvd.toml")

_NEAR = (
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
    "169.254.0.0/16",
    "fe80::/10",
)


def default_state_dir(environ: Mapping[str, str]) -> tuple[Path, str]:
    """
    The state folder when none is set: what systemd made for us, or the user's own; and where that comes from.

    :raises ConfigError: when the user has no home.
    """
    for name, below in (("STATE_DIRECTORY", ""), ("XDG_STATE_HOME", "iptvd")):
        first = environ.get(name, "").split(":")[0] if name == "STATE_DIRECTORY" else environ.get(name, "")
        # A relative XDG path is to be ignored (XDG Base Directory Specification); systemd gives none.
        if first.startswith("/"):
            return Path(first, below), f"environment {name}"
    home = environ.get("HOME", "")
    try:
        return Path(home if home.startswith("/") else Path.home(), ".local/state/iptvd"), "default"
    except RuntimeError:
        raise ConfigError("There is no home folder to keep state in: set --state-dir.") from None


_STATE_DIR = attrs.Factory(lambda: default_state_dir(os.environ)[0])


def _setting(
    form: Form[Any], default: object, meaning: str, *, option: str = "", shown: str = "", secret: bool = False
) -> Any:
    """
    A field of `Config`.

    :param option: the option of the command line that sets it, if there is one.
    :param shown: the default in words, where the value itself would not say it.
    :param secret: whether it may hold a password: it is never printed as it is.
    """
    facts = {"help": meaning, "form": form, "option": option, "shown": shown, "secret": secret}
    return field(default=default, repr=not secret, metadata=facts)


@frozen
class ProviderSpec:
    """
    One provider as it is to be started.

    :ivar settings: an instance of its maker's settings class.
    :ivar refresh_interval: seconds, None for what all have.
    :ivar user_agent: None for what all have.
    :ivar max_connections: connections at once, 0 for no limit, None for what the provider itself says.
    :ivar sharing: None for what all have.
    :ivar socks5: None for what all have.
    :ivar enabled: whether it is started; its channels are gone from the lineup when it is not.
    """

    kind: str
    name: str
    settings: object = field(repr=False)
    refresh_interval: float | None = None
    user_agent: str | None = None
    enabled: bool = True
    max_connections: int | None = None
    sharing: str | None = None
    socks5: Proxy | NoProxy | None = field(default=None, repr=False)


@frozen(kw_only=True)
class Config:
    """
    Everything that can be set, complete and valid.

    What a field means is in its metadata (``help``), from which ``docs/settings.md`` is made; times are seconds.
    """

    listen: tuple[str, ...] = _setting(
        ENDPOINTS,
        (),
        "Where viewers are served: Twisted endpoint descriptions. Without any, it is `port` on `host`.",
        option="--listen",
        shown="`port` on every address, IPv4 and IPv6",
    )
    listen_proxy: tuple[str, ...] = _setting(
        ENDPOINTS,
        (),
        "Where `trusted_proxies` connect, and nobody else, that tell of their clients by the PROXY protocol (version "
        "1 or 2): `tcp:` endpoints.",
        shown="nowhere",
    )
    port: int = _setting(whole(1, 65535), 8085, "The TCP port, where `listen` is not set.")
    host: str = _setting(
        ADDRESS,
        "",
        "The one IP address to listen on, or localhost, where `listen` is not set.",
        shown="every address",
    )
    public_url: str = _setting(
        HTTP_URL,
        "",
        "Where viewers find this daemon, for URLs that cannot be built from the request itself.",
        option="--public-url",
        shown="none: from the request",
    )
    state_dir: Path = _setting(  # noqa: RUF009 (it makes a field)
        FOLDER,
        _STATE_DIR,
        "The folder for what has to survive a restart: lineup, ids, keys, logos.",
        option="--state-dir",
        shown="`$STATE_DIRECTORY`, else `$XDG_STATE_HOME/iptvd`, else `~/.local/state/iptvd`",
    )
    max_streams: int = _setting(
        whole(0, 1_000_000),
        0,
        "How many viewers are served at once; 0 for no limit.",
        option="--max-streams",
    )
    log_level: str = _setting(
        LOG_LEVEL,
        "info",
        "The least level that is logged.",
        option="--log-level",
    )
    provider_dirs: tuple[Path, ...] = _setting(
        FOLDERS,
        (Path("/etc/iptvd/providers"),),
        "Folders with provider plugins of your own. One that the daemon could write is refused; a missing one is not.",
    )
    ffmpeg: str = _setting(TEXT, "", "The path of the ffmpeg program.", shown="looked for")
    user_agent: str = _setting(HEADER_VALUE, f"iptvd/{__version__}", "The User-Agent that origins are asked with.")
    socks5: Proxy | NoProxy = _setting(  # noqa: RUF009 (it makes a field)
        SOCKS5,
        NoProxy.NONE,
        "The SOCKS5 proxy that everything for providers goes through: lists, guides, logos, streams and whatever "
        "belongs to them. It is told the names of hosts; nothing is looked up here. Channels that only ffmpeg or "
        "another program can fetch are refused, and players are not given origins' own URLs.",
        secret=True,
    )
    proxy_content: bool = _setting(
        YES_NO,
        True,
        "Whether streams go through this daemon. If not, players get the origins' own URLs, and show them to anybody.",
    )
    trusted_proxies: tuple[Network, ...] = _setting(
        NETWORKS,
        (),
        "Reverse proxies whose word about their clients is believed: the headers `Forwarded`, `X-Forwarded-*` and "
        "`CF-Connecting-IP`, and the PROXY protocol at `listen_proxy`.",
        shown="none",
    )
    trusted_networks: tuple[Network, ...] = _setting(
        NETWORKS,
        tuple(map(ip_network, _NEAR)),
        "Where viewers come from who need no account as long as there are no accounts.",
    )
    api_token: str = _setting(
        TEXT,
        "",
        "The token to manage with: users, streams, who watches. Without one only this machine itself may, and "
        "`manage_networks`.",
        shown="none",
        secret=True,
    )
    manage_networks: tuple[Network, ...] = _setting(
        NETWORKS,
        (),
        "Where requests come from that may manage without a token, as long as no `api_token` is set.",
        shown="none",
    )
    allow_private_upstreams: bool = _setting(
        YES_NO,
        True,
        "Whether streams and channels that are made by way of the API may lead into this network.",
    )
    allow_nearby_webhooks: bool = _setting(
        YES_NO,
        False,
        "Whether webhooks that are added by way of the API may lead to this machine itself, or be link-local.",
    )
    request_rate: int = _setting(
        whole(0, 1_000_000),
        100,
        "How many requests for playlists and the API an address may make in a minute that shows no token, or a wrong "
        "one; 0 for no limit.",
    )
    token_rate: int = _setting(
        whole(0, 1_000_000),
        1000,
        "How many such requests may be made in a minute with one token, or from one address that needs none; 0 for no "
        "limit.",
    )
    connections_per_address: int = _setting(
        whole(0, 1_000_000), 256, "How many connections one address may have at once; 0 for no limit."
    )
    allowed_hosts: tuple[str, ...] = _setting(
        HOST_NAMES,
        (),
        "Host names that requests may name besides IP addresses, localhost, this machine's name and `public_url`'s.",
        shown="none",
    )
    refresh_interval: float = _setting(seconds(60), 14400.0, "How often a provider's channels are fetched again.")
    connect_timeout: float = _setting(seconds(0), 10.0, "How long an origin has to accept a connection.")
    head_timeout: float = _setting(seconds(0), 10.0, "How long an origin has to begin its answer.")
    stall_timeout: float = _setting(
        seconds(0), 5.0, "How long a stream may bring nothing before its source is given up."
    )
    client_timeout: float = _setting(seconds(0), 300.0, "How long a viewer may take nothing before it is let go.")
    slow_timeout: float = _setting(
        seconds(0), 20.0, "How long a viewer of a shared channel may take nothing before it is let go."
    )
    sharing: str = _setting(
        SHARING,
        "auto",
        "Whether viewers of a live channel share one connection to its origin. auto: where the stream can be shared. "
        "A provider can say otherwise, and over that a channel of your own or a rule for some channels. Viewers of "
        "HLS that is made here from a stream share one connection in any case, as they share its segments.",
    )
    refusal_clips: bool = _setting(
        YES_NO,
        False,
        "Whether a player of raw TS that cannot be served is shown a clip of some seconds that says why, "
        "made by ffmpeg, instead of an error.",
    )
    ring_seconds: float = _setting(
        seconds(4, 120), 12.0, "How much of a shared channel is kept for viewers that are behind."
    )
    ring_budget_mb: int = _setting(
        whole(0, 1_048_576),
        0,
        "How much memory all shared channels together may take for that, in MiB; 0 for a quarter of the machine's.",
    )
    join_back: float = _setting(
        seconds(0, 10), 2.0, "How far behind live a new viewer begins, for its player to have a start."
    )
    linger: float = _setting(
        seconds(0, 300), 3.0, "How long a channel stays connected after its last viewer, for a zap back."
    )
    hls_target: float = _setting(seconds(1, 10), 2.0, "How long the HLS segments are that we cut.")
    hls_variant_cap: int = _setting(
        whole(0, 1_000_000), 0, "The highest bandwidth chosen of an HLS source's variants, in kbit/s; 0 for the best."
    )
    segment_cache_mb: int = _setting(
        whole(0, 65536), 64, "How much memory HLS segments may take that several viewers ask for, in MiB."
    )
    drain_timeout: float = _setting(seconds(0), 5.0, "How long viewers are given to finish when the daemon stops.")
    merge_by_tvg_id: bool = _setting(
        YES_NO,
        False,
        "Whether entries of several providers with one tvg-id become one channel with many sources.",
    )
    epg: tuple[str, ...] = _setting(
        GUIDES,
        (),
        "Guides in XMLTV, plain or in gzip or xz: URLs or paths of files, the one to be preferred first. "
        "What providers have themselves comes after them.",
        shown="none",
        secret=True,
    )
    epg_interval: float = _setting(seconds(60), 14400.0, "How often the guides are looked at for what is new.")
    epg_days: int = _setting(whole(1, 60), 14, "How many days ahead of a guide are taken in, and told to players.")
    epg_past_days: int = _setting(whole(0, 60), 7, "How many days of a guide are kept that are over.")
    epg_max_mb: int = _setting(
        whole(1, 65536), 2048, "How large a guide may be, unpacked, in MiB: one that is larger is refused."
    )
    epg_timezone: str = _setting(TIME_ZONE, "UTC", "The time zone of guides whose times name none.")
    events_interval: float = _setting(
        seconds(60), 900.0, "How often the providers are asked what events they announce."
    )
    probe: bool = _setting(
        YES_NO,
        False,
        "Whether channels that nobody watches are tried now and then, to know which can be had. One at a time, only "
        "their first bytes, and never with a provider that allows a single connection.",
    )
    probe_interval: float = _setting(seconds(600), 21600.0, "The time in which every channel is tried once.")
    logo_cache_mb: int = _setting(whole(0, 65536), 64, "How much disk the logos may take, in MiB.")
    hdhomerun: bool = _setting(
        YES_NO,
        True,
        "Whether players such as Plex, Jellyfin and Emby can take this daemon for an HDHomeRun, a network tuner.",
    )
    hdhomerun_discovery: bool = _setting(
        YES_NO,
        False,
        "Whether players in `trusted_networks` find the tuners by themselves: they ask at UDP port 65001.",
    )
    hdhomerun_tuners: tuple[Tuner, ...] = _setting(
        TUNERS,
        (),
        "Tuners besides the one with every live channel, each with the channels of some groups or providers: "
        "`sports?group=Sports` is at `/hdhr/sports`. One with `user=bob` is that user's: it has what they may see; in "
        "`trusted_networks` it needs no token, and tells theirs.",
        shown="none",
    )
    rules: tuple[Rule, ...] = field(default=(), metadata={"help": "The rules of the lineup, in their order."})
    webhooks: tuple[Webhook, ...] = field(default=(), metadata={"help": "Where what happens is posted to."})
    providers: tuple[ProviderSpec, ...] = field(default=(), metadata={"help": "Where channels come from."})

    def proxy_of(self, provider: str = "") -> Proxy | None:
        """What goes between us and the origins of a provider; without one, and those of the operator's own guides."""
        own = (each.socks5 for each in self.providers if each.name == provider and each.socks5 is not None)
        chosen = next(own, self.socks5)
        return chosen if isinstance(chosen, Proxy) else None


@frozen
class Loaded:
    """
    The settings as they were put together.

    :ivar origins: where each comes from, by field name, and by ``provider NAME`` and ``provider NAME.FIELD``:
        ``option --listen``, ``environment PORT``, ``file /etc/iptvd/iptvd.toml``, ``default``.
    :ivar notices: what the operator should be told once, at the start: sentences without secrets.
    :ivar found: the plugins that the providers are made with.
    """

    config: Config
    origins: Mapping[str, str]
    notices: tuple[str, ...]
    found: Found = field(repr=False)
