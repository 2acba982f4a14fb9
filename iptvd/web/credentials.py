"""What a request shows of who it is from: a token in its path, query or headers, or the cookie of a login."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterator
from typing import cast

from twisted.web.server import Request

from iptvd.access import MARK, Shown
from iptvd.logins import COOKIE, Logins

#: Names of query arguments that hold a token: ours, m3u-proxy's, and that of Xtream players, which have it as the
#: password.
_ARGUMENTS = (b"token", b"api_token", b"password")
_MARK = MARK.encode()
#: Characters of a token that is looked at.
_MOST = 512


def take_mark(request: Request) -> str:
    """
    Take a token's part out of a request's path, so that what is asked for is the same for everybody.

    :return: the token, empty where there is none.
    """
    path = request.postpath
    if not path or not path[0].startswith(_MARK):
        return ""
    marked: bytes = path.pop(0)
    if not path:
        # The top, without a slash at the end.
        path.append(b"")
    cast("list[bytes]", request.prepath).append(marked)
    return marked[len(_MARK) :].decode("latin-1")


def shown_by(request: Request, token: str, logins: Logins) -> Shown:
    """
    What a request shows.

    :param token: that of its path.
    """
    user, manager = logins.of(request.getCookie(COOKIE))
    name, secret = _basic(request)
    if not name and _argument(request, b"password"):
        name = _argument(request, b"username")
    found = (token, *_from_query(request), *_from_headers(request), secret)
    # What is too long is shown all the same, and wrong.
    shown = tuple(one if len(one) <= _MOST else "-" for one in found if one)
    return Shown(shown, name, user, manager)


def is_marked(request: Request) -> bool:
    """Whether a request had its token in its path, so that what is relative to that has it too."""
    path = request.prepath or [b""]
    return path[0].startswith(_MARK)


def _argument(request: Request, name: bytes) -> str:
    values = (request.args or {}).get(name, [])
    return values[-1].decode("utf-8", "replace") if values else ""


def _from_query(request: Request) -> Iterator[str]:
    if request.args:
        for name in _ARGUMENTS:
            yield _argument(request, name)


def _from_headers(request: Request) -> Iterator[str]:
    yield request.getHeader("X-API-Token") or ""
    scheme, _, value = (request.getHeader("Authorization") or "").strip().partition(" ")
    if scheme.lower() == "bearer":
        yield value.strip()


def _basic(request: Request) -> tuple[str, str]:
    """The name and the token of HTTP Basic (RFC 7617): name and password, or the one that is not empty."""
    scheme, _, value = (request.getHeader("Authorization") or "").strip().partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, _, password = b64decode(value.strip(), validate=True).decode("utf-8", "replace").partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return (name, password) if password else ("", name)
