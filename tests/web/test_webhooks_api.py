"""Webhooks that are added by way of the API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from iptvd.activity import Kind
from iptvd.kept_webhooks import KIND
from iptvd.settings import Config
from iptvd.webhook_settings import MOST, Webhook
from tests.doubles import result
from tests.web.managing import Managing

URL = "https://hooks.example.com/canary"
HOOK = f"/webhooks?webhook_url={URL}"


class WebhooksApiTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.stage = Managing(self)
        self.configure()

    def configure(self, **settings: Any) -> None:
        self.stage.webhooks.configure(evolve(Config(state_dir=Path("/nonexistent")), **settings))

    def urls(self) -> list[str]:
        return [each["url"] for each in self.stage.call("GET", "/webhooks")["webhooks"]]

    def at_work(self) -> dict[str, Webhook]:
        return {each.url: each for each in self.stage.webhooks.webhooks.webhooks}

    def test_adding(self) -> None:
        """A webhook that is added is at work and listed with all that was said but its secret."""
        body = {
            "url": URL,
            "events": ["stream_failed", "slots"],
            "timeout": 5,
            "retry_attempts": 1,
            "secret": "s3cret",
        }
        added = self.stage.call("POST", "/webhooks", body)
        self.assertEqual((added["webhook_url"], added["events"]), (URL, ["stream_failed", "slots"]))
        answer = self.stage.send("GET", "/webhooks")
        self.assertNotIn("s3cret", answer.plain)
        (shown,) = json.loads(answer.plain)["webhooks"]
        facts = {"url": URL, "events": ["stream_failed", "slots"], "timeout": 5.0, "retry_attempts": 1}
        self.assertEqual(shown, {**facts, "signed": True, "settings": False})
        hook = self.at_work()[URL]
        self.assertEqual((hook.secret, hook.retries, hook.nearby), ("s3cret", 1, False))
        self.assertEqual(hook.events, {Kind.STREAM_FAILED, Kind.SLOTS})
        self.assertNotIn("canary", hook.name)

    def test_as_little_as_possible(self) -> None:
        """With a URL alone it is told of everything, as one of the settings file is."""
        added = self.stage.call("POST", "/webhooks", {"url": URL, "whatever": 1})
        self.assertEqual(added["events"], [kind.value for kind in Kind])
        hook = self.at_work()[URL]
        self.assertEqual(evolve(hook, name="webhook-1"), Webhook("webhook-1", URL))
        self.assertEqual(self.stage.refused("POST", "/webhooks", {"url": URL, "whatever": "x" * 20_000})[0], 422)

    def test_changing(self) -> None:
        """One of the same URL takes the place of the former, and keeps its secret where nothing is said of that."""
        self.stage.call("POST", "/webhooks", {"url": URL, "secret": "a", "timeout": 5})
        self.stage.call("POST", "/webhooks", {"url": URL})
        self.assertEqual((self.urls(), self.at_work()[URL].secret, self.at_work()[URL].timeout), ([URL], "a", 10.0))
        for nothing in ("", None):
            self.stage.call("POST", "/webhooks", {"url": URL, "secret": nothing})
            self.assertEqual(self.at_work()[URL].secret, "")

    def test_beside_the_settings(self) -> None:
        """Those of the settings file stay at work beside the others, and are changed there alone."""
        own = "http://hooks.example.com/own"
        self.configure(webhooks=(Webhook("own", own),))
        self.stage.call("POST", "/webhooks", {"url": URL})
        self.assertEqual(list(self.at_work()), [own, URL])
        listed = self.stage.call("GET", "/webhooks")["webhooks"]
        self.assertEqual([each["settings"] for each in listed], [True, False])
        self.assertEqual(self.stage.refused("POST", "/webhooks", {"url": own})[0], 409)
        self.assertEqual(self.stage.refused("DELETE", f"/webhooks?webhook_url={own}")[0], 409)
        self.configure(webhooks=(Webhook("own", URL),))
        self.assertEqual([each.name for each in self.stage.webhooks.webhooks.webhooks], ["own"])

    def test_removing(self) -> None:
        """A webhook is removed by its URL; what is not there cannot be."""
        self.stage.call("POST", "/webhooks", {"url": URL})
        self.assertEqual(self.stage.call("DELETE", HOOK)["webhook_url"], URL)
        self.assertEqual((self.urls(), self.at_work()), ([], {}))
        self.assertEqual(self.stage.refused("DELETE", f"/webhooks?url={URL}")[0], 404)
        self.assertEqual(self.stage.refused("DELETE", "/webhooks"), (422, "webhook_url: it is missing."))

    def test_trying(self) -> None:
        """A webhook can be told something that has not happened, once; what it says to that is told."""
        self.stage.call("POST", "/webhooks", {"url": URL, "events": ["slots"]})
        self.stage.call("POST", f"/webhooks/test?webhook_url={URL}")
        ((url, body),) = self.stage.posted
        told = json.loads(body)
        self.assertEqual((url, told["event_type"], told["data"]["test"]), (URL, "slots", True))
        self.stage.taken = 500
        status, sentence = self.stage.refused("POST", f"/webhooks/test?webhook_url={URL}")
        self.assertEqual((status, sentence), (502, "The webhook has not taken it: it answers with status 500."))
        self.assertEqual(len(self.stage.posted), 2)
        self.assertEqual(self.stage.refused("POST", "/webhooks/test?webhook_url=http://x.example")[0], 404)

    def test_mistakes(self) -> None:
        """What cannot be a webhook is refused with the field, and nothing is kept."""
        for body, name in (
            ({}, "url"),
            ({"url": "ftp://hooks.example.com"}, "url"),
            ({"url": "http://hooks example"}, "url"),
            ({"url": URL, "events": ["canary"]}, "events"),
            ({"url": URL, "timeout": 0}, "timeout"),
            ({"url": URL, "retry_attempts": 11}, "retry_attempts"),
            ({"url": URL, "secret": 1}, "secret"),
        ):
            answer = self.stage.send("POST", "/webhooks", body)
            self.assertEqual(answer.status, 422, body)
            self.assertTrue(json.loads(answer.plain)["errors"][0]["field"].startswith(name), answer.plain)
        self.assertEqual(self.urls(), [])

    def test_nearby(self) -> None:
        """What leads to this machine or to its link is refused, unless the settings allow it."""
        near = [
            "http://127.0.0.1:8/",
            "http://[::1]/",
            "http://localhost/",
            "http://169.254.169.254/",
            "http://0.0.0.0/",
        ]
        for url in near:
            status, sentence = self.stage.refused("POST", "/webhooks", {"url": url})
            self.assertEqual(status, 422)
            self.assertIn("allow_nearby_webhooks", sentence)
        self.stage.call("POST", "/webhooks", {"url": "http://192.168.1.3/"})
        self.configure(allow_nearby_webhooks=True)
        for url in near:
            self.stage.call("POST", "/webhooks", {"url": url})
        self.assertTrue(all(hook.nearby for hook in self.at_work().values()))

    def test_how_many(self) -> None:
        """There is an end to how many there can be."""
        for number in range(MOST):
            self.stage.call("POST", "/webhooks", {"url": f"{URL}/{number}"})
        self.assertEqual(self.stage.refused("POST", "/webhooks", {"url": URL})[0], 409)
        self.stage.call("POST", "/webhooks", {"url": f"{URL}/0"})

    def test_what_is_not_understood(self) -> None:
        """A record that is none of ours does no harm, and its URL is not logged."""
        result(self.stage.admission.records.put(KIND, URL, {"url": 1}))
        self.assertEqual(self.urls(), [])

    def test_who_may(self) -> None:
        """Nobody may but who manages."""
        self.stage.trust(api_token="t")
        for method, path in (
            ("GET", "/webhooks"),
            ("POST", "/webhooks"),
            ("DELETE", HOOK),
            ("POST", "/webhooks/test"),
        ):
            self.assertEqual(self.stage.send(method, path).status, 401)
