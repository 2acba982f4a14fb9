"""A plain, blocking HTTP client for looking at servers from outside, and the one place that waits."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, Self, TypeVar

from attrs import frozen

T = TypeVar("T")

#: Seconds after which a server that says nothing fails the test.
TIMEOUT = 15.0
#: Seconds that something may take at all: programs to come up and to end, what they are to do to be done.
PATIENCE = 30.0


def wait_for(look: Callable[[], T | None], timeout: float = PATIENCE, what: str = "") -> T:
    """
    Look again and again until there is something to see.

    :returns: what ``look`` gave in the end: the first thing that is true.
    :raises AssertionError: when there is nothing after ``timeout`` seconds.
    """
    end = time.monotonic() + timeout
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s in vain for {what or look}; last seen: {seen!r}")
        time.sleep(0.02)


class Response(NamedTuple):
    """A whole response; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> object:
        """The body read as JSON."""
        return json.loads(self.body)


@frozen
class RawAnswer:
    """
    The bytes that came on a connection.

    :ivar ending: ``closed``, ``reset``, ``silent`` (nothing more for the time asked) or ``full`` (as many as asked).
    """

    data: bytes
    ending: str


def _headers(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}


class Stream:
    """
    A response that is read as it comes, its head already there.

    :ivar address: our end of the connection.
    """

    def __init__(self, connection: socket.socket, request: bytes, method: str) -> None:
        self._socket = connection
        self.address: tuple[str, int] = connection.getsockname()[:2]
        connection.sendall(request)
        self._response = http.client.HTTPResponse(connection, method=method)
        self._response.begin()
        self.status = self._response.status
        self.headers = _headers(self._response)

    def read(self, size: int) -> bytes:
        """So many bytes of the body (chunked framing undone); fewer only when it has ended."""
        got = bytearray()
        while len(got) < size:
            piece = self._response.read1(min(size - len(got), 1 << 20))
            if not piece:
                break
            got += piece
        return bytes(got)

    def read_to_end(self, limit: int = 64 << 20) -> bytes:
        """
        What is left of the body.

        :raises AssertionError: when it is longer than ``limit`` bytes.
        """
        got = self.read(limit + 1)
        if len(got) > limit:
            raise AssertionError(f"the body goes on after {limit} bytes")
        return got

    def close(self) -> None:
        """Hang up."""
        self._response.close()
        self._socket.close()

    def reset(self) -> None:
        """Hang up with a reset (RST), as a player does that crashed."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class HttpServer:
    """A server on loopback, as its clients see it."""

    port: int

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        """
        Ask for something and read all of the answer; redirects are not followed.

        :raises AssertionError: when the answer does not end in time.
        """
        end = time.monotonic() + TIMEOUT
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            got = bytearray()
            while piece := response.read1(1 << 20):
                got += piece
                if time.monotonic() > end:
                    raise AssertionError(f"{path} goes on after {TIMEOUT} s and {len(got)} bytes")
            return Response(response.status, _headers(response), bytes(got))
        finally:
            connection.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Response:
        """GET a path."""
        return self.request("GET", path, headers)

    def head(self, path: str, headers: Mapping[str, str] | None = None) -> Response:
        """HEAD a path."""
        return self.request("HEAD", path, headers)

    def post_json(self, path: str, value: object, headers: Mapping[str, str] | None = None) -> Response:
        """POST a value as JSON."""
        all_headers = {"Content-Type": "application/json", **(headers or {})}
        return self.request("POST", path, all_headers, json.dumps(value).encode())

    def connect(self, rcvbuf: int | None = None) -> socket.socket:
        """
        A connection on which nothing has been said.

        :param rcvbuf: bytes of receive buffer to ask for, for a client that is to be slow.
        """
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.settimeout(TIMEOUT)
        if rcvbuf is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def open_stream(
        self, path: str, headers: Mapping[str, str] | None = None, *, method: str = "GET", rcvbuf: int | None = None
    ) -> Stream:
        """Ask for something and come back with its head; `http.client.HTTPException` when there is none."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        connection = self.connect(rcvbuf)
        try:
            return Stream(connection, "\r\n".join([*lines, "", ""]).encode(), method)
        except BaseException:
            connection.close()
            raise

    def raw(self, data: bytes, limit: int = 1 << 20, silence: float = TIMEOUT) -> RawAnswer:
        """
        Say some bytes and listen until the connection ends, ``limit`` bytes came, or nothing comes any more.

        :param silence: for how many seconds nothing has to come.
        """
        got = bytearray()
        with self.connect() as connection:
            connection.settimeout(silence)
            connection.sendall(data)
            while len(got) < limit:
                try:
                    piece = connection.recv(min(1 << 16, limit - len(got)))
                except ConnectionResetError:
                    return RawAnswer(bytes(got), "reset")
                except TimeoutError:
                    return RawAnswer(bytes(got), "silent")
                if not piece:
                    return RawAnswer(bytes(got), "closed")
                got += piece
        return RawAnswer(bytes(got), "full")

    def raw_get(self, path: str, limit: int = 1 << 20, silence: float = TIMEOUT) -> RawAnswer:
        """`raw` with a plain GET that asks for the connection to be closed afterwards."""
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n\r\n"
        return self.raw(head.encode(), limit, silence)
