"""What the simulators have in common that are processes: the port goes out, and they end with their standard input."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.protocol import Protocol
from twisted.internet.stdio import StandardIO
from twisted.python.failure import Failure


class _Leash(Protocol):
    """Standard input and output."""

    def __init__(self, port: int) -> None:
        self._port = port

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"%d\n" % self._port)

    def connectionLost(self, reason: Failure | None = None) -> None:
        if reactor.running:
            reactor.stop()


def serve(port: int) -> None:
    """Write on a line at which port it listens by now, and serve until standard input ends."""
    StandardIO(_Leash(port))
    reactor.run()
