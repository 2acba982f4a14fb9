"""What happens, numbered and kept, for those who listen."""

from __future__ import annotations

import json
from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd import activity
from iptvd.activity import KEPT, Activity, Kind


class ActivityTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_900_000_020.5)
        self.activity = Activity(self.clock, self.clock.seconds)
        self.first = self.activity.newest

    def kinds_since(self, number: int) -> list[str] | None:
        found = self.activity.since(number)
        return None if found is None else [each.kind.value for each in found]

    def test_numbers(self) -> None:
        """What happens is numbered without gaps, and higher than in a run that began earlier."""
        self.activity.tell(Kind.SLOTS, provider="home")
        self.activity.tell(Kind.CHANNEL_STATUS, 7)
        found = self.activity.since(self.first)
        assert found is not None
        self.assertEqual([each.id - self.first for each in found], [1, 2])
        self.assertEqual([each.channel for each in found], [0, 7])
        self.clock.advance(60)
        self.assertGreater(Activity(self.clock, self.clock.seconds).newest, self.activity.newest)

    def test_what_was_missed(self) -> None:
        """Who says what was heard last gets what came after it, and nothing where nothing did."""
        for kind in (Kind.SLOTS, Kind.CHANNEL_STATUS, Kind.STREAM_STARTED):
            self.activity.tell(kind)
        self.assertEqual(self.kinds_since(self.first + 1), ["channel_status", "stream_started"])
        self.assertEqual(self.kinds_since(self.first + 3), [])

    def test_what_is_not_known(self) -> None:
        """Of what is too old, of another run or yet to come it is said that it is not known."""
        for _ in range(KEPT + 5):
            self.activity.tell(Kind.SLOTS)
        self.assertEqual(len(self.activity.since(self.first + 5) or ()), KEPT)
        self.assertEqual(self.activity.recent, self.activity.since(self.first + 5))
        for number in (self.first + 4, self.first, 0, -1, self.activity.newest + 1):
            self.assertIsNone(self.activity.since(number), number)

    def test_as_json(self) -> None:
        """It is told as one line of JSON with its number, type, channel, time in UTC and what there is to say."""
        self.activity.tell(Kind.STREAM_FAILED, 7, reason="gone — \n\ud800")
        self.activity.tell(Kind.SLOTS, used=1)
        found = self.activity.since(self.first)
        assert found is not None
        self.assertEqual(
            json.loads(found[0].json),
            {
                "event_id": str(self.first + 1),
                "event_type": "stream_failed",
                "stream_id": "7",
                "timestamp": "2030-03-17T17:47:00.500Z",
                "data": {"reason": "gone — \n?"},
            },
        )
        self.assertNotIn(b"\n", found[0].json)
        self.assertIs(found[0].json, found[0].json)
        self.assertEqual(json.loads(found[1].json)["stream_id"], "")

    def test_listening(self) -> None:
        """Who listens is woken once for all that happens in a turn, after it, and no more after leaving."""
        woken: list[int] = []
        forget = self.activity.listen(lambda: woken.append(self.activity.newest - self.first))
        self.activity.tell(Kind.SLOTS)
        self.activity.tell(Kind.SLOTS)
        self.assertEqual(woken, [])
        self.clock.advance(0)
        self.activity.tell(Kind.SLOTS)
        self.clock.advance(0)
        self.assertEqual(woken, [2, 3])
        forget()
        forget()
        self.activity.tell(Kind.SLOTS)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(woken, [2, 3])

    def test_many_who_listen(self) -> None:
        """Many are woken in several turns, and again where something has happened since the first of them was."""
        turns: list[float] = []
        later = self.clock.callLater

        def call_later(delay: float, call: Callable[..., object], *args: object) -> object:
            turns.append(delay)
            return later(delay, call, *args)

        self.patch(self.clock, "callLater", call_later)
        heard: list[tuple[str, int]] = []

        def first() -> None:
            heard.append(("first", self.activity.newest - self.first))
            if len(heard) == 1:
                self.activity.tell(Kind.SLOTS)

        self.activity.listen(first)
        self.activity.listen(lambda: heard.append(("second", self.activity.newest - self.first)))
        for span, expected in ((5.0, 1), (-1.0, 3)):
            self.patch(activity, "SLICE", span)
            turns.clear()
            self.activity.tell(Kind.SLOTS)
            self.clock.advance(0)
            rounds = 2 if expected == 1 else 1
            self.assertEqual(turns, [0] * expected * rounds, span)
        self.assertEqual(
            heard, [("first", 1), ("second", 2), ("first", 2), ("second", 2), ("first", 3), ("second", 3)]
        )

    def test_a_fault(self) -> None:
        """One who listens and fails, or ends the listening of another, keeps nobody else from hearing."""
        heard: list[str] = []

        def fail() -> None:
            forget()
            raise ValueError("a secret")

        self.activity.listen(fail)
        forget = self.activity.listen(lambda: heard.append("gone"))
        self.activity.listen(lambda: heard.append("there"))
        self.activity.tell(Kind.SLOTS)
        self.clock.advance(0)
        self.assertEqual(heard, ["there"])
        (failure,) = self.flushLoggedErrors()
        self.assertNotIn("secret", str(failure.value))

    def test_the_end(self) -> None:
        """At the end everybody is woken at once, and sees that it is the end."""
        seen: list[bool] = []
        self.activity.listen(lambda: seen.append(self.activity.closed))
        self.activity.close()
        self.assertEqual(seen, [True])
