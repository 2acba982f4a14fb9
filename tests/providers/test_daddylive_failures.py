"""The provider for websites that list channels: sites that fail, have changed, or do not want us."""

from __future__ import annotations

from iptvd.model import Entry, Fetched, ProviderState
from tests.providers.daddylive_case import BASE, HOME, JSON, LIST, PLAIN, DaddyliveTestCase, grid
from tests.providers.test_contract import given
from tests.website.pages import Page, vector


class FailureTests(DaddyliveTestCase):
    def test_unconfigured(self) -> None:
        """Without an address it says which setting is missing, and nothing is asked."""
        self.provider = self.make(base_url="")
        works = (None, self.schedule, lambda: given(self.provider.resolve(Entry("51", "One"))))
        for work in works:
            self.assert_state(self.failure(work), ProviderState.UNCONFIGURED, "set base_url of provider mine")
        self.assertEqual(self.web.asked, [])

    def test_not_understood(self) -> None:
        """A page without channels is a failure that names the place, never an empty list."""
        self.web.pages = {LIST: b"<html>", JSON: 404, HOME: b"<html>"}
        self.assert_state(
            self.failure(),
            ProviderState.NOT_UNDERSTOOD,
            "channel list, shape L1, 0 of 1 selectors matched; L2, 0 of 1 selectors matched; "
            "L3, there is no such page; L4, 0 of 1 selectors matched",
        )
        self.web.pages = {LIST: 404, JSON: b"<html>", HOME: 302}
        self.assert_state(self.failure(), ProviderState.NOT_UNDERSTOOD, "L3, the JSON is", "L4, the site answers with")

    def test_changed(self) -> None:
        """When a site changes, the shape that it had is named first."""
        self.web.pages = {LIST: vector("l2.html"), JSON: 500}
        self.fetch()
        self.web.pages[LIST] = vector("l2.html").replace(b"card__title", b"title")
        words = "channel list, shape L2, 2 of 3 selectors matched: none for name; L1, 0 of 1"
        self.assert_state(self.failure(), ProviderState.NOT_UNDERSTOOD, words)

    def test_changed_to_another_shape(self) -> None:
        """A site that changes to another known shape goes on, unless most of its channels would be lost."""
        self.web.pages = {LIST: vector("l1.html")}
        self.fetch()
        self.web.pages[LIST] = vector("l2.html")
        self.assertEqual(self.told(), PLAIN)
        self.web.pages = {LIST: grid(*map(str, range(5)))}
        self.fetch()
        self.web.pages = {LIST: b"<html>", HOME: vector("l4.html")}
        self.assert_state(self.failure(), ProviderState.NOT_UNDERSTOOD, "L4, only 2 channels where there were 5")

    def test_blocked(self) -> None:
        """A refusal, a challenge and a wish for a key are blocked, with the status seen, and left alone."""
        challenge = vector("challenge.html")
        cases: tuple[tuple[dict[str, Page], list[str]], ...] = (
            ({LIST: 403}, [LIST]),
            ({LIST: 401}, [LIST]),
            ({LIST: 451}, [LIST]),
            ({LIST: challenge}, [LIST]),
            ({LIST: Fetched(503, LIST, {}, challenge)}, [LIST]),
            ({LIST: 404, JSON: 403}, [LIST, JSON]),
            ({LIST: 404, JSON: b'{"error": "api key required"}'}, [LIST, JSON]),
        )
        for pages, asked in cases:
            # The home page and another address would have channels.
            self.web.pages = {HOME: vector("l4.html"), "https://two.test/24-7-channels.php": grid("One"), **pages}
            self.provider = self.make(base_url=f"{BASE},https://two.test")
            self.web.asked.clear()
            self.assert_state(self.failure(), ProviderState.BLOCKED, "status", "left alone")
            self.assertEqual(self.web.urls, asked)

    def test_unreachable(self) -> None:
        """When nothing answers, or the server fails, that is what is told."""
        self.assert_state(self.failure(), ProviderState.UNREACHABLE, "does not answer")
        self.web.pages[LIST] = 502
        self.assert_state(self.failure(), ProviderState.UNREACHABLE, "status 502")
        self.assertEqual(set(self.web.urls), {LIST})

    def test_too_long(self) -> None:
        """A page that is too long is not read."""
        self.web.pages = {LIST: grid("One") + b" " * 5_000_000}
        self.assert_state(self.failure(), ProviderState.NOT_UNDERSTOOD, "too long")
