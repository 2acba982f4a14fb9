"""
The provider ``xtream``: an account with a panel that speaks the Xtream Codes API, for live, films and series.

A refresh asks for one thing after the other, never two at once. It has three parts, live, films and series; when films
or series cannot be had, those of the last refresh stay. What is read goes through `iptvd.protocols.xtream` in slices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, tzinfo
from functools import partial
from hashlib import blake2b, sha256
from heapq import heappop
from math import ceil
from typing import Literal
from urllib.parse import urlencode, urlsplit

from attrs import Attribute, field, frozen
from twisted.logger import Logger
from zope.interface import implementer

from iptvd.errors import ProtocolError, ProviderError, StoreError
from iptvd.interfaces import IArchive, IGuided, IProvider, IProviderMaker, IShortGuide, ProviderContext
from iptvd.model import Account, Entry, GuideFile, Headers, Listing, Programme, ProviderState, Source, SourceKind
from iptvd.protocols import xtream as panel
from iptvd.protocols import xtream_guide as guide
from iptvd.protocols import xtream_series as series
from iptvd.protocols.catchup import Moment
from iptvd.protocols.xtream_notes import NotesFile

CONTENT = ("live", "vod", "series")

#: Seconds that one refresh spends on asking for the episodes of series: the lineup waits for it.
SERIES_TIME = 60.0
#: Series in a row whose episodes could not be had, after which the panel is left alone until the next refresh.
SERIES_FAILURES = 3

LOGIN_LIMIT = 4 * 1024 * 1024
LIST_LIMIT = 64 * 1024 * 1024
LIST_TIMEOUT = 120.0
SERIES_LIMIT = 8 * 1024 * 1024
SERIES_TIMEOUT = 15.0
GUIDE_LIMIT = 256 * 1024
GUIDE_TIMEOUT = 15.0
#: Programmes of a channel that are asked for.
PROGRAMMES = 10

_BLOCK = 256 * 1024
_ASKED = {"live": "the live channels", "vod": "the films", "series": "the series"}
_LIST = {"live": "get_live_streams", "vod": "get_vod_streams", "series": "get_series"}


def _trimmed(url: str) -> str:
    return url.strip().rstrip("/")


@frozen
class XtreamSettings:
    """What the provider is told."""

    url: str = field(
        default="",
        converter=_trimmed,
        metadata={"help": "Where the panel is: http://HOST:PORT, without username and password."},
    )
    username: str = field(default="", repr=False, metadata={"help": "The account's name.", "secret": True})
    password: str = field(default="", repr=False, metadata={"help": "The account's password.", "secret": True})
    output: Literal["ts", "hls"] = field(
        default="ts", metadata={"help": "The form in which live channels are asked for, ts or hls."}
    )
    content: tuple[str, ...] = field(default=CONTENT, metadata={"help": "What to list: any of live, vod and series."})
    series_per_refresh: int = field(
        default=200, metadata={"help": "Series whose episodes one refresh asks for at most, 0 to 10000."}
    )
    guide: bool = field(default=True, metadata={"help": "Whether the panel's own guide is used."})

    @url.validator
    def _is_a_base(self, attribute: Attribute[str], value: str) -> None:
        if not value:
            return
        try:
            parts = urlsplit(value)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good or any(character in value for character in "@?# \\") or value.endswith(".php"):
            raise ValueError("http://HOST:PORT; username and password are settings of their own")

    @output.validator
    def _is_a_form(self, attribute: Attribute[str], value: str) -> None:
        if value not in ("ts", "hls"):
            raise ValueError("ts or hls")

    @content.validator
    def _is_content(self, attribute: Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
        if not isinstance(value, tuple) or not value or not set(value) <= set(CONTENT):
            raise ValueError("one or more of live, vod and series")

    @series_per_refresh.validator
    def _is_a_number(self, attribute: Attribute[int], value: int) -> None:
        if not 0 <= value <= 10_000:
            raise ValueError("a number from 0 to 10000")


@frozen(eq=False)
class _Part:
    """One part of a listing, with the checksum of the replies it was made of."""

    digest: bytes
    entries: Sequence[Entry]
    skipped: Mapping[str, int]


@implementer(IProvider, IGuided, IShortGuide, IArchive)
class XtreamProvider:
    """
    One account.

    Its parts, and the notes of the series, live as long as it does; the notes also in the folder of the provider, so
    that a restart does not ask for all episodes again.
    """

    _log = Logger()

    def __init__(self, settings: XtreamSettings, context: ProviderContext) -> None:
        self._settings = settings
        self._context = context
        self._headers: Headers = (("User-Agent", context.user_agent),) if context.user_agent else ()
        self._parts: dict[str, _Part] = {}
        self._given: tuple[object, ...] = ()
        self._shows: dict[int, series.Series] = {}
        self._shows_digest = b""
        self._shows_skipped: Counter[str] = Counter()
        self._notes: dict[int, series.Note] | None = None
        self._notes_file = NotesFile(
            context.state_dir / "series.json",
            sha256(settings.url.encode()).hexdigest(),
            context.sliced,
            context.run,
        )
        self._failures: Counter[int] = Counter()
        self._zone: tzinfo | None = None

    async def fetch(self) -> Listing | None:
        """See `IProvider.fetch`."""
        account = await self._login()
        wanted = [name for name in CONTENT if name in self._settings.content]
        failed: dict[str, ProviderError] = {}
        for name in wanted:
            try:
                self._parts[name] = await (self._series() if name == "series" else self._streams(name))
            except ProviderError as error:
                if name == "live":
                    raise
                if name not in self._parts:
                    # The entries of an earlier run are still listed, and would be lost if this were taken for all.
                    hint = f"{error.sentence} (to list the rest alone, leave {name} out of content)"
                    raise ProviderError(error.state, hint) from error
                failed[name] = error
        if len(failed) == len(wanted):
            raise failed[wanted[0]]
        parts = [self._parts[name] for name in wanted]
        entries: list[Entry] = []
        for part in parts:
            entries.extend(part.entries)
        if not entries:
            raise ProviderError(ProviderState.NOT_UNDERSTOOD, "the panel lists nothing at all: ask your provider")
        skipped: Counter[str] = Counter()
        for name, part in zip(wanted, parts, strict=True):
            skipped.update({f"{_ASKED[name]}: {reason}": count for reason, count in part.skipped.items()})
        for reason in failed.values():
            skipped[f"not refreshed: {reason.sentence}"] += 1
        given = (account, skipped, *parts)
        if given == self._given:
            return None
        self._given = given
        return Listing(entries, account, skipped)

    async def resolve(self, entry: Entry) -> Sequence[Source]:
        """See `IProvider.resolve`."""
        self._require_account()
        settings = self._settings
        try:
            url = panel.stream_url(*self._account, entry.origin, settings.output)
        except ProtocolError as error:
            raise ProviderError(ProviderState.NOT_UNDERSTOOD, f"{error.sentence}: refresh it") from None
        kind = SourceKind.VOD
        if entry.origin["type"] == "live":
            kind = SourceKind.HLS if settings.output == "hls" else SourceKind.TS
        return (Source(kind, url, headers=self._headers),)

    async def archive(self, entry: Entry, start: float, duration: float) -> Sequence[Source]:
        """See `IArchive.archive`; a panel counts whole minutes, by its own clock."""
        self._require_account()
        settings, stream = self._settings, panel.whole_number(entry.origin.get("id"))
        if entry.origin.get("type") != "live" or not stream or not entry.catchup:
            raise ProviderError(ProviderState.NOT_UNDERSTOOD, "the panel keeps nothing of what this channel has shown")
        zone = await self._time_zone()
        moment = Moment(int(start), ceil(duration), int(self._context.clock.seconds()))
        found = guide.recordings(*self._account, stream, settings.output, moment, zone)
        return [Source(kind, url, headers=self._headers) for kind, url in found]

    def guides(self) -> Sequence[GuideFile]:
        """See `IGuided.guides`."""
        if not (self._settings.guide and all(self._account)):
            return ()
        return (GuideFile(guide.guide_url(*self._account), self._headers),)

    async def programmes(self, entry: Entry) -> Sequence[Programme]:
        """See `IShortGuide.programmes`."""
        if entry.origin.get("type") != "live" or not self._settings.guide:
            return ()
        self._require_account()
        zone = await self._time_zone()
        asked = "the programmes of a channel"
        query = {"action": "get_short_epg", "stream_id": str(entry.origin.get("id")), "limit": str(PROGRAMMES)}
        body = await self._ask(asked, GUIDE_LIMIT, GUIDE_TIMEOUT, **query)
        with panel.telling(asked):
            return guide.read_programmes(body, zone, self._context.clock.seconds())

    @property
    def _account(self) -> tuple[str, str, str]:
        """Where the panel is, and the account's name and password."""
        return self._settings.url, self._settings.username, self._settings.password

    def _require_account(self) -> None:
        if not all(self._account):
            raise ProviderError(
                ProviderState.UNCONFIGURED, f"set url, username and password for provider {self._context.name}"
            )

    async def _ask(self, asked: str, limit: int, seconds: float, /, **query: str) -> bytes:
        settings = self._settings
        query = {"username": settings.username, "password": settings.password, **query}
        reply = await self._context.fetcher.get(
            f"{settings.url}/player_api.php?{urlencode(query)}", headers=self._headers, limit=limit, timeout=seconds
        )
        panel.check_answer(reply.status, reply.body, asked)
        return reply.body

    async def _login(self) -> Account:
        self._require_account()
        asked = "the account"
        body = await self._ask(asked, LOGIN_LIMIT, 30.0)
        with panel.telling(asked):
            account = panel.read_account(body)
        self._zone = guide.read_zone(body)
        return account

    async def _time_zone(self) -> tzinfo:
        """That of the panel, which is asked for it when it has not been since the start."""
        if self._zone is None:
            await self._login()
        return self._zone or UTC

    async def _list(self, name: str) -> tuple[bytes, bytes, bytes]:
        """The categories and the list of one part, and a checksum of both."""
        asked = _ASKED[name]
        categories = await self._ask(
            f"the categories of {asked}", LIST_LIMIT, LIST_TIMEOUT, action=f"get_{name}_categories"
        )
        listed = await self._ask(asked, LIST_LIMIT, LIST_TIMEOUT, action=_LIST[name])
        digest = blake2b(digest_size=16)

        def steps() -> Iterator[None]:
            for body in (categories, listed):
                digest.update(b"%d:" % len(body))
                for start in range(0, len(body), _BLOCK):
                    digest.update(memoryview(body)[start : start + _BLOCK])
                    yield

        await self._context.sliced(steps())
        return categories, listed, digest.digest()

    async def _read(self, asked: str, steps: Iterator[object]) -> None:
        with panel.telling(asked):
            await self._context.sliced(steps)

    async def _groups(self, name: str, body: bytes) -> Mapping[str, str]:
        groups: dict[str, str] = {}
        await self._read(f"the categories of {_ASKED[name]}", panel.read_categories(body, groups))
        return groups

    async def _streams(self, name: str) -> _Part:
        categories, listed, digest = await self._list(name)
        former = self._parts.get(name)
        if former is not None and former.digest == digest:
            return former
        groups = await self._groups(name, categories)
        make: Callable[[panel.Row], Entry] = partial(panel.film_entry, groups=groups)
        if name == "live":
            make = partial(panel.live_entry, groups=groups, output=self._settings.output)
        collected = panel.Collected()
        await self._read(_ASKED[name], panel.collect(panel.rows(listed), make, collected.add, collected.skipped))
        return _Part(digest, collected.entries, collected.skipped)

    async def _series(self) -> _Part:
        categories, listed, digest = await self._list("series")
        if digest != self._shows_digest:
            groups = await self._groups("series", categories)
            shows: dict[int, series.Series] = {}
            skipped: Counter[str] = Counter()

            def add(show: series.Series) -> None:
                if shows.setdefault(show.id, show) is not show:
                    skipped["listed twice"] += 1

            await self._read(
                _ASKED["series"],
                panel.collect(panel.rows(listed), partial(series.series_of, groups=groups), add, skipped),
            )
            self._shows, self._shows_digest, self._shows_skipped = shows, digest, skipped
        if self._notes is None:
            self._notes = await self._load_notes()
        skipped = self._shows_skipped.copy()
        news = await self._ask_for_episodes(self._notes, skipped)
        if news:
            await self._save_notes(self._notes)
        former = self._parts.get("series")
        if former is not None and former.digest == digest and not news:
            return former
        collected = panel.Collected()
        await self._context.sliced(series.collect_episodes(self._shows, self._notes, collected, skipped))
        return _Part(digest, collected.entries, skipped + collected.skipped)

    async def _ask_for_episodes(self, notes: dict[int, series.Note], skipped: Counter[str]) -> bool:
        """Ask for the episodes of some series that are new or changed; whether anything was learned."""
        queue: list[series.Place] = []
        await self._context.sliced(series.queue_up(self._shows, notes, self._failures, queue))
        clock = self._context.clock
        end = clock.seconds() + SERIES_TIME
        known = sum(len(note.episodes) for note in notes.values())
        in_a_row, news = 0, False
        for _ in range(min(self._settings.series_per_refresh, len(queue))):
            if in_a_row >= SERIES_FAILURES or known >= series.MOST_EPISODES or clock.seconds() >= end:
                break
            show = self._shows[heappop(queue)[-1]]
            episodes: list[series.Episode] = []
            try:
                body = await self._ask(
                    "the episodes of a series",
                    SERIES_LIMIT,
                    SERIES_TIMEOUT,
                    action="get_series_info",
                    series_id=str(show.id),
                )
                await self._read("the episodes of a series", series.read_episodes(body, episodes, skipped))
            except ProviderError:
                in_a_row += 1
                self._failures[show.id] += 1
                skipped["series whose episodes could not be had"] += 1
                continue
            in_a_row = 0
            self._failures.pop(show.id, None)
            note = series.Note(show.modified, tuple(episodes))
            # Taken out and put in again, it comes last: the order tells which was asked longest ago.
            former = notes.pop(show.id, None)
            notes[show.id] = note
            known += len(episodes) - len(former.episodes if former else ())
            news = news or note != former
        return news

    async def _load_notes(self) -> dict[int, series.Note]:
        notes: dict[int, series.Note] = {}
        try:
            await self._notes_file.load(self._shows, notes)
        except StoreError as error:
            self._log.warn("{provider}: {reason}", provider=self._context.name, reason=error.sentence)
        return notes

    async def _save_notes(self, notes: Mapping[int, series.Note]) -> None:
        try:
            await self._notes_file.save(notes)
        except StoreError as error:
            self._log.warn("{provider}: {reason}", provider=self._context.name, reason=error.sentence)


@implementer(IProviderMaker)
class XtreamMaker:
    """The plugin."""

    kind = "xtream"
    summary = "an account with an Xtream Codes panel: live, films and series"
    settings = XtreamSettings

    def settings_from_argument(self, argument: str) -> Mapping[str, object]:
        """See `IProviderMaker.settings_from_argument`."""
        return panel.settings_from_link(argument) if argument.strip() else {}

    def make(self, settings: object, context: ProviderContext) -> IProvider:
        """See `IProviderMaker.make`."""
        if not isinstance(settings, XtreamSettings):
            raise TypeError("the settings are of another kind")
        return XtreamProvider(settings, context)


xtream = XtreamMaker()
