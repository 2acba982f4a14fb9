"""A website with all its addresses."""

from __future__ import annotations

from attrs import evolve

from iptvd.errors import ProviderError
from iptvd.model import Fetched, ProviderState
from iptvd.website.site import Site, is_inside
from tests.providers.test_contract import given
from tests.website.pages import WebsiteTestCase

ONE, TWO, NEW = "https://one.test", "https://two.test/tv", "https://new.test"


def landed(url: str, body: bytes = b"page") -> Fetched:
    return Fetched(200, url, {}, body)


class SiteTests(WebsiteTestCase):
    def site(self, *bases: str) -> Site:
        return Site(bases or (ONE, TWO), True, self.context)

    def home(self, site: Site) -> str:
        """The address that worked last, where it leads to now."""
        return site.now(site.bases[0])

    def body(self, site: Site, path: str = "/x.php") -> bytes:
        async def work(base: str) -> bytes:
            page = await site.page(base, path)
            return page.body if page is not None else b"none"

        return given(site.from_any(work))

    def failure(self, site: Site) -> ProviderError:
        with self.assertRaises(ProviderError) as raised:
            self.body(site)
        error = raised.exception
        assert isinstance(error, ProviderError)
        return error

    def test_asks(self) -> None:
        """A page is asked for as if it were followed from the home page."""
        self.web.pages[TWO + "/x.php"] = b"page"
        self.assertEqual(self.body(self.site(TWO)), b"page")
        self.assertEqual(self.web.asked[0].headers, {"Referer": "https://two.test/tv/", "User-Agent": "iptvd"})
        bare = Site((TWO,), True, evolve(self.context, user_agent=""))
        self.body(bare)
        self.assertEqual(self.web.asked[1].headers, {"Referer": "https://two.test/tv/"})

    def test_mirrors(self) -> None:
        """The addresses are tried in their order, and the one that worked is remembered."""
        self.web.pages[TWO + "/x.php"] = b"two"
        site = self.site()
        self.assertEqual((self.home(site), site.bases), (ONE, [ONE, TWO]))
        self.assertEqual(self.body(site), b"two")
        self.assertEqual(self.web.urls, [ONE + "/x.php", TWO + "/x.php"])
        self.assertEqual((self.home(site), site.bases), (TWO, [TWO, ONE]))
        self.web.pages[ONE + "/x.php"] = b"one"
        self.assertEqual((self.body(site), self.home(site)), (b"one", ONE))

    def test_all_fail(self) -> None:
        """When none helps, what was not understood is told before what was not there."""
        self.web.pages[TWO + "/x.php"] = 302
        self.assert_state(self.failure(self.site()), ProviderState.NOT_UNDERSTOOD, "status 302", "none of 2 addresses")
        self.web.pages[TWO + "/x.php"] = 500
        self.assert_state(self.failure(self.site()), ProviderState.UNREACHABLE, "does not answer")
        self.assertNotIn("none of", self.failure(self.site(ONE)).sentence)

    def test_blocked(self) -> None:
        """A refusal is the end of it: no other address is tried."""
        self.web.pages = {ONE + "/x.php": 403, TWO + "/x.php": b"two"}
        self.assert_state(self.failure(self.site()), ProviderState.BLOCKED, "status 403")
        self.assertEqual(self.web.urls, [ONE + "/x.php"])

    def test_unset(self) -> None:
        """Without an address it says which setting is missing."""
        site = Site((), True, self.context)
        self.assert_state(self.failure(site), ProviderState.UNCONFIGURED, "set base_url")
        self.assertEqual((self.web.asked, self.home(site)), ([], ""))

    def test_missing(self) -> None:
        """A page that is not there is told apart from a site that is not."""
        for status in (404, 410):
            self.web.pages[ONE + "/x.php"] = status
            self.assertEqual(self.body(self.site()), b"none")

    def test_moved(self) -> None:
        """An address that redirects is asked where it led to from then on."""
        for target, base in ((NEW, NEW), (NEW + "/tv", NEW + "/tv"), (ONE + "/tv", ONE + "/tv")):
            self.web.pages = {ONE + "/x.php": landed(target + "/x.php"), base + "/y.php": b"y"}
            site = self.site(ONE)
            self.body(site)
            self.assertEqual((self.home(site), self.body(site, "/y.php")), (base, b"y"))
            self.assertEqual(self.web.asked[-1].headers["Referer"], base + "/")

    def test_moved_home(self) -> None:
        """The home page tells where it is, too."""
        for target, base in ((NEW + "/", NEW), (NEW + "/tv/", NEW + "/tv"), (NEW + "/index.php", NEW)):
            self.web.pages = {ONE + "/": landed(target)}
            site = self.site(ONE)
            self.body(site, "/")
            self.assertEqual(self.home(site), base)

    def test_sent_to_another_page(self) -> None:
        """A site that answers everything with its new home page is asked again there."""
        self.web.pages = {ONE + "/x.php": landed(NEW + "/welcome"), NEW + "/x.php": b"x"}
        site = self.site(ONE)
        self.assertEqual(self.body(site), b"x")
        self.assertEqual(self.home(site), NEW)
        self.web.pages = {ONE + "/x.php": landed(ONE + "/welcome", b"w")}
        site = self.site(ONE)
        self.assertEqual((self.body(site), self.home(site)), (b"w", ONE))

    def test_moved_to_nowhere(self) -> None:
        """When the place that it led to fails, the address itself is asked again."""
        self.web.pages = {ONE + "/x.php": landed(NEW + "/x.php")}
        site = self.site(ONE)
        self.body(site)
        self.failure(site)
        self.assertEqual(self.web.urls[-1], NEW + "/x.php")
        self.body(site)
        self.assertEqual(self.web.urls[-1], ONE + "/x.php")

    def test_inside(self) -> None:
        """It is known which addresses say that they are in a private network."""
        for url in (
            "http://127.0.0.1/",
            "http://[::1]:80/x",
            "http://192.168.0.1",
            "http://localhost/",
            "http://a.local",
            "http://[x",
        ):
            self.assertTrue(is_inside(url), url)
        for url in ("http://8.8.8.8/", "https://one.test/", "http://[2606:4700::1111]/"):
            self.assertFalse(is_inside(url), url)
        self.assertTrue(self.site(ONE, "http://127.0.0.1").is_inside)
        self.assertFalse(self.site().is_inside)
