"""The way from a channel's page to its playlists."""

from __future__ import annotations

from base64 import b64encode

from attrs import evolve

from iptvd.errors import ProviderError
from iptvd.interfaces import ProviderContext
from iptvd.model import Fetched, ProviderState, Source, SourceKind
from iptvd.website.resolving import GOOD_FOR, Resolution, expiry
from iptvd.website.settings import WebsiteSettings
from iptvd.website.site import Site
from tests.providers.test_contract import given
from tests.website.pages import Page, WebsiteTestCase, vector

BASE = "https://tv.test"
STREAM = f"{BASE}/stream/stream-51.php"
PLAYER = "https://play.test/p.php?id=51"
LOOKUP = "https://play.test/server_lookup.php?channel_id=premium51"
PLAYLIST = "https://zznew.cdn.example.com/zz/premium51/mono.m3u8"
SETTINGS = WebsiteSettings(stream_paths=("stream", "cast"))


def framed(*urls: str) -> bytes:
    return "".join(f'<iframe id="player" src="{url}"></iframe>' for url in urls).encode()


def decoding(url: str) -> bytes:
    return f"<script>source: window.atob('{b64encode(url.encode()).decode()}')</script>".encode()


class ResolutionTests(WebsiteTestCase):
    settings = SETTINGS
    bases: tuple[str, ...] = (BASE,)

    def resolve(self, context: ProviderContext | None = None) -> list[Source]:
        context = context or self.context
        return given(Resolution(Site(self.bases, False, context), self.settings, context).sources("51"))

    def urls(self) -> list[str]:
        return [source.url for source in self.resolve()]

    def failure(self) -> ProviderError:
        with self.assertRaises(ProviderError) as raised:
            self.resolve()
        error = raised.exception
        assert isinstance(error, ProviderError)
        return error

    def looked_up(self) -> None:
        """A page with a player P1."""
        self.web.pages |= {
            STREAM: framed(PLAYER),
            PLAYER: vector("p1.html"),
            LOOKUP: b'{"server_key": "zz"}',
        }

    def test_looked_up(self) -> None:
        """A player that looks its server up leads to a source with the headers of the player's page."""
        self.looked_up()
        (source,) = self.resolve()
        self.assertEqual((source.kind, source.url, source.verify_tls), (SourceKind.HLS, PLAYLIST, False))
        self.assertEqual(
            source.headers, (("Referer", PLAYER), ("Origin", "https://play.test"), ("User-Agent", "iptvd"))
        )
        self.assertEqual(source.expires, self.clock.seconds() + GOOD_FOR)
        asked = [(each.url, each.headers["Referer"]) for each in self.web.asked]
        self.assertEqual(asked, [(STREAM, BASE + "/"), (PLAYER, STREAM), (LOOKUP, PLAYER)])
        self.assertEqual({each.headers["User-Agent"] for each in self.web.asked}, {"iptvd"})

    def test_server_with_a_slash(self) -> None:
        """A server with a slash in its name has its playlists elsewhere."""
        self.looked_up()
        self.web.pages[LOOKUP] = b'{"server_key": "top1/cdn"}'
        self.assertEqual(self.urls(), ["https://top1.cdn.example.com/top1/cdn/premium51/mono.m3u8"])

    def test_templates(self) -> None:
        """Where things are can be set."""
        self.looked_up()
        self.settings = evolve(SETTINGS, cdn="other.example.com:81")
        self.assertEqual(self.urls(), ["https://zznew.other.example.com:81/zz/premium51/mono.m3u8"])
        self.settings = evolve(SETTINGS, lookup="/look?{key}", playlist="http://a.example.com/{server}/{key}.m3u8")
        self.web.pages["https://play.test/look?premium51"] = b'{"server_key": "yy"}'
        self.assertEqual(self.urls(), ["http://a.example.com/yy/premium51.m3u8"])

    def test_unknown_host(self) -> None:
        """Where the player does not say where its playlists are, the setting that is missing is told."""
        self.looked_up()
        self.web.pages[PLAYER] = b"<script>channelKey='premium51'</script>"
        self.assert_state(self.failure(), ProviderState.UNCONFIGURED, "set cdn")

    def test_decoded(self) -> None:
        """A playlist in a frame within a frame is found, with the headers of the page that has it."""
        inner = "https://frame.test/x.php"
        self.web.pages |= {STREAM: framed("/mid.php"), f"{BASE}/mid.php": framed(inner), inner: vector("p2.html")}
        (source,) = self.resolve()
        self.assertEqual(source.url, "https://cdn.example.com/hls/xyz/51/index.m3u8?t=1")
        self.assertEqual(source.headers[:2], (("Referer", inner), ("Origin", "https://frame.test")))
        self.assertEqual(self.web.asked[-1].headers["Referer"], f"{BASE}/mid.php")

    def test_several_players(self) -> None:
        """Several players are ranked sources in the order of the page; one that is dead is left out."""
        self.looked_up()
        pages: dict[str, Page] = {
            "https://b.test/": 502,
            "https://c.test/": decoding("http://c.test/c.m3u8"),
            "https://d.test/": b"<p>",
        }
        self.web.pages |= pages
        self.web.pages[STREAM] = framed(*pages, PLAYER, PLAYER)
        self.assertEqual(self.urls(), ["http://c.test/c.m3u8", PLAYLIST])

    def test_the_same_twice(self) -> None:
        """Two players with the same playlist are one source."""
        self.web.pages[STREAM] = framed("https://b.test/", "https://c.test/")
        self.web.pages |= {f"https://{name}.test/": decoding("http://x.test/x.m3u8") for name in "bc"}
        self.assertEqual(self.urls(), ["http://x.test/x.m3u8"])

    def test_advertisements(self) -> None:
        """What does not look like a player is not asked for as long as there is one."""
        self.looked_up()
        self.web.pages[STREAM] = b'<iframe src="https://ads.test/"></iframe>' + framed(PLAYER)
        self.assertEqual(self.urls(), [PLAYLIST])
        self.assertNotIn("https://ads.test/", self.web.urls)
        self.web.pages[PLAYER] = 404
        self.web.pages["https://ads.test/"] = decoding("http://x.test/x.m3u8")
        self.assertEqual(self.urls(), ["http://x.test/x.m3u8"])

    def test_other_folders(self) -> None:
        """Where a stream page is missing or has no player, the next of the same form is tried."""
        for page in (404, b"<p>nothing"):
            self.web.pages = {STREAM: page, f"{BASE}/cast/stream-51.php": framed(PLAYER)}
            self.web.pages[PLAYER] = decoding("http://x.test/x.m3u8")
            self.assertEqual(self.urls(), ["http://x.test/x.m3u8"])

    def test_mirrors(self) -> None:
        """Where a site cannot be reached, its other address is tried."""
        self.bases = (BASE, "https://two.test")
        self.web.pages = {"https://two.test/stream/stream-51.php": decoding("http://x.test/x.m3u8")}
        self.assertEqual(self.urls(), ["http://x.test/x.m3u8"])
        self.assertEqual(self.web.urls, [STREAM, "https://two.test/stream/stream-51.php"])

    def test_nothing_answers(self) -> None:
        """Where nothing answers, that is what is told."""
        self.assert_state(self.failure(), ProviderState.UNREACHABLE, "does not answer")
        self.web.pages[STREAM] = framed(PLAYER)
        self.web.pages[f"{BASE}/cast/stream-51.php"] = 500
        self.assert_state(self.failure(), ProviderState.UNREACHABLE, "does not answer")

    def test_blocked(self) -> None:
        """A refusal is told with its status, and nothing else is tried on the site."""
        for page in (401, 403, 451, vector("challenge.html")):
            self.web.pages = {STREAM: page, f"{BASE}/cast/stream-51.php": decoding("http://x.test/x.m3u8")}
            self.web.asked.clear()
            self.assert_state(self.failure(), ProviderState.BLOCKED, "status")
            self.assertEqual(self.web.urls, [STREAM])

    def test_player_blocked(self) -> None:
        """When the only player refuses, wants a challenge solved or a key, the channel is blocked."""
        self.looked_up()
        for url, page in (
            (PLAYER, 403),
            (PLAYER, vector("challenge.html")),
            (LOOKUP, 401),
            (LOOKUP, b'{"error": "api key required"}'),
        ):
            self.looked_up()
            self.web.pages[url] = page
            self.assert_state(self.failure(), ProviderState.BLOCKED, "is left alone")

    def test_signature(self) -> None:
        """A player that wants an access signature is blocked: nothing is computed, nothing more is asked."""
        self.web.pages |= {STREAM: framed(PLAYER), PLAYER: vector("signed.html")}
        self.assert_state(self.failure(), ProviderState.BLOCKED, "signature")
        self.assertEqual([url for url in self.web.urls if "play.test" in url], [PLAYER])
        self.web.pages[PLAYER] = b"<script>crypto.subtle.digest()</script>"
        self.assert_state(self.failure(), ProviderState.BLOCKED, "signature")

    def test_changed(self) -> None:
        """What is not understood is told by where it is."""
        self.web.pages = {STREAM: b"<p>", f"{BASE}/cast/stream-51.php": 404}
        self.assert_state(self.failure(), ProviderState.NOT_UNDERSTOOD, "the stream page, shapes P1 and P2, 0 of 3")
        self.looked_up()
        for body in (b"{}", b"<html>"):
            self.web.pages[LOOKUP] = body
            self.assert_state(self.failure(), ProviderState.NOT_UNDERSTOOD, "server lookup, shape P1, ")
        self.settings = evolve(SETTINGS, playlist="https://{server}.example.com/{key}")
        self.web.pages[LOOKUP] = b'{"server_key": "zz"}'
        self.assert_state(self.failure(), ProviderState.NOT_UNDERSTOOD, "no address of a playlist")

    def test_depth(self) -> None:
        """Four frames in one another are followed, five are not."""
        names = [f"https://f.test/{number}" for number in range(6)]
        for deep, found in ((4, True), (5, False)):
            self.web.pages = {STREAM: framed(names[1])}
            self.web.pages |= {names[number]: framed(names[number + 1]) for number in range(1, deep)}
            self.web.pages[names[deep]] = decoding("http://x.test/x.m3u8")
            if found:
                self.assertEqual(self.urls(), ["http://x.test/x.m3u8"])
            else:
                self.assert_state(self.failure(), ProviderState.NOT_UNDERSTOOD, "more than 4 frames")

    def test_circle(self) -> None:
        """Frames that lead back to where they came from are followed once."""
        self.web.pages = {STREAM: framed(PLAYER), PLAYER: framed(STREAM, PLAYER)}
        self.failure()
        self.assertEqual(self.web.urls, [STREAM, PLAYER, f"{BASE}/cast/stream-51.php"])

    def test_pages(self) -> None:
        """Eight pages are asked for at most; what was found by then is what there is."""
        names = [f"https://f.test/{number}" for number in range(20)]
        self.web.pages = {STREAM: framed(*names)}
        self.web.pages |= dict.fromkeys(names, b"<p>")
        self.failure()
        self.assertEqual(len(self.web.asked), 8)
        self.web.pages |= {name: decoding(f"{name}/x.m3u8") for name in names}
        self.assertEqual(len(self.resolve()), 7)

    def test_time(self) -> None:
        """Each page has four seconds, all have thirteen together."""
        names = [f"https://f.test/{number}" for number in range(8)]
        self.web.pages = {STREAM: framed(*names)}
        answer = self.web.answer

        def slow(url: str, limit: int = 1 << 30) -> Fetched:
            self.clock.advance(self.web.asked[-1].timeout)
            return answer(url, limit)

        self.patch(self.web, "answer", slow)
        began = self.clock.seconds()
        self.failure()
        self.assertEqual([each.timeout for each in self.web.asked], [4.0, 4.0, 4.0, 1.0])
        self.assertEqual(self.clock.seconds() - began, 13.0)

    def test_time_for_more(self) -> None:
        """Once there is a player, three more seconds are spent on others."""
        names = [f"https://f.test/{number}" for number in range(8)]
        self.web.pages = {STREAM: framed(*names), names[0]: decoding("http://x.test/x.m3u8")}
        answer = self.web.answer

        def slow(url: str, limit: int = 1 << 30) -> Fetched:
            if url in names[1:]:
                self.clock.advance(self.web.asked[-1].timeout)
            return answer(url, limit)

        self.patch(self.web, "answer", slow)
        self.assertEqual(self.urls(), ["http://x.test/x.m3u8"])
        self.assertEqual([each.timeout for each in self.web.asked][2:], [3.0])

    def test_no_time_at_all(self) -> None:
        """Where time was up before anything came, that is told."""
        resolution = Resolution(Site((BASE,), True, self.context), SETTINGS, self.context)
        self.clock.advance(60)
        with self.assertRaises(ProviderError) as raised:
            given(resolution.sources("51"))
        self.assert_state(raised.exception, ProviderState.UNREACHABLE, "within 13 s")

    def test_post(self) -> None:
        """Stream pages, and only they, are asked for with POST where that is set."""
        self.looked_up()
        self.settings = evolve(SETTINGS, method="post")
        self.assert_state(self.failure(), ProviderState.UNCONFIGURED, "set method to get")
        self.assertEqual(self.web.asked, [])
        (source,) = self.resolve(self.posting())
        self.assertEqual(source.url, PLAYLIST)
        self.assertEqual([each.method for each in self.web.asked], ["POST", "GET", "GET"])

    def test_private_network(self) -> None:
        """A site elsewhere cannot have anything in our own network asked for."""
        for url in ("http://192.168.0.1/reboot", "http://localhost:8080/", "http://[::1]/"):
            self.web.pages = {STREAM: framed(url), url: decoding("http://x.test/x.m3u8")}
            self.failure()
            self.assertNotIn(url, self.web.urls)
        self.web.pages = {STREAM: decoding("http://10.0.0.1/x.m3u8")}
        self.failure()
        self.bases = ("http://127.0.0.1:80",)
        self.web.pages = {"http://127.0.0.1:80/stream/stream-51.php": decoding("http://10.0.0.1/x.m3u8")}
        self.assertEqual(self.urls(), ["http://10.0.0.1/x.m3u8"])

    def test_unset(self) -> None:
        """Without an address of the site nothing can be resolved."""
        self.bases = ()
        self.assert_state(self.failure(), ProviderState.UNCONFIGURED, "set base_url")

    def test_expiry(self) -> None:
        """An address that says when it is over is resolved anew a little before."""
        now = 1_760_000_000.0
        for url, expected in (
            ("https://a.test/x.m3u8", now + GOOD_FOR),
            ("https://a.test/x.m3u8?expires=1760000600&x=1760009999", now + 590),
            ("https://a.test/e/1760000600/x.m3u8", now + 590),
            ("https://a.test/x.m3u8?e=1760000005", now + 1),
            ("https://a.test/x.m3u8?born=1750000000", now + GOOD_FOR),
            ("https://a.test/x.m3u8?id=9999999999", now + GOOD_FOR),
            ("https://a.test/x1760000600y.m3u8", now + GOOD_FOR),
        ):
            self.assertEqual(expiry(url, now), expected, url)
