"""
Connections to origins that serve one request after another (RFC 9112 section 9.3).

A connection whose response is whole and allows it rests until the next request for the same host, for some seconds and
one for each host. An origin may close it just as it is used again: a request that gets not a byte of an answer on a
connection that has served before is made once more, on a new one.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from iptvd.protocols.http_upstream import Connect, HTTPUpstream
from iptvd.protocols.origin_socket import connection_of
from iptvd.protocols.origin_tls import GatheringTLS
from iptvd.protocols.socks5 import Proxy
from iptvd.protocols.socks_endpoint import Once
from iptvd.protocols.urls import Target

#: Seconds that a connection rests: longer than from one segment of HLS to the next.
REST = 15.0

#: Scheme, host and port, whether the certificate was verified, and what lies between.
_Place = tuple[str, str, int, bool, Proxy | None]


class KeptConnections:
    """
    Those of one source.

    :param rest: seconds for which one may rest.
    """

    def __init__(self, clock: IReactorTime, rest: float = REST) -> None:
        self._clock = clock
        self._rest = rest
        self._resting: dict[_Place, _Resting] = {}
        self._dialing: set[Deferred[IProtocol]] = set()
        self._closed = False

    def over(self, connect: Connect, request: bytes) -> Connect:
        """
        Connections that rest, and where there is none, a new one.

        :param request: what will be asked, in case that it has to be asked again.
        """
        return lambda target, verify_tls: _Endpoint(self, _Errand(target, verify_tls, connect, request))

    def close(self) -> None:
        """Close all that rest, and keep none from now on."""
        self._closed = True
        for resting in list(self._resting.values()):
            resting.leave(abort=True)
        for dialing in list(self._dialing):
            dialing.cancel()

    def take(self, upstream: HTTPUpstream, errand: _Errand) -> bool:
        """Have an upstream ask on a connection that rests; False when there is none."""
        upstream.keep = partial(self._keep, errand.place)
        resting = self._resting.get(errand.place)
        if resting is None:
            return False
        transport = resting.transport
        resting.leave(abort=False)
        upstream.makeConnection(transport)
        _give(upstream, _FirstByte(self, upstream, errand))
        return True

    def again(self, upstream: HTTPUpstream, errand: _Errand) -> None:
        """Have an upstream ask on a new connection: the one that had rested is gone."""
        if upstream.ended:
            return
        upstream.transport = None  # type: ignore[assignment]
        dialing = errand.connect(errand.target, errand.verify_tls).connect(Once(upstream))
        self._dialing.add(dialing)

        def done(result: IProtocol | Failure) -> None:
            self._dialing.discard(dialing)
            if isinstance(result, Failure):
                upstream.connectionLost(result)
            elif upstream.ended:
                upstream.transport.abortConnection()  # type: ignore[attr-defined]
            else:
                upstream.transport.write(errand.request)

        dialing.addBoth(done)

    def _keep(self, place: _Place, upstream: HTTPUpstream) -> bool:
        """Have the connection of an upstream that has all it asked for rest; False when it is not wanted."""
        if self._closed or place in self._resting:
            return False
        resting = _Resting(self._resting, place, self._clock.callLater(self._rest, lambda: resting.leave(abort=True)))
        _give(upstream, resting)
        self._resting[place] = resting
        # Its reader may have paused it; from now on we want to hear when it is closed.
        resting.transport.resumeProducing()  # type: ignore[union-attr]
        return True


@frozen
class _Errand:
    """A request, and where to."""

    target: Target
    verify_tls: bool
    connect: Connect
    request: bytes

    @property
    def place(self) -> _Place:
        return self.target.scheme, self.target.host, self.target.port, self.verify_tls, self.target.proxy


@implementer(IStreamClientEndpoint)
class _Endpoint:
    def __init__(self, kept: KeptConnections, errand: _Errand) -> None:
        self._kept = kept
        self._errand = errand

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        upstream: Any = protocolFactory.buildProtocol(None)  # type: ignore[arg-type]
        if isinstance(upstream, HTTPUpstream) and self._kept.take(upstream, self._errand):
            return succeed(upstream)
        return self._errand.connect(self._errand.target, self._errand.verify_tls).connect(protocolFactory)


class _Resting(Protocol):
    """In the place of a protocol while a connection rests: nothing is to come now."""

    def __init__(self, all_of_them: dict[_Place, _Resting], place: _Place, timer: IDelayedCall) -> None:
        self._all = all_of_them
        self._place = place
        self._timer = timer

    def leave(self, *, abort: bool) -> None:
        """It rests no longer."""
        self._all.pop(self._place, None)
        if self._timer.active():
            self._timer.cancel()
        if abort:
            self.transport.abortConnection()  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        # Whatever this answers, nobody has asked.
        self.leave(abort=True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._timer.active():
            self.leave(abort=False)


class _FirstByte(Protocol):
    """In the place of an upstream until the first byte of its answer has come."""

    def __init__(self, kept: KeptConnections, upstream: HTTPUpstream, errand: _Errand) -> None:
        self._kept = kept
        self._upstream = upstream
        self._errand = errand

    def dataReceived(self, data: bytes) -> None:
        _give(self, self._upstream)
        self._upstream.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._kept.again(self._upstream, self._errand)


def _give(former: Protocol, new: Protocol) -> None:
    """Have what comes on the connection of one protocol go to another."""
    transport = former.transport
    _, above = connection_of(former)
    if isinstance(above, GatheringTLS):
        above.inner = new
    else:
        transport.protocol = new  # type: ignore[union-attr]
    new.transport = transport
