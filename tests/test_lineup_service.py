"""The lineup in step with its providers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from iptvd.errors import ProviderError, UpstreamError
from iptvd.interfaces import IArchive
from iptvd.lineup import Lineup
from iptvd.lineup_service import LineupService
from iptvd.model import Entry, Listing, ProviderState, Source, SourceKind
from iptvd.protocols.socks5 import Proxy
from iptvd.recording import recording_of
from iptvd.refresh import ProviderRunner, ProviderStatus
from iptvd.rules import Rule, Rules
from iptvd.store import RowsFile
from tests.doubles import folder_for, offload, result, sliced
from tests.test_refresh import Scripted

ONE = Entry("1", "One", tvg_id="one")
TWO = Entry("2", "Two")


class LineupServiceTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.folder = folder_for(self)
        self.published: list[Lineup] = []

    def service(self) -> LineupService:
        service = LineupService(
            RowsFile(self.folder / "identities.rows", "identities 1", sliced, offload),
            sliced,
            self.published.append,
        )
        self.addCleanup(service.stopService)
        return service

    def runner(self, service: LineupService, name: str, provider: Scripted) -> ProviderRunner:
        return ProviderRunner(
            ProviderStatus(name, "scripted"),
            provider,
            RowsFile(self.folder / f"{name}.rows", "entries 1", sliced, offload),
            self.clock,
            self.clock.seconds,
            3600.0,
            service.rebuild,
            lambda name, state: None,
            Random(1),
        )

    def started(self, *providers: Scripted, rules: tuple[Rule, ...] = (), merge: bool = False) -> LineupService:
        service = self.service()
        runners = {f"p{number}": self.runner(service, f"p{number}", one) for number, one in enumerate(providers)}
        service.configure(runners, Rules(rules), merge)
        service.startService()
        return service


class LineupServiceTests(LineupServiceTestCase):
    def test_it_gathers(self) -> None:
        """What the providers list is the lineup, in their order."""
        service = self.started(Scripted(Listing([ONE])), Scripted(Listing([TWO])))
        self.assertEqual([channel.name for channel in service.lineup.channels], ["One", "Two"])
        self.assertIs(self.published[-1], service.lineup)

    def test_ids_survive(self) -> None:
        """A restart finds every channel under the id it had."""
        before = self.started(Scripted(Listing([ONE, TWO])))
        before.stopService()
        after = self.started(Scripted(Listing([TWO, ONE])))
        self.assertEqual(set(before.lineup.by_id), set(after.lineup.by_id))
        for channel_id, channel in after.lineup.by_id.items():
            self.assertEqual(channel.number, before.lineup.by_id[channel_id].number)

    def test_damaged_ids(self) -> None:
        """When the ids' file is damaged it is set aside, and the channels have the same ids all the same."""
        before = self.started(Scripted(Listing([ONE, TWO])))
        before.stopService()
        (self.folder / "identities.rows").write_bytes(b"{}\nrubbish")
        after = self.started(Scripted(Listing([ONE, TWO])))
        self.assertEqual(set(before.lineup.by_id), set(after.lineup.by_id))
        self.assertTrue((self.folder / "identities.rows.damaged").exists())

    def test_new_addresses_are_used(self) -> None:
        """When only the addresses behind the channels change, the next viewer gets the new ones."""
        moved = Entry("1", "One", tvg_id="one", origin={"url": "http://example.com/new"})
        service = self.started(Scripted(Listing([ONE]), Listing([moved])))
        revision = service.lineup.revision
        self.clock.advance(4000)
        self.assertEqual(service.lineup.channels[0].entry, moved)
        self.assertEqual(service.lineup.revision, revision)
        self.assertEqual(len(self.published), 1)

    def test_reconfiguring(self) -> None:
        """With other settings a provider that stays is not asked anew, one that goes takes its channels along."""
        stays, goes, comes = Scripted(Listing([ONE])), Scripted(Listing([TWO])), Scripted(Listing([TWO]))
        service = self.started(stays, goes)
        kept = dict(service.runners)["p0"]
        runners = {"new": self.runner(service, "new", comes), "p0": kept}
        service.configure(runners, Rules([Rule("One", name="1")]), False)
        self.assertEqual([channel.name for channel in service.lineup.channels], ["Two", "1"])
        self.assertEqual((stays.fetches, comes.fetches), (1, 1))
        self.clock.advance(10_000)
        self.assertEqual(goes.fetches, 1)

    def test_stopped_while_it_is_put_together(self) -> None:
        """Once it is told to stop nothing is put together any more, whatever has come in meanwhile."""
        waiting: list[Deferred[None]] = []

        def later(steps: Iterator[object]) -> Deferred[None]:
            waiting.append(Deferred())
            return waiting[-1]

        service = LineupService(
            RowsFile(self.folder / "identities.rows", "identities 1", sliced, offload), later, self.published.append
        )
        service.startService()
        service.rebuild()
        service.rebuild()
        self.assertEqual(len(waiting), 1)
        service.stopService()
        self.assertEqual((len(waiting), self.published), (1, []))

    def test_sources_of_a_merged_channel(self) -> None:
        """A channel of two providers has the sources of both, the first's first."""
        service = self.started(Scripted(Listing([ONE])), Scripted(Listing([ONE])), merge=True)
        channel = service.lineup.channels[0]
        self.assertEqual([name for name, _ in result(service.sources(channel))], ["p0", "p1"])

    def test_a_source_that_is_not_to_be_had(self) -> None:
        """When the one provider of a channel cannot resolve it, the reason is told without an address."""

        class Failing(Scripted):
            async def resolve(self, entry: Entry) -> list[Source]:
                raise ProviderError(ProviderState.AUTH_FAILED, "the account has expired")

        service = self.started(Failing(Listing([ONE])))
        with self.assertRaisesRegex(UpstreamError, "p0: the account has expired"):
            result(service.sources(service.lineup.channels[0]))

    def test_the_other_provider_helps(self) -> None:
        """When one of two providers cannot resolve a channel, the other's sources are used."""

        class Failing(Scripted):
            async def resolve(self, entry: Entry) -> list[Source]:
                raise ProviderError(ProviderState.AUTH_FAILED, "the account has expired")

        service = self.started(Failing(Listing([ONE])), Scripted(Listing([ONE])), merge=True)
        found = result(service.sources(service.lineup.channels[0]))
        self.assertEqual(found, [("p1", Source(SourceKind.TS, url="http://example.com/"))])

    def test_behind_a_proxy(self) -> None:
        """What a provider has is to be had through its proxy alone."""
        proxy, service = Proxy("proxy.test", 1080), self.service()
        runners = {name: self.runner(service, name, Scripted(Listing([ONE]))) for name in ("home", "away")}
        runners["home"].proxy = proxy
        service.configure(runners, Rules(()), False)
        service.startService()
        ways = [result(service.sources(channel)) for channel in service.lineup.channels]
        self.assertEqual([(name, source.proxy) for ((name, source),) in ways], [("home", proxy), ("away", None)])

    def test_what_was_shown(self) -> None:
        """What a channel has shown comes from the providers that keep it, and from no other."""

        @implementer(IArchive)
        class Keeping(Scripted):
            asked: list[tuple[str, float, float]] = []

            async def archive(self, entry: Entry, start: float, duration: float) -> list[Source]:
                self.asked.append((entry.key, start, duration))
                return [Source(SourceKind.VOD, url="http://example.com/past")]

        kept = evolve(ONE, catchup=(("catchup", "shift"),))
        service = self.started(Scripted(Listing([kept])), Keeping(Listing([kept])), merge=True)
        past = recording_of(service.lineup.channels[0], 100, 60)
        found = result(service.sources(past))
        self.assertEqual(found, [("p1", Source(SourceKind.VOD, url="http://example.com/past"))])
        self.assertEqual(Keeping.asked, [("1", 100, 60)])
        ((_, source),) = result(service.sources(past.of_kind(SourceKind.HLS, disguised=True)))
        self.assertIs(source.kind, SourceKind.HLS)

    def test_what_nobody_keeps(self) -> None:
        """Where no provider keeps it, or none can tell where, that is said."""

        @implementer(IArchive)
        class Failing(Scripted):
            async def archive(self, entry: Entry, start: float, duration: float) -> list[Source]:
                raise ProviderError(ProviderState.AUTH_FAILED, "the account has expired")

        kept = evolve(ONE, catchup=(("catchup", "shift"),))
        for provider, status, words in (
            (Scripted(Listing([kept])), 404, "keeps what it has shown"),
            (Failing(Listing([ONE])), 404, "keeps what it has shown"),
            (Failing(Listing([kept])), 502, "p0: the account has expired"),
        ):
            service = self.started(provider)
            with self.assertRaisesRegex(UpstreamError, words) as raised:
                result(service.sources(recording_of(service.lineup.channels[0], 100, 60)))
            self.assertEqual(raised.exception.status, status)

    def test_unsupported(self) -> None:
        """What cannot be played says why."""
        service = self.started(Scripted(Listing([Entry("x", "X", unsupported="it is protected by DRM")])))
        with self.assertRaisesRegex(UpstreamError, "DRM") as raised:
            result(service.sources(service.lineup.channels[0]))
        self.assertEqual(raised.exception.status, 501)

    def test_one_of_two_is_unsupported(self) -> None:
        """What one provider has in a form that cannot be played is played from the other, whichever comes first."""
        drm = Entry("x", "X", tvg_id="one", source_kind=SourceKind.HLS, unsupported="it is protected by DRM")
        for listings in ((drm, ONE), (ONE, drm)):
            service = self.started(*(Scripted(Listing([entry])) for entry in listings), merge=True)
            (channel,) = service.lineup.channels
            self.assertEqual((channel.entry, channel.source_kind, channel.extension), (ONE, SourceKind.TS, "ts"))
            self.assertEqual(len(channel.entries), 2)
            self.assertEqual(len(result(service.sources(channel))), 1)

    def test_statuses(self) -> None:
        """The state of each provider is at hand, in the order of the settings."""
        failing = Scripted(ProviderError(ProviderState.UNREACHABLE, "it does not answer"))
        service = self.started(Scripted(Listing([ONE])), failing)
        self.assertEqual(
            [(status.name, status.state) for status in service.statuses],
            [("p0", ProviderState.OK), ("p1", ProviderState.UNREACHABLE)],
        )


class SettledTests(LineupServiceTestCase):
    def waiting_service(self) -> tuple[LineupService, list[Deferred[None]]]:
        """One that has loaded, whose work is done when the test says."""
        works: list[Deferred[None]] = []

        def later(steps: Iterator[object]) -> Deferred[None]:
            for _ in steps:
                pass
            works.append(Deferred())
            return works[-1]

        file = RowsFile(self.folder / "identities.rows", "identities 1", sliced, offload)
        service = LineupService(file, later, self.published.append)
        self.addCleanup(service.stopService)
        service.startService()
        return service, works

    def finish(self, works: list[Deferred[None]], count: int = 100) -> None:
        """Do what is to be done now, and what follows of that, so many times."""
        while works and count:
            count -= 1
            works.pop(0).callback(None)

    def wait(self, service: LineupService) -> Deferred[None]:
        return Deferred.fromCoroutine(service.settled())

    def test_nothing_to_wait_for(self) -> None:
        """Where nothing is to be put together nobody waits."""
        self.successResultOf(self.wait(self.started(Scripted(Listing([ONE])))))

    def test_once_for_all(self) -> None:
        """Who asks for it while it is put together waits for the next time, which is the same for all of them."""
        service, works = self.waiting_service()
        self.finish(works)
        service.rebuild()
        first = self.wait(service)
        service.rebuild()
        service.rebuild()
        second, third = self.wait(service), self.wait(service)
        self.finish(works, 2)
        self.successResultOf(first)
        self.assertNoResult(second)
        self.assertEqual(len(works), 1)
        third.addErrback(lambda failure: None)
        third.cancel()
        self.finish(works)
        self.successResultOf(second)
        self.assertEqual(works, [])

    def test_before_the_ids_are_there(self) -> None:
        """Who asks before the ids are loaded waits until the lineup is there, too."""
        works: list[Deferred[None]] = []

        class Slow(RowsFile):
            async def load(self, take: Callable[[object], None]) -> bool:
                works.append(Deferred())
                await works[-1]
                return await super().load(take)

        file = Slow(self.folder / "identities.rows", "identities 1", sliced, offload)
        service = LineupService(file, sliced, self.published.append)
        service.configure({"p": self.runner(service, "p", Scripted(Listing([ONE])))}, Rules(()), False)
        self.addCleanup(service.stopService)
        service.startService()
        waiting = self.wait(service)
        self.assertNoResult(waiting)
        works.pop().callback(None)
        self.successResultOf(waiting)
        self.assertEqual(len(service.lineup.channels), 1)

    def test_stopping(self) -> None:
        """Nobody waits for ever for what is not put together any more."""
        service, works = self.waiting_service()
        self.finish(works)
        service.rebuild()
        service.rebuild()
        waiting = self.wait(service)
        service.stopService()
        self.successResultOf(waiting)

    def test_the_channel_of_an_entry(self) -> None:
        """A provider's entry is found in the lineup, and one that is not there is not."""
        service = self.started(Scripted(Listing([ONE, TWO])), rules=(Rule("Two", hide=True),))
        self.assertIs(service.channel_of("p0", "1"), service.lineup.channels[0])
        for provider, key in (("p0", "2"), ("p0", "3"), ("p1", "1")):
            self.assertIsNone(service.channel_of(provider, key))
