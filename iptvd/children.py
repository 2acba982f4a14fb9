"""
Runs programs that work for the daemon beside it: at low priority, and never left behind.

They are heard on standard error, and one that makes something for somebody on standard output, no faster than it is
taken.

A child's life has one way: it is spawned, it may be told to end (and is killed when it does not listen), it is reaped.
Whoever waits for a child waits for the last of these, also when cancelled, so that stopping the daemon leaves nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.error import ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IConsumer, IDelayedCall, IPushProducer, IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

#: The daemon itself has 0; 19 would be the last to be served.
NICENESS = 10
#: Bytes of standard error that are kept: the last.
MAX_STDERR = 4096
#: Seconds a child has to end after SIGTERM, and its standard error to be closed after its end.
GRACE = 2.0
#: What a child sees of our environment: no secret of ours is among it.
INHERITED = ("PATH", "HOME", "LANG")

#: Exit statuses as a shell has them (POSIX.1-2017, Shell Command Language, section 2.8.2).
CANNOT_RUN = 126
NOT_FOUND = 127


@implementer(IPushProducer)
class _Child(ProcessProtocol):
    """One child process."""

    transport: Any

    def __init__(self, clock: IReactorTime, sink: IConsumer | None, told: bytes) -> None:
        self.sink = sink
        self._told = told
        self._clock = clock
        self._stderr = bytearray()
        self._waiting: list[Deferred[None]] = []
        self._later: IDelayedCall | None = None
        self._exited = False
        self.status: int | None = None

    def outReceived(self, data: bytes) -> None:
        if self.sink is not None:
            self.sink.write(data)

    # IPushProducer, for whoever takes its output

    def pauseProducing(self) -> None:
        """Read no more: the pipe fills and the child waits."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Read on."""
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """It is not wanted any more."""
        self.end()

    @property
    def stderr(self) -> bytes:
        """The end of what it has written to standard error."""
        return bytes(self._stderr)

    def reaped(self) -> Deferred[None]:
        """Fires when it has ended and nothing of it is left, which has not happened yet; each caller has its own."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def end(self) -> None:
        """Tell it to end, and kill it when it has not within `GRACE`."""
        if self.sink is not None:
            # Nobody takes what it makes any more, and while nothing is read its end would not be seen.
            self.sink = None
            self.transport.closeChildFD(1)
            self.transport.resumeProducing()
        if self._later is None and not self._exited:
            self._signal("TERM")
            self._later = self._clock.callLater(GRACE, self._signal, "KILL")

    def _signal(self, name: str) -> None:
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess(name)

    def connectionMade(self) -> None:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self.transport.pid, NICENESS)
        if self._told:
            self.transport.write(self._told)
            self.transport.closeStdin()

    def errReceived(self, data: bytes) -> None:
        self._stderr += data
        del self._stderr[:-MAX_STDERR]

    def processExited(self, reason: Failure) -> None:
        self._exited = True
        self._cancel_later()
        # A process that it has started itself may hold its standard error open.
        self._later = self._clock.callLater(GRACE, self._hear_no_more)

    def _hear_no_more(self) -> None:
        if self.sink is None:
            self.transport.loseConnection()
        else:
            # What it has made before is still in the pipe, for whoever takes it slowly.
            self.transport.closeChildFD(2)

    def processEnded(self, reason: Failure) -> None:
        self._cancel_later()
        self.status = 0
        if isinstance(reason.value, ProcessTerminated):
            signal, code = reason.value.signal, reason.value.exitCode
            self.status = -signal if signal else code
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)

    def _cancel_later(self) -> None:
        if self._later is not None and self._later.active():
            self._later.cancel()


class Children:
    """
    Runs programs to their end.

    :param environ: what children may inherit `INHERITED` from.
    """

    def __init__(self, reactor: IReactorProcess, clock: IReactorTime, environ: Mapping[str, str] = os.environ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._environ = {name: environ[name] for name in INHERITED if name in environ}
        self._running: set[_Child] = set()
        self._stopping = False

    @property
    def running(self) -> int:
        """How many children there are."""
        return len(self._running)

    def run(self, argv: Sequence[str]) -> Deferred[tuple[int, bytes]]:
        """
        Run a program with standard input empty and standard output discarded.

        Cancelling ends it, and fires with `CancelledError` when it is reaped; so does `stop`.

        :param argv: the program, by path or by name, and its arguments.
        :return: fires with its exit status (127 when there is no such program, 126 when it cannot be run, minus the
            number of the signal that ended it) and the last 4 KiB of its standard error.
        """
        return Deferred.fromCoroutine(self._run(argv, None, b""))

    def pipe(self, argv: Sequence[str], sink: IConsumer, told: bytes = b"") -> Deferred[tuple[int, bytes]]:
        """
        As `run`, and its standard output goes to ``sink``, which it is the producer of until it has ended.

        :param told: what it has as its standard input: arguments can be read by everybody on the machine.
        """
        return Deferred.fromCoroutine(self._run(argv, sink, told))

    async def _run(self, argv: Sequence[str], sink: IConsumer | None, told: bytes) -> tuple[int, bytes]:
        if self._stopping:
            raise CancelledError
        program = self._find(argv[0])
        if program is None:
            return NOT_FOUND, b"there is no such program"
        child = _Child(self._clock, sink, told)
        try:
            self._spawn(child, program, argv, told)
        except OSError as error:
            return CANNOT_RUN, f"the program cannot be run: {os.strerror(error.errno or 0)}".encode()
        self._running.add(child)
        if sink is not None:
            sink.registerProducer(child, True)
        cancelled = False
        while child.status is None:
            try:
                await child.reaped()
            except CancelledError:
                cancelled = True
                child.end()
        self._running.discard(child)
        if sink is not None and not cancelled:
            sink.unregisterProducer()
        if cancelled or self._stopping:
            raise CancelledError
        return child.status, child.stderr

    def _find(self, name: str) -> str | None:
        """Where a program is; whether one given by its path may be run is seen when it is."""
        if "/" in name:
            return name if Path(name).exists() else None
        return shutil.which(name, path=self._environ.get("PATH", os.defpath))

    def _spawn(self, child: _Child, program: str, argv: Sequence[str], told: bytes) -> None:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        files: dict[int, int | str] = {0: "w" if told else null, 1: null if child.sink is None else "r", 2: "r"}
        try:
            self._reactor.spawnProcess(child, program, argv, self._environ, childFDs=files)
        finally:
            os.close(null)

    def stop(self) -> Deferred[None]:
        """End all children and start no more; fires when all are reaped."""
        self._stopping = True
        gone = [child.reaped() for child in self._running]
        for child in self._running:
            child.end()
        return gatherResults(gone).addCallback(lambda results: None)
