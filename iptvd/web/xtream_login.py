"""Who asks in the Xtream way, by a user's name and app token in query or path, and what a login is told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from twisted.web.server import Request

from iptvd.access import MARK, Shown, Who
from iptvd.accounts import Accounts, User
from iptvd.delivery.hub import Hub
from iptvd.web.edges import attempt_failed
from iptvd.web.request import argument, caller_of, who_of

if TYPE_CHECKING:
    from iptvd.web.site import IptvdSite

#: Streams at once that are told where there is no limit.
UNLIMITED = 10_000
#: When an account expires that never does, and the last time that any does: clients hold it in 32 bits.
NEVER = 2**31 - 1
#: What somebody is called who has not said it.
NOBODY = "iptvd"

_DEFAULT_PORTS = {"http": "80", "https": "443"}


def judge_login(request: Request, name: str, token: str) -> Who:
    """Have a request be from the user whose name and token its path has, whatever else it shows."""
    site = cast("IptvdSite", request.site)
    return site.judge(request, caller_of(request), Shown((token,), name))


def wait_for_wrong(request: Request) -> None:
    """
    Have the answer to a wrong login take as long as others do to what is wrong, so that nobody can try many.

    With others that is seen from their status (`iptvd.web.edges.CountedRequest`); this one's is that of success.
    """
    if who_of(request).shows:
        attempt_failed(request)


def plain_url(who: Who) -> str:
    """The base of links to us, without anybody's token."""
    base_url = who.caller.base_url
    return base_url.removesuffix(f"/{MARK}{who.user.token}") if who.user is not None else base_url


def barred_user(request: Request, accounts: Accounts) -> User | None:
    """Who a request is from that may not watch, if the login is right all the same."""
    user = accounts.of_token(argument(request, "password"))
    return user if user is not None and user.name == argument(request, "username") else None


def user_info(request: Request, user: User | None, hub: Hub, now: float) -> dict[str, Any]:
    """
    What is told of an account.

    Where there are no users, any name and password are an account: clients cannot do without.

    :param user: None for such a one.
    :param now: seconds since the epoch.
    """
    limit = hub.max_streams
    if user is not None and user.max_connections:
        limit = min(user.max_connections, limit or user.max_connections)
    expires = NEVER if user is None or user.expires is None else min(int(user.expires), NEVER)
    return {
        "username": user.name if user is not None else argument(request, "username") or NOBODY,
        "password": user.token if user is not None else argument(request, "password") or NOBODY,
        "message": user.barred(now) if user is not None else "",
        "auth": 1,
        "status": _status(user, now),
        "exp_date": str(expires),
        "is_trial": "0",
        "active_cons": str(len(hub.of_user(user.name) if user is not None else hub.sessions)),
        "created_at": str(int(user.created) if user is not None else 0),
        "max_connections": str(limit or UNLIMITED),
        "allowed_output_formats": ["ts", "m3u8"],
    }


def server_info(base_url: str, now: float) -> dict[str, Any]:
    """
    What is told of the server.

    :param base_url: by which it was asked, without a token.
    :param now: seconds since the epoch.
    """
    parts = urlsplit(base_url)
    host, scheme = parts.hostname or "", parts.scheme
    ports = {**_DEFAULT_PORTS, **({scheme: str(parts.port)} if parts.port else {})}
    return {
        # Clients put protocol and port around it.
        "url": f"[{host}]" if ":" in host else host,
        "port": ports["http"],
        "https_port": ports["https"],
        "rtmp_port": "1935",
        "server_protocol": scheme,
        "timezone": "UTC",
        "timestamp_now": int(now),
        "time_now": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        "process": True,
    }


def _status(user: User | None, now: float) -> str:
    if user is None or not user.barred(now):
        return "Active"
    return "Disabled" if not user.active else "Expired"
