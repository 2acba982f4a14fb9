"""The tree on the one port, and the one place where every request is judged before anything else sees it."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from io import BytesIO
from typing import Any, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.python.failure import Failure
from twisted.web.http import Request as HTTPRequest
from twisted.web.http import parse_qs
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

from iptvd.access import Access, Shown, Who
from iptvd.errors import IptvdError
from iptvd.log import Log
from iptvd.logins import Logins
from iptvd.trust import Caller, HostRefused, Trust
from iptvd.web.answering import AnswerResource
from iptvd.web.audit import audit_operation
from iptvd.web.bodies import MOST, MOST_OF_A_FORM, Room
from iptvd.web.connection import SERVER, ViewerConnection
from iptvd.web.credentials import shown_by, take_mark
from iptvd.web.edges import CountedRequest, Edges
from iptvd.web.pacing import SLOW, Closed
from iptvd.web.request import FAULT, Refusal, refuse
from iptvd.web.router import Router

#: Seconds an idle connection is kept; a viewer that is being served is not idle.
IDLE = 60
#: Methods whose bodies are kept.
_WITH_BODY = (b"POST", b"PUT", b"PATCH", b"DELETE")
_NAMES = {status.value: status.phrase.encode() for status in HTTPStatus}

_TOO_LONG = Refusal(413, f"A body has at most {MOST} bytes, a form {MOST_OF_A_FORM}.")
_TOO_MUCH = Refusal(503, "There are too many bodies at once.", (("Retry-After", "5"),))

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
    """
    The top of the tree; what is not there is a plain 404.

    :param router: has what the API can do; it is asked first.
    """

    def __init__(self, index: Resource, router: Router | None = None) -> None:
        super().__init__()
        self.router = router
        self.putChild(b"", index)

    def getChildWithDefault(self, path: bytes, request: Request) -> Resource:
        """What does it: an operation, or what is in the tree."""
        postpath = cast("list[bytes]", request.postpath)
        found = self.router.resource_for(request, [path, *postpath]) if self.router is not None else None
        if found is None:
            return cast(Resource, super().getChildWithDefault(path, request))
        # All of the path has been looked at.
        cast("list[bytes]", request.prepath).extend(postpath)
        postpath.clear()
        return found

    def is_for_programs(self, path: list[bytes]) -> bool:
        """Whether what goes wrong at an address is told as JSON."""
        if self.router is None:
            return False
        # What is not there is, where the tree has nothing at all of that name.
        return self.router.is_for_programs(path) or (path[0] not in self.children and self.router.begins(path[0]))

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Nothing has this name."""
        return nothing()


def nothing() -> Refused:
    """What is at an address where there is nothing."""
    return Refused(Refusal(404, "There is nothing at this address."))


class IptvdRequest(CountedRequest):
    """
    A request with its body, in memory; of one that is too long nothing is kept.

    :ivar for_programs: whether it is told as JSON what goes wrong.
    :ivar unkept: why its body is not kept, None when it is.
    """

    #: What has no type, such as a segment whose origin names none, is no web page.
    defaultContentType = None
    for_programs = False
    unkept: Refusal | None = None
    _kept = 0

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:
        """Set the status of the answer by the name that it has; twisted.web does not know 421, 422 and 429."""
        super().setResponseCode(code, message or _NAMES.get(code))

    def gotLength(self, length: int | None) -> None:
        """Prepare for a body."""
        self._room: Room = cast(Any, self.channel).site.room
        self.content = BytesIO()
        self.unkept = _TOO_LONG if (length or 0) > MOST else None

    def handleContentChunk(self, data: bytes) -> None:
        """Keep a part of the body, if there is room for it."""
        if self.unkept is not None:
            return
        if self._kept + len(data) > MOST:
            self._drop(_TOO_LONG)
        elif not self._room.take(len(data)):
            self._drop(_TOO_MUCH)
        else:
            if not self._kept:
                self.notifyFinish().addBoth(lambda _: self._give_back())
            self._kept += len(data)
            cast(BytesIO, self.content).write(data)

    def process(self) -> None:
        """Read a form, then answer."""
        if self.method not in _WITH_BODY:
            self._drop(None)
        kind = (self.getHeader("Content-Type") or "").partition(";")[0].strip().lower()
        if self.method == b"POST" and kind == "application/x-www-form-urlencoded":
            form = cast(BytesIO, self.content).getvalue()
            long = len(form) > MOST_OF_A_FORM
            self._drop(_TOO_LONG if long else self.unkept)
            if not long:
                cast("dict[bytes, list[bytes]]", self.args).update(parse_qs(form, True))
        super().process()

    def _drop(self, why: Refusal | None) -> None:
        self.content, self.unkept = BytesIO(), why
        self._give_back()

    def _give_back(self) -> None:
        self._room.take(-self._kept)
        self._kept = 0

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
    :param edges: counts who comes how often; without it nothing is.
    :ivar room: for the bodies of requests.
    """

    displayTracebacks = False
    noisy = False

    def __init__(
        self,
        root: IResource,
        access: Callable[[], Access],
        logins: Logins,
        clock: IReactorTime | None = None,
        edges: Edges | None = None,
    ) -> None:
        super().__init__(root, IptvdRequest, timeout=IDLE, reactor=clock, parsePOSTFormSubmission=False)
        self._access = access
        self._logins = logins
        self.edges = edges or Edges(self.reactor)
        self.room = Room()

    @property
    def access(self) -> Access:
        """The rules as they are now."""
        return self._access()

    def judge(self, request: Request, caller: Caller, shown: Shown) -> Who:
        """
        Have a request be from who it shows that it is from.

        :param caller: who it came from; where it has been judged before, that counts, without the token in its links.
        """
        first = vars(request).setdefault("came_from", caller)
        who = self.edges.judged(request, self.access.judge(first, shown), shown)
        request.who, request.caller = who, who.caller  # type: ignore[attr-defined]
        return who

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A viewer's connection; twisted.web's own would look which version of HTTP it is, and there is only one."""
        place = self.edges.enter(addr)
        if place is None:
            return Closed()
        connection: Any = ViewerConnection()
        connection.place = place
        connection.factory = connection.site = self
        connection.requestFactory = self.requestFactory
        connection.timeOut = SLOW
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
        token = take_mark(request)
        if isinstance(self.resource, Root) and self.resource.is_for_programs(request.postpath or [b""]):
            request.for_programs = True  # type: ignore[attr-defined]
        access, connection = self.access, request.channel
        caller = connection.caller(access) if isinstance(connection, ViewerConnection) else None
        if caller is None:
            try:
                caller = _judged(request, access.trust)
            except HostRefused as error:
                return Refused(Refusal(421, error.sentence))
        who = self.judge(request, caller, shown_by(request, token, self._logins))
        if isinstance(connection, ViewerConnection):
            connection.judged(request, caller, who, access)
        refusal = self.edges.too_often(request.postpath or (), who)
        if refusal is not None:
            return Refused(refusal)
        unkept = getattr(request, "unkept", None)
        if unkept is not None:
            return Refused(unkept)
        resource: IResource = super().getResourceFor(request)
        audit_operation(request, resource)
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
        relayed=getattr(request.channel, "relayed", None) is not None,
    )
