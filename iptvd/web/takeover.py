"""
Taking a viewer's connection over from twisted.web, which keeps much for each request that is under way.

The head is written by hand, the channel's timeouts are off, and a protocol of ours, which only waits for the viewer to
leave, is in the channel's place: the request and all that hangs on it can go.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from attrs import frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime, ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web.http import RESPONSES
from twisted.web.server import Request

from iptvd.web.edges import Edges
from iptvd.web.sockets import watch_over


class _Waiting(Protocol):
    """Waits for the viewer to leave; whatever it says meanwhile is nothing to us."""

    # Thousands of them wait, and what is the same in all of them is not in each.
    _edges: Edges | None = None
    _place = ""
    _gone = False
    _patience: IDelayedCall | None = None

    def __init__(self, left: Callable[[], None], counted: tuple[Edges, str] | None) -> None:
        self._left = left
        if counted is not None:
            self._edges, self._place = counted

    def expect_end(self, clock: IReactorTime, seconds: float, abort: Callable[[], None]) -> None:
        """Break the connection if it is still there after so long."""
        if not self._gone:
            self._patience = clock.callLater(seconds, abort)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._gone = True
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
        if self._edges is not None:
            self._edges.leave(self._place)
        self._left()


@frozen
class Taken:
    """
    A connection that is ours.

    :ivar plain: its socket, where bytes can be written to that directly.
    """

    transport: ITransport
    plain: socket.socket | None
    _waiting: _Waiting

    def close(self, clock: IReactorTime, seconds: float) -> None:
        """
        Close it once what its transport still holds is sent; what the kernel holds, it sends.

        :param seconds: that the viewer has for reading what the transport holds.
        """
        self._waiting.expect_end(clock, seconds, self.abort)
        self.transport.loseConnection()

    def abort(self) -> None:
        """Close it at once, whatever is still to be sent."""
        self.transport.abortConnection()  # type: ignore[attr-defined]


def take_over(request: Request, left: Callable[[], None]) -> Taken | None:
    """
    Take the connection of a request that is not answered yet; it will be closed after the answer.

    :param left: called when the viewer is gone.
    :return: None when it is gone already.
    """
    channel = request.channel
    transport = channel.transport if channel is not None else None
    if channel is None or transport is None:
        return None
    hand_over: Callable[[], tuple[Edges, str]] | None = getattr(channel, "hand_over", None)
    waiting = _Waiting(left, hand_over() if hand_over is not None else None)
    plain: socket.socket | None = None
    if isinstance(transport, TLSMemoryBIOProtocol):
        transport.wrappedProtocol = waiting
    elif isinstance(transport, Connection):
        transport.protocol = waiting
        if not getattr(transport, "TLS", False):
            plain = transport.getHandle()
    else:
        return None
    channel.setTimeout(None)
    # The two hold each other, and would be kept until the garbage collector finds them.
    if request in channel.requests:
        channel.requests.remove(request)
    transport.unregisterProducer()
    waiting.transport = transport
    watch_over(transport)
    transport.resumeProducing()
    return Taken(transport, plain, waiting)


def head_of(request: Request) -> bytes:
    """The response's head by hand: as the request was given it, ended by the connection's end."""
    status = request.code
    lines = [b"HTTP/1.1 %d %s" % (status, RESPONSES.get(status, b""))]
    for name, values in request.responseHeaders.getAllRawHeaders():
        lines.extend(b"%s: %s" % (name, value) for value in values)
    return b"\r\n".join([*lines, b"Connection: close", b"", b""])
