"""The page."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

from attrs import evolve
from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from iptvd import __version__
from iptvd.accounts import User
from iptvd.model import ChannelKind, Entry, Programme, ProviderState, SourceKind
from iptvd.refresh import ProviderStatus
from iptvd.settings import Config
from iptvd.web.index import PAGE
from tests.doubles import join
from tests.web.building import BASE, HOME, PROXY, UPSTREAM, Tree, entries, lineup_of, query

EVIL = '<script>alert(\'1\')</script>"><img src=x onerror="a()">&amp;'
#: What the page is made of, and nothing else.
_TAGS = {
    "a",
    "br",
    "code",
    "h1",
    "h2",
    "html",
    "img",
    "meta",
    "p",
    "small",
    "style",
    "table",
    "td",
    "th",
    "title",
    "tr",
}


class Page(HTMLParser):
    """What a browser makes of a page: its elements, the text in them, its links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: dict[str, str] = {}
        self.images: list[str] = []
        self.styles: list[str] = []
        self.words: list[str] = []
        self._link = ""
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attributes)
        found = dict(attributes)
        if tag == "a":
            self._link = found["href"] or ""
        elif tag == "img":
            self.images.append(found["src"] or "")
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "a":
            self.links[data] = self._link
        if self._inside == "style":
            self.styles.append(data)
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


class IndexTests(SynchronousTestCase):
    def page(self, tree: Tree, path: str = "/", *headers: tuple[str, str], peer: str = HOME) -> Page:
        answer = tree.ask(path, *headers, peer=peer)
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(answer.headers["Content-Type"], "text/html; charset=utf-8")
        return Page(answer.plain)

    def test_what_is_there(self) -> None:
        """The page has every channel with a link that plays it, and the playlist's address for a player."""
        film = Entry("f", "Film", kind=ChannelKind.VOD, source_kind=SourceKind.VOD, extension="mp4", group="Films")
        radio = Entry("r", "Radio", kind=ChannelKind.RADIO)
        hls = Entry("h", "Stream", source_kind=SourceKind.HLS, extension="m3u8")
        tree = Tree(lineup_of(film, radio, hls))
        page = self.page(tree)
        ids = {channel.name: channel.id for channel in tree.shown.lineup.channels}
        self.assertEqual(page.links["open"], "/playlist.m3u8")
        self.assertIn(f"{BASE}/playlist.m3u8", page.text)
        for name, end in (("Film", "mp4"), ("Radio", "ts"), ("Stream", "m3u8")):
            self.assertEqual(page.links[name], f"/stream/{ids[name]}.{end}")
            self.assertIn(f"/logo/{ids[name]}", page.images)
        for word in ("Films", "vod", "radio", "live", "Channels (3)", f"iptvd {__version__}"):
            self.assertIn(word, page.text)

    def test_providers(self) -> None:
        """Each provider is there with its state and the reason for it."""
        tree = Tree()
        tree.shown.statuses.append(
            ProviderStatus("club", "xtream", ProviderState.AUTH_FAILED, "the password is wrong", entries=42)
        )
        page = self.page(tree)
        for word in ("home", "ok", "club", "auth_failed", "the password is wrong", "42"):
            self.assertIn(word, page.words)

    def test_notices(self) -> None:
        """What the operator should know of the settings is on it."""
        tree = Tree()
        tree.notices.append("WORKERS has no effect <here>")
        self.assertIn("WORKERS has no effect <here>", self.page(tree).text)

    def test_unsupported(self) -> None:
        """A channel that cannot be played says why, and is no link."""
        page = self.page(Tree(lineup_of(Entry("1", "Locked", unsupported="it is protected by DRM"))))
        self.assertIn("it is protected by DRM", page.text)
        self.assertNotIn("Locked", "".join(page.links))

    def test_escaping(self) -> None:
        """Nothing that a provider names becomes a part of the page."""
        odd = Entry("1", EVIL, group=EVIL, tvg_id=EVIL, tvg_name=EVIL, logo=f"http://{UPSTREAM}/{EVIL}")
        tree = Tree(lineup_of(odd, evolve(odd, key="2", unsupported=EVIL)))
        tree.shown.statuses.append(ProviderStatus(EVIL, EVIL, ProviderState.BLOCKED, EVIL))
        tree.notices.append(EVIL)
        page = self.page(tree)
        self.assertLessEqual(page.tags, _TAGS)
        self.assertLessEqual(
            page.attributes, {"lang", "charset", "name", "content", "href", "class", "src", "alt", "loading"}
        )
        self.assertIn(EVIL, page.links)
        # The linked name, the group twice, the reason, the provider, its sentence, the notice.
        self.assertEqual(page.words.count(EVIL), 7)

    @given(strategies.text(min_size=1), strategies.text(), strategies.text())
    def test_any_text(self, name: str, group: str, reason: str) -> None:
        """Whatever a provider says, the page is made of our elements only."""
        tree = Tree(lineup_of(Entry("1", name, group=group), Entry("2", name, unsupported=reason)))
        self.assertLessEqual(self.page(tree).tags, _TAGS)

    def test_nothing_of_the_upstream(self) -> None:
        """No address of a provider is on the page, not even out of a careless sentence."""
        tree = Tree(lineup_of(*entries(5), Entry("x", "X", unsupported=f"not rtsp://{UPSTREAM}/x")))
        tree.shown.statuses.append(
            ProviderStatus("p", "m3u", ProviderState.UNREACHABLE, f"http://u:pw@{UPSTREAM}/get.php is gone")
        )
        text = tree.ask("/").plain
        self.assertNotIn(UPSTREAM, text)
        self.assertNotIn("pw@", text)
        self.assertIn("(its address) is gone", text)

    def test_what_is_on(self) -> None:
        """Where the guide knows it, a channel shows what is on and what comes when; titles are text."""
        tree = Tree(lineup_of(*entries(3)))
        first, second, third = (channel.id for channel in tree.shown.lineup.channels)
        news, film = Programme(0, 3600, EVIL), Programme(5400, 9000, "Film")
        tree.on = {first: (news, film), second: (None, film), third: (news, None)}
        text = tree.ask("/").plain
        self.assertEqual(text.count(f"Now: {escape(EVIL)}"), 2)
        self.assertEqual(text.count("01:30 UTC: Film"), 2)
        self.assertLessEqual(Page(text).tags, _TAGS)

    def test_the_policy(self) -> None:
        """The page may load nothing from elsewhere and run nothing; its own style is allowed by its hash."""
        answer = Tree().ask("/")
        parts = answer.headers["Content-Security-Policy"].split(";")
        policy = dict(part.strip().partition(" ")[::2] for part in parts)
        self.assertEqual((policy["default-src"], policy["img-src"]), ("'none'", "'self'"))
        self.assertEqual((policy["frame-ancestors"], policy["base-uri"]), ("'none'", "'none'"))
        self.assertNotIn("script-src", policy)
        (style,) = Page(answer.plain).styles
        self.assertEqual(policy["style-src"], f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'")
        self.assertEqual(answer.headers["Referrer-Policy"], "no-referrer")
        self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")

    def test_behind_a_proxy(self) -> None:
        """Behind a proxy with a prefix every link stays below the prefix."""
        told = (("Host", "tv.example.com"), ("X-Forwarded-For", HOME), ("X-Forwarded-Prefix", "/tv/box"))
        page = self.page(Tree(lineup_of(*entries(3))), "/", *told, peer=PROXY)
        for url in (*page.links.values(), *page.images):
            self.assertTrue(url.startswith("/tv/box/"), url)
        self.assertIn("http://tv.example.com/tv/box/playlist.m3u8", page.text)


class PagesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = Tree(lineup_of(*entries(2 * PAGE + 1)))

    def page(self, path: str = "/") -> Page:
        return Page(self.tree.ask(path).plain)

    def channels(self, page: Page) -> list[str]:
        return [name for name in page.links if name.startswith("Channel ")]

    def test_from_page_to_page(self) -> None:
        """Going from page to page shows every channel once, and leads back."""
        path, found = "/", list[str]()
        while True:
            page = self.page(path)
            found += self.channels(page)
            if "Next" not in page.links:
                break
            path = urljoin(path, page.links["Next"])
        self.assertEqual(found, [f"Channel {number}" for number in range(1, 2 * PAGE + 2)])
        for _ in range(2):
            path = urljoin(path, page.links["Previous"])
            page = self.page(path)
        self.assertEqual(self.channels(page)[0], "Channel 1")
        self.assertNotIn("Previous", page.links)

    def test_a_full_last_page(self) -> None:
        """A page that is just full is not followed by an empty one."""
        self.tree.shown.lineup = lineup_of(*entries(PAGE))
        page = self.page()
        self.assertEqual(len(self.channels(page)), PAGE)
        self.assertNotIn("Next", page.links)

    def test_filters(self) -> None:
        """The page can be filtered as the playlist can, and its links to other pages keep the filter."""
        group = "Grüße & <Co>"
        films = [
            Entry(f"f{number}", f"Channel {number}", kind=ChannelKind.VOD, group=group) for number in range(PAGE + 5)
        ]
        self.tree.shown.lineup = lineup_of(*entries(50), *films)
        page = self.page("/" + query(group=group, type="vod"))
        self.assertEqual(len(self.channels(page)), PAGE)
        second = self.page(urljoin("/", page.links["Next"]))
        self.assertEqual(len(self.channels(second)), 5)
        self.assertNotIn("Next", second.links)
        self.assertEqual(len(self.channels(self.page(urljoin("/", second.links["Previous"])))), PAGE)

    def test_beyond_the_end(self) -> None:
        """A page after the last one is empty."""
        self.assertEqual(self.channels(self.page("/?page=999999")), [])

    def test_what_is_no_page(self) -> None:
        """What is no page number is refused with a sentence, however long it is."""
        for number in ("0", "-1", "x", "1.5", "1000000", "%C2%B2", "01", "+1", "0000010" + "0" * 5000, "%20"):
            answer = self.tree.ask(f"/?page={number}")
            self.assertEqual((answer.status, answer.text), (400, "Page is a number from 1 to 999999.\n"), number)
        self.assertEqual(self.tree.ask("/?page=").status, 200)

    def test_bad_filters(self) -> None:
        """A filter that is none is refused as the playlist refuses it."""
        self.assertEqual(self.tree.ask("/?type=film").status, 400)

    def test_not_kept(self) -> None:
        """The page is not kept by anyone, for its providers' states change."""
        self.assertEqual(self.tree.ask("/").headers["Cache-Control"], "no-store")

    def test_compressed(self) -> None:
        """A browser gets it compressed."""
        answer = self.tree.ask("/", ("Accept-Encoding", "gzip, deflate, br"))
        self.assertEqual(answer.headers["Content-Encoding"], "gzip")
        self.assertTrue(re.match("<!DOCTYPE html>", answer.plain))


class UserTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = Tree(lineup_of(*entries(25)))
        self.tree.notices.append("WORKERS has no effect")
        join(self.tree.admission, User("bob", "bobs-token", groups=("Group 1",)), User("eve", "eves-token"))

    def page(self, path: str, *headers: tuple[str, str], peer: str = HOME) -> Page:
        answer = self.tree.ask(path, *headers, peer=peer)
        self.assertEqual(answer.status, 200, answer.body)
        return Page(answer.plain)

    def channels(self, page: Page) -> list[str]:
        return [name for name in page.links if name.startswith("Channel ")]

    def test_needs_one(self) -> None:
        """With users the page is for them alone."""
        self.assertEqual(self.tree.ask("/").status, 401)

    def test_groups(self) -> None:
        """A user sees the channels of their groups, counted as if there were no others, with links that work."""
        page = self.page("/~bobs-token/")
        self.assertEqual(self.channels(page), [f"Channel {number}" for number in range(11, 21)])
        self.assertIn("Channels (10)", page.text)
        channel = self.tree.shown.lineup.channels[10]
        self.assertEqual(page.links["Channel 11"], f"/~bobs-token/stream/{channel.id}.ts")
        self.assertEqual(page.links["open"], "/~bobs-token/playlist.m3u8")
        self.assertIn(f"/~bobs-token/logo/{channel.id}", page.images)
        self.assertIn(f"{BASE}/~bobs-token/playlist.m3u8", page.text)
        self.assertEqual(self.channels(self.page("/~bobs-token/?group=Group+0")), [])
        self.assertIn("Channels (25)", self.page("/~eves-token/").text)

    def test_by_cookie(self) -> None:
        """Who has logged in sees the same without a token in the address."""
        bob = self.tree.admission.accounts.users["bob"]
        cookie = ("Cookie", f"iptvd={self.tree.admission.logins.cookie(bob)}")
        page = self.page("/", cookie)
        self.assertEqual(len(self.channels(page)), 10)
        self.assertEqual(page.links["open"], "/~bobs-token/playlist.m3u8")

    def test_for_the_operator(self) -> None:
        """How the providers are is told to whoever manages, and to all while there are no users."""
        self.tree.admission.configure(Config(state_dir=Path("/nonexistent"), api_token="secret"))
        theirs, all_of_it = self.page("/~bobs-token/").text, self.page("/", ("X-API-Token", "secret")).text
        for word in ("Providers", "WORKERS has no effect", "Channels (25)"):
            self.assertNotIn(word, theirs)
            self.assertIn(word, all_of_it)
