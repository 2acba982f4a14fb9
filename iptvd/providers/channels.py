"""
The provider ``channels``: the operator's own channels, written down in the settings file.

Here and in plugins alone a channel may come from a command or a file. Both are taken from the settings at the moment
of watching, never from what is kept on disk.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from attrs import evolve, field, frozen
from twisted.plugin import IPlugin
from zope.interface import implementer

from iptvd.errors import ConfigError, ProviderError
from iptvd.interfaces import IProvider, IProviderMaker, ProviderContext
from iptvd.model import SHARING_MODES, ChannelKind, Entry, Headers, Listing, ProviderState, Source, SourceKind
from iptvd.protocols.m3u import allowed_header
from iptvd.protocols.stream_url import classify, recognise

_FIELDS = (
    "name",
    "url",
    "command",
    "file",
    "form",
    "group",
    "number",
    "tvg_id",
    "logo",
    "headers",
    "radio",
    "sharing",
    "key",
)
_MAX_TEXT = 8192
_MAX_NUMBER = 2**31 - 1

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_EXTENSION = re.compile(r"\.([A-Za-z0-9]{1,5})")
# A name that is repeated in an error; what has other signs in it may be a URL that got into the wrong field.
_PLAIN = re.compile(r"[\w .,&+'()!#-]{1,60}")


@frozen
class OwnChannel:
    """
    One ``[[provider.channel]]`` table, checked; exactly one of ``url``, ``command`` and ``file`` is set.

    :ivar key: unique among the channels of one provider.
    :ivar extension: as in `Entry`, and so is ``sharing``.
    """

    key: str
    name: str
    kind: ChannelKind
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
    sharing: str = ""

    def __str__(self) -> str:
        return f'"{self.name}"'

    @property
    def entry(self) -> Entry:
        """What is listed."""
        return Entry(
            key=self.key,
            name=self.name,
            kind=self.kind,
            source_kind=self.form,
            extension=self.extension,
            group=self.group,
            number=self.number,
            tvg_id=self.tvg_id,
            logo=self.logo,
            sharing=self.sharing,
        )


def _text(table: Mapping[str, object], name: str) -> str:
    value = table.get(name, "")
    if not isinstance(value, str) or len(value) > _MAX_TEXT or _CONTROL.search(value):
        raise ValueError(f"{name} must be a string of one line, at most {_MAX_TEXT} characters long")
    return value.strip()


def _http(table: Mapping[str, object], name: str) -> str:
    """An http or https URL in its normal form, or empty."""
    value = _text(table, name)
    stream = recognise(value) if value else None
    if value and (stream is None or stream.form):
        hint = "; for anything else write a command that runs ffmpeg" if name == "url" else ""
        raise ValueError(f"{name} must be the whole http or https URL{hint}")
    return stream.url if stream else ""


def _command(table: Mapping[str, object]) -> tuple[str, ...]:
    if "command" not in table:
        return ()
    value = table["command"]
    words = value if isinstance(value, list | tuple) else ()
    if not words or not words[0] or not all(isinstance(word, str) and "\0" not in word for word in words):
        raise ValueError('command must be a list of strings, the program first, as in ["ffmpeg", "-i", ...]')
    return tuple(words)


def _file(table: Mapping[str, object]) -> str:
    value = _text(table, "file")
    if value and not value.startswith("/"):
        raise ValueError("file must be an absolute path, from the root on")
    return value


def _headers(table: Mapping[str, object]) -> Headers:
    value = table.get("headers", {})
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError('headers must be a table of strings, as in { Referer = "..." }')
    if not all(allowed_header(name, text) for name, text in value.items()):
        raise ValueError("headers must have well-formed names and values, and none that belong to the connection")
    return tuple(value.items())


def _number(table: Mapping[str, object]) -> int | None:
    value = table.get("number")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MAX_NUMBER:
        raise ValueError("number must be a whole number from 1 on")
    return value


def _sharing(table: Mapping[str, object]) -> str:
    value = _text(table, "sharing")
    if "sharing" in table and value not in SHARING_MODES:
        raise ValueError(f"sharing must be one of {', '.join(SHARING_MODES)}")
    return value


def _form(table: Mapping[str, object], channel: OwnChannel) -> OwnChannel:
    """With what it is and how it comes: as the table says, else as the URL's extension tells."""
    said, radio = _text(table, "form"), table.get("radio", False)
    if said and said not in {kind.value for kind in SourceKind}:
        raise ValueError('form must be "ts", "hls" or "vod"')
    if not isinstance(radio, bool):
        raise ValueError("radio must be true or false")
    if channel.file and said in ("", "vod"):
        guess = (ChannelKind.VOD, SourceKind.VOD, _extension_of(channel.file))
    elif channel.command and said in ("", "ts"):
        guess = (ChannelKind.RADIO if radio else ChannelKind.LIVE, SourceKind.TS, "ts")
    elif channel.url and (stream := recognise(channel.url)):
        guess = classify(stream, said, radio)
        if said == "vod":
            guess = (ChannelKind.VOD, SourceKind.VOD, _extension_of(stream.path))
        elif said == "ts" and guess[1] is not SourceKind.TS:
            guess = (ChannelKind.RADIO if radio else ChannelKind.LIVE, SourceKind.TS, "ts")
    else:
        raise ValueError("form goes with a url: what a file or a command gives is known, so leave it out")
    kind, form, extension = guess
    if radio and kind is ChannelKind.VOD:
        raise ValueError("radio is for what is live: leave it out for a film or a recording")
    if channel.sharing and kind is ChannelKind.VOD:
        raise ValueError("sharing is for what is live: leave it out for a film or a recording")
    return evolve(channel, kind=kind, form=form, extension=extension)


def _extension_of(path: str) -> str:
    found = _EXTENSION.fullmatch(PurePosixPath(path).suffix)
    return found[1].lower() if found else "mp4"


def _own_channel(table: object) -> OwnChannel:
    """One table, checked; its key may be empty yet."""
    if not isinstance(table, Mapping):
        raise ValueError("it must be a table, with [[provider.channel]] above it")
    unknown = [name for name in table if name not in _FIELDS]
    if unknown:
        which = f"{unknown[0]} is" if _PLAIN.fullmatch(str(unknown[0])) else "there is what is"
        raise ValueError(f"{which} no field of a channel; the fields are {', '.join(_FIELDS)}")
    channel = OwnChannel(
        key=_text(table, "key"),
        name=_text(table, "name"),
        kind=ChannelKind.LIVE,
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
        sharing=_sharing(table),
    )
    if not channel.name:
        raise ValueError("name must be there, and not empty")
    if sum(map(bool, (channel.url, channel.command, channel.file))) != 1:
        raise ValueError("exactly one of url, command and file must be there")
    if channel.headers and not channel.url:
        raise ValueError("headers go with a url: leave them out for a file or a command")
    return _form(table, channel)


def _which(position: int, table: object) -> str:
    found = table.name if isinstance(table, OwnChannel) else table.get("name") if isinstance(table, Mapping) else ""
    name = found.strip() if isinstance(found, str) else ""
    return f'channel {position} ("{name}")' if _PLAIN.fullmatch(name) else f"channel {position}"


def read_channels(value: object) -> tuple[OwnChannel, ...]:
    """
    Check the tables as they come out of TOML, and give each channel its key.

    The key is the one given, else the ``tvg_id`` where no other channel has it, else the name.

    :raises ValueError: naming the channel by its position from 1, the field, and what would be right.
    """
    if not isinstance(value, list | tuple):
        raise ValueError("channel must be tables, with [[provider.channel]] above each")
    channels = []
    for position, table in enumerate(value, 1):
        try:
            channels.append(table if isinstance(table, OwnChannel) else _own_channel(table))
        except ValueError as error:
            raise ValueError(f"{_which(position, table)}: {error}") from None
    ids = Counter(channel.tvg_id for channel in channels)
    places: dict[str, int] = {}
    for position, channel in enumerate(channels, 1):
        key = channel.key or (channel.tvg_id if ids[channel.tvg_id] == 1 else "") or channel.name
        if key in places:
            raise ValueError(
                f"{_which(position, channel)}: key must be given, and be one of its own: "
                f"without it this channel has the same as channel {places[key]}"
            )
        places[key] = position
    return tuple(evolve(channel, key=key) for channel, key in zip(channels, places, strict=True))


@frozen
class ChannelsSettings:
    """What ``[[provider]] kind = "channels"`` may have."""

    channel: tuple[OwnChannel, ...] = field(
        default=(),
        converter=read_channels,
        repr=False,
        # Not marked as a secret, though URLs, commands and headers may be: then an error could not say which channel
        # is wrong. As text a channel is its name, and no error repeats more than that.
        metadata={
            "help": "The channels: a [[provider.channel]] table each, with name and one of url, command (a list of "
            "words whose output is MPEG-TS) and file; and where wanted form (ts, hls or vod), group, number, tvg_id, "
            "logo, headers (a table), radio (true or false), sharing (auto, shared or isolated) and key (what its id "
            "hangs on)."
        },
    )


def _readable(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.R_OK)  # noqa: PTH113


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
            if not _readable(channel.file):
                raise ProviderError(
                    ProviderState.UNREACHABLE, f"The file of {channel.name} is not there, or may not be read."
                )
            return (Source(channel.form, path=channel.file),)
        headers = channel.headers
        if self._context.user_agent and not any(name.lower() == "user-agent" for name, _ in headers):
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
