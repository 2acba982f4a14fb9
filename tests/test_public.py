"""What others may read of ours."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from iptvd.public import moment, without_urls


class PublicTests(SynchronousTestCase):
    def test_no_addresses(self) -> None:
        """A sentence loses whatever address is in it, and nothing else."""
        self.assertEqual(without_urls("GET http://u:pw@up.example.com/x?y=z failed"), "GET (its address) failed")
        self.assertEqual(without_urls("nothing: to/hide, 1:2"), "nothing: to/hide, 1:2")
        self.assertNotIn("up.example.com", without_urls(f"{'x' * 100}1rtsp://up.example.com/x"))

    def test_moments(self) -> None:
        """A time is written in UTC, as exactly as is asked for; what no calendar has is none."""
        self.assertEqual(moment(0), "1970-01-01T00:00:00Z")
        self.assertEqual(moment(1_900_000_020.9), "2030-03-17T17:47:00Z")
        self.assertEqual(moment(1_900_000_020.5, "milliseconds"), "2030-03-17T17:47:00.500Z")
        for nothing in (None, float("inf"), float("-inf"), float("nan"), 1e15, -1e15):
            self.assertIsNone(moment(nothing))

    @given(some.floats())
    def test_any_moment(self, seconds: float) -> None:
        """Whatever a time is, it is written or left out."""
        told = moment(seconds)
        if told is not None:
            self.assertLess(abs(datetime.fromisoformat(told).timestamp() - seconds), 1)
            self.assertEqual(datetime.fromisoformat(told).tzinfo, UTC)
