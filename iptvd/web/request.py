"""What every resource does with a request: who sent it, a coroutine for the answer, and a sentence for each error."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Coroutine
from typing import Any, cast

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from iptvd.delivery.session import Viewer
from iptvd.errors import IptvdError, LimitError, TokenError, UpstreamError
from iptvd.log import Log
from iptvd.protocols.ranges import if_none_match
from iptvd.trust import Caller

#: A body is compressed from this size on.
_WORTH_GZIP = 1024


@frozen
class Refusal(IptvdError):  # noqa: N818 - an answer
    """An answer that is an error: the sentence and its HTTP status."""

    status: int
    text: str
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """The sentence."""
        return self.text


def header(request: Request, name: str) -> str | None:
    """The value of a request header, None when there is none."""
    return request.getHeader(name)


def argument(request: Request, name: str) -> str:
    """The value of a query argument, empty when there is none."""
    values = (request.args or {}).get(name.encode(), [])
    return values[-1].decode("utf-8", "replace") if values else ""


def caller_of(request: Request) -> Caller:
    """Who the request is from, as judged when it came in."""
    return cast(Caller, request.caller)  # type: ignore[attr-defined]


def viewer_of(request: Request) -> Viewer:
    """The request's sender as the viewer of a session."""
    agent = header(request, "User-Agent") or ""
    return Viewer(caller_of(request).address, agent[:200])


def require_trust(request: Request) -> None:
    """
    Let only those pass who may watch without an account.

    :raises Refusal: with the setting that decides it.
    """
    caller = caller_of(request)
    if caller.trusted:
        return
    if caller.via_untrusted_proxy:
        raise Refusal(403, "This request came through a proxy that is not among trusted_proxies.")
    raise Refusal(403, "This address is not in trusted_networks.")


def allow_any_origin(request: Request) -> None:
    """Let players in web pages of other origins read the answer."""
    request.setHeader("Access-Control-Allow-Origin", "*")
    request.setHeader("Access-Control-Expose-Headers", "Content-Length, Content-Range, Accept-Ranges, ETag")


def send(
    request: Request,
    body: bytes,
    content_type: str,
    *,
    etag: str = "",
    compressed: bytes | None = None,
    compress: bool = True,
) -> bytes:
    """
    What a render method returns for a whole body: HEAD, ``If-None-Match`` and gzip are taken care of.

    :param compressed: the body in gzip, where that is at hand.
    """
    request.setHeader("Content-Type", content_type)
    request.setHeader("X-Content-Type-Options", "nosniff")
    if etag:
        request.setHeader("ETag", etag)
        if if_none_match(header(request, "If-None-Match"), etag):
            request.setResponseCode(304)
            return b""
    if compress and len(body) >= _WORTH_GZIP:
        request.setHeader("Vary", "Accept-Encoding")
        accepted = (header(request, "Accept-Encoding") or "").lower()
        if "gzip" in accepted and "gzip;q=0" not in accepted.replace(" ", ""):
            body = compressed if compressed is not None else gzip.compress(body, 5, mtime=0)
            request.setHeader("Content-Encoding", "gzip")
    request.setHeader("Content-Length", str(len(body)))
    return b"" if request.method == b"HEAD" else body


def refuse(request: Request, error: IptvdError) -> bytes:
    """Answer with an error's sentence, and nothing else that we know."""
    status = 500
    if isinstance(error, Refusal):
        status = error.status
        for name, value in error.headers:
            request.setHeader(name, value)
    elif isinstance(error, UpstreamError):
        status = error.status
        if status == 503:
            request.setHeader("Retry-After", "5")
    elif isinstance(error, LimitError):
        status = 503
        request.setHeader("Retry-After", str(error.retry_after))
    elif isinstance(error, TokenError):
        status = 403
    sentence = error.sentence
    body = (sentence[:1].upper() + sentence[1:]).rstrip(".").encode("utf-8", "replace") + b".\n"
    request.setResponseCode(status)
    request.setHeader("Content-Type", "text/plain; charset=utf-8")
    request.setHeader("X-Content-Type-Options", "nosniff")
    request.setHeader("Cache-Control", "no-store")
    request.setHeader("Content-Length", str(len(body)))
    return b"" if request.method == b"HEAD" else body


class AnswerResource(Resource):
    """
    A leaf that is answered by a coroutine, for GET and HEAD.

    The coroutine gives the body, or None when it has taken the request over (a relay). When the viewer leaves before
    that, it is cancelled.
    """

    isLeaf = True
    log = Log()
    #: Whether pages of other origins may read it.
    open_to_pages = False
    #: Whether only those may who may watch.
    guarded = True

    async def answer(self, request: Request) -> bytes | None:
        """The answer's body."""
        raise NotImplementedError

    def render_GET(self, request: Request) -> int:
        """Begin the answer."""
        if self.open_to_pages:
            allow_any_origin(request)
        begin(request, self._guarded_answer, self.log)
        return NOT_DONE_YET

    render_HEAD = render_GET

    def render_OPTIONS(self, request: Request) -> bytes:
        """Answer a page that asks first (CORS preflight)."""
        if self.open_to_pages:
            allow_any_origin(request)
            request.setHeader("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
            request.setHeader("Access-Control-Allow-Headers", "Range, If-Range, If-None-Match")
            request.setHeader("Access-Control-Max-Age", "86400")
        request.setHeader("Allow", "GET, HEAD, OPTIONS")
        request.setResponseCode(204)
        return b""

    async def _guarded_answer(self, request: Request) -> bytes | None:
        if self.guarded:
            require_trust(request)
        return await self.answer(request)


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
        if isinstance(failure.value, IptvdError):
            body = refuse(request, failure.value)
        else:
            log.fault("a fault of ours", failure)
            body = refuse(request, Refusal(500, "Something went wrong here; the log has the details."))
        request.write(body)
        request.finish()

    request.notifyFinish().addErrback(left)
    work.addCallbacks(done, failed)
    work.addErrback(lambda failure: log.fault("an answer could not be given", failure))
