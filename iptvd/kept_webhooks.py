"""The webhooks that the API has been told to keep, at work beside those of the settings file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Annotated

import msgspec
from msgspec import Meta

from iptvd.activity import Kind
from iptvd.log import Log
from iptvd.records import Record, Records
from iptvd.settings import Config
from iptvd.values import LONGEST
from iptvd.webhook_settings import MOST_RETRIES, Webhook
from iptvd.webhooks import Webhooks

#: What webhooks are kept as, by their URLs, see `iptvd.records.Records`.
KIND = "webhook"

Url = Annotated[str, Meta(min_length=1, max_length=LONGEST)]
Events = Annotated[list[Kind], Meta(max_length=100)]
Timeout = Annotated[float, Meta(ge=1, le=60)]
Retries = Annotated[int, Meta(ge=0, le=MOST_RETRIES)]
Secret = Annotated[str, Meta(max_length=LONGEST)]


class KeptWebhook(msgspec.Struct, omit_defaults=True):
    """A webhook as it is kept; without ``events`` it is told of everything."""

    url: Url
    events: Events = []
    timeout: Timeout = 10.0
    retry_attempts: Retries = 3
    secret: Secret = ""


def name_of(url: str) -> str:
    """What logs and metrics call it: nothing of its URL, which may hold a secret."""
    return f"api-{blake2b(url.encode('utf-8', 'replace'), digest_size=6).hexdigest()}"


def webhook_of(record: Record, nearby: bool) -> Webhook:
    """
    The webhook that was kept so.

    :param nearby: see `iptvd.webhook_settings.Webhook`.
    :raises msgspec.ValidationError: when it is none.
    """
    kept = msgspec.convert(record, KeptWebhook)
    events = frozenset(kept.events or Kind)
    return Webhook(name_of(kept.url), kept.url, events, kept.secret, kept.timeout, nearby, kept.retry_attempts)


class KeptWebhooks:
    """Joins both."""

    log = Log()

    def __init__(self, records: Records, webhooks: Webhooks) -> None:
        self.records = records
        self.webhooks = webhooks
        self._set: Sequence[Webhook] = ()
        self.nearby = False
        records.on_change(KIND, lambda name: self._join())

    @property
    def kept(self) -> Mapping[str, Record]:
        """Those of the API, by URL."""
        return self.records.all(KIND)

    @property
    def set(self) -> Sequence[Webhook]:
        """Those of the settings file."""
        return self._set

    def configure(self, config: Config) -> None:
        """Go by these settings."""
        self._set = config.webhooks
        self.nearby = config.allow_nearby_webhooks
        self._join()

    def _join(self) -> None:
        urls = {webhook.url for webhook in self._set}
        found = list(self._set)
        for url, record in self.kept.items():
            try:
                webhook = webhook_of(record, self.nearby)
            except msgspec.ValidationError as error:
                self.log.warn("a webhook that was kept is not understood: {reason}", reason=error)
                continue
            if url not in urls:
                found.append(webhook)
        self.webhooks.configure(found)
