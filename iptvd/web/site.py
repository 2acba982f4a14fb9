"""The tree on the one port, and the one place where every request is judged before anything else sees it."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

from iptvd import __version__
from iptvd.errors import IptvdError
from iptvd.trust import HostRefused, Trust
from iptvd.web.request import Refusal, refuse

#: Seconds an idle connection is kept; a viewer that is being served is not idle.
IDLE = 60


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
        return Refused(Refusal(404, "There is nothing at this address."))


class IptvdSite(Site):
    """
    Serves the tree.

    :param trust: gives the rules as they are now.
    """

    displayTracebacks = False
    noisy = False

    def __init__(self, root: IResource, trust: Callable[[], Trust]) -> None:
        super().__init__(root, timeout=IDLE)
        self._trust = trust

    def log(self, request: HTTPRequest) -> None:
        """Requests are not logged: sessions are, and addresses may hold tokens."""

    def getResourceFor(self, request: Request) -> IResource:
        """Judge who asks, then find what is asked for."""
        request.setHeader("Server", f"iptvd/{__version__}")
        peer, local = request.getClientAddress(), request.getHost()
        here = local if isinstance(local, (IPv4Address, IPv6Address)) else None
        try:
            request.caller = self._trust().judge(  # type: ignore[attr-defined]
                peer.host if isinstance(peer, (IPv4Address, IPv6Address)) else None,
                request.isSecure(),
                lambda name: [
                    raw.decode("latin-1") for raw in request.requestHeaders.getRawHeaders(name.encode(), [])
                ],
                here.port if here is not None else 0,
                here.host if here is not None else "",
            )
        except HostRefused as error:
            return Refused(Refusal(421, error.sentence))
        resource: IResource = super().getResourceFor(request)
        return resource
