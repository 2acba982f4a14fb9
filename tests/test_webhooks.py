"""What happens, posted to where the operator says."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Mapping
from random import Random

from prometheus_client import CollectorRegistry, generate_latest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.activity import KEPT, Activity, Kind
from iptvd.errors import ProviderError
from iptvd.model import ProviderState
from iptvd.webhook_settings import Webhook
from iptvd.webhooks import JITTER, PAUSES, QUEUE, Webhooks

Answer = int | Exception | Deferred[int]


class WebhooksTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.activity = Activity(self.clock, self.clock.seconds)
        self.answers: dict[str, list[Answer]] = {}
        self.posted: list[tuple[str, Mapping[str, str], bytes]] = []
        self.service = Webhooks(self.activity, self.post, self.clock, Random(1))
        self.registry = CollectorRegistry()
        self.registry.register(self.service)
        self.service.startService()
        self.addCleanup(self.service.stopService)

    def post(self, webhook: Webhook, headers: Mapping[str, str], body: bytes) -> Awaitable[int]:
        """Answers as the script says, the last thing again and again."""
        self.posted.append((webhook.name, headers, body))
        script = self.answers.get(webhook.name, [204])
        now = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(now, Exception):
            raise now
        return now if isinstance(now, Deferred) else succeed(now)

    def configure(self, *webhooks: Webhook) -> None:
        self.service.configure(webhooks)

    def happen(self, *kinds: Kind) -> None:
        for kind in kinds or (Kind.SLOTS,):
            self.activity.tell(kind, 7, provider="home")
        self.clock.advance(0)

    def told(self, name: str) -> list[int]:
        """The numbers of what one was asked to take, counted from the first that there was."""
        first = self.activity.newest - len(self.activity.since(0) or ())
        return [int(json.loads(body)["event_id"]) - first for who, _, body in self.posted if who == name]

    def count(self, name: str, result: str) -> float | None:
        return self.registry.get_sample_value("iptvd_webhook_events_total", {"webhook": name, "result": result})

    def test_a_delivery(self) -> None:
        """What happens is posted as JSON, with its type and number in the headers, and signed with the secret."""
        self.configure(Webhook("a", "http://a.test", secret="s3cret"), Webhook("b", "http://b.test"))
        self.happen(Kind.STREAM_STARTED)
        (_, headers, body), (_, unsigned, same) = self.posted
        told = json.loads(body)
        self.assertEqual((told["event_type"], told["stream_id"]), ("stream_started", "7"))
        self.assertEqual(told["data"], {"provider": "home"})
        self.assertEqual(headers["Content-Type"], "application/json")
        self.assertEqual(headers["X-Iptvd-Event"], "stream_started")
        self.assertEqual(headers["X-Iptvd-Delivery"], told["event_id"])
        self.assertEqual(headers["X-Iptvd-Signature"], "sha256=" + hmac.digest(b"s3cret", body, "sha256").hex())
        self.assertEqual(same, body)
        self.assertNotIn("X-Iptvd-Signature", unsigned)
        self.assertEqual(self.count("a", "delivered"), 1)

    def test_what_it_wants(self) -> None:
        """Each is told only of what it wants to know, in the order in which it happened."""
        self.configure(Webhook("a", "http://a.test", frozenset({Kind.SLOTS})), Webhook("b", "http://b.test"))
        self.happen(Kind.SLOTS, Kind.STREAM_STARTED, Kind.SLOTS)
        self.assertEqual((self.told("a"), self.told("b")), ([1, 3], [1, 2, 3]))

    def test_again(self) -> None:
        """What is not taken is sent again after growing pauses, that vary a little, until it is."""
        self.configure(Webhook("a", "http://a.test"))
        self.answers["a"] = [500, ProviderError(ProviderState.UNREACHABLE, "it does not answer"), 302, 200]
        self.happen()
        for sent, pause in enumerate(PAUSES, 1):
            self.clock.advance(pause * (1 - JITTER) - 0.01)
            self.assertEqual(len(self.posted), sent)
            self.clock.advance(pause * 2 * JITTER + 0.02)
            self.assertEqual(len(self.posted), sent + 1)
        self.assertEqual(len({body for _, _, body in self.posted}), 1)
        self.assertEqual((self.count("a", "delivered"), self.count("a", "failed")), (1, 0))

    def test_given_up(self) -> None:
        """After the last attempt the next thing is told, and the failure is counted."""
        self.configure(Webhook("a", "http://a.test"))
        self.answers["a"] = [404, 404, 404, 404, 200]
        self.happen(Kind.SLOTS, Kind.STREAM_STARTED)
        for pause in PAUSES:
            self.clock.advance(pause * (1 + JITTER) + 0.01)
        self.assertEqual(self.told("a"), [1, 1, 1, 1, 2])
        self.assertEqual((self.count("a", "delivered"), self.count("a", "failed")), (1, 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_that_is_slow(self) -> None:
        """One that does not answer delays no other, and what it is still to be told is bounded: the oldest goes."""
        waiting: Deferred[int] = Deferred()
        self.configure(Webhook("slow", "http://a.test"), Webhook("quick", "http://b.test"))
        self.answers["slow"] = [waiting, 200]
        for _ in range(QUEUE + 11):
            self.happen()
        self.assertEqual(self.told("quick"), list(range(1, QUEUE + 12)))
        self.assertEqual(self.told("slow"), [1])
        self.assertEqual(self.registry.get_sample_value("iptvd_webhook_waiting", {"webhook": "slow"}), QUEUE)
        self.assertEqual((self.count("slow", "dropped"), self.count("quick", "dropped")), (10, 0))
        waiting.callback(200)
        self.assertEqual(self.told("slow"), [1, *range(12, QUEUE + 12)])

    def test_a_flood(self) -> None:
        """When more happens in a moment than is kept, the last of it is told, and the rest counted as dropped."""
        self.configure(Webhook("a", "http://a.test"))
        self.happen(*[Kind.SLOTS] * (KEPT + 7))
        self.assertEqual((self.count("a", "delivered"), self.count("a", "dropped")), (KEPT, 7))

    def test_other_settings(self) -> None:
        """One that stays goes on; one that is gone, or another under its name, gives up what it had to tell."""
        waiting: list[Deferred[int]] = [Deferred() for _ in range(3)]
        for name, each in zip("abc", waiting, strict=True):
            self.answers[name] = [each, 200]
        a, b, c = (Webhook(name, f"http://{name}.test") for name in "abc")
        self.configure(a, b, c)
        self.happen(Kind.SLOTS, Kind.SLOTS)
        self.configure(a, Webhook("b", "http://other.test"))
        waiting[0].callback(200)
        self.happen()
        self.assertEqual((self.told("a"), self.told("b"), self.told("c")), ([1, 2, 3], [1, 3], [1]))
        self.assertEqual((self.count("a", "delivered"), self.count("b", "delivered")), (3, 1))
        self.assertIsNone(self.count("c", "delivered"))

    def test_what_happens_just_before(self) -> None:
        """What happens in the moment before other settings are taken on is told as well."""
        webhook = Webhook("a", "http://a.test")
        self.configure(webhook)
        self.activity.tell(Kind.SLOTS)
        self.configure(webhook, Webhook("b", "http://b.test"))
        self.clock.advance(0)
        self.assertEqual(self.told("a"), [1])

    def test_the_end(self) -> None:
        """When the daemon stops nothing more is sent, and nothing is waited for."""
        self.configure(Webhook("a", "http://a.test"), Webhook("b", "http://b.test"))
        self.answers = {"a": [500], "b": [Deferred()]}
        self.happen(Kind.SLOTS, Kind.SLOTS)
        self.service.stopService()
        self.happen()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual((self.told("a"), self.told("b")), ([1], [1]))

    def test_what_was_before(self) -> None:
        """What happened before there was a webhook it is not told."""
        self.happen()
        self.configure(Webhook("a", "http://a.test"))
        self.happen()
        self.assertEqual(self.told("a"), [2])

    def test_a_fault(self) -> None:
        """A fault of ours with one thing is logged, and the next thing is told."""
        self.configure(Webhook("a", "http://a.test"))
        self.answers["a"] = [ValueError("canary"), 200]
        self.happen()
        (failure,) = self.flushLoggedErrors()
        self.assertNotIn("canary", str(failure.value))
        self.happen()
        self.assertEqual(self.count("a", "delivered"), 1)

    def test_without_any(self) -> None:
        """Without webhooks nothing is counted, and nobody listens."""
        self.configure()
        self.happen()
        self.assertEqual(generate_latest(self.registry), b"")
