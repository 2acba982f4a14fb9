"""A child process whose standard output is the stream: started, started again when it dies, and always reaped."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from iptvd.errors import UpstreamError
from iptvd.log import Log
from iptvd.protocols.upstream import Upstream

#: Seconds before a command that died is started again, doubled each time it dies without having delivered.
FIRST_BACKOFF = 0.5
#: How often in a row a command may die without delivering before it is given up.
MAX_FAILURES = 5
#: Seconds from SIGTERM to SIGKILL.
PATIENCE = 2.0


class IReactor(IReactorProcess, IReactorTime):
    """What is needed to run a child and to wait."""


def child_environment() -> Mapping[str, str]:
    """What a child may see of ours: no setting, and so no secret."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}


class _Child(ProcessProtocol):
    def __init__(self, upstream: ProcessUpstream) -> None:
        self._upstream = upstream
        self.reaped: Deferred[None] = Deferred()

    def outReceived(self, data: bytes) -> None:
        self._upstream.output(self, data)

    def processEnded(self, reason: Failure) -> None:
        clean = reason.check(ProcessDone) is not None
        self.reaped.callback(None)
        self._upstream.child_ended(self, clean)


class ProcessUpstream(Upstream):
    """
    The command's output as an endless body.

    A command that exits is started again after a backoff for as long as someone is watching; what it delivers then
    follows what came before.

    :param gone: called once, when it is over and nothing of it is left.
    """

    log = Log()

    def __init__(
        self,
        reactor: IReactor,
        command: Sequence[str],
        gone: Callable[[ProcessUpstream], object] = lambda upstream: None,
    ) -> None:
        super().__init__()
        self._gone = gone
        self._waiting: list[Deferred[None]] = []
        self._is_gone = False
        self._reactor = reactor
        self._command = command
        self._child: _Child | None = None
        self._paused = False
        self._failures = 0
        self._delivered = False
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """
        Start the command.

        :raises UpstreamError: when there is no such program.
        """
        program = self._command[0]
        self._child = child = _Child(self)
        self._delivered = False
        try:
            # Descriptor 2 is not ours to read: what a program complains about may hold the address it was given.
            self._reactor.spawnProcess(
                child, program, list(self._command), env=child_environment(), childFDs={0: "w", 1: "r", 2: _null()}
            )
        except OSError as error:
            raise UpstreamError(502, f"the command cannot be started: {error.strerror}") from None
        transport = child.transport
        if transport is not None:
            transport.closeStdin()
        if self._paused:
            self.pauseProducing()

    @property
    def pid(self) -> int:
        """The id of the process that runs now, 0 where none does."""
        transport = self._child.transport if self._child is not None else None
        return (transport.pid or 0) if transport is not None else 0

    def output(self, child: _Child, data: bytes) -> None:
        """Something came out of the command."""
        if child is self._child and not self.ended:
            self._delivered = True
            self._failures = 0
            self._deliver(data)

    def child_ended(self, child: _Child, clean: bool) -> None:
        """The command has exited and is reaped."""
        if self.ended:
            self._leave()
            return
        self._child = None
        if not self._delivered:
            self._failures += 1
        if self._failures >= MAX_FAILURES or (self._receiver is None and not self._held_size):
            self._end(UpstreamError(502, "the command ends without delivering anything"))
            self._leave()
            return
        delay = FIRST_BACKOFF * 2**self._failures
        self.log.info("a command ended and is started again in {delay} s", delay=delay, clean=clean)
        self._timer = self._reactor.callLater(delay, self._again)

    def _again(self) -> None:
        try:
            self.start()
        except UpstreamError as error:
            self._end(error)
            self._leave()

    def reaped(self) -> Deferred[None]:
        """Fires when it is over and nothing of it is left."""
        waiting: Deferred[None] = Deferred()
        if self._is_gone:
            waiting.callback(None)
        else:
            self._waiting.append(waiting)
        return waiting

    def _leave(self) -> None:
        if not self._is_gone:
            self._is_gone = True
            self._gone(self)
            while self._waiting:
                self._waiting.pop().callback(None)

    # IPushProducer

    def pauseProducing(self) -> None:
        """Stop reading; the pipe fills and the command waits."""
        self._paused = True
        if self._child is not None and self._child.transport is not None:
            self._child.transport.pauseProducing()  # type: ignore[attr-defined]

    def resumeProducing(self) -> None:
        """Read on."""
        self._paused = False
        if self._child is not None and self._child.transport is not None:
            self._child.transport.resumeProducing()  # type: ignore[attr-defined]

    def stopProducing(self) -> None:
        """End the command, gently and then not."""
        self.ended = True
        self._held.clear()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        child, self._child = self._child, None
        if child is None or child.transport is None or child.reaped.called:
            self._leave()
            return
        transport = child.transport
        _signal(transport, "TERM")
        # A paused pipe would keep its end from being seen.
        transport.closeChildFD(1)
        kill = self._reactor.callLater(PATIENCE, _signal, transport, "KILL")

        def reaped(result: None) -> None:
            if kill.active():
                kill.cancel()

        child.reaped.addCallback(reaped)


_null_descriptor: list[int] = []


def _null() -> int:
    if not _null_descriptor:
        _null_descriptor.append(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC))
    return _null_descriptor[0]


def _signal(transport: object, name: str) -> None:
    try:
        transport.signalProcess(name)  # type: ignore[attr-defined]
    except ProcessExitedAlready:
        return
