"""Requests: what one says, who sent it and whether they may; and bodies and refusals that it is answered with."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlencode, urlsplit

from attrs import frozen
from twisted.web.server import Request

from iptvd.access import Who
from iptvd.delivery.session import Viewer
from iptvd.errors import IptvdError, LimitError, ProtocolError, ProviderError, TokenError, UpstreamError
from iptvd.protocols.ranges import if_none_match
from iptvd.public import without_urls
from iptvd.rules import printable
from iptvd.trust import Caller
from iptvd.web.problems import CONTENT_TYPE, problem

#: What a viewer is told when the fault is ours.
FAULT = "Something went wrong here; the log has the details."

#: A body is compressed from this size on.
_WORTH_GZIP = 1024
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


#: What viewers are told. What is wrong with settings and files is for the operator.
FOR_VIEWERS = (Refusal, UpstreamError, LimitError, TokenError, ProviderError, ProtocolError)


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


def manages(request: Request) -> bool:
    """Whether it is whoever manages that is told, and no page of another site that they look at."""
    who = who_of(request)
    return who.manager and (not who.ambient or from_our_pages(request))


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
    own = urlsplit(caller_of(request).base_url)
    return header(request, "Origin") in (None, f"{own.scheme}://{own.netloc}")


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
    status, sentence = 500, without_urls(error.sentence) if isinstance(error, FOR_VIEWERS) else FAULT
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
    # It is not what may have been described already.
    for name in ("Content-Encoding", "ETag"):
        request.responseHeaders.removeHeader(name)
    request.setHeader("Content-Type", kind)
    request.setHeader("X-Content-Type-Options", "nosniff")
    request.setHeader("Cache-Control", "no-store")
    request.setHeader("Content-Length", str(len(body)))
    return b"" if request.method == b"HEAD" else body
