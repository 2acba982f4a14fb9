"""Through which proxy what is for a provider goes: our own requests, and the sources of its channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve
from twisted.web.client import HTTPConnectionPool

from iptvd.errors import ProviderError
from iptvd.fetch import Fetcher
from iptvd.model import ProviderState, Source
from iptvd.protocols.socks5 import Proxy


class Fetchers:
    """Those of each proxy, and the one that goes straight; none uses another's connections."""

    def __init__(self, reactor: Any, user_agent: str, connect_timeout: float) -> None:
        self._reactor = reactor
        self._user_agent = user_agent
        self._connect_timeout = connect_timeout
        self._made: dict[Proxy | None, tuple[Fetcher, HTTPConnectionPool]] = {}

    def through(self, proxy: Proxy | None) -> Fetcher:
        """The one whose requests all go through a proxy, or straight; always the same."""
        if proxy not in self._made:
            pool = HTTPConnectionPool(self._reactor)
            fetcher = Fetcher.over_network(self._reactor, self._user_agent, self._connect_timeout, pool, proxy)
            self._made[proxy] = fetcher, pool
        return self._made[proxy][0]

    async def stop(self) -> None:
        """Close the connections that rest."""
        for _, pool in self._made.values():
            await pool.closeCachedConnections()


def sources_through(proxy: Proxy | None, sources: Sequence[Source]) -> Sequence[Source]:
    """
    A provider's sources, to be had through its proxy.

    :raises ProviderError: when all that there are would go past it.
    """
    if proxy is None:
        return sources
    fit = [evolve(source, proxy=proxy) for source in sources if source.offline or not source.command]
    if sources and not fit:
        raise ProviderError(
            ProviderState.UNCONFIGURED,
            "this channel is fetched by a program such as ffmpeg, which cannot go through the SOCKS proxy: "
            'set socks5 = "none" for its provider if it may go past it',
        )
    return fit
