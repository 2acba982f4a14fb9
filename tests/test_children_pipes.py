"""Tests of programs that make something for somebody, no faster than it is taken."""

from __future__ import annotations

import os
import sys
from typing import cast

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.interfaces import IConsumer, IProducer, IPushProducer, IReactorProcess
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from iptvd.children import CANNOT_RUN, GRACE, NOT_FOUND, Children
from tests.test_children import FakeProcess, FakeReactor, is_there, outcome, real_children, turn


@implementer(IConsumer)
class Sink:
    """Whoever takes what a program makes."""

    def __init__(self) -> None:
        self.producer: IPushProducer | None = None
        self.got = bytearray()
        self.wanted = 1 << 30

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        assert streaming
        assert self.producer is None
        self.producer = cast("IPushProducer", producer)

    def unregisterProducer(self) -> None:
        assert self.producer is not None
        self.producer = None

    def write(self, data: bytes) -> None:
        self.got += data
        if len(self.got) >= self.wanted and self.producer is not None:
            self.producer.pauseProducing()


class PipeTests(SynchronousTestCase):
    """Programs that make something for somebody, ending when the test says so."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.reactor = FakeReactor()
        self.reactor.heard = 1
        self.patch(os, "setpriority", lambda *arguments: None)
        self.children = Children(cast("IReactorProcess", self.reactor), self.clock, {"PATH": "/bin:/usr/bin"})
        self.sink = Sink()

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def started(self) -> tuple[Deferred[tuple[int, bytes]], FakeProcess]:
        running = self.children.pipe(["sh", "-c", "work"], self.sink)
        self.assertNoResult(running)
        return running, self.reactor.spawned[-1]

    def test_whole(self) -> None:
        """What the program writes comes out, and it is let go of at its end."""
        running, process = self.started()
        for data in (b"one", b"two"):
            process.protocol.childDataReceived(1, data)
        process.protocol.childDataReceived(2, b"said")
        self.assertIsNotNone(self.sink.producer)
        process.end(ProcessTerminated(3, None, 768))
        self.assertEqual(self.successResultOf(running), (3, b"said"))
        self.assertEqual((bytes(self.sink.got), self.sink.producer), (b"onetwo", None))

    def test_paused(self) -> None:
        """Nothing is read from the program while nobody takes it."""
        running, process = self.started()
        assert self.sink.producer is not None
        self.sink.producer.pauseProducing()
        self.assertTrue(process.paused)
        self.sink.producer.resumeProducing()
        self.assertFalse(process.paused)
        process.end()
        self.successResultOf(running)

    def test_ends_while_paused(self) -> None:
        """What a program wrote before its end waits for whoever takes it, however long that takes."""
        running, process = self.started()
        assert self.sink.producer is not None
        self.sink.producer.pauseProducing()
        process.exit(ProcessDone(0))
        self.clock.advance(GRACE)
        self.assertEqual((process.closed, process.shut), (False, [2]))
        self.assertNoResult(running)
        self.sink.producer.resumeProducing()
        process.protocol.childDataReceived(1, b"the rest")
        process.end()
        self.assertEqual(self.successResultOf(running), (0, b""))
        self.assertEqual(bytes(self.sink.got), b"the rest")

    def test_cancelled_while_paused(self) -> None:
        """A cancelled program is ended, and nothing of what it still writes goes anywhere."""
        running, process = self.started()
        assert self.sink.producer is not None
        self.sink.producer.pauseProducing()
        running.cancel()
        self.assertEqual((process.signals, process.shut, process.paused), (["TERM"], [1], False))
        process.protocol.childDataReceived(1, b"too late")
        process.end(ProcessTerminated(None, 15, 15))
        self.failureResultOf(running, CancelledError)
        self.assertEqual(bytes(self.sink.got), b"")
        # The one it was for is gone: it has nothing to be told.
        self.assertIsNotNone(self.sink.producer)

    def test_cancelled_after_its_end(self) -> None:
        """What an ended program left behind is thrown away when nobody wants it any more."""
        running, process = self.started()
        process.exit(ProcessDone(0))
        running.cancel()
        self.assertEqual((process.signals, process.shut), ([], [1]))
        process.end()
        self.failureResultOf(running, CancelledError)

    def test_stopped_by_its_consumer(self) -> None:
        """A consumer that stops the program ends it."""
        running, process = self.started()
        assert self.sink.producer is not None
        self.sink.producer.stopProducing()
        self.assertEqual((process.signals, process.shut), (["TERM"], [1]))
        process.end(ProcessTerminated(None, 15, 15))
        self.assertEqual(self.successResultOf(running), (-15, b""))

    def test_stop(self) -> None:
        """When the daemon stops, the consumer is let go of and whoever waits is told."""
        running, process = self.started()
        self.children.stop()
        process.end(ProcessTerminated(None, 15, 15))
        self.failureResultOf(running, CancelledError)
        self.assertIsNone(self.sink.producer)

    def test_cannot_run(self) -> None:
        """A program that is not there, or cannot be started, leaves the consumer alone."""
        self.assertEqual(self.successResultOf(self.children.pipe(["no-such-program"], self.sink))[0], NOT_FOUND)
        self.reactor.error = OSError(12, "Cannot allocate memory")
        self.assertEqual(self.successResultOf(self.children.pipe(["sh"], self.sink))[0], CANNOT_RUN)
        self.assertIsNone(self.sink.producer)


#: Bytes that a real program makes: more than a pipe holds.
MUCH = 3_000_000


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_real_pipe() -> None:
    """A real program waits as long as nobody takes what it makes, and then all of it comes, its end too."""
    sink = Sink()
    sink.wanted = 1
    done = f"import sys; sys.stdout.write('x' * {MUCH}); sys.stdout.flush(); print('done', file=sys.stderr)"
    running = real_children().pipe([sys.executable, "-c", done], sink)
    while not sink.got:
        await turn()
    # What it may be ahead is what one read gives and what the pipe holds.
    for _ in range(20):
        await turn()
    assert len(sink.got) <= 1 << 16
    assert not running.called
    assert sink.producer is not None
    sink.wanted = 1 << 30
    sink.producer.resumeProducing()
    assert await running == (0, b"done\n")
    assert len(sink.got) == MUCH


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_real_pipe_that_ends_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last that a real program made is there for whoever comes back to it after the program's end."""
    monkeypatch.setattr("iptvd.children.GRACE", 0.05)
    sink = Sink()
    sink.wanted = 1
    code = "import os; print(os.getpid(), flush=True); os.write(1, b'x' * 50000)"
    running = real_children().pipe([sys.executable, "-c", code], sink)
    while b"\n" not in sink.got:
        await turn()
    pid = int(bytes(sink.got).split()[0])
    for _ in range(5000):
        await turn()
        if not is_there(pid):
            break
    for _ in range(50):
        await turn()
    assert not is_there(pid)
    assert sink.producer is not None
    sink.wanted = 1 << 30
    sink.producer.resumeProducing()
    assert await running == (0, b"")
    assert sink.got.count(b"x") == 50000


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_real_pipe_that_is_cancelled() -> None:
    """A real program that nobody wants any more is gone at once, though it was waiting to be read."""
    sink = Sink()
    sink.wanted = 1
    running = real_children().pipe(["sh", "-c", "echo $$; exec yes"], sink)
    while b"\n" not in sink.got:
        await turn()
    pid = int(bytes(sink.got).split()[0])
    running.cancel()
    assert await outcome(running) is None
    assert not is_there(pid)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_real_pipe_that_is_told_something() -> None:
    """What a real program is to be told is its standard input, however much it is; else that is empty."""
    code = "import sys; sys.stdout.write(sys.stdin.read().upper())"
    for told in (b"word", b"word" * 100_000, b""):
        sink = Sink()
        assert await real_children().pipe([sys.executable, "-c", code], sink, told) == (0, b"")
        assert bytes(sink.got) == told.upper()


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_real_pipe_that_does_not_listen() -> None:
    """A real program that ends without having heard what it is told is no fault."""
    sink = Sink()
    assert await real_children().pipe(["true"], sink, b"word" * 100_000) == (0, b"")
