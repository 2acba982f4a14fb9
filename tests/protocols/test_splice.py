"""Moving bytes inside the kernel."""

from __future__ import annotations

import errno
import os
import random
import socket
from collections.abc import Callable
from functools import partial
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReactorFDSet
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from iptvd.log import Fault
from iptvd.protocols.pipes import ENOUGH, SMALL, PipePool
from iptvd.protocols.splice import End, Splice, plain_socket
from iptvd.rounds import REST
from tests.protocols.splicing import TIGHT, Rig, connection, descriptors, receive, reset, send


class SpliceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = EPollReactor()
        self.addCleanup(self.reactor._poller.close)
        self.before = descriptors()

    def rig(self, pool: PipePool | None = None, buffers: int = 0, beside: Rig | None = None) -> Rig:
        rig = Rig(self.reactor, pool, buffers, beside)
        self.addCleanup(rig.close)
        return rig

    def assert_over(self, rig: Rig, end: End) -> None:
        """It ended so, once, and only the four sockets are left."""
        self.assertEqual(rig.ends, [end])
        self.assertEqual(rig.pool.in_use, 0)
        self.assertEqual(rig.clock.getDelayedCalls(), [])
        rig.close()
        self.assertEqual(descriptors(), self.before)
        names = [each.logPrefix() for each in self.reactor.getReaders() + self.reactor.getWriters()]
        self.assertNotIn("splice", names)
        self.assertNotIn("rounds", names)

    def test_a_body_of_known_length(self) -> None:
        """A body arrives byte by byte as it was sent, after what goes first, and no byte beyond it is taken."""
        rig = self.rig()
        film = random.Random(1).randbytes(3_000_000)
        left = film + b"next"

        def move() -> None:
            nonlocal left
            left = left[send(rig.origin, left) :]
            rig.read()

        rig.splice.start(b"head and " + b"start ", len(film))
        rig.until(lambda: bool(rig.ends) and not left, move)
        rig.until(lambda: len(rig.got) == len(film) + 15, rig.read)
        self.assertEqual(rig.got, b"head and start " + film)
        self.assertEqual(sum(rig.moved), len(rig.got))
        rig.until(lambda: receive(rig.source) == b"next")
        self.assert_over(rig, End.LIMIT)

    def test_a_body_until_the_end(self) -> None:
        """A body of unknown length ends with its connection, after its last byte."""
        rig = self.rig()
        rig.splice.start(b"", None)
        rig.origin.send(b"all of it")
        rig.origin.close()
        rig.until(lambda: bool(rig.ends))
        rig.until(lambda: rig.got == b"all of it", rig.read)
        self.assert_over(rig, End.SOURCE_CLOSED)

    def test_nothing_but_what_goes_first(self) -> None:
        """A body of which nothing is left ends once what goes first is sent, however slowly."""
        rig = self.rig(buffers=TIGHT)
        first = bytes(1_000_000)
        rig.splice.start(first, 0)
        self.assertTrue(rig.splice.waiting)
        rig.until(lambda: bool(rig.ends), rig.read)
        rig.until(lambda: len(rig.got) == len(first), rig.read)
        self.assert_over(rig, End.LIMIT)

    def test_a_viewer_that_has_no_room_at_all(self) -> None:
        """What goes first waits for a viewer that takes nothing, and nothing is fetched before it is sent."""
        rig = self.rig(buffers=TIGHT)
        before = rig.fill(rig.sink)
        rig.splice.start(b"head", None)
        self.assertTrue(rig.splice.waiting)
        rig.origin.send(b"body")
        rig.until(lambda: rig.has(len(before) + 8), rig.read)
        self.assertEqual(rig.got, before + b"headbody")

    def test_stopped_by_who_is_told(self) -> None:
        """Whoever is told of bytes may stop it then and there."""
        for first in (b"head", b""):
            rig = self.rig()
            told = mock.Mock(side_effect=lambda count, rig=rig: rig.splice.stop())
            rig.splice._moved = told
            rig.splice.start(first, 4)
            rig.origin.send(b"body")
            rig.until(partial(getattr, told, "called"))
            self.assertEqual((rig.ends, rig.pool.in_use), ([], 0))
            rig.close()

    def test_a_slow_viewer_bounds_what_is_fetched(self) -> None:
        """What a viewer does not read stays with the origin, but for one pipe, and all of it arrives in the end."""
        rig = self.rig(PipePool(few=0), buffers=TIGHT)
        rig.splice.start(b"", None)
        sent = rig.fill()
        self.assertTrue(rig.splice.waiting)
        self.assertEqual(rig.pool.in_use, 1)
        # Two connections' buffers (the kernel doubles what it is asked for, and rounds up) and a pipe.
        self.assertLess(len(sent), 16 * TIGHT + 2 * 65536 + SMALL)
        rig.origin.close()
        rig.until(lambda: bool(rig.ends), rig.read)
        rig.until(lambda: len(rig.got) == len(sent), rig.read)
        self.assertEqual(rig.got, sent)
        self.assert_over(rig, End.SOURCE_CLOSED)

    def test_a_slow_viewer_of_a_large_pipe(self) -> None:
        """However much an origin has, and however large the pipe, what is held for a slow viewer is bounded."""
        rig = self.rig(PipePool(few=1))
        rig.sink.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, TIGHT)
        rig.viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, TIGHT)
        rig.splice.start(b"", None)
        sent = rig.fill()
        self.assertGreaterEqual(rig.held, ENOUGH)
        self.assertLess(rig.held, ENOUGH + SMALL)
        fetched = sum(rig.moved) + rig.held
        rig.until(lambda: len(rig.got) > fetched, rig.read)
        self.assertEqual(rig.got, sent[: len(rig.got)])

    def test_a_pipe_is_held_only_while_it_is_not_empty(self) -> None:
        """A viewer that keeps up holds no pipe between two writes of its origin."""
        rig = self.rig()
        rig.splice.start(b"", None)
        for number in range(5):
            rig.origin.send(bytes([number]) * 1316)
            rig.until(partial(rig.has, 1316 * (number + 1)), rig.read)
            self.assertEqual(rig.pool.in_use, 0)
        self.assertFalse(rig.splice.waiting)

    def test_no_spinning(self) -> None:
        """While a viewer reads nothing nothing is tried, even when the origin is gone."""
        for gone in (False, True):
            rig = self.rig(PipePool(few=0), buffers=TIGHT)
            rig.splice.start(b"", None)
            sent = rig.fill()
            if gone:
                reset(rig.origin)
            self.assert_at_rest(rig)
            if gone:
                rig.until(partial(bool, rig.ends), rig.read)
                self.assertEqual(rig.ends, [End.SOURCE_FAILED])
            rig.until(lambda rig=rig: len(rig.got) == sum(rig.moved), rig.read)  # type: ignore[misc]
            self.assertEqual(rig.got, sent[: len(rig.got)])
            rig.close()

    def assert_at_rest(self, rig: Rig) -> None:
        """There is something to read, and nobody tries to."""
        with mock.patch("os.splice", side_effect=os.splice) as splice:
            for _ in range(200):
                rig.turn()
        self.assertLess(splice.call_count, 5)
        self.assertTrue(rig.source.recv(1, socket.MSG_PEEK))
        self.assertEqual(rig.ends, [])

    def test_a_pipe_full_of_crumbs(self) -> None:
        """A pipe that takes no more, because it counts pieces and not bytes, is no reason to spin."""
        rig = self.rig(PipePool(few=0), buffers=TIGHT)
        before = len(rig.fill(rig.sink))
        rig.splice.start(b"", None)
        crumbs = bytes(range(30))
        for crumb in crumbs:
            rig.origin.send(bytes([crumb]))
            rig.turn()
        self.assertEqual(rig.pool.in_use, 1)
        self.assert_at_rest(rig)
        rig.until(lambda: len(rig.got) == before + len(crumbs), rig.read)
        self.assertEqual(rig.got[before:], crumbs)

    def test_an_origin_that_resets(self) -> None:
        """An origin that is lost with an error is told from one that ended, after what it had sent."""
        rig = self.rig()
        rig.splice.start(b"", None)
        rig.origin.send(b"some of it")
        rig.until(lambda: rig.got == b"some of it", rig.read)
        reset(rig.origin)
        rig.until(lambda: bool(rig.ends))
        self.assert_over(rig, End.SOURCE_FAILED)

    def test_a_viewer_that_resets(self) -> None:
        """A viewer that is gone is noticed with the next bytes for it."""
        rig = self.rig()
        rig.splice.start(b"", None)
        reset(rig.viewer)
        rig.until(lambda: bool(rig.ends), lambda: send(rig.origin, b"for nobody"))
        self.assert_over(rig, End.SINK_FAILED)

    def test_a_viewer_that_resets_while_it_does_not_read(self) -> None:
        """A viewer that is gone while it was waited for is noticed at once, and the pipe is given up."""
        rig = self.rig(buffers=TIGHT)
        rig.splice.start(b"", None)
        rig.fill()
        reset(rig.viewer)
        rig.until(lambda: bool(rig.ends))
        self.assert_over(rig, End.SINK_FAILED)

    def test_a_viewer_that_resets_before_the_head(self) -> None:
        """A viewer that is gone before anything was sent is noticed."""
        rig = self.rig()
        reset(rig.viewer)
        rig.splice.start(b"head", None)
        rig.until(lambda: bool(rig.ends), lambda: send(rig.origin, b"for nobody"))
        self.assert_over(rig, End.SINK_FAILED)
        rig = self.rig()
        rig.sink.shutdown(socket.SHUT_WR)
        rig.splice.start(b"head", None)
        self.assert_over(rig, End.SINK_FAILED)

    def test_what_the_reactor_drops(self) -> None:
        """A viewer that the reactor finds gone by itself ends it as one that we find gone."""
        rig = self.rig()
        rig.splice.start(b"", None)
        rig.splice._out.connectionLost(Failure(ConnectionLost()))
        self.assert_over(rig, End.SINK_FAILED)

    def test_an_unexpected_error(self) -> None:
        """An error of ours is logged and ends the one stream, as if its origin had failed."""
        rig = self.rig()
        rig.splice._moved = mock.Mock(side_effect=ZeroDivisionError)
        rig.splice.start(b"", None)
        rig.origin.send(b"x")
        rig.until(lambda: bool(rig.ends))
        self.assertEqual(len(self.flushLoggedErrors(Fault)), 1)
        self.assert_over(rig, End.SOURCE_FAILED)

    def resting(self, pool: PipePool | None = None, beside: Rig | None = None) -> Rig:
        """One whose viewer has just had a packet, with the clock stopped."""
        rig = self.rig(pool, beside=beside)
        rig.pace = lambda: 0.0
        rig.splice.start(b"", None)
        rig.origin.send(b"first")
        rig.until(lambda: rig.has(5), rig.read)
        self.assertEqual(len(rig.clock.getDelayedCalls()), 1)
        return rig

    def test_small_writes_are_moved_together(self) -> None:
        """Packets that an origin writes one by one reach the viewer a few milliseconds later, several at a time."""
        rig = self.resting()
        with mock.patch("os.splice", side_effect=os.splice) as splice:
            for number in range(7):
                rig.origin.send(bytes([number]) * 188)
                rig.turn()
            splice.assert_not_called()
            self.assertEqual(rig.pool.in_use, 0)
            rig.clock.advance(REST)
            self.assertEqual(splice.call_count, 2)
        rig.until(lambda: rig.has(5 + 7 * 188), rig.read)
        self.assertEqual(rig.got[5:], b"".join(bytes([number]) * 188 for number in range(7)))

    def test_as_many_pieces_as_there_are(self) -> None:
        """More small packets than a pipe has places for are moved in one go."""
        rig = self.resting(pool=PipePool(few=0))
        for _ in range(100):
            rig.origin.send(bytes(188))
            rig.turn()
        rig.read()
        self.assertTrue(rig.has(5))
        rig.clock.advance(REST)
        rig.until(lambda: rig.has(5 + 100 * 188), rig.read)

    def test_nothing_runs_while_nothing_comes(self) -> None:
        """A stream that pauses costs nothing, and what comes after the pause is not kept waiting."""
        rig = self.resting()
        rig.clock.advance(REST)
        self.assertEqual(rig.clock.getDelayedCalls(), [])
        rig.origin.send(b"next")
        rig.until(lambda: rig.has(9), rig.read)

    def test_an_origin_that_ends_between_two_looks(self) -> None:
        """An origin that closes or is lost right after a packet is noticed a few milliseconds later."""
        for leave, end in ((socket.socket.close, End.SOURCE_CLOSED), (reset, End.SOURCE_FAILED)):
            rig = self.resting()
            leave(rig.origin)
            for _ in range(5):
                rig.turn()
            self.assertEqual(rig.ends, [])
            rig.clock.advance(REST)
            self.assert_over(rig, end)

    def test_stopped_between_two_looks(self) -> None:
        """A stream that is stopped right after a packet leaves nothing behind."""
        rig = self.resting()
        rig.splice.stop()
        self.assertEqual(rig.clock.getDelayedCalls(), [])
        rig.close()
        self.assertEqual(descriptors(), self.before)

    def test_a_viewer_that_sets_the_pace(self) -> None:
        """What a viewer makes room for is fetched at once, whatever other streams do."""
        rig = self.rig(PipePool(few=0), buffers=TIGHT)
        rig.splice.start(b"", None)
        sent = rig.fill()
        fetched = sum(rig.moved) + rig.held
        self.assertLess(fetched, len(sent))
        rig.pace = self.resting(beside=rig).pace
        rig.until(lambda: len(rig.got) > fetched, rig.read)
        self.assertEqual(rig.got, sent[: len(rig.got)])

    def test_stopped(self) -> None:
        """Stopping it midway gives everything back, tells nobody, and may be done twice."""
        rig = self.rig(buffers=TIGHT)
        rig.splice.start(b"", None)
        rig.fill()
        rig.splice.stop()
        rig.splice.stop()
        self.assertEqual((rig.ends, rig.pool.in_use), ([], 0))
        rig.close()
        self.assertEqual(descriptors(), self.before)

    def test_no_descriptors(self) -> None:
        """Without descriptors left it does not begin, and keeps none."""
        one, other = connection()
        self.addCleanup(one.close)
        self.addCleanup(other.close)
        before = descriptors()
        full = OSError(errno.EMFILE, "Too many open files")
        for name, results in (("os.dup", [os.dup(one.fileno()), full]), ("select.epoll", [full])):
            with mock.patch(name, side_effect=results), self.assertRaises(OSError):
                Splice(one, other, PipePool(), IReactorFDSet(self.reactor), print, print)
            self.assertEqual(descriptors(), before)

    def test_no_pipes(self) -> None:
        """Without descriptors left for a pipe it ends with nothing lost: what came is still in the connection."""
        rig = self.rig()
        rig.splice.start(b"head", None)
        with mock.patch("os.pipe2", side_effect=OSError(errno.EMFILE, "Too many open files")):
            rig.until(lambda: bool(rig.ends), lambda: send(rig.origin, b"x"))
        self.assertEqual(set(receive(rig.source) or b""), {ord("x")})
        self.assert_over(rig, End.IMPOSSIBLE)

    def test_a_kernel_that_does_not(self) -> None:
        """Where the kernel or its guard refuses to splice it ends with nothing lost; other errors are the origin's."""
        for number, end in (
            (errno.EINVAL, End.IMPOSSIBLE),
            (errno.EPERM, End.IMPOSSIBLE),
            (errno.ETIMEDOUT, End.SOURCE_FAILED),
        ):
            rig = self.rig()
            rig.splice.start(b"", None)
            rig.origin.send(b"x")
            with mock.patch("os.splice", side_effect=OSError(number, "no")):
                rig.until(partial(bool, rig.ends))
            self.assert_over(rig, end)

    def test_woken_for_nothing(self) -> None:
        """Being told of bytes or room that are not there changes nothing."""
        rig = self.rig(buffers=TIGHT)
        rig.splice.start(b"", None)
        rig.splice.fill()
        self.assertEqual((rig.moved, rig.ends, rig.pool.in_use), ([], [], 0))
        sent = rig.fill()
        moved = sum(rig.moved)
        rig.splice._room()
        self.assertEqual((sum(rig.moved), rig.ends, rig.pool.in_use), (moved, [], 1))
        rig.until(lambda: len(rig.got) == len(sent), rig.read)
        self.assertEqual(rig.got, sent)

    @given(
        st.integers(),
        st.integers(0, 400_000),
        st.integers(0, 20_000),
        st.sampled_from(["whole", "closed", "reset", "viewer", "stop"]),
        st.booleans(),
    )
    def test_whatever_happens(self, seed: int, size: int, first: int, fate: str, tight: bool) -> None:
        """Whenever and however it ends, the viewer has the beginning of what was sent, and nothing stays open."""
        before = descriptors()
        # How often it is asked depends on the kernel: nothing for hypothesis to repeat.
        chance = random.Random(seed)
        rig = Rig(self.reactor, PipePool(few=chance.choice([0, 1])), TIGHT if tight else 0)
        rig.pace = partial(chance.choice, [0.0, REST / 5, REST])
        try:
            self._live(rig, chance, chance.randbytes(size), bytes(first), fate)
        finally:
            rig.close()
        self.assertEqual(rig.pool.in_use, 0)
        self.assertEqual(rig.clock.getDelayedCalls(), [])
        self.assertEqual(descriptors(), before)

    def _live(self, rig: Rig, chance: random.Random, body: bytes, head: bytes, fate: str) -> None:
        size = len(body)
        moment = size if fate == "closed" else chance.randint(0, size)
        sent = 0
        gone = False
        fates: dict[str, Callable[[], None]] = {
            "closed": rig.origin.close,
            "reset": partial(reset, rig.origin),
            "viewer": partial(reset, rig.viewer),
            "stop": rig.splice.stop,
        }

        def live() -> None:
            nonlocal sent, gone
            if not gone:
                sent += send(rig.origin, body[sent : sent + chance.choice([1, 1316, 65536])])
                if sent >= moment and fate != "whole":
                    gone = True
                    fates[fate]()
            elif fate == "viewer":
                # It is noticed with the next bytes at the latest.
                send(rig.origin, b"x")
            if chance.random() < 0.7 and not (gone and fate == "viewer"):
                rig.read()

        rig.splice.start(head, size if fate == "whole" else chance.choice([None, size + 1_000_000]))
        rig.until(lambda: bool(rig.ends) or (gone and fate == "stop"), live)
        expected = {
            "whole": [End.LIMIT],
            "closed": [End.SOURCE_CLOSED],
            "reset": [End.SOURCE_FAILED],
            "viewer": [End.SINK_FAILED],
            "stop": [],
        }[fate]
        self.assertEqual(rig.ends, expected)
        if fate != "viewer":
            rig.until(lambda: len(rig.got) == sum(rig.moved), rig.read)
        self.assertEqual(rig.got, (head + body)[: len(rig.got)])
        if fate in ("whole", "closed"):
            self.assertEqual(rig.got, head + body)


class PlainSocketTests(SynchronousTestCase):
    def test_what_is_no_connection(self) -> None:
        """Only a connection's own transport has a socket that bytes can be taken from."""
        self.assertIsNone(plain_socket(None))
        self.assertIsNone(plain_socket(object()))
