"""Many descriptors read in rounds."""

from __future__ import annotations

import errno
import gc
import socket
from collections.abc import Callable
from unittest import mock
from weakref import ref

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from iptvd.log import Fault
from iptvd.rounds import HURRY, LITTLE, MOST, MUCH, REST, Rounds, shared_rounds
from tests.protocols.splicing import descriptors


class Reading:
    """Reads one end of a pair; what a fill says that it took may be pretended."""

    def __init__(self, rounds: Rounds) -> None:
        self.rounds = rounds
        self.theirs, self.ours = socket.socketpair()
        self.ours.setblocking(False)
        self.number = self.ours.fileno()
        self.got = b""
        self.fills = 0
        self.losses = 0
        self.pretended: int | None = None
        self.then: Callable[[], object] = lambda: None
        self.open = True
        rounds.enter(self.number, self)
        rounds.read_on(self.number)

    def fill(self) -> int:
        self.fills += 1
        try:
            data = self.ours.recv(65536)
        except BlockingIOError:
            data = b""
        self.got += data
        self.then()
        return len(data) if self.pretended is None else self.pretended

    def lost(self) -> None:
        self.losses += 1
        self.close()

    def close(self) -> None:
        if self.open:
            self.open = False
            self.rounds.pause(self.number)
            self.rounds.leave(self.number)
            self.ours.close()
            self.theirs.close()


class RoundsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = EPollReactor()
        self.addCleanup(self.reactor._poller.close)
        self.clock = Clock()
        self.before = descriptors()
        self.rounds = Rounds(IReactorFDSet(self.reactor), self.clock)

    def reading(self) -> Reading:
        one = Reading(self.rounds)
        self.addCleanup(one.close)
        return one

    def turn(self) -> None:
        self.reactor.iterate(0.0)

    @property
    def resting(self) -> bool:
        """Whether there is a timer, or else the reactor watches: never both, never neither."""
        timers, watched = self.clock.getDelayedCalls(), self.rounds in self.reactor.getReaders()
        self.assertEqual(len(timers) + watched, 1)
        return bool(timers)

    def assert_nothing_left(self) -> None:
        self.assertNotIn(self.rounds, self.reactor.getReaders())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(descriptors(), self.before)

    def send(self, one: Reading, data: bytes) -> None:
        """Have it get something in one turn."""
        one.theirs.send(data)
        self.turn()

    def test_at_once_then_together(self) -> None:
        """The first bytes are read at once; those of the next moment, of whichever stream, in one round after it."""
        one, other = self.reading(), self.reading()
        self.send(one, b"a")
        self.assertEqual((one.got, other.fills), (b"a", 0))
        for _ in range(5):
            self.send(one, b"b")
            self.send(other, b"c")
            self.assertTrue(self.resting)
        self.assertEqual((one.got, other.got), (b"a", b""))
        self.clock.advance(REST)
        self.assertEqual((one.got, other.got, one.fills, other.fills), (b"abbbbb", b"ccccc", 2, 1))
        self.assertTrue(self.resting)

    def test_no_timer_while_nothing_comes(self) -> None:
        """The round that finds nothing is the last, until bytes come again, which are read at once."""
        one = self.reading()
        self.assertFalse(self.resting)
        self.send(one, b"a")
        self.clock.advance(REST)
        self.assertFalse(self.resting)
        self.assertEqual(one.fills, 1)
        self.send(one, b"b")
        self.assertEqual(one.got, b"ab")

    def test_paused(self) -> None:
        """One that is paused is not read, even when its other end is gone, until it goes on."""
        one = self.reading()
        self.rounds.pause(one.number)
        self.send(one, b"a")
        one.theirs.close()
        self.turn()
        self.assertEqual(one.fills, 0)
        self.rounds.read_on(one.number)
        self.turn()
        self.assertEqual(one.got, b"a")

    def test_in_a_hurry(self) -> None:
        """While a stream brings much there is no rest, for it and for all; only for so long after it."""
        one, other = self.reading(), self.reading()
        one.pretended = MUCH
        self.send(one, b"a")
        self.assertFalse(self.resting)
        one.pretended = LITTLE
        for step in (0.0, HURRY / 2, HURRY / 3):
            self.clock.advance(step)
            self.send(one, b"b")
            self.assertFalse(self.resting)
        one.pretended = MUCH
        self.send(one, b"c")
        one.pretended = LITTLE
        self.clock.advance(HURRY / 2)
        self.send(other, b"d" * LITTLE)
        self.assertFalse(self.resting)
        self.clock.advance(HURRY / 2)
        self.send(other, b"d" * LITTLE)
        self.assertTrue(self.resting)
        self.assertEqual((one.got, other.got), (b"abbbc", b"d" * LITTLE * 2))

    def test_a_hurry_ends_with_little(self) -> None:
        """A round in which no stream brings much is followed by a rest, whatever there was before."""
        one = self.reading()
        one.pretended = MUCH
        self.send(one, b"a")
        one.pretended = LITTLE - 1
        self.send(one, b"b")
        self.assertTrue(self.resting)
        self.clock.advance(REST)
        one.pretended = LITTLE
        self.send(one, b"c")
        self.assertTrue(self.resting)

    def test_more_than_a_round(self) -> None:
        """When very many have something each is read in its turn, and the reactor looks at everything else between."""
        those = [self.reading() for _ in range(MOST * 2 + 1)]
        for one in those:
            one.theirs.send(b"a")
        for read in (MOST, 2 * MOST):
            self.turn()
            self.assertEqual(sum(one.fills for one in those), read)
            self.assertFalse(self.resting)
        self.turn()
        self.assertEqual({one.got for one in those}, {b"a"})
        self.assertTrue(self.resting)

    def test_more_than_a_round_after_a_rest(self) -> None:
        """When a rest has let very many wait, those that the next round leaves are read without another rest."""
        those = [self.reading() for _ in range(MOST + 1)]
        self.send(those[0], b"a")
        for one in those:
            one.theirs.send(b"b")
        self.clock.advance(REST)
        self.assertFalse(self.resting)
        self.turn()
        self.assertEqual({one.got[-1:] for one in those}, {b"b"})

    def test_nothing_is_left(self) -> None:
        """When the last has left nothing is open and nothing is under way, in a rest or not."""
        for rest in (False, True):
            one, other = self.reading(), self.reading()
            self.send(one, b"a")
            if not rest:
                self.clock.advance(REST)
            one.close()
            self.assertEqual(self.resting, rest)
            other.close()
            self.assert_nothing_left()

    def test_the_last_leaves_in_a_round(self) -> None:
        """A stream that ends in a round may be the last one."""
        one = self.reading()
        one.then = one.close
        self.send(one, b"a")
        self.assertEqual(one.got, b"a")
        self.assert_nothing_left()

    def test_one_ends_others_in_a_round(self) -> None:
        """A stream that ends another in a round, which has something as well, has it read no more."""
        one, other = self.reading(), self.reading()
        one.then, other.then = other.close, one.close
        one.theirs.send(b"a")
        other.theirs.send(b"b")
        self.turn()
        self.assertEqual(one.fills + other.fills, 1)
        self.assertTrue(self.resting)

    def test_another_begins_where_the_last_ended(self) -> None:
        """A stream that begins in the round that ended the last one is watched."""
        for rest in (False, True):
            one = self.reading()
            if rest:
                self.send(one, b"-")
            begun: list[Reading] = []

            def again(one: Reading = one, begun: list[Reading] = begun) -> None:
                one.close()
                begun.append(self.reading())

            one.then = again
            self.send(one, b"a")
            if rest:
                self.clock.advance(REST)
            self.assertFalse(self.resting)
            self.send(begun[0], b"b")
            self.assertEqual(begun[0].got, b"b")
            begun[0].close()
            self.assertEqual(descriptors(), self.before)

    def test_an_unexpected_error(self) -> None:
        """An error in one stream is logged, without its message, ends that one, and leaves the others alone."""
        one, other = self.reading(), self.reading()
        one.then = mock.Mock(side_effect=ValueError("secret"))
        one.theirs.send(b"a")
        other.theirs.send(b"b")
        self.turn()
        self.assertEqual((one.losses, other.got), (1, b"b"))
        (fault,) = self.flushLoggedErrors(Fault)
        self.assertNotIn("secret", str(fault.value))
        self.assertTrue(self.resting)

    def test_an_error_while_ending(self) -> None:
        """Nor does it matter to the others when ending it fails too."""
        one, other = self.reading(), self.reading()
        one.then = mock.Mock(side_effect=ZeroDivisionError)
        with mock.patch.object(one, "lost", side_effect=ZeroDivisionError):
            self.send(one, b"a")
        self.assertEqual(len(self.flushLoggedErrors(Fault)), 2)
        other.theirs.send(b"b")
        self.clock.advance(REST)
        self.assertEqual(other.got, b"b")

    def test_no_descriptors(self) -> None:
        """Without descriptors left none enters, and nothing is kept; later ones do."""
        full = OSError(errno.EMFILE, "Too many open files")
        one, other = socket.socketpair()
        with one, other, mock.patch("select.epoll", side_effect=full), self.assertRaises(OSError):
            self.rounds.enter(one.fileno(), mock.Mock())
        self.assert_nothing_left()
        again = self.reading()
        self.send(again, b"a")
        self.assertEqual(again.got, b"a")

    def test_the_reactor_ends(self) -> None:
        """When the reactor drops all it has, those who have descriptors here still leave in peace."""
        one = self.reading()
        for each in self.reactor.removeAll():
            each.connectionLost(Failure(ConnectionDone()))
        one.close()
        self.assertEqual(descriptors(), self.before)


class SharedRoundsTests(SynchronousTestCase):
    def test_one_for_each_reactor(self) -> None:
        """All streams of a reactor have the same rounds, which are forgotten with the last of them."""
        reactors = [EPollReactor(), EPollReactor()]
        for each in reactors:
            self.addCleanup(each._poller.close)
        one, other = (shared_rounds(IReactorFDSet(each)) for each in reactors)
        self.assertIs(shared_rounds(IReactorFDSet(reactors[0])), one)
        self.assertIsNot(one, other)
        forgotten = ref(one)
        del one
        gc.collect()
        self.assertIsNone(forgotten())
