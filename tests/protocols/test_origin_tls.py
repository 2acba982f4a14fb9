"""TLS towards origins, spoken in memory with a server of the test's own."""

from __future__ import annotations

import contextlib
import gc
import os
import weakref
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.origin_tls import SecureEndpoint, tls_to
from tests.doubles import folder_for


def certificate(name: str, days: int) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A self-signed certificate for a name, good for so many days from yesterday."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.now(UTC) - timedelta(days=1)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    return made, key


class Handshake:
    """
    One handshake.

    :ivar asked_for: the name that the client asked for, None without one.
    :ivar failure: what the client made of the server, None when it was content.
    """

    def __init__(
        self, client: IOpenSSLClientConnectionCreator, shown: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> None:
        context = SSL.Context(SSL.TLS_METHOD)
        context.use_certificate(shown)
        context.use_privatekey(key)
        server = SSL.Connection(context, None)
        server.set_accept_state()
        # Twisted's own way to check a name wants to tell a protocol what it found.
        factory = TLSMemoryBIOFactory(client, True, Factory.forProtocol(Protocol))
        protocol = TLSMemoryBIOProtocol(factory, Protocol())
        self.failure: BaseException | None = None
        protocol.failVerification = self._failed  # type: ignore[method-assign]
        connection = client.clientConnectionForTLS(protocol)
        connection.set_connect_state()
        for _ in range(4):
            for here, there in ((connection, server), (server, connection)):
                try:
                    here.do_handshake()
                except SSL.WantReadError:
                    pass
                except SSL.Error as error:
                    self.failure = self.failure or error
                with contextlib.suppress(SSL.WantReadError):
                    there.bio_write(here.bio_read(1 << 16))
        name = server.get_servername()
        self.asked_for = name.decode() if name else None

    def _failed(self, reason: object) -> None:
        self.failure = getattr(reason, "value", None)


class OriginTlsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.shown, self.key = certificate("origin.test", 30)

    def handshake(self, name: str, verify: bool) -> Handshake:
        return Handshake(tls_to(name, verify), self.shown, self.key)

    def trust(self) -> None:
        """Let this machine trust the certificate."""
        path = Path(folder_for(self)) / "roots.pem"
        path.write_bytes(self.shown.public_bytes(Encoding.PEM))
        # OpenSSL reads the environment itself.
        before = os.environ.get("SSL_CERT_FILE")
        self.addCleanup(
            lambda: os.environ.pop("SSL_CERT_FILE") if before is None else os.putenv("SSL_CERT_FILE", before)
        )
        os.environ["SSL_CERT_FILE"] = str(path)

    def test_a_good_one(self) -> None:
        """A certificate that this machine trusts, for the name that was wanted, is good."""
        self.trust()
        shaken = self.handshake("origin.test", True)
        self.assertEqual((shaken.failure, shaken.asked_for), (None, "origin.test"))

    def test_one_that_nobody_vouches_for(self) -> None:
        """A certificate that this machine does not trust is refused."""
        self.assertIsInstance(self.handshake("origin.test", True).failure, SSL.Error)

    def test_one_for_another_name(self) -> None:
        """A trusted certificate for another name is refused."""
        self.trust()
        self.assertIsInstance(self.handshake("other.test", True).failure, VerificationError)

    def test_one_that_has_expired(self) -> None:
        """A trusted certificate that has expired is refused."""
        self.shown, self.key = certificate("origin.test", 0)
        self.trust()
        self.assertIsInstance(self.handshake("origin.test", True).failure, SSL.Error)

    def test_any(self) -> None:
        """Where nothing is to be verified any certificate will do, and the origin learns the name all the same."""
        for name, asked_for in (("other.test", "other.test"), ("127.0.0.1", None), ("::1", None)):
            shaken = self.handshake(name, False)
            self.assertEqual((shaken.failure, shaken.asked_for), (None, asked_for))


class Spoken(Protocol):
    """Notes what it is given."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.reasons: list[Failure] = []

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reasons.append(reason)


class Shaken:
    """
    An endpoint whose other end is a TLS server in memory.

    :ivar secure: what the connection was made for.
    """

    secure: Any

    def __init__(self, shown: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        context = SSL.Context(SSL.TLS_METHOD)
        context.use_certificate(shown)
        context.use_privatekey(key)
        self.server = SSL.Connection(context, None)
        self.server.set_accept_state()
        self.transport = StringTransport()

    def connect(self, factory: Any) -> Deferred[Any]:
        self.secure = factory.buildProtocol(None)
        self.secure.makeConnection(self.transport)
        return succeed(self.secure)

    def shake_hands(self) -> None:
        for _ in range(4):
            with contextlib.suppress(SSL.WantReadError):
                if self.transport.value():
                    self.server.bio_write(self.transport.value())
                    self.transport.clear()
                self.server.do_handshake()
            self.flush()

    def flush(self) -> None:
        """Let the client have, in one read, all that the server has written."""
        with contextlib.suppress(SSL.WantReadError):
            self.secure.dataReceived(self.server.bio_read(1 << 20))


class SecureEndpointTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.shaken = Shaken(*certificate("origin.test", 30))
        endpoint: Any = self.shaken
        self.clock = Clock()
        connecting = SecureEndpoint(tls_to("origin.test", False), endpoint, self.clock).connect(
            Factory.forProtocol(Spoken)
        )
        self.spoken: Any = self.successResultOf(connecting)
        self.shaken.shake_hands()

    def test_one_piece(self) -> None:
        """What came in one read is handed on in one piece, of however many records it is."""
        for _ in range(10):
            self.shaken.server.send(b"x" * 16384)
        self.shaken.flush()
        self.assertEqual(self.spoken.pieces, [b"x" * 163840])
        self.shaken.server.send(b"more")
        self.shaken.flush()
        self.assertEqual(self.spoken.pieces[1:], [b"more"])

    def test_what_is_sent(self) -> None:
        """What the protocol writes arrives encrypted."""
        self.spoken.transport.write(b"GET /")
        self.assertNotIn(b"GET /", self.shaken.transport.value())
        self.shaken.server.bio_write(self.shaken.transport.value())
        self.assertEqual(self.shaken.server.recv(100), b"GET /")

    def test_the_end(self) -> None:
        """What came with the end is handed on before it."""
        self.shaken.server.send(b"last")
        self.shaken.server.shutdown()
        self.shaken.flush()
        self.assertTrue(self.shaken.transport.disconnecting)
        self.shaken.secure.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.spoken.pieces, [b"last"])
        self.assertEqual(len(self.spoken.reasons), 1)

    def test_nothing_stays(self) -> None:
        """A protocol whose connection is over is not held by it, and goes at once."""
        gc.disable()
        self.addCleanup(gc.enable)
        self.shaken.secure.connectionLost(Failure(ConnectionDone()))
        spoken = weakref.ref(self.spoken)
        del self.spoken
        self.assertIsNone(spoken())
