"""Our own requests for pages, API calls and pictures: whole, bounded, verified. Media never goes this way."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from hyperlink import EncodedURL
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, succeed
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import IConsumer, IOpenSSLClientConnectionCreator, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool, RedirectAgent
from twisted.web.error import InfiniteRedirection, PageRedirect, SchemeNotSupported
from twisted.web.http_headers import Headers as WebHeaders
from twisted.web.iweb import IAgent, IBodyProducer, IPolicyForHTTPS
from zope.interface import implementer

from iptvd.errors import ProviderError, StoreError
from iptvd.heads import BoundedEndpoints
from iptvd.interfaces import IFetcher, IPosts
from iptvd.model import Fetched, Headers, ProviderState
from iptvd.nearby import NearbyError
from iptvd.protocols.origin_tls import tls_to
from iptvd.protocols.socks5 import Proxy
from iptvd.protocols.socks_endpoint import ProxyError
from iptvd.saving import Saver, cut_short, too_long
from iptvd.store import Offload

MAX_REDIRECTS = 5
_MOST_OF_AN_ERROR = 64 * 1024


@implementer(IPolicyForHTTPS)
class _AnyCertificatePolicy:
    """Encrypts without asking who is at the other end: only where the operator said ``verify_tls = false``."""

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        return tls_to(hostname.decode("ascii"), verify=False)


class _Collector(Protocol):
    """Gathers a body up to a bound."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self.done: Deferred[bytes] = Deferred(lambda _: self._give_up())

    def _give_up(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            if not self.done.called:
                self.done.errback(too_long(self._limit))
            self._give_up()
            return
        self._parts.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        lack = cut_short(reason)
        if lack is None:
            self.done.callback(b"".join(self._parts))
        else:
            self.done.errback(lack)


class _Address(EncodedURL):
    """A URL whose host may be an IPv6 address, which is no name to be encoded as one."""

    def to_uri(self) -> EncodedURL:
        """See `EncodedURL.to_uri`."""
        if ":" not in self.host:
            return super().to_uri()
        return self.replace(host="").to_uri().replace(host=self.host)


@implementer(IBodyProducer)
class _Whole:
    """A body that is written at once."""

    def __init__(self, body: bytes) -> None:
        self.length = len(body)
        self._body = body

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """There is nothing left to pause."""

    def resumeProducing(self) -> None:
        """There is nothing left to send."""

    def stopProducing(self) -> None:
        """There is nothing left to stop."""


@implementer(IFetcher, IPosts)
class Fetcher:
    """
    The one that goes over the network.

    :param agent: gives the agent to use, by whether certificates are verified.
    """

    def __init__(self, clock: IReactorTime, agent: Callable[[bool], IAgent], user_agent: str) -> None:
        self._clock = clock
        self._clients = {
            verify: HTTPClient(RedirectAgent(agent(verify), redirectLimit=MAX_REDIRECTS)) for verify in (True, False)
        }
        self._user_agent = user_agent

    @classmethod
    def over_network(
        cls,
        reactor: IReactorTime,
        user_agent: str,
        connect_timeout: float,
        pool: HTTPConnectionPool,
        proxy: Proxy | None = None,
    ) -> Fetcher:
        """
        A fetcher that really connects.

        :param pool: for idle connections, which know nothing of proxies: one for each ``proxy``.
        :param proxy: through which all requests go, None for straight.
        """

        def agent(verify: bool) -> IAgent:
            policy = BrowserLikePolicyForHTTPS() if verify else _AnyCertificatePolicy()
            endpoints = BoundedEndpoints(reactor, policy, connect_timeout, proxy)
            made: IAgent = Agent.usingEndpointFactory(reactor, endpoints, pool if verify else None)
            return made

        return cls(reactor, agent, user_agent)

    async def get(
        self,
        url: str,
        *,
        headers: Headers = (),
        limit: int = 64 * 1024 * 1024,
        timeout: float = 30.0,  # noqa: ASYNC109 - the interface's word
        verify_tls: bool = True,
    ) -> Fetched:
        """See `IFetcher.get`."""
        return await self._in_time(self._whole("GET", url, headers, limit, verify_tls), timeout)

    async def post(
        self,
        url: str,
        *,
        headers: Headers = (),
        limit: int = 64 * 1024 * 1024,
        timeout: float = 30.0,  # noqa: ASYNC109
        verify_tls: bool = True,
        body: bytes = b"",
    ) -> Fetched:
        """See `IPosts.post`; our own requests may have a body."""
        return await self._in_time(self._whole("POST", url, headers, limit, verify_tls, body), timeout)

    async def save(
        self,
        url: str,
        path: Path,
        offload: Offload,
        *,
        headers: Headers = (),
        limit: int,
        timeout: float,  # noqa: ASYNC109
        verify_tls: bool = True,
    ) -> Fetched:
        """
        Fetch what may be too long for memory into a file, which is as far as it came when this fails.

        :return: without the body; a status other than 200 leaves the file alone.
        :raises ProviderError: as `IFetcher.get` does.
        :raises StoreError: when the file cannot be written.
        """
        return await self._in_time(self._save(url, path, offload, headers, limit, verify_tls), timeout)

    async def _in_time(self, work: Coroutine[Deferred[Any], Any, Fetched], seconds: float) -> Fetched:
        running: Deferred[Fetched] = Deferred.fromCoroutine(work)
        running.addTimeout(seconds, self._clock, onTimeoutCancel=_too_slow)
        try:
            return await running
        except (ProviderError, StoreError):
            raise
        except CancelledError:
            raise
        except Exception as error:
            if any(reason.check(CancelledError) for reason in getattr(error, "reasons", ())):
                raise CancelledError from None
            raise ProviderError(ProviderState.UNREACHABLE, _sentence(error)) from None

    async def _whole(
        self, method: str, url: str, headers: Headers, limit: int, verify_tls: bool, body: bytes = b""
    ) -> Fetched:
        response = await self._ask(method, url, headers, verify_tls, body)
        collector = _Collector(limit)
        response.deliverBody(collector)
        return _fetched(response, await collector.done)

    async def _save(
        self, url: str, path: Path, offload: Offload, headers: Headers, limit: int, verify_tls: bool
    ) -> Fetched:
        response = await self._ask("GET", url, headers, verify_tls)
        if response.code == 200:
            saver = Saver(path, limit, offload)
            response.deliverBody(saver)
            await saver.done
        else:
            # What an error says is not kept, but the connection is free again only when it was read.
            collector = _Collector(_MOST_OF_AN_ERROR)
            response.deliverBody(collector)
            with suppress(ProviderError):
                await collector.done
        return _fetched(response, b"")

    async def _ask(self, method: str, url: str, headers: Headers, verify_tls: bool, body: bytes = b"") -> Any:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ProviderError(ProviderState.UNCONFIGURED, "the address is not an http or https URL")
        sent = WebHeaders()
        for name, value in headers:
            sent.addRawHeader(name, value)
        if not sent.hasHeader("User-Agent"):
            sent.addRawHeader("User-Agent", self._user_agent)
        if parts.username is not None and not sent.hasHeader("Authorization"):
            credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            sent.addRawHeader("Authorization", "Basic " + b64encode(credentials.encode()).decode())
        bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
        return await self._clients[verify_tls].request(
            method,
            _Address.from_text(bare),
            headers=sent,
            data=_Whole(body) if body else None,
            allow_redirects=False,
            unbuffered=True,
        )


def _fetched(response: Any, body: bytes) -> Fetched:
    return Fetched(
        response.code,
        response.request.absoluteURI.decode("ascii", "replace"),
        {
            name.decode("latin-1").lower(): values[-1].decode("latin-1")
            for name, values in response.headers.getAllRawHeaders()
        },
        body,
    )


def _too_slow(result: object, timeout: float) -> object:
    """What a request becomes whose time was up: whatever cancelling it made of it, unless it was done just then."""
    if isinstance(result, Failure):
        raise ProviderError(ProviderState.UNREACHABLE, f"no whole answer within {timeout:g} s")
    return result


def _sentence(error: Exception) -> str:
    """What went wrong, without saying where."""
    causes: list[BaseException] = [error]
    for reason in getattr(error, "reasons", ()):
        causes.append(reason.value)
    for cause in causes:
        if isinstance(cause, ProxyError):
            return cause.sentence
        for kinds, sentence in _SENTENCES:
            if isinstance(cause, kinds):
                return sentence
    if any(type(cause).__module__.startswith("OpenSSL") or "Verif" in type(cause).__name__ for cause in causes):
        return "the secure connection failed: its certificate is not valid or the server does not speak TLS"
    return f"the request failed ({type(error).__name__})"


_SENTENCES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (DNSLookupError, "its name is not known to DNS"),
    (InfiniteRedirection, f"it redirects more than {MAX_REDIRECTS} times"),
    (PageRedirect, "it redirects what is posted"),
    (SchemeNotSupported, "it redirects to something that is not http or https"),
    (TimeoutError, "it does not answer"),
    (NearbyError, "it leads to this machine or to a link-local address: say nearby = true if that is meant"),
    (ConnectError, "it refuses the connection or cannot be reached"),
    (ConnectionClosed, "it closed the connection without an answer"),
)
