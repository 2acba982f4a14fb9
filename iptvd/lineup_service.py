"""The lineup as it is now: the providers' runners behind it, and the way from a channel to its sources."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, cast

from attrs import evolve
from twisted.application.service import MultiService
from twisted.internet.defer import CancelledError, Deferred

from iptvd.errors import ProviderError, StoreError, UpstreamError
from iptvd.identity import Identities
from iptvd.interfaces import IArchive
from iptvd.lineup import Assembly, Lineup
from iptvd.log import Log
from iptvd.model import Channel, Entry, Source
from iptvd.overrides import Override
from iptvd.proxies import sources_through
from iptvd.recording import Recording
from iptvd.refresh import ProviderRunner, ProviderStatus
from iptvd.rules import Rules
from iptvd.store import RowsFile


class LineupService(MultiService):
    """
    Keeps the lineup in step with its providers.

    :ivar lineup: replaced as a whole; whoever holds an old one may go on using it.
    :ivar overrides: gives what is shown of channels whatever the rules say, by id.
    :param identities_file: where ids and numbers are kept.
    :param published: called with each new lineup.
    """

    log = Log()

    def __init__(
        self,
        identities_file: RowsFile,
        sliced: Callable[[Iterator[object]], Awaitable[None]],
        published: Callable[[Lineup], None] = lambda lineup: None,
    ) -> None:
        super().__init__()
        self.lineup = Lineup()
        self.overrides: Callable[[], Mapping[int, Override]] = dict
        self._file = identities_file
        self._sliced = sliced
        self._published = published
        self._identities = Identities()
        self._rules = Rules(())
        self._merge_by_tvg_id = False
        self._runners: dict[str, ProviderRunner] = {}
        self._rebuilding: Deferred[Any] | None = None
        self._rebuild_again = False
        self._waiting: list[Deferred[None]] = []
        self._loaded = False

    def configure(self, runners: Mapping[str, ProviderRunner], rules: Rules, merge_by_tvg_id: bool) -> None:
        """
        Use these runners, in this order; those that are no longer among them are stopped, new ones are started.

        A channel that is playing goes on: nothing here reaches into a session.
        """
        for name, runner in self._runners.items():
            # Before the ids are loaded none has been started.
            if runners.get(name) is not runner and runner.parent is not None:
                runner.disownServiceParent()
        former, self._runners = self._runners, dict(runners)
        self._rules = rules
        self._merge_by_tvg_id = merge_by_tvg_id
        for name, runner in self._runners.items():
            if former.get(name) is not runner and self._loaded:
                runner.setServiceParent(self)
        if self._loaded:
            self.rebuild()

    @property
    def runners(self) -> Mapping[str, ProviderRunner]:
        """The runners by provider name, in the order of the settings."""
        return self._runners

    @property
    def statuses(self) -> Sequence[ProviderStatus]:
        """How each provider is doing."""
        return [runner.status for runner in self._runners.values()]

    def startService(self) -> None:
        """Load the ids, then start the providers."""
        super().startService()
        self._run(self._load())

    def stopService(self) -> Deferred[Any]:
        """Stop everything; what was kept on disk stays."""
        stopped: Deferred[Any] = super().stopService()
        # Not before: what is told to stop while it runs begins anew for what has come in meanwhile.
        if self._rebuilding is not None:
            self._rebuilding.cancel()
        return stopped

    def refresh(self) -> None:
        """Refresh every provider now."""
        for runner in self._runners.values():
            runner.refresh()

    def rebuild(self) -> None:
        """Put the lineup together anew; called again meanwhile, once more afterwards."""
        if self._rebuilding is not None:
            self._rebuild_again = True
            return
        self._rebuild_again = False
        self._run(self._rebuild())

    async def settled(self) -> None:
        """
        Wait until everything is in the lineup that `rebuild` was called for until now.

        However many wait, it is not put together more often for that.
        """
        rounds = 1 + self._rebuild_again + (not self._loaded)
        while self._rebuilding is not None and rounds:
            rounds -= 1
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            await waiting

    def channel_of(self, provider: str, key: str) -> Channel | None:
        """The channel in the lineup that an entry of a provider is, None where there is none."""
        channel_id = self._identities.find(self._identities.name_of(provider, key))
        return self.lineup.by_id.get(channel_id) if channel_id is not None else None

    async def sources(self, channel: Channel) -> list[tuple[str, Source]]:
        """
        The ways to get a channel, or what it has shown, best first, each with its provider's name; never empty.

        :raises UpstreamError: with the reason, when there is none.
        """
        found: list[tuple[str, Source]] = []
        status, reason = 502, "no provider has it any more"
        if isinstance(channel, Recording):
            status, reason = 404, "no provider of this channel keeps what it has shown"
        for provider, entry in channel.entries:
            if entry.unsupported:
                status, reason = 501, entry.unsupported
                continue
            runner = self._runners.get(provider)
            if runner is None:
                continue
            try:
                ways = sources_through(runner.proxy, await _resolved(runner, channel, entry))
                found.extend((provider, source) for source in ways)
            except ProviderError as error:
                status, reason = 502, f"{provider}: {error.sentence}"
        if not found:
            raise UpstreamError(status, reason)
        return found

    def _run(self, work: Coroutine[Deferred[Any], Any, None]) -> None:
        running: Deferred[Any] = Deferred.fromCoroutine(work)
        self._rebuilding = running

        def ended(result: object) -> None:
            self._rebuilding = None
            waiting, self._waiting = self._waiting, []
            if self._rebuild_again and self.running:
                self.rebuild()
            for one in waiting:
                # Whoever waited may have been cancelled.
                if not one.called:
                    one.callback(None)

        running.addErrback(lambda failure: failure.trap(CancelledError) and None)
        running.addErrback(lambda failure: self.log.fault("the lineup could not be put together", failure))
        running.addBoth(ended)

    async def _load(self) -> None:
        try:
            await self._file.load(self._identities.take)
        except StoreError as error:
            self._identities = Identities()
            aside = self._file.set_aside()
            self.log.error(
                "the channel ids are set aside as {aside} and derived anew: {reason}",
                aside=str(aside),
                reason=error.sentence,
            )
        self._loaded = True
        for runner in self._runners.values():
            runner.setServiceParent(self)

    async def _rebuild(self) -> None:
        assembly = Assembly(
            [(name, runner.entries) for name, runner in self._runners.items()],
            self._rules,
            self._identities,
            self._merge_by_tvg_id,
            self.overrides(),
        )
        await self._sliced(assembly.steps())
        if self._identities.changed:
            # Before anyone sees an id it is on disk: a crash cannot give it to another channel.
            try:
                await self._file.save(self._identities.rows())
            except StoreError as error:
                self._identities.changed = True
                self.log.error("the channel ids could not be kept: {reason}", reason=error.sentence)
        # The same revision may still have new addresses behind it.
        before, self.lineup = self.lineup, assembly.lineup
        if before.revision != self.lineup.revision:
            self._published(self.lineup)
        former = list(before.channels)
        del before
        await self._sliced(_let_go(former))


async def _resolved(runner: ProviderRunner, channel: Channel, entry: Entry) -> Sequence[Source]:
    """The ways to get an entry of a channel; none where its past is asked for and is not kept."""
    if not isinstance(channel, Recording):
        return await runner.resolve(entry)
    provider = runner.provider
    if not entry.catchup or not IArchive.providedBy(provider):
        return ()
    archive = cast(IArchive, provider)
    found = await archive.archive(entry, channel.start, channel.duration)
    return [evolve(source, kind=channel.source_kind) for source in found] if channel.disguised else found


def _let_go(things: list[Channel]) -> Iterator[None]:
    """Forget them a few at a time: to free a hundred thousand at once takes a tenth of a second."""
    while things:
        del things[-200:]
        yield
