"""What players ask of a channel's past, and what they are offered."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request
from twisted.web.test.requesthelper import DummyChannel

from iptvd.model import Channel, Entry
from iptvd.recording import Recording
from iptvd.web.archive import LONGEST, past_attributes, query_of, recording_asked
from iptvd.web.request import Refusal
from tests.web.building import lineup_of

NOW = 1_772_694_429
HOUR = 3600
KEPT = Entry("1", "One", catchup=(("catchup", "xc"), ("catchup-days", "7")))
LOST = Entry("2", "Two")


def channel_of(entry: Entry) -> Channel:
    return lineup_of(entry).channels[0]


def asked(query: str, entry: Entry = KEPT, now: float = NOW) -> Recording | None:
    request = Request(DummyChannel(), False)
    request.args = {
        name.encode(): [value.encode()]
        for name, _, value in (part.partition("=") for part in query.split("&"))
        if name
    }
    return recording_asked(request, channel_of(entry), now)


class AskedTests(SynchronousTestCase):
    def wanted(self, query: str) -> tuple[int, int]:
        """The start and the length of what is asked for."""
        past = asked(query)
        assert past is not None
        return past.start, past.duration

    def refused(self, query: str, status: int, words: str, entry: Entry = KEPT) -> None:
        with self.assertRaises(Refusal) as caught:
            asked(query, entry)
        self.assertEqual(caught.exception.status, status, query)
        self.assertIn(words, caught.exception.sentence)

    def test_now(self) -> None:
        """Without a time a channel is played as it is now, whether it has a past or not."""
        for query in ("", "lutc=5", "duration=60", "utc=", "offset={offset}"):
            self.assertIsNone(asked(query), query)
            self.assertIsNone(asked(query, LOST), query)

    def test_forms(self) -> None:
        """Every way in which players write a time is understood."""
        start = NOW - HOUR
        for query in (
            f"utc={start}&utcend={start + 60}&lutc={NOW}",
            f"utc={start}&end={start + 60}",
            f"start={start}&duration=60",
            f"start={start}.0&end={start + 60}.25",
            "offset=3600&duration=60",
            f"utc={start}&utcend={{utcend}}&duration=60",
            f"utc={start}&utcend=${{end}}&end={start + 60}",
        ):
            self.assertEqual(self.wanted(query), (start, 60), query)

    def test_without_an_end(self) -> None:
        """Where no end is told, or one that is to come, it goes on until now."""
        start = NOW - HOUR
        for query in (f"utc={start}&lutc={NOW}", f"utc={start}&utcend={NOW + 99}", f"start={start}&duration=99999"):
            self.assertEqual(self.wanted(query), (start, HOUR), query)
        self.assertEqual(self.wanted(f"utc={NOW}"), (NOW, 1))
        self.assertEqual(self.wanted(f"utc={start}&duration=0"), (start, 1))

    def test_at_most_a_day(self) -> None:
        """No more than a day is asked for at once."""
        self.assertEqual(self.wanted(f"utc={NOW - 3 * LONGEST}"), (NOW - 3 * LONGEST, LONGEST))

    def test_refused(self) -> None:
        """What is no time, and what is not to be had, is told in a sentence."""
        self.refused("utc=x", 400, "What utc says is no number of seconds")
        self.refused("utc={utc}", 400, "utc")
        self.refused("utc=-5", 400, "utc")
        self.refused("utc=\u0661", 400, "utc")
        self.refused("utc=123456789012", 400, "utc")
        self.refused(f"utc={NOW - 9}&duration=1e3", 400, "duration")
        self.refused(f"utc={NOW - 9}&utcend={NOW - 9}", 400, "end is before")
        self.refused(f"utc={NOW + 2}", 404, "not been shown yet")
        self.refused(f"utc={NOW - 8 * LONGEST}", 404, "kept for 7 days")
        self.refused("utc=0", 404, "kept for 7 days")
        self.refused(f"utc={NOW - 9}", 404, "Nothing", LOST)

    def test_no_limit_told(self) -> None:
        """Where nobody says how long it is kept, it is for its provider to say that it has it no more."""
        self.assertIsNotNone(asked("utc=1000000", evolve(KEPT, catchup=(("catchup", "shift"),))))

    def test_again(self) -> None:
        """The query that leads on asks for the same."""
        past = asked(f"utc={NOW - HOUR}&utcend={NOW - 60}")
        assert past is not None
        self.assertEqual(asked(query_of(past)[1:]), past)

    @given(
        st.dictionaries(st.sampled_from(["utc", "start", "end", "utcend", "duration", "offset"]), st.text(max_size=14))
    )
    def test_any(self, arguments: dict[str, str]) -> None:
        """Whatever is asked is refused, or is within what is kept."""
        query = "&".join(f"{name}={value.replace('&', '')}" for name, value in arguments.items())
        try:
            past = asked(query)
        except Refusal as refusal:
            self.assertIn(refusal.status, (400, 404))
        else:
            if past is not None:
                self.assertTrue(NOW - 7 * LONGEST <= past.start <= NOW)
                self.assertTrue(1 <= past.duration <= LONGEST)


class OfferedTests(SynchronousTestCase):
    def test_offered(self) -> None:
        """A player is told our address, with places for the times, and for how long things are kept."""
        url = "http://box/stream/5.ts"
        source = ("catchup-source", url + "?utc={utc}&utcend={utcend}&lutc={lutc}")
        self.assertEqual(
            past_attributes(channel_of(KEPT), url), (("catchup", "default"), source, ("catchup-days", "7"))
        )
        endless = evolve(KEPT, catchup=(("catchup", "shift"),))
        self.assertEqual(past_attributes(channel_of(endless), url)[2], ("catchup-days", ""))
        self.assertEqual(past_attributes(channel_of(LOST), url), ())
