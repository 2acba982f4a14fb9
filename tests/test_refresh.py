"""A provider through its life."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from iptvd.errors import ProviderError
from iptvd.interfaces import IProvider, IRenews
from iptvd.model import Account, ChannelKind, Entry, Listing, ProviderState, Source, SourceKind
from iptvd.refresh import FIRST_RETRY, ProviderRunner, ProviderStatus, from_row, to_row
from iptvd.repeating import AFTER_FAULT, JITTER
from iptvd.store import RowsFile
from tests.doubles import folder_for, offload, result, sliced

ONE = Entry("1", "One")
FULL = Entry(
    "k",
    "Ünïcode",
    ChannelKind.VOD,
    SourceKind.VOD,
    "mkv",
    "Group",
    7,
    "tvg",
    "name",
    "http://example.com/l.png",
    (("catchup", "default"),),
    {"url": "http://example.com/x", "headers": [["Referer", "http://example.com/"]]},
    "protected",
    "isolated",
)


@implementer(IProvider)
class Scripted:
    """Gives what its script says, one thing a fetch; the last again and again."""

    def __init__(self, *script: Listing | Exception | None) -> None:
        self.script = list(script)
        self.fetches = 0

    async def fetch(self) -> Listing | None:
        self.fetches += 1
        now = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(now, Exception):
            raise now
        return now

    async def resolve(self, entry: Entry) -> Sequence[Source]:
        return [Source(SourceKind.TS, url="http://example.com/")]


class RowTests(SynchronousTestCase):
    def test_entries_come_back(self) -> None:
        """An entry is the same after it was kept on disk."""
        for entry in (ONE, FULL):
            self.assertEqual(from_row(dict(to_row(entry))), entry)


class ProviderRunnerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.folder = folder_for(self)
        self.changes = 0
        self.refreshes: list[ProviderState] = []
        self.fault: Exception | None = None

    @property
    def path(self) -> Path:
        return self.folder / "lineup.rows"

    def changed(self) -> None:
        self.changes += 1
        if self.fault is not None:
            raise self.fault

    def runner(self, provider: Scripted, interval: float = 3600.0) -> ProviderRunner:
        runner = ProviderRunner(
            ProviderStatus("home", "scripted"),
            provider,
            RowsFile(self.path, "entries 1", sliced, offload),
            self.clock,
            lambda: 1000.0 + self.clock.seconds(),
            interval,
            self.changed,
            lambda name, state: self.refreshes.append(state),
            Random(1),
        )
        runner.startService()
        self.addCleanup(runner.stopService)
        return runner

    def test_the_first_refresh(self) -> None:
        """A provider that works is ok, with its entries and its account."""
        account = Account("Active", max_connections=2)
        runner = self.runner(Scripted(Listing([ONE], account, {"not a stream": 3})))
        status = runner.status
        self.assertEqual((status.state, status.entries, status.last_good), (ProviderState.OK, 1, 1000.0))
        self.assertEqual((status.account, status.skipped), (account, {"not a stream": 3}))
        self.assertEqual((self.changes, self.refreshes), (1, [ProviderState.OK]))

    def test_it_is_asked_again(self) -> None:
        """A provider is asked again after its interval, give or take a tenth."""
        provider = Scripted(Listing([ONE]))
        self.runner(provider)
        self.clock.advance(3600 * 0.89)
        self.assertEqual(provider.fetches, 1)
        self.clock.advance(3600 * 0.22)
        self.assertEqual(provider.fetches, 2)

    def test_a_failed_refresh_loses_nothing(self) -> None:
        """When a refresh fails the last good entries stay, and the state says why."""
        failure = ProviderError(ProviderState.UNREACHABLE, "it does not answer")
        runner = self.runner(Scripted(Listing([ONE]), failure))
        self.clock.advance(4000)
        self.assertEqual(list(runner.entries), [ONE])
        status = runner.status
        self.assertEqual((status.state, status.sentence), (ProviderState.UNREACHABLE, "it does not answer"))
        self.assertEqual((status.last_good, status.entries), (1000.0, 1))

    def test_an_empty_list_is_a_failure(self) -> None:
        """A provider that suddenly lists nothing is not understood, and its channels stay."""
        runner = self.runner(Scripted(Listing([ONE]), Listing([])))
        self.clock.advance(4000)
        self.assertEqual(list(runner.entries), [ONE])
        self.assertEqual(runner.status.state, ProviderState.NOT_UNDERSTOOD)

    def test_backoff(self) -> None:
        """A provider that fails is asked again soon, then less and less often, never more rarely than its interval."""
        provider = Scripted(ProviderError(ProviderState.UNREACHABLE, "it does not answer"))
        runner = self.runner(provider)
        delays = []
        for _ in range(12):
            delays.append((runner.status.next_refresh or 0) - 1000.0 - self.clock.seconds())
            self.clock.advance(delays[-1] + 0.001)
        for number, delay in enumerate(delays):
            planned = min(FIRST_RETRY * 2**number, 3600)
            self.assertTrue(0.9 * planned <= delay <= 1.1 * planned, f"{delay} for {planned}")
        self.assertEqual(provider.fetches, 13)

    def test_recovery(self) -> None:
        """Once it works again it is ok, and asked at its interval."""
        runner = self.runner(Scripted(ProviderError(ProviderState.BLOCKED, "it answered 403"), Listing([ONE])))
        self.assertEqual(runner.status.state, ProviderState.BLOCKED)
        self.clock.advance(4000)
        self.assertEqual((runner.status.state, runner.status.sentence), (ProviderState.OK, ""))
        self.assertEqual(runner.status.failures, 0)

    def test_what_needs_a_person_is_asked_rarely(self) -> None:
        """A missing setting or a refusal is not asked again within the hour's better part."""
        for state in (ProviderState.UNCONFIGURED, ProviderState.BLOCKED):
            provider = Scripted(ProviderError(state, "set url"))
            self.runner(provider)
            self.clock.advance(3000)
            self.assertEqual(provider.fetches, 1)

    def test_a_restart(self) -> None:
        """After a restart the channels are there before the provider has answered, and they are stale."""
        self.runner(Scripted(Listing([ONE, FULL])))
        silent: Deferred[Listing] = Deferred()

        class Silent(Scripted):
            async def fetch(self) -> Listing | None:
                return await silent

        runner = self.runner(Silent(None))
        self.assertEqual(list(runner.entries), [ONE, FULL])
        self.assertEqual((runner.status.state, runner.status.last_good), (ProviderState.STALE, 1000.0))

    def test_nothing_new(self) -> None:
        """A provider that says that nothing changed is ok with what it had, and nothing is put together anew."""
        runner = self.runner(Scripted(Listing([ONE]), None))
        self.clock.advance(4000)
        self.assertEqual((runner.status.state, list(runner.entries), self.changes), (ProviderState.OK, [ONE], 1))

    def test_a_damaged_copy(self) -> None:
        """A damaged copy on disk is set aside, told of, and made anew."""
        self.runner(Scripted(Listing([ONE])))
        data = self.path.read_bytes()
        self.path.write_bytes(data[:-3])
        runner = self.runner(Scripted(Listing([FULL])))
        self.assertEqual(list(runner.entries), [FULL])
        self.assertTrue((self.folder / "lineup.rows.damaged").exists())
        self.assertNotEqual(self.path.read_bytes(), data)

    def test_a_plugin_with_a_fault(self) -> None:
        """A plugin that fails in a way of its own loses nothing either, and its message reaches no log."""
        runner = self.runner(Scripted(Listing([ONE]), ValueError("http://user:secret@example.com/")))
        self.clock.advance(4000)
        logged = self.flushLoggedErrors()
        self.assertEqual(len(logged), 1)
        self.assertIn("ValueError", str(logged[0]))
        self.assertNotIn("secret", str(logged[0]) + runner.status.sentence)
        self.assertEqual(runner.status.state, ProviderState.NOT_UNDERSTOOD)
        self.assertEqual(list(runner.entries), [ONE])

    def test_a_fault_with_a_new_list(self) -> None:
        """When a fault of ours keeps a new list from being taken on, the provider is asked again all the same."""
        provider = Scripted(Listing([ONE]))
        self.fault = ValueError("a fault")
        self.runner(provider)
        self.assertEqual((provider.fetches, len(self.flushLoggedErrors())), (1, 1))
        self.fault = None
        self.clock.advance(AFTER_FAULT * (1 + JITTER))
        self.assertEqual((provider.fetches, self.refreshes), (2, [ProviderState.OK]))

    def test_stopping_cancels(self) -> None:
        """A runner that is stopped asks no more."""
        provider = Scripted(Listing([ONE]))
        runner = self.runner(provider)
        runner.stopService()
        self.clock.advance(100_000)
        self.assertEqual(provider.fetches, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_refresh_on_demand(self) -> None:
        """A refresh that is asked for happens at once, and the plan starts anew."""
        provider = Scripted(Listing([ONE]))
        runner = self.runner(provider)
        runner.refresh()
        self.assertEqual(provider.fetches, 2)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_what_is_to_be_resolved_anew(self) -> None:
        """A provider that remembers where things are is told what its origin refuses; others are left alone."""

        @implementer(IRenews)
        class Remembering(Scripted):
            forgotten: list[Entry] = []

            def forget(self, entry: Entry) -> None:
                self.forgotten.append(entry)

        provider = Remembering(Listing([ONE]))
        (source,) = result(self.runner(provider).resolve(ONE))
        assert source.renew is not None
        source.renew()
        self.assertEqual(provider.forgotten, [ONE])
        (source,) = result(self.runner(Scripted(Listing([ONE]))).resolve(ONE))
        self.assertIsNone(source.renew)
