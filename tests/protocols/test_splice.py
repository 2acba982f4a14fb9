"""Moving bytes inside the kernel."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import socket
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReactorFDSet
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.splice import LARGE, SMALL, End, Pipe, PipePool, Splice, plain_socket

#: Bytes of the buffers of a socket that is to be full soon.
TIGHT = 8192


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def connection(buffers: int = 0) -> tuple[socket.socket, socket.socket]:
    """The two ends of a connection on loopback, neither of which blocks."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        if buffers:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
        one = socket.socket()
        if buffers:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
        one.connect(server.getsockname())
        other, _ = server.accept()
    for each in (one, other):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        each.setblocking(False)
    return one, other


def send(to: socket.socket, data: bytes) -> int:
    """Send what the kernel takes of it."""
    try:
        return to.send(data)
    except BlockingIOError:
        return 0


def receive(source: socket.socket) -> bytes | None:
    """What is there, None when there is nothing just now."""
    try:
        return source.recv(1 << 20)
    except BlockingIOError:
        return None


def reset(one: socket.socket) -> None:
    """Close it without a goodbye."""
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


class Rig:
    """An origin and a viewer with a `Splice` between them, and a reactor that turns when it is told to."""

    def __init__(self, reactor: EPollReactor, pool: PipePool | None = None, buffers: int = 0) -> None:
        self.reactor = reactor
        self.pool = pool or PipePool()
        self.origin, self.source = connection(buffers)
        self.sink, self.viewer = connection(buffers)
        self.got = b""
        self.viewer_closed = False
        self.moved: list[int] = []
        self.ends: list[End] = []
        self.splice = Splice(
            self.source,
            self.sink,
            self.pool,
            IReactorFDSet(reactor),
            self.moved.append,
            self.ends.append,
        )

    def turn(self) -> None:
        self.reactor.iterate(0.001)

    def until(self, holds: Callable[[], bool], meanwhile: Callable[[], object] = lambda: None) -> None:
        for _ in range(20_000):
            if holds():
                return
            meanwhile()
            self.turn()
        raise AssertionError("it never came about")

    def read(self) -> None:
        data = receive(self.viewer)
        self.got += data or b""
        self.viewer_closed = self.viewer_closed or data == b""

    def has(self, size: int) -> bool:
        return len(self.got) == size

    def fill(self, to: socket.socket | None = None) -> bytes:
        """Send until nothing moves any more, because the viewer reads nothing; gives what was sent."""
        sent = bytearray()
        idle = 0
        while idle < 50:
            before = len(sent)
            piece = bytes([before % 251]) * 65536
            sent += piece[: send(to or self.origin, piece)]
            idle = 0 if len(sent) > before else idle + 1
            self.turn()
        return bytes(sent)

    def close(self) -> None:
        self.splice.stop()
        for each in (self.origin, self.source, self.sink, self.viewer):
            each.close()
        self.pool.close()


class SpliceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = EPollReactor()
        self.addCleanup(self.reactor._poller.close)
        self.before = descriptors()

    def rig(self, pool: PipePool | None = None, buffers: int = 0) -> Rig:
        rig = Rig(self.reactor, pool, buffers)
        self.addCleanup(rig.close)
        return rig

    def assert_over(self, rig: Rig, end: End) -> None:
        """It ended so, once, and only the four sockets are left."""
        self.assertEqual(rig.ends, [end])
        self.assertEqual(rig.pool.in_use, 0)
        rig.close()
        self.assertEqual(descriptors(), self.before)
        self.assertEqual(
            [each for each in self.reactor.getReaders() + self.reactor.getWriters() if each.logPrefix() == "splice"],
            [],
        )

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
        """A connection that the reactor finds broken by itself ends it as one that we find broken."""
        for name, end in (("_in", End.SOURCE_FAILED), ("_out", End.SINK_FAILED)):
            rig = self.rig()
            rig.splice.start(b"", None)
            getattr(rig.splice, name).connectionLost(Failure(ConnectionLost()))
            self.assert_over(rig, end)

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
        given = [os.dup(one.fileno()), OSError(errno.EMFILE, "Too many open files")]
        with mock.patch("os.dup", side_effect=given), self.assertRaises(OSError):
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
        rig.splice._fill()
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
        try:
            self._live(rig, chance, chance.randbytes(size), bytes(first), fate)
        finally:
            rig.close()
        self.assertEqual(rig.pool.in_use, 0)
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


class PipePoolTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.before = descriptors()

    def pool(self, **options: int) -> PipePool:
        pool = PipePool(**options)
        self.addCleanup(pool.close)
        return pool

    def test_few_are_large(self) -> None:
        """While few are in use they are large; the rest are small, so that an unprivileged user has a thousand."""
        pool = self.pool(few=2)
        pipes = [pool.borrow() for _ in range(4)]
        self.assertEqual([pipe.size for pipe in pipes], [LARGE, LARGE, SMALL, SMALL])
        self.assertEqual(fcntl.fcntl(pipes[0].reader, fcntl.F_GETPIPE_SZ), LARGE)
        self.assertEqual(pool.in_use, 4)
        for pipe in pipes:
            pool.give_back(pipe)
        self.assertEqual(pool.in_use, 0)
        self.assertEqual({pool.borrow().size, pool.borrow().size}, {LARGE})
        self.assertIn(pool.borrow(), pipes[2:])

    def test_pipes_are_used_again(self) -> None:
        """Borrowing and giving back a thousand times opens one pipe."""
        pool = self.pool()
        for _ in range(1000):
            pool.give_back(pool.borrow())
        self.assertEqual(descriptors(), self.before + 2)
        pool.close()
        self.assertEqual(descriptors(), self.before)

    def test_not_more_are_kept_than_are_spared(self) -> None:
        """After a rush only some pipes stay open."""
        pool = self.pool(few=1, spare=3)
        pipes = [pool.borrow() for _ in range(10)]
        for pipe in pipes:
            pool.give_back(pipe)
        self.assertEqual(descriptors(), self.before + 2 * 4)

    def test_one_with_leftovers_is_closed(self) -> None:
        """No stream ever gets bytes that another left in its pipe."""
        pool = self.pool(few=1)
        for _ in range(3):
            pipe = pool.borrow()
            self.assertEqual(pipe.size, LARGE)
            os.write(pipe.writer, b"left")
            pipe.held = 4
            pool.give_back(pipe)
            self.assertEqual(descriptors(), self.before)

    def test_an_unprivileged_user(self) -> None:
        """Who may not have large pipes gets what there is, and is not asked again and again."""
        real = fcntl.fcntl
        asked = []

        def refuse(number: int, command: int, *value: int) -> int:
            if command == fcntl.F_SETPIPE_SZ:
                asked.append(value)
                raise PermissionError(errno.EPERM, "Operation not permitted")
            return real(number, command, *value)

        pool = self.pool(few=5)
        with mock.patch("fcntl.fcntl", side_effect=refuse):
            pipes = [pool.borrow() for _ in range(4)]
        self.assertEqual({pipe.size for pipe in pipes}, {SMALL})
        self.assertEqual(len(asked), 1)
        for pipe in pipes:
            pool.give_back(pipe)
        self.assertEqual(descriptors(), self.before + 8)

    def test_a_user_who_has_too_many(self) -> None:
        """A pipe of two pages, which the kernel gives to who has too many, works and is not kept."""
        real = fcntl.fcntl

        def scant(number: int, command: int, *value: int) -> int:
            if command == fcntl.F_SETPIPE_SZ:
                raise PermissionError(errno.EPERM, "Operation not permitted")
            return real(number, fcntl.F_SETPIPE_SZ, 8192)

        pool = self.pool()
        with mock.patch("fcntl.fcntl", side_effect=scant):
            pipe = pool.borrow()
        self.assertEqual(pipe.size, 8192)
        pool.give_back(pipe)
        self.assertEqual(descriptors(), self.before)

    def test_closed_while_in_use(self) -> None:
        """A pipe that comes back after the pool was closed is closed too."""
        pool = self.pool()
        pipe: Pipe = pool.borrow()
        pool.close()
        pool.give_back(pipe)
        self.assertEqual(descriptors(), self.before)


class PlainSocketTests(SynchronousTestCase):
    def test_what_is_no_connection(self) -> None:
        """Only a connection's own transport has a socket that bytes can be taken from."""
        self.assertIsNone(plain_socket(None))
        self.assertIsNone(plain_socket(object()))
