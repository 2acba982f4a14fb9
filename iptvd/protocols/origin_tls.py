"""TLS towards origins: certificates verified, except where the operator has said not to."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from OpenSSL.SSL import Connection
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import CertificateOptions, optionsForClientTLS
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.protocols.tls import TLSMemoryBIOProtocol


@implementer(IOpenSSLClientConnectionCreator)
class AnyCertificate:
    """Encrypts without asking who is at the other end."""

    def __init__(self, hostname: str, options: CertificateOptions) -> None:
        self._hostname = hostname
        self._context = options.getContext()

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> Connection:
        """A connection that names the host it wants (RFC 6066 section 3: names only, never addresses)."""
        connection = Connection(self._context, None)
        try:
            ip_address(self._hostname)
        except ValueError:
            connection.set_tlsext_host_name(self._hostname.encode("idna"))
        return connection


def tls_to(hostname: str, verify: bool) -> IOpenSSLClientConnectionCreator:
    """
    How to speak TLS with a host.

    :param hostname: an ASCII (IDNA) name or an IP literal without brackets.
    """
    if verify:
        return optionsForClientTLS(hostname)
    return AnyCertificate(hostname, CertificateOptions())
