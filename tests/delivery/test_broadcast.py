"""One live channel for all who watch it."""

from __future__ import annotations

from itertools import count

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery import broadcast as module
from iptvd.delivery.broadcast import COALESCED, LEAST_WAIT, SLOW_CHECK, Broadcast
from iptvd.delivery.ring import Budget, Ring
from iptvd.delivery.session import Face, Session
from iptvd.delivery.session import Viewer as Who
from iptvd.delivery.viewers import Viewer
from iptvd.protocols.mpegts import PACKET, null_packets
from tests.delivery.test_relay import CHANNEL
from tests.protocols.tsmaking import made_film


class Counting(Viewer):
    """Counts how often it is given something."""

    def __init__(self, broadcast: Broadcast, order: list[int], number: int) -> None:
        session = Session(str(number), CHANNEL, Who("127.0.0.1"), Face.TS, 0.0)
        super().__init__(session, broadcast.ring, lambda: 0.0, lambda: None)
        self.order = order
        self.number = number

    def pump(self) -> None:
        self.order.append(self.number)


class BroadcastTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.order: list[int] = []
        self.broadcast = Broadcast(Ring(12.0, Budget(10**9)), self.clock, 20.0)
        self.addCleanup(self.broadcast.close, lambda viewer: None)

    def add(self, size: int) -> list[Counting]:
        viewers = [Counting(self.broadcast, self.order, number) for number in range(size)]
        for viewer in viewers:
            self.broadcast.add(viewer, 0.0)
        self.order.clear()
        return viewers

    def slow_down(self) -> None:
        """Have half a slice pass from one look at the clock to the next."""
        looks = count()
        self.patch(module, "perf_counter", lambda: next(looks) * module.SLICE / 2)

    def turn(self) -> None:
        """Call what is due, but not what becomes due by that, as a reactor does."""
        for call in [call for call in self.clock.calls if call.getTime() <= self.clock.seconds()]:
            if call.active():
                self.clock.calls.remove(call)
                call.called = 1
                call.func()

    def test_small_pieces_go_out_together(self) -> None:
        """What an origin writes in small pieces goes out in few, and what is much goes out at once."""
        self.add(1)
        for _ in range(10):
            self.broadcast.take(null_packets(7))
        self.assertEqual(self.order, [])
        self.clock.advance(LEAST_WAIT)
        self.assertEqual(self.order, [0])
        self.assertEqual(self.broadcast.ring.next, 1)
        self.broadcast.take(null_packets(COALESCED // PACKET + 1))
        self.assertEqual(self.order, [0, 0])

    def test_no_byte_is_lost_on_the_way_in(self) -> None:
        """The ring holds what came in, byte for byte, however it came."""
        film = made_film(seconds=5)
        for start in range(0, len(film), 7 * PACKET):
            self.broadcast.take(film[start : start + 7 * PACKET])
            self.clock.advance(0.0005)
        self.broadcast.flush()
        ring = self.broadcast.ring
        self.assertEqual(b"".join(block.data for block in ring.after(0, ring.next)), film)
        self.assertEqual(len(ring.joins), 5)
        self.assertEqual(self.broadcast.bytes_in, len(film))

    def test_a_long_round_is_done_in_slices(self) -> None:
        """With very many viewers a round leaves the reactor its turns, and everyone still gets their part once."""
        self.add(100)
        self.slow_down()
        self.broadcast.take(null_packets(COALESCED // PACKET + 1))
        self.assertLess(len(self.order), 100)
        self.clock.advance(0)
        self.assertEqual(self.order, list(range(100)))

    def test_what_comes_during_a_round_goes_out_with_the_next(self) -> None:
        """New data during a long round starts no second one beside it, and is not forgotten."""
        self.add(100)
        self.slow_down()
        for _ in range(3):
            self.broadcast.take(null_packets(COALESCED // PACKET + 1))
        for _ in range(50):
            self.clock.advance(0)
        self.assertEqual(self.order, [*range(100), *range(100)])

    def test_a_pause_after_a_long_round(self) -> None:
        """What little comes during a long round waits for the pause after it: sending does not take all the time."""
        self.add(100)
        self.slow_down()
        self.broadcast.take(null_packets(COALESCED // PACKET + 1))
        self.broadcast.take(null_packets(7))
        for _ in range(50):
            self.clock.advance(0)
        self.assertEqual((self.order, self.broadcast.ring.next), ([*range(100)], 1))
        (pause,) = (call.getTime() for call in self.clock.getDelayedCalls() if call.getTime() < SLOW_CHECK)
        self.assertGreaterEqual(pause, LEAST_WAIT)
        self.clock.advance(pause)
        for _ in range(50):
            self.clock.advance(0)
        self.assertEqual(self.order, [*range(100), *range(100)])

    def test_one_slice_a_turn(self) -> None:
        """However much comes, one turn of the reactor sends for one slice at most."""
        self.add(100)
        self.slow_down()
        self.broadcast.take(null_packets(COALESCED // PACKET + 1))
        slice_size = len(self.order)
        for _ in range(100):
            before = len(self.order)
            self.broadcast.take(null_packets(COALESCED // PACKET + 1))
            self.broadcast.take(null_packets(1))
            self.assertEqual(len(self.order), before)
            self.turn()
            self.assertLessEqual(len(self.order) - before, slice_size)
        self.assertGreater(len(self.order), 1000)

    def test_a_viewer_that_waits_for_room_is_left_alone(self) -> None:
        """Who waits for room is not tried at each round."""
        first, _ = self.add(2)
        first.blocked_since = 0.0
        self.broadcast.take(null_packets(COALESCED // PACKET + 1))
        self.assertEqual(self.order, [1])

    def test_no_shorter_way(self) -> None:
        """A viewer that could be given what all are given, and has no shorter way for that, gets it as ever."""
        first, second = self.add(2)
        first.level = second.level = True
        self.broadcast.take(null_packets(COALESCED // PACKET + 1))
        self.assertEqual(self.order, [0, 1])

    def test_a_viewer_that_left(self) -> None:
        """Who has left gets nothing."""
        first, _ = self.add(2)
        self.broadcast.remove(first)
        self.broadcast.take(null_packets(COALESCED // PACKET + 1))
        self.assertEqual(self.order, [1])

    def test_the_end(self) -> None:
        """When the channel ends everyone is told, and nothing is left behind."""
        viewers = self.add(3)
        self.broadcast.take(null_packets(1))
        ended: list[Viewer] = []
        self.broadcast.close(ended.append)
        self.assertEqual(ended, viewers)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.broadcast.ring.size, 0)
        self.broadcast.take(null_packets(1))
        self.assertEqual(self.clock.getDelayedCalls(), [])
