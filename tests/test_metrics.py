"""What is counted, in the format that Prometheus reads."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from iptvd import __version__
from iptvd.delivery.session import Face, Session, Viewer
from iptvd.metrics import CONTENT_TYPE, Metrics
from iptvd.model import Channel, ChannelKind, Entry, Outcome, ProviderState, Source, SourceKind
from iptvd.refresh import ProviderStatus
from tests.delivery.test_live import LiveTestCase
from tests.protocols.tsmaking import made_film

CHANNEL = Channel(7, 1, "One", "", ChannelKind.LIVE, SourceKind.TS, "ts", "", "", (("home", Entry("k", "One")),))

Labels = frozenset[tuple[str, str]]


class MetricsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.statuses: list[ProviderStatus] = []
        self.metrics = Metrics(lambda: self.statuses)

    def samples(self) -> dict[tuple[str, Labels], float]:
        """Every sample that a Prometheus would take, by name and labels."""
        families = text_string_to_metric_families(self.metrics.text().decode())
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        return self.samples()[name, frozenset(labels.items())]

    def session(self, face: Face = Face.TS, sent: int = 0) -> Session:
        session = Session("id", CHANNEL, Viewer("127.0.0.1"), face, 0.0)
        session.bytes_sent = sent
        self.metrics.session_started(session)
        session.at_end(self.metrics.session_ended)
        return session

    def test_what_runs(self) -> None:
        """The version is told, and that there is nothing to tell yet."""
        self.assertEqual(self.value("iptvd_info", version=__version__), 1)
        self.assertEqual(self.value("iptvd_channels"), 0)
        self.assertEqual({self.value("iptvd_session_outcomes_total", outcome=each.value) for each in Outcome}, {0})
        self.assertIn("version=0.0.4", CONTENT_TYPE)

    def test_sessions(self) -> None:
        """Sessions are counted by face when they begin and by outcome when they end, with what they carried."""
        ended, _ = self.session(sent=1000), self.session()
        self.session(Face.HLS, 5).end(Outcome.COMPLETED)
        ended.end(Outcome.VIEWER_LEFT)
        self.metrics.session_refused(CHANNEL, "too many")
        self.assertEqual(self.value("iptvd_sessions_active", face="ts"), 1)
        self.assertEqual(self.value("iptvd_sessions_active", face="hls"), 0)
        self.assertEqual(self.value("iptvd_sessions_started_total", face="ts"), 2)
        self.assertEqual(self.value("iptvd_sent_bytes_total", face="ts"), 1000)
        self.assertEqual(self.value("iptvd_sent_bytes_total", face="hls"), 5)
        for outcome, count in ((Outcome.VIEWER_LEFT, 1), (Outcome.COMPLETED, 1), (Outcome.REFUSED, 1)):
            self.assertEqual(self.value("iptvd_session_outcomes_total", outcome=outcome.value), count)

    def test_a_session_that_goes_on(self) -> None:
        """What a session carries is counted while it goes on, and nothing twice when it ends."""
        session = self.session(sent=10)
        session.bytes_sent = 500
        self.assertEqual(self.value("iptvd_sent_bytes_total", face="ts"), 500)
        session.end(Outcome.VIEWER_LEFT)
        self.assertEqual(self.value("iptvd_sent_bytes_total", face="ts"), 500)
        self.assertNotIn("_created", self.metrics.text().decode())

    def test_origins(self) -> None:
        """Requests to origins are counted, those that failed by what the viewer got."""
        self.metrics.upstream_opened()
        self.metrics.upstream_opened()
        self.metrics.upstream_failed(504)
        self.assertEqual(self.value("iptvd_upstreams_opened_total"), 2)
        self.assertEqual(self.value("iptvd_upstream_failures_total", status="504"), 1)

    def test_providers(self) -> None:
        """Each provider is in one state, and there is no trace of one that is gone."""
        home = ProviderStatus("home", "m3u", ProviderState.STALE, entries=3, last_good=1700.0)
        self.statuses += [home, ProviderStatus("other", "demo")]
        states = {
            each: self.value("iptvd_provider_state", provider="home", state=each.value) for each in ProviderState
        }
        self.assertEqual([each for each, value in states.items() if value], [ProviderState.STALE])
        self.assertEqual(self.value("iptvd_provider_entries", provider="home"), 3)
        self.assertEqual(self.value("iptvd_provider_last_good_timestamp_seconds", provider="home"), 1700.0)
        self.assertNotIn('last_good_timestamp_seconds{provider="other"}', self.metrics.text().decode())
        self.metrics.refreshed("home", ProviderState.OK)
        self.assertEqual(self.value("iptvd_refreshes_total", provider="home", state="ok"), 1)
        self.statuses.remove(home)
        self.assertNotIn(("iptvd_provider_entries", frozenset({("provider", "home")})), self.samples())

    def test_loop_lag(self) -> None:
        """How late the reactor is goes into buckets, one of which ends at the 20 ms it may be late."""
        for seconds in (0.0, 0.015, 0.3):
            self.metrics.loop_lag(seconds)
        self.assertEqual(self.value("iptvd_loop_lag_seconds_count"), 3)
        self.assertEqual(self.value("iptvd_loop_lag_seconds_bucket", le="0.02"), 2)

    def test_first_byte(self) -> None:
        """How long a viewer waits for its first byte is counted by face, apart for channels that were on already."""
        now = 10.0
        self.metrics = Metrics(lambda: self.statuses, lambda: now)
        first, second, film = self.session(Face.HLS), self.session(Face.HLS), self.session(Face.VOD)
        now = 10.02
        for session in (first, first, second):
            session.first_byte()
        now = 11.0
        film.first_byte()
        for face, start, count, quick in (("hls", "cold", 1, 1), ("hls", "warm", 1, 1), ("vod", "cold", 1, 0)):
            self.assertEqual(self.value("iptvd_first_byte_seconds_count", face=face, start=start), count)
            within = self.value("iptvd_first_byte_seconds_bucket", face=face, start=start, le="0.025")
            self.assertEqual(within, quick)
        for session in (first, second):
            session.end(Outcome.VIEWER_LEFT)
        self.session(Face.HLS).first_byte()
        self.assertEqual(self.value("iptvd_first_byte_seconds_count", face="hls", start="cold"), 2)

    def test_who_never_got_a_byte(self) -> None:
        """A session that ends before its first byte is not among those that waited for one."""
        self.session().end(Outcome.EXHAUSTED)
        self.assertNotIn("iptvd_first_byte_seconds_count", {name for name, _ in self.samples()})

    def test_two_daemons(self) -> None:
        """Two daemons in one process count apart."""
        other = Metrics(lambda: ())
        other.upstream_opened()
        self.assertEqual(self.value("iptvd_upstreams_opened_total"), 0)


class BroadcastTests(LiveTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.metrics = Metrics(lambda: [ProviderStatus("a", "demo")])
        self.metrics.watch(self.live, self.slots)

    def samples(self) -> dict[str, float]:
        """What is told of connections and of channels that are on, by name and the values of the labels."""
        return {
            " ".join([sample.name.removeprefix("iptvd_"), *sample.labels.values()]): sample.value
            for family in text_string_to_metric_families(self.metrics.text().decode())
            for sample in family.samples
            if family.name.startswith(("iptvd_broadcast_", "iptvd_connections_", "iptvd_first_byte"))
        }

    def deliver(self, seconds: int) -> int:
        film = made_film(seconds=seconds)
        for at in range(0, len(film), len(film) // (4 * seconds)):
            self.origins.taps[-1].deliver(film[at : at + len(film) // (4 * seconds)])
            self.clock.advance(0.25)
        return len(film)

    def test_a_channel_that_is_on(self) -> None:
        """A channel that is on has its source, viewers, rate and what is kept of it; one that is off nothing."""
        self.sources.append(("b", Source(SourceKind.TS, url="http://origin.test/b")))
        self.assertEqual(self.samples(), {"connections_used a": 0, "connections_limit a": 0})
        on_air = self.tune()
        self.show(on_air)
        size = self.deliver(4)
        seen = self.samples()
        rate = seen.pop("broadcast_bits_per_second 1")
        self.assertLess(abs(rate / (2 * size) - 1), 0.1)
        self.assertLess(abs(seen.pop("broadcast_ring_seconds 1") - 4), 0.5)
        self.assertEqual(
            seen,
            {
                "broadcast_source 1 a 0": 1,
                "broadcast_viewers 1": 1,
                "broadcast_ring_bytes 1": size,
                "broadcast_received_bytes_total 1": size,
                "broadcast_joins_total 1": 1,
                "broadcast_switches_total 1": 0,
                "connections_used a": 1,
                "connections_limit a": 0,
            },
        )
        on_air.feed.fail_over()
        self.deliver(2)
        seen = self.samples()
        self.assertEqual((seen["broadcast_source 1 b 1"], seen["broadcast_switches_total 1"]), (1, 1))
        self.assertNotIn("broadcast_source 1 a 0", seen)
        self.assertNotIn("origin.test", self.metrics.text().decode())
        self.live.close()
        self.assertEqual(self.samples(), {"connections_used a": 0, "connections_limit a": 0})

    def test_warm_and_cold(self) -> None:
        """Who turns a channel on starts cold, and who joins one that others watch warm."""

        def watch() -> None:
            on_air = self.live.on_air.get(CHANNEL.id)
            session, _ = self.show(on_air if on_air is not None else self.tune())
            self.metrics.session_started(session)
            session.first_byte()

        watch()
        self.deliver(2)
        watch()
        counts = {name: value for name, value in self.samples().items() if name.startswith("first_byte_seconds_count")}
        self.assertEqual(counts, {"first_byte_seconds_count ts cold": 1, "first_byte_seconds_count ts warm": 1})
