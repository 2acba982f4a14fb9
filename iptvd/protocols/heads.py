"""Heads of HTTP/1 messages: a response's, read and judged, and a request's, written (RFC 9110, RFC 9112)."""

from __future__ import annotations

import re
from enum import Enum

from attrs import field, frozen

from iptvd.errors import ProtocolError
from iptvd.model import Headers

_STATUS_LINE = re.compile(r"(HTTP/1\.[0-9]|ICY) +([1-9][0-9]{2})(?: (.*))?")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110 section 5.5
_TARGET = re.compile(r"[\x21-\x7e]+")
_LENGTH = re.compile(r"[0-9]{1,19}")


class Framing(Enum):
    """How the end of a response's body is told (RFC 9112 section 6.3)."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "until_close"


@frozen
class ResponseHead:
    """
    The head of a response.

    :ivar version: ``HTTP/1.1``, ``HTTP/1.0`` or ``ICY`` (SHOUTcast's own).
    :ivar status: 100 to 999; panels use numbers beyond those of the RFC.
    :ivar headers: names in lower case, values without surrounding white space, both decoded as latin-1, in order.
    """

    version: str
    status: int
    reason: str = field(default="", repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def get(self, name: str) -> str:
        """The first value of a header, or the empty string."""
        wanted = name.lower()
        return next((value for given, value in self.headers if given == wanted), "")

    def get_all(self, name: str) -> list[str]:
        """All the values of a header, in order."""
        wanted = name.lower()
        return [value for given, value in self.headers if given == wanted]

    @property
    def keep_alive(self) -> bool:
        """Whether the origin means to keep the connection open (RFC 9112 section 9.3)."""
        options = {option.strip().lower() for value in self.get_all("connection") for option in value.split(",")}
        if "close" in options:
            return False
        return self.version == "HTTP/1.1" or (self.version == "HTTP/1.0" and "keep-alive" in options)

    def content_length(self) -> int | None:
        """
        What Content-Length says, in bytes, or None without one.

        :raises ProtocolError: when it is not a number, or several that differ (RFC 9110 section 8.6).
        """
        values = [value.strip(" \t") for line in self.get_all("content-length") for value in line.split(",")]
        if not values:
            return None
        if not all(map(_LENGTH.fullmatch, values)) or len(set(map(int, values))) != 1:
            raise ProtocolError("The origin's Content-Length is not one number: use another source.")
        return int(values[0])

    def framing(self, method: str = "GET") -> Framing:
        """
        How the body of this response to a request with ``method`` ends (RFC 9112 section 6.3).

        :raises ProtocolError: for a bad Content-Length, or a transfer coding other than ``chunked``.
        """
        if method == "HEAD" or self.status in (204, 304):
            return Framing.NONE
        if self.version == "ICY":
            # No HTTP: what a header says of lengths has no meaning here.
            return Framing.UNTIL_CLOSE
        codings = ",".join(self.get_all("transfer-encoding"))
        if codings:
            if codings.strip().lower() != "chunked":
                raise ProtocolError("The origin uses a transfer coding other than chunked: use another source.")
            return Framing.CHUNKED
        return Framing.UNTIL_CLOSE if self.content_length() is None else Framing.LENGTH


def parse_head(block: bytes, max_line: int, max_headers: int) -> ResponseHead:
    """
    Read the head of a response.

    :param block: its lines, which end in LF or CRLF, without the LF of the last one and the empty line.
    :raises ProtocolError: when it is malformed or exceeds a bound.
    """
    status_line, *lines = [line.removesuffix(b"\r").decode("latin-1") for line in block.split(b"\n")]
    if b"\0" in block or any("\r" in line for line in (status_line, *lines)):
        raise ProtocolError("The origin's response head contains NUL or a bare CR: use another source.")
    found = _STATUS_LINE.fullmatch(status_line)
    if found is None:
        raise ProtocolError("The origin's status line is malformed: use another source.")
    if len(lines) > max_headers:
        raise ProtocolError(f"The origin sends more than {max_headers} lines of headers: use another source.")
    if max(map(len, (status_line, *lines))) > max_line:
        raise ProtocolError(f"A line of the origin's response head exceeds {max_line} bytes: use another source.")
    version = found[1] if found[1] in ("ICY", "HTTP/1.0") else "HTTP/1.1"
    return ResponseHead(version, int(found[2]), (found[3] or "").strip(" \t"), _parse_headers(lines))


def _parse_headers(lines: list[str]) -> tuple[tuple[str, str], ...]:
    headers: list[tuple[str, str]] = []
    for line in lines:
        if line.startswith((" ", "\t")) and headers:
            # A folded line (RFC 9112 section 5.2).
            name, value = headers[-1]
            headers[-1] = name, (value + " " + line.strip(" \t")).strip(" ")
            continue
        name, colon, value = line.partition(":")
        # White space before the colon is taken away, as section 5.1 asks of a proxy.
        name = name.rstrip(" \t").lower()
        if not colon or not _TOKEN.fullmatch(name):
            raise ProtocolError("A line of the origin's response head is not a header: use another source.")
        headers.append((name, value.strip(" \t")))
    return tuple(headers)


def render_request(
    method: str,
    target: str,
    host: str,
    headers: Headers = (),
    *,
    user_agent: str = "iptvd",
    keep_alive: bool = False,
) -> bytes:
    """
    Write the head of a request without a body (RFC 9112 section 3).

    :param target: path and query, as `Target.target` has them.
    :param host: the Host header, as `Target.host_header` has it.
    :param headers: sent after our own; one of the same name as one of ours replaces it.
    :raises ProtocolError: when something would not stay in its place: a space or control character in the target, a
        line break or NUL in a value, what latin-1 has not, a name that is no token.
    """
    given = {name.lower() for name, _ in headers}
    ours = (
        ("Host", host),
        ("User-Agent", user_agent),
        ("Accept", "*/*"),
        ("Connection", "keep-alive" if keep_alive else "close"),
    )
    fields = [*((name, value) for name, value in ours if name.lower() not in given), *headers]
    # Host goes first (RFC 9110 section 7.2), whoever gave it.
    fields.sort(key=lambda header: header[0].lower() != "host")
    if not _TOKEN.fullmatch(method):
        raise ProtocolError("The request method is not a token: use GET or HEAD.")
    if not _TARGET.fullmatch(target):
        raise ProtocolError("The request target contains what has to be percent-encoded: correct the URL.")
    for name, value in fields:
        if not _TOKEN.fullmatch(name):
            raise ProtocolError("The name of a request header is not a token: correct the source's headers.")
        if not _VALUE.fullmatch(value):
            raise ProtocolError(f"The request header {name} contains characters that no header may: correct it.")
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1")
