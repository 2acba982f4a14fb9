"""
The origin as a process of its own: ``python -m tests.simulators MEDIA_FOLDER [PORT]``.

It writes its port on a line to standard output, and ends when its standard input does, so that none is left behind by
tests that were killed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.protocol import Protocol
from twisted.internet.stdio import StandardIO
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.python.failure import Failure

from tests.simulators.media import Media
from tests.simulators.origin import Origin
from tests.simulators.wire import listen


class _Leash(Protocol):
    """Standard input and output: the port goes out, and the end comes in."""

    def __init__(self, port: int) -> None:
        self._port = port

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"%d\n" % self._port)

    def connectionLost(self, reason: Failure | None = None) -> None:
        if reactor.running:
            reactor.stop()


def main(folder: str, port: str = "0") -> None:
    """Serve the media in ``folder`` until standard input ends."""
    observer = FilteringLogObserver(textFileLogObserver(sys.stderr), [LogLevelFilterPredicate(LogLevel.warn)])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    origin = Origin(Media(Path(folder)), reactor)
    listening = listen(reactor, origin.factory, int(port))
    StandardIO(_Leash(listening.socket.getsockname()[1]))
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
