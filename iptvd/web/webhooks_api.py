"""``/webhooks``: where what happens is posted to, added, listed, tried and removed, by their URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, UnsetType

from iptvd.activity import Kind
from iptvd.kept_webhooks import KIND, Events, KeptWebhook, Retries, Secret, Timeout, Url
from iptvd.nearby import is_nearby, names_private
from iptvd.protocols.urls import split_url
from iptvd.records import Record
from iptvd.web.bodies import check_extra
from iptvd.web.operations import Call, Operation, Query, invalid
from iptvd.web.request import Refusal
from iptvd.webhook_settings import MOST, Webhook, webhook_url

if TYPE_CHECKING:
    from iptvd.web.tree import Parts


class NewWebhook(msgspec.Struct):
    """Without ``events``, or with none, it is told of everything; ``secret`` is what its requests are signed with."""

    url: Url
    events: Events | None = None
    timeout: Timeout | None = None
    retry_attempts: Retries | None = None
    secret: Secret | UnsetType | None = UNSET


class ShownWebhook(msgspec.Struct):
    """``signed`` tells whether it has a secret, ``settings`` whether it is one of the settings file."""

    url: str
    events: list[str]
    timeout: float
    retry_attempts: int
    signed: bool
    settings: bool


class Webhooks(msgspec.Struct):
    """All of them."""

    webhooks: list[ShownWebhook]


class Added(msgspec.Struct):
    """It is at work."""

    message: str
    webhook_url: str
    events: list[str]


class Done(msgspec.Struct):
    """What was done."""

    message: str
    webhook_url: str


_URL = (
    Query("webhook_url", "The URL of the webhook.", Url),
    Query("url", "The same, by another name.", Url),
)


class WebhooksApi:
    """What the operations do."""

    def __init__(self, parts: Parts) -> None:
        self._hooks = parts.webhooks

    async def add(self, call: Call) -> Added:
        """Keep a webhook in place of one with its URL."""
        asked: NewWebhook = call.body
        hooks, url = self._hooks, _checked(asked.url, self._hooks.nearby)
        if any(webhook.url == url for webhook in hooks.set):
            raise Refusal(409, "A webhook of the settings file has this URL: change it there.")
        present = hooks.kept.get(url)
        if present is None and len(hooks.kept) >= MOST:
            raise Refusal(409, f"There are {MOST} webhooks: remove one first.")
        check_extra(call.extra)
        record = _record(asked, url, present)
        await hooks.records.put(KIND, url, {**call.extra, **record})
        return Added("Webhook added successfully", url, _names(asked.events or []))

    async def all(self, call: Call) -> Webhooks:
        """Those of the settings file and those that were added."""
        named = {webhook.name for webhook in self._hooks.set}
        shown = [_shown(webhook, webhook.name in named) for webhook in self._hooks.webhooks.webhooks]
        return Webhooks(shown)

    async def remove(self, call: Call) -> Done:
        """Forget a webhook, with what it had still to be told."""
        webhook = self._find(call)
        if webhook.url not in self._hooks.kept:
            raise Refusal(409, "This webhook is one of the settings file: remove it there.")
        await self._hooks.records.remove(KIND, webhook.url)
        return Done("Webhook removed successfully", webhook.url)

    async def test(self, call: Call) -> Done:
        """Tell a webhook something that has not happened, once, and wait for what it says."""
        webhook = self._find(call)
        reason = await self._hooks.webhooks.test(webhook.name)
        if reason:
            raise Refusal(502, f"The webhook has not taken it: {reason}.")
        return Done("Test event sent to webhook", webhook.url)

    def _find(self, call: Call) -> Webhook:
        url = call.query.get("webhook_url") or call.query.get("url")
        if not url:
            raise invalid("webhook_url", "it is missing")
        found = next((webhook for webhook in self._hooks.webhooks.webhooks if webhook.url == url), None)
        if found is None:
            raise Refusal(404, "There is no webhook with this URL; GET /webhooks has those there are.")
        return found


def _checked(url: str, nearby: bool) -> str:
    """The URL; raises a refusal for one that cannot be a webhook's."""
    try:
        host = split_url(webhook_url(url)).host
    except ValueError:
        raise invalid("url", "it has to be an http or https URL") from None
    if not nearby and _is_nearby(host):
        raise invalid("url", "it leads to this machine, which only allow_nearby_webhooks = true allows")
    return url


def _is_nearby(host: str) -> bool:
    """Whether a host is seen to be nearby without being looked up; it is looked at again when it is connected to."""
    try:
        return is_nearby(host)
    except ValueError:
        return names_private(host)


def _record(asked: NewWebhook, url: str, present: Record | None) -> Record:
    """A webhook as it is kept; the secret stays where nothing is said about it."""
    secret = asked.secret
    if secret is UNSET:
        secret = str((present or {}).get("secret", ""))
    kept = KeptWebhook(
        url,
        asked.events or [],
        asked.timeout if asked.timeout is not None else 10.0,
        asked.retry_attempts if asked.retry_attempts is not None else 3,
        secret or "",
    )
    found: dict[str, Any] = msgspec.to_builtins(kept)
    return found


def _names(events: Any) -> list[str]:
    wanted = set(events or Kind)
    return [kind.value for kind in Kind if kind in wanted]


def _shown(webhook: Webhook, settings: bool) -> ShownWebhook:
    return ShownWebhook(
        webhook.url, _names(webhook.events), webhook.timeout, webhook.retries, bool(webhook.secret), settings
    )


def webhooks_operations(parts: Parts) -> list[Operation]:
    """What can be done with webhooks."""
    api = WebhooksApi(parts)
    return [
        Operation("GET", "/webhooks", "The webhooks that there are.", api.all, Webhooks),
        Operation("POST", "/webhooks", "Add a webhook, or change it.", api.add, Added, NewWebhook, errors=(409,)),
        Operation("DELETE", "/webhooks", "Remove a webhook.", api.remove, Done, query=_URL, errors=(404, 409, 422)),
        Operation(
            "POST",
            "/webhooks/test",
            "Have a webhook be told something that has not happened.",
            api.test,
            Done,
            query=_URL,
            errors=(404, 422, 502),
        ),
    ]
