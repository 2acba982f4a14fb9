"""What tests of logos share: a picture, and fetches that end when the test says so."""

from __future__ import annotations

from collections.abc import Awaitable

from twisted.internet.defer import Deferred
from zope.interface import implementer

from iptvd.errors import ProviderError
from iptvd.interfaces import IFetcher
from iptvd.model import Fetched, Headers, ProviderState

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


@implementer(IFetcher)
class Slow:
    """Fetches that end when the test says so."""

    def __init__(self) -> None:
        self.fetches: list[tuple[str, Deferred[Fetched]]] = []
        self.limits: set[tuple[int, float]] = set()

    def get(
        self,
        url: str,
        *,
        headers: Headers = (),
        limit: int = 0,
        timeout: float = 0.0,
        verify_tls: bool = True,
    ) -> Awaitable[Fetched]:
        self.limits.add((limit, timeout))
        fetch: Deferred[Fetched] = Deferred()
        self.fetches.append((url, fetch))
        return fetch

    def answer(self, body: bytes = PNG, status: int = 200) -> None:
        """Answer the one that waits longest."""
        url, fetch = next((url, fetch) for url, fetch in self.fetches if not fetch.called)
        fetch.callback(Fetched(status, url, {"content-type": "image/png"}, body))

    def fail(self) -> None:
        fetch = next(fetch for _, fetch in self.fetches if not fetch.called)
        fetch.errback(ProviderError(ProviderState.UNREACHABLE, "it does not answer"))
