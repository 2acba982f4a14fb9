"""
The certificates of ``tls:`` endpoints: read from PEM files, and read again when those have changed.

Certificates are renewed every few weeks, by programs that know nothing of us. So at a connection it is looked whether
the files are still the ones that were read. Connections that are there go on with what they began with; files that
cannot be used, such as half-written ones, change nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from attrs import frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from OpenSSL import SSL
from OpenSSL.crypto import X509, PKey
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from iptvd.errors import ConfigError
from iptvd.log import Log

#: Files of a folder that are looked at, and bytes of one.
MAX_FILES, MAX_SIZE = 100, 1 << 20
#: Seconds between two looks at the files.
LOOK_AGAIN = 1.0
#: Certificates between one and its root.
_MOST_BETWEEN = 8

_BLOCK = re.compile(rb"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)

Signature = Sequence[tuple[str, int, int, int]]


@frozen
class _Found:
    """
    What the files hold.

    :ivar default: for clients that name no host, or one that no certificate is for.
    """

    default: SSL.Context
    by_name: Mapping[str, SSL.Context]


@implementer(IOpenSSLServerConnectionCreator)
class Certificates:
    """
    Makes connections with the certificates of a folder, or of a file.

    :param path: of the folder, all of whose files ``*.pem`` are read, or of the file. Each certificate has its key and
        those between it and its root in these files, in any order.
    :param seconds: a clock's.
    :raises ConfigError: when there is none that can be used.
    """

    log = Log()

    def __init__(self, path: Path, seconds: Callable[[], float]) -> None:
        self._path = path
        self._seconds = seconds
        self._looked = seconds()
        self._signature = _signature(path)
        self._found = self._read()

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """The TLS of a connection that has come."""
        self._look()
        return SSL.Connection(self._found.default)

    def _look(self) -> None:
        now = self._seconds()
        if now - self._looked < LOOK_AGAIN:
            return
        self._looked = now
        signature = _signature(self._path)
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self._found = self._read()
        except ConfigError as error:
            self.log.warn("the former certificates stay in use: {reason}", reason=error.sentence)
        else:
            self.log.info("the certificates have been read again")

    def _read(self) -> _Found:
        by_name: dict[str, SSL.Context] = {}
        default: SSL.Context | None = None
        for names, context in _contexts(self._path):
            context.set_tlsext_servername_callback(self._named)
            default = default or context
            for name in names:
                by_name.setdefault(name, context)
        if default is None:
            raise ConfigError("there is no certificate with its key in its files *.pem")
        return _Found(default, by_name)

    def _named(self, connection: SSL.Connection) -> None:
        """Go on with the certificate for the host that the client has named (RFC 6066 section 3)."""
        name = (connection.get_servername() or b"").decode("latin-1").lower()
        by_name = self._found.by_name
        context = by_name.get(name) or by_name.get(f"*.{name.partition('.')[2]}")
        if context is not None:
            connection.set_context(context)


def _files(path: Path) -> list[Path]:
    """
    What is read.

    :raises ConfigError: when it may not even be looked whether there is anything.
    """
    try:
        if not path.is_dir():
            return [path]
        found = (each for each in path.rglob("*.pem") if each.is_file())
        return sorted(islice(found, MAX_FILES))
    except OSError as error:
        raise ConfigError(f"{path.name} cannot be read ({error.strerror})") from None


def _signature(path: Path) -> Signature:
    """What is another when the files are."""
    found = []
    with suppress(ConfigError):
        for each in _files(path):
            with suppress(OSError):
                stat = each.stat()
                found.append((str(each), stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return found


def _contexts(path: Path) -> Iterator[tuple[Iterable[str], SSL.Context]]:
    """
    For each key its certificate's names, and what speaks TLS with it.

    :raises ConfigError: when a file cannot be read, or holds what is not what it says.
    """
    certificates: list[x509.Certificate] = []
    keys: dict[bytes, PKey] = {}
    for file in _files(path):
        try:
            with file.open("rb") as opened:
                data = opened.read(MAX_SIZE)
            for block in _BLOCK.finditer(data):
                if block[1] == b"CERTIFICATE":
                    certificates.append(x509.load_pem_x509_certificate(block[0]))
                elif block[1].endswith(b"PRIVATE KEY"):
                    key = load_pem_private_key(block[0], None)
                    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
                    keys[public] = PKey.from_cryptography_key(key)  # type: ignore[arg-type]
        except OSError as error:
            raise ConfigError(f"{file.name} cannot be read ({error.strerror})") from None
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # A key with a password raises TypeError.
            raise ConfigError(f"{file.name} holds a key or a certificate that cannot be used") from None
    # A folder may keep those that were renewed, with the same key.
    certificates.sort(key=lambda each: each.not_valid_before_utc, reverse=True)
    for public, pkey in keys.items():
        own = next((each for each in certificates if _public(each) == public), None)
        if own is not None:
            yield _names(own), _context(own, pkey, certificates)


def _public(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [name.lower() for name in names.get_values_for_type(x509.DNSName)]


def _context(own: x509.Certificate, key: PKey, certificates: Sequence[x509.Certificate]) -> SSL.Context:
    between: list[x509.Certificate] = []
    last = own
    while last.issuer != last.subject and len(between) < _MOST_BETWEEN:
        issuer = next((each for each in certificates if each.subject == last.issuer), None)
        if issuer is None or issuer in between:
            break
        between.append(issuer)
        last = issuer
    # Twisted's defaults: TLS 1.2 and above, forward secrecy, authenticated ciphers, no compression.
    options = CertificateOptions(
        privateKey=key,
        certificate=X509.from_cryptography(own),
        extraCertChain=[X509.from_cryptography(each) for each in between],
    )
    context: SSL.Context = options.getContext()
    return context
