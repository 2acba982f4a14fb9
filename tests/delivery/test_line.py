"""One open source of a live channel."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.broadcast import Broadcast
from iptvd.delivery.line import Line
from iptvd.delivery.opening import SourceGone
from iptvd.delivery.ring import Budget, Ring
from iptvd.delivery.segments import SegmentCache
from iptvd.delivery.slots import Slot
from iptvd.errors import UpstreamError
from iptvd.model import Source, SourceKind
from iptvd.protocols.mpegts import PACKET
from tests.delivery.feeding import OTHER, Pulled
from tests.delivery.hls_script import ScriptedOrigin
from tests.doubles import sliced
from tests.protocols.test_upstream import Tap
from tests.protocols.tsmaking import continuity_errors, made_film, pid_of


class Listening:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.packets = b""
        self.gone = 0
        self.ended: list[str] = []

    def packets_came(self, line: Line, packets: bytes) -> None:
        self.packets += packets

    def source_gone(self) -> None:
        self.gone += 1

    def line_ended(self, line: Line, reason: str) -> None:
        self.ended.append(reason)


class LineTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.listening = Listening()
        self.released = 0
        self.tap = Tap()
        self.line = Line(self.listening, 3, self.tap, Slot(self.release), 10.0)
        self.tap.attach(self.line)

    def release(self) -> None:
        self.released += 1


class ReceivingTests(LineTestCase):
    def test_whole_packets(self) -> None:
        """However a source's bytes are cut, whole packets are told of, each once and in order."""
        film = made_film(seconds=1)
        for at in range(0, len(film), 1000):
            self.tap.deliver(film[at : at + 1000])
            self.assertEqual(len(self.listening.packets) % PACKET, 0)
        self.assertEqual(self.listening.packets, film)
        self.assertEqual((self.line.index, self.line.heard, self.line.began, self.line.leads), (3, 10.0, 10.0, False))

    def test_an_end(self) -> None:
        """A source that ends is told of with the reason, once, and its connection and slot are given back."""
        for error, reason in ((None, "the origin ended the stream"), (UpstreamError(502, "reset"), "reset")):
            self.setUp()
            self.tap.finish(error)
            self.line.close()
            self.assertEqual((self.listening.ended, self.listening.gone), ([reason], 0))
            self.assertEqual((self.tap.stopped, self.released), (1, 1))

    def test_a_source_that_is_gone(self) -> None:
        """A source that refuses what it gave before is told of as such, before its end."""
        self.tap.finish(SourceGone(410, "the origin refuses"))
        self.assertEqual((self.listening.gone, self.listening.ended), (1, ["the origin refuses"]))

    def test_closed(self) -> None:
        """What comes after it was closed is nobody's, and neither is its end."""
        self.line.close()
        self.line.close()
        self.line.data_received(made_film(seconds=1))
        self.line.body_ended(None)
        self.assertEqual((self.listening.packets, self.listening.ended), (b"", []))
        self.assertEqual((self.tap.stopped, self.released), (1, 1))

    def test_a_break(self) -> None:
        """Where the source says that it does not carry on, it leads no more, and half a packet is dropped."""
        origin = ScriptedOrigin(Clock())
        source, cache = Source(SourceKind.HLS, url="http://origin.test/a"), SegmentCache(0, Clock())
        pulled = Pulled(origin.opener(), cache, source, Clock(), sliced)
        line = Line(self.listening, 0, pulled, Slot(self.release), 10.0)
        line.leads = True
        film = made_film(seconds=1)
        line.data_received(film[: 20 * PACKET + 100])
        follower, line.heard = line.follower, 12.0
        pulled.on_discontinuity()
        self.assertEqual((line.leads, line.began), (False, 12.0))
        self.assertIsNot(line.follower, follower)
        before = self.listening.packets
        line.data_received(film[: 20 * PACKET])
        self.assertTrue(self.listening.packets.startswith(before))
        self.assertTrue(film.startswith(self.listening.packets[len(before) :]))


class EnteringTests(LineTestCase):
    def enter(self, broadcast: Broadcast, since: float) -> bytes:
        """What is to follow of another programme that begins here."""
        film = made_film(seconds=2, program_map=OTHER, pmt_pid=0x20, first_pts=5_000_000)
        joins = self.line.follower.scan(film)
        return self.line.entering(film[joins[0].offset :], broadcast, since)

    def broadcast(self, film: bytes) -> Broadcast:
        clock = Clock()
        broadcast = Broadcast(Ring(12.0, Budget(10**9)), clock, 20.0)
        self.addCleanup(broadcast.close, lambda viewer: None)
        clock.advance(5.0)
        broadcast.take(film)
        broadcast.flush()
        return broadcast

    def test_into_a_programme(self) -> None:
        """What follows a programme is translated into it: the same PIDs, and no gap in any counter."""
        film = made_film(seconds=2)
        entered = self.enter(self.broadcast(film), 3.0)
        self.assertIsNotNone(self.line.translator)
        whole = film + entered
        self.assertEqual(continuity_errors(whole), [])
        pids = [pid_of(whole[at : at + PACKET]) for at in range(0, len(whole), PACKET)]
        self.assertEqual(set(pids), set(pids[: len(film) // PACKET]))

    def test_after_nothing(self) -> None:
        """Where there is nothing to carry on it begins as it is, with its tables first."""
        for film, since in ((b"", 0.0), (made_film(seconds=2), 6.0)):
            self.setUp()
            entered = self.enter(self.broadcast(film), since)
            self.assertIsNone(self.line.translator)
            self.assertEqual((pid_of(entered), pid_of(entered[PACKET:])), (0, 0x20))
            self.assertEqual(pid_of(entered[2 * PACKET :]), 0x210)
