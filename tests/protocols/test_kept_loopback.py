"""Connections that serve one request after another, over the loopback, plain and in TLS, with a server not ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from iptvd.errors import UpstreamError
from iptvd.protocols.http_upstream import Timeouts, connect_with, open_http
from iptvd.protocols.kept import KeptConnections
from tests.protocols.test_origin_tls import certificate

SIZE = 300_000


class _Numbered(Resource):
    """Below it are numbers, each with a body of its own, some of them in chunks."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes | int:
        number = int((request.postpath or [b""])[0])
        body = bytes([number]) * SIZE
        if number % 2:
            # Without a length it leaves in chunks.
            request.write(body[:1000])
            request.write(body[1000:])
            request.finish()
            return NOT_DONE_YET
        return body


class _Counting(Site):
    """Counts its connections, and can close those that rest."""

    def __init__(self) -> None:
        super().__init__(_Numbered())
        self.made: list[Any] = []

    def buildProtocol(self, addr: IAddress | None) -> Any:
        protocol: Any = super().buildProtocol(addr)
        self.made.append(protocol._channel)
        return protocol


class _Whole:
    def __init__(self) -> None:
        self.data = bytearray()
        self.whole: Deferred[bytes] = Deferred()

    def data_received(self, data: bytes | memoryview) -> None:
        self.data += data

    def body_ended(self, error: UpstreamError | None) -> None:
        if error is None:
            self.whole.callback(bytes(self.data))
        else:
            self.whole.errback(error)


def _pem(folder: Path) -> Path:
    made, key = certificate("localhost", 3)
    path = folder / "both.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    path.write_bytes(secret + made.public_bytes(Encoding.PEM))
    return path


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_many_requests(scheme: str, tmp_path: Path) -> None:
    """Bodies of all framings come whole and in order on one connection, and on another when that one is closed."""
    from twisted.internet import reactor

    clock = IReactorTime(reactor)
    site = _Counting()
    described = "tcp:0:interface=127.0.0.1"
    if scheme == "https":
        described = f"ssl:0:interface=127.0.0.1:privateKey={_pem(tmp_path)}"
    port = await serverFromString(reactor, described).listen(site)
    kept = KeptConnections(clock)
    connect = connect_with(reactor, Timeouts())

    async def fetch(number: int) -> bytes:
        url = f"{scheme}://127.0.0.1:{port.getHost().port}/{number}"
        upstream = await open_http(url, (), connect, clock, Timeouts(), verify_tls=False, kept=kept)
        whole = _Whole()
        upstream.attach(whole)
        return await whole.whole.addTimeout(10, clock)

    try:
        for number in range(6):
            assert await fetch(number) == bytes([number]) * SIZE
        assert len(site.made) == 1
        # The server closes it in the moment in which it is used again.
        site.made[0].loseConnection()
        assert await fetch(7) == bytes([7]) * SIZE
        assert len(site.made) == 2
    finally:
        kept.close()
        await port.stopListening()
        site.made[-1].transport.abortConnection()
        await deferLater(clock, 0)
