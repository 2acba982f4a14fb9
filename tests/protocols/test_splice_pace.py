"""Moving bytes inside the kernel: as fast as the viewer takes them, in no more turns than it needs."""

from __future__ import annotations

import os
import socket
from functools import partial
from unittest import mock

from iptvd.protocols.pipes import ENOUGH, SMALL, PipePool
from iptvd.protocols.splice import End
from iptvd.rounds import REST
from tests.protocols.splicing import TIGHT, Rig, SpliceCase, descriptors, reset


class PaceTests(SpliceCase):
    def test_a_viewer_that_has_no_room_at_all(self) -> None:
        """What goes first waits for a viewer that takes nothing, and nothing is fetched before it is sent."""
        rig = self.rig(buffers=TIGHT)
        before = rig.fill(rig.sink)
        rig.splice.start(b"head", None)
        self.assertTrue(rig.splice.waiting)
        rig.origin.send(b"body")
        rig.until(lambda: rig.has(len(before) + 8), rig.read)
        self.assertEqual(rig.got, before + b"headbody")

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
