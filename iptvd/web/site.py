"""The tree on the one port, and the one place where every request is judged before anything else sees it."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.python.failure import Failure
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

from iptvd.access import Access, Shown, Who
from iptvd.errors import IptvdError
from iptvd.log import Log
from iptvd.logins import Logins
from iptvd.trust import Caller, HostRefused, Trust
from iptvd.web.connection import SERVER, ViewerConnection
from iptvd.web.credentials import shown_by, take_mark
from iptvd.web.request import FAULT, AnswerResource, Refusal, refuse

#: Seconds an idle connection is kept; a viewer that is being served is not idle.
IDLE = 60


_log = Log()


class Refused(Resource):
    """A leaf that answers every method with one sentence."""

    isLeaf = True

    def __init__(self, error: IptvdError) -> None:
        super().__init__()
        self._error = error

    def render(self, request: Request) -> bytes:
        """The sentence."""
        return refuse(request, self._error)


class Root(Resource):
    """The top of the tree; what is not there is a plain 404."""

    def __init__(self, index: Resource) -> None:
        super().__init__()
        self.putChild(b"", index)

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Nothing has this name."""
        return nothing()


def nothing() -> Refused:
    """What is at an address where there is nothing."""
    return Refused(Refusal(404, "There is nothing at this address."))


class IptvdRequest(Request):
    """
    A request without its body.

    Nothing here takes a body, so one costs us neither memory nor disk, however long it is.
    """

    #: What has no type, such as a segment whose origin names none, is no web page.
    defaultContentType = None

    def gotLength(self, length: int | None) -> None:
        """Prepare for no body at all."""
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """Drop a part of the body."""

    def processingFailed(self, reason: Failure) -> Failure:
        """Answer a fault of ours with a sentence, and log it without what it was worked on."""
        _log.fault("a fault of ours", reason)
        self.write(refuse(self, Refusal(500, FAULT)))
        self.finish()
        return reason


class IptvdSite(Site):
    """
    Serves the tree.

    :param access: gives the rules as they are now.
    :param logins: knows who has logged in to the pages.
    :param clock: for the time-outs; without it the global reactor.
    """

    displayTracebacks = False
    noisy = False

    def __init__(
        self, root: IResource, access: Callable[[], Access], logins: Logins, clock: IReactorTime | None = None
    ) -> None:
        super().__init__(root, IptvdRequest, timeout=IDLE, reactor=clock)
        self._access = access
        self._logins = logins

    @property
    def access(self) -> Access:
        """The rules as they are now."""
        return self._access()

    def judge(self, request: Request, caller: Caller, shown: Shown) -> Who:
        """Have a request be from who it shows that it is from."""
        who = self.access.judge(caller, shown)
        request.who, request.caller = who, who.caller  # type: ignore[attr-defined]
        return who

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A viewer's connection; twisted.web's own would look which version of HTTP it is, and there is only one."""
        connection: Any = ViewerConnection()
        connection.factory = connection.site = self
        connection.requestFactory = self.requestFactory
        connection.timeOut = self.timeOut
        connection.callLater = self.reactor.callLater
        return connection

    def log(self, request: HTTPRequest) -> None:
        """Requests are not logged: sessions are, and addresses may hold tokens."""

    def acceptableProtocols(self) -> list[bytes]:
        """
        HTTP/1.1 alone, whatever is installed.

        Over HTTP/2 one viewer that stops reading holds up the others of its connection.
        """
        return [b"http/1.1"]

    def getResourceFor(self, request: Request) -> IResource:
        """Judge who asks, then find what is asked for."""
        request.setHeader("Server", SERVER)
        access, connection = self.access, request.channel
        caller = connection.caller(access) if isinstance(connection, ViewerConnection) else None
        if caller is None:
            try:
                caller = _judged(request, access.trust)
            except HostRefused as error:
                return Refused(Refusal(421, error.sentence))
        token = take_mark(request)
        who = self.judge(request, caller, shown_by(request, token, self._logins))
        if isinstance(connection, ViewerConnection):
            connection.judged(request, caller, who, access)
        resource: IResource = super().getResourceFor(request)
        # A mere folder is nothing in itself.
        return resource if isinstance(resource, (AnswerResource, Refused)) else nothing()


def _judged(request: Request, trust: Trust) -> Caller:
    """
    Who a request is from.

    :raises HostRefused: when it names a host that is not ours.
    """
    headers = request.requestHeaders
    peer, local = request.getClientAddress(), request.getHost()
    here = local if isinstance(local, (IPv4Address, IPv6Address)) else None
    return trust.judge(
        peer.host if isinstance(peer, (IPv4Address, IPv6Address)) else None,
        request.isSecure(),
        lambda name: [raw.decode("latin-1") for raw in headers.getRawHeaders(name.encode(), [])],
        here.port if here is not None else 0,
        here.host if here is not None else "",
    )
