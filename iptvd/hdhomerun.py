"""The answers to HDHomeRun clients that look for tuners in the network, if that is set: UDP, for trusted ones only."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, cast

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.internet.protocol import DatagramProtocol

from iptvd.access import Shown
from iptvd.errors import ProtocolError
from iptvd.log import Log
from iptvd.protocols.hdhomerun import (
    DISCOVERY_PORT,
    LONGEST_BASE_URL,
    Found,
    Request,
    read_request,
    write_reply,
)
from iptvd.settings import Config
from iptvd.trust import Caller, Trust
from iptvd.tuners import AUTH, Tuners

#: Requests that are looked at in a second, and answered at once; a client that hears nothing asks again.
MOST_A_SECOND, MOST_AT_ONCE = 50, 16
#: Bytes of datagrams that are read in one turn of the reactor: somebody may send thousands.
_A_TURN = 8192
#: Where it is of no matter, as nothing is sent there.
_ANY_PORT = 9


def address_towards(peer: str) -> str:
    """The address that we have for somebody; empty when there is no way to them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent: the kernel chooses the way.
            probe.connect((peer, _ANY_PORT))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def port_at(ports: Iterable[IListeningPort], factory: object, address: str) -> int:
    """The TCP port at which plain HTTP is served at an address of ours; 0 when there is none."""
    ours = ("0.0.0.0", "::", address, f"::ffff:{address}")  # noqa: S104 - compared with
    # With TLS, and behind the PROXY protocol, another factory is before that one.
    hosts = (port.getHost() for port in ports if getattr(port, "factory", None) is factory)
    found = (host.port for host in hosts if isinstance(host, IPv4Address | IPv6Address) and host.host in ours)
    return int(next(found, 0))


class Responder(DatagramProtocol):
    """
    Answers.

    :param caller: gives who somebody is by the address, and how we are reached from there; None when we are not.
    """

    log = Log()

    def __init__(self, tuners: Tuners, caller: Callable[[str], Caller | None], clock: IReactorTime) -> None:
        self._tuners = tuners
        self._caller = caller
        self._clock = clock
        self._second = 0
        self._looked_at = 0
        self._under_way = 0

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Somebody looks for tuners, perhaps."""
        try:
            request = read_request(datagram)
        except ProtocolError:
            return
        caller = self._caller(addr[0]) if self._has_time() else None
        if caller is None or not caller.trusted:
            return
        self._under_way += 1
        work = Deferred.fromCoroutine(self._answer(request, caller, addr))
        work.addErrback(lambda failure: self.log.fault("a client that looks for tuners is not answered", failure))
        work.addCallback(self._answered)

    def _has_time(self) -> bool:
        second = int(self._clock.seconds())
        if second != self._second:
            self._second, self._looked_at = second, 0
        self._looked_at += 1
        return self._looked_at <= MOST_A_SECOND and self._under_way < MOST_AT_ONCE

    async def _answer(self, request: Request, caller: Caller, addr: Any) -> None:
        tuners = self._tuners
        for tuner in tuners.present:
            who = tuners.who_at(tuner, tuners.access().judge(caller, Shown()))
            device_id = tuners.device_id(tuner)
            # One that takes a token is of no use to who looks for tuners: nobody is asked for one.
            if who.status or not request.wants(device_id):
                continue
            base_url = who.caller.base_url + tuner.prefix
            # Below the short one nobody who is answered here needs a token, and the links that they get there have it.
            short = caller.base_url + tuners.shortest_prefix(tuner)
            shown = short if len(short) <= LONGEST_BASE_URL < len(base_url) else base_url
            count = await tuners.count(tuner, who.user)
            # It fits with a token of ours: neither a host's name nor what `iptvd.forwarded` takes for a prefix is that
            # long. A panel's own token may be longer.
            with suppress(ProtocolError):
                self._send(write_reply(Found(device_id, count, shown, f"{base_url}/lineup.json", AUTH)), addr)

    def _send(self, reply: bytes, addr: Any) -> None:
        # It may have been stopped meanwhile; and somebody who cannot be reached is no fault of ours.
        if self.transport is not None:
            with suppress(OSError):
                self.transport.write(reply, addr)

    def _answered(self, result: object) -> None:
        self._under_way -= 1


class TunerDiscovery(Service):
    """
    Listens for those who look for tuners, while that is set.

    :ivar notices: why it does not, in a sentence, where it should.
    :param site: what serves the tuners, at ``ports``.
    :param port: the UDP port.
    :param towards: see `address_towards`.
    """

    log = Log()

    def __init__(
        self,
        tuners: Tuners,
        site: object,
        ports: Callable[[], Iterable[IListeningPort]],
        trust: Callable[[], Trust],
        reactor: Any,
        port: int = DISCOVERY_PORT,
        towards: Callable[[str], str] = address_towards,
    ) -> None:
        self.notices: tuple[str, ...] = ()
        self._tuners = tuners
        self._site = site
        self._ports = ports
        self._trust = trust
        self._reactor = reactor
        self._number = port
        self._towards = towards
        self._wanted = False
        self._has_public_url = False
        self._port: IListeningPort | None = None

    def configure(self, config: Config) -> None:
        """Take on other settings."""
        self._wanted = config.hdhomerun and config.hdhomerun_discovery
        self._has_public_url = bool(config.public_url)
        if self.running:
            self._listen()
        if not self._wanted:
            self._close()

    def startService(self) -> None:
        """Begin to listen, if that is set."""
        super().startService()
        self._listen()

    def stopService(self) -> Deferred[Any]:
        """Listen no more."""
        super().stopService()
        return self._close()

    def _listen(self) -> None:
        if not self._wanted or self._port is not None:
            return
        self.notices = ()
        try:
            self._port = self._bound()
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            self.notices = (
                f"Players do not find the tuners by themselves: UDP port {self._number} cannot be listened on "
                f"({reason}). End the other program that has it, or unset hdhomerun_discovery.",
            )
            self.log.warn("{notice}", notice=self.notices[0])
        else:
            self.log.info("players find the tuners by themselves at {address}", address=str(self._port.getHost()))

    def _bound(self) -> IListeningPort:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
            # Several of us on one machine, and other programs that answer there, hear a broadcast each.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(("", self._number))
            bound.setblocking(False)
            responder = Responder(self._tuners, self._caller, self._reactor)
            port: Any = self._reactor.adoptDatagramPort(bound.fileno(), socket.AF_INET, responder)
        port.maxThroughput = _A_TURN
        return cast(IListeningPort, port)

    def _close(self) -> Deferred[Any]:
        port, self._port = self._port, None
        self.notices = ()
        return succeed(None) if port is None else maybeDeferred(port.stopListening)

    def _caller(self, peer: str) -> Caller | None:
        """Who that is, if there is a URL to be told."""
        local = self._towards(peer)
        port = port_at(self._ports(), self._site, local) if local else 0
        if not port and not self._has_public_url:
            return None
        return self._trust().judge(peer, False, lambda name: (), port, local)
