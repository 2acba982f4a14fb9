"""What is in memory, sent to a viewer's socket piece by piece."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.isolated import Means
from iptvd.model import Outcome
from iptvd.web.sending import Sending
from tests.web.loop import Loop

PATIENCE = 10.0


class SendingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.loop = Loop()
        self.near, self.far = socket.socketpair()
        for one in (self.near, self.far):
            one.setblocking(False)
            self.addCleanup(one.close)
        self.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        self.took = 0
        self.ends: list[Outcome] = []

    def send(self, pieces: Sequence[bytes | memoryview]) -> Sending:
        def took(count: int) -> None:
            self.took += count

        means = Means(cast(Any, self.loop), self.loop, None, 5.0, PATIENCE)
        sending = Sending(self.near, pieces, means, took)
        if sending.start():
            self.ends.append(Outcome.COMPLETED)
        else:
            sending.go_on(self.ends.append)
        return sending

    def drink(self, size: int = 5000) -> bytes:
        try:
            data = self.far.recv(size)
        except BlockingIOError:
            data = b""
        self.loop.settle()
        return data

    @given(st.lists(st.integers(0, 3000), min_size=1, max_size=200), st.integers(1, 9000))
    def test_any_pieces(self, sizes: list[int], sip: int) -> None:
        """Whatever the pieces and the pace, the bytes come whole and in order, and are counted as they leave."""
        self.begin()
        pieces: list[bytes | memoryview] = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
        pieces[0] = memoryview(bytes(pieces[0]))
        whole = b"".join(pieces)
        self.send(pieces)
        got = b""
        while len(got) < len(whole):
            got += self.drink(sip)
            self.assertLessEqual(len(got), self.took)
        self.assertEqual((got, self.took, self.ends), (whole, len(whole), [Outcome.COMPLETED]))
        self.assertEqual((self.loop.writers, self.loop.getDelayedCalls()), ([], []))

    def test_patience(self) -> None:
        """A viewer that takes nothing for too long is too slow; one that takes a little now and then is not."""
        self.send([bytes(1_000_000)])
        for _ in range(5):
            self.loop.advance(PATIENCE - 1)
            for _ in range(20):
                self.drink()
        self.assertEqual(self.ends, [])
        self.loop.advance(PATIENCE)
        self.assertEqual((self.ends, self.loop.writers), ([Outcome.VIEWER_TOO_SLOW], []))

    def test_a_viewer_that_is_gone(self) -> None:
        """A viewer that is gone, before or while it is sent to, has left."""
        self.far.close()
        self.send([bytes(10)])
        self.loop.settle()
        self.assertEqual((self.ends, self.took), ([Outcome.VIEWER_LEFT], 0))
        self.begin()
        self.send([bytes(1_000_000)])
        self.far.close()
        self.loop.settle()
        self.assertEqual((self.ends, self.loop.writers), ([Outcome.VIEWER_LEFT], []))
        self.begin()
        sending = self.send([bytes(1_000_000)])
        sending.connectionLost(Failure(ConnectionLost()))
        self.assertEqual((self.ends, self.loop.writers), ([Outcome.VIEWER_LEFT], []))
        self.assertEqual(sending.logPrefix(), "viewer")

    def test_stopped(self) -> None:
        """Whoever stops it is not told of any end, and nothing is left."""
        sending = self.send([bytes(1_000_000)])
        for _ in range(2):
            sending.stop()
        self.drink()
        self.loop.advance(2 * PATIENCE)
        self.assertEqual((self.ends, self.loop.writers, self.loop.getDelayedCalls()), ([], [], []))
