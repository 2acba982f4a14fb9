"""What every resource does with a request: a coroutine gives the answer, and each error becomes a sentence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from iptvd.delivery.isolated import Means
from iptvd.delivery.session import Session, Viewer
from iptvd.errors import IptvdError
from iptvd.log import Log
from iptvd.web.request import (
    FAULT,
    FOR_VIEWERS,
    Refusal,
    allow_any_origin,
    manages,
    refuse,
    require_manager,
    require_viewer,
)

_METHODS = "GET, HEAD, OPTIONS"


@frozen
class Body:
    """
    A body that is in memory, for a session.

    :ivar begin: to be called when sending it takes longer; what it gives is to be called when that is over.
    """

    size: int
    pieces: Sequence[bytes | memoryview]
    session: Session
    means: Means
    begin: Callable[[], Callable[[], None]]


@frozen
class AtOnce:
    """
    An answer that is at hand, with status 200.

    :ivar head: header lines, each with its end, without a length and without those that all answers have.
    """

    head: bytes
    body: bytes | Body


class Nothing(Resource):
    """What is not there, however long its path is: `iptvd.web.site.IptvdSite` answers in its place."""

    isLeaf = True


class AnswerResource(Resource, ABC):
    """
    A leaf that is answered by a coroutine, for GET and HEAD.

    The coroutine gives the body, or None when it has taken the request over (a relay). When the viewer leaves before
    that, it is cancelled.
    """

    isLeaf = True
    log = Log()
    #: Whether pages of other origins may read it.
    open_to_pages = False
    #: Whether only those may who may watch (or manage, ``for_managers``), or even only those who may manage.
    guarded = True
    for_managers = False
    managed = False

    @abstractmethod
    async def answer(self, request: Request) -> bytes | None:
        """The answer's body."""

    def at_once(self, name: str, viewer: Viewer, plain: bool) -> AtOnce | None:
        """
        What a GET without a query is answered, by a caller who may watch. See `iptvd.web.connection`.

        :param name: the path after the resource's own: letters, digits, ``_``, ``.``, ``-`` and ``/``.
        :param plain: whether a `Body` can be sent; else only bytes can.
        :return: None when that is not at hand; nothing has happened then.
        """
        return None

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Nothing is below it."""
        return Nothing()

    def render(self, request: Request) -> Any:
        """Answer the methods that there are."""
        if request.method.decode("latin-1") not in _METHODS.split(", "):
            return refuse(request, Refusal(405, "Only GET and HEAD work here.", (("Allow", _METHODS),)))
        return super().render(request)

    def render_GET(self, request: Request) -> int:
        """Begin the answer."""
        if self.open_to_pages:
            allow_any_origin(request)
        begin(request, self.guarded_answer, self.log)
        return NOT_DONE_YET

    render_HEAD = render_GET

    def render_OPTIONS(self, request: Request) -> int:
        """Answer a page that asks first."""
        return options(request, _METHODS, self.open_to_pages)

    async def guarded_answer(self, request: Request) -> bytes | None:
        """
        The answer's body, for those who may have it.

        :raises Refusal: for others.
        """
        if self.managed:
            require_manager(request)
        elif self.guarded and not (self.for_managers and manages(request)):
            require_viewer(request)
        return await self.answer(request)


def options(request: Request, allowed: str, open_to_pages: bool) -> int:
    """Answer a page that asks first (CORS preflight), and whoever wants to know the methods."""
    if open_to_pages:
        allow_any_origin(request)
        request.setHeader("Access-Control-Allow-Methods", _METHODS)
        request.setHeader("Access-Control-Allow-Headers", "Range, If-Range, If-None-Match")
        request.setHeader("Access-Control-Max-Age", "86400")
    request.setHeader("Allow", allowed)
    request.setResponseCode(204)
    # Finished here, because what is returned would get a length, which a 204 must not have (RFC 9110 8.6).
    request.finish()
    return NOT_DONE_YET


def begin(
    request: Request, answer: Callable[[Request], Coroutine[Deferred[Any], Any, bytes | None]], log: Log
) -> None:
    """Answer a request by a coroutine; its errors become sentences, and it is cancelled when the viewer leaves."""
    work: Deferred[bytes | None] = Deferred.fromCoroutine(answer(request))
    gone = False

    def left(failure: Failure) -> None:
        nonlocal gone
        gone = True
        work.cancel()

    def done(body: bytes | None) -> None:
        if body is not None and not gone:
            request.write(body)
            request.finish()

    def failed(failure: Failure) -> None:
        if gone:
            failure.trap(CancelledError, IptvdError)
            return
        error = failure.value
        if isinstance(error, CancelledError):
            # Nobody else gives work up that somebody waits for.
            error = Refusal(503, "iptvd is stopping", (("Retry-After", "5"),))
        if not isinstance(error, FOR_VIEWERS):
            log.fault("a fault of ours", failure)
            error = Refusal(500, FAULT)
        if request.startedWriting:
            # No sentence in the middle of a film: the viewer sees that it is cut short.
            request.loseConnection()
            return
        request.write(refuse(request, error))
        request.finish()

    request.notifyFinish().addErrback(left)
    work.addCallbacks(done, failed)
    work.addErrback(lambda failure: log.fault("an answer could not be given", failure))
