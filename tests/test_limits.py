"""How often, how many, how wrong: what is counted, and that what is kept of it is bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.limits import (
    ALL_UNDER_WAY,
    FIRST,
    FORGIVEN,
    LONGEST,
    MINUTE,
    MOST,
    UNDER_WAY,
    Attempt,
    Attempts,
    Places,
    Rates,
    neighbourhood,
)


class NeighbourhoodTests(SynchronousTestCase):
    def test_what_is_counted_as_one(self) -> None:
        """IPv4 addresses are counted one by one, of IPv6 all that one line has, however they are written."""
        self.assertEqual(neighbourhood("192.0.2.1"), "192.0.2.1")
        self.assertEqual(neighbourhood("::ffff:192.0.2.1"), "192.0.2.1")
        same = {neighbourhood(text) for text in ("2001:db8::1", "2001:db8:0:0:ffff::", "2001:DB8::2%eth0")}
        self.assertEqual(len(same), 1)
        self.assertNotIn(neighbourhood("2001:db8:0:1::1"), same)
        self.assertEqual([neighbourhood(text) for text in ("", "a:b")], ["", "a:b"])


class RatesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.rates = Rates(self.clock.seconds)

    def taken(self, key: str, rate: int, tries: int) -> int:
        return sum(not self.rates.take(key, rate) for _ in range(tries))

    def test_a_minute_at_once(self) -> None:
        """All that a minute allows may come at once, and then as much as time brings."""
        self.assertEqual(self.taken("a", 100, 150), 100)
        self.clock.advance(MINUTE / 2)
        self.assertEqual(self.taken("a", 100, 150), 50)
        self.clock.advance(10 * MINUTE)
        self.assertEqual(self.taken("a", 100, 150), 100)

    def test_when_to_come_again(self) -> None:
        """Who is one too many is told when it is not any more."""
        self.taken("a", 60, 60)
        wait = self.rates.take("a", 60)
        self.assertAlmostEqual(wait, 1.0)
        self.clock.advance(wait)
        self.assertEqual(self.rates.take("a", 60), 0)

    def test_each_for_itself(self) -> None:
        """Nobody is counted with somebody else."""
        self.assertEqual((self.taken("a", 5, 9), self.taken("b", 5, 9)), (5, 5))

    def test_no_limit(self) -> None:
        """Without a limit nothing is counted."""
        self.assertEqual(self.taken("a", 0, 9999), 9999)

    def test_bounded(self) -> None:
        """However many come, only the last are remembered."""
        for number in range(3 * MOST):
            self.rates.take(str(number), 1)
        self.assertEqual(len(self.rates._full), MOST)
        self.assertGreater(self.rates.take(str(3 * MOST - 1), 1), 0)

    @given(st.integers(1, 1000), st.lists(st.floats(0, 30), max_size=200))
    def test_never_more(self, rate: int, pauses: list[float]) -> None:
        """In any minute at most twice the rate comes through: what was saved up, and what time brings."""
        clock = Clock()
        rates = Rates(clock.seconds)
        times: list[float] = []
        for pause in pauses:
            clock.advance(pause)
            if not rates.take("a", rate):
                times.append(clock.seconds())
        for at in times:
            self.assertLessEqual(sum(at <= other < at + MINUTE for other in times), 2 * rate)


class PlacesTests(SynchronousTestCase):
    def test_as_many_as_there_are(self) -> None:
        """So many are let in at once, and another one when one has left; who has left is not remembered."""
        places = Places()
        self.assertEqual([places.enter("a", 2) for _ in range(3)], [True, True, False])
        self.assertTrue(places.enter("b", 2))
        places.leave("a")
        self.assertEqual((places.count("a"), places.enter("a", 2)), (1, True))
        for key in "aab":
            places.leave(key)
        self.assertEqual(places._taken, {})

    def test_no_limit(self) -> None:
        """Without a limit all are let in, and counted."""
        places = Places()
        self.assertTrue(all(places.enter("a", 0) for _ in range(1000)))
        self.assertEqual(places.count("a"), 1000)


class AttemptsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.attempts = Attempts(self.clock.seconds)

    def begun(self, address: str = "a", shown: str = "") -> Attempt:
        attempt = self.attempts.begin(address, shown)
        assert attempt is not None
        return attempt

    def wrong(self, address: str = "a", shown: str = "") -> float:
        """One wrong attempt, to its end."""
        attempt = self.begun(address, shown)
        delay = self.attempts.failed(attempt)
        self.attempts.end(attempt)
        return delay

    def test_longer_and_longer(self) -> None:
        """Each wrong token takes twice as long as the one before, up to a bound, for that address alone."""
        self.assertEqual([self.wrong() for _ in range(8)], [FIRST, 0.5, 1.0, 2.0, 4.0, LONGEST, LONGEST, LONGEST])
        self.assertEqual(self.wrong("b"), FIRST)
        for _ in range(5000):
            self.wrong()
        self.assertEqual(self.wrong(), LONGEST)

    def test_forgiven(self) -> None:
        """After a while it is as if nothing had been."""
        for _ in range(9):
            self.wrong()
        self.clock.advance(FORGIVEN)
        self.assertEqual(self.wrong(), FIRST)

    def test_closed(self) -> None:
        """While too much is under way from an address, nothing new is looked at, right or wrong."""
        under_way = [self.begun() for _ in range(UNDER_WAY)]
        self.assertIsNone(self.attempts.begin("a"))
        self.assertFalse(self.attempts.admit("a", "bob"))
        self.assertTrue(self.attempts.admit("b", "bob"))
        self.attempts.end(under_way[0])
        self.assertTrue(self.attempts.admit("a", "bob"))
        self.assertIsNotNone(self.attempts.begin("a"))

    def test_who_is_known(self) -> None:
        """Who was there before is let in, whatever others try from the same address."""
        self.assertTrue(self.attempts.admit("a", "bob"))
        for _ in range(UNDER_WAY):
            self.begun()
        self.assertTrue(self.attempts.admit("a", "bob"))
        self.assertFalse(self.attempts.admit("a", "eve"))

    def test_the_same_again(self) -> None:
        """A player that shows the same wrong token on and on keeps nobody out, and learns nothing by that."""
        self.wrong("a", "old")
        under_way = [self.begun("a", "old") for _ in range(UNDER_WAY)]
        self.assertIsNone(self.attempts.begin("a", "old"))
        self.assertTrue(self.attempts.admit("a", "bob"))
        # What is another one is a guess, as is what is not remembered, and the same from elsewhere.
        for address, shown in (("a", "other"), ("a", ""), ("b", "old")):
            self.assertEqual(self.begun(address, shown).key, address)
        for _ in range(UNDER_WAY - 2):
            self.begun("a", "one more")
        self.assertFalse(self.attempts.admit("a", "eve"))
        for attempt in under_way:
            self.attempts.end(attempt)
        self.assertFalse(self.attempts.admit("a", "eve"))

    def test_from_everywhere(self) -> None:
        """When many addresses try at once, those that were wrong before have to wait, and nobody else."""
        under_way = [self.begun(str(number)) for number in range(ALL_UNDER_WAY)]
        for attempt in under_way:
            self.attempts.failed(attempt)
        self.assertIsNone(self.attempts.begin("1"))
        self.assertFalse(self.attempts.admit("1", "bob"))
        self.assertTrue(self.attempts.admit("new", "bob"))
        for attempt in under_way:
            self.attempts.end(attempt)
        self.assertIsNotNone(self.attempts.begin("1"))

    def test_bounded(self) -> None:
        """However many come, only the last are remembered."""
        for number in range(2 * MOST):
            self.wrong(str(number), "x")
            self.attempts.admit(str(number), "x")
        kept = (self.attempts._wrong, self.attempts._shown, self.attempts._welcome)
        self.assertEqual([len(each) for each in kept], [MOST] * 3)
