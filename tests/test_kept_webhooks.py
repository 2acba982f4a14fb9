"""Webhooks that were kept, at work beside those of the settings file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random

from attrs import evolve
from msgspec import ValidationError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.activity import Activity, Kind
from iptvd.kept_webhooks import KIND, KeptWebhooks, webhook_of
from iptvd.records import Records
from iptvd.settings import Config
from iptvd.webhook_settings import Webhook
from iptvd.webhooks import Webhooks
from tests.doubles import Kept, result

URL = "https://hooks.example.com/canary"


class KeptWebhooksTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.posted: list[str] = []
        self.store = Kept()
        self.records = Records(self.store)
        self.records.load()
        self.activity = Activity(self.clock, self.clock.seconds)
        self.hooks = Webhooks(self.activity, self.post, self.clock, Random(1))
        self.kept = KeptWebhooks(self.records, self.hooks)
        self.config = Config(state_dir=Path("/nonexistent"))
        self.kept.configure(self.config)
        self.hooks.startService()
        self.addCleanup(self.hooks.stopService)

    async def post(self, webhook: Webhook, headers: Mapping[str, str], body: bytes) -> int:
        self.posted.append(webhook.url)
        return 204

    def happen(self) -> list[str]:
        """To whom something that happens is posted."""
        self.posted.clear()
        self.activity.tell(Kind.SLOTS)
        self.clock.advance(0)
        return self.posted

    def test_a_record(self) -> None:
        """What was kept is what is at work; its name holds nothing of its URL."""
        record = {"url": URL, "events": ["slots"], "timeout": 5, "retry_attempts": 0, "secret": "s", "theirs": 1}
        hook = webhook_of(record, nearby=True)
        self.assertEqual(evolve(hook, name=""), Webhook("", URL, frozenset({Kind.SLOTS}), "s", 5.0, True, 0))
        self.assertNotIn("canary", repr(hook))
        self.assertEqual(webhook_of({"url": URL}, nearby=False).events, frozenset(Kind))
        self.assertNotEqual(hook.name, webhook_of({"url": URL + "2"}, nearby=False).name)
        with self.assertRaises(ValidationError):
            webhook_of({"url": URL, "events": ["canary"]}, nearby=False)

    def test_as_it_changes(self) -> None:
        """One that is kept is told what happens from then on, one that is removed no more."""
        self.assertEqual(self.happen(), [])
        result(self.records.put(KIND, URL, {"url": URL}))
        self.assertEqual(self.happen(), [URL])
        result(self.records.remove(KIND, URL))
        self.assertEqual(self.happen(), [])

    def test_beside_the_settings(self) -> None:
        """Those of the settings file stay when others come and go, and a URL that both have is told once."""
        result(self.records.put(KIND, URL, {"url": URL}))
        own = "http://hooks.example.com/own"
        self.kept.configure(evolve(self.config, webhooks=(Webhook("own", own), Webhook("same", URL))))
        self.assertEqual(self.happen(), [own, URL])
        self.kept.configure(self.config)
        self.assertEqual(self.happen(), [URL])

    def test_what_is_not_understood(self) -> None:
        """A record that is none does no harm to the others."""
        result(self.records.put(KIND, "x", {"url": 1}))
        result(self.records.put(KIND, URL, {"url": URL}))
        self.assertEqual(self.happen(), [URL])
