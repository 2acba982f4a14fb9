"""Keys and certificates for tests, signed by themselves or by each other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID


@frozen
class Pair:
    """A certificate and its key."""

    own: x509.Certificate
    private: ec.EllipticCurvePrivateKey

    @property
    def certificate(self) -> bytes:
        """As PEM."""
        return self.own.public_bytes(Encoding.PEM)

    @property
    def key(self) -> bytes:
        """As PEM."""
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def locked(self, password: bytes) -> bytes:
        """The key with a password, as PEM."""
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))

    @property
    def pem(self) -> bytes:
        """Both."""
        return self.key + self.certificate


def pair(
    *names: str,
    subject: str = "tv.test",
    by: Pair | None = None,
    key: ec.EllipticCurvePrivateKey | None = None,
    age: float = 1,
) -> Pair:
    """
    A new certificate for some names, and for 127.0.0.1.

    :param by: what signs it; itself without one.
    :param key: another certificate's, to be used again.
    :param age: days.
    """
    private = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(by.own.subject if by is not None else name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=age))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.BasicConstraints(True, None), critical=True)
    )
    if names:
        alternatives = [*map(x509.DNSName, names), x509.IPAddress(ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return Pair(builder.sign(by.private if by is not None else private, hashes.SHA256()), private)
