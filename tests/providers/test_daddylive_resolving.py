"""The provider for websites that list channels: from a channel to its playlist."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from iptvd.model import Entry, Fetched, ProviderState, Source
from tests.providers.daddylive_case import BASE, LIST, LOOKUP, PLAYER, STREAM, DaddyliveTestCase, grid
from tests.providers.test_contract import given
from tests.website.pages import vector


class ResolvingTests(DaddyliveTestCase):
    entry = Entry("51", "One")

    def setUp(self) -> None:
        super().setUp()
        self.web.pages |= {
            STREAM: f'<iframe src="{PLAYER}" allowfullscreen></iframe>'.encode(),
            PLAYER: vector("p1.html"),
            LOOKUP: b'{"server_key": "zz"}',
        }

    def resolve(self) -> list[Source]:
        return list(given(self.provider.resolve(self.entry)))

    def test_resolves(self) -> None:
        """A channel leads to its playlist, also when nothing was fetched before."""
        (source,) = self.resolve()
        self.assertEqual(source.url, "https://zznew.cdn.example.com/zz/premium51/mono.m3u8")
        self.assertNotIn("example.com", repr(source))

    def test_kept_and_forgotten(self) -> None:
        """It is resolved once, until it expires or an origin has refused it."""
        self.assertEqual(self.resolve(), self.resolve())
        self.assertEqual(len(self.web.asked), 3)
        self.provider.forget(self.entry)
        self.resolve()
        self.assertEqual(len(self.web.asked), 6)
        self.clock.advance(301)
        self.resolve()
        self.assertEqual(len(self.web.asked), 9)

    def test_once_for_all(self) -> None:
        """Viewers who come at the same moment make the site be asked once; one who leaves takes nothing away."""
        self.web.waiting = {PLAYER}
        works = [self.provider.resolve(self.entry) for _ in range(3)]
        waiting = [Deferred.fromCoroutine(work) for work in works]
        waiting[0].cancel()
        self.failureResultOf(waiting[0], CancelledError)
        self.web.held[PLAYER].callback(self.web.answer(PLAYER))
        self.assertEqual(self.successResultOf(waiting[1]), self.successResultOf(waiting[2]))
        self.assertEqual(self.web.urls, [STREAM, PLAYER, LOOKUP])

    def test_where_the_site_is(self) -> None:
        """Channels are asked for where the site is now."""
        self.web.pages[LIST] = Fetched(200, "https://new.test/24-7-channels.php", {}, grid("One"))
        self.fetch()
        self.failure(self.resolve)
        self.assertIn("https://new.test/stream/stream-51.php", self.web.urls)

    def test_odd_entries(self) -> None:
        """An entry that is none of the site's leads nowhere."""
        for key in ("", "../x", "a b"):
            self.entry = Entry(key, "Odd")
            self.assert_state(self.failure(self.resolve), ProviderState.NOT_UNDERSTOOD, "refresh")
        self.assertEqual(self.web.asked, [])

    def test_settings(self) -> None:
        """Where the site's pages and playlists are can be set."""
        self.provider = self.make(stream_paths=("live",), playlist="https://a.test/{server}/{key}.m3u8", cdn="x.test")
        self.web.pages[f"{BASE}/live/stream-51.php"] = self.web.pages[STREAM]
        self.assertEqual([each.url for each in self.resolve()], ["https://a.test/zz/premium51.m3u8"])
