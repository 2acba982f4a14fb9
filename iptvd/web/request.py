"""What every resource does with a request: who sent it, a coroutine for the answer, a sentence for each error."""

from __future__ import annotations

import gzip
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from iptvd.access import Who
from iptvd.delivery.isolated import Means
from iptvd.delivery.session import Session, Viewer
from iptvd.errors import IptvdError, LimitError, ProtocolError, ProviderError, TokenError, UpstreamError
from iptvd.log import Log
from iptvd.protocols.ranges import if_none_match
from iptvd.public import without_urls
from iptvd.rules import printable
from iptvd.trust import Caller
from iptvd.web.problems import CONTENT_TYPE, problem

#: What a viewer is told when the fault is ours.
FAULT = "Something went wrong here; the log has the details."

#: A body is compressed from this size on.
_WORTH_GZIP = 1024
_METHODS = "GET, HEAD, OPTIONS"
#: Characters of what a program calls who it asks for.
_MOST_NAME = 100
_SAFE = (b"GET", b"HEAD", b"OPTIONS")
#: What goes with a refusal of that status.
_ASKS: Mapping[int, tuple[tuple[str, str], ...]] = {
    401: (("WWW-Authenticate", 'Basic realm="iptvd", charset="UTF-8"'),),
    503: (("Retry-After", "5"),),
}
_CODING = re.compile(r"(?:x-)?gzip|\*", re.IGNORECASE)
_WEIGHT = re.compile(r"q=(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)


@frozen
class Refusal(IptvdError):  # noqa: N818 - an answer
    """
    An answer that is an error: the sentence and its HTTP status.

    :ivar errors: the fields that are wrong, each with a sentence.
    """

    status: int
    text: str
    headers: tuple[tuple[str, str], ...] = ()
    errors: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """The sentence."""
        return self.text


#: What is wrong with settings and files is for the operator.
_FOR_VIEWERS = (Refusal, UpstreamError, LimitError, TokenError, ProviderError, ProtocolError)


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


def came_from(request: Request) -> Caller:
    """Who the request is from, with nobody's token in its links."""
    return cast(Caller, request.came_from)  # type: ignore[attr-defined]


def who_of(request: Request) -> Who:
    """Who the request is from, and what it may do, as judged when it came in."""
    return cast(Who, request.who)  # type: ignore[attr-defined]


def viewer_of(request: Request) -> Viewer:
    """The request's sender as the viewer of a session."""
    agent, user = header(request, "User-Agent") or "", who_of(request).user
    called = header(request, "X-Username") or argument(request, "username")
    name = user.name if user is not None else ""
    return Viewer(caller_of(request).address, agent[:200], name, printable(called[:_MOST_NAME]))


def require_viewer(request: Request) -> None:
    """
    Let only those pass who may watch.

    :raises Refusal: with why they may not.
    """
    who = who_of(request)
    if who.status == 401:
        _ask_to_log_in(request)
    if who.status:
        raise Refusal(who.status, who.sentence, _ASKS.get(who.status, ()))
    require_our_pages(request)


def require_manager(request: Request) -> None:
    """
    Let only those pass who may manage.

    :raises Refusal: with why they may not.
    """
    who = who_of(request)
    if not who.manager:
        if who.shows or who.user is not None:
            raise Refusal(403, "This token is not the one to manage with (api_token).")
        _ask_to_log_in(request)
        raise Refusal(401, "Managing needs the API token (api_token), or an address in manage_networks.", _ASKS[401])
    require_our_pages(request)


def require_our_pages(request: Request) -> None:
    """
    Let nothing be changed by a page of another site, whose requests look like the ones of whoever is looking at it.

    :raises Refusal: when it would be.
    """
    if who_of(request).ambient and request.method not in _SAFE and not from_our_pages(request):
        raise Refusal(403, "This request comes from a page of another site.")


def _ask_to_log_in(request: Request) -> None:
    """
    Send somebody who looks at a page, and shows nothing of who they are, to where they can log in.

    :raises Refusal: that does so.
    """
    looks = request.method in (b"GET", b"HEAD") and "text/html" in (header(request, "Accept") or "")
    if looks and not who_of(request).shows:
        place = f"{caller_of(request).base_url}/login?{urlencode({'next': request.uri.decode('latin-1')})}"
        raise Refusal(303, "Log in first.", (("Location", place), ("Vary", "Accept")))


def from_our_pages(request: Request) -> bool:
    """Whether a request comes from a page of ours, or from what is no browser."""
    # The browser itself says it where it can: over HTTPS (W3C Fetch Metadata, section 2.4).
    site = header(request, "Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = header(request, "Origin")
    if origin is None:
        return True
    own = urlsplit(caller_of(request).base_url)
    return origin == f"{own.scheme}://{own.netloc}"


#: What lets players in web pages of other origins read an answer.
FOR_PAGES = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Expose-Headers", "Content-Length, Content-Range, Accept-Ranges, ETag"),
)


def allow_any_origin(request: Request) -> None:
    """Let players in web pages of other origins read the answer."""
    for name, value in FOR_PAGES:
        request.setHeader(name, value)


def accepts_gzip(request: Request) -> bool:
    """Whether the answer may be in gzip (RFC 9110 section 12.5.3)."""
    weights: dict[str, float] = {}
    for item in (header(request, "Accept-Encoding") or "").split(","):
        coding, _, weight = (part.strip(" \t") for part in item.partition(";"))
        if _CODING.fullmatch(coding) and (not weight or _WEIGHT.fullmatch(weight)):
            weights["*" if coding == "*" else "gzip"] = float(weight[2:] or 1) if weight else 1.0
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def is_current(request: Request, etag: str) -> bool:
    """Whether the viewer has what this entity tag stands for already."""
    return if_none_match(header(request, "If-None-Match"), etag)


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
    two_forms = compress and len(body) >= _WORTH_GZIP
    if two_forms:
        request.setHeader("Vary", "Accept-Encoding")
    if etag:
        # A strong tag stands for the same bytes (RFC 9110 section 8.8.3.3).
        request.setHeader("ETag", f"W/{etag}" if two_forms else etag)
        if is_current(request, etag):
            request.setResponseCode(304)
            return b""
    if two_forms and accepts_gzip(request):
        body = compressed if compressed is not None else gzip.compress(body, 5, mtime=0)
        request.setHeader("Content-Encoding", "gzip")
    request.setHeader("Content-Length", str(len(body)))
    return b"" if request.method == b"HEAD" else body


def refuse(request: Request, error: IptvdError) -> bytes:
    """Answer with an error's sentence, and nothing else that we know."""
    status, sentence = 500, without_urls(error.sentence) if isinstance(error, _FOR_VIEWERS) else FAULT
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
    elif isinstance(error, (ProviderError, ProtocolError)):
        status = 502
    fields = error.errors if isinstance(error, Refusal) else ()
    # A field begins with the letter that it begins with.
    told = (sentence if fields else sentence[:1].upper() + sentence[1:]).rstrip(".") + "."
    if getattr(request, "for_programs", False):
        body, kind = problem(status, told, fields), CONTENT_TYPE
    else:
        body, kind = told.encode("utf-8", "replace") + b"\n", "text/plain; charset=utf-8"
    request.setResponseCode(status)
    request.setHeader("Content-Type", kind)
    request.setHeader("X-Content-Type-Options", "nosniff")
    request.setHeader("Cache-Control", "no-store")
    request.setHeader("Content-Length", str(len(body)))
    return b"" if request.method == b"HEAD" else body


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
    #: Whether only those may who may watch, or even only those who may manage.
    guarded = True
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
        """Nothing is below it: see `iptvd.web.site.IptvdSite`."""
        return Resource()

    def render(self, request: Request) -> Any:
        """Answer the methods that there are."""
        if request.method.decode("latin-1") not in _METHODS.split(", "):
            return refuse(request, Refusal(405, "Only GET and HEAD work here.", (("Allow", _METHODS),)))
        return super().render(request)

    def render_GET(self, request: Request) -> int:
        """Begin the answer."""
        if self.open_to_pages:
            allow_any_origin(request)
        begin(request, self._guarded_answer, self.log)
        return NOT_DONE_YET

    render_HEAD = render_GET

    def render_OPTIONS(self, request: Request) -> int:
        """Answer a page that asks first."""
        return options(request, _METHODS, self.open_to_pages)

    async def _guarded_answer(self, request: Request) -> bytes | None:
        if self.managed:
            require_manager(request)
        elif self.guarded:
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
        if not isinstance(error, _FOR_VIEWERS):
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
