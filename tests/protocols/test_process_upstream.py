"""A child process whose standard output is the stream: with a reactor that starts nothing, and with real programs."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import UpstreamError
from iptvd.protocols.process_upstream import FIRST_BACKOFF, MAX_FAILURES, PATIENCE, ProcessUpstream, child_environment
from tests.protocols.test_upstream import Gathered

COMMAND = ("/bin/player", "--url", "http://bob:canary@origin.test/")


class Child:
    """The transport of a child that is only said to run."""

    pid = 4711

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.paused = False
        self.signals: list[str] = []
        self.closed: list[int] = []
        self.gone = False

    def closeStdin(self) -> None:
        self.closed.append(0)

    def closeChildFD(self, descriptor: int) -> None:
        self.closed.append(descriptor)

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def signalProcess(self, name: str) -> None:
        if self.gone:
            raise ProcessExitedAlready
        self.signals.append(name)

    def end(self, reason: Exception | None = None) -> None:
        """It has exited and is reaped."""
        self.gone = True
        self.protocol.processEnded(Failure(reason or ProcessDone(0)))


class Reactor(Clock):
    """A clock that says that it starts programs."""

    def __init__(self) -> None:
        super().__init__()
        self.children: list[Child] = []
        self.started: list[tuple[str, list[str], dict[str, str], dict[int, object]]] = []
        self.refusal: OSError | None = None

    def spawnProcess(self, protocol: Any, program: str, args: list[str], env: Any, childFDs: Any) -> Child:
        if self.refusal is not None:
            raise self.refusal
        self.started.append((program, args, env, childFDs))
        child = Child(protocol)
        self.children.append(child)
        protocol.makeConnection(child)
        return child


class ProcessUpstreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Reactor()
        self.gathered = Gathered()
        self.gone: list[ProcessUpstream] = []
        self.upstream = ProcessUpstream(self.reactor, COMMAND, self.gone.append)  # type: ignore[arg-type]

    @property
    def child(self) -> Child:
        return self.reactor.children[-1]

    def start(self, attach: bool = True) -> None:
        self.upstream.start()
        if attach:
            self.upstream.attach(self.gathered)

    def says(self, data: bytes) -> None:
        self.child.protocol.outReceived(data)

    def test_how_it_is_started(self) -> None:
        """A command is started as it stands, sees nothing of our settings, and has nothing to read."""
        self.patch(os, "environ", {"PATH": "/bin", "IPTVD_PASSWORD": "canary", "HOME": "/"})
        self.start()
        ((program, arguments, environment, descriptors),) = self.reactor.started
        self.assertEqual((program, arguments), (COMMAND[0], list(COMMAND)))
        self.assertEqual(environment, {"PATH": "/bin", "HOME": "/"})
        self.assertEqual(environment, child_environment())
        self.assertEqual((descriptors[1], self.child.closed), ("r", [0]))

    def test_its_process(self) -> None:
        """It tells which process it is, while there is one."""
        self.assertEqual(self.upstream.pid, 0)
        self.start()
        self.assertEqual(self.upstream.pid, Child.pid)
        self.child.end()
        self.assertEqual(self.upstream.pid, 0)

    def test_its_output(self) -> None:
        """What the command writes is the body, in order."""
        self.upstream.start()
        self.says(b"abc")
        self.upstream.attach(self.gathered)
        self.says(b"def")
        self.assertEqual((self.gathered.data, self.gathered.ends), (b"abcdef", []))

    def test_backpressure(self) -> None:
        """A reader that pauses leaves the command's output in its pipe, also that of the one started after it."""
        self.start()
        self.says(b"abc")
        self.upstream.pauseProducing()
        self.assertTrue(self.child.paused)
        self.child.end()
        self.reactor.advance(FIRST_BACKOFF)
        self.assertEqual(len(self.reactor.children), 2)
        self.assertTrue(self.child.paused)
        self.upstream.resumeProducing()
        self.assertFalse(self.child.paused)

    def test_started_again(self) -> None:
        """A command that dies is started again after a while, and what it says then follows what came before."""
        self.start()
        for reason in (ProcessDone(0), ProcessTerminated(1), ProcessTerminated(signal=9)):
            self.says(b"x")
            self.child.end(reason)
            before = len(self.reactor.children)
            self.reactor.advance(FIRST_BACKOFF * 0.9)
            self.assertEqual(len(self.reactor.children), before)
            self.reactor.advance(FIRST_BACKOFF * 0.1)
            self.assertEqual(len(self.reactor.children), before + 1)
        self.assertEqual((self.gathered.data, self.gathered.ends), (b"xxx", []))

    def test_given_up(self) -> None:
        """A command that dies again and again without a byte is tried more and more seldom, and then given up."""
        self.start()
        self.says(b"x")
        self.child.end()
        waits = []
        self.reactor.advance(FIRST_BACKOFF)
        for _ in range(MAX_FAILURES):
            self.child.end(ProcessTerminated(1))
            waits += [call.getTime() - self.reactor.seconds() for call in self.reactor.getDelayedCalls()]
            self.reactor.advance(100)
        self.assertEqual(waits, [FIRST_BACKOFF * 2**failure for failure in range(1, MAX_FAILURES)])
        (error,) = self.gathered.ends
        assert error is not None
        self.assertIn("without delivering", error.sentence)
        self.assertEqual((self.gone, self.reactor.getDelayedCalls()), ([self.upstream], []))

    def test_nothing_from_the_start(self) -> None:
        """A command that gives nothing before anyone watches is an error at once."""
        self.start(attach=False)
        first = self.upstream.first_bytes(1)
        self.child.end(ProcessTerminated(1))
        error = self.failureResultOf(first, UpstreamError).value
        self.assertEqual(error.status, 502)
        self.assertEqual(self.gone, [self.upstream])

    def test_no_such_program(self) -> None:
        """A program that is not there is an error with the reason, and without its name; later on too."""
        self.reactor.refusal = FileNotFoundError(2, "No such file or directory", COMMAND[0])
        with self.assertRaisesRegex(UpstreamError, "^the command cannot be started: No such file or directory$"):
            self.upstream.start()
        self.reactor.refusal = None
        self.start()
        self.says(b"x")
        self.child.end()
        self.reactor.refusal = PermissionError(13, "Permission denied", COMMAND[0])
        self.reactor.advance(FIRST_BACKOFF)
        (error,) = self.gathered.ends
        assert error is not None
        self.assertIn("Permission denied", error.sentence)
        self.assertEqual(self.gone, [self.upstream])

    def test_leaving(self) -> None:
        """When the viewer leaves the command is asked to end, its output is no longer read, and it is waited for."""
        self.start()
        reaped = self.upstream.reaped()
        self.upstream.stopProducing()
        self.assertEqual((self.child.signals, self.child.closed), (["TERM"], [0, 1]))
        self.says(b"late")
        self.assertNoResult(reaped)
        self.child.end()
        self.successResultOf(reaped)
        self.successResultOf(self.upstream.reaped())
        self.assertEqual((self.gathered.data, self.gathered.ends), (b"", []))
        self.assertEqual((self.gone, self.reactor.getDelayedCalls()), ([self.upstream], []))
        self.upstream.stopProducing()
        self.assertEqual(self.gone, [self.upstream])

    def test_a_stubborn_one(self) -> None:
        """A command that does not end when asked is killed."""
        self.start()
        self.upstream.stopProducing()
        self.reactor.advance(PATIENCE)
        self.assertEqual(self.child.signals, ["TERM", "KILL"])
        self.child.end(ProcessTerminated(signal=9))
        self.assertEqual(self.gone, [self.upstream])

    def test_leaving_between_two_runs(self) -> None:
        """When the viewer leaves while the command waits to be started again, it is not."""
        self.start()
        self.says(b"x")
        self.child.end()
        self.upstream.stopProducing()
        self.assertEqual((self.gone, self.reactor.getDelayedCalls()), ([self.upstream], []))

    def test_gone_already(self) -> None:
        """A command that has just exited by itself is not killed again."""
        self.start()
        self.child.gone = True
        self.upstream.stopProducing()
        self.assertEqual(self.child.signals, [])
        self.child.end()
        self.assertEqual(self.gone, [self.upstream])


class Until(Gathered):
    """Tells when so much has come, or it has ended."""

    def __init__(self, size: int) -> None:
        super().__init__(self._look)
        self._size = size
        self.enough: Deferred[None] = Deferred()

    def _look(self) -> None:
        if len(self.data) >= self._size and not self.enough.called:
            self.enough.callback(None)


def real(code: str) -> ProcessUpstream:
    """A Python program as a source."""
    return ProcessUpstream(reactor, [sys.executable, "-c", code])  # type: ignore[arg-type]


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_real_program() -> None:
    """A real program's output comes whole; once it is left nothing of it remains, even when it ignores SIGTERM."""
    flood = "import os\nwhile True: os.write(1, b'x' * 10000)"
    stubborn = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    for code in (flood, stubborn + flood):
        upstream = real(code)
        until = Until(200_000)
        upstream.start()
        upstream.attach(until)
        await until.enough
        upstream.pauseProducing()
        upstream.stopProducing()
        await upstream.reaped()
        assert until.ends == []


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_real_program_that_dies() -> None:
    """A real program that dies is started again, and its second run follows its first."""
    upstream = real("print('once', end='')")
    until = Until(8)
    upstream.start()
    assert await upstream.first_bytes(4) == b"once"
    upstream.attach(until)
    await until.enough
    upstream.stopProducing()
    await upstream.reaped()
    assert until.data == b"onceonce"
