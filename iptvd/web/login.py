"""``/login`` and ``/logout``: the pages are looked at with a name and a password, and a cookie after that."""

from __future__ import annotations

import re
from abc import abstractmethod
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html import escape
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from iptvd.access import Who
from iptvd.accounts import User, same
from iptvd.admission import Admission
from iptvd.logins import COOKIE, LIFETIME
from iptvd.passwords import Passwords
from iptvd.web.answering import AnswerResource, begin
from iptvd.web.edges import begin_attempt
from iptvd.web.request import Refusal, argument, came_from, from_our_pages, refuse, send, who_of

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:20rem;margin:4rem auto;padding:0 1rem;color-scheme:light dark}"
    "label,input,button{display:block;width:100%;box-sizing:border-box}input,button{font:inherit;margin:.25rem 0 1rem}"
    ".bad{color:#c33}"
)
_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    f"style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
)
#: A path of ours, maybe with a query: no browser takes it for anything else.
_OURS = re.compile(r"/(?![/\\])[!-\[\]-~]{0,2000}")
_METHODS = "GET, HEAD, POST"
_WRONG = "the name or the password is wrong"


def login_pages(admission: Admission, passwords: Passwords) -> Iterator[tuple[bytes, Resource]]:
    """The pages, each with its name."""
    yield b"login", LoginResource(admission, passwords)
    yield b"logout", LogoutResource()


class _FormResource(AnswerResource):
    """A page of ours with a form, which is posted to it."""

    guarded = False

    def render(self, request: Request) -> Any:
        """Answer the methods that there are."""
        if request.method.decode("latin-1") not in _METHODS.split(", "):
            return refuse(request, Refusal(405, f"Only {_METHODS} work here.", (("Allow", _METHODS),)))
        if request.method != b"POST":
            return super().render(request)
        begin(request, self._posted, self.log)
        return NOT_DONE_YET

    async def _posted(self, request: Request) -> bytes:
        if not from_our_pages(request):
            # Else a page of another site could log its visitor in as somebody else, and see what they do.
            raise Refusal(403, "This form comes from a page of another site.")
        return await self.take(request)

    @abstractmethod
    async def take(self, request: Request) -> bytes:
        """What the form is answered."""


class LoginResource(_FormResource):
    """The form, and what it is answered."""

    def __init__(self, admission: Admission, passwords: Passwords) -> None:
        super().__init__()
        self._admission = admission
        self._passwords = passwords

    async def answer(self, request: Request) -> bytes:
        """The form; or who has logged in, and how to end that."""
        who = who_of(request)
        return _page(request, _form(_next(request), "") if not _knows(who) else _greeting(who))

    async def take(self, request: Request) -> bytes:
        """Log somebody in, or say what is wrong."""
        name, password = argument(request, "name"), argument(request, "password")
        # What is refused here is answered late, and later each time.
        begin_attempt(request)
        accounts = self._admission.accounts
        before = accounts.users.get(name)
        right = await self._is_right(name, before, password)
        # As it is now: meanwhile it may have been changed, and the cookie is made of its secrets.
        user = accounts.users.get(name)
        if not right or _kept(user) != _kept(before):
            refusal = _WRONG
        else:
            refusal = user.barred(self._admission.now) if user is not None else ""
        if refusal:
            request.setResponseCode(403)
            return _page(request, _form(_next(request), f"{refusal[:1].upper()}{refusal[1:]}."))
        _set_cookie(request, self._admission.logins.cookie(user), LIFETIME)
        return _sent_to(request, _next(request))

    async def _is_right(self, name: str, user: User | None, password: str) -> bool:
        if not name:
            token = self._admission.api_token
            return bool(token) and same(password, token)
        return await self._passwords.fits(password, _kept(user))


class LogoutResource(_FormResource):
    """Takes the cookie back; the form for that is on the page of the login."""

    async def answer(self, request: Request) -> bytes:
        """Where the form is."""
        return _sent_to(request, "/login")

    async def take(self, request: Request) -> bytes:
        """Forget who has logged in."""
        _set_cookie(request, "", 0)
        return _sent_to(request, "/login")


def _kept(user: User | None) -> str:
    """What is kept of a password, empty where there is none."""
    return user.password if user is not None else ""


def _knows(who: Who) -> bool:
    """Whether somebody has logged in, by cookie or by token."""
    return who.user is not None or (who.manager and who.logged_in)


def _next(request: Request) -> str:
    asked = argument(request, "next")
    return asked if _OURS.fullmatch(asked) else "/"


def _sent_to(request: Request, path: str) -> bytes:
    request.setResponseCode(303)
    request.setHeader("Location", came_from(request).base_url + path)
    request.setHeader("Cache-Control", "no-store")
    request.setHeader("Content-Length", "0")
    return b""


def _set_cookie(request: Request, value: str, seconds: int) -> None:
    request.addCookie(
        COOKIE,
        value,
        path="/",
        max_age=str(seconds),
        secure=came_from(request).base_url.startswith("https:"),
        httpOnly=True,
        sameSite="lax",
    )


def _form(where: str, refusal: str) -> str:
    return (
        (f"<p class=bad role=alert>{escape(refusal)}</p>" if refusal else "") + "<form method=post action=login>"
        "<label for=name>Name</label>"
        "<input id=name name=name autocomplete=username autocapitalize=none maxlength=200 autofocus>"
        "<label for=password>Password</label>"
        "<input id=password name=password type=password autocomplete=current-password maxlength=1024 required>"
        f'<input type=hidden name=next value="{escape(where)}">'
        "<button>Log in</button></form>"
        "<p><small>Who manages leaves the name empty: the password is the API token.</small></p>"
    )


def _greeting(who: Who) -> str:
    name = f"as {escape(who.user.name)}" if who.user is not None else "to manage"
    return f"<p>You are logged in {name}.</p><form method=post action=logout><button>Log out</button></form>"


def _page(request: Request, body: str) -> bytes:
    request.setHeader("Content-Security-Policy", _POLICY)
    # Where no referrer is to be sent at all, a browser does not say either which page a form comes from.
    request.setHeader("Referrer-Policy", "same-origin")
    request.setHeader("Cache-Control", "no-store")
    html = (
        f"<!DOCTYPE html><html lang=en><meta charset=utf-8><title>iptvd</title><style>{_STYLE}</style>"
        f'<meta name=viewport content="width=device-width"><h1>iptvd</h1>{body}</html>\n'
    )
    return send(request, html.encode("utf-8", "replace"), "text/html; charset=utf-8")
