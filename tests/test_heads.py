"""A bound on the heads of answers to our own requests."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from iptvd.heads import MAX_HEAD, _BoundedEndpoint


class Received(Protocol):
    """Keeps what comes."""

    def __init__(self) -> None:
        self.data = b""

    def dataReceived(self, data: bytes) -> None:
        self.data += data


class Transport(StringTransport):
    """Knows when it was aborted."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class Nowhere:
    """An endpoint whose other end is the test."""

    def __init__(self) -> None:
        self.transport = Transport()

    def connect(self, factory: Factory) -> Deferred[object]:
        self.protocol = factory.buildProtocol(None)
        assert self.protocol is not None
        self.protocol.makeConnection(self.transport)
        return succeed(self.protocol)


class BoundedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.there = Nowhere()
        endpoint = _BoundedEndpoint(self.there)  # type: ignore[arg-type]
        received = self.successResultOf(endpoint.connect(Factory.forProtocol(Received)))
        assert isinstance(received, Received)
        self.received = received

    def answer(self, data: bytes) -> None:
        assert self.there.protocol is not None
        self.there.protocol.dataReceived(data)

    def ask(self) -> None:
        assert self.received.transport is not None
        self.received.transport.writeSequence([b"GET / HTTP/1.1\r\n", b"\r\n"])

    def test_an_answer_passes(self) -> None:
        """An answer passes as it is, however long its body and however it is cut."""
        whole = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n" + bytes(3 * MAX_HEAD)
        self.ask()
        for start in range(40):
            self.answer(whole[start : start + 1])
        self.answer(whole[40:])
        self.assertEqual(self.received.data, whole)
        self.assertFalse(self.there.transport.aborted)

    def test_an_endless_head(self) -> None:
        """A head without an end is given up at a bound."""
        self.ask()
        self.answer(b"HTTP/1.1 200 OK\r\n")
        for _ in range(MAX_HEAD // 1000 + 2):
            self.answer(b"X: " + b"y" * 995 + b"\r\n")
        self.assertTrue(self.there.transport.aborted)
        self.assertLessEqual(len(self.received.data), MAX_HEAD + 1000)

    def test_interim_heads_count(self) -> None:
        """Interim heads without an end are given up too."""
        self.ask()
        for _ in range(MAX_HEAD // 20):
            self.answer(b"HTTP/1.1 102 Processing\r\n\r\n")
        self.assertTrue(self.there.transport.aborted)

    def test_each_answer_has_its_own(self) -> None:
        """On a connection that is used again, each answer may have a head up to the bound."""
        head = b"HTTP/1.1 200 OK\r\nX: " + b"y" * (MAX_HEAD - 100) + b"\r\n\r\n"
        for _ in range(3):
            self.ask()
            self.answer(head)
        self.assertFalse(self.there.transport.aborted)
