"""What the origin is asked and what it answers: requests, replies, and the script of a reply, faults included."""

from __future__ import annotations

import gzip
from base64 import b64decode
from collections.abc import Generator, Iterable, Iterator, Mapping
from enum import Enum
from hashlib import sha256
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

from attrs import evolve, field, frozen

from tests.simulators.knobs import Knobs

#: When a piece is due, in seconds after the request, and the piece.
Timed = tuple[float, bytes]

#: What an endless body claims to be long when a Content-Length is wanted.
ENDLESS = 1 << 40

HTML = b"<!DOCTYPE html><html><head><title>Sorry</title></head><body><h1>Please come back later</h1></body></html>\n"
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nnowhere.ts\n"

_PHRASES = {int(status): status.phrase for status in HTTPStatus}


class Ending(Enum):
    """What follows the last byte of a reply."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"
    SILENCE = "silence"


@frozen
class Request:
    """
    One request.

    :ivar path: decoded, without the query.
    :ivar headers: names in lower case; of two of the same name the last.
    """

    method: str
    target: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""
    keep: bool = True

    @property
    def base(self) -> str:
        """The start of URLs that lead back here."""
        return "http://" + self.headers.get("host", "127.0.0.1")

    def with_body(self, body: bytes) -> Request:
        """This request with the body that came after its head."""
        return evolve(self, body=body)


@frozen
class Reply:
    """
    One answer.

    :ivar body: bytes, or pieces with the time each is due.
    :ivar length: the length of a body that comes in pieces, None when it has no end.
    :ivar framing: how the body is delimited unless a knob says otherwise, see `KNOBS`.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | Iterable[Timed] = field(default=b"", repr=False)
    length: int | None = None
    framing: str = "length"

    def header(self, name: str, value: str) -> Reply:
        """This reply with one header more, or another value of it."""
        kept = tuple(item for item in self.headers if item[0].lower() != name.lower())
        return evolve(self, headers=(*kept, (name, value)))


def text_reply(status: int, text: str) -> Reply:
    """A short answer in plain text."""
    return Reply(status, (("Content-Type", "text/plain"),), text.encode() + b"\n")


def parse_request(head: bytes) -> Request:
    """
    The request that a head (without its empty line) asks for; the body is still to come.

    :raises ValueError: when it is none.
    """
    lines = head.decode("latin-1").split("\r\n")
    method, target, version = lines[0].split(" ")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError("a header line without a colon")
        headers[name.lower()] = value.strip()
    parts = urlsplit(target)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    return Request(method, target, unquote(parts.path), query, headers, keep=keep)


def refusal(request: Request, knobs: Knobs) -> Reply | None:
    """The answer when a knob wants the request turned away or sent elsewhere, else None."""
    if knobs.has("redirect") and "redirected" not in request.query:
        return _redirect(request, knobs.text("redirect"))
    name, _, wanted = knobs.text("need").partition(":")
    if name and wanted.strip() not in request.headers.get(name.lower(), ""):
        return text_reply(403, "a header is missing")
    if knobs.has("auth") and _credentials(request) != knobs.text("auth"):
        return text_reply(401, "who are you?").header("WWW-Authenticate", 'Basic realm="origin"')
    if knobs.has("status"):
        status = int(knobs.text("status"))
        return text_reply(status, f"{status} as you wished")
    if knobs.has("as"):
        kind = knobs.text("as")
        types = {"html": "text/html", "playlist": "application/vnd.apple.mpegurl", "empty": "video/mp2t"}
        bodies = {"html": HTML, "playlist": PLAYLIST, "empty": b""}
        return Reply(200, (("Content-Type", types[kind]),), bodies[kind])
    if knobs.has("body"):
        body = knobs.text("body").encode()
        return Reply(200, (("ETag", f'"{sha256(body).hexdigest()[:16]}"'),), body)
    if knobs.has("bytes"):
        body = b64decode(knobs.text("bytes"))
        etag = f'"{sha256(body).hexdigest()[:16]}"'
        known = request.headers.get("if-none-match") == etag
        return Reply(304 if known else 200, (("ETag", etag),), b"" if known else body)
    return None


def _credentials(request: Request) -> str:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return b64decode(value).decode(errors="replace") if scheme.lower() == "basic" else ""


def _redirect(request: Request, to: str) -> Reply:
    reply = text_reply(302, "over there")
    port = request.base.rpartition(":")[2]
    last = request.path.rpartition("/")[2]
    again = f"{request.path}?redirected=1"
    places = {
        "relative": f"{last}?redirected=1",
        "host": f"http://localhost:{port}{again}",
        "loop": request.target,
        "credentials": f"http://bob:s3cret@127.0.0.1:{port}{again}",
    }
    return reply if to == "none" else reply.header("Location", places.get(to, to))


def script(request: Request, reply: Reply, knobs: Knobs) -> Generator[Timed, None, Ending]:
    """
    A reply as it goes onto the wire, byte for byte, with the faults that the knobs want.

    :returns: what follows the last byte.
    """
    if knobs.has("drop"):
        return Ending.RESET
    if knobs.has("never"):
        return Ending.SILENCE
    if knobs.has("type"):
        reply = reply.header("Content-Type", knobs.text("type"))
    if knobs.has("gzip") and isinstance(reply.body, bytes):
        packed = gzip.compress(reply.body, compresslevel=1)
        reply = evolve(reply, body=packed).header("Content-Encoding", "gzip")
    delay = knobs.number("head_delay", 0)
    framing = knobs.text("framing") or reply.framing
    if knobs.has("early"):
        yield 0.0, f"HTTP/1.1 {knobs.text('early')} Wait\r\nX-Early: yes\r\n\r\n".encode()
    yield delay, _head(request, reply, knobs, framing)
    if knobs.has("endless_head"):
        line = b"X-Filler: " + b"f" * 1000 + b"\r\n"
        while True:
            yield delay, line * 16
    yield delay, b"\r\n"
    if request.method == "HEAD" or reply.status in (204, 304):
        ending = Ending.KEEP
    else:
        ending = yield from _framed_body(reply, knobs, framing, delay)
    if ending is Ending.KEEP and (not request.keep or framing in ("close", "http10", "icy")):
        return Ending.CLOSE
    return ending


def _head(request: Request, reply: Reply, knobs: Knobs, framing: str) -> bytes:
    phrase = _PHRASES.get(reply.status, "Unknown")
    lines = [f"{ {'http10': 'HTTP/1.0', 'icy': 'ICY'}.get(framing, 'HTTP/1.1') } {reply.status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in reply.headers]
    length = len(reply.body) if isinstance(reply.body, bytes) else reply.length
    if framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
    elif framing == "length" and reply.status not in (204, 304):
        lines.append(f"Content-Length: {ENDLESS if length is None else length}")
    if framing == "close" or not request.keep:
        lines.append("Connection: close")
    for start in range(0, knobs.size("oversize_head") or 0, 1000):
        lines.append(f"X-Filler-{start}: " + "f" * 1000)
    return "".join(line + "\r\n" for line in lines).encode("latin-1")


def _framed_body(reply: Reply, knobs: Knobs, framing: str, delay: float) -> Generator[Timed, None, Ending]:
    """The body, cut where a fault is wanted; a cut chunked body has no last chunk."""
    pieces: Iterable[Timed] = [(0.0, reply.body)] if isinstance(reply.body, bytes) else reply.body
    ending, cut = Ending.KEEP, None
    for name, wanted in (("die_after", Ending.CLOSE), ("reset_after", Ending.RESET), ("stall_after", Ending.SILENCE)):
        if knobs.size(name) is not None:
            ending, cut = wanted, knobs.size(name)
    pieces = _without(pieces, knobs.size("misaligned") or 0)
    if knobs.has("drip"):
        pieces = _dripped(pieces, max(1, int(knobs.number("drip", 1))))
    left = cut
    for due, piece in pieces:
        part = piece if left is None else piece[:left]
        if part:
            yield due + delay, b"%x\r\n%s\r\n" % (len(part), part) if framing == "chunked" else part
        if left is not None:
            left -= len(part)
            if not left:
                return ending
    if framing == "chunked":
        yield delay, b"0\r\n\r\n"
    return Ending.KEEP


def _without(pieces: Iterable[Timed], size: int) -> Iterator[Timed]:
    for due, piece in pieces:
        rest, size = piece[size:], max(0, size - len(piece))
        if rest:
            yield due, rest


def _dripped(pieces: Iterable[Timed], size: int) -> Iterator[Timed]:
    drops = 0
    for due, piece in pieces:
        for start in range(0, len(piece), size):
            yield max(due, drops / 10), piece[start : start + size]
            drops += 1
