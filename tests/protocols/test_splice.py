"""Moving bytes inside the kernel: that they arrive, and how it ends."""

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
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReactorFDSet
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from iptvd.log import Fault
from iptvd.protocols.pipes import PipePool
from iptvd.protocols.splice import End, Splice, plain_socket
from iptvd.rounds import REST
from tests.protocols.splicing import TIGHT, Rig, SpliceCase, connection, descriptors, receive, reset, send


class SpliceTests(SpliceCase):
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
