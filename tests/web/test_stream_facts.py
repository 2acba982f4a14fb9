"""What is told of streams."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iptvd.model import Entry, SourceKind
from iptvd.stream_records import id_of
from iptvd.web.stream_facts import StreamFacts, endpoint_of, time_of
from tests.web.managing import Managing


class StreamFactsTests(SynchronousTestCase):
    def test_times(self) -> None:
        """Times are told to the millisecond, as everybody writes them; what no calendar has is no time."""
        self.assertEqual(time_of(1.2345), "1970-01-01T00:00:01.234Z")
        self.assertEqual(time_of(1e15), "")

    def test_endpoints(self) -> None:
        """A stream is played in its own form where m3u-proxy has it."""
        self.assertEqual(endpoint_of("x", SourceKind.HLS), "/hls/x/playlist.m3u8")
        self.assertEqual([endpoint_of("x", kind) for kind in (SourceKind.TS, SourceKind.VOD)], ["/stream/x"] * 2)

    def test_of_whatever(self) -> None:
        """What is kept and what is listed are told by their ids, with the same fields."""
        stage = Managing(self, Entry("1", "Listed"))
        for url in ("http://origin.test/a.mp4", "http://origin.test/a.m3u8"):
            stage.call("POST", "/streams", {"url": url})
        facts = StreamFacts(stage.streams, lambda: stage.config)
        film, hls = (facts.of(id_of(f"http://origin.test/a.{ending}")) for ending in ("mp4", "m3u8"))
        listed = facts.of(str(stage.channel("Listed").id))
        assert film is not None
        assert hls is not None
        assert listed is not None
        self.assertEqual(
            [film["stream_type"], hls["stream_type"], listed["stream_type"]], ["VOD", "HLS", "Live Continuous"]
        )
        self.assertEqual(sorted(film), sorted(listed))
        self.assertIsNone(facts.of("nothing"))
        self.assertEqual([each["stream_id"] for each in facts.all_kept()], [film["stream_id"], hls["stream_id"]])
