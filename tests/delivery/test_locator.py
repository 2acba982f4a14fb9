"""What is the same thing to an origin."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.locator import locate
from iptvd.model import Source, SourceKind
from iptvd.protocols.socks5 import Proxy

SOURCE = Source(SourceKind.HLS, url="http://bob:canary@origin.test:81/a/index.m3u8?token=canary")
SEGMENT = "http://origin.test/1.ts"


class LocatorTests(SynchronousTestCase):
    def test_the_same(self) -> None:
        """A URL of one source is the same thing for all its viewers, whatever playlist of the source led to it."""
        other = evolve(SOURCE, url="http://bob:canary@origin.test:81/b.m3u8", expires=1.0)
        self.assertEqual(locate(SOURCE, SEGMENT), locate(other, SEGMENT))
        self.assertEqual(hash(locate(SOURCE, SEGMENT)), hash(locate(other, SEGMENT)))
        self.assertEqual(locate(SOURCE, SOURCE.url).to(SEGMENT), locate(SOURCE, SEGMENT))

    def test_not_the_same(self) -> None:
        """Another URL, another origin of the credentials, other headers, another trust or way are another thing."""
        found = locate(SOURCE, SEGMENT)
        for other in (
            locate(SOURCE, SEGMENT + "?"),
            locate(evolve(SOURCE, url="http://eve:canary@origin.test:81/"), SEGMENT),
            locate(evolve(SOURCE, url="https://bob:canary@origin.test:81/"), SEGMENT),
            locate(evolve(SOURCE, headers=(("Cookie", "a"),)), SEGMENT),
            locate(evolve(SOURCE, verify_tls=False), SEGMENT),
            locate(evolve(SOURCE, proxy=Proxy("proxy.test", 1080)), SEGMENT),
        ):
            self.assertNotEqual(found, other)

    def test_no_secrets(self) -> None:
        """Nothing of a URL or a header is in what a log might show of it."""
        shown = repr(locate(evolve(SOURCE, headers=(("Cookie", "canary"),), proxy=Proxy("canary", 1)), SEGMENT))
        self.assertNotIn("canary", shown)
        self.assertNotIn("origin.test", shown)
