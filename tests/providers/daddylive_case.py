"""What the tests of the provider for websites share: where the site has what, and a provider for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from iptvd.errors import ProviderError
from iptvd.model import Listing, Schedule
from iptvd.providers.daddylive import DaddyliveProvider, daddylive
from iptvd.website.settings import WebsiteSettings
from tests.providers.test_contract import given
from tests.website.pages import WebsiteTestCase

BASE = "https://tv.test"
LIST, JSON, HOME = f"{BASE}/24-7-channels.php", f"{BASE}/daddy.json", f"{BASE}/"
S1 = f"{BASE}/schedule/schedule-generated.php"
STREAM, PLAYER = f"{BASE}/stream/stream-51.php", "https://play.test/p.php"
LOOKUP = "https://play.test/server_lookup.php?channel_id=premium51"

PLAIN = [("51", "Demo & One"), ("52", "Demo Two"), ("news-1", "Café")]


def grid(*names: str) -> bytes:
    """A list with these channels."""
    rows = (
        f'<div class="grid-item"><a href="/stream/stream-{number}.php"><strong>{name}</strong></a></div>'
        for number, name in enumerate(names, 51)
    )
    return "".join(rows).encode()


class DaddyliveTestCase(WebsiteTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.provider = self.make()

    def make(self, **settings: Any) -> DaddyliveProvider:
        provider = daddylive.make(WebsiteSettings(**{"base_url": BASE, **settings}), self.context)
        assert isinstance(provider, DaddyliveProvider)
        return provider

    def fetch(self) -> Listing:
        listing = given(self.provider.fetch())
        assert listing is not None
        return listing

    def told(self) -> list[tuple[str, str]]:
        return [(entry.key, entry.name) for entry in self.fetch().entries]

    def failure(self, work: Callable[[], object] | None = None) -> ProviderError:
        with self.assertRaises(ProviderError) as raised:
            if work is None:
                given(self.provider.fetch())
            else:
                work()
        error = raised.exception
        assert isinstance(error, ProviderError)
        return error

    def schedule(self) -> Schedule:
        return given(self.provider.schedule())
