"""What the API takes as addresses of streams."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from iptvd.web.request import Refusal
from iptvd.web.source_urls import check_headers, check_url, check_urls

PRIVATE = (
    "127.0.0.1",
    "10.1.2.3",
    "192.168.1.1",
    "169.254.169.254",
    "[::1]",
    "[fd00::1]",
    "[::ffff:10.0.0.1]",
    "localhost",
)


class SourceUrlsTests(SynchronousTestCase):
    def refusal(self, check: Callable[[], None]) -> Refusal:
        with self.assertRaises(Refusal) as caught:
            check()
        refused: Refusal = caught.exception
        self.assertEqual(refused.status, 422)
        self.assertNotIn("canary", str(refused))
        return refused

    def test_urls(self) -> None:
        """Whole http and https URLs are taken, nothing else is."""
        for url in ("http://a.test", "HTTPS://u:p@a.test:8443/x?y=z", "http://192.0.2.1/", "http://[2001:db8::1]/"):
            check_url("url", url, True)
        for url in ("", "canary", "//canary.test/", "ftp://canary.test", "udp://canary.test:1", "http://canary:0/"):
            refused = self.refusal(lambda url=url: check_url("url", url, True))  # type: ignore[misc]
            self.assertEqual(refused.errors[0][0], "url")

    def test_into_this_network(self) -> None:
        """What leads into this network is refused where the operator says so, and nowhere else."""
        check_url("url", "http://example.com/a.ts", False)
        for host in PRIVATE:
            check_url("url", f"http://{host}/canary.ts", True)
            refused = self.refusal(lambda host=host: check_url("url", f"http://{host}/canary.ts", False))  # type: ignore[misc]
            self.assertIn("allow_private_upstreams", str(refused))

    def test_the_place_in_a_list(self) -> None:
        """Of a list the one that is wrong is named."""
        refused = self.refusal(lambda: check_urls("urls", ["http://a.test", "canary"], True))
        self.assertEqual(refused.errors[0][0], "urls[1]")

    def test_headers(self) -> None:
        """Headers that would break the request are refused by name."""
        check_headers("headers", {"Referer": "http://a.test/", "X-Key": "é".encode().decode("latin-1")})
        for name, value in (("Host", "canary"), ("Connection", "canary"), ("a b", "canary"), ("X", "canary\r\nY: z")):
            refused = self.refusal(lambda one={name: value}: check_headers("headers", one))  # type: ignore[misc]
            self.assertEqual(refused.errors[0][0], f"headers.{name}")
