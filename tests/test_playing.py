"""Everything that plays, as the settings have it."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from iptvd import playing
from iptvd.lineup_service import LineupService
from iptvd.metrics import Metrics
from iptvd.model import Account, ProviderState
from iptvd.playing import Playing, live_settings, ring_budget
from iptvd.refresh import ProviderStatus
from iptvd.settings import Config, ProviderSpec
from iptvd.tokens import KEY_SIZE
from tests.doubles import admission, offload, result, sliced
from tests.web.building import entries, lineup_of


class Runner:
    """What is known of a provider."""

    def __init__(self, account: Account | None) -> None:
        self.status = ProviderStatus("home", "xtream", ProviderState.OK, account=account)


class Lineups:
    """A lineup of one provider."""

    def __init__(self) -> None:
        self.lineup = lineup_of(*entries(2))
        self.runners: dict[str, Runner] = {}

    async def sources(self, channel: object) -> list[object]:
        return []


def spec(**options: Any) -> ProviderSpec:
    return ProviderSpec(name="home", kind="xtream", settings=None, **options)


class PlayingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lineups = Lineups()

    def make(self, config: Config) -> Playing:
        lineup: Any = self.lineups
        reactor: Any = MemoryReactorClock()
        service: LineupService = lineup
        playing = Playing(
            config,
            service,
            Metrics(list),
            reactor,
            reactor.seconds,
            offload,
            sliced,
            "ffmpeg",
            bytes(KEY_SIZE),
            admission(reactor).accounts,
        )
        self.addCleanup(lambda: result(playing.stop()))
        return playing

    def test_figures(self) -> None:
        """The metrics tell of each provider's connections, and how many it allows."""
        statuses = [ProviderStatus("home", "xtream", ProviderState.OK)]
        metrics, reactor = Metrics(lambda: statuses), MemoryReactorClock()
        lineup: Any = self.lineups
        clock: Any = reactor
        config = Config(providers=(spec(max_connections=3),))
        wall, accounts = clock.seconds, admission(clock).accounts
        playing = Playing(config, lineup, metrics, clock, wall, offload, sliced, "", bytes(KEY_SIZE), accounts)
        self.addCleanup(lambda: result(playing.stop()))
        slot = playing.slots.take("home")
        text = metrics.text().decode()
        self.assertIn('iptvd_connections_used{provider="home"} 1.0', text)
        self.assertIn('iptvd_connections_limit{provider="home"} 3.0', text)
        assert slot is not None
        slot.release()

    def test_connections(self) -> None:
        """A provider's connections are limited as the settings say, else as it says itself, else not at all."""
        playing = self.make(Config(providers=(spec(),)))
        self.assertEqual(playing.slots.limit("home"), 0)
        self.lineups.runners["home"] = Runner(None)
        self.assertEqual(playing.slots.limit("home"), 0)
        self.lineups.runners["home"] = Runner(Account(max_connections=2))
        self.assertEqual((playing.slots.limit("home"), playing.slots.limit("other")), (2, 0))
        playing.reconfigure(Config(providers=(spec(max_connections=5),)))
        self.assertEqual(playing.slots.limit("home"), 5)
        playing.reconfigure(Config(providers=(spec(max_connections=0),)))
        self.assertEqual(playing.slots.limit("home"), 0)

    def test_sharing(self) -> None:
        """Live channels are shared unless it is said otherwise: of the channel, else of its provider, else of all."""
        channel = self.lineups.lineup.channels[0]
        for overall, own, its, shared in (
            ("auto", None, "", True),
            ("shared", None, "", True),
            ("isolated", None, "", False),
            ("isolated", "shared", "", True),
            ("auto", "isolated", "", False),
            ("auto", "isolated", "shared", True),
            ("auto", "isolated", "auto", True),
            ("isolated", "shared", "isolated", False),
            ("shared", None, "isolated", False),
        ):
            playing = self.make(Config(sharing=overall, providers=(spec(sharing=own),)))
            self.assertEqual(playing.faces.shares(evolve(channel, sharing=its)), shared, (overall, own, its))

    def test_other_settings(self) -> None:
        """Settings that are reloaded hold from then on."""
        playing = self.make(Config())
        playing.hub.found_playlist(self.lineups.lineup.channels[0])
        playing.reconfigure(
            Config(
                max_streams=7, proxy_content=False, linger=9.0, stall_timeout=2.0, client_timeout=4.0, hls_target=4.0
            )
        )
        self.assertEqual((playing.hub.max_streams, playing.hls.proxy_content), (7, False))
        self.assertEqual((playing.live.settings.linger, playing.live.settings.timing.stall), (9.0, 2.0))
        self.assertEqual(playing.packaged.target, 4.0)
        self.assertIs(playing.player.clips, playing.clips)
        channel = self.lineups.lineup.channels[0]
        self.assertIs(playing.hub.kind_of(channel), channel.source_kind)

    def test_memory(self) -> None:
        """What all rings may take is as set, else a part of the machine's memory."""
        self.assertEqual(ring_budget(Config(ring_budget_mb=64)), 64 << 20)
        self.assertGreater(ring_budget(Config()), 64 << 20)

    def test_how_far_back(self) -> None:
        """Players that probe get more at once, but never more than half of what is kept, nor less than others."""
        config = Config()
        for span, back, expected in ((12.0, 2.0, 6.0), (8.0, 2.0, 4.0), (30.0, 2.0, 6.0), (12.0, 8.0, 8.0)):
            settings = live_settings(evolve(config, ring_seconds=span, join_back=back))
            self.assertEqual((settings.probe_back, settings.span, settings.join_back), (expected, span, back))

    def test_without_splice(self) -> None:
        """Where the platform does not splice there are no pipes, and the end is as quiet."""
        self.patch(playing, "AVAILABLE", False)
        self.make(Config())
