"""Viewers of channels that are packaged as HLS: their sessions, and what they share."""

from __future__ import annotations

import re
from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred

from iptvd.delivery import cutting, packager
from iptvd.delivery.feed import NotShareable
from iptvd.delivery.hls_sessions import LEAST_IDLE, SLACK
from iptvd.delivery.hub import Hub
from iptvd.delivery.opening import FoundPlaylist
from iptvd.delivery.packaged import PackagedHls
from iptvd.delivery.packager import PATIENCE
from iptvd.delivery.patience import ZAP, ZAP_LOOK
from iptvd.delivery.session import Face, Viewer
from iptvd.errors import LimitError, UpstreamError
from iptvd.model import Channel, Outcome
from iptvd.protocols.mpegts import PACKET
from iptvd.protocols.sniff import Media
from tests.delivery.test_hub import VIEWER, Observer
from tests.delivery.test_live import LiveTestCase
from tests.delivery.test_relay import CHANNEL
from tests.doubles import Anybody, result
from tests.protocols.tsmaking import made_film

FILM = made_film(seconds=60)
STEP = len(FILM) // 240 // PACKET * PACKET
_OWN = re.compile(rb"\.\./hls/(\d+)/([A-Za-z0-9_-]+)/index\.m3u8")


class PackagedTestCase(LiveTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(cutting, "_SLICE", 60.0)
        # No playlist waits for the segment after those that a test lets come.
        self.patch(packager, "EARLY", 0.0)
        self.patch(packager, "LATE", 0.0)
        self.observer = Observer()
        self.channels: dict[int, Channel] = {CHANNEL.id: CHANNEL, 2: evolve(CHANNEL, id=2)}
        self.packaged = self.start()
        self.played = 0

    def start(self, max_streams: int = 0) -> PackagedHls:
        """As after a restart."""

        async def sources(channel: Channel) -> Any:
            return self.sources

        opener: Any = None
        wall = self.clock.seconds
        self.hub = Hub(sources, opener, self.observer, self.clock, wall, max_streams, self.slots, Anybody())
        packaged = PackagedHls(self.hub, self.live, self.channels.get, self.clock, self.clock.seconds, 1.0)
        self.addCleanup(packaged.close)
        return packaged

    def play(self, seconds: float) -> None:
        """The origin goes on for so long."""
        for _ in range(round(seconds * 4)):
            for tap in self.origins.taps:
                tap.deliver(FILM[self.played : self.played + STEP])
            self.played += STEP
            self.clock.advance(0.25)

    def open(self) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self.packaged.open(CHANNEL, VIEWER))

    def opened(self) -> str:
        """Open it; the session's id."""
        work = self.open()
        if not work.called:
            self.play(4)
        match = _OWN.search(self.successResultOf(work))
        assert match is not None
        self.assertEqual(int(match[1]), CHANNEL.id)
        return match[2].decode()

    def playlist(self, session: str, channel_id: int = 1) -> bytes:
        return result(self.packaged.playlist(channel_id, session, VIEWER))

    def numbers(self, session: str) -> list[int]:
        return [int(name) for name in re.findall(rb"^(\d+)\.ts$", self.playlist(session), re.MULTILINE)]


class OpenTests(PackagedTestCase):
    def test_from_playlist_to_segment(self) -> None:
        """What a viewer opens leads to a playlist of its own, and that to segments, which are counted as its."""
        session = self.opened()
        self.assertEqual([(one.id, one.face) for one in self.hub.sessions.values()], [(session, Face.HLS)])
        numbers = self.numbers(session)
        self.assertGreaterEqual(len(numbers), 2)
        whose, segment = self.packaged.segment(1, session, numbers[0], VIEWER)
        self.assertEqual(whose.id, session)
        self.assertEqual(len(b"".join(segment)), segment.size)

    def test_the_first_playlist(self) -> None:
        """What a player sees first leaves out the newest short segments; what it sees then, and for good, has them."""
        self.packaged.target = 2.5
        self.opened()
        self.play(6)
        session = self.opened()
        first, then, last = (self.numbers(session) for _ in range(3))
        self.assertEqual((then[: len(first)], last), (first, then))
        self.assertGreater(len(then), len(first))

    def test_the_first_after_a_pause(self) -> None:
        """A player that comes back after its session was over is never shown less than it was a moment before."""
        self.packaged.target = 2.5
        self.opened()
        self.play(6)
        session = self.opened()
        self.hub.sessions[session].end(Outcome.VIEWER_LEFT)
        first = self.numbers(session)
        self.assertEqual(self.numbers(session), first)

    def test_one_packager(self) -> None:
        """However many viewers there are, the channel is opened once and packaged once."""
        first, second = self.opened(), self.opened()
        self.assertNotEqual(first, second)
        self.assertEqual((self.origins.asked, self.live.on_air[1].users), (["a"], 1))
        self.assertEqual(self.numbers(first), self.numbers(second))

    def test_at_the_same_moment(self) -> None:
        """Viewers who open it while it is being turned on share it too."""
        opening: Deferred[Any] = Deferred()
        self.origins.script["a"] = [opening]
        works = [self.open() for _ in range(3)]
        opening.callback(self.origins.opened())
        self.play(4)
        for work in works:
            self.successResultOf(work)
        self.assertEqual((self.live.on_air[1].users, len(self.hub.sessions)), (1, 3))

    def test_failing(self) -> None:
        """Who cannot be given anything is told why, and the session has the outcome that fits."""
        for given, error, outcome in (
            (UpstreamError(404, "gone"), UpstreamError, "exhausted"),
            (FoundPlaylist(), FoundPlaylist, "completed"),
            (Media.MP3, NotShareable, "exhausted"),
        ):
            self.origins.script["a"] = [given]
            self.failureResultOf(self.open(), error)
            self.assertEqual(self.observer.events[-2:], ["started", outcome])
            self.nothing_left()
        self.limits["a"] = 1
        slot = self.slots.take("a")
        assert slot is not None
        work = self.open()
        self.clock.pump([ZAP_LOOK] * (round(ZAP / ZAP_LOOK) - 1))
        self.assertNoResult(work)
        self.clock.pump([ZAP_LOOK] * 2)
        self.failureResultOf(work, LimitError)
        self.assertEqual(self.observer.events[-2:], ["started", "refused"])
        slot.release()
        self.nothing_left()

    def test_nothing_to_begin_with(self) -> None:
        """When nothing comes that a player can begin with, that is an error after a while."""
        work = self.open()
        self.clock.pump([0.5] * round(PATIENCE * 2))
        self.assertEqual(self.failureResultOf(work, UpstreamError).value.status, 504)
        self.assertEqual(self.observer.events, ["started", "exhausted"])

    def test_leaving_before_there_is_anything(self) -> None:
        """A viewer that leaves before it has a playlist left, and what was opened for it is closed after a while."""
        opening: Deferred[Any] = Deferred()
        self.origins.script["a"] = [opening]
        work = self.open()
        work.cancel()
        self.failureResultOf(work, CancelledError)
        self.assertEqual(self.observer.events, ["started", "viewer_left"])
        self.nothing_left()

    def test_stopping_meanwhile(self) -> None:
        """A viewer whose session ends while it waits is told, and gets nothing."""
        work = self.open()
        self.hub.drain(5)
        self.play(4)
        self.failureResultOf(work, LimitError)
        self.assertEqual(self.observer.events, ["started", "drained"])


class StayTests(PackagedTestCase):
    def test_what_nobody_watches_makes_way(self) -> None:
        """What is packaged still after its last viewer is let go of when somebody wants its connection."""
        self.limits["a"] = 1
        session = self.hub.sessions[self.opened()]
        session.end(Outcome.VIEWER_LEFT)
        self.assertEqual(self.slots.used("a"), 1)
        self.assertIsNotNone(self.slots.take("a", Viewer("192.168.1.77")))

    def test_a_moment(self) -> None:
        """A viewer waits a moment for its own old connection to be gone."""
        self.limits["a"] = 1
        slot = self.slots.take("a")
        assert slot is not None
        work = self.open()
        self.clock.advance(ZAP_LOOK)
        slot.release()
        self.clock.advance(ZAP_LOOK)
        self.play(4)
        self.successResultOf(work)

    def test_zapping_with_one_connection(self) -> None:
        """A viewer whose player has fallen silent gives up what it had, where there is no connection to spare."""
        self.limits["a"] = 1
        session = self.opened()
        number = self.numbers(session)[0]
        whose, segment = self.packaged.segment(1, session, number, VIEWER)
        silence = self.packaged._packagers[1].target_duration + SLACK
        self.play(silence)
        # The segment is on its way still.
        self.assertIsNone(self.slots.take("a", VIEWER))
        whose.bytes_sent += segment.size
        self.assertIsNone(self.slots.take("a", Viewer("192.168.1.77")))
        self.assertIn(session, self.hub.sessions)
        self.assertIsNotNone(self.slots.take("a", VIEWER))
        self.assertNotIn(session, self.hub.sessions)

    def test_behind_a_server(self) -> None:
        """Of several viewers who come by one address and program none loses its connection while it plays."""
        self.limits["a"] = 1
        session = self.opened()
        for _ in range(5):
            self.numbers(session)
            self.play(self.packaged._packagers[1].target_duration)
            self.assertIsNone(self.slots.take("a", VIEWER))
        self.assertIn(session, self.hub.sessions)

    def test_idle(self) -> None:
        """A session ends some while after its last request; the packager and the channel follow."""
        session = self.opened()
        for _ in range(3):
            self.play(LEAST_IDLE - 5)
            (_, newest) = self.numbers(session)[-2:]
            self.play(1)
            self.packaged.segment(1, session, newest, VIEWER)
        self.assertEqual(self.observer.events, ["started"])
        self.clock.advance(LEAST_IDLE)
        self.assertEqual(self.observer.events, ["started", "viewer_left"])
        self.clock.pump([1] * 40)
        self.nothing_left()

    def test_after_a_restart(self) -> None:
        """A session is taken up again under its own name, once, whatever is asked at the same moment."""
        session = self.opened()
        self.packaged.close()
        self.packaged = self.start()
        works = [Deferred.fromCoroutine(self.packaged.playlist(1, session, VIEWER)) for _ in range(2)]
        self.play(4)
        for work in works:
            self.assertIn(b"#EXTINF", self.successResultOf(work))
        self.assertEqual(list(self.hub.sessions), [session])

    def test_the_limit(self) -> None:
        """Who comes back when all streams are in use is refused, and nothing is turned on for it."""
        self.packaged = self.start(max_streams=1)
        self.hub.admit(CHANNEL, VIEWER, Face.TS)
        with self.assertRaises(LimitError):
            self.playlist("abc")
        self.assertEqual((dict(self.live.on_air), self.origins.asked), ({}, []))

    def test_sessions_of_others(self) -> None:
        """An address with the session of another channel, or of another kind of viewer, is none."""
        session = self.opened()
        raw = self.hub.admit(CHANNEL, VIEWER, Face.TS)
        for channel_id, name in ((2, session), (1, raw.id)):
            with self.assertRaises(UpstreamError) as raised:
                self.playlist(name, channel_id)
            self.assertEqual(raised.exception.status, 404)
        self.assertEqual(len(self.hub.sessions), 2)
        self.assertEqual(list(self.live.on_air), [1])

    def test_a_channel_that_is_gone(self) -> None:
        """The playlist of a channel that is no longer in the lineup is a 404."""
        session = self.opened()
        del self.channels[1]
        with self.assertRaises(UpstreamError) as raised:
            self.playlist(session)
        self.assertEqual(raised.exception.status, 404)

    def test_segments_that_are_not_there(self) -> None:
        """A segment that is gone, that never was, or of a session or channel that is not, is a 404."""
        session = self.opened()
        number = self.numbers(session)[0]
        for channel_id, name, wanted in ((1, session, 99_999), (1, "other", number), (2, session, number)):
            with self.assertRaises(UpstreamError) as raised:
                self.packaged.segment(channel_id, name, wanted, VIEWER)
            self.assertEqual(raised.exception.status, 404)

    def test_given_up(self) -> None:
        """When the channel is given up, so are its viewers' sessions, with the reason, and no others."""
        self.opened()
        other = self.hub.admit(self.channels[2], VIEWER, Face.TS)
        (mine,) = (one for one in self.hub.sessions.values() if one is not other)
        self.origins.script["a"] = [UpstreamError(502, "refused")]
        self.origins.taps[0].finish()
        for _ in range(400):
            self.clock.advance(0.25)
            if mine.outcome is None:
                # The player goes on asking.
                self.playlist(mine.id)
        self.assertIs(mine.outcome, Outcome.EXHAUSTED)
        self.assertIn("refused", mine.reason)
        self.assertIsNone(other.outcome)
        self.nothing_left()

    def test_nothing_is_piled_up(self) -> None:
        """However often packaging begins and ends while others watch the channel, nothing of it is kept."""
        on_air = self.tune()
        for _ in range(5):
            session = self.opened()
            self.hub.sessions[session].end(Outcome.VIEWER_LEFT)
            self.play(20)
            self.played = 0
        self.assertEqual((on_air.at_close, on_air.users), ([], 1))
        self.live.leave(on_air)

    def test_the_end(self) -> None:
        """When the daemon ends nothing is left, and a session that ends afterwards does no harm."""
        session = self.hub.sessions[self.opened()]
        self.packaged.close()
        self.live.close()
        session.end(Outcome.DRAINED)
        self.nothing_left()
