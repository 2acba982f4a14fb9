"""What we ask of the kernel for a viewer's socket."""

from __future__ import annotations

import socket
from contextlib import suppress

from twisted.internet.interfaces import ITCPTransport, ITransport
from twisted.internet.tcp import Connection

#: Bytes not yet sent that the kernel holds for a viewer before it says that there is room again.
UNSENT = 131072

_TCP_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)


def watch_over(transport: ITransport | None) -> None:
    """
    Notice a viewer that is gone (SO_KEEPALIVE), and bound what one holds in the kernel, where it has a TCP socket.

    Never TCP_USER_TIMEOUT: a player that pauses takes nothing for as long as it likes.
    """
    inner: object = transport
    while inner is not None:
        # TLS lies around the connection; its own handle has no socket, nor does it say that there is one.
        connection, inner = inner, getattr(inner, "transport", None)
        if isinstance(connection, Connection):
            connection.setTcpKeepAlive(True)
            limit_unsent(connection)


def limit_unsent(transport: ITCPTransport) -> None:
    """Let a slow viewer cost the kernel no more than a fast one (tcp(7), TCP_NOTSENT_LOWAT)."""
    inner: object = transport
    while inner is not None:
        # TLS lies around the connection; its own handle has no socket.
        connection, inner = inner, getattr(inner, "transport", None)
    handle = getattr(connection, "getHandle", None)
    if handle is not None:
        with suppress(OSError, AttributeError):
            handle().setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, UNSENT)
