"""The daemon's API as a program asks it: JSON there and back, bounded in time and size, errors as exit statuses."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from http.client import HTTPException, HTTPResponse
from typing import Any, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import (
    BaseHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

from iptvd import __version__
from iptvd.ctl.exits import Ended, Exit
from iptvd.ctl.place import Place
from iptvd.ctl.texts import listed, of

#: Bytes of an answer, and of one that is an error.
LARGEST, LARGEST_ERROR = 256 * 1024 * 1024, 64 * 1024

_PIECE = 1 << 18
_STATUSES = {401: Exit.NOT_ALLOWED, 403: Exit.NOT_ALLOWED, 404: Exit.NOT_FOUND}


class _NoRedirects(HTTPRedirectHandler):
    """What an API redirects to is not asked: it would be told the token."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nothing."""


def _opener(url: str, verify: bool) -> OpenerDirector:
    # Without the environment's proxies: one of them would be asked for what is on this machine, and told its token.
    handlers: list[BaseHandler] = [ProxyHandler({}), _NoRedirects()]
    if url.startswith("https:"):
        # To read all authorities there are takes longer than the rest.
        context = ssl.create_default_context()
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        handlers.append(HTTPSHandler(context=context))
    return build_opener(*handlers)


class Api:
    """
    One daemon's.

    :param timeout: seconds that an answer may take, all of it.
    :param verify: whether its certificate must be valid.
    """

    def __init__(self, place: Place, timeout: float, verify: bool = True) -> None:
        self.place = place
        self._timeout = timeout
        self._opener = _opener(place.url, verify)

    def get(self, *path: object, **query: object) -> Any:
        """
        What is at a path.

        :param path: its parts, each quoted here.
        :param query: what is None or empty is left out.
        :raises Ended: when that could not be had.
        """
        return self._json("GET", _path(path, query))

    def post(self, *path: object, body: Mapping[str, object] | None = None) -> Any:
        """Have something made or done; see `get`."""
        return self._json("POST", _path(path, {}), body)

    def put(self, *path: object, body: Mapping[str, object]) -> Any:
        """Have something changed; see `get`."""
        return self._json("PUT", _path(path, {}), body)

    def delete(self, *path: object) -> Any:
        """Have something gone; see `get`."""
        return self._json("DELETE", _path(path, {}))

    def even_failing(self, *path: object) -> tuple[bool, Any]:
        """Whether all is well, and what health says, which a failing daemon says with status 503."""
        answer = self._ask("GET", _path(path, {}))
        with answer:
            if isinstance(answer, HTTPError):
                body = self._read(answer, LARGEST_ERROR)
                found = _object(body)
                if answer.code != 503 or "status" not in found or "uptime_seconds" not in found:
                    self._refused(answer, body)
                return False, found
            return True, self._understood(self._read(answer, LARGEST))

    def allows(self, path: str) -> bool:
        """
        Whether something is given to who shows no token.

        :raises Ended: when it is not, and a token would not help.
        """
        answer = self._ask("HEAD", path, token="")
        with answer:
            if isinstance(answer, HTTPError) and answer.code not in (401, 403):
                self._refused(answer, b"")
            return not isinstance(answer, HTTPError)

    def stream(self, path: str) -> HTTPResponse:
        """
        A body that does not end, to be closed by who asks.

        :raises Ended: when it does not begin.
        """
        answer = self._ask("GET", path)
        if isinstance(answer, HTTPError):
            with answer:
                self._refused(answer, self._read(answer, LARGEST_ERROR))
        return answer

    def _json(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        answer = self._ask(method, path, json.dumps(body).encode() if body is not None else None)
        with answer:
            if isinstance(answer, HTTPError):
                self._refused(answer, self._read(answer, LARGEST_ERROR))
            return self._understood(self._read(answer, LARGEST))

    def _ask(
        self, method: str, path: str, data: bytes | None = None, token: str | None = None
    ) -> HTTPResponse | HTTPError:
        """An answer's head."""
        request = Request(self.place.url + path, data=data, method=method)  # noqa: S310 - http or https, see place
        request.add_header("Accept", "application/json, application/problem+json, text/plain;q=0.5, */*;q=0.1")
        request.add_header("User-Agent", f"iptvctl/{__version__}")
        if data is not None:
            request.add_header("Content-Type", "application/json")
        shown = self.place.token if token is None else token
        if shown:
            request.add_header("X-API-Token", shown)
        try:
            response: HTTPResponse = self._opener.open(request, timeout=self._timeout)
        except HTTPError as error:
            return error
        except URLError as error:
            self._unreachable(error.reason)
        except (OSError, HTTPException, ValueError) as error:
            self._unreachable(error)
        return response

    def _unreachable(self, error: object) -> NoReturn:
        if isinstance(error, ssl.SSLCertVerificationError):
            why = f"its certificate is refused ({error.verify_message}): give the name that it is for, or --insecure"
        elif isinstance(error, TimeoutError):
            why = f"nothing came for {self._timeout:g} s"
        elif isinstance(error, OSError) and error.strerror:
            why = error.strerror.lower()
        else:
            why = type(error).__name__
        place = self.place
        sentence = f"The daemon at {place.url} ({place.origin}) cannot be reached: {why}."
        raise Ended(Exit.UNREACHABLE, " ".join([sentence, *place.notes]))

    def _read(self, answer: HTTPResponse | HTTPError, most: int) -> bytes:
        end, got = time.monotonic() + self._timeout, bytearray()
        try:
            while piece := answer.read1(_PIECE):
                got += piece
                if len(got) > most:
                    raise Ended(Exit.REFUSED, f"The answer is longer than {most // 1024} KiB.")
                if time.monotonic() > end:
                    self._unreachable(TimeoutError())
        except (OSError, HTTPException) as error:
            self._unreachable(error)
        return bytes(got)

    def _understood(self, body: bytes) -> Any:
        if not body.strip():
            return None
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            self._foreign()

    def _foreign(self) -> NoReturn:
        place = self.place
        raise Ended(Exit.UNREACHABLE, f"What answers at {place.url} ({place.origin}) is not the API of iptvd.")

    def _refused(self, error: HTTPError, body: bytes) -> NoReturn:
        """Say why not: problem details (RFC 9457), or the sentence that other answers of ours are."""
        kind = error.headers.get_content_type()
        sentence = ""
        if kind in ("application/problem+json", "application/json"):
            found = _object(body)
            sentence = _sentence(found)
        elif kind == "text/plain":
            sentence = body.decode("utf-8", "replace").strip()[:1000]
        if 300 <= error.code < 400:
            sentence = "The daemon is at another address (it redirects): say which with --url."
        if not sentence and kind == "text/html":
            self._foreign()
        status = _STATUSES.get(error.code, Exit.REFUSED)
        notes = self.place.notes if status is Exit.NOT_ALLOWED and not self.place.token else ()
        raise Ended(status, " ".join([sentence or f"The daemon answers with status {error.code}.", *notes]))


def _path(parts: tuple[object, ...], query: Mapping[str, object]) -> str:
    path = "".join(f"/{quote(str(part), safe='')}" for part in parts)
    asked = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(asked)}" if asked else path


def _sentence(problem: Mapping[str, Any]) -> str:
    """What is wrong, and with which fields."""
    told = [text for name in ("detail", "title") if isinstance(text := problem.get(name), str)][:1]
    for each in listed(problem, "errors"):
        field, detail = of(each, "field"), of(each, "detail")
        told.append(f"{field}: {detail}" if field else str(detail))
    return "; ".join(dict.fromkeys(told))


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
