"""What is counted, as programs that know m3u-proxy read it."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.session import Face, Session, Viewer
from iptvd.model import Channel, Entry, Outcome, SourceKind
from iptvd.stream_records import id_of
from tests.web.managing import Managing

URL = "http://origin.test/a"
HLS = Entry("2", "HLS", source_kind=SourceKind.HLS, extension="m3u8")
#: What m3u-proxy's command line reads.
_SERVED = ("total_bytes_served", "total_segments_served")
PROXY = ("uptime_seconds", "total_streams", "active_streams", "total_clients", "active_clients", *_SERVED)
_COUNTED = ("client_count", *_SERVED, "error_count")
STREAM = ("stream_id", "original_url", "user_agent", *_COUNTED, "has_failover", "last_access")
CLIENT = ("client_id", "stream_id", "user_agent", "ip_address", "bytes_served", "segments_served")


class StatsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.stage = Managing(self, Entry("1", "Listed"), HLS)
        self.stage.call("POST", "/streams", {"url": URL, "name": "Kept"})

    def watch(self, channel: Channel) -> Session:
        return self.stage.hub.admit(channel, Viewer("192.168.1.2"), Face.TS)

    def stats(self) -> Any:
        return self.stage.call("GET", "/stats")

    def test_what_the_command_line_reads(self) -> None:
        """Each field is there where it looks for it, also of what nobody has named, and none is null."""
        self.watch(self.stage.channel("Listed"))
        self.watch(self.stage.channel("Kept"))
        stats = self.stats()
        for fields, found in (
            (PROXY, [stats["proxy_stats"], stats]),
            (STREAM, stats["streams"]),
            (CLIENT, stats["clients"]),
        ):
            for each in found:
                self.assertNotIn(None, [each[field] for field in fields])
        self.assertEqual((len(stats["streams"]), len(stats["clients"])), (2, 2))

    def test_sums(self) -> None:
        """Sums are over what goes on and what is over, of what is kept and what is listed."""
        self.assertEqual([self.stats()["proxy_stats"][field] for field in PROXY[1:]], [1, 0, 0, 0, 0, 0])
        kept, listed = (self.watch(self.stage.channel(name)) for name in ("Kept", "Listed"))
        kept.bytes_sent, kept.segments, listed.bytes_sent = 100, 2, 10
        self.assertEqual([self.stats()["proxy_stats"][field] for field in PROXY[1:]], [2, 2, 2, 2, 110, 2])
        kept.end(Outcome.VIEWER_LEFT)
        listed.end(Outcome.UPSTREAM_LOST)
        self.stage.loop.advance(10)
        stats = self.stats()
        self.assertEqual([stats["proxy_stats"][field] for field in PROXY[1:]], [1, 0, 2, 0, 110, 2])
        self.assertEqual(stats["proxy_stats"]["uptime_seconds"], 10)
        (stream,) = stats["streams"]
        self.assertEqual((stream["total_bytes_served"], stream["last_access"]), (100, "1970-01-01T00:00:00.000Z"))
        self.assertEqual(self.stage.call("GET", "/stats/performance")["error_stats"], {"total_errors": 1})

    def test_a_stream_that_is_both(self) -> None:
        """A stream that is kept and watched is told once."""
        self.watch(self.stage.channel("Kept"))
        told = self.stage.call("GET", "/stats/streams")
        self.assertEqual((told["total_streams"], [each["stream_id"] for each in told["streams"]]), (1, [id_of(URL)]))

    def test_what_a_provider_lists(self) -> None:
        """What is watched of a provider's is told with its form, and where it is played, not where it comes from."""
        channel = self.stage.channel("HLS")
        self.watch(channel)
        stream = self.stats()["streams"][-1]
        self.assertEqual((stream["stream_type"], stream["stream_endpoint"]), ("HLS", f"/stream/{channel.id}"))
        self.assertEqual((stream["original_url"], stream["current_url"], stream["failover_urls"]), ("", "", []))

    def test_how_it_is_doing(self) -> None:
        """Connections, switches, errors and the loop's lag are told, in m3u-proxy's places."""
        doing = self.stage.call("GET", "/stats/performance")
        detailed = self.stage.call("GET", "/stats/detailed")
        self.assertEqual(doing.pop("timestamp"), "1970-01-01T00:00:00.000Z")
        self.assertEqual(detailed["connection_pool_stats"], doing["connection_pool"])
        self.assertEqual(doing["failover_stats"], {"total_failovers": 0})
        self.assertEqual((detailed["stream_count"], detailed["client_count"]), (1, 0))
        self.assertEqual(detailed["proxy_stats"], self.stats()["proxy_stats"])

    def test_who_may(self) -> None:
        """Nothing is counted aloud for those who may not manage."""
        self.stage.trust(api_token="t0p")
        for path in ("", "/detailed", "/performance", "/streams", "/clients"):
            self.assertEqual(self.stage.refused("GET", f"/stats{path}")[0], 401)
