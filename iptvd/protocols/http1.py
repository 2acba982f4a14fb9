"""
HTTP/1.1 as it is spoken to an origin of media: response bytes in, events out; heads and URLs come from next door.

`ResponseParser` reads one response (RFC 9112) and does no input or output of its own. Its states:

====================  ==============================================  ===================================
state                 what is read                                    what follows
====================  ==============================================  ===================================
HEAD                  empty lines, interim responses, the head        one of the next, by RFC 9112 § 6.3
LENGTH                a body of known length                          DONE
UNTIL_CLOSE           a body that ends with the connection            DONE, at the end of input
CHUNK_SIZE            the line before a chunk                         CHUNK_DATA, or TRAILER
CHUNK_DATA            the data of a chunk                             CHUNK_END
CHUNK_END             the line end after a chunk                      CHUNK_SIZE
TRAILER               lines after the last chunk, thrown away         DONE
DONE                  nothing: what still comes is kept as unused
FAILED                nothing: every call raises
====================  ==============================================  ===================================

Media is nearly all body: bytes that are body as a whole are handed on as the very object that came in. The chunks
that came in one piece are handed on in one piece, because small writes are what costs a relay most.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, TypeAlias

from iptvd.errors import ProtocolError
from iptvd.protocols.heads import Framing, ResponseHead, parse_head, render_request
from iptvd.protocols.urls import Target, resolve_redirect, same_origin, split_url

__all__ = [
    "END",
    "EndOfResponse",
    "Event",
    "Framing",
    "ResponseHead",
    "ResponseParser",
    "Target",
    "TruncatedResponseError",
    "render_request",
    "resolve_redirect",
    "same_origin",
    "split_url",
]

_MAX_EMPTY_LINES = 8
_MAX_INTERIM = 16
_MAX_CHUNK_LINE = 4096

_HEAD_END = re.compile(rb"\n\r?\n")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")  # RFC 9112 section 7.1

# The end of a chunk and the line before the next one, where there is nothing unusual about them.
_NEXT_CHUNK = re.compile(rb"\r\n([1-9A-Fa-f][0-9A-Fa-f]{0,14})\r\n")

_BAD_CHUNKS = "The origin's chunked response is malformed or exceeds a bound: use another source."


class TruncatedResponseError(ProtocolError):
    """
    The origin closed the connection before its response was complete.

    :ivar bytes_left: how many bytes of the body are missing, or None where that is not known.
    """

    def __init__(self, bytes_left: int | None = None) -> None:
        missing = "" if bytes_left is None else f", with {bytes_left} bytes missing"
        super().__init__(f"The origin's response was cut short{missing}: try again or use another source.")
        self.bytes_left = bytes_left


class EndOfResponse(Enum):
    """The type of `END`, for ``isinstance``."""

    END = "end"


#: The last event of every complete response.
END: Final = EndOfResponse.END

#: A head, then bytes of the body (never empty), then `END`.
Event: TypeAlias = ResponseHead | bytes | EndOfResponse


class _State(Enum):
    HEAD = "head"
    LENGTH = "length"
    UNTIL_CLOSE = "until_close"
    CHUNK_SIZE = "chunk_size"
    CHUNK_DATA = "chunk_data"
    CHUNK_END = "chunk_end"
    TRAILER = "trailer"
    DONE = "done"
    FAILED = "failed"


class ResponseParser:
    """
    Reads one response; interim ones before it are skipped.

    After a `ProtocolError` the parser is of no more use; body bytes that came along with the fault are not handed out.

    :param method: the method of the request that is answered.
    :param max_head: bytes of head, of trailers, and of `unused`.
    :param max_line: bytes of a line of head or trailers.
    :param max_headers: lines of headers, and of trailers.
    :ivar unused: what came after the end of the response, cut at ``max_head``; the connection is unfit for reuse then.
    """

    def __init__(
        self, method: str = "GET", *, max_head: int = 65536, max_line: int = 16384, max_headers: int = 200
    ) -> None:
        self.unused = b""
        self._method = method
        self._max_head = max_head
        self._max_line = max_line
        self._max_headers = max_headers
        self._state = _State.HEAD
        self._keep_alive = False
        self._empty_lines = 0
        self._interim = 0
        self._left = 0  # bytes of the body, or of the chunk
        self._trailers = 0
        self._trailer_bytes = 0
        self._gathered = bytearray()  # a head, or a line of chunked framing, that is not complete yet

    @property
    def bytes_left(self) -> int | None:
        """Bytes of body still to come, or None where that is not known."""
        if self._state is _State.DONE:
            return 0
        return self._left if self._state is _State.LENGTH else None

    @property
    def reusable(self) -> bool:
        """Whether the response is complete and its connection is fit for another request."""
        return self._state is _State.DONE and self._keep_alive and not self.unused

    def feed(self, data: bytes) -> list[Event]:
        """
        Take what came from the origin, and give what it completes.

        :raises ProtocolError: for what is not a response, or exceeds a bound.
        """
        if not data:
            return []
        if self._state is _State.UNTIL_CLOSE:
            return [data]
        if self._state is _State.LENGTH and len(data) < self._left:
            self._left -= len(data)
            return [data]
        if self._state is _State.DONE:
            self._keep(data)
            return []
        try:
            return self._feed(data)
        except ProtocolError:
            self._state = _State.FAILED
            raise

    def feed_eof(self) -> list[Event]:
        """
        Take the end of input, and give what it completes.

        :raises TruncatedResponseError: when the response is not complete.
        """
        if self._state is _State.DONE:
            self._keep_alive = False
            return []
        # Once the last chunk came, the body is complete even if its trailers are not (RFC 9112 section 8).
        if self._state in (_State.UNTIL_CLOSE, _State.TRAILER):
            self._keep_alive = False
            self._state = _State.DONE
            return [END]
        bytes_left, self._state = self.bytes_left, _State.FAILED
        raise TruncatedResponseError(bytes_left)

    def _feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        if self._state is _State.HEAD:
            head, data = self._feed_head(data)
            if head is None:
                return events
            events.append(head)
            self._begin_body(head)
        match self._state:
            case _State.UNTIL_CLOSE:
                body, data = data, b""
            case _State.LENGTH:
                # A slice of all of a bytes object is that object.
                body, data = data[: self._left], data[self._left :]
                self._left -= len(body)
                if not self._left:
                    self._state = _State.DONE
            case _State.DONE:  # a head without a body
                body = b""
            case _State.FAILED:
                raise ProtocolError("The origin's response was given up before: open a new connection.")
            case _:
                body, data = self._feed_chunks(data)
        if body:
            events.append(body)
        if self._state is _State.DONE:
            self._keep(data)
            events.append(END)
        return events

    def _keep(self, data: bytes) -> None:
        self.unused += data[: self._max_head - len(self.unused)]

    def _begin_body(self, head: ResponseHead) -> None:
        framing = head.framing(self._method)
        self._keep_alive = head.keep_alive and framing is not Framing.UNTIL_CLOSE
        match framing:
            case Framing.NONE:
                self._state = _State.DONE
            case Framing.LENGTH:
                self._left = head.content_length() or 0
                self._state = _State.LENGTH
            case Framing.UNTIL_CLOSE:
                self._state = _State.UNTIL_CLOSE
            case _:
                # A length beside chunks, or chunks in HTTP/1.0, may be an attempt to hide a second response:
                # the connection ends with this one (RFC 9112 sections 6.1 and 6.3).
                if head.version == "HTTP/1.0" or head.get_all("content-length"):
                    self._keep_alive = False
                self._state = _State.CHUNK_SIZE

    def _feed_head(self, data: bytes) -> tuple[ResponseHead | None, bytes]:
        """The head, once it is there, and the bytes after it."""
        gathered = self._gathered
        # What was searched before is not searched again, but for a line end that was cut.
        search_from = max(len(gathered) - 2, 0)
        gathered += data
        while True:
            if self._drop_empty_lines():
                search_from = 0
            if gathered == b"\r":
                return None, b""
            if not any(gathered[: len(start)] == start[: len(gathered)] for start in (b"HTTP/", b"ICY ")):
                raise ProtocolError("The origin does not answer in HTTP/1: check the source's address and port.")
            end = _HEAD_END.search(gathered, search_from)
            if (end.end() if end else len(gathered)) > self._max_head:
                raise ProtocolError(f"The origin's response head exceeds {self._max_head} bytes: use another source.")
            if end is None:
                return None, b""
            head = parse_head(bytes(gathered[: end.start()]), self._max_line, self._max_headers)
            del gathered[: end.end()]
            if head.status >= 200:
                rest = bytes(gathered)
                gathered.clear()
                return head, rest
            self._skip_interim(head.status)
            search_from = 0

    def _drop_empty_lines(self) -> bool:
        """Drop the empty lines before a status line (RFC 9112 section 2.2); whether there were any."""
        gathered, before = self._gathered, self._empty_lines
        while gathered[:1] == b"\n" or gathered[:2] == b"\r\n":
            del gathered[: gathered.index(b"\n") + 1]
            self._empty_lines += 1
            if self._empty_lines > _MAX_EMPTY_LINES:
                raise ProtocolError("The origin sends empty lines instead of a response: use another source.")
        return self._empty_lines > before

    def _skip_interim(self, status: int) -> None:
        if status == 101:
            raise ProtocolError("The origin switches to another protocol without being asked: use another source.")
        self._interim += 1
        if self._interim > _MAX_INTERIM:
            raise ProtocolError("The origin sends interim responses without end: use another source.")

    def _feed_chunks(self, data: bytes) -> tuple[bytes, bytes]:
        """The body among chunks and their framing, and the bytes after the last one."""
        pieces: list[memoryview] = []
        view = memoryview(data)
        at = 0
        while at < len(data) and self._state is not _State.DONE:
            if self._state is not _State.CHUNK_DATA:
                at = self._feed_line(data, at)
                continue
            end = at + self._left
            # Small chunks are all too common: from one to the next in a single step.
            while end < len(data) and (found := _NEXT_CHUNK.match(data, end)):
                pieces.append(view[at:end])
                at = found.end()
                end = at + int(found[1], 16)
            pieces.append(view[at:end])
            at = min(end, len(data))
            self._left = end - at
            if not self._left:
                self._state = _State.CHUNK_END
        if len(pieces) == 1 and len(pieces[0]) == len(data):
            return data, b""
        return b"".join(pieces), data[at:]

    def _feed_line(self, data: bytes, at: int) -> int:
        """Gather a line of chunked framing and act on it once it is complete; the index after what was taken."""
        if self._state is _State.CHUNK_SIZE:
            limit = _MAX_CHUNK_LINE
        elif self._state is _State.CHUNK_END:
            limit = len(b"\r\n")
        else:
            limit = self._max_line
        stop = at + limit - len(self._gathered)
        newline = data.find(b"\n", at, stop)
        if newline < 0:
            self._gathered += data[at:stop]
            if len(self._gathered) >= limit:
                raise ProtocolError(_BAD_CHUNKS)
            return len(data)
        line = bytes(self._gathered) + data[at : newline + 1]
        self._gathered.clear()
        self._take_line(line)
        return newline + 1

    def _take_line(self, line: bytes) -> None:
        empty = line in (b"\r\n", b"\n")
        if self._state is _State.CHUNK_SIZE:
            found = _CHUNK_LINE.fullmatch(line)
            if found is None:
                raise ProtocolError(_BAD_CHUNKS)
            self._left = int(found[1], 16)
            self._state = _State.CHUNK_DATA if self._left else _State.TRAILER
        elif self._state is _State.CHUNK_END:
            if not empty:
                raise ProtocolError(_BAD_CHUNKS)
            self._state = _State.CHUNK_SIZE
        elif empty:
            self._state = _State.DONE
        else:
            self._trailers += 1
            self._trailer_bytes += len(line)
            if self._trailers > self._max_headers or self._trailer_bytes > self._max_head:
                raise ProtocolError(_BAD_CHUNKS)
