"""
The provider ``channels``: the operator's own channels, written down in the settings file.

Here and in plugins alone a channel may come from a command or a file: both are taken from the settings at the moment of
watching and never from what is kept on disk.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from attrs import evolve, field, frozen
from twisted.plugin import IPlugin
from zope.interface import implementer

from iptvd.errors import ConfigError, ProviderError
from iptvd.interfaces import IProvider, IProviderMaker, ProviderContext
from iptvd.model import ChannelKind, Entry, Headers, Listing, ProviderState, Source, SourceKind

_FORMS = {kind.value: kind for kind in SourceKind}
_WAYS = ("url", "command", "file")
_TEXTS = ("name", *_WAYS, "group", "tvg_id", "logo", "form", "key")
_FIELDS = ("name", *_WAYS, "form", "group", "number", "tvg_id", "logo", "headers", "radio", "key")
_MAX_TEXT = 4096
_MAX_NUMBER = 2**31 - 1

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_EXTENSION = re.compile(r"\.([A-Za-z0-9]{1,8})")
_PLAYLISTS = ("m3u8",)
_FILMS = ("mp4", "m4v", "mkv", "webm", "avi", "mov", "wmv", "flv", "mpg", "mpeg", "mp3", "m4a", "flac")


@frozen
class OwnChannel:
    """
    One ``[[provider.channel]]`` table, checked.

    :ivar key: unique among the channels of one provider.
    :ivar command: empty, or the program and its arguments.
    :ivar extension: as in `Entry`.
    """

    key: str
    name: str
    form: SourceKind
    extension: str
    url: str = field(default="", repr=False)
    command: tuple[str, ...] = field(default=(), repr=False)
    file: str = field(default="", repr=False)
    headers: Headers = field(default=(), repr=False)
    group: str = ""
    number: int | None = None
    tvg_id: str = ""
    logo: str = field(default="", repr=False)
    radio: bool = False

    @property
    def entry(self) -> Entry:
        """What is listed."""
        kind = ChannelKind.RADIO if self.radio else ChannelKind.LIVE
        return Entry(
            key=self.key,
            name=self.name,
            kind=ChannelKind.VOD if self.form is SourceKind.VOD else kind,
            source_kind=self.form,
            extension=self.extension,
            group=self.group,
            number=self.number,
            tvg_id=self.tvg_id,
            logo=self.logo,
        )


def _text(table: Mapping[str, object], name: str) -> str:
    value = table.get(name, "")
    if not isinstance(value, str) or len(value) > _MAX_TEXT or _CONTROL.search(value):
        raise ValueError(f"{name} must be a string of one line, at most {_MAX_TEXT} characters long")
    return value.strip()


def _http(table: Mapping[str, object], name: str) -> str:
    value = _text(table, name)
    if not value:
        return ""
    try:
        parts = urlsplit(value)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        right = False
    if not right or " " in value:
        raise ValueError(f"{name} must be a whole URL that begins with http:// or https:// and has no blanks")
    return value


def _command(table: Mapping[str, object]) -> tuple[str, ...]:
    value = table.get("command", ())
    if isinstance(value, str) or not isinstance(value, Sequence) or ("command" in table and not value):
        raise ValueError('command must be a list of strings, the program first, like ["ffmpeg", "-i", "/dev/video0"]')
    words = tuple(word for word in value if isinstance(word, str) and "\0" not in word)
    if len(words) != len(value) or not all(words[:1]):
        raise ValueError("command must be a list of strings, the program first")
    return words


def _file(table: Mapping[str, object]) -> str:
    value = _text(table, "file")
    if value and not value.startswith("/"):
        raise ValueError("file must be an absolute path, one that begins with /")
    return value


def _headers(table: Mapping[str, object]) -> Headers:
    value = table.get("headers", {})
    if not isinstance(value, Mapping):
        raise ValueError('headers must be a table of strings, like { Referer = "https://example.com/" }')
    for name, content in value.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise ValueError("headers must have names of letters, digits and hyphens")
        if not isinstance(content, str) or _CONTROL.search(content):
            raise ValueError(f"headers: {name} must be a string of one line")
    return tuple((name, content.strip()) for name, content in value.items())


def _number(table: Mapping[str, object]) -> int | None:
    value = table.get("number")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MAX_NUMBER:
        raise ValueError("number must be a whole number from 1 on")
    return value


def _extension_of(channel: OwnChannel) -> str:
    path = channel.file or (urlsplit(channel.url).path if channel.url else "")
    found = _EXTENSION.fullmatch(PurePosixPath(path).suffix)
    return found[1].lower() if found else ""


def _form(table: Mapping[str, object], channel: OwnChannel) -> SourceKind:
    """What is said, or what the extension tells; an endless stream when it tells nothing."""
    said = _text(table, "form")
    if said and said not in _FORMS:
        raise ValueError('form must be "ts", "hls" or "vod"')
    if channel.file:
        guess, only = SourceKind.VOD, "a file"
    elif channel.command:
        guess, only = SourceKind.TS, "a command"
    elif channel.radio:
        guess, only = SourceKind.HLS if _extension_of(channel) in _PLAYLISTS else SourceKind.TS, ""
    else:
        by_extension = dict.fromkeys(_PLAYLISTS, SourceKind.HLS) | dict.fromkeys(_FILMS, SourceKind.VOD)
        guess, only = by_extension.get(_extension_of(channel), SourceKind.TS), ""
    form = _FORMS[said] if said else guess
    if only and form is not guess:
        raise ValueError(f'form must be "{guess.value}" for {only}: leave it out')
    if channel.radio and form is SourceKind.VOD:
        raise ValueError("radio is for live channels: leave it out for a file")
    return form


def _own_channel(table: Mapping[str, object]) -> OwnChannel:
    unknown = sorted(str(name) for name in table if name not in _FIELDS)
    if unknown:
        raise ValueError(f"{unknown[0]} is not a field of a channel; there are: {', '.join(_FIELDS)}")
    name = _text(table, "name")
    if not name:
        raise ValueError("name must be there and not empty")
    radio = table.get("radio", False)
    if not isinstance(radio, bool):
        raise ValueError("radio must be true or false")
    channel = OwnChannel(
        key=_text(table, "key"),
        name=name,
        form=SourceKind.TS,
        extension="ts",
        url=_http(table, "url"),
        command=_command(table),
        file=_file(table),
        headers=_headers(table),
        group=_text(table, "group"),
        number=_number(table),
        tvg_id=_text(table, "tvg_id"),
        logo=_http(table, "logo"),
        radio=radio,
    )
    if sum(map(bool, (channel.url, channel.command, channel.file))) != 1:
        raise ValueError("exactly one of url, command and file must be there")
    if channel.headers and not channel.url:
        raise ValueError("headers go with a url only: leave them out")
    form = _form(table, channel)
    own = {SourceKind.TS: "ts", SourceKind.HLS: "m3u8", SourceKind.VOD: _extension_of(channel) or "mp4"}
    return evolve(channel, form=form, extension=own[form])


def _label(position: int, table: object) -> str:
    name = table.get("name") if isinstance(table, Mapping) else None
    return (
        f'channel {position} ("{name[:60]}")'
        if isinstance(name, str) and name.isprintable()
        else f"channel {position}"
    )


def read_channels(value: object) -> tuple[OwnChannel, ...]:
    """
    Check the tables as they come out of TOML, and give each channel its key.

    The key is the one given, else the ``tvg_id`` where no other channel has it, else the name.

    :raises ValueError: naming the channel by its position from 1, the field, and what would be right.
    """
    if not isinstance(value, (list, tuple)):
        raise ValueError("channel must be a list of tables: write [[provider.channel]] above each")
    channels = []
    for position, table in enumerate(value, 1):
        if isinstance(table, OwnChannel):
            channels.append(table)
            continue
        try:
            if not isinstance(table, Mapping):
                raise ValueError("it must be a table: write [[provider.channel]] above it")
            channels.append(_own_channel(table))
        except ValueError as error:
            raise ValueError(f"{_label(position, table)}: {error}") from None
    ids = Counter(channel.tvg_id for channel in channels)
    keyed: dict[str, OwnChannel] = {}
    for position, channel in enumerate(channels, 1):
        key = channel.key or (channel.tvg_id if ids[channel.tvg_id] == 1 else "") or channel.name
        if key in keyed:
            raise ValueError(
                f'channel {position} ("{channel.name}"): key "{key}" is that of another channel; give each a key of its own'
            )
        keyed[key] = evolve(channel, key=key)
    return tuple(keyed.values())


@frozen
class ChannelsSettings:
    """What ``[[provider]] kind = "channels"`` may have."""

    channel: tuple[OwnChannel, ...] = field(
        default=(),
        converter=read_channels,
        repr=False,
        metadata={
            "help": "The channels: a [[provider.channel]] table each, with a name and one of url, command and file.",
            # URLs, commands and headers may carry passwords.
            "secret": True,
        },
    )


@implementer(IProvider)
class ChannelsProvider:
    """Lists what the settings say."""

    def __init__(self, settings: ChannelsSettings, context: ProviderContext) -> None:
        self._channels = {channel.key: channel for channel in settings.channel}
        self._context = context
        self._listed = False

    async def fetch(self) -> Listing | None:
        """All channels, the first time; nothing changes after that."""
        if not self._channels:
            raise ProviderError(
                ProviderState.UNCONFIGURED, "No channels are set: write a [[provider.channel]] table for each."
            )
        if self._listed:
            return None
        self._listed = True
        return Listing(tuple(channel.entry for channel in self._channels.values()))

    async def resolve(self, entry: Entry) -> Sequence[Source]:
        """The one way to get a channel, as the settings have it now."""
        channel = self._channels.get(entry.key)
        if channel is None:
            raise ProviderError(ProviderState.UNREACHABLE, "This channel is no longer in the settings.")
        if channel.command:
            return (Source(channel.form, command=channel.command),)
        if channel.file:
            path = Path(channel.file)
            if not path.is_file() or not os.access(path, os.R_OK):
                raise ProviderError(
                    ProviderState.UNREACHABLE, f"The file of {channel.name} is not there, or may not be read."
                )
            return (Source(channel.form, path=channel.file),)
        headers = channel.headers
        if not any(name.lower() == "user-agent" for name, _ in headers):
            headers = (*headers, ("User-Agent", self._context.user_agent))
        return (Source(channel.form, url=channel.url, headers=headers),)


@implementer(IPlugin, IProviderMaker)
class ChannelsMaker:
    """The plugin."""

    kind = "channels"
    summary = "Your own channels, written in the settings file: URLs, commands and files."
    settings = ChannelsSettings

    def settings_from_argument(self, argument: str) -> Mapping[str, object]:
        """Nothing follows ``--provider channels``: tables do not fit on a command line."""
        if argument:
            raise ConfigError(
                "--provider channels takes nothing after it: write the channels into the settings file, "
                'as [[provider.channel]] tables under [[provider]] kind = "channels".'
            )
        return {}

    def make(self, settings: object, context: ProviderContext) -> ChannelsProvider:
        """The channels of these settings."""
        if not isinstance(settings, ChannelsSettings):
            raise TypeError("the settings are not those of this kind")
        return ChannelsProvider(settings, context)


channels = ChannelsMaker()
