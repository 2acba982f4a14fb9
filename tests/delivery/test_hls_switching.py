"""HLS whose source fails while it plays: another one carries on, and players notice a discontinuity at most."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError

from iptvd.delivery import hls_sessions
from iptvd.delivery.hls_freshness import OVERDUE
from iptvd.delivery.hls_switching import TRIAL
from iptvd.delivery.opening import Ask
from iptvd.errors import UpstreamError
from iptvd.model import Source, SourceKind
from tests.delivery.hls_switching import DOWN, GONE, ONE, OTHER, TARGET, THREE, TWO, Page, SwitchingTestCase, live
from tests.delivery.test_hls import tokens_in
from tests.delivery.test_hub import VIEWER
from tests.delivery.test_opening import response


class GoesOnTests(SwitchingTestCase):
    def test_each_way_to_fail(self) -> None:
        """Whatever becomes of its playlist, the player has the next source's, numbered on, at the same address."""
        for number, page in enumerate((DOWN, GONE, response(b"<html>"), response(b"", "404 x"))):
            self.setUp()
            (token,) = self.begin()
            before = self.read(token, seconds=0)
            self.assertEqual((before.media_sequence, before.discontinuity_sequence), (1000, 0))
            self.give(ONE, page)
            now = self.read(token)
            self.assertEqual(self.urls(now), [f"two.test/{at}.ts" for at in (2004, 2005, 2006)], number)
            self.assertEqual((now.media_sequence, now.end), (before.end, before.end + 3))
            self.assertEqual([each.discontinuity for each in now.segments], [True, False, False])
            self.assertEqual((len(self.hub.sessions), self.used()), (1, [0, 1]))
            self.assertEqual([each[:2] for each in self.switches], [("p/0", "q/1")])

    def test_refused(self) -> None:
        """An origin that takes no connection any more has failed."""
        (token,) = self.begin()
        self.read(token, seconds=0)
        self.network.failures = [ConnectionRefusedError()]
        self.assertEqual(self.urls(self.read(token))[0], "two.test/2004.ts")

    def test_goes_on(self) -> None:
        """From then on it moves on as the other source does, and each segment keeps its number and its address."""
        (token,) = self.begin()
        before = self.read(token, seconds=0)
        self.give(ONE, DOWN)
        known = {segment.sequence: segment.uri for segment in before.segments}
        for _ in range(12):
            now = self.read(token)
            for segment in now.segments:
                self.assertEqual(known.setdefault(segment.sequence, segment.uri), segment.uri)
            self.assertGreaterEqual(now.media_sequence, before.media_sequence)
            self.assertGreaterEqual(now.end, before.end)
            self.assertEqual(now.discontinuity_sequence, 0 if now.segments[0].discontinuity else 1)
            before = now
        self.assertEqual(sorted(known), list(range(1000, before.end)))
        self.assertEqual(len(before.segments), 6)

    def test_there_and_back(self) -> None:
        """When the other one fails as well, the first is gone on with if it works again, or the one after."""
        self.offer("r", THREE)
        (token,) = self.begin()
        end = self.read(token, seconds=0).end
        good = self.pages[ONE]
        for fails, works in ((ONE, TWO), (TWO, THREE), (THREE, ONE)):
            self.give(fails, DOWN)
            if works == ONE:
                self.pages[ONE] = good
            now = self.read(token)
            self.assertTrue(self.urls(now)[0].startswith(works.partition("/")[0]))
            self.assertEqual((now.media_sequence, now.segments[0].discontinuity), (end, True))
            end = now.end
        self.assertEqual(now.discontinuity_sequence, 2)
        self.assertEqual([each[1] for each in self.switches], ["q/1", "r/2", "p/0"])

    def test_frozen(self) -> None:
        """A playlist that does not move on any more is left when it is overdue, and not before."""
        (token,) = self.begin()
        before = self.read(token, seconds=0)
        self.freeze(ONE)
        while self.clock.seconds() + TARGET / 2 < (1 + OVERDUE) * TARGET:
            self.assertEqual(self.read(token, seconds=TARGET / 2), before)
        now = self.read(token, seconds=TARGET / 2)
        self.assertEqual((now.media_sequence, self.urls(now)[0]), (before.end, "two.test/2005.ts"))
        self.assertIn("does not move on", self.switches[0][2])

    def test_frozen_at_once(self) -> None:
        """What is at hand is not given to a player that has to be given another source."""
        (token,) = self.begin()
        self.read(token, seconds=0)
        self.freeze(ONE)
        self.network.failures = []
        (another,) = self.begin(OTHER)
        self.give(TWO, DOWN)
        for _ in range(5):
            self.read(another, OTHER, TARGET / 2)
        # The other source was tried in vain: what there is stays.
        self.assertIsNone(self.relay.playlist_at_once(token, VIEWER))
        self.assertEqual(self.urls(self.read(token, seconds=0))[0], "one.test/1000.ts")
        self.offer("q", TWO)
        self.given.pop()
        now = self.read(token, seconds=1)
        self.assertEqual(now.segments[0].discontinuity, True)
        self.assertEqual(self.relay.playlist_at_once(token, VIEWER), self.successResultOf(self.asking(token)))

    def test_an_origin_that_says_nothing(self) -> None:
        """A playlist that does not come is not waited for longer than until it is overdue."""
        (token,) = self.begin()
        before = self.read(token, seconds=0)
        self.give(ONE, None)
        self.clock.advance(TARGET)
        work = self.asking(token)
        _, _, silent = self.network.connections[-1]
        self.clock.advance(OVERDUE * TARGET - 1)
        self.assertNoResult(work)
        self.clock.advance(1)
        self.settle()
        self.assertEqual(self.parsed(self.successResultOf(work)).media_sequence, before.end)
        self.assertTrue(silent.aborted)

    def test_before_anything_was_had(self) -> None:
        """A player that has had nothing yet gets the other source's playlist as it is."""
        (token,) = self.begin()
        self.clock.advance(TARGET)
        self.give(ONE, DOWN)
        now = self.read(token, seconds=0)
        self.assertEqual((now.media_sequence, now.segments[0].discontinuity), (2001, False))

    def test_counting_anew(self) -> None:
        """When the source that carries on restarts and counts anew, the player's numbers go on all the same."""
        (token,) = self.begin()
        self.read(token, seconds=0)
        self.give(ONE, DOWN)
        before = self.read(token)
        self.give(TWO, response(live(0)))
        now = self.read(token)
        self.assertEqual((now.media_sequence, self.urls(now)[0]), (before.end, "two.test/3.ts"))
        self.assertEqual((now.discontinuity_sequence, now.segments[0].discontinuity), (1, True))

    def test_directives(self) -> None:
        """Numbers that are the player's own are not asked of the source that carries on."""
        (token,) = self.begin()
        self.read(token, seconds=0)
        self.give(ONE, DOWN)
        self.give(f"{ONE}?_HLS_msn=1007", DOWN)
        self.clock.advance(TARGET)
        self.successResultOf(self.asking(token, query="_HLS_msn=1007"))
        self.clock.advance(TARGET)
        self.successResultOf(self.asking(token, query="_HLS_msn=1010"))
        self.assertEqual(self.asks[-3:], [f"{ONE}?_HLS_msn=1007", TWO, TWO])

    def test_segments(self) -> None:
        """A segment is asked for as its own source wants it, whichever the player has now, and after a restart."""
        (token,) = self.begin()
        old = self.read(token, seconds=0).segments[-1].uri
        self.give(ONE, DOWN)
        new = self.read(token).segments[-1].uri
        for restarted in (False, True):
            for uri, name in ((old, "p"), (new, "q"), (old, "p")):
                (segment,) = tokens_in(uri.encode())
                if restarted and name == "q":
                    self.relay = self.start()
                self.assertIsNone(self.relay.content_at_once(segment, VIEWER))
                work = Deferred.fromCoroutine(self.relay.content(segment, None, Ask(), VIEWER))
                self.assertIn(b"Referer: %b\r\n" % name.encode(), self.network.connections[-1][2].value())
                work.addErrback(lambda failure: None)
                work.cancel()

    def test_a_source_that_is_no_more(self) -> None:
        """A segment of a source that there is no more is asked for as the session's own are."""
        (token,) = self.begin()
        old = self.read(token, seconds=0).segments[-1].uri
        self.relay = self.start()
        self.given = self.given[1:]
        (segment,) = tokens_in(old.encode())
        for _ in range(2):
            work = Deferred.fromCoroutine(self.relay.content(segment, None, Ask(), VIEWER))
            self.assertIn(b"Referer: q\r\n", self.network.connections[-1][2].value())
            work.addErrback(lambda failure: None)
            work.cancel()

    def test_after_a_restart(self) -> None:
        """After a restart a player goes on with what its address names, or the next source when that still fails."""
        (token,) = self.begin()
        self.read(token, seconds=0)
        self.give(ONE, DOWN)
        self.read(token)
        self.relay = self.start()
        now = self.read(token)
        self.assertEqual((self.urls(now)[0], now.media_sequence), ("two.test/2002.ts", 2002))

    def test_a_pause(self) -> None:
        """A player that pauses for longer than its session lasts has its numbers go on all the same."""
        self.patch(hls_sessions, "FORMER", 1)
        tokens = {viewer: self.begin(viewer)[0] for viewer in (OTHER, VIEWER)}
        for viewer, token in tokens.items():
            self.read(token, viewer, seconds=0)
        self.give(ONE, DOWN)
        self.clock.advance(TARGET)
        ends = {viewer: self.read(token, viewer, seconds=1).end for viewer, token in tokens.items()}
        self.assertEqual(set(ends.values()), {1009})
        self.clock.pump([1] * 60)
        self.assertEqual(len(self.hub.sessions), 0)
        now = self.read(tokens[VIEWER], seconds=0)
        self.assertEqual((now.media_sequence, self.urls(now)[0]), (1013, "two.test/2011.ts"))
        # Only of so many it is remembered.
        self.assertEqual(self.read(tokens[OTHER], OTHER, seconds=0).media_sequence, 2011)

    def test_a_pause_after_which_it_is_gone(self) -> None:
        """Numbers go on, too, when the source that carried on is no more there after a pause."""
        (token,) = self.begin()
        self.read(token, seconds=0)
        good = self.pages[ONE]
        self.give(ONE, DOWN)
        end = self.read(token).end
        self.clock.pump([1] * 60)
        self.pages[ONE] = good
        self.given = self.given[:1]
        now = self.read(token, seconds=0)
        self.assertEqual((now.media_sequence, self.urls(now)[0]), (end, "one.test/1014.ts"))


class WithoutAnotherTests(SwitchingTestCase):
    def test_alone(self) -> None:
        """Where there is no other source the player is told what is wrong, or has what does not move on."""
        self.given = self.given[:1]
        (token,) = self.begin()
        before = self.read(token, seconds=0)
        self.freeze(ONE)
        for _ in range(8):
            self.assertEqual(self.read(token), before)
        self.give(ONE, DOWN)
        self.clock.advance(TARGET)
        self.assertIn("500", str(self.failureResultOf(self.asking(token), UpstreamError).value))
        self.assertEqual((self.used(), self.switches), ([1, 0], []))

    def test_none_works(self) -> None:
        """When no source works, the others are not asked again with each request, and later they are."""
        nothing = response(b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n")
        for page in (DOWN, GONE, nothing, response(live(5, end="#EXT-X-ENDLIST"))):
            self.setUp()
            (token,) = self.begin()
            self.read(token, seconds=0)
            self.give(ONE, DOWN)
            self.give(TWO, page)
            self.clock.advance(TARGET)
            for _ in range(20):
                self.failureResultOf(self.asking(token), UpstreamError)
            self.assertEqual((self.asks.count(TWO), self.used()), (1, [1, 0]))
            self.pages[TWO] = lambda: response(live(2000))
            self.assertEqual(self.urls(self.read(token, seconds=10))[0], "two.test/2003.ts")

    def test_one_that_does_not_answer(self) -> None:
        """Another source that does not answer is not waited for for long."""
        work = self.trying()
        self.assertNoResult(work)
        self.clock.advance(TRIAL)
        self.assertIn("500", str(self.failureResultOf(work, UpstreamError).value))
        self.assertEqual(self.used(), [1, 0])

    def test_both_frozen(self) -> None:
        """From a source that does not move on one that does not either is not gone back to."""
        (token,) = self.begin()
        self.read(token, seconds=0)
        self.freeze(ONE)
        self.freeze(TWO)
        for _ in range(20):
            self.read(token)
        self.assertEqual(self.switches, [("p/0", "q/1", "its playlist does not move on")])

    def test_no_sources(self) -> None:
        """When a channel has no source at all any more, the player is told what is wrong with its own."""
        (token,) = self.begin()
        self.read(token, seconds=0)
        self.give(ONE, DOWN)
        self.clock.advance(TARGET)
        self.given = []
        self.failureResultOf(self.asking(token), UpstreamError)

    def test_films(self) -> None:
        """A film is not begun anew in the middle because its playlist fails when it is loaded again."""
        self.give(ONE, response(live(0, end="#EXT-X-ENDLIST")))
        (token,) = self.begin()
        self.read(token, seconds=0)
        self.give(ONE, DOWN)
        self.clock.advance(TARGET)
        self.failureResultOf(self.asking(token), UpstreamError)
        self.assertEqual(self.switches, [])

    def test_an_old_address(self) -> None:
        """Another source that refuses is resolved anew before it counts."""
        (token,) = self.begin()
        self.read(token, seconds=0)
        self.give(ONE, DOWN)
        self.clock.advance(TARGET)
        moved: list[Source] = []

        def refused() -> Page:
            moved.append(Source(SourceKind.HLS, url="http://two.test/new/index.m3u8"))
            self.given = [self.given[0], ("q", moved[-1])]
            return GONE

        self.pages[TWO] = refused
        self.give("two.test/new/index.m3u8", response(live(7)))
        self.assertEqual(self.urls(self.read(token, seconds=0))[0], "two.test/new/10.ts")
