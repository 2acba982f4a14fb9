"""Addresses that nobody is to be reached at without the operator's word: this machine's own, and link-local ones."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import Any

from twisted.internet.error import ConnectError
from zope.interface import directlyProvides, providedBy


class NearbyError(ConnectError):
    """What was to be connected to is nearby."""


def is_nearby(host: str) -> bool:
    """
    Whether an address leads to this machine, or to what only its own network link knows.

    Loopback, link-local (where clouds keep their metadata), unspecified and multicast addresses (RFC 6890), those of
    IPv4 in an IPv6 address too.
    """
    address = ip_address(host)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast


class Faraway:
    """
    A reactor that connects to nothing nearby.

    What is looked at is the address at the moment of connecting: a name is looked up once, and whatever it leads to
    is what is judged and then used.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def connectTCP(self, host: str, port: int, *arguments: Any, **more: Any) -> Any:
        """See `IReactorTCP.connectTCP`; raises `NearbyError`."""
        if is_nearby(host):
            raise NearbyError
        return self._reactor.connectTCP(host, port, *arguments, **more)
