"""Going to a channel's next source by hand."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from iptvd.delivery.feed import FeedState
from iptvd.delivery.opening import Opened
from iptvd.errors import UpstreamError
from iptvd.model import Source, SourceKind
from iptvd.protocols.sniff import Media
from tests.delivery.feeding import FeedTestCase
from tests.doubles import result
from tests.protocols.tsmaking import continuity_errors, made_film


class ByHandTests(FeedTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.sources.append(("c", Source(SourceKind.TS, url="http://origin.test/c")))

    def switch(self) -> str:
        """Go to the next by hand, and give which leads when it has delivered."""
        self.feed.fail_over()
        self.play(self.origins.taps[-1], made_film(seconds=2))
        return self.feed.source

    def test_in_order(self) -> None:
        """By hand the channel goes to the next source in order, from the last to the first, without a gap."""
        self.play(self.start(), made_film(seconds=2))
        self.assertEqual([self.switch() for _ in range(4)], ["b/1", "c/2", "a/0", "b/1"])
        self.assertEqual((self.feed.switches, self.feed.state), (4, FeedState.STREAMING))
        self.assertEqual((self.slots.used("b"), self.slots.total), (1, 1))
        self.assertEqual([tap.stopped for tap in self.origins.taps], [1, 1, 1, 1, 0])
        self.assertEqual(continuity_errors(self.output), [])

    def test_the_present_one_goes_on_meanwhile(self) -> None:
        """Until the next source has reached a join point the present one goes on."""
        tap = self.start()
        self.play(tap, made_film(seconds=2))
        self.feed.fail_over()
        self.assertEqual((tap.stopped, self.feed.source), (0, "a/0"))
        self.assertEqual(self.slots.total, 2)

    def test_one_that_fails_is_passed_over(self) -> None:
        """The next source that does not work is passed over, and one that failed just now is not tried."""
        self.play(self.start(), made_film(seconds=2))
        self.origins.script["b"] = [UpstreamError(502, "refused")]
        self.assertEqual(self.switch(), "c/2")
        self.assertEqual(self.origins.asked, ["a", "b", "c"])
        self.assertEqual(self.switch(), "a/0")
        self.origins.script["b"] = [Media.TS]
        self.assertEqual(self.switch(), "b/1")

    def test_one_that_rests_is_passed_over(self) -> None:
        """A source that has failed so lately that it rests is passed over too."""
        tap = self.start()
        self.play(tap, made_film(seconds=2))
        tap.finish()
        self.origins.taps[-1].deliver(made_film(seconds=2))
        self.assertEqual(self.feed.source, "b/1")
        self.feed.fail_over()
        self.origins.taps[-1].deliver(made_film(seconds=2))
        self.assertEqual(self.feed.source, "c/2")
        # The first failed a moment ago: it rests, and the second comes after it.
        self.feed.fail_over()
        self.origins.taps[-1].deliver(made_film(seconds=2))
        self.assertEqual(self.feed.source, "b/1")

    def test_in_whatever_form(self) -> None:
        """A source of another form than the channel is listed with has its turn; a film is none of its sources."""
        self.sources[1] = ("b", Source(SourceKind.HLS, url="http://origin.test/b"))
        self.sources.insert(2, ("d", Source(SourceKind.VOD, url="http://origin.test/d")))
        self.play(self.start(), made_film(seconds=2))
        self.assertEqual([self.switch() for _ in range(3)], ["b/1", "c/3", "a/0"])

    def test_twice_at_once(self) -> None:
        """Asked twice before the next has joined, the first attempt is given up: one connection is made, not two."""
        self.play(self.start(), made_film(seconds=2))
        self.feed.fail_over()
        self.feed.fail_over()
        self.assertEqual((self.origins.taps[1].stopped, self.slots.total), (1, 2))
        self.play(self.origins.taps[-1], made_film(seconds=2))
        self.assertEqual(self.feed.source, "b/1")

    def test_when_there_is_nothing_to_leave(self) -> None:
        """Before the first source is open, and after the end, there is nothing to go on from."""
        waiting: Deferred[Opened] = Deferred()
        self.origins.script["a"] = [waiting]
        starting = Deferred.fromCoroutine(self.feed.start())
        self.feed.fail_over()
        self.assertEqual((self.origins.asked, self.feed.leading), (["a"], None))
        waiting.callback(self.origins.opened())
        self.successResultOf(starting)
        self.assertEqual(self.feed.leading, ("a", 0))
        self.feed.close()
        self.feed.fail_over()
        self.assertEqual((self.origins.asked, self.slots.total, self.feed.state), (["a"], 0, FeedState.CLOSED))


class RenewedTests(FeedTestCase):
    def switch(self) -> str:
        self.feed.fail_over()
        self.play(self.origins.taps[-1], made_film(seconds=2))
        return self.feed.source

    def test_more(self) -> None:
        """Sources that the channel has only now have their turn with the next switch; nothing happens before."""
        del self.sources[1]
        tap = self.start()
        self.play(tap, made_film(seconds=2))
        self.sources = [("a", self.sources[0][1]), ("c", Source(SourceKind.TS, url="http://origin.test/c"))]
        result(self.feed.renew())
        self.assertEqual((self.origins.asked, tap.stopped), (["a"], 0))
        self.assertEqual([self.switch() for _ in range(2)], ["c/1", "a/0"])

    def test_fewer(self) -> None:
        """One that leads and that the channel has no more goes on until it is left, and is not tried again."""
        self.sources.append(("c", Source(SourceKind.TS, url="http://origin.test/c")))
        self.play(self.start(), made_film(seconds=2))
        self.assertEqual([self.switch() for _ in range(2)], ["b/1", "c/2"])
        del self.sources[1:]
        result(self.feed.renew())
        self.assertEqual((self.feed.source, self.feed.state), ("c/2", FeedState.STREAMING))
        self.assertEqual([self.switch() for _ in range(2)], ["a/0", "a/0"])
        self.assertEqual(self.origins.asked, ["a", "b", "c", "a", "a"])
