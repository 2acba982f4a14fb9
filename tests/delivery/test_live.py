"""Channels that are on: from the first viewer until a while after the last."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.candidates import MOST_ATTEMPTS
from iptvd.delivery.feed import FeedState, NotShareable
from iptvd.delivery.live import Live, LiveSettings, OnAir
from iptvd.delivery.opening import FoundPlaylist
from iptvd.delivery.ring import Budget
from iptvd.delivery.session import Face, Session
from iptvd.delivery.session import Viewer as Who
from iptvd.delivery.slots import Slots
from iptvd.delivery.viewers import TransportViewer
from iptvd.errors import LimitError, UpstreamError
from iptvd.model import Channel, Outcome, Source, SourceKind
from iptvd.protocols.mpegts import PACKET
from iptvd.protocols.sniff import Media
from tests.delivery.feeding import Origins
from tests.delivery.test_relay import CHANNEL, Glass
from tests.doubles import result
from tests.protocols.tsmaking import made_film

SECOND, LONG = made_film(seconds=1), made_film(seconds=30)
OTHER = evolve(CHANNEL, id=2, name="Two")


class LiveTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.origins = Origins()
        self.limits: dict[str, int] = {}
        self.slots = Slots(lambda provider: self.limits.get(provider, 0))
        self.sources = [("a", Source(SourceKind.TS, url="http://origin.test/a"))]

        async def sources(channel: Channel) -> list[tuple[str, Source]]:
            return list(self.sources)

        self.live = Live(
            sources, self.origins, self.slots, self.clock, self.clock.seconds, Budget(10**9), LiveSettings()
        )
        self.addCleanup(self.live.close)

    def tune(self, channel: Channel = CHANNEL) -> OnAir:
        return result(self.live.tune(channel))

    def begin(self, channel: Channel = CHANNEL) -> Deferred[OnAir]:
        return Deferred.fromCoroutine(self.live.tune(channel))

    def session(self, agent: str = "VLC") -> Session:
        return Session("s", CHANNEL, Who("127.0.0.1", agent), Face.TS, 0.0)

    def show(self, on_air: OnAir, agent: str = "VLC") -> tuple[Session, Glass]:
        """A viewer of it."""
        session, glass = self.session(agent), Glass(10**9)
        transport: Any = glass
        viewer = TransportViewer(session, on_air.broadcast.ring, self.clock.seconds, lambda: None, transport)
        self.live.show(on_air, viewer)
        return session, glass

    def nothing_left(self) -> None:
        """No channel is on, no slot taken, no origin open, nothing waited for."""
        self.assertEqual((dict(self.live.on_air), self.slots.total), ({}, 0))
        self.assertTrue(all(tap.stopped for tap in self.origins.taps))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TuneTests(LiveTestCase):
    def test_once(self) -> None:
        """However many tune in, a channel is opened once, and takes one connection of its provider."""
        first, second = self.tune(), self.tune()
        self.assertIs(first, second)
        self.assertEqual((self.origins.asked, first.users, self.slots.used("a")), (["a"], 2, 1))
        self.assertIs(first.feed.state, FeedState.STREAMING)

    def test_at_the_same_time(self) -> None:
        """Those who tune in while it is being turned on wait for the same."""
        opening: Deferred[Any] = Deferred()
        self.origins.script["a"] = [opening]
        works = [self.begin() for _ in range(3)]
        for work in works:
            self.assertNoResult(work)
        opening.callback(self.origins.opened())
        self.assertEqual(len({id(self.successResultOf(work)) for work in works}), 1)
        self.assertEqual(self.origins.asked, ["a"])

    def test_failing(self) -> None:
        """When it cannot be had, all who wait are told why, and nothing stays; who comes next tries anew."""
        for error in (UpstreamError(404, "gone"), NotShareable()):
            opening: Deferred[Any] = Deferred()
            self.origins.script["a"] = [opening]
            works = [self.begin() for _ in range(2)]
            opening.errback(error)
            for work in works:
                self.failureResultOf(work, type(error))
            self.nothing_left()
        self.origins.script["a"] = [Media.TS]
        self.assertEqual(self.tune().users, 1)

    def test_a_playlist_in_disguise(self) -> None:
        """What turns out to be a playlist is told to who asks for the channel, unless as a stream."""
        self.origins.script["a"] = [FoundPlaylist(), FoundPlaylist(), Media.TS]
        self.failureResultOf(self.begin(), FoundPlaylist)
        self.nothing_left()
        on_air = result(self.live.tune(CHANNEL, steady=True))
        self.assertEqual((on_air.feed.disguised, self.origins.asked, self.slots.total), (True, ["a"] * 3, 1))
        self.assertIs(self.tune(), on_air)

    def test_a_playlist_for_both(self) -> None:
        """Who asks for a stream gets one though another, who asked before, would have had the playlist."""
        opening: Deferred[Any] = Deferred()
        self.origins.script["a"] = [opening, Media.TS]
        first = self.begin()
        second = Deferred.fromCoroutine(self.live.tune(CHANNEL, steady=True))
        opening.errback(FoundPlaylist())
        self.assertIs(self.successResultOf(first), self.successResultOf(second))

    def test_not_mpegts(self) -> None:
        """What is no MPEG-TS cannot be shared."""
        self.origins.script["a"] = [Media.MP3]
        self.failureResultOf(self.begin(), NotShareable)
        self.nothing_left()

    def test_full(self) -> None:
        """Without a free connection of its provider it is refused with a sentence."""
        self.limits["a"] = 1
        slot = self.slots.take("a")
        assert slot is not None
        self.failureResultOf(self.begin(), LimitError)
        slot.release()
        self.nothing_left()

    def test_giving_up(self) -> None:
        """Who gives up waiting leaves the others alone; when the last does, the opening is given up too."""
        opening: Deferred[Any] = Deferred()
        self.origins.script["a"] = [opening]
        works = [self.begin() for _ in range(2)]
        works[0].cancel()
        self.failureResultOf(works[0], CancelledError)
        self.assertEqual((len(self.live.on_air), self.slots.used("a")), (1, 1))
        works[1].cancel()
        self.failureResultOf(works[1], CancelledError)
        self.nothing_left()


class LingerTests(LiveTestCase):
    def play(self, seconds: float) -> None:
        """The origin of what was turned on first goes on for so long."""
        for _ in range(round(seconds * 4)):
            step = len(SECOND) // 4 // PACKET * PACKET
            start = round(self.clock.seconds() * 4) * step
            self.origins.taps[0].deliver(LONG[start : start + step])
            self.clock.advance(0.25)

    def test_zap_back(self) -> None:
        """A channel stays on for a while after its last viewer, and who comes back finds it as it was."""
        on_air = self.tune()
        for _ in range(3):
            self.live.leave(on_air)
            self.play(2.75)
            self.assertIs(self.tune(), on_air)
        self.play(5)
        self.assertEqual(len(self.live.on_air), 1)
        self.live.leave(on_air)
        self.play(2.75)
        self.assertEqual(len(self.live.on_air), 1)
        self.play(0.25)
        self.nothing_left()
        self.assertEqual(self.origins.asked, ["a"])

    def test_making_way(self) -> None:
        """A channel that nobody watches any more makes way at once when its connection is wanted for another."""
        self.limits["a"] = 1
        first = self.tune()
        with self.assertRaises(LimitError):
            self.tune(OTHER)
        self.live.leave(first)
        second = self.tune(OTHER)
        self.assertEqual((list(self.live.on_air), self.slots.used("a")), ([2], 1))
        self.assertEqual(self.origins.taps[0].stopped, 1)
        self.live.leave(second)
        self.clock.advance(3)
        self.nothing_left()

    def test_nothing_to_make_way(self) -> None:
        """What belongs to another provider does not make way: it would be of no use."""
        self.tune()
        self.live.leave(next(iter(self.live.on_air.values())))
        self.limits["b"] = 1
        self.assertIsNotNone(self.slots.take("b"))
        self.assertIsNone(self.slots.take("b"))
        self.assertEqual(len(self.live.on_air), 1)

    def test_silence_that_nobody_sees(self) -> None:
        """For a channel that nobody watches no further source is connected; for who comes back it is, at once."""
        self.live.settings = LiveSettings(linger=30)
        self.sources.append(("b", Source(SourceKind.TS, url="http://origin.test/b")))
        on_air = self.tune()
        self.play(2)
        self.live.leave(on_air)
        self.clock.pump([0.25] * 8)
        self.assertEqual((self.origins.asked, self.slots.total), (["a"], 1))
        self.tune()
        self.assertEqual((self.origins.asked, self.slots.total), (["a", "b"], 2))
        self.live.leave(on_air)
        self.assertEqual((self.slots.used("a"), self.slots.used("b")), (1, 0))
        self.clock.pump([0.25] * 40)
        self.assertEqual((self.origins.asked, self.slots.total), (["a", "b"], 0))
        self.tune()
        self.assertEqual((self.origins.asked[2:], self.slots.total), (["b"], 1))

    def test_leaving_while_the_next_is_connected(self) -> None:
        """A connection that is being made for a channel is given up when its last viewer leaves."""
        self.sources.append(("b", Source(SourceKind.TS, url="http://origin.test/b")))
        given_up: list[object] = []
        self.origins.script["b"] = [Deferred(given_up.append)]
        on_air = self.tune()
        self.play(2)
        self.clock.pump([0.25] * 5)
        self.assertEqual((self.origins.asked, self.slots.total), (["a", "b"], 2))
        self.live.leave(on_air)
        self.assertEqual((len(given_up), self.slots.total), (1, 1))
        self.clock.advance(3)
        self.nothing_left()

    def test_back_to_what_is_hopeless(self) -> None:
        """Who comes back to a channel whose source has failed too often in the last minute has it turned on anew."""
        self.live.settings = LiveSettings(linger=60)
        self.sources = [(name, Source(SourceKind.TS, url=f"http://origin.test/{name}")) for name in "abcd"]
        former = self.tune()
        self.origins.script = {name: [UpstreamError(502, "refused")] for name in "abcd"}
        self.origins.taps[0].finish()
        for _ in range(200):
            if len(self.origins.asked) == MOST_ATTEMPTS:
                self.origins.script = {name: [Deferred()] for name in "abcd"}
            self.clock.advance(0.25)
        self.assertEqual(len(self.origins.asked), 1 + MOST_ATTEMPTS)
        self.live.leave(former)
        self.origins.script["a"] = [Media.TS]
        on_air = self.tune()
        self.assertIsNot(on_air, former)
        self.assertEqual((former.closed, on_air.feed.state, self.slots.total), (True, FeedState.STREAMING, 1))

    def test_leaving_what_is_off(self) -> None:
        """To leave a channel that was turned off meanwhile does nothing."""
        on_air = self.tune()
        self.live.close()
        self.live.leave(on_air)
        self.nothing_left()


class ViewerTests(LiveTestCase):
    def test_from_the_first_to_the_last(self) -> None:
        """A viewer gets the channel from a join point on until its session ends, and then it is forgotten."""
        on_air = self.tune()
        session, glass = self.show(on_air)
        self.origins.taps[0].deliver(SECOND)
        on_air.broadcast.flush()
        self.assertEqual(glass.held, SECOND)
        session.end(Outcome.VIEWER_LEFT)
        self.origins.taps[0].deliver(SECOND)
        on_air.broadcast.flush()
        self.assertEqual((glass.held, on_air.broadcast.viewers, on_air.users), (SECOND, [], 0))
        self.clock.advance(3)
        self.nothing_left()

    def test_how_far_back(self) -> None:
        """Players that look at much before they show anything get more of it at once."""
        self.assertEqual((self.live.back_for("VLC/3"), self.live.back_for("")), (2.0, 2.0))
        self.assertEqual(self.live.back_for("Lavf/61.7.100"), 6.0)
        on_air = self.tune()
        film, second = made_film(seconds=10), len(made_film(seconds=1))
        for start in range(0, len(film), second):
            self.origins.taps[0].deliver(film[start : start + second])
            on_air.broadcast.flush()
            self.clock.advance(1)
        seconds = [len(self.show(on_air, agent)[1].held) // second for agent in ("VLC", "Lavf/61")]
        self.assertLess(seconds[0], seconds[1])

    def test_given_up(self) -> None:
        """When no source can be had any more, every viewer ends with that as its reason, and the channel is off."""
        on_air = self.tune()
        told: list[tuple[Outcome, str]] = []
        on_air.at_close.append(lambda outcome, reason: told.append((outcome, reason)))
        sessions = [self.show(on_air)[0], self.show(self.tune())[0]]
        self.origins.script["a"] = [UpstreamError(502, "refused")]
        self.origins.taps[0].finish()
        for _ in range(2000):
            self.clock.advance(0.25)
        self.assertEqual({session.outcome for session in sessions}, {Outcome.EXHAUSTED})
        self.assertIn("refused", sessions[0].reason)
        self.assertEqual([outcome for outcome, _ in told], [Outcome.EXHAUSTED])
        self.nothing_left()

    def test_all_off(self) -> None:
        """When everything is turned off, nothing of any channel is left."""
        session, _ = self.show(self.tune())
        self.tune(OTHER)
        self.live.close()
        self.assertIs(session.outcome, Outcome.EXHAUSTED)
        self.nothing_left()

    def test_who_is_told_may_let_go(self) -> None:
        """Of those that are told of the end each may forget itself meanwhile, and the others are told too."""
        on_air = self.tune()
        told: list[int] = []

        def make(number: int) -> Any:
            def call(outcome: Outcome, reason: str) -> None:
                on_air.at_close.remove(call)
                told.append(number)

            return call

        on_air.at_close.extend([make(1), make(2), make(3)])
        self.live.close()
        self.assertEqual(told, [1, 2, 3])


class TurnOffTests(LiveTestCase):
    def test_who_watches(self) -> None:
        """A channel that is turned off is off at once; who watches it is let go, and others are not."""
        on_air, other = self.tune(), self.tune(OTHER)
        session, _ = self.show(on_air)
        told: list[tuple[Outcome, str]] = []
        on_air.at_close.append(lambda outcome, reason: told.append((outcome, reason)))
        self.live.turn_off(CHANNEL.id, "it has been deleted")
        self.live.turn_off(999, "it has been deleted")
        self.assertEqual((session.outcome, session.reason), (Outcome.ENDED_BY_OPERATOR, "it has been deleted"))
        self.assertEqual(told, [(Outcome.ENDED_BY_OPERATOR, "it has been deleted")])
        self.assertEqual((list(self.live.on_air), self.slots.total), ([OTHER.id], 1))
        self.live.leave(other)
        self.live.turn_off(OTHER.id, "it lingers")
        self.nothing_left()

    def test_who_waits(self) -> None:
        """Who waits for a channel that is turned off hears why, and nothing of it is left."""
        waiting: Deferred[Any] = Deferred()
        self.origins.script["a"] = [waiting]
        first, gone = self.begin(), self.begin()
        gone.addErrback(lambda failure: failure.trap(CancelledError) and None)
        gone.cancel()
        self.live.turn_off(CHANNEL.id, "it has been deleted")
        self.assertEqual(self.failureResultOf(first, UpstreamError).value.sentence, "it has been deleted")
        self.nothing_left()
