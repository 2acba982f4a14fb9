"""
A viewer's connection: HTTP by twisted.web, and a short way for what players ask for again and again.

A player of HLS sends the same headers with each of its requests, many of them a minute for hours, and what it asks for
is nearly always at hand. The first such request of a connection goes the long way: it is parsed, judged and answered
as any other. What was found about its headers is remembered with their very bytes. A request that follows with the
same bytes, and differs in nothing but its path, needs no parsing and no judging. If the resource it names can answer
at once (`iptvd.web.answering.AnswerResource.at_once`), head and body are given to the kernel together; in every other
case the request goes the long way after all, so that there is one place for each decision and each error.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from typing import cast

from attrs import frozen
from twisted.internet.protocol import connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from twisted.web.http import datetimeToString
from twisted.web.server import Request

from iptvd import __version__
from iptvd.access import Access, Who
from iptvd.delivery.session import Viewer
from iptvd.model import Outcome
from iptvd.trust import Caller
from iptvd.web.answering import AnswerResource, AtOnce, Body
from iptvd.web.pacing import PacedChannel
from iptvd.web.request import viewer_of
from iptvd.web.sending import Sending
from iptvd.web.sockets import watch_over

#: The Server header.
SERVER = f"iptvd/{__version__}".encode()

#: Bytes of headers that are remembered.
_MOST_HEADERS = 4096
#: Bytes of requests that are read while a body is being sent.
_MOST_AHEAD = 16384
#: Seconds a viewer has to read the rest of what was broken off.
_LINGER = 30
_VERSION = b" HTTP/1.1\r\n"
_END = b"\r\n\r\n"
#: A path that means what it says: no query, and nothing encoded.
_PATH = re.compile(rb"GET /(~[A-Za-z0-9_-]+/)?([a-z]+)/([A-Za-z0-9_./-]+)")
# How such a path begins; one with a query may say there who it is.
_MARK = re.compile(rb"/(~[A-Za-z0-9_-]+/)?[^?]*\Z")
#: Headers that make an answer another one, or the request more than its head.
_DECISIVE = ("range", "if-range", "expect", "content-length", "transfer-encoding", "upgrade", "te", "trailer")

_head: tuple[int, bytes] = (0, b"")


def beginning() -> bytes:
    """The beginning of a head: status line, and the headers that all answers have."""
    global _head
    now = int(time.time())
    if _head[0] != now:
        _head = now, b"HTTP/1.1 200 OK\r\nServer: %b\r\nDate: %b\r\n" % (SERVER, datetimeToString(now))
    return _head[1]


@frozen
class _Known:
    """
    What was found about some headers.

    :ivar rest: of the request, from after its path to its end.
    :ivar caller: who they are from, whatever the path says.
    :ivar mark: how the path begins that says who it is as well, None where a query did.
    """

    rest: bytes
    access: Access
    caller: Caller
    viewer: Viewer
    mark: bytes | None


class ViewerConnection(PacedChannel):
    """One connection."""

    _known: _Known | None = None
    _rest = b""
    _plain: socket.socket | None = None
    _limited = False
    _sending: Sending | None = None
    _ahead = b""
    _stop_sending: Callable[[], None] | None = None

    def connectionMade(self) -> None:
        """See whether bytes can be given to the kernel directly."""
        super().connectionMade()
        transport = self.transport
        if isinstance(transport, Connection) and not getattr(transport, "TLS", False):
            self._plain = transport.getHandle()

    def dataReceived(self, data: bytes) -> None:
        """Answer at once, or go the long way."""
        if self._sending is not None:
            self._ahead += data
            if len(self._ahead) > _MOST_AHEAD:
                self.transport.pauseProducing()
            return
        if self.requests or self._buffer or not self.persistent:
            self._rest = b""
        else:
            known = self._known
            if known is not None and data.endswith(known.rest) and self._answered(data[: -len(known.rest)], known):
                self.resetTimeout()
                return
            self._rest = _rest_of(data)
        super().dataReceived(data)

    def caller(self, access: Access) -> Caller | None:
        """Who the request is from that has just come, if the same headers have been judged before."""
        known = self._known
        return known.caller if known is not None and known.rest == self._rest and known.access is access else None

    def judged(self, request: Request, caller: Caller, who: Who, access: Access) -> None:
        """Remember what the headers of a request that has just come mean, if they can come again."""
        rest, self._rest = self._rest, b""
        headers = request.requestHeaders
        connection = headers.getRawHeaders("connection", ["keep-alive"])
        kept = len(connection) == 1 and connection[0].lower() == "keep-alive"
        if rest and not who.status and kept and not any(map(headers.hasHeader, _DECISIVE)):
            mark = _MARK.match(request.uri)
            known = None if mark is None else mark[1] or b""
            self._known = _Known(rest, access, caller, viewer_of(request), known)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The viewer is gone."""
        if self._stop_sending is not None:
            self._stop_sending()
        super().connectionLost(reason)

    # The short way

    def _answered(self, asked: bytes, known: _Known) -> bool:
        match = _PATH.fullmatch(asked)
        if match is None or known.access is not self.site.access or self.transport.disconnecting:
            return False
        if (match[1] or b"") != known.mark:
            return False
        resource = self.site.resource.children.get(match[2])
        if not isinstance(resource, AnswerResource):
            return False
        # What is sent directly must not overtake what the transport still holds.
        free = self._plain is not None and not self._holds_some()
        answer = resource.at_once(match[3].decode("ascii"), known.viewer, free)
        if answer is None:
            return False
        self._respond(answer, free)
        return True

    def _respond(self, answer: AtOnce, free: bool) -> None:
        body = answer.body
        if isinstance(body, bytes):
            head = b"%b%bContent-Length: %d\r\n\r\n" % (beginning(), answer.head, len(body))
            self._write(head + body, free)
        else:
            head = b"%b%bContent-Length: %d\r\n\r\n" % (beginning(), answer.head, body.size)
            self._send(head, body)

    def _write(self, data: bytes, free: bool) -> None:
        if not free:
            self.transport.write(data)
            return
        try:
            sent = cast(socket.socket, self._plain).send(data)
        except OSError:
            # Whatever it is, the transport will find it too.
            sent = 0
        if sent < len(data):
            self.transport.write(data[sent:])

    def _holds_some(self) -> bool:
        """Whether the transport has still to send some of the answer before this one."""
        # There is no public way to ask. Without this attribute all goes by way of the transport.
        transport = self.transport
        return bool(getattr(transport, "_tempDataLen", 1) or getattr(transport, "dataBuffer", b"1"))

    def _send(self, head: bytes, body: Body) -> None:
        session, plain = body.session, cast(socket.socket, self._plain)
        if not self._limited:
            self._limited = True
            watch_over(self.transport)
        of_head = len(head)

        def took(count: int) -> None:
            nonlocal of_head
            if of_head:
                less = min(of_head, count)
                of_head -= less
                count -= less
            if count:
                if not session.bytes_sent:
                    session.first_byte()
                session.bytes_sent += count

        sending = Sending(plain, [head, *body.pieces], body.means, took)
        if sending.start():
            return
        over, timeout = body.begin(), self.setTimeout(None)
        self._sending = sending

        def stop() -> None:
            self._sending = self._stop_sending = None
            sending.stop()
            forget()
            over()

        def done(outcome: Outcome) -> None:
            stop()
            if outcome is Outcome.COMPLETED:
                self.setTimeout(timeout)
                self._next()
            elif outcome is Outcome.VIEWER_TOO_SLOW:
                self.forceAbortClient()
            else:
                self.loseConnection()

        def ended() -> None:
            # Not whole: the viewer sees that, and has some time for what is with the kernel.
            stop()
            self.loseConnection()
            self.setTimeout(_LINGER)

        forget = session.at_end(lambda _: ended())
        self._stop_sending = stop
        sending.go_on(done)

    def _next(self) -> None:
        """Go on with what has been asked meanwhile."""
        ahead, self._ahead = self._ahead, b""
        if len(ahead) > _MOST_AHEAD:
            self.transport.resumeProducing()
        if ahead:
            self.dataReceived(ahead)


def _rest_of(data: bytes) -> bytes:
    """What follows the path in a whole request without a body; nothing when it is something else, or too long."""
    at = data.find(b"\r\n") - len(_VERSION) + 2
    whole = data.startswith(b"GET /") and data.find(_END) == len(data) - len(_END) and at > 0
    return data[at:] if whole and len(data) - at <= _MOST_HEADERS and data.startswith(_VERSION, at) else b""
