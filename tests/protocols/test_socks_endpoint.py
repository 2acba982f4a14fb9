"""Connections through a SOCKS5 proxy: microsocks where it does its work, a scripted one for each way to fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint, serverFromString
from twisted.internet.error import ConnectionDone, NoRouteError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site
from twisted.web.static import Data

from iptvd.errors import ProviderError, UpstreamError
from iptvd.protocols.http_upstream import Timeouts, connect_with, open_http
from iptvd.protocols.socks5 import Proxy, read_proxy
from iptvd.protocols.socks_endpoint import ProxyError, SocksEndpoint, endpoint_to
from iptvd.proxies import Fetchers
from tests.daemon.harness import free_port
from tests.protocols.test_origin_tls import certificate
from tests.simulators.socks import EXIT, PASSWORD, USER, Line, Microsocks, ScriptedProxy, microsocks

OPEN = Line(3, b"\x05\x00")
#: A request for ``origin.test``, and the answer to it.
ASKED = 4 + 1 + 11 + 2
MADE = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50"


class Talker(Protocol):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.data = b""
        self.heard: Deferred[bytes] = Deferred()
        self.lost: list[Failure] = []
        self.enough = 1

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        if len(self.data) >= self.enough and not self.heard.called:
            self.heard.callback(self.data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.append(reason)


class Host(Protocol):
    """Says who came, and then whatever it is told."""

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(transport.getPeer().host.encode() + b"\n")

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


@pytest.fixture(scope="module", params=[False, True], ids=["open", "locked"])
def proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Microsocks]:
    """Microsocks, with a password and without."""
    with microsocks(tmp_path_factory.mktemp("microsocks"), locked=request.param) as running:
        yield running


async def connected(where: Proxy, host: str, port: int, seconds: float = 10.0) -> Talker:
    talker = await SocksEndpoint(reactor, where, host, port, seconds).connect(Factory.forProtocol(Talker))
    assert isinstance(talker, Talker)
    return talker


async def refused(where: Proxy, host: str = "origin.test", port: int = 80, seconds: float = 10.0) -> ProxyError:
    with pytest.raises(ProxyError) as caught:
        await connected(where, host, port, seconds)
    error = caught.value
    assert isinstance(error, ProxyError)
    for secret in (host, where.host, str(where.port), where.username, where.password):
        assert not secret or secret not in f"{error} {error.sentence}"
    return error


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_through_microsocks(proxy: Microsocks) -> None:
    """A connection through a proxy carries both ways, and the host sees the proxy."""
    port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(Factory.forProtocol(Host))
    try:
        for host in ("localhost", "127.0.0.1"):
            talker = await connected(read_proxy(proxy.address), host, port.getHost().port)
            greeting = f"{EXIT}\n".encode()
            talker.enough = len(greeting) + 5
            transport: Any = talker.transport
            transport.write(b"hello")
            assert await talker.heard == greeting + b"hello"
            assert talker.lost == []
            transport.abortConnection()
            await deferLater(IReactorTime(reactor), 0)
            assert len(talker.lost) == 1
    finally:
        await port.stopListening()


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_host_that_is_not_there(proxy: Microsocks) -> None:
    """A host that refuses, and one that the proxy knows nothing of, are told apart from the proxy."""
    where = read_proxy(proxy.address)
    error = await refused(where, "127.0.0.1", free_port())
    assert "refuses the SOCKS proxy's connection" in error.sentence
    error = await refused(where, "nowhere.invalid")
    assert error.sentence.startswith("the SOCKS proxy")
    assert not error.late


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_passwords(tmp_path: Path) -> None:
    """A proxy that wants a password says so, without one and with a wrong one."""
    with microsocks(tmp_path, locked=True) as running:
        error = await refused(Proxy("127.0.0.1", running.port))
        assert "wants another user name and password" in error.sentence
        for user, password in ((USER, "wrong"), ("alice", PASSWORD)):
            error = await refused(Proxy("127.0.0.1", running.port, user, password))
            assert "does not accept the user name and password" in error.sentence


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([Line(3, b"\x05\xff")], "wants another user name and password"),
        ([Line(3, b"HTTP/1.1 400 Bad Request\r\n\r\n")], "does not speak SOCKS5"),
        ([OPEN, Line(ASKED, b"\x05\x02\x00\x01")], "rules forbid"),
        ([OPEN, Line(ASKED, b"\x05\x04\x00\x01")], "cannot reach the host"),
    ],
)
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_what_it_says(lines: list[Line], sentence: str) -> None:
    """What a proxy answers instead of connecting is a sentence."""
    with ScriptedProxy(lines) as scripted:
        error = await refused(Proxy("127.0.0.1", scripted.port))
    assert sentence in error.sentence
    assert not error.late


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [([], "the SOCKS proxy does not answer"), ([OPEN], "the host does not answer the SOCKS proxy")],
)
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_silence(lines: list[Line], sentence: str) -> None:
    """A proxy that says nothing is given up, and so is a host that it waits for in vain."""
    with ScriptedProxy(lines) as scripted:
        error = await refused(Proxy("127.0.0.1", scripted.port), seconds=0.2)
    assert (error.sentence, error.late) == (sentence, True)


@pytest.mark.parametrize("lines", [[], [OPEN], [OPEN, Line(ASKED, MADE[:6])]])
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_it_hangs_up(lines: list[Line]) -> None:
    """A proxy that hangs up before the connection is made is told of, whenever that is."""
    with ScriptedProxy(lines, hangs_up=True) as scripted:
        error = await refused(Proxy("127.0.0.1", scripted.port))
    assert error.sentence == "the SOCKS proxy closed the connection"


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_no_proxy_there() -> None:
    """A proxy that nobody listens for, or whose name is not known, is told of as such."""
    error = await refused(Proxy("127.0.0.1", free_port()))
    assert error.sentence == "the SOCKS proxy refuses the connection"
    error = await refused(Proxy("proxy.invalid", 1080))
    assert error.sentence == "the SOCKS proxy's own name is not known to DNS"


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_the_name_goes_to_the_proxy() -> None:
    """The host's name is told to the proxy as it is, and what the host says at once is not lost."""
    with ScriptedProxy([OPEN, Line(ASKED, MADE + b"hello")]) as scripted:
        talker = await connected(Proxy("127.0.0.1", scripted.port), "origin.test", 8080)
        assert await talker.heard == b"hello"
        assert scripted.heard == b"\x05\x01\x00" + b"\x05\x01\x00\x03\x0borigin.test" + (8080).to_bytes(2, "big")
        transport: Any = talker.transport
        transport.abortConnection()
        await deferLater(IReactorTime(reactor), 0)


@pytest.mark.parametrize("trusted", [False, True])
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_certificates(proxy: Microsocks, trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a proxy it is the host's certificate that counts, for media and for our own requests."""
    made, key = certificate("localhost", 3)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (tmp_path / "both.pem").write_bytes(secret + made.public_bytes(Encoding.PEM))
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "both.pem"))
    described = f"ssl:0:interface=127.0.0.1:privateKey={tmp_path / 'both.pem'}"
    page = Data(b"hello", "text/plain")
    page.isLeaf = True
    port = await serverFromString(reactor, described).listen(Site(page, timeout=None))
    url, where = f"https://localhost:{port.getHost().port}/", read_proxy(proxy.address)
    fetchers, clock = Fetchers(reactor, "iptvd/test", 5.0), IReactorTime(reactor)
    connect = connect_with(reactor, Timeouts())
    try:
        if trusted:
            upstream = await open_http(url, (), connect, clock, Timeouts(), proxy=where)
            assert await upstream.first_bytes(5) == b"hello"
            upstream.stopProducing()
            assert (await fetchers.through(where).get(url)).body == b"hello"
        else:
            with pytest.raises(UpstreamError, match="is its certificate valid"):
                await open_http(url, (), connect, clock, Timeouts(), proxy=where)
            with pytest.raises(ProviderError, match="certificate is not valid"):
                await fetchers.through(where).get(url)
    finally:
        await fetchers.stop()
        await port.stopListening()
        await deferLater(clock, 0)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_names_that_cannot_be_told() -> None:
    """What is no host's name is not even brought to the proxy."""
    error = await refused(Proxy("127.0.0.1", 1), "x" * 256)
    assert "name of this length" in error.sentence


class Transport(StringTransport):
    """Knows when it was aborted."""

    protocol: Any = None
    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class HandshakeTests(SynchronousTestCase):
    """What cannot be seen from outside, with a network in memory."""

    def setUp(self) -> None:
        self.machine = MemoryReactorClock()
        self.transport = Transport()

    def connect(self, factory: Any = None) -> Deferred[Any]:
        """Begin to connect; the proxy accepts."""
        endpoint = SocksEndpoint(self.machine, Proxy("127.0.0.1", 1080), "origin.test", 80, 5.0)
        connecting: Deferred[Any] = endpoint.connect(factory or Factory.forProtocol(Talker))
        made: Any = self.machine.tcpClients[-1][2]
        self.protocol: Any = made.buildProtocol(None)
        self.protocol.makeConnection(self.transport)
        return connecting

    def left(self) -> list[object]:
        return [call for call in self.machine.getDelayedCalls() if call.active()]

    def test_given_up(self) -> None:
        """Whoever does not want the connection any more is rid of it at once, and nothing is left."""
        connecting = self.connect()
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertTrue(self.transport.aborted)
        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.left(), [])

    def test_given_up_before_the_proxy_answers(self) -> None:
        """The connection to the proxy itself can be given up too."""
        endpoint = SocksEndpoint(self.machine, Proxy("127.0.0.1", 1080), "origin.test", 80, 5.0)
        connecting: Deferred[Any] = endpoint.connect(Factory.forProtocol(Talker))
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertEqual(self.left(), [])

    def test_nobody_is_waiting(self) -> None:
        """A connection that nobody takes when it is made is closed."""
        factory = Factory()
        factory.buildProtocol = lambda addr: None  # type: ignore[method-assign]
        connecting = self.connect(factory)
        self.protocol.dataReceived(b"\x05\x00" + MADE)
        self.failureResultOf(connecting, ProxyError)
        self.assertTrue(self.transport.aborted)
        self.assertEqual(self.left(), [])

    def test_handed_over(self) -> None:
        """Once it is made the connection is the protocol's own: nothing of ours stays between."""
        connecting = self.connect()
        self.protocol.dataReceived(b"\x05\x00")
        self.protocol.dataReceived(MADE)
        talker = self.successResultOf(connecting)
        self.assertIs(self.transport.protocol, talker)
        self.assertIs(talker.transport, self.transport)
        self.assertEqual(self.left(), [])

    def test_refused(self) -> None:
        """What is refused is closed at once, and told of once."""
        connecting = self.connect()
        self.protocol.dataReceived(b"\x05\xff")
        error = self.failureResultOf(connecting, ProxyError).value
        self.assertIn("user name and password", error.sentence)
        self.assertTrue(self.transport.aborted)
        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.left(), [])

    def test_slow_to_accept(self) -> None:
        """A proxy that does not even accept is given up."""
        endpoint = SocksEndpoint(self.machine, Proxy("127.0.0.1", 1080), "origin.test", 80, 5.0)
        connecting: Deferred[Any] = endpoint.connect(Factory.forProtocol(Talker))
        made: Any = self.machine.tcpClients[-1][2]
        self.assertEqual(self.machine.tcpClients[-1][3], 5.0)
        made.clientConnectionFailed(None, Failure(ConnectTimeout()))
        error = self.failureResultOf(connecting, ProxyError).value
        self.assertEqual((error.sentence, error.late), ("the SOCKS proxy does not answer", True))

    def test_out_of_reach(self) -> None:
        """A proxy that there is no way to is told of."""
        endpoint = SocksEndpoint(self.machine, Proxy("127.0.0.1", 1080), "origin.test", 80, 5.0)
        connecting: Deferred[Any] = endpoint.connect(Factory.forProtocol(Talker))
        made: Any = self.machine.tcpClients[-1][2]
        made.clientConnectionFailed(None, Failure(NoRouteError()))
        error = self.failureResultOf(connecting, ProxyError).value
        self.assertEqual(error.sentence, "the SOCKS proxy cannot be reached")


class EndpointTests(SynchronousTestCase):
    def test_the_ways(self) -> None:
        """A name is looked up, an address is not, and what goes through a proxy is neither."""
        machine = MemoryReactorClock()
        for host, kind in (
            ("origin.test", HostnameEndpoint),
            ("127.0.0.1", TCP4ClientEndpoint),
            ("::1", TCP6ClientEndpoint),
        ):
            self.assertIs(type(endpoint_to(machine, host, 80, 5.0)), kind)
            through = endpoint_to(machine, host, 80, 5.0, Proxy("proxy.test", 1080))
            self.assertIs(type(through), SocksEndpoint)
