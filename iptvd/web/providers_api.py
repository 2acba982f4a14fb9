"""``/api/providers``: how the places that channels come from are doing, and having one asked anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from iptvd.lineup_service import LineupService
from iptvd.model import Account as ProviderAccount
from iptvd.public import moment, without_urls
from iptvd.refresh import ProviderStatus
from iptvd.web.operations import Call, Operation
from iptvd.web.request import Refusal

if TYPE_CHECKING:
    from iptvd.web.tree import Parts


class Account(msgspec.Struct):
    """
    What a provider says of the account it is used with.

    ``max_connections`` is 0 when there is no limit or it is not told; ``expires`` is ISO 8601 in UTC.
    """

    status: str
    max_connections: int
    active_connections: int
    expires: str | None
    trial: bool


class Provider(msgspec.Struct):
    """
    How a provider is doing; times are ISO 8601 in UTC.

    ``sentence`` says why the state is what it is, ``entries`` how many are in use, fetched at ``last_good``.
    """

    name: str
    kind: str
    state: str
    sentence: str
    entries: int
    last_good: str | None
    next_refresh: str | None
    account: Account | None


class Providers(msgspec.Struct):
    """All that are enabled, in the order of the settings."""

    providers: list[Provider]


class ProvidersApi:
    """What the operations do."""

    def __init__(self, lineup: LineupService) -> None:
        self._lineup = lineup

    async def all(self, call: Call) -> Providers:
        """How each of them is doing."""
        return Providers([_provider(status) for status in self._lineup.statuses])

    async def refresh(self, call: Call) -> Provider:
        """Ask one for its channels now; how that went is seen later."""
        runner = self._lineup.runners.get(call.path["name"])
        if runner is None:
            raise Refusal(404, "There is no such provider; /api/providers has those there are.")
        runner.refresh()
        return _provider(runner.status)


def _provider(status: ProviderStatus) -> Provider:
    return Provider(
        status.name,
        status.kind,
        status.state.value,
        without_urls(status.sentence),
        status.entries,
        moment(status.last_good),
        moment(status.next_refresh),
        _account(status.account) if status.account is not None else None,
    )


def _account(account: ProviderAccount) -> Account:
    return Account(
        without_urls(account.status),
        account.max_connections,
        account.active_connections,
        moment(account.expires),
        account.trial,
    )


def providers_operations(parts: Parts) -> list[Operation]:
    """What can be done with providers."""
    api = ProvidersApi(parts.lineup)
    return [
        Operation("GET", "/api/providers", "How the providers are doing.", api.all, Providers),
        Operation(
            "POST",
            "/api/providers/{name}/refresh",
            "Ask a provider for its channels now.",
            api.refresh,
            Provider,
            status=202,
            errors=(404,),
        ),
    ]
