"""How we are, for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Iterator
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from iptvd import __version__
from iptvd.accounts import User
from iptvd.delivery.hub import REMEMBERED
from iptvd.delivery.session import Face, Viewer
from iptvd.delivery.viewers import TransportViewer
from iptvd.lineup import Lineup
from iptvd.lineup_service import LineupService
from iptvd.model import Account, Outcome, ProviderState
from iptvd.refresh import ProviderStatus
from iptvd.web.health import Health, judge
from tests.delivery.test_live import LiveTestCase
from tests.delivery.test_relay import Glass
from tests.doubles import join, sliced
from tests.protocols.tsmaking import made_film
from tests.web.building import HOME, OPERATOR, STRANGER, UPSTREAM, Tree, entries, lineup_of

OK = ProviderStatus("a", "m3u", ProviderState.OK)
LOADING = ProviderStatus("b", "m3u")
DOWN = ProviderStatus("c", "m3u", ProviderState.UNREACHABLE, "it does not answer")
STALE = ProviderStatus("d", "m3u", ProviderState.STALE)


class JudgeTests(SynchronousTestCase):
    def test_each_state(self) -> None:
        """A provider is well when it is fetched or being fetched for the first time; else there is a reason."""
        for state in ProviderState:
            verdict, reasons = judge([ProviderStatus("p", "m3u", state, "because")], 1)
            if state in (ProviderState.OK, ProviderState.LOADING):
                self.assertEqual((verdict, reasons), ("healthy", {}))
            else:
                self.assertEqual((verdict, reasons), ("degraded", {"p": f"{state.value}: because"}))

    def test_the_verdict(self) -> None:
        """Some provider unwell is degraded; nothing to watch and nothing on its way is failing."""
        for statuses, channels, verdict, unwell in (
            ([OK], 5, "healthy", ""),
            ([LOADING], 0, "healthy", ""),
            ([OK, DOWN], 5, "degraded", "c"),
            ([DOWN], 5, "degraded", "c"),
            ([DOWN, STALE], 5, "degraded", "cd"),
            ([DOWN, LOADING], 0, "degraded", "c"),
            ([DOWN], 0, "failing", "c"),
            ([DOWN, OK], 0, "failing", "c"),
            ([], 0, "healthy", ""),
        ):
            found, reasons = judge(iter(statuses), channels)
            self.assertEqual((found, "".join(reasons)), (verdict, unwell))
        self.assertEqual(judge([STALE], 1)[1], {"d": "stale"})


class HealthTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = Tree(lineup_of(*entries(4)))

    def facts(self, path: str = "/health", status: int = 200) -> dict[str, Any]:
        answer = self.tree.ask(path, peer=OPERATOR)
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (status, "application/json"))
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        facts: dict[str, Any] = json.loads(answer.plain)
        return facts

    def test_everything_is_told(self) -> None:
        """All that dashboards read is there: the verdict, the counts, the use, the time, the version, the lag."""
        one, two, *_ = self.tree.shown.lineup.channels
        self.tree.watch(one)
        self.tree.watch(one)
        self.tree.clock.advance(12.34)
        self.assertEqual(
            self.facts(),
            {
                "status": "healthy",
                "reasons": {},
                "channels_count": 4,
                "cache_size": 0,
                "active_channels": 1,
                "total_active_streams": 2,
                "max_concurrent_streams": 5,
                "stream_utilization": "40.0%",
                "uptime": 12.3,
                "uptime_seconds": 12.3,
                "version": __version__,
                "loop_lag_seconds": {"last": 0.0, "p99": 0.0, "worst": 0.0},
            },
        )
        self.tree.watch(two)
        facts = self.facts()
        self.assertEqual((facts["active_channels"], facts["stream_utilization"]), (2, "60.0%"))

    def test_without_a_limit(self) -> None:
        """Where there is no limit nothing of it is in use."""
        self.tree = Tree(max_streams=0)
        self.tree.watch(self.tree.shown.lineup.channels[0])
        facts = self.facts()
        self.assertEqual((facts["max_concurrent_streams"], facts["stream_utilization"]), (0, "0.0%"))

    def test_degraded(self) -> None:
        """While one provider is unwell we still answer 200, and say which and why."""
        self.tree.shown.statuses = [OK, DOWN]
        facts = self.facts()
        self.assertEqual((facts["status"], facts["reasons"]), ("degraded", {"c": "unreachable: it does not answer"}))

    def test_failing(self) -> None:
        """With nothing to watch the status is 503, for those who only look at that."""
        self.tree.shown.statuses = [DOWN]
        self.tree.shown.lineup = Lineup()
        self.assertEqual(self.facts(status=503)["status"], "failing")
        self.assertEqual(self.facts("/health/detailed", 503)["status"], "failing")
        self.assertEqual(self.tree.ask("/health", method="HEAD").status, 503)

    def test_the_lag(self) -> None:
        """How late the reactor is, is told in seconds."""
        self.tree.lag.startService()
        self.addCleanup(self.tree.lag.stopService)
        self.tree.clock.advance(0.25)
        self.tree.clock.advance(0.35)
        self.assertEqual(self.facts()["loop_lag_seconds"], {"last": 0.1, "p99": 0.1, "worst": 0.1})

    def test_details(self) -> None:
        """The details have every provider with its account, and who watches what."""
        self.tree.shown.statuses = [
            ProviderStatus(
                "club",
                "xtream",
                ProviderState.AUTH_FAILED,
                "the account has expired",
                entries=4,
                last_good=100.0,
                next_refresh=200.0,
                failures=3,
                skipped={"no name": 2},
                account=Account("Expired", 2, 1, 99.5, True),
            )
        ]
        self.tree.notices.append("WORKERS has no effect")
        channel = self.tree.shown.lineup.channels[0]
        session = self.tree.watch(channel, Face.HLS, "Kodi")
        session.bytes_sent = 1234
        self.tree.clock.advance(7)
        facts = self.facts("/health/detailed")
        self.assertEqual({**facts, **self.facts()}, facts)
        self.assertEqual(facts["notices"], ["WORKERS has no effect"])
        self.assertEqual(
            facts["providers"],
            [
                {
                    "name": "club",
                    "kind": "xtream",
                    "state": "auth_failed",
                    "sentence": "the account has expired",
                    "entries": 4,
                    "last_good": 100.0,
                    "next_refresh": 200.0,
                    "failures": 3,
                    "skipped": {"no name": 2},
                    "account": {
                        "status": "Expired",
                        "max_connections": 2,
                        "active_connections": 1,
                        "expires": 99.5,
                        "trial": True,
                    },
                    "connections": {"used": 0, "limit": 0},
                }
            ],
        )
        self.assertEqual(
            facts["sessions"],
            [
                {
                    "id": session.id,
                    "channel_id": channel.id,
                    "channel": "Channel 1",
                    "face": "hls",
                    "address": HOME,
                    "user": "",
                    "user_agent": "Kodi",
                    "seconds": 7.0,
                    "bytes": 1234,
                    "lag_bytes": None,
                    "lag_seconds": None,
                    "jumps": None,
                }
            ],
        )
        self.assertEqual(facts["outcomes"], {outcome.value: 0 for outcome in Outcome})
        session.end(Outcome.VIEWER_LEFT)
        facts = self.facts("/health/detailed")
        self.assertEqual((facts["sessions"], facts["outcomes"]["viewer_left"]), ([], 1))

    def test_ended(self) -> None:
        """How the last hundred sessions ended is told, the newest first, without anybody's address upstream."""
        channel = self.tree.shown.lineup.channels[0]
        for number in range(REMEMBERED + 1):
            self.tree.clock.advance(1.0)
            self.tree.watch(channel).end(Outcome.EXHAUSTED, f"{number}: http://origin.test/secret failed")
        ended = self.facts("/health/detailed")["ended"]
        self.assertEqual(len(ended), REMEMBERED)
        first, *_, last = ended
        self.assertEqual((first["outcome"], first["channel"], first["bytes"]), ("exhausted", channel.name, 0))
        self.assertEqual(first["reason"], f"{REMEMBERED}: (its address) failed")
        self.assertEqual(last["reason"], "1: (its address) failed")
        self.assertGreater(first["at"], last["at"])

    def test_many_sessions(self) -> None:
        """However many watch, writing them down leaves the reactor its turns, and all of them are there."""
        turns: list[int] = []

        def counted(steps: Iterator[object]) -> Awaitable[None]:
            turns.append(0)
            return sliced(turns.__setitem__(-1, turns[-1] + 1) for _ in steps)

        self.tree = Tree(max_streams=0, sliced=counted)
        for _ in range(500):
            self.tree.watch(self.tree.shown.lineup.channels[0])
        self.assertEqual(len(self.facts("/health/detailed")["sessions"]), 500)
        self.assertGreater(turns[-1], 20)

    def test_sessions_meanwhile(self) -> None:
        """Sessions are looked at one after another while they are written down; one that ends then does no harm."""

        def later(steps: Iterator[object]) -> Awaitable[None]:
            for session in (first, last):
                session.bytes_sent = 7
            last.end(Outcome.VIEWER_LEFT)
            return sliced(steps)

        self.tree = Tree(sliced=later)
        first, last = (self.tree.watch(self.tree.shown.lineup.channels[0]) for _ in range(2))
        told = self.facts("/health/detailed")["sessions"]
        self.assertEqual([(each["id"], each["bytes"]) for each in told], [(first.id, 7), (last.id, 7)])

    def test_strangers(self) -> None:
        """Strangers learn how we are, and not who watches what."""
        self.tree.watch(self.tree.shown.lineup.channels[0])
        answer = self.tree.ask("/health", peer=STRANGER)
        self.assertEqual(answer.status, 200)
        for word in (HOME, "VLC", "Channel 1"):
            self.assertNotIn(word, answer.text)
        self.assertEqual(self.tree.ask("/health/detailed", peer=STRANGER).status, 401)
        self.assertEqual(self.tree.ask("/metrics", peer=STRANGER).status, 403)

    def test_viewers(self) -> None:
        """Who watches is nobody's business but the operator's: others who may watch have the counters alone."""
        self.assertEqual(self.tree.ask("/health/detailed").status, 401)
        self.assertEqual(self.tree.ask("/metrics").status, 200)
        join(self.tree.admission, User("bob", "bobs-token"))
        self.assertEqual(self.tree.ask("/metrics").status, 401)
        self.assertEqual(self.tree.ask("/~bobs-token/metrics").status, 200)
        self.assertEqual(self.tree.ask("/~bobs-token/health/detailed").status, 403)
        for path in ("/health/detailed", "/metrics"):
            self.assertEqual(self.tree.ask(path, peer=OPERATOR).status, 200)

    def test_no_secrets(self) -> None:
        """Not even a careless plugin's sentence lets out an address with its password."""
        careless = f"http://user:secret@{UPSTREAM}/get.php?password=secret does not answer"
        self.tree.shown.statuses = [
            ProviderStatus("p", "m3u", ProviderState.UNREACHABLE, careless, skipped={f"not rtmp://{UPSTREAM}/a": 1})
        ]
        self.tree.watch(self.tree.shown.lineup.channels[0])
        for path in ("/health", "/health/detailed", "/metrics"):
            text = self.tree.ask(path, peer=OPERATOR).plain
            for word in ("secret", UPSTREAM, "user:"):
                self.assertNotIn(word, text, path)
        self.assertEqual(self.facts()["reasons"], {"p": "unreachable: (its address) does not answer"})

    def test_ping(self) -> None:
        """A ping is answered, to anyone."""
        for peer in (HOME, STRANGER):
            answer = self.tree.ask("/ping", peer=peer)
            self.assertEqual((answer.status, answer.text), (200, "pong\n"))
            self.assertEqual(answer.headers["Cache-Control"], "no-store")


class BroadcastTests(LiveTestCase):
    def test_a_shared_channel(self) -> None:
        """Of a shared channel the source in use is told, what comes in, what is kept and how far viewers lag."""
        tree = Tree()
        service = cast(LineupService, tree.shown)
        health = Health(service, tree.hub, self.live, tree.lag, self.clock.seconds, list)
        on_air = self.tune()
        session = tree.hub.admit(on_air.channel, Viewer(HOME), Face.TS)
        transport = Glass(10**9)
        viewer = TransportViewer(
            session,
            on_air.broadcast.ring,
            self.clock.seconds,
            lambda: None,
            transport,  # type: ignore[arg-type]
        )
        self.live.show(on_air, viewer)
        film = made_film(seconds=4)
        for at in range(0, len(film), len(film) // 16):
            self.origins.taps[-1].deliver(film[at : at + len(film) // 16])
            self.clock.advance(0.25)
        facts = cast(dict[str, Any], health.detailed())
        (broadcast,) = facts["broadcasts"]
        told = {name: broadcast[name] for name in ("channel_id", "state", "source", "switches", "viewers", "joined")}
        self.assertEqual(
            told,
            {
                "channel_id": on_air.channel.id,
                "state": "streaming",
                "source": "a/0",
                "switches": 0,
                "viewers": 1,
                "joined": 1,
            },
        )
        self.assertEqual((broadcast["bytes_in"], broadcast["ring_bytes"]), (len(film), len(film)))
        self.assertLess(abs(broadcast["bits_per_second"] / (2 * len(film)) - 1), 0.1)
        self.assertLess(abs(broadcast["ring_seconds"] - 4), 0.5)
        self.assertEqual(broadcast["join_points"], 4)
        (seen,) = facts["sessions"]
        self.assertEqual((seen["lag_bytes"], seen["lag_seconds"], seen["jumps"]), (0, 0.0, 0))
        self.assertGreater(seen["bytes"], len(film) // 2)
