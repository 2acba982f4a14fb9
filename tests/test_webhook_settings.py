"""Webhooks as the settings file has them."""

from __future__ import annotations

import tomllib

from twisted.trial.unittest import SynchronousTestCase

from iptvd.activity import Kind
from iptvd.errors import ConfigError
from iptvd.webhook_settings import MOST, Webhook, read_webhooks

URL = "https://bob:canary1@hooks.test:8443/canary2?key=canary3"


def read(text: str) -> tuple[Webhook, ...]:
    return read_webhooks(tomllib.loads(text)["webhook"], "file x")


class WebhookSettingsTests(SynchronousTestCase):
    def refusal(self, text: str) -> str:
        with self.assertRaises(ConfigError) as caught:
            read(text)
        self.assertNotIn("canary", str(caught.exception))
        return str(caught.exception)

    def test_as_little_as_possible(self) -> None:
        """With a URL alone a webhook is told everything, has ten seconds, and may not be nearby."""
        (webhook,) = read(f'[[webhook]]\nurl = "{URL}"')
        self.assertEqual(webhook, Webhook("webhook-1", URL, frozenset(Kind), "", 10.0, False))

    def test_all_there_is(self) -> None:
        """Everything can be said of each."""
        first, second = read(
            '[[webhook]]\nurl = "http://[::1]:81"\n[[webhook]]\nname = "home"\n'
            f'url = "{URL}"\nevents = ["slots", "slots", "stream_failed"]\nsecret = "é"\ntimeout = "5s"\nnearby = true'
            "\nretries = 0"
        )
        self.assertEqual((first.name, first.url), ("webhook-1", "http://[::1]:81"))
        events = frozenset({Kind.SLOTS, Kind.STREAM_FAILED})
        self.assertEqual(second, Webhook("home", URL, events, "é", 5.0, True, 0))

    def test_mistakes(self) -> None:
        """What cannot work is refused with the webhook's number and what would be right."""
        for line, words in (
            ('secret = "canary"', "Webhook 1 (file x) needs url"),
            ('url = "ftp://canary.test"', "Webhook 1 (file x): url must be an http or https URL."),
            ('url = "http://canary test"', "url must be an http or https URL"),
            ('url = "http://canary\\n"', "url must be"),
            ("url = 1", "url must be"),
            ('uri = "http://canary.test"', "has the unknown key uri: did you mean url"),
            ("colour = 1", "there are name, url, events, secret, timeout, nearby, retries"),
            ('events = ["canary"]', "events must be a list of some of channel_status, live_event_soon"),
            ("events = []", "events must be"),
            ("events = [[1]]", "events must be"),
            ("events = [{}]", "events must be"),
            ('events = "slots"', "events must be"),
            ('secret = ""', "secret must be a text of 1 to 4096 characters"),
            ("secret = 1", "secret must be"),
            ("timeout = 0.5", "timeout must be"),
            ("timeout = 61", "timeout must be"),
            ("retries = 11", "retries must be"),
            ('nearby = "canary"', "nearby must be true or false"),
            ('name = "a b"', "name must be 1 to 32 letters, digits, - and _"),
            ("name = 1", "name must be"),
        ):
            self.assertIn(words, self.refusal(f"[[webhook]]\n{line}"), line)

    def test_tables(self) -> None:
        """What is no list of tables is refused, as are too many, and two of one name."""
        for text in ('webhook = "canary"', "webhook = 1", "[webhook]\nurl = 'http://canary.test'"):
            self.assertIn("must be tables, each written as [[webhook]]", self.refusal(text))
        self.assertIn("Webhook 1 (file x) must be a table", self.refusal("webhook = [1]"))
        many = f'[[webhook]]\nurl = "{URL}"\n' * (MOST + 1)
        self.assertIn(f"There are {MOST + 1} webhooks", self.refusal(many))
        twice = f'[[webhook]]\nurl = "{URL}"\n[[webhook]]\nurl = "{URL}"\nname = "webhook-1"'
        self.assertIn("Webhook 2 (file x): another one is named webhook-1 already", self.refusal(twice))

    def test_no_secrets(self) -> None:
        """Neither address nor secret is in what a log might show."""
        self.assertNotIn("canary", repr(Webhook("a", URL, secret="canary4")))
