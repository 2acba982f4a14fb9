"""Tests of the programs that run beside the daemon."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import cast

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from iptvd.children import CANNOT_RUN, GRACE, MAX_STDERR, NICENESS, NOT_FOUND, Children

PID = 4711


class FakeProcess:
    """A process that ends when the test says so."""

    def __init__(self, protocol: ProcessProtocol, program: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self.protocol = protocol
        self.program = program
        self.argv = argv
        self.env = env
        self.pid: int | None = PID
        self.signals: list[str] = []
        self.closed = False
        self.paused = False
        self.shut: list[int] = []
        protocol.makeConnection(self)

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def closeChildFD(self, number: int) -> None:
        self.shut.append(number)

    def signalProcess(self, name: str) -> None:
        if self.pid is None:
            raise ProcessExitedAlready
        self.signals.append(name)

    def loseConnection(self) -> None:
        self.closed = True

    def exit(self, reason: Exception) -> None:
        self.pid = None
        self.protocol.processExited(Failure(reason))

    def end(self, reason: Exception | None = None) -> None:
        reason = reason or ProcessDone(0)
        if self.pid is not None:
            self.exit(reason)
        self.protocol.processEnded(Failure(reason))


class FakeReactor:
    """Starts processes that are not."""

    def __init__(self) -> None:
        self.spawned: list[FakeProcess] = []
        self.error: OSError | None = None
        #: How many of its standard streams other than the third are ours.
        self.heard = 0

    def spawnProcess(
        self,
        protocol: ProcessProtocol,
        program: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        childFDs: Mapping[int, int | str],
    ) -> None:
        if self.error is not None:
            raise self.error
        null = os.stat(os.devnull)  # noqa: PTH116 - compared with what fstat says
        discarded = [childFDs[number] for number in (0, 1) if childFDs[number] != "r"]
        assert len(discarded) == 2 - self.heard
        assert all(os.path.samestat(os.fstat(cast("int", each)), null) for each in discarded)
        assert childFDs[2] == "r"
        self.spawned.append(FakeProcess(protocol, program, argv, env))


class ChildrenTests(SynchronousTestCase):
    """With processes that end when the test says so."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.reactor = FakeReactor()
        self.niceness: list[tuple[int, int, int]] = []
        self.patch(os, "setpriority", lambda *arguments: self.niceness.append(arguments))
        environ = {"PATH": "/bin:/usr/bin", "LANG": "C", "IPTVD_SECRET": "s3cret"}
        self.children = Children(cast("IReactorProcess", self.reactor), self.clock, environ)

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def started(self) -> tuple[Deferred[tuple[int, bytes]], FakeProcess]:
        running = self.children.run(["sh", "-c", "work"])
        self.assertNoResult(running)
        return running, self.reactor.spawned[-1]

    def test_started(self) -> None:
        """A program is found on the path, put behind the viewers, and sees none of our secrets."""
        running, process = self.started()
        self.assertEqual(process.program, "/bin/sh")
        self.assertEqual(process.argv, ["sh", "-c", "work"])
        self.assertEqual(process.env, {"PATH": "/bin:/usr/bin", "LANG": "C"})
        self.assertEqual(self.niceness, [(os.PRIO_PROCESS, PID, NICENESS)])
        self.assertEqual(self.children.running, 1)
        process.end()
        self.successResultOf(running)
        self.assertEqual(self.children.running, 0)

    def test_statuses(self) -> None:
        """The result is the exit status, negative for a signal."""
        for reason, expected in (
            (ProcessDone(0), 0),
            (ProcessTerminated(3, None, 768), 3),
            (ProcessTerminated(None, 9, 9), -9),
        ):
            running, process = self.started()
            process.end(reason)
            self.assertEqual(self.successResultOf(running), (expected, b""))

    def test_stderr(self) -> None:
        """The result holds the end of what the program said on standard error, and no more."""
        running, process = self.started()
        process.protocol.childDataReceived(2, b"first")
        for number in range(2000):
            process.protocol.childDataReceived(2, b"%d " % number)
        process.end()
        _, stderr = self.successResultOf(running)
        self.assertEqual(len(stderr), MAX_STDERR)
        self.assertTrue(stderr.endswith(b" 1998 1999 "))

    def test_not_there(self) -> None:
        """A program that is not there has the status that a shell gives."""
        for program in ("no-such-program", "/no/such/program", ""):
            status, said = self.successResultOf(self.children.run([program]))
            self.assertEqual((status, said), (NOT_FOUND, b"there is no such program"))
        self.assertEqual(self.reactor.spawned, [])

    def test_cannot_run(self) -> None:
        """A program that cannot be started has the status that a shell gives, and a reason."""
        self.reactor.error = OSError(12, "Cannot allocate memory")
        status, said = self.successResultOf(self.children.run(["sh"]))
        self.assertEqual((status, said), (CANNOT_RUN, b"the program cannot be run: Cannot allocate memory"))
        self.assertEqual(self.children.running, 0)

    def test_priority_refused(self) -> None:
        """A program that cannot be put behind the viewers runs all the same."""

        def refuse(*arguments: int) -> None:
            raise PermissionError

        self.patch(os, "setpriority", refuse)
        running, process = self.started()
        process.end()
        self.assertEqual(self.successResultOf(running), (0, b""))

    def test_cancelled(self) -> None:
        """A cancelled program is told to end, and whoever cancelled it waits until it has."""
        running, process = self.started()
        running.cancel()
        self.assertEqual(process.signals, ["TERM"])
        self.assertNoResult(running)
        process.end(ProcessTerminated(None, 15, 15))
        self.failureResultOf(running, CancelledError)

    def test_does_not_listen(self) -> None:
        """A cancelled program that does not end is killed, however often it is cancelled."""
        running, process = self.started()
        running.cancel()
        self.clock.advance(GRACE / 2)
        running.cancel()
        self.assertEqual(process.signals, ["TERM"])
        self.clock.advance(GRACE / 2)
        self.assertEqual(process.signals, ["TERM", "KILL"])
        running.cancel()
        self.assertEqual(process.signals, ["TERM", "KILL"])
        self.assertNoResult(running)
        process.end(ProcessTerminated(None, 9, 9))
        self.failureResultOf(running, CancelledError)

    def test_gone_before_it_is_told(self) -> None:
        """A program that has ended in the same moment is not an error."""
        running, process = self.started()
        process.pid = None
        running.cancel()
        process.protocol.processExited(Failure(ProcessDone(0)))
        running.cancel()
        process.end()
        self.failureResultOf(running, CancelledError)

    def test_leaves_somebody_behind(self) -> None:
        """A program whose own child holds standard error open is not waited for longer than a moment."""
        running, process = self.started()
        process.exit(ProcessDone(0))
        self.clock.advance(GRACE)
        self.assertTrue(process.closed)
        process.end()
        self.assertEqual(self.successResultOf(running), (0, b""))

    def test_stop(self) -> None:
        """Stopping ends all programs and waits until the last is gone; no other starts after that."""
        first, second = self.started(), self.started()
        stopped = self.children.stop()
        for running, process in (first, second):
            self.assertEqual(process.signals, ["TERM"])
            self.assertNoResult(stopped)
            process.end(ProcessTerminated(None, 15, 15))
            self.failureResultOf(running, CancelledError)
        self.assertIsNone(self.successResultOf(stopped))
        self.failureResultOf(self.children.run(["sh"]), CancelledError)
        self.assertEqual(len(self.reactor.spawned), 2)

    def test_stop_after_cancel(self) -> None:
        """Stopping waits for what was cancelled before as well."""
        running, process = self.started()
        running.cancel()
        stopped = self.children.stop()
        self.assertNoResult(stopped)
        process.end()
        self.successResultOf(stopped)
        self.failureResultOf(running, CancelledError)

    def test_nothing_to_stop(self) -> None:
        """Without programs, stopping is done at once."""
        self.assertIsNone(self.successResultOf(self.children.stop()))


def real_children() -> Children:
    """With the reactor that runs the tests."""
    from twisted.internet import reactor

    return Children(cast("IReactorProcess", reactor), cast("IReactorTime", reactor))


async def outcome(running: Awaitable[tuple[int, bytes]]) -> tuple[int, bytes] | None:
    """What became of a program, None when it was cancelled."""
    try:
        return await running
    except CancelledError:
        return None


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_real_program() -> None:
    """A real program has nothing to read, nowhere to write, little of our environment and a low priority."""
    code = (
        "import os, sys; assert sys.stdin.read() == ''; print('x' * 100000);"
        "print(sorted(os.environ.keys() - {'LC_CTYPE'}), os.getpriority(os.PRIO_PROCESS, 0),"
        "sorted(map(int, os.listdir('/proc/self/fd')))[:-1], file=sys.stderr); sys.exit(3)"
    )
    status, stderr = await real_children().run([sys.executable, "-c", code])
    names = sorted({"PATH", "HOME", "LANG"} & os.environ.keys())
    assert (status, stderr.decode()) == (3, f"{names} {NICENESS} [0, 1, 2]\n")


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_real_program_that_cannot_run(tmp_path: Path) -> None:
    """A real program whose interpreter is not there has the status that a shell gives."""
    status, said = await real_children().run([broken_script(tmp_path)])
    assert (status, said) == (CANNOT_RUN, b"the program cannot be run: No such file or directory")


def broken_script(folder: Path) -> str:
    script = folder / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    return str(script)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_real_programs_are_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real programs are gone when stopping is done, whether they listen to SIGTERM or not."""
    monkeypatch.setattr("iptvd.children.GRACE", 0.2)
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    listening = f"import os, signal, time; print(os.getpid(), file=open({fifo!r}, 'w')); time.sleep(60)"
    deaf = listening.replace("; print", "; signal.signal(signal.SIGTERM, signal.SIG_IGN); print")
    children = real_children()
    running = [children.run([sys.executable, "-c", code]) for code in (listening, deaf)]
    pids: list[int] = []
    for _ in range(5000):
        await turn()
        with contextlib.suppress(BlockingIOError):
            pids += map(int, os.read(reading, 100).split())
        if len(pids) == 2:
            break
    os.close(reading)
    assert [is_there(pid) for pid in pids] == [True, True]
    await children.stop()
    assert [is_there(pid) for pid in pids] == [False, False]
    assert [await outcome(one) for one in running] == [None, None]


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def turn() -> Deferred[None]:
    """Fires in another turn of the reactor."""
    from twisted.internet import reactor

    turned: Deferred[None] = Deferred()
    cast("IReactorTime", reactor).callLater(0.002, turned.callback, None)
    return turned


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_real_signal() -> None:
    """A real program that dies of a signal has its number, negative."""
    status, _ = await real_children().run([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    assert status == -signal.SIGKILL
