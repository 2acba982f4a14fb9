"""A listener for proxies that speak the PROXY protocol: each of its connections is the one of the proxy's client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure

from iptvd.errors import ConfigError, ProtocolError
from iptvd.forwarded import parse_address
from iptvd.log import Log
from iptvd.protocols.proxy_protocol import Address, HeaderReader, Relayed
from iptvd.trust import Network

#: Seconds that a proxy has for its header.
PATIENCE = 10.0
#: Seconds between two lines of the log about who was not let in.
_QUIET = 60.0


def for_proxies(endpoints: Sequence[str]) -> Sequence[Sequence[str]]:
    """
    The endpoints of ``listen_proxy``, each with what there is to be tried.

    :raises ConfigError: when one is not plain TCP: the header comes before TLS, and a Unix socket has no address that
        could be among ``trusted_proxies``.
    """
    for each in endpoints:
        if each.partition(":")[0] not in ("tcp", "tcp6", "systemd"):
            raise ConfigError(f"cannot listen on {each} for proxies: listen_proxy takes tcp: endpoints")
    return [[each] for each in endpoints]


class ProxiedFactory(ServerFactory):
    """
    Takes connections from the proxies that are trusted, and from nobody else.

    :param site: makes the protocols for their clients' connections, as for its own.
    :param proxies: gives the networks they are in, as the settings are now.
    """

    noisy = False
    log = Log()

    def __init__(self, site: Any, proxies: Callable[[], Sequence[Network]], clock: IReactorTime) -> None:
        self.site = site
        self.clock = clock
        self._proxies = proxies
        self._told = -_QUIET

    def buildProtocol(self, addr: IAddress | None) -> Introduction | None:
        """What reads a proxy's header; None, which closes the connection, for anybody else."""
        host = getattr(addr, "host", "")
        if host and any(parse_address(host) in network for network in self._proxies()):
            return Introduction(self)
        self.complain("a connection from what is not among trusted_proxies")
        return None

    def complain(self, what: str) -> None:
        """Tell the operator why nobody gets through, now and then."""
        if self.clock.seconds() - self._told >= _QUIET:
            self._told = self.clock.seconds()
            self.log.warn("listen_proxy has closed {what}", what=what)


class Introduction(Protocol):
    """Reads the header, and then makes way for a protocol of the site's."""

    def __init__(self, factory: ProxiedFactory) -> None:
        self._of = factory
        self._reader = HeaderReader()
        self._patience: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Wait for the header, and not for long."""
        self._patience = self._of.clock.callLater(PATIENCE, self._give_up, "a connection without a PROXY header")

    def dataReceived(self, data: bytes) -> None:
        """Take a part of the header, or all of it with what follows."""
        try:
            found = self._reader.feed(data)
        except ProtocolError as error:
            sentence = error.sentence
            self._give_up(f"a connection: {sentence[:1].lower()}{sentence[1:]}")
            return
        if found is not None:
            self._forget()
            self._make_way(*found)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The proxy has gone."""
        self._forget()

    def _make_way(self, relayed: Relayed, rest: bytes) -> None:
        transport = cast(Any, self.transport)
        peer = transport.getPeer() if relayed.own else address_of(relayed.client)
        connection = self._of.site.buildProtocol(peer)
        if connection is None:
            transport.abortConnection()
            return
        if not relayed.own:
            connection.relayed = relayed
        transport.protocol = connection
        connection.makeConnection(transport)
        if rest:
            connection.dataReceived(rest)

    def _give_up(self, what: str) -> None:
        self._forget()
        self._of.complain(what)
        cast(Any, self.transport).abortConnection()

    def _forget(self) -> None:
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
        self._patience = None


def address_of(place: tuple[Address, int] | None) -> IAddress | None:
    """An address and a port as Twisted has them."""
    if place is None:
        return None
    address, port = place
    return (IPv4Address if address.version == 4 else IPv6Address)("TCP", str(address), port)
