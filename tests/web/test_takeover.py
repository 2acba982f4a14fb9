"""A viewer's connection, taken over from the web server."""

from __future__ import annotations

import contextlib
import gc
import socket
import weakref
from pathlib import Path
from typing import Any, cast

from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.ssl import CertificateOptions
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from iptvd.settings import Config
from iptvd.web.edges import Edges
from iptvd.web.site import IptvdSite
from iptvd.web.sockets import UNSENT
from iptvd.web.takeover import Taken, head_of, take_over
from tests.doubles import admission
from tests.protocols.test_origin_tls import certificate
from tests.web.loop import Client, Loop, connected

_TCP_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)


class Face(Resource):
    """Takes over whatever is asked of it."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[Taken | None] = []
        self.left: list[str] = []
        self.requests: list[weakref.ref[Request]] = []

    def render_GET(self, request: Request) -> int:
        request.setHeader("Content-Type", "video/mp2t")
        request.responseHeaders.setRawHeaders("X-Two", ["a", "b"])
        taken = take_over(request, lambda: self.left.append("left"))
        if taken is not None:
            taken.transport.write(head_of(request))
        self.taken.append(taken)
        self.requests.append(weakref.ref(request))
        return NOT_DONE_YET


class TakeoverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.loop = Loop()
        self.face = Face()
        self.site: Site = Site(self.face, timeout=60, reactor=self.loop)

    def ask(self, address: IPv4Address | None = None) -> Client:
        client = connected(self.loop, self.site.buildProtocol(address), self)
        with contextlib.suppress(OSError):
            client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return client

    def taken(self) -> Taken:
        taken = self.face.taken[-1]
        assert taken is not None
        return taken

    def test_the_head(self) -> None:
        """The answer's head is that of the request, and says that the connection's end is the body's."""
        head = self.ask().read()
        lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        self.assertEqual(lines[0], b"HTTP/1.1 200 OK")
        names = [line.partition(b":")[0].lower() for line in lines[1:]]
        self.assertEqual(sorted(names), [b"connection", b"content-type", b"date", b"server", b"x-two", b"x-two"])
        self.assertIn(b"Connection: close", lines)
        self.assertTrue(head.endswith(b"\r\n\r\n"))

    def test_its_socket(self) -> None:
        """A plain connection's socket is there to be written to directly."""
        client = self.ask()
        plain = self.taken().plain
        assert plain is not None
        plain.send(b"media")
        self.assertEqual(client.body, b"media")

    def test_the_request_goes(self) -> None:
        """Nothing of the web server's is kept for a viewer whose connection was taken over."""
        gc.disable()
        self.addCleanup(gc.enable)
        clients = [self.ask() for _ in range(3)]
        # At once, without the garbage collector: it may take its time when thousands join.
        self.assertEqual([request() for request in self.face.requests], [None] * 3)
        self.assertEqual(len(clients), 3)

    def test_what_the_kernel_is_told(self) -> None:
        """A viewer that is gone is noticed, one that pauses is not cut off, and a slow one costs little."""
        for secure in (False, True):
            client = self.ask_securely() if secure else self.ask()
            self.taken()
            handle = client.near.getHandle()
            self.assertTrue(handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
            self.assertEqual(handle.getsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT), UNSENT)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                self.assertEqual(handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT), 0)

    def ask_securely(self) -> Client:
        shown, key = certificate("viewer.test", 30)
        options = CertificateOptions(cast(Any, key), cast(Any, shown))
        factory = TLSMemoryBIOFactory(options, False, self.site, self.loop)
        client = connected(self.loop, factory.buildProtocol(cast(Any, None)), self)
        speaking = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        speaking.set_connect_state()
        came, taken = 0, len(self.face.taken)
        while len(self.face.taken) == taken:
            with contextlib.suppress(SSL.WantReadError):
                speaking.do_handshake()
                speaking.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            with contextlib.suppress(SSL.WantReadError):
                client.send(speaking.bio_read(1 << 16))
            got = client.read()
            if len(got) > came:
                speaking.bio_write(got[came:])
                came = len(got)
        return client

    def test_no_time_limit(self) -> None:
        """The web server's time limits hold no more, however long it goes on."""
        client = self.ask()
        self.loop.pump([30] * 100)
        self.taken().transport.write(b"late")
        self.assertEqual((client.body, client.ended, self.face.left), (b"late", False, []))

    def test_leaving(self) -> None:
        """When the viewer leaves, in whatever way, that is told once."""
        for reset in (False, True):
            del self.face.left[:]
            self.ask().leave(reset=reset)
            self.assertEqual(self.face.left, ["left"])
        self.assertEqual([call for call in self.loop.getDelayedCalls() if call.active()], [])

    def test_how_many_there_are(self) -> None:
        """A viewer's connection counts until its end, and what counted it before can go."""
        counted = admission(self.loop)
        edges = Edges(self.loop, Config(state_dir=Path("/nonexistent"), connections_per_address=2))
        self.site = IptvdSite(self.face, lambda: counted.access, counted.logins, self.loop, edges)
        self.patch(self.site, "getResourceFor", lambda request: self.face)
        address = IPv4Address("TCP", "127.0.0.1", 5)
        watching = [self.ask(address) for _ in range(2)]
        self.assertEqual(self.ask(address).read(), b"")
        watching[0].leave()
        self.assertIn(b" 200 ", self.ask(address).read())
        self.assertEqual(self.ask(address).read(), b"")

    def test_what_the_viewer_says(self) -> None:
        """Whatever the viewer sends meanwhile is passed over."""
        client = self.ask()
        client.send(b"GET /again HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        self.assertEqual((client.body, len(self.face.taken), self.face.left), (b"", 1, []))

    def test_closing(self) -> None:
        """What the transport holds is sent before a connection is closed."""
        client = self.ask()
        self.taken().transport.write(b"x" * 3_000_000)
        self.taken().close(self.loop, 30)
        self.assertEqual((len(client.body), client.ended), (3_000_000, True))
        self.loop.settle()
        self.assertEqual(self.face.left, ["left"])
        self.assertEqual([call for call in self.loop.getDelayedCalls() if call.active()], [])

    def test_closing_on_one_who_does_not_read(self) -> None:
        """A viewer that does not read what is still to be sent to it is cut off after a while."""
        self.ask()
        self.taken().transport.write(b"x" * 3_000_000)
        self.taken().close(self.loop, 30)
        self.loop.settle()
        self.loop.advance(29)
        self.assertEqual(self.face.left, [])
        self.loop.advance(1)
        self.loop.settle()
        self.assertEqual((self.face.left, self.loop.writers), (["left"], []))

    def test_breaking_off(self) -> None:
        """A connection can be closed at once, whatever is still to be sent."""
        client = self.ask()
        self.taken().transport.write(b"x" * 3_000_000)
        self.taken().abort()
        self.loop.settle()
        self.assertEqual(self.face.left, ["left"])
        self.assertLess(len(client.body), 3_000_000)
        self.assertTrue(client.ended)
        self.taken().close(self.loop, 30)
        self.assertEqual([call for call in self.loop.getDelayedCalls() if call.active()], [])

    def test_what_cannot_be_taken(self) -> None:
        """A connection of another kind, or one that is gone, is left as it is."""
        transport = StringTransport()
        protocol: Any = self.site.buildProtocol(None)
        protocol.makeConnection(transport)
        protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(self.face.taken, [None])

        class Gone:
            channel = None

        request: Any = Gone()
        self.assertIsNone(take_over(request, lambda: None))
