"""
Connections over which HTTP comes, and what each is given time for.

A request's head has ten seconds from its first byte, however its bytes are spread over them; a body may pause for as
long, and all of a request takes a minute at most. Between requests a connection may be idle for longer. So what is
kept of requests that never become whole is bounded by how many connections there may be.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from iptvd.protocols.proxy_protocol import Relayed
from iptvd.proxied import address_of

if TYPE_CHECKING:
    from iptvd.web.edges import Edges
    from iptvd.web.site import IptvdSite

#: Seconds that the head of a request may take from its first byte, that a new connection has for sending that byte,
#: and that a body may bring nothing.
SLOW = 10
#: Seconds that a whole request may take.
SLOWEST = 60


class Closed(Protocol):
    """A connection that is one too many."""

    def connectionMade(self) -> None:
        """Close it."""
        cast(Any, self.transport).abortConnection()


class PacedChannel(HTTPChannel):
    """
    One connection.

    :ivar relayed: what a proxy has told of it, see `iptvd.proxied`.
    :ivar place: what the site counts it as, see `iptvd.web.edges.Edges.enter`.
    """

    #: Header lines, and their bytes in all.
    maxHeaders = 100
    totalHeadersSize = 16384

    site: IptvdSite
    transport: Any
    relayed: Relayed | None = None
    place = ""
    _deadline: IDelayedCall | None = None
    _begun = 0.0

    def dataReceived(self, data: bytes) -> None:
        """Take more of a request."""
        super().dataReceived(data)
        if self._deadline is not None or self._buffer or self.requests:
            self._pace()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The other end is gone."""
        self._in_time()
        super().connectionLost(reason)
        edges, place = self.hand_over()
        edges.leave(place)

    def hand_over(self) -> tuple[Edges, str]:
        """Leave it to somebody else to tell of the connection's end: who is to be told, and with what."""
        place, self.place = self.place, ""
        return self.site.edges, place

    # Whose it is

    def getPeer(self) -> IAddress:
        """The client, as far as it is known."""
        if self.relayed is None:
            return cast(IAddress, super().getPeer())
        return address_of(self.relayed.client) or UNIXAddress(None)

    def getHost(self) -> IAddress:
        """Where the client connected to."""
        told = address_of(self.relayed.local) if self.relayed is not None else None
        return told or cast(IAddress, super().getHost())

    def isSecure(self) -> bool:
        """Whether the client speaks TLS."""
        return bool(super().isSecure()) or (self.relayed is not None and self.relayed.secure)

    # Requests that are slow or too long

    def _pace(self) -> None:
        """Have a request that has begun be whole in time."""
        if self.timeOut is None or not (self._buffer or self.requests):
            # It is being answered, or it is none yet.
            self._in_time()
            return
        clock = self.site.reactor
        if self._deadline is None:
            self._begun = clock.seconds()
            self.setTimeout(self.site.timeOut)
            self._deadline = clock.callLater(SLOW, self._too_slow)
        elif not self.line_mode:
            # More of a body has come.
            self._deadline.reset(max(0, min(SLOW, self._begun + SLOWEST - clock.seconds())))

    def _in_time(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()

    def _too_slow(self) -> None:
        self._deadline = None
        if not self.transport.disconnecting:
            self._break_off(408)
            self.timeoutConnection()

    def allContentReceived(self) -> None:
        """Answer a request; the next one has all its time again."""
        self._in_time()
        self.timeOut = cast(int, self.site.timeOut)
        super().allContentReceived()

    def timeoutConnection(self) -> None:
        """Let go of who says nothing; whoever connects could fill the log otherwise."""
        self.setTimeout(None)
        self._in_time()
        self._abortingCall = self.callLater(self.abortTimeout, self.forceAbortClient)
        self.loseConnection()

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse an address or a header that is too long."""
        self._break_off(431 if self.requests else 414)
        self.loseConnection()

    def _respondToBadRequestAndDisconnect(self) -> None:
        # There is no public way to tell the reasons apart.
        long = self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders
        self._break_off(431 if long else 400)
        self.loseConnection()

    def _break_off(self, status: int) -> None:
        head = b"HTTP/1.1 %d %b\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        self.transport.write(head % (status, HTTPStatus(status).phrase.encode()))
