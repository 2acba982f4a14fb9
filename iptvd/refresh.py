"""One provider through its life: the last good listing from disk, refreshes with jitter, backoff when they fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

from attrs import define, evolve, field
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from iptvd.errors import ProviderError, StoreError
from iptvd.interfaces import IProvider, IRenews
from iptvd.log import Log
from iptvd.model import Account, ChannelKind, Entry, ProviderState, Source, SourceKind
from iptvd.protocols.socks5 import Proxy
from iptvd.repeating import Repeating
from iptvd.store import RowsFile

#: Seconds until a failed refresh is tried again, doubled with each failure in a row.
FIRST_RETRY = 30.0
#: Seconds between tries of what only a person can mend: a missing setting, a refusal.
SLOW_RETRY = 3600.0

_FOR_A_PERSON = (ProviderState.UNCONFIGURED, ProviderState.BLOCKED)


@define
class ProviderStatus:
    """
    What is known of a provider now.

    :ivar sentence: why the state is what it is; empty when it is ok.
    :ivar last_good: when the entries in use were fetched, in seconds since the epoch, or None.
    :ivar next_refresh: when it is asked again, likewise.
    """

    name: str
    kind: str
    state: ProviderState = ProviderState.LOADING
    sentence: str = ""
    entries: int = 0
    last_good: float | None = None
    next_refresh: float | None = None
    failures: int = 0
    skipped: Mapping[str, int] = field(factory=dict)
    account: Account | None = None


def to_row(entry: Entry) -> dict[str, object]:
    """An entry as JSON, what is default left out."""
    row: dict[str, object] = {"key": entry.key, "name": entry.name, "origin": dict(entry.origin)}
    if entry.kind is not ChannelKind.LIVE:
        row["kind"] = entry.kind.value
    if entry.source_kind is not SourceKind.TS:
        row["source_kind"] = entry.source_kind.value
    if entry.extension != "ts":
        row["extension"] = entry.extension
    if entry.number is not None:
        row["number"] = entry.number
    if entry.catchup:
        row["catchup"] = entry.catchup
    for name in ("group", "tvg_id", "tvg_name", "logo", "unsupported", "sharing"):
        value = getattr(entry, name)
        if value:
            row[name] = value
    return row


def from_row(row: object) -> Entry:
    """
    The entry back.

    :raises ValueError, KeyError, TypeError: when the row is not one.
    """
    if not isinstance(row, dict):
        raise TypeError("an entry is an object")
    row["kind"] = ChannelKind(row.get("kind", "live"))
    row["source_kind"] = SourceKind(row.get("source_kind", "ts"))
    row["catchup"] = tuple((name, value) for name, value in row.get("catchup", ()))
    return Entry(**row)


class ProviderRunner(Repeating):
    """
    Keeps one provider's entries: loads what was good last, then refreshes again and again.

    :ivar entries: the last good ones.
    :ivar provider: what it asks.
    :ivar proxy: through which its sources are to be had, None for straight.
    :param file: where they are kept; None for a provider that keeps them itself, and may have none.
    :param changed: called when ``entries`` has become another list.
    :param refreshed: called after each refresh with its result, for the metrics.
    """

    log = Log()

    def __init__(
        self,
        status: ProviderStatus,
        provider: IProvider,
        file: RowsFile | None,
        clock: IReactorTime,
        wall: Callable[[], float],
        interval: float,
        changed: Callable[[], None],
        refreshed: Callable[[str, ProviderState], None],
        random: Random,
        proxy: Proxy | None = None,
    ) -> None:
        super().__init__(f"provider {status.name}", self._refresh, clock, random, self._load)
        self._status = status
        self.entries: Sequence[Entry] = ()
        self.provider = provider
        self._file = file
        self._wall = wall
        self._interval = interval
        self._changed = changed
        self._refreshed = refreshed
        self.proxy = proxy

    @property
    def status(self) -> ProviderStatus:
        """What is known of it now."""
        due = self.due_in
        self._status.next_refresh = self._wall() + due if due is not None else None
        return self._status

    def refresh(self, *, afresh: bool = False) -> None:
        """
        Refresh now, unless that is being done.

        :param afresh: see `Repeating.now`.
        """
        self.now(afresh=afresh)

    async def resolve(self, entry: Entry) -> Sequence[Source]:
        """See `IProvider.resolve`; what an origin refuses is resolved anew by a provider that `IRenews`."""
        sources = await self.provider.resolve(entry)
        provider = self.provider
        if not IRenews.providedBy(provider):
            return sources
        return [evolve(source, renew=lambda: provider.forget(entry)) for source in sources]

    async def _load(self) -> None:
        """What was good last."""
        if self._file is None:
            return
        found: list[Entry] = []
        try:
            fetched = await self._file.load_dated(lambda row: found.append(from_row(row)))
        except StoreError as error:
            aside = self._file.set_aside()
            self.log.error(
                "{provider}: the kept copy is set aside as {aside} and made anew: {reason}",
                provider=self._status.name,
                aside=str(aside),
                reason=error.sentence,
            )
        else:
            if found:
                self.entries = found
                self._status.entries = len(found)
                self._status.last_good = fetched
                self._status.state = ProviderState.STALE
                self._status.sentence = "not refreshed since the start yet"
                self._changed()

    async def _refresh(self) -> float:
        """Ask for all there is; the seconds until the next time."""
        status = self._status
        try:
            listing = await self.provider.fetch()
            if listing is not None and not listing.entries and self._file is not None:
                raise ProviderError(ProviderState.NOT_UNDERSTOOD, "it lists nothing at all")
        except ProviderError as error:
            delay = self._failed(error.state, error.sentence)
        except CancelledError:
            raise
        except Exception:
            self.log.fault("{provider}: a fault of ours or of the plugin", Failure(), provider=status.name)
            delay = self._failed(
                ProviderState.NOT_UNDERSTOOD, "its answer was not understood; the log has the details"
            )
        else:
            now = self._wall()
            if listing is not None:
                status.account, status.skipped = listing.account, listing.skipped
                await self._keep(now, listing.entries)
                before, self.entries = self.entries, listing.entries
                if before or self.entries:
                    self._changed()
            status.state, status.sentence, status.failures = ProviderState.OK, "", 0
            status.entries, status.last_good = len(self.entries), now
            self.log.info("{provider}: {entries} entries", provider=status.name, entries=status.entries)
            delay = self._interval
        self._refreshed(status.name, status.state)
        return delay

    async def _keep(self, now: float, entries: Sequence[Entry]) -> None:
        if self._file is None:
            return
        try:
            await self._file.save_dated(now, map(to_row, entries))
        except StoreError as error:
            self.log.error("{provider}: {reason}", provider=self._status.name, reason=error.sentence)

    def _failed(self, state: ProviderState, sentence: str) -> float:
        """The seconds until it is asked again."""
        status = self._status
        status.failures += 1
        if (state, sentence) != (status.state, status.sentence):
            self.log.warn("{provider}: {state}: {reason}", provider=status.name, state=state.value, reason=sentence)
        status.state, status.sentence = state, sentence
        if state in _FOR_A_PERSON:
            return min(SLOW_RETRY, self._interval)
        return backoff(FIRST_RETRY, status.failures, self._interval)


def backoff(first: float, failures: int, interval: float) -> float:
    """
    Seconds until that is tried again which has failed so often in a row.

    :param first: after the first failure; doubled with each that follows, up to the interval.
    """
    return min(first * 2.0 ** min(failures - 1, 16), interval)
