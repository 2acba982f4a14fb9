"""Files as a web server gives them: types, validators, conditional requests and byte ranges (RFC 9110, 13 and 14)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.utils import formatdate
from hashlib import sha256
from pathlib import PurePosixPath

from attrs import evolve

from tests.simulators.exchange import Reply, Request, Timed, text_reply
from tests.simulators.knobs import Knobs
from tests.simulators.media import Media

TYPES = {
    ".ts": "video/mp2t",
    ".mp4": "video/mp4",
    ".mkv": "video/x-matroska",
    ".m4s": "video/iso.segment",
    ".m3u8": "application/vnd.apple.mpegurl",
    ".m3u": "audio/x-mpegurl",
    ".key": "application/octet-stream",
    ".bin": "application/octet-stream",
    ".aac": "audio/aac",
    ".mp3": "audio/mpeg",
    ".png": "image/png",
    ".gz": "application/gzip",
}
#: The day on which everything here was last changed, in seconds since the epoch.
MODIFIED = 1_700_000_000
#: The length of ``/vod/big.ts``: more than any buffer on the way holds.
BIG = 1 << 30

_PIECE = 64 * 1024
_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


def content_type(path: str) -> str:
    """The media type that goes with a path's extension."""
    return TYPES.get(PurePosixPath(path).suffix, "application/octet-stream")


def pieces(block: bytes, start: int, end: int) -> Iterator[Timed]:
    """The bytes from ``start`` up to ``end`` of ``block`` repeated for ever."""
    while start < end:
        at = start % len(block)
        piece = block[at : min(at + _PIECE, at + end - start)]
        yield 0.0, piece
        start += len(piece)


def serve(request: Request, knobs: Knobs, block: bytes, total: int | None = None, kind: str = "") -> Reply:
    """
    The reply that a file gets.

    :param block: its bytes, repeated where ``total`` says that it is longer.
    :param kind: its media type, by default the one of its extension.
    """
    length = len(block) if total is None else total
    etag = f'"{sha256(block).hexdigest()[:16]}-{length}"'
    headers: tuple[tuple[str, str], ...] = (
        ("Content-Type", kind or content_type(request.path)),
        ("ETag", etag),
        ("Last-Modified", formatdate(MODIFIED, usegmt=True)),
    )
    if not knobs.has("noranges"):
        headers = (*headers, ("Accept-Ranges", "bytes"))
    if _unchanged(request, etag):
        return Reply(304, headers[1:])
    whole = Reply(200, headers, block if length == len(block) else pieces(block, 0, length), length)
    wanted = _RANGE.match(request.headers.get("range", ""))
    if wanted is None or knobs.has("noranges") or not _range_holds(request, etag):
        return whole
    start, end = _limits(wanted[1], wanted[2], length)
    if start >= end:
        return text_reply(416, "no such range").header("Content-Range", f"bytes */{length}")
    part = whole.header("Content-Range", f"bytes {start}-{end - 1}/{length}")
    return evolve(part, status=206, body=pieces(block, start, end), length=end - start)


def _unchanged(request: Request, etag: str) -> bool:
    """Whether the client has it already; If-None-Match goes before If-Modified-Since (RFC 9110, 13.2.2)."""
    if "if-none-match" in request.headers:
        tags = [tag.strip().removeprefix("W/") for tag in request.headers["if-none-match"].split(",")]
        return etag in tags or tags == ["*"]
    return request.headers.get("if-modified-since") == formatdate(MODIFIED, usegmt=True)


def _range_holds(request: Request, etag: str) -> bool:
    return request.headers.get("if-range", etag) in (etag, formatdate(MODIFIED, usegmt=True))


def _limits(first: str, last: str, length: int) -> tuple[int, int]:
    """Where a range starts and ends (exclusive); empty when there is no such range (RFC 9110, 14.1.2)."""
    if first:
        return int(first), min(length, int(last) + 1 if last else length)
    return (max(0, length - int(last)), length) if last else (0, 0)


class Vod:
    """``/vod/``: the film as a file: film.mp4, film.mkv, film.ts, and big.ts, which is `BIG` bytes of film."""

    def __init__(self, media: Media) -> None:
        self._files = {name: media.read(name) for name in ("film.mp4", "film.mkv", "film.ts", "other.ts", "audio.ts")}

    def answer(self, request: Request, knobs: Knobs) -> Reply:
        """The reply to a request below ``/vod/``; folders before the name do not matter."""
        name = request.path.rpartition("/")[2]
        if name == "big.ts":
            return serve(request, knobs, self._files["film.ts"], BIG)
        if name not in self._files:
            return text_reply(404, "no such film")
        return serve(request, knobs, self._files[name])
