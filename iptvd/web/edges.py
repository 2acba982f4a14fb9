"""
What stands between the daemon and whoever may reach its port: how often, how many, how slowly, and what is logged.

None of this is met by players: media, logos, searches and what Xtream players ask for are not counted. What costs us
more than it costs to ask for it, and what could be guessed, is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from sys import intern
from typing import Any, Protocol

from attrs import evolve, frozen
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.python.failure import Failure
from twisted.web.server import Request

from iptvd.access import Shown, Who
from iptvd.accounts import fingerprint
from iptvd.forwarded import parse_address
from iptvd.limits import LONGEST, Attempt, Attempts, Places, Rates, neighbourhood
from iptvd.trust import Caller, Network
from iptvd.web.request import Refusal, refuse

#: The first parts of paths that are counted: playlists, guides, the API.
_COUNTED = frozenset(
    (
        *(b"playlist.m3u8", b"playlist.m3u", b"get_playlist.php", b"get.php", b"panel_api.php"),
        *(b"epg.xml", b"epg.xml.gz", b"xmltv.php", b"metrics"),
        *(b"api", b"streams", b"clients", b"stats", b"webhooks"),
    )
)
#: Of the API, what pages ask for as somebody types, and what they keep open.
_NOT_COUNTED = (b"search", b"live")
#: What a page may do that has not said more: nobody may show it within a page of theirs.
_POLICY = "frame-ancestors 'none'; base-uri 'none'; object-src 'none'"
_TOO_OFTEN = "There were too many requests from here: try again later."
_TOO_MANY = "There were too many wrong tokens from here: try again later."
_TOO_MANY_REQUESTS = 429


class Limits(Protocol):
    """The settings that matter here: see `iptvd.settings.Config`."""

    @property
    def request_rate(self) -> int:
        """Requests a minute of an address without a token that is right."""

    @property
    def token_rate(self) -> int:
        """Requests a minute with one token, or of one address that needs none."""

    @property
    def connections_per_address(self) -> int:
        """Connections at once."""

    @property
    def trusted_proxies(self) -> Sequence[Network]:
        """Where many clients come from."""


@frozen
class Unlimited:
    """Settings without limits."""

    request_rate: int = 0
    token_rate: int = 0
    connections_per_address: int = 0
    trusted_proxies: Sequence[Network] = ()


class Edges:
    """
    Counts for the whole daemon.

    :ivar limits: the settings as they are now.
    """

    def __init__(self, clock: IReactorTime, limits: Limits | None = None) -> None:
        self.clock = clock
        self.limits: Limits = limits or Unlimited()
        self.attempts = Attempts(clock.seconds)
        self._rates = Rates(clock.seconds)
        self._places = Places()

    # Connections

    def enter(self, address: IAddress | None) -> str | None:
        """
        Count one more connection.

        :return: what its end is to be told with, empty for one that is not counted; None when there are too many.
        """
        host = getattr(address, "host", "")
        most = self.limits.connections_per_address
        if not host or not most or self._is_proxy(host):
            return ""
        # One text for all connections of an address: there may be thousands.
        key = intern(neighbourhood(host))
        return key if self._places.enter(key, most) else None

    def leave(self, key: str) -> None:
        """A connection has ended."""
        if key:
            self._places.leave(key)

    def _is_proxy(self, host: str) -> bool:
        proxies = self.limits.trusted_proxies
        if not proxies:
            return False
        address = parse_address(host)
        return any(address in network for network in proxies)

    # Requests

    def too_often(self, path: Sequence[bytes], who: Who) -> Refusal | None:
        """
        The refusal of a request that is one too many.

        :param path: its parts, without a token's.
        """
        if not path or path[0] not in _COUNTED:
            return None
        if path[0] == b"api" and path[1:2] and path[1] in _NOT_COUNTED:
            return None
        if who.user is not None:
            wait = self._rates.take(f"user {who.user.name}", self.limits.token_rate)
        elif who.manager and not who.ambient:
            wait = self._rates.take("manager", self.limits.token_rate)
        elif who.manager or not who.status:
            wait = self._rates.take(neighbourhood(who.caller.address), self.limits.token_rate)
        else:
            wait = self._rates.take(f"stranger {neighbourhood(who.caller.address)}", self.limits.request_rate)
        return Refusal(_TOO_MANY_REQUESTS, _TOO_OFTEN, retry_after(wait)) if wait else None

    def judged(self, request: Request, who: Who, shown: Shown) -> Who:
        """
        Who a request is from that shows what it shows.

        Somebody else, who may do nothing, when too much that is wrong has been shown from there.
        """
        if not who.shows:
            return who
        address = neighbourhood(who.caller.address)
        by_token = who.manager and not who.ambient
        if isinstance(request, CountedRequest):
            # The token of a user makes no other one right.
            request.is_wrong = not by_token and (who.user is None or len(set(shown.tokens)) > 1)
            request.shown = fingerprint("\n".join((shown.name, *shown.tokens))).hex()
        if by_token or who.user is not None:
            name = "" if by_token or who.user is None else who.user.name
            let_in = self.attempts.admit(address, name)
        else:
            let_in = not who.status or not isinstance(request, CountedRequest) or request.begin_attempt()
        if let_in:
            return who
        if isinstance(request, CountedRequest):
            # However it is refused, it must not be seen whether it was right.
            request.is_wrong = True
        return evolve(who, user=None, manager=False, ambient=True, status=_TOO_MANY_REQUESTS, sentence=_TOO_MANY)


class CountedRequest(Request):
    """
    A request whose answer takes longer and longer where it shows one wrong token after the other.

    Its answer then waits here, which is one sentence long.

    :ivar is_wrong: whether a refusal is on account of what it shows.
    :ivar shown: what stands for that.
    :ivar failed: whether the answer is a refusal, whatever its status says.
    """

    is_wrong = failed = False
    shown = ""
    _attempt: Attempt | None = None
    _waiting: list[bytes] | None = None
    _whole = _looked = _refused = False

    def begin_attempt(self, *, guess: bool = False) -> bool:
        """
        Whether something may be tried by this request, such as a password.

        When it turns out to be wrong, that is seen from the status of the answer: 401 or 403.

        :param guess: whether it is one, even when the same was wrong before.
        """
        if guess:
            self._end_attempt()
            self.shown = ""
        if self._attempt is None:
            caller: Caller = vars(self).get("came_from") or self.caller  # type: ignore[attr-defined]
            self._attempt = self._edges.attempts.begin(neighbourhood(caller.address), self.shown)
        return self._attempt is not None

    @property
    def _edges(self) -> Edges:
        site: Any = self.site
        edges: Edges = site.edges
        return edges

    def write(self, data: bytes) -> None:
        """Answer; what refuses a wrong token waits."""
        if self._waiting is not None:
            self._waiting.append(data)
            return
        if self._refused:
            return
        if not self._looked:
            self._looked = True
            wrong = self.failed or ((self.is_wrong or self._attempt is not None) and self.code in (401, 403))
            if wrong and self.channel is not None:
                if self.begin_attempt():
                    self._wait(data)
                    return
                # Of what would have been said nothing is: it would tell that this one was wrong.
                data, self._refused = refuse(self, Refusal(_TOO_MANY_REQUESTS, _TOO_MANY)), True
            protect(self)
        super().write(data)

    def finish(self) -> None:
        """End the answer, when it has been given."""
        if self._waiting is not None:
            self._whole = True
            return
        self._end_attempt()
        super().finish()

    def connectionLost(self, reason: Failure) -> None:
        """Whoever asks has gone: what was tried counts as wrong, or leaving early would make guessing quick."""
        attempt = self._attempt
        if attempt is not None and self._waiting is None:
            self._attempt = None
            attempts = self._edges.attempts
            self._edges.clock.callLater(attempts.failed(attempt), attempts.end, attempt)
        super().connectionLost(reason)

    def _wait(self, data: bytes) -> None:
        self._waiting = [data]
        if self._attempt is not None:
            self._edges.clock.callLater(self._edges.attempts.failed(self._attempt), self._has_waited)

    def _has_waited(self) -> None:
        waiting, self._waiting = self._waiting, None
        self._end_attempt()
        if self._disconnected:
            return
        protect(self)
        for data in waiting or ():
            super().write(data)
        if self._whole:
            super().finish()

    def _end_attempt(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            self._edges.attempts.end(attempt)


def begin_attempt(request: Request) -> None:
    """
    Have something be tried by a request, such as a password; the status of its answer tells how that went.

    :raises Refusal: when too much that is wrong has been tried from there.
    """
    if isinstance(request, CountedRequest) and not request.begin_attempt(guess=True):
        raise Refusal(_TOO_MANY_REQUESTS, _TOO_MANY, retry_after(LONGEST))


def attempt_failed(request: Request) -> None:
    """Have the answer to a request wait, as others do to what is wrong, though its status will be that of success."""
    if isinstance(request, CountedRequest):
        request.failed = True


def retry_after(seconds: float) -> tuple[tuple[str, str], ...]:
    """The header that tells when asking again makes sense."""
    return (("Retry-After", str(max(1, math.ceil(seconds)))),)


def protect(request: Request) -> None:
    """Add what keeps an answer that is a page, or JSON, from being shown, kept or told of where it should not."""
    headers = request.responseHeaders
    if request.code == _TOO_MANY_REQUESTS and not headers.hasHeader("Retry-After"):
        headers.setRawHeaders("Retry-After", [f"{LONGEST:.0f}"])
    (kind, *_) = headers.getRawHeaders("Content-Type", [""])
    kind = kind.partition(";")[0].strip().lower()
    is_page = kind == "text/html"
    if not is_page and not kind.endswith("json"):
        return
    # Addresses hold tokens: no other site is to be told from which one somebody comes.
    for name, value in (("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer")):
        if not headers.hasHeader(name):
            headers.setRawHeaders(name, [value])
    if is_page:
        headers.setRawHeaders("X-Frame-Options", ["DENY"])
        if not headers.hasHeader("Content-Security-Policy"):
            headers.setRawHeaders("Content-Security-Policy", [_POLICY])
    if not headers.hasHeader("Cache-Control") and not headers.hasHeader("ETag"):
        headers.setRawHeaders("Cache-Control", ["no-store"])
