"""What the kernel is asked for a connection to an origin."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.origin_socket import KEEPALIVE, KEEPALIVE_EVERY, USER_TIMEOUT, connection_of, prepare
from tests.web.loop import Client, Loop, connected


class Speaking(Protocol):
    """Prepares its connection as soon as there is one."""

    def __init__(self) -> None:
        self.data = b""

    def connectionMade(self) -> None:
        self.prepared = prepare(self)

    def dataReceived(self, data: bytes) -> None:
        self.data += data


class GoBetween(Protocol):
    """What an endpoint has between a connection and its protocol."""

    def __init__(self, inner: Protocol) -> None:
        self.inner = inner
        self.reads = 0

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.inner.makeConnection(self.transport)

    def dataReceived(self, data: bytes) -> None:
        self.reads += 1
        self.inner.dataReceived(data)


class OriginSocketTests(SynchronousTestCase):
    def connect(self, protocol: Any) -> Client:
        return connected(Loop(), protocol, self)

    def assert_prepared(self, client: Client) -> None:
        handle = client.near.getHandle()
        self.assertTrue(handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        self.assertTrue(handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        for name, value in (
            ("TCP_USER_TIMEOUT", USER_TIMEOUT * 1000),
            ("TCP_KEEPIDLE", KEEPALIVE),
            ("TCP_KEEPINTVL", KEEPALIVE_EVERY),
        ):
            number = getattr(socket, name, None)
            if number is not None:
                self.assertEqual(handle.getsockopt(socket.IPPROTO_TCP, number), value, name)

    def test_a_connection(self) -> None:
        """An origin that is gone is noticed in time, and what it is asked leaves at once."""
        speaking = Speaking()
        client = self.connect(speaking)
        self.assertIs(speaking.prepared, client.near)
        self.assert_prepared(client)

    def test_with_something_between(self) -> None:
        """The same holds where something lies between, as TLS does."""
        speaking = Speaking()
        factory: WrappingFactory[Any] = WrappingFactory(Factory.forProtocol(Protocol))
        wrapper = ProtocolWrapper(factory, speaking)
        client = self.connect(wrapper)
        self.assert_prepared(client)
        self.assertEqual(connection_of(speaking), (client.near, wrapper))
        client.send(b"data")
        self.assertEqual(speaking.data, b"data")

    def test_the_go_between_of_an_endpoint(self) -> None:
        """What an endpoint needs only to connect is out of the way afterwards."""
        speaking = Speaking()
        between = GoBetween(speaking)
        client = self.connect(between)
        client.send(b"data")
        self.assertEqual((speaking.data, between.reads), (b"data", 0))

    def test_none(self) -> None:
        """What is no connection of the network is left as it is."""
        speaking = Speaking()
        speaking.makeConnection(StringTransport())
        self.assertIsNone(speaking.prepared)

    def test_a_kernel_that_refuses(self) -> None:
        """A platform that has none of it is no obstacle."""
        speaking = Speaking()
        for name in ("TCP_USER_TIMEOUT", "TCP_KEEPIDLE"):
            self.patch(socket, name, -1)
        self.patch(socket, "TCP_KEEPINTVL", None)
        client = self.connect(speaking)
        self.assertIs(speaking.prepared, client.near)
