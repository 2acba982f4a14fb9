"""
The provider ``daddylive``: a website that lists channels, which players in its pages play.

Which site that is the operator says, who answers for the right to what is relayed. It is read with plain requests;
where it does not want that, the state is ``blocked``, and nothing is done to get past it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import tzinfo
from zoneinfo import ZoneInfo

from attrs import frozen
from twisted.logger import Logger
from twisted.plugin import IPlugin
from zope.interface import implementer

from iptvd.errors import ConfigError, ProtocolError, ProviderError
from iptvd.interfaces import IProvider, IProviderMaker, IRenews, IScheduled, ProviderContext
from iptvd.model import Entry, Listing, ProviderState, Schedule, Source, SourceKind
from iptvd.website import schedules
from iptvd.website.channel_lists import PAGES, Listed, ListReading
from iptvd.website.day_labels import USUAL_ZONE
from iptvd.website.known_channels import LONGEST, OURS, KnownChannels
from iptvd.website.refusals import check_page
from iptvd.website.resolutions import Resolutions
from iptvd.website.resolving import Resolution
from iptvd.website.settings import WebsiteSettings
from iptvd.website.site import Site
from iptvd.website.texts import channel_id, slug

#: The file in the provider's folder with what the operator knows of channels.
KNOWN_FILE = OURS.name
#: The group of channels of which nothing is known.
OTHERS = "Other"


@frozen
class _Found:
    """A list that was understood."""

    base: str
    shape: str
    channels: Sequence[Listed]
    skipped: Counter[str]


@implementer(IProvider, IScheduled, IRenews)
class DaddyliveProvider:
    """One site."""

    _log = Logger()

    def __init__(self, settings: WebsiteSettings, context: ProviderContext) -> None:
        self._settings = settings
        self._context = context
        self._site = Site(settings.base_url, settings.verify_tls, context)
        self._resolutions = Resolutions(context.clock, self._resolve)
        self._known: KnownChannels | None = None
        self._known_state: object = None
        self._known_fault = ""
        self._former: _Found | None = None
        self._given: object = None

    async def fetch(self) -> Listing | None:
        """See `IProvider.fetch`."""
        found = await self._site.from_any(self._list)
        known = await self._knowledge()
        skipped = dict(found.skipped)
        if self._known_fault:
            skipped[self._known_fault] = 1
        entries: list[Entry] = []

        def steps() -> Iterator[None]:
            for each in found.channels:
                entries.append(self._entry(each, known, self._site.now(found.base)))
                yield

        await self._context.sliced(steps())
        self._former = found
        given = (entries, skipped)
        if given == self._given:
            return None
        self._given = given
        return Listing(entries, skipped=skipped)

    async def _list(self, base: str) -> _Found:
        """The first list of a site that is understood."""
        failures: dict[str, str] = {}
        for place, (path, shapes) in enumerate(PAGES):
            try:
                page = await self._site.page(base, path)
            except ProviderError as error:
                # When one page answered, the site is there, and another may have what this one cannot give.
                if error.state is ProviderState.BLOCKED or (error.state is ProviderState.UNREACHABLE and place == 0):
                    raise
                failures |= {shape.name: error.sentence for shape in shapes}
                continue
            if page is None:
                failures |= {shape.name: "there is no such page" for shape in shapes}
                continue
            text = page.body.decode("utf-8", "replace")
            for shape in shapes:
                reading = ListReading(shape)
                try:
                    await self._context.sliced(reading.steps(page.body, text))
                except ProtocolError as error:
                    failures[shape.name] = error.sentence
                    continue
                failures[shape.name] = self._why_not(reading)
                if not failures[shape.name]:
                    return _Found(base, shape.name, list(reading.channels.values()), reading.skipped)
            check_page(page, "the site")
        first = self._former.shape if self._former else "L1"
        told = [f"channel list, shape {first}, {failures.pop(first)}"]
        told += [f"{name}, {why}" for name, why in failures.items()]
        raise ProviderError(ProviderState.NOT_UNDERSTOOD, "; ".join(told))

    def _why_not(self, reading: ListReading) -> str:
        """Why a list is not taken; empty when it is."""
        count, former = len(reading.channels), self._former
        if not count:
            return reading.failure
        if former and former.shape != reading.shape.name and 2 * count < len(former.channels):
            # A site that has changed has links to some of its channels elsewhere: those are not its list.
            return f"only {count} channels where there were {len(former.channels)}"
        return ""

    def _entry(self, listed: Listed, known: KnownChannels, base: str) -> Entry:
        found = known.find(listed.name)
        logo, path = found.logo, self._settings.logos
        if not logo and path and slug(listed.name):
            path = path.replace("{slug}", slug(listed.name))
            logo = base + path if path.startswith("/") else path
        groups = {"group": found.group, "country": found.country, "tags": ";".join(found.tags)}
        group = groups[self._settings.group_by] or OTHERS
        return Entry(
            listed.id,
            listed.name,
            source_kind=SourceKind.HLS,
            extension="m3u8",
            group=group,
            tvg_id=found.tvg_id,
            logo=logo,
        )

    async def _knowledge(self) -> KnownChannels:
        """What is known of channels, read again when the operator's file has changed."""
        state: object = None
        path = self._context.state_dir / KNOWN_FILE
        with suppress(OSError):
            status = path.stat()
            state = (status.st_mtime_ns, status.st_size)
        if self._known is not None and state == self._known_state:
            return self._known
        known, fault = KnownChannels(), ""
        if state is not None:
            try:
                with path.open("rb") as file:
                    text = file.read(LONGEST + 1)
                if len(text) > LONGEST:
                    raise ConfigError("the file of known channels is longer than 1 MiB")
                await self._context.sliced(known.read(text.decode("utf-8-sig")))
            except (OSError, UnicodeError):
                fault = "the file of known channels cannot be read as UTF-8 text"
            except ConfigError as error:
                fault = error.sentence
        if fault:
            self._log.warn("{provider}: {reason}", provider=self._context.name, reason=fault)
        await self._context.sliced(known.read(OURS.read_text(encoding="utf-8")))
        self._known, self._known_state, self._known_fault = known, state, fault
        return known

    async def resolve(self, entry: Entry) -> Sequence[Source]:
        """See `IProvider.resolve`."""
        identity = channel_id(entry.key)
        if not identity:
            raise ProviderError(ProviderState.NOT_UNDERSTOOD, "this is no channel of the site: refresh the provider")
        return await self._resolutions.get(identity)

    async def _resolve(self, identity: str) -> Sequence[Source]:
        return await Resolution(self._site, self._settings, self._context).sources(identity)

    def forget(self, entry: Entry) -> None:
        """See `IRenews.forget`."""
        self._resolutions.forget(entry.key)

    async def schedule(self) -> Schedule:
        """See `IScheduled.schedule`."""
        return await self._site.from_any(self._announced)

    async def _announced(self, base: str) -> Schedule:
        failures = []
        broken: ProviderError | None = None
        for name, path in (("S1", schedules.JSON_PAGE), ("S2", schedules.HOME_PAGE)):
            try:
                page = await self._site.page(base, path)
            except ProviderError as error:
                if error.state is ProviderState.BLOCKED:
                    raise
                # One page that fails says nothing of the other.
                broken = broken or error
                continue
            if page is None:
                failures.append(f"shape {name}, there is no such page")
                continue
            read = schedules.Announcements(self._zone, self._context.clock.seconds())
            try:
                steps = (
                    read.read_json(page.body) if name == "S1" else read.read_page(page.body.decode("utf-8", "replace"))
                )
                await self._context.sliced(steps)
            except ProtocolError as error:
                failures.append(f"shape {name}, {error.sentence}")
            else:
                if read.events:
                    return Schedule(read.events, dict(read.skipped))
                failures.append(f"shape {name}, {read.failure}")
            check_page(page, "the site")
        raise broken or ProviderError(ProviderState.NOT_UNDERSTOOD, f"{schedules.SUBJECT}, {'; '.join(failures)}")

    def _zone(self, named: str) -> tzinfo:
        name = self._settings.timezone or named or USUAL_ZONE
        try:
            return ZoneInfo(name)
        except (ValueError, OSError, KeyError):
            raise ProviderError(
                ProviderState.UNCONFIGURED, f"this machine does not know the time zone {name}: install tzdata"
            ) from None


@implementer(IPlugin, IProviderMaker)
class DaddyliveMaker:
    """The plugin."""

    kind = "daddylive"
    summary = "a website that lists channels: daddylive:BASE_URL"
    settings = WebsiteSettings

    def settings_from_argument(self, argument: str) -> Mapping[str, object]:
        """See `IProviderMaker.settings_from_argument`."""
        if not argument.strip():
            return {}
        try:
            return {"base_url": WebsiteSettings(argument).base_url}
        except ValueError as error:
            raise ConfigError(f"what follows daddylive: is wrong: {error}") from None

    def make(self, settings: object, context: ProviderContext) -> IProvider:
        """See `IProviderMaker.make`."""
        assert isinstance(settings, WebsiteSettings)
        provider: IProvider = DaddyliveProvider(settings, context)
        return provider


daddylive = DaddyliveMaker()
