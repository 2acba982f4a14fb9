"""The ports: bound before the daemon says that it has started, and a sentence when one cannot be."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.tcp import Port
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from iptvd.certificates import Certificates
from iptvd.errors import ConfigError
from iptvd.log import Log

#: Connections that the kernel completes before we have taken them.
BACKLOG = 4096

_TLS = "tls:"
#: What of a ``tls:`` endpoint can be given without its name, in this order; also ``interface``.
_PLACES = ("path", "port", "backlog")
_PART = re.compile(r"(?:([a-z]+)=)?((?:[^:\\]|\\.)*)(?::|\Z)")


def default_endpoints(host: str, port: int) -> Sequence[Sequence[str]]:
    """
    What to listen on when no endpoint is set: the first of the alternatives that works.

    :param host: an IP address, ``localhost``, or empty for all addresses of both families.
    """
    if not host:
        return [[_tcp("::", port), f"tcp:{port}:backlog={BACKLOG}"]]
    if host == "localhost":
        return [[_tcp("127.0.0.1", port)], [_tcp("::1", port), ""]]
    return [[_tcp(host, port)]]


def _tcp(host: str, port: int) -> str:
    interface = host.replace(":", "\\:")
    return f"tcp:{port}:interface={interface}:backlog={BACKLOG}"


class ListenService(Service):
    """
    Listens on endpoints.

    :param alternatives: for each port the endpoint descriptions to try in turn; an empty one means to do without.
    """

    log = Log()

    def __init__(self, reactor: Any, alternatives: Sequence[Sequence[str]], factory: IProtocolFactory) -> None:
        self._reactor = reactor
        self._alternatives = alternatives
        self._factory = factory
        self.ports: list[IListeningPort] = []

    def bind(self) -> None:
        """
        Bind all ports.

        :raises ConfigError: with one sentence, when one cannot be bound; those that could are closed by our end.
        """
        for descriptions in self._alternatives:
            failure: Failure | None = None
            for description in descriptions:
                if not description:
                    break
                bound = self._bind_one(description)
                if not isinstance(bound, Failure):
                    self.ports.append(bound)
                    break
                # What went wrong first is what the operator asked for; the fallback's complaint says less.
                failure = failure or bound
            else:
                raise ConfigError(_sentence(descriptions[0], failure))

    def _bind_one(self, description: str) -> IListeningPort | Failure:
        factory = self._factory
        try:
            if description.startswith(_TLS):
                description, certificates = self._tls(description)
                factory = TLSMemoryBIOFactory(certificates, False, factory, clock=self._reactor)
        except ConfigError:
            return Failure()
        results: list[IListeningPort | Failure] = []
        listening: Deferred[IListeningPort] = maybeDeferred(
            lambda: serverFromString(self._reactor, description).listen(factory)
        )
        listening.addBoth(results.append)
        if not results:
            # Every endpoint that we know of binds at once; one that does not cannot be waited for before the start.
            listening.cancel()
            return Failure(ConfigError("it does not listen at once"))
        if isinstance(results[0], Port) and "backlog=" not in description:
            # Twisted's default is 50: of a crowd that comes at once most would be kept waiting for seconds.
            results[0].socket.listen(BACKLOG)
        return results[0]

    def _tls(self, description: str) -> tuple[str, Certificates]:
        """
        The TCP endpoint of one with TLS, and the certificates.

        Twisted's own ``tls:`` does not notice that a certificate was renewed.

        :raises ConfigError: when it is none, or has no certificates.
        """
        given: dict[str, str] = {}
        at = len(_TLS)
        for place in range(5):
            match = _PART.match(description, at)
            if match is None or at >= len(description):
                break
            name = match[1] or (_PLACES[place] if place < len(_PLACES) else "")
            given[name] = re.sub(r"\\(.)", r"\1", match[2])
            at = match.end()
        port, backlog = given.get("port", "443"), given.get("backlog", str(BACKLOG))
        sound = at >= len(description) and given.get("path") and given.keys() <= {*_PLACES, "interface"}
        if not sound or not (port + backlog).isdigit():
            raise ConfigError("it is not tls:FOLDER:PORT, with :interface=ADDRESS where it is not for all addresses")
        interface = quoteStringArgument(given.get("interface", "::"))
        certificates = Certificates(Path(given["path"]), self._reactor.seconds)
        return f"tcp:{port}:interface={interface}:backlog={backlog}", certificates

    @property
    def addresses(self) -> list[str]:
        """Where we listen, for the log."""
        return [str(port.getHost()) for port in self.ports]

    def stopService(self) -> Deferred[Any]:
        """Take no new connections; those there are stay."""
        super().stopService()
        ports, self.ports = self.ports, []
        return gatherResults([maybeDeferred(port.stopListening) for port in ports])


def _sentence(description: str, failure: Failure | None) -> str:
    value = failure.value if failure is not None else None
    where = _public(description)
    if isinstance(value, ConfigError):
        return f"cannot listen on {where}: {value.sentence}; see --listen"
    if isinstance(value, CannotListenError):
        reason = os.strerror(value.socketError.errno) if value.socketError.errno else str(value.socketError)
        return f"cannot listen on {where}: {reason}; choose another with --listen"
    kind = f" ({type(value).__name__})" if value is not None else ""
    return f"cannot listen on {where}: it is not an endpoint that works here{kind}; see --listen"


def _public(description: str) -> str:
    """An endpoint description without what follows its address."""
    return description.replace(f":backlog={BACKLOG}", "")
