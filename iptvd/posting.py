"""How webhooks are asked: verified, bounded, and nothing nearby without the operator's word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.web.client import HTTPConnectionPool

from iptvd.fetch import Fetcher
from iptvd.nearby import Faraway
from iptvd.webhook_settings import Webhook

#: Bytes of an answer, of which only the status counts.
_MOST_ANSWERED = 1 << 20


class Posting:
    """
    Posts for webhooks; what is redirected counts as not taken.

    :param timeout: seconds to connect in.
    """

    def __init__(self, reactor: Any, user_agent: str, timeout: float) -> None:
        def fetcher(by: Any) -> Fetcher:
            return Fetcher.over_network(by, user_agent, timeout, HTTPConnectionPool(reactor, persistent=False))

        self._anywhere = fetcher(reactor)
        self._far = fetcher(Faraway(reactor))

    async def __call__(self, webhook: Webhook, headers: Mapping[str, str], body: bytes) -> int:
        """See `iptvd.webhooks.Post`."""
        fetcher = self._anywhere if webhook.nearby else self._far
        fetched = await fetcher.post(
            webhook.url, headers=tuple(headers.items()), limit=_MOST_ANSWERED, timeout=webhook.timeout, body=body
        )
        return fetched.status
