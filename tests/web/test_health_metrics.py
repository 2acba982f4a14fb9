"""The counters at ``/metrics``."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from iptvd import __version__
from iptvd.delivery.session import Face
from iptvd.errors import LimitError
from iptvd.model import Outcome, ProviderState
from iptvd.refresh import ProviderStatus
from tests.web.building import Answer, Tree, entries, lineup_of


class MetricsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = Tree(lineup_of(*entries(4)))
        self.channel = self.tree.shown.lineup.channels[0]

    def samples(self) -> dict[str, float]:
        """All samples by their name and labels, as Prometheus would read them."""
        answer: Answer = self.tree.ask("/metrics")
        self.assertEqual(answer.status, 200)
        self.assertTrue(answer.headers["Content-Type"].startswith("text/plain; version=0.0.4"))
        return {
            " ".join([sample.name, *(sample.labels[label] for label in sorted(sample.labels))]): sample.value
            for family in text_string_to_metric_families(answer.plain)
            for sample in family.samples
        }

    def test_sessions(self) -> None:
        """Sessions are counted when they begin and while they last, with their bytes and how they ended."""
        live = self.tree.watch(self.channel)
        self.tree.watch(self.channel, Face.VOD)
        before = self.samples()
        self.assertEqual((before["iptvd_sessions_active ts"], before["iptvd_sessions_started_total ts"]), (1, 1))
        live.bytes_sent = 1000
        live.end(Outcome.VIEWER_LEFT)
        after = self.samples()
        self.assertEqual((after["iptvd_sessions_active ts"], after["iptvd_sessions_started_total ts"]), (0, 1))
        self.assertEqual(after["iptvd_sessions_active vod"], 1)
        self.assertEqual(after["iptvd_sent_bytes_total ts"], 1000)
        self.assertEqual(after["iptvd_session_outcomes_total viewer_left"], 1)

    def test_outcomes(self) -> None:
        """Every way in which a session can end is there from the start, so that an alarm can be set on it."""
        for outcome in Outcome:
            self.assertEqual(self.samples()[f"iptvd_session_outcomes_total {outcome.value}"], 0)

    def test_refused(self) -> None:
        """A viewer who finds no free stream is counted as refused, and as no session."""
        for _ in range(5):
            self.tree.watch(self.channel)
        self.assertRaises(LimitError, self.tree.watch, self.channel)
        samples = self.samples()
        self.assertEqual(samples["iptvd_session_outcomes_total refused"], 1)
        self.assertEqual(samples["iptvd_sessions_started_total ts"], 5)

    def test_upstreams(self) -> None:
        """Requests to origins are counted, and those that failed by what the viewer got."""
        self.tree.metrics.upstream_opened()
        self.tree.metrics.upstream_opened()
        self.tree.metrics.upstream_failed(504)
        samples = self.samples()
        self.assertEqual(samples["iptvd_upstreams_opened_total"], 2)
        self.assertEqual(samples["iptvd_upstream_failures_total 504"], 1)

    def test_providers(self) -> None:
        """Each provider has one state at a time, its entries, when they were fetched, and its refreshes."""
        self.tree.shown.statuses = [
            ProviderStatus("a", "m3u", ProviderState.OK, entries=4, last_good=100.0),
            ProviderStatus("b", "m3u", ProviderState.BLOCKED),
        ]
        self.tree.metrics.refreshed("a", ProviderState.OK)
        self.tree.metrics.refreshed("b", ProviderState.BLOCKED)
        self.tree.metrics.refreshed("b", ProviderState.BLOCKED)
        samples = self.samples()
        for name, now in (("a", ProviderState.OK), ("b", ProviderState.BLOCKED)):
            for state in ProviderState:
                self.assertEqual(samples[f"iptvd_provider_state {name} {state.value}"], state is now)
        self.assertEqual((samples["iptvd_provider_entries a"], samples["iptvd_provider_entries b"]), (4, 0))
        self.assertEqual(samples["iptvd_provider_last_good_timestamp_seconds a"], 100)
        self.assertNotIn("iptvd_provider_last_good_timestamp_seconds b", samples)
        self.assertEqual(samples["iptvd_refreshes_total a ok"], 1)
        self.assertEqual(samples["iptvd_refreshes_total b blocked"], 2)

    def test_the_rest(self) -> None:
        """The version, the number of channels and the loop's lag are there."""
        self.tree.metrics.channels.set(4)
        self.tree.metrics.loop_lag(0.004)
        self.tree.metrics.loop_lag(0.3)
        samples = self.samples()
        self.assertEqual(samples[f"iptvd_info {__version__}"], 1)
        self.assertEqual(samples["iptvd_channels"], 4)
        self.assertEqual(samples["iptvd_loop_lag_seconds_count"], 2)
        self.assertEqual(samples["iptvd_loop_lag_seconds_bucket 0.005"], 1)
        self.assertEqual(samples["iptvd_loop_lag_seconds_bucket 0.5"], 2)
