"""Addresses that nobody is to be reached at without the operator's word: this machine's own, and its network's."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from socket import inet_aton
from typing import Any

from attrs import frozen
from twisted.internet.error import ConnectError
from zope.interface import directlyProvides, providedBy

from iptvd.model import Source


class NearbyError(ConnectError):
    """What was to be connected to is nearby."""


def is_nearby(host: str) -> bool:
    """
    Whether an address leads to this machine, or to what only its own network link knows.

    Loopback, link-local (where clouds keep their metadata), unspecified and multicast addresses (RFC 6890), those of
    IPv4 in an IPv6 address too.
    """
    address = _plain(host)
    return address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast


def is_private(host: str) -> bool:
    """Whether an address leads anywhere but into the public network (RFC 6890): what is nearby does not either."""
    return is_nearby(host) or not _plain(host).is_global


def names_private(host: str) -> bool:
    """Whether a host in a URL is known to be private without being looked up."""
    try:
        return is_private(host)
    except ValueError:
        # All names below it are of this machine (RFC 6761 section 6.3).
        return f".{host.lower().rstrip('.')}".endswith(".localhost")


def _plain(host: str) -> IPv4Address | IPv6Address:
    """
    An address, that of IPv4 where one of IPv6 stands for it.

    :raises ValueError: when it is none.
    """
    try:
        address = ip_address(host)
    except ValueError:
        # The system's resolver takes other forms as well, such as 127.1 (inet_aton(3)).
        try:
            return IPv4Address(inet_aton(host))
        except OSError:
            raise ValueError("not an address") from None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped if mapped is not None else address


@frozen
class FarSource(Source):
    """A source that is not to lead to anything private, wherever it redirects to."""


class Faraway:
    """
    A reactor that connects to nothing nearby.

    What is looked at is the address at the moment of connecting: a name is looked up once, and whatever it leads to
    is what is judged and then used.

    :param refuses: tells of an address whether nothing is to be connected to it.
    """

    def __init__(self, reactor: Any, refuses: Callable[[str], bool] = is_nearby) -> None:
        self._reactor = reactor
        self._refuses = refuses
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def connectTCP(self, host: str, port: int, *arguments: Any, **more: Any) -> Any:
        """See `IReactorTCP.connectTCP`; raises `NearbyError`."""
        if self._refuses(host):
            raise NearbyError
        return self._reactor.connectTCP(host, port, *arguments, **more)
