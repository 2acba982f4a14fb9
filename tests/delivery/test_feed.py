"""What keeps a broadcast supplied."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import Deferred

from iptvd.delivery.candidates import MOST_ATTEMPTS
from iptvd.delivery.feed import JOIN_PATIENCE, MOST_QUIET, FeedState, NotShareable
from iptvd.delivery.opening import Opened
from iptvd.delivery.pulse import TRICKLE_SECONDS
from iptvd.delivery.segments import SegmentCache
from iptvd.errors import LimitError, UpstreamError
from iptvd.model import Outcome, Source, SourceKind
from iptvd.protocols.mpegts import PACKET, null_packets
from iptvd.protocols.psi import Stream
from iptvd.protocols.sniff import Media
from tests.delivery.feeding import OTHER, SECOND_LENGTH, FeedTestCase, Pulled
from tests.delivery.hls_script import ScriptedOrigin
from tests.doubles import result, sliced
from tests.protocols.tsmaking import made_film, pid_of


class StartTests(FeedTestCase):
    def test_the_best_source(self) -> None:
        """The best source is used, its packets go through untouched, and it holds one slot."""
        tap = self.start()
        film = made_film(seconds=3)
        self.play(tap, film)
        self.assertEqual(self.output, film)
        self.assertEqual((self.feed.source, self.feed.state), ("a/0", FeedState.STREAMING))
        self.assertEqual((self.slots.used("a"), self.slots.used("b")), (1, 0))

    def test_the_next_when_it_fails(self) -> None:
        """When the best does not work at the start, the next is used and the best's slot is free."""
        self.origins.script["a"] = [UpstreamError(502, "refused")]
        self.start()
        self.assertEqual(self.feed.source, "b/1")
        self.assertEqual((self.slots.used("a"), self.slots.used("b")), (0, 1))

    def test_none_works(self) -> None:
        """When none works the best one's reason is told, and no slot is held."""
        self.origins.script = {"a": [UpstreamError(404, "gone")], "b": [UpstreamError(502, "refused")]}
        with self.assertRaisesRegex(UpstreamError, "gone"):
            self.start()
        self.assertEqual(self.slots.total, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_slot(self) -> None:
        """When all connections of the provider are in use the viewer is told so."""
        self.sources = self.sources[:1]
        self.limits["a"] = 1
        taken = self.slots.take("a")
        self.assertIsNotNone(taken)
        with self.assertRaisesRegex(LimitError, "all 1 connections of a are in use"):
            self.start()

    def test_another_provider_has_a_slot(self) -> None:
        """When the best source's provider is full, the other provider's source is used."""
        self.limits["a"] = 1
        self.assertIsNotNone(self.slots.take("a"))
        self.start()
        self.assertEqual(self.feed.source, "b/1")

    def test_not_mpegts(self) -> None:
        """A stream that is no MPEG-TS cannot be shared, and lets go of its slot."""
        self.origins.script["a"] = [Media.MP3]
        with self.assertRaises(NotShareable):
            self.start()
        self.assertEqual(self.slots.total, 0)


class SwitchTests(FeedTestCase):
    def test_an_end(self) -> None:
        """When the source ends the next carries on, in the same programme, and the viewers' packets have no gap."""
        tap = self.start()
        film = made_film(seconds=4)[: -20 * PACKET]
        self.play(tap, film)
        tap.finish()
        self.assertEqual(self.feed.state, FeedState.SWITCHING)
        self.play(self.origins.taps[-1], made_film(seconds=4, program_map=OTHER, pmt_pid=0x20, first_pts=5_000_000))
        self.assertEqual((self.feed.source, self.feed.switches), ("b/1", 1))
        self.assertEqual((self.slots.used("a"), self.slots.used("b")), (0, 1))
        self.check_join(film)

    def test_switches_are_told(self) -> None:
        """When another source has taken over, it is told which led before, which leads now, and why."""
        tap = self.start()
        self.play(tap, made_film(seconds=3))
        tap.finish(UpstreamError(502, "the origin ended the stream"))
        self.assertEqual(self.switched, [])
        self.play(self.origins.taps[-1], made_film(seconds=3, program_map=OTHER))
        self.assertEqual(self.switched, [("a/0", "b/1", "the origin ended the stream")])
        self.feed.fail_over()
        self.play(self.origins.taps[-1], made_film(seconds=3))
        self.assertEqual(self.switched[1:], [("b/1", "a/0", "by hand")])

    def test_a_next_that_has_ended_already(self) -> None:
        """A next source that has ended by the time it is open is followed by another at once."""
        opening: Deferred[Opened] = Deferred()
        self.origins.script["b"] = [opening]
        tap = self.start()
        self.play(tap, made_film(seconds=3))
        tap.finish()
        opened = self.origins.opened()
        self.origins.taps[-1].deliver(made_film(seconds=1)[: 5 * PACKET])
        self.origins.taps[-1].finish()
        opening.callback(opened)
        self.clock.advance(0.25)
        self.assertEqual(self.origins.asked, ["a", "b", "a"])
        self.play(self.origins.taps[-1], made_film(seconds=2))
        self.assertEqual((self.feed.source, self.feed.state), ("a/0", FeedState.STREAMING))

    def test_a_programme_that_cannot_be_announced(self) -> None:
        """A next source whose programme cannot be put together with the viewers' one makes way for another."""
        described = b"\x0a\x04eng\0" * 150
        ours = evolve(OTHER, streams=(OTHER.streams[0], evolve(OTHER.streams[1], descriptors=described)))
        theirs = evolve(OTHER, streams=(Stream(0x210, 0x02, described), OTHER.streams[1]))
        tap = self.start()
        self.play(tap, made_film(seconds=3, program_map=ours))
        tap.finish()
        self.clock.advance(1.0)
        self.play(self.origins.taps[-1], made_film(seconds=1, program_map=theirs))
        self.assertEqual((self.slots.used("a"), self.slots.used("b"), self.origins.asked), (1, 0, ["a", "b", "a"]))
        self.play(self.origins.taps[-1], made_film(seconds=2, program_map=ours))
        # So does one that has such a programme only later.
        self.play(self.origins.taps[-1], made_film(seconds=1, program_map=theirs))
        self.assertEqual((self.slots.used("a"), self.slots.used("b"), self.origins.asked[3:]), (0, 1, ["b"]))
        self.assertEqual(self.feed.state, FeedState.SWITCHING)

    def test_breaks_are_told(self) -> None:
        """Who cuts the stream is told where another source takes over, before the first packet of it."""
        tap = self.start()
        film = made_film(seconds=3)
        breaks: list[int] = []
        self.broadcast.observe(lambda: None, lambda: breaks.append(self.broadcast.ring.end))
        self.play(tap, film)
        tap.finish()
        self.assertEqual(breaks, [])
        self.play(self.origins.taps[-1], made_film(seconds=2, program_map=OTHER))
        self.assertEqual(breaks, [len(film)])

    def test_an_error(self) -> None:
        """A reset is an end like any other."""
        tap = self.start()
        self.play(tap, made_film(seconds=2))
        tap.finish(UpstreamError(502, "reset"))
        self.assertEqual(self.origins.asked, ["a", "b"])

    def test_silence(self) -> None:
        """After a second of silence the next source is connected beside; the first to join carries on."""
        tap = self.start()
        film = made_film(seconds=3)
        self.play(tap, film)
        self.clock.pump([0.25] * 5)
        self.assertEqual(self.origins.asked, ["a", "b"])
        self.assertEqual(self.slots.total, 2)
        self.assertEqual(tap.stopped, 0)
        self.play(self.origins.taps[-1], made_film(seconds=3, program_map=OTHER, first_pts=77))
        self.assertEqual(self.feed.source, "b/1")
        self.assertEqual(tap.stopped, 1)
        self.assertEqual(self.slots.total, 1)
        self.check_join(film)

    def test_a_break_of_its_own(self) -> None:
        """Where an HLS source says that it does not carry on, what follows is made to: one programme, one clock."""
        origin = ScriptedOrigin(self.clock)
        source, cache = Source(SourceKind.HLS, url="http://origin.test/a"), SegmentCache(0, self.clock)
        pulled = Pulled(origin.opener(), cache, source, self.clock, sliced)
        waiting: Deferred[Opened] = Deferred()
        self.origins.script["a"] = [waiting]
        waiting.callback(Opened(pulled, 200, (), Media.TS))
        result(self.feed.start())
        film = made_film(seconds=3)
        pulled.deliver(film)
        self.clock.advance(0.25)
        pulled.on_discontinuity()
        pulled.deliver(made_film(seconds=3, program_map=OTHER, pmt_pid=0x20, first_pts=5_000_000))
        self.clock.advance(0.25)
        self.check_join(film)
        self.assertEqual((self.feed.source, self.feed.switches, self.feed.state), ("a/0", 0, FeedState.STREAMING))
        self.assertEqual((self.origins.asked, self.slots.total), (["a"], 1))
        pulled.on_discontinuity()
        for _ in range(round(JOIN_PATIENCE) * 4 + 4):
            pulled.deliver(null_packets(7))
            self.clock.advance(0.25)
        self.assertEqual((pulled.ended, self.origins.asked[:2]), (True, ["a", "b"]))

    def test_silence_that_ends(self) -> None:
        """A source that comes back before the next has reached a join point carries on, and the next is let go."""
        tap = self.start()
        film = made_film(seconds=8)
        half = len(film) // 2 // PACKET * PACKET
        self.play(tap, film[:half])
        self.clock.pump([0.25] * 5)
        candidate = self.origins.taps[-1]
        self.assertIsNot(candidate, tap)
        self.play(tap, film[half:])
        self.assertEqual(self.output, film)
        self.assertEqual((self.feed.source, self.feed.state), ("a/0", FeedState.STREAMING))
        self.assertEqual(candidate.stopped, 1)
        self.assertEqual(self.slots.total, 1)

    def test_a_stall(self) -> None:
        """A source that stays silent for the stall timeout is closed, whether there is another or not."""
        self.sources = self.sources[:1]
        never: Deferred[Opened] = Deferred()
        self.origins.script["a"] = [Media.TS, never]
        tap = self.start()
        self.play(tap, made_film(seconds=2))
        self.clock.pump([0.25] * 24)
        self.assertEqual(tap.stopped, 1)

    def test_the_only_source_is_tried_again(self) -> None:
        """A source without an alternative is connected again, and the programme goes on."""
        self.sources = self.sources[:1]
        tap = self.start()
        film = made_film(seconds=3)
        self.play(tap, film)
        tap.finish()
        self.clock.pump([0.25] * 4)
        self.assertEqual(self.origins.asked, ["a", "a"])
        self.play(self.origins.taps[-1], made_film(seconds=3))
        self.check_join(film)

    def test_one_connection(self) -> None:
        """A provider that allows one connection leaves no room for two: the silent one makes way."""
        self.sources = [("a", one) for _, one in self.sources]
        self.limits["a"] = 1
        tap = self.start()
        self.play(tap, made_film(seconds=2))
        self.clock.pump([0.25] * 5)
        self.assertEqual(tap.stopped, 1)
        self.assertEqual(self.origins.asked, ["a", "b"])
        self.assertEqual(self.slots.used("a"), 1)

    def test_a_trickle(self) -> None:
        """A source whose clock falls behind real time has stalled too, whenever that begins."""
        for steady in (0, 7):
            self.origins.asked.clear()
            self.feed = self.make()
            tap = self.start()
            film = made_film(seconds=30)
            piece = SECOND_LENGTH // 4 // PACKET * PACKET
            self.play(tap, film[: 4 * steady * piece])
            slow_since = self.clock.seconds()
            for start in range(4 * steady * piece, len(film), piece):
                tap.deliver(film[start : start + piece])
                self.clock.pump([0.25] * 2)
                if len(self.origins.asked) > 1:
                    break
            self.assertEqual(self.origins.asked, ["a", "b"])
            self.assertLessEqual(self.clock.seconds() - slow_since, TRICKLE_SECONDS + 1)
            self.feed.close()

    def test_a_storm_ends(self) -> None:
        """When everything fails the attempts are few, and then the channel is given up with the reason."""
        tap = self.start()
        self.play(tap, made_film(seconds=2))
        for name in "ab":
            self.origins.script[name] = [UpstreamError(502, "the origin refuses the connection")]
        tap.finish()
        for _ in range(400):
            self.clock.advance(0.25)
        self.assertLessEqual(len(self.origins.asked), MOST_ATTEMPTS + 1)
        self.assertEqual([outcome for outcome, _ in self.given_up], [Outcome.EXHAUSTED])
        self.assertIn("refuses the connection", self.given_up[0][1])
        self.assertEqual((self.slots.total, self.feed.state), (0, FeedState.CLOSED))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_only_source_ends_again_and_again(self) -> None:
        """A source that delivers well for some seconds each time before it ends is connected again for ever."""
        self.sources = self.sources[:1]
        tap = self.start()
        for _ in range(3 * MOST_ATTEMPTS):
            self.play(tap, made_film(seconds=4))
            tap.finish()
            self.clock.advance(0.25)
            tap = self.origins.taps[-1]
        self.assertEqual((len(self.origins.asked), self.feed.switches), (3 * MOST_ATTEMPTS + 1, 3 * MOST_ATTEMPTS - 1))
        self.assertEqual((self.given_up, self.slots.total), ([], 1))

    def test_the_only_source_ends_at_once(self) -> None:
        """A source that ends soon after each beginning is given up after some attempts, with what is true of it."""
        self.sources = self.sources[:1]
        tap = self.start()
        while not self.given_up:
            self.assertLessEqual(len(self.origins.asked), MOST_ATTEMPTS + 1)
            self.play(tap, made_film(seconds=1))
            tap.finish()
            self.clock.advance(0.25)
            tap = self.origins.taps[-1]
        ((outcome, reason),) = self.given_up
        self.assertIs(outcome, Outcome.EXHAUSTED)
        self.assertIn("failed or brought less than 3 s, the last because the origin ended the stream", reason)

    def test_the_only_source_stays_dead(self) -> None:
        """Where attempts are few, because there is one source or each takes long, the channel is given up in time."""
        for failure in (UpstreamError(502, "the origin refuses the connection"), Media.TS):
            self.sources = self.sources[:1]
            self.given_up.clear()
            self.origins.script["a"] = [Media.TS]
            self.feed = self.make()
            tap = self.start()
            self.play(tap, made_film(seconds=2))
            self.origins.script["a"] = [failure]
            tap.finish()
            asked = len(self.origins.asked)
            self.clock.pump([0.25] * 4 * round(MOST_QUIET))
            self.assertEqual([outcome for outcome, _ in self.given_up], [Outcome.EXHAUSTED])
            self.assertIn(failure.sentence if isinstance(failure, UpstreamError) else "nothing", self.given_up[0][1])
            self.assertLessEqual(len(self.origins.asked) - asked, MOST_ATTEMPTS)
            self.assertEqual((self.slots.total, self.clock.getDelayedCalls()), (0, []))

    def test_nothing_to_begin_with(self) -> None:
        """A source whose packets hold nothing that a player can begin with makes way for the next."""
        tap = self.start()
        for _ in range(round(JOIN_PATIENCE) * 4 + 4):
            tap.deliver(null_packets(7))
            self.clock.advance(0.25)
        self.assertEqual((tap.stopped, self.origins.asked), (1, ["a", "b"]))
        for _ in range(round(JOIN_PATIENCE) * 4 + 4):
            self.origins.taps[1].deliver(null_packets(7))
            self.clock.advance(0.25)
        self.assertEqual((self.origins.taps[1].stopped, self.origins.asked), (1, ["a", "b", "a"]))
        self.assertEqual(self.slots.total, 1)

    def test_a_failed_source_is_not_burned(self) -> None:
        """A source that failed once is used again later."""
        tap = self.start()
        for name in ("b/1", "a/0", "b/1"):
            self.play(tap, made_film(seconds=2))
            tap.finish()
            self.clock.pump([0.25] * 8)
            tap = self.origins.taps[-1]
            self.play(tap, made_film(seconds=2))
            self.assertEqual(self.feed.source, name)
            self.clock.pump([0.25] * 2)

    def test_players_are_kept_alive_in_a_gap(self) -> None:
        """While there is nothing to send, null packets keep players alive, but not before the first data."""
        self.origins.script["b"] = [Deferred(), Deferred()]
        tap = self.start()
        self.clock.pump([0.25] * 4)
        self.assertEqual(self.output, b"")
        film = made_film(seconds=2)
        self.play(tap, film)
        tap.finish()
        self.clock.pump([0.25] * 8)
        gap = self.output[len(film) :]
        self.assertGreater(len(gap), 0)
        self.assertEqual({pid_of(gap[at : at + PACKET]) for at in range(0, len(gap), PACKET)}, {0x1FFF})

    def test_a_source_that_expired(self) -> None:
        """A source whose address has expired is resolved anew before it is used again."""
        self.sources = [("a", evolve(self.sources[0][1], expires=1.0))]
        tap = self.start()
        self.play(tap, made_film(seconds=2))
        self.sources = [("a", Source(SourceKind.TS, url="http://origin.test/c"))]
        tap.finish()
        self.clock.pump([0.25] * 4)
        self.assertEqual(self.origins.asked, ["a", "c"])

    def test_closing_at_any_moment(self) -> None:
        """However far a switch has come, closing gives every connection and slot back."""
        pending: Deferred[Opened] = Deferred()
        for moment in range(4):
            self.origins.script = {"b": [pending if moment == 1 else Media.TS]}
            self.feed = self.make()
            tap = self.start()
            self.play(tap, made_film(seconds=2))
            if moment:
                tap.finish()
            if moment == 3:
                self.origins.taps[-1].deliver(made_film(seconds=1)[: 5 * PACKET])
            self.feed.close()
            self.assertEqual(self.slots.total, 0)
            self.broadcast.flush()
            self.assertEqual(self.clock.getDelayedCalls(), [])


class SeenTests(FeedTestCase):
    def test_bits_a_second(self) -> None:
        """What the source in use brings is told in bits a second, and nothing once it is silent."""
        self.assertEqual((self.feed.bitrate, self.feed.leading), (0.0, None))
        tap = self.start()
        self.play(tap, made_film(seconds=8))
        self.assertLess(abs(self.feed.bitrate / (8 * SECOND_LENGTH) - 1), 0.1)
        self.origins.script["b"] = [UpstreamError(502, "refused")]
        self.clock.pump([0.25] * 24)
        self.assertEqual(self.feed.bitrate, 0.0)
