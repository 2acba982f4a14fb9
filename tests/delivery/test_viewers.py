"""Viewers of a broadcast, on real sockets."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.broadcast import Broadcast
from iptvd.delivery.ring import Budget, Ring
from iptvd.delivery.session import Face, Session
from iptvd.delivery.session import Viewer as Who
from iptvd.delivery.viewers import SocketViewer, TransportViewer, Viewer
from iptvd.model import Outcome
from iptvd.protocols.mpegts import PACKET, null_packets
from tests.delivery.test_relay import CHANNEL, Glass
from tests.protocols.tsmaking import continuity_errors, made_film, unannounced_errors


def blocked(viewer: Viewer) -> bool:
    return viewer.blocked_since is not None


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


class Writers:
    """The reactor's part: knows who waits for room, and tells those that have it when the test says."""

    def __init__(self) -> None:
        self.waiting: list[SocketViewer] = []

    def addWriter(self, writer: SocketViewer) -> None:
        self.waiting.append(writer)

    def removeWriter(self, writer: SocketViewer) -> None:
        self.waiting.remove(writer)

    def tell(self) -> None:
        _, ready, _ = select.select([], self.waiting, [], 0)
        for writer in ready:
            writer.doWrite()


class Player:
    """The other end."""

    def __init__(self, viewer: Viewer, far: socket.socket | Glass) -> None:
        self.viewer = viewer
        self.far = far
        self.got = b""

    def read(self) -> bytes:
        if isinstance(self.far, Glass):
            self.got += self.far.drink()
            return self.got
        while True:
            try:
                data = self.far.recv(1 << 20)
            except BlockingIOError:
                return self.got
            if not data:
                return self.got
            self.got += data


class BroadcastTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.writers = Writers()
        self.lost: list[Viewer] = []
        self.broadcast = Broadcast(Ring(12.0, Budget(10**9)), self.clock, slow_timeout=20.0)
        self.addCleanup(self.broadcast.close, lambda viewer: None)

    def session(self) -> Session:
        return Session("s", CHANNEL, Who("127.0.0.1"), Face.TS, 0.0)

    def on_socket(self) -> Player:
        near, far = socket.socketpair()
        for one in (near, far):
            one.setblocking(False)
            self.addCleanup(one.close)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        viewer = SocketViewer(
            self.session(),
            self.broadcast.ring,
            self.clock.seconds,
            lambda: self.lost.append(viewer),
            near,
            self.writers,  # type: ignore[arg-type]
        )
        self.addCleanup(viewer.stop)
        return Player(viewer, far)

    def on_transport(self) -> Player:
        glass = Glass()
        viewer = TransportViewer(
            self.session(),
            self.broadcast.ring,
            self.clock.seconds,
            lambda: self.lost.append(viewer),
            glass,  # type: ignore[arg-type]
        )
        return Player(viewer, glass)

    def feed(self, data: bytes, seconds: float = 0.1, size: int = 50 * PACKET) -> None:
        """Send so much at a time, with so long between."""
        for start in range(0, len(data), size):
            self.broadcast.take(data[start : start + size])
            self.clock.advance(seconds)
            self.clock.advance(0)
            self.clock.advance(0)

    def settle(self, player: Player) -> bytes:
        """Let a player read all there is for it."""
        while True:
            before = len(player.got)
            player.read()
            self.writers.tell()
            player.read()
            if len(player.got) == before:
                return player.got


class ViewerTests(BroadcastTestCase):
    def each(self) -> list[Callable[[], Player]]:
        return [self.on_socket, self.on_transport]

    def test_a_viewer_starts_at_a_join_point(self) -> None:
        """What a new viewer gets begins with the tables and a key picture, and has no gap in it."""
        film = made_film(seconds=6)
        self.feed(film)
        for make in self.each():
            player = make()
            self.broadcast.add(player.viewer, back=0.0)
            got = self.settle(player)
            self.assertEqual((got[0], got[PACKET]), (0x47, 0x47))
            self.assertEqual(got[1:3], b"\x40\x00")
            self.assertTrue(film.endswith(got[2 * PACKET :]))
            self.assertEqual(continuity_errors(got), [])

    def test_every_byte_once(self) -> None:
        """A viewer gets every byte of the channel exactly once and in order, however it reads."""
        film = made_film(seconds=6)
        half = len(film) // 2 // PACKET * PACKET
        self.feed(film[:half])
        players = [make() for make in self.each()]
        for player in players:
            self.broadcast.add(player.viewer, back=100.0)
        self.feed(film[half:])
        for player in players:
            got = self.settle(player)
            self.assertTrue(film.endswith(got[2 * PACKET :]))
            self.assertGreater(len(got), half)
            self.assertEqual(player.viewer.session.bytes_sent, len(got))
            self.assertEqual(player.viewer.lag, 0)

    def test_the_head_goes_first(self) -> None:
        """The response's head is sent before anything else, once, also before there is anything to show."""
        for make in self.each():
            player = make()
            player.viewer.head(b"HTTP/1.1 200 OK\r\n\r\n")
            self.broadcast.add(player.viewer, back=0.0)
            self.assertEqual(self.settle(player), b"HTTP/1.1 200 OK\r\n\r\n")

    def test_the_head_is_no_media(self) -> None:
        """What a session is said to have had is what there was to watch, without the response's head."""
        head = b"HTTP/1.1 200 OK\r\n" + b"X-Long: long\r\n" * 10_000 + b"\r\n"
        players = [make() for make in self.each()]
        for player in players:
            player.viewer.head(head)
            self.broadcast.add(player.viewer, back=0.0)
            self.assertEqual(player.viewer.session.bytes_sent, 0)
        self.feed(made_film(seconds=2))
        for player in players:
            got = self.settle(player)
            self.assertGreater(len(got), len(head) + 10 * PACKET)
            self.assertEqual(player.viewer.session.bytes_sent, len(got) - len(head))

    def test_who_waits_begins_with_the_first_join_point(self) -> None:
        """A viewer that comes before the first picture begins with it."""
        players = [make() for make in self.each()]
        for player in players:
            self.broadcast.add(player.viewer, back=2.0)
        self.feed(made_film(seconds=2))
        for player in players:
            self.assertGreater(len(self.settle(player)), 10 * PACKET)

    def test_a_slow_viewer_jumps(self) -> None:
        """A viewer that falls off the ring goes on at a join point, in whole packets, and slows nobody."""
        film = made_film(seconds=60)
        for make in self.each():
            self.broadcast = Broadcast(Ring(3.0, Budget(10**9)), self.clock, slow_timeout=2000.0)
            self.addCleanup(self.broadcast.close, lambda viewer: None)
            slow, quick = make(), make()
            self.feed(film[: len(film) // 20 // PACKET * PACKET])
            for player in (slow, quick):
                self.broadcast.add(player.viewer, back=0.0)
            begun = len(film) // 20 // PACKET * PACKET
            for start in range(begun, len(film), 50 * PACKET):
                self.feed(film[start : start + 50 * PACKET])
                self.settle(quick)
            self.assertEqual(quick.viewer.jumps, 0)
            self.assertTrue(film.endswith(quick.got[2 * PACKET :]))
            got = self.settle(slow)
            self.assertEqual(slow.viewer.jumps, 1)
            self.assertEqual(len(got) % PACKET, 0)
            self.assertEqual(unannounced_errors(got), [])
            told = [at for _, at in continuity_errors(got)]
            # One after the other, and what was sent before is of the film to its last byte.
            self.assertEqual(told, list(range(told[0], told[0] + len(told) * PACKET, PACKET)))
            self.assertIn(got[2 * PACKET : told[0]], film)
            first = told[-1] + PACKET
            self.assertEqual((got[first + 1 : first + 3], got[first + 2 * PACKET + 5] & 0x40), (b"\x40\x00", 0x40))
            self.assertEqual(got[::PACKET].count(0x47), len(got) // PACKET)
            self.assertTrue(film.endswith(got[-20 * PACKET :]))
            self.assertLess(self.broadcast.ring.size, len(film) / 4)

    def test_a_slow_viewer_with_nowhere_to_jump(self) -> None:
        """A viewer that falls off a ring without any join point goes on at the next that comes."""
        for make in self.each():
            self.broadcast = Broadcast(Ring(3.0, Budget(10**9)), self.clock, slow_timeout=2000.0)
            self.addCleanup(self.broadcast.close, lambda viewer: None)
            player = make()
            self.broadcast.add(player.viewer, back=0.0)
            while not blocked(player.viewer):
                self.feed(made_film(seconds=2))
            while self.broadcast.ring.joins:
                self.feed(null_packets(50), seconds=1.0)
            self.settle(player)
            self.assertFalse(blocked(player.viewer))
            self.assertEqual(player.viewer.jumps, 0)
            film = made_film(seconds=2)
            self.feed(film)
            self.assertTrue(film.endswith(self.settle(player)[-20 * PACKET :]))
            self.assertEqual(player.viewer.jumps, 1)

    def test_a_viewer_that_takes_nothing(self) -> None:
        """A viewer that takes nothing for the slow timeout is let go as too slow; one that does is not."""
        film = made_film(seconds=60)
        self.feed(film[: 400 * PACKET])
        for make in self.each():
            player = make()
            self.broadcast.add(player.viewer, back=100.0)
            ended: list[Outcome | None] = []
            player.viewer.session.at_end(lambda session, ended=ended: ended.append(session.outcome))  # type: ignore[misc]
            start = 400 * PACKET
            while not blocked(player.viewer):
                self.broadcast.take(film[start : start + 300 * PACKET])
                start = (start + 300 * PACKET) % (len(film) - 300 * PACKET)
                self.clock.advance(0.01)
            self.clock.pump([1] * 19)
            self.assertEqual(ended, [])
            self.settle(player)
            self.clock.pump([1] * 19)
            if not blocked(player.viewer):
                self.assertEqual(ended, [])
            while not blocked(player.viewer):
                self.broadcast.take(film[: 300 * PACKET])
                self.clock.advance(0.01)
            self.clock.pump([1] * 21)
            self.assertEqual(ended, [Outcome.VIEWER_TOO_SLOW])
            player.viewer.stop()
            self.broadcast.remove(player.viewer)

    def test_how_far_behind(self) -> None:
        """What a viewer has not taken is told in bytes and seconds, also where the ring has let go of some of it."""
        film = made_film(seconds=60)
        for make in self.each():
            self.broadcast = Broadcast(Ring(3.0, Budget(10**9)), self.clock, slow_timeout=2000.0)
            self.addCleanup(self.broadcast.close, lambda viewer: None)
            player = make()
            viewer, ring = player.viewer, self.broadcast.ring
            first: list[float] = []
            viewer.session.at_first_byte(lambda session, first=first: first.append(self.clock.seconds()))  # type: ignore[misc]
            viewer.head(b"HTTP/1.1 200 OK\r\n\r\n")
            self.broadcast.add(viewer, back=0.0)
            self.assertEqual((first, viewer.lag, viewer.behind), ([], 0, 0.0))
            begun = self.clock.seconds()
            third = len(film) // 3 // PACKET * PACKET
            for start in range(0, third, 50 * PACKET):
                self.feed(film[start : start + 50 * PACKET])
                self.settle(player)
                self.assertEqual((viewer.lag, viewer.behind), (0, 0.0))
            self.assertEqual(len(first), 1)
            self.assertLess(first[0], begun + 1)
            at = third
            while not blocked(viewer):
                self.feed(film[at : at + 50 * PACKET])
                at += 50 * PACKET
            behind = [viewer.behind]
            lags = [viewer.lag]
            while at < 2 * third:
                self.feed(film[at : at + 50 * PACKET])
                behind.append(viewer.behind)
                lags.append(viewer.lag)
                at += 50 * PACKET
            self.assertEqual((behind, lags), (sorted(behind), sorted(lags)))
            self.assertEqual(viewer.behind, ring.seconds)
            self.assertGreaterEqual(viewer.lag, ring.size)
            self.assertGreater(viewer.behind, 2.5)
            self.assertEqual(len(first), 1)

    def test_nothing_is_left(self) -> None:
        """However a viewer ends, no descriptor of it is left."""
        self.feed(made_film(seconds=6))
        before = open_descriptors()
        for end in ("stop", "lost", "broken"):
            player = self.on_socket()
            viewer = player.viewer
            assert isinstance(viewer, SocketViewer)
            self.broadcast.add(viewer, back=100.0)
            while not blocked(viewer):
                self.broadcast.take(made_film(seconds=2))
                self.clock.advance(0.05)
            self.assertEqual(len(self.writers.waiting), 1)
            if end == "lost":
                assert isinstance(player.far, socket.socket)
                player.far.close()
                self.writers.tell()
                self.assertEqual(self.lost, [viewer])
            elif end == "broken":
                viewer.connectionLost(Failure(OSError()))
                viewer.stop()
            else:
                viewer.stop()
            self.broadcast.remove(viewer)
            self.assertEqual(self.writers.waiting, [])
        self.doCleanups()
        self.assertEqual(open_descriptors(), before)
