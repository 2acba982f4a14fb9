"""
Channels out of an M3U playlist, from an http(s) URL or a file.

The playlist comes from outside: what it names is only ever asked for over the network. No entry can name a file, a
folder or a command, and what goes through ffmpeg is held to the protocols of its own kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import chain
from math import ceil
from pathlib import Path
from stat import S_ISREG
from sys import intern
from typing import cast
from zoneinfo import ZoneInfo

from attrs import Attribute, evolve, field, frozen
from twisted.plugin import IPlugin
from zope.interface import implementer

from iptvd.errors import ConfigError, ProtocolError, ProviderError
from iptvd.interfaces import IArchive, IProvider, IProviderMaker, ProviderContext
from iptvd.model import Entry, Headers, Listing, ProviderState, Source, SourceKind
from iptvd.protocols import catchup
from iptvd.protocols.gunzip import MAGIC, gunzipped
from iptvd.protocols.m3u import M3UEntry, M3UParser, allowed_header, catchup_of
from iptvd.protocols.stream_url import (
    MANIFEST_TYPE,
    MAX_URL,
    StreamUrl,
    classify,
    recognise,
    remux_command,
    why_unsupported,
)
from iptvd.protocols.urls import split_url

#: Bytes of playlist that one step works on, and that one read takes from a file.
STEP = 4096
#: Entries named in one step.
BATCH = 200
#: Bytes of playlist, after decompression.
MAX_SIZE = 256 * 1024 * 1024
#: Seconds a download may take.
TIMEOUT = 120.0
MAX_TEXT = 256
MAX_KEY = 200


def _check_address(_: object, __: Attribute[str], value: str) -> None:
    try:
        if not value.isprintable():
            raise ProtocolError("control characters")
        if "://" in value:
            split_url(value)
    except ProtocolError:
        raise ValueError("give the http or https URL of a playlist, or the path of a file") from None


def _check_headers(_: object, __: Attribute[Mapping[str, str]], value: Mapping[str, str]) -> None:
    for name, text in value.items():
        if not allowed_header(name, text):
            raise ValueError(f"the header {name!r} cannot be sent: leave it out, or correct its name or value")


def _check_zone(_: object, __: Attribute[str], value: str) -> None:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        raise ValueError("give a time zone's name, such as UTC or Europe/London") from None


@frozen
class M3USettings:
    """The settings of one playlist."""

    url: str = field(
        default="",
        repr=False,
        validator=_check_address,
        metadata={"help": "The playlist: an http or https URL, or the path of a file.", "secret": True},
    )
    headers: Mapping[str, str] = field(
        factory=dict,
        repr=False,
        validator=_check_headers,
        metadata={"help": "Request headers to fetch the playlist with.", "secret": True},
    )
    verify_tls: bool = field(
        default=True,
        metadata={"help": "Whether the certificates of the playlist's server and of its streams must be valid."},
    )
    timezone: str = field(
        default="UTC",
        validator=_check_zone,
        metadata={"help": "The time zone of the dates in catch-up addresses: UTC, or one such as Europe/London."},
    )


class _Reading:
    """One reading of a playlist into a listing."""

    def __init__(self, ffmpeg: str) -> None:
        self._ffmpeg = ffmpeg
        self._parser = M3UParser()
        self._defaults: dict[str, str] | None = None
        self._entries: list[Entry] = []
        self._url_keys: list[str] = []
        self._skipped: Counter[str] = Counter()
        self._keys: dict[str, int] = {}

    def steps(self, blocks: Iterator[bytes]) -> Iterator[None]:
        """Read to the end, in short steps; raises `ProtocolError` and `OSError`."""
        for block in _plain(blocks):
            self._take(self._parser.feed(block))
            yield
        self._take(self._parser.close())
        yield from self._give_keys()

    @property
    def listing(self) -> Listing:
        """What was read."""
        return Listing(self._entries, skipped=dict(self._skipped))

    def _take(self, found: Iterable[M3UEntry]) -> None:
        for item in found:
            manifest = item.properties.get(MANIFEST_TYPE, "").lower()
            stream = recognise(item.url, manifest)
            if stream is None:
                self._skipped["not a stream URL"] += 1
            else:
                self._entries.append(self._entry(item, stream, manifest))
                self._url_keys.append(stream.key)

    def _entry(self, item: M3UEntry, stream: StreamUrl, manifest: str) -> Entry:
        if self._defaults is None:
            self._defaults = dict(catchup_of(self._parser.attributes))
        attributes = {**self._defaults, **item.attributes} if self._defaults else item.attributes
        kind, source_kind, extension = classify(stream, manifest, item.radio)
        tvg_id = attributes.get("tvg-id", "")[:MAX_TEXT]
        name = item.name or tvg_id or stream.path.rpartition("/")[2] or "unnamed"
        logo = item.logo if len(item.logo) <= MAX_URL else ""
        # Without a container in it the collector need not look at it: a hundred thousand of them are many.
        origin: dict[str, object] = {"url": stream.url}
        if item.headers:
            origin["headers"] = [list(pair) for pair in item.headers]
        if manifest:
            origin["manifest"] = manifest
        return Entry(
            tvg_id,
            name[:MAX_TEXT],
            kind,
            source_kind,
            extension,
            intern(item.group[:MAX_TEXT]),
            item.number,
            tvg_id,
            attributes.get("tvg-name", "")[:MAX_TEXT],
            logo if logo.lower().startswith(("http://", "https://")) else "",
            _catchup(attributes, stream),
            origin,
            why_unsupported(stream, item.properties, self._ffmpeg),
        )

    def _give_keys(self) -> Iterator[None]:
        """An entry's key is its tvg-id, its URL, or both URL and name: the first of them that no other one has."""
        ids, urls, others = Counter[str](), Counter[str](), list[int]()
        for start in range(0, len(self._entries), BATCH):
            ids.update(entry.tvg_id for entry in self._entries[start : start + BATCH])
            yield
        for index, entry in enumerate(self._entries):
            if entry.tvg_id and ids[entry.tvg_id] == 1:
                self._entries[index] = self._with_key(entry, entry.tvg_id)
            else:
                urls[self._url_keys[index]] += 1
                others.append(index)
            if index % BATCH == 0:
                yield
        for count, index in enumerate(others):
            entry, key = self._entries[index], self._url_keys[index]
            self._entries[index] = self._with_key(entry, key if urls[key] == 1 else f"{key} {entry.name}")
            if count % BATCH == 0:
                yield

    def _with_key(self, entry: Entry, key: str) -> Entry:
        if len(key) > MAX_KEY:
            key = f"{key[:MAX_KEY]}~{blake2b(key.encode(), digest_size=16).hexdigest()}"
        # Only what is told apart by its place has a # in its key, so that it can never be another one's own.
        key = key.replace("#", "%23")
        self._keys[key] = place = self._keys.get(key, 0) + 1
        if place > 1:
            key = f"{key}#{place}"
        return entry if key == entry.key else evolve(entry, key=key)


def _catchup(attributes: Mapping[str, str], stream: StreamUrl) -> tuple[tuple[str, str], ...]:
    """The attributes of an entry whose archive can be asked for, none of any other."""
    found = tuple((key, value) for key, value in catchup_of(attributes) if len(value) <= MAX_URL)
    return found if found and catchup.templates(found, stream.url) else ()


def _plain(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Blocks of at most `STEP` bytes, decompressed when they turn out to be gzip (RFC 1952)."""
    first = next(blocks, b"")
    size = 0
    whole = chain((first,), blocks)
    for block in gunzipped(whole, STEP, "the playlist") if first.startswith(MAGIC) else whole:
        size += len(block)
        if size > MAX_SIZE:
            raise ProtocolError(f"the playlist is larger than {MAX_SIZE >> 20} MiB: split it")
        yield block


def _blocks_of_body(body: bytes) -> Iterator[bytes]:
    return (body[start : start + STEP] for start in range(0, len(body), STEP))


def _blocks_of_file(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=64 * STEP) as file:
        while block := file.read(STEP):
            yield block


def _look_at(name: str) -> tuple[Path, tuple[int, ...]]:
    """A file's path, and what changes when it does."""
    path = Path(name).expanduser()
    status = path.stat()
    if not S_ISREG(status.st_mode):
        raise ProviderError(ProviderState.UNCONFIGURED, "the playlist is not a file: check its path")
    return path, (status.st_mtime_ns, status.st_size, status.st_ino)


@implementer(IProvider, IArchive)
class M3UProvider:
    """Lists a playlist's entries and resolves each to the one URL it has."""

    def __init__(self, settings: M3USettings, context: ProviderContext) -> None:
        self._settings = settings
        self._context = context
        self._validators: Headers = ()
        self._file_state: tuple[int, ...] = ()

    async def fetch(self) -> Listing | None:
        """See `IProvider.fetch`."""
        if not self._settings.url:
            raise ProviderError(ProviderState.UNCONFIGURED, "no playlist is set: give its URL or path as url")
        if "://" in self._settings.url:
            return await self._fetch_url()
        try:
            return await self._fetch_file()
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or "there is no such home folder"
            raise ProviderError(
                ProviderState.UNCONFIGURED, f"the playlist file cannot be read ({reason}): check its path"
            ) from None

    async def _fetch_url(self) -> Listing | None:
        fetched = await self._context.fetcher.get(
            self._settings.url,
            headers=(*self._with_agent(tuple(self._settings.headers.items())), *self._validators),
            limit=MAX_SIZE,
            timeout=TIMEOUT,
            verify_tls=self._settings.verify_tls,
        )
        if fetched.status == 304 and self._validators:
            return None
        if fetched.status != 200:
            raise _refusal(fetched.status)
        listing = await self._read(_blocks_of_body(fetched.body))
        asked = (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified"))
        self._validators = tuple((ask, fetched.headers[told]) for ask, told in asked if told in fetched.headers)
        return listing

    async def _fetch_file(self) -> Listing | None:
        path, state = _look_at(self._settings.url)
        if state == self._file_state:
            return None
        listing = await self._read(_blocks_of_file(path))
        self._file_state = state
        return listing

    def _with_agent(self, headers: Headers) -> Headers:
        agent = self._context.user_agent
        if not agent or any(name.lower() == "user-agent" for name, _ in headers):
            return headers
        return (*headers, ("User-Agent", agent))

    async def _read(self, blocks: Iterator[bytes]) -> Listing:
        reading = _Reading(self._context.ffmpeg)
        try:
            await self._context.sliced(reading.steps(blocks))
        except ProtocolError as error:
            raise ProviderError(ProviderState.NOT_UNDERSTOOD, error.sentence) from None
        listing = reading.listing
        if not listing.entries:
            skipped = sum(listing.skipped.values())
            why = f"none of its {skipped} entries is a stream URL" if skipped else "it has no entries"
            raise ProviderError(ProviderState.NOT_UNDERSTOOD, f"the playlist has nothing to watch: {why}")
        return listing

    async def resolve(self, entry: Entry) -> Sequence[Source]:
        """See `IProvider.resolve`."""
        if entry.unsupported:
            raise ProviderError(ProviderState.NOT_UNDERSTOOD, f"this channel cannot be played: {entry.unsupported}")
        url, manifest, headers = self._kept(entry)
        # It may have lain on disk: it is held to the same rules as when it was read.
        stream = recognise(url, manifest)
        if stream is None:
            raise ProviderError(ProviderState.NOT_UNDERSTOOD, "this channel has no stream URL: refresh the provider")
        if not stream.form:
            return [Source(entry.source_kind, stream.url, headers=headers, verify_tls=self._settings.verify_tls)]
        if not self._context.ffmpeg:
            raise ProviderError(ProviderState.UNCONFIGURED, "this channel needs ffmpeg, and there is none: install it")
        command = remux_command(self._context.ffmpeg, stream, headers, self._settings.verify_tls)
        return [Source(SourceKind.TS, command=command)]

    async def archive(self, entry: Entry, start: float, duration: float) -> Sequence[Source]:
        """See `IArchive.archive`."""
        url, manifest, headers = self._kept(entry)
        moment = catchup.Moment(int(start), ceil(duration), int(self._context.clock.seconds()))
        zone, verified = ZoneInfo(self._settings.timezone), self._settings.verify_tls
        found = catchup.recordings(entry.catchup, url, manifest, moment, zone)
        if not found:
            raise ProviderError(ProviderState.NOT_UNDERSTOOD, "the playlist does not tell where its archive is")
        return [Source(kind, past, headers=headers, verify_tls=verified) for kind, past in found]

    def _kept(self, entry: Entry) -> tuple[str, str, Headers]:
        """The URL of an entry, the property that says what it is, and the request headers it is asked for with."""
        url, manifest, kept = (entry.origin.get(name, "") for name in ("url", "manifest", "headers"))
        pairs = cast(Iterable[tuple[str, str]], kept)
        headers = self._with_agent(tuple((name, value) for name, value in pairs if allowed_header(name, value)))
        return str(url), str(manifest), headers


def _refusal(status: int) -> ProviderError:
    if status == 401:
        return ProviderError(
            ProviderState.AUTH_FAILED,
            "the playlist's server answers 401: correct the user name or password in its URL",
        )
    if status in (403, 451):
        return ProviderError(
            ProviderState.BLOCKED, f"the playlist's server refuses with {status}: check that the account is valid"
        )
    return ProviderError(ProviderState.UNREACHABLE, f"the playlist's server answers {status}: check the address")


@implementer(IPlugin, IProviderMaker)
class M3UMaker:
    """The plugin."""

    kind = "m3u"
    summary = "channels out of an M3U playlist: m3u:URL or m3u:FILE"
    settings = M3USettings

    def settings_from_argument(self, argument: str) -> Mapping[str, object]:
        """See `IProviderMaker.settings_from_argument`."""
        if not argument:
            return {}
        try:
            M3USettings(argument)
        except ValueError as error:
            raise ConfigError(f"what follows m3u: is wrong: {error}") from None
        # A daemon changes its folder: what the user wrote is relative to where it was started.
        return {"url": argument if "://" in argument else str(Path(argument).expanduser().absolute())}

    def make(self, settings: object, context: ProviderContext) -> IProvider:
        """See `IProviderMaker.make`."""
        assert isinstance(settings, M3USettings)
        provider: IProvider = M3UProvider(settings, context)
        return provider


m3u = M3UMaker()
