"""What we ask of the kernel for a connection to an origin, whatever lies between us and its socket."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from twisted.internet.interfaces import IProtocol
from twisted.internet.tcp import Connection

#: Seconds after which a connection is given up on which the origin acknowledges nothing. The kernel's own patience is
#: a quarter of an hour; nothing that takes so long to arrive is of use to a viewer.
USER_TIMEOUT = 30
#: Seconds of silence before the origin is asked whether it is still there, and between two such questions: while a
#: viewer pauses nothing is read, and nobody else would notice that the origin is gone.
KEEPALIVE = 30
KEEPALIVE_EVERY = 10


def connection_of(protocol: IProtocol) -> tuple[Connection | None, IProtocol]:
    """The connection that a protocol is spoken on, None where it is none of the network, and what is next to it."""
    above: Any = protocol
    inner: object = above.transport
    while inner is not None and not isinstance(inner, Connection):
        above, inner = inner, getattr(inner, "transport", None)
    return inner, above


def prepare(protocol: IProtocol) -> Connection | None:
    """Have its connection, if any, lost in time when the origin is gone, and have what is written leave at once."""
    connection, above = connection_of(protocol)
    if connection is None:
        return None
    # The go-between that endpoints put there is of use until there is a connection. It would be called for each read.
    connection.protocol = above
    connection.setTcpNoDelay(True)
    connection.setTcpKeepAlive(True)
    for option, value in (
        ("TCP_USER_TIMEOUT", USER_TIMEOUT * 1000),
        ("TCP_KEEPIDLE", KEEPALIVE),
        ("TCP_KEEPINTVL", KEEPALIVE_EVERY),
    ):
        # Not every platform has all of them.
        number = getattr(socket, option, None)
        if number is not None:
            with suppress(OSError):
                connection.getHandle().setsockopt(socket.IPPROTO_TCP, number, value)
    return connection
