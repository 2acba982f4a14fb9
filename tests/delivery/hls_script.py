"""An HLS origin that a test plays: every request is answered from a table, on a clock that the test turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field, frozen
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from iptvd.delivery.opening import Opener
from iptvd.errors import UpstreamError
from iptvd.protocols.http1 import Target
from iptvd.protocols.http_upstream import Timeouts
from tests.doubles import offload

#: What a connection delivers at once.
PIECE = 16 * 1024


@frozen
class Reply:
    """
    An answer.

    :ivar cut: bytes of body after which it is broken off.
    :ivar silent: the connection is kept after the last byte, without a word.
    :ivar length: whether its length is told.
    :ivar delay: seconds until it begins.
    """

    status: int = 200
    body: bytes = b""
    headers: tuple[str, ...] = ()
    cut: int | None = None
    silent: bool = False
    length: bool = True
    delay: float = 0.02


class Connection(StringTransport):
    """A connection: for one request, unless the origin keeps it."""

    def __init__(self, origin: ScriptedOrigin, clock: Clock) -> None:
        super().__init__()
        self.protocol: Any = None
        self.open = True
        self.held = False
        self._origin = origin
        self._clock = clock
        self._left = b""
        self._silent = False
        self._call: IDelayedCall | None = None

    def abortConnection(self) -> None:
        self.open = False
        if self._call is not None and self._call.active():
            self._call.cancel()

    def pauseProducing(self) -> None:
        self.held = True

    def resumeProducing(self) -> None:
        self.held = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing to it."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Nothing to it."""

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.value().endswith(b"\r\n\r\n"):
            head = self.value().decode()
            self.clear()
            self._origin.asked_for(self, head)

    def hang_up(self) -> None:
        """The origin closes it."""
        self.open = False
        self.protocol.connectionLost(Failure(ConnectionDone()))

    def answer(self, reply: Reply) -> None:
        body = reply.body if reply.cut is None else reply.body[: reply.cut]
        lines = [f"HTTP/1.1 {reply.status} x", *reply.headers]
        if reply.length:
            lines.append(f"Content-Length: {len(reply.body)}")
        if not reply.length or not self._origin.keeps:
            lines.append("Connection: close")
        self._left = "\r\n".join([*lines, "", ""]).encode() + body
        self._silent = reply.silent
        self._call = self._clock.callLater(reply.delay, self._go_on)

    def _go_on(self) -> None:
        if self.held:
            self._call = self._clock.callLater(0.02, self._go_on)
            return
        piece, self._left = self._left[:PIECE], self._left[PIECE:]
        last = not self._left
        self.protocol.dataReceived(piece)
        if self._left:
            if not last:
                self._call = self._clock.callLater(0.002, self._go_on)
        elif self.open and not self._silent and not self._origin.keeps:
            self.hang_up()


@define
class ScriptedOrigin:
    """
    Answers with what ``pages`` has for a path: a reply, a body, or a function of the range asked for.

    :ivar requests: when each path was asked for.
    :ivar keeps: whether connections are kept for the next request.
    """

    clock: Clock
    pages: dict[str, Reply | bytes | Callable[[str], Reply | bytes]] = field(factory=dict)
    requests: list[tuple[float, str]] = field(factory=list)
    connections: list[Connection] = field(factory=list)
    keeps: bool = False

    def connect(self, target: Target, verify_tls: bool) -> Any:
        return _Endpoint(self)

    def ask(self, factory: Any) -> Deferred[Any]:
        connection = Connection(self, self.clock)
        connection.protocol = factory.buildProtocol(None)
        self.connections.append(connection)
        connection.protocol.makeConnection(connection)
        return succeed(connection.protocol)

    def asked_for(self, connection: Connection, head: str) -> None:
        path = head.split(" ")[1]
        ranges = [line[7:] for line in head.split("\r\n") if line.lower().startswith("range: ")]
        self.requests.append((self.clock.seconds(), path))
        page = self.pages.get(path, Reply(404, b"nothing"))
        if callable(page):
            page = page(ranges[0] if ranges else "")
        connection.answer(page if isinstance(page, Reply) else Reply(200, page))

    def asked(self, prefix: str = "") -> list[str]:
        return [path for _, path in self.requests if path.startswith(prefix)]

    def times(self, path: str) -> list[float]:
        return [when for when, asked in self.requests if asked == path]

    def opener(self) -> Opener:
        return Opener(
            self.clock,  # type: ignore[arg-type]
            self.connect,
            Timeouts(10, 10),
            offload,
            "tests",
            _Observer(),
        )


class _Observer:
    def upstream_opened(self) -> None:
        """Not of interest."""

    def upstream_failed(self, status: int) -> None:
        """Not of interest."""


class _Endpoint:
    def __init__(self, origin: ScriptedOrigin) -> None:
        self._origin = origin

    def connect(self, factory: Any) -> Deferred[Any]:
        return self._origin.ask(factory)


@define
class Taken:
    """A receiver that keeps everything, with the time it came."""

    clock: Clock
    data: bytearray = field(factory=bytearray)
    times: list[tuple[float, int]] = field(factory=list)
    breaks: list[int] = field(factory=list)
    ends: list[UpstreamError | None] = field(factory=list)
    on_data: Callable[[], None] = lambda: None

    def data_received(self, data: bytes | memoryview) -> None:
        self.data += data
        self.times.append((self.clock.seconds(), len(self.data)))
        self.on_data()

    def body_ended(self, error: UpstreamError | None) -> None:
        self.ends.append(error)

    def broken(self) -> None:
        self.breaks.append(len(self.data))

    def order(self) -> list[int]:
        """The numbers of the segments that came, each once for every run of its packets."""
        found: list[int] = []
        for start in range(0, len(self.data), 188):
            number = int.from_bytes(self.data[start + 4 : start + 8], "big")
            if not found or found[-1] != number:
                found.append(number)
        return found

    def gap(self, after: float = 0.0) -> float:
        """The longest time in which nothing came, from ``after`` on."""
        times = [when for when, _ in self.times if when >= after]
        return max(later - earlier for earlier, later in zip(times, [*times[1:], self.clock.seconds()], strict=True))


def ts(number: int, packets: int = 40) -> bytes:
    """A segment: packets that hold its number."""
    return b"".join(
        b"\x47\x01\x00" + bytes([0x10 | at % 16]) + number.to_bytes(4, "big") + at.to_bytes(4, "big") + b"." * 176
        for at in range(packets)
    )


def encrypted(data: bytes, key: bytes, iv: bytes) -> bytes:
    """What AES-128 of HLS makes of it."""
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return encryptor.update(padder.update(data) + padder.finalize()) + encryptor.finalize()


def listed(first: int, *segments: str, target: float = 2, duration: float = 2.0, ended: bool = False) -> bytes:
    """
    A media playlist.

    :param segments: names, with their tags before them where there are any.
    """
    lines = ["#EXTM3U", f"#EXT-X-TARGETDURATION:{target:g}", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
    for segment in segments:
        lines += [f"#EXTINF:{duration},", segment]
    return "\n".join([*lines, "#EXT-X-ENDLIST"] if ended else lines).encode()


def numbered(first: int, last: int, **options: Any) -> bytes:
    """A media playlist of the segments with these numbers."""
    return listed(first, *(f"{number}.ts" for number in range(first, last + 1)), **options)
