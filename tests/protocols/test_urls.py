"""URLs taken apart, and redirects resolved."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.protocols.heads import render_request
from iptvd.protocols.urls import MAX_URL, resolve_redirect, same_origin, split_url


class SplitTests(SynchronousTestCase):
    """A URL's parts."""

    def test_parts(self) -> None:
        """Scheme, host, port, and what to ask for come out as a request needs them."""
        for url, expected in {
            "http://example.com": ("http", "example.com", 80, "/", "example.com"),
            "HTTPS://Example.COM/": ("https", "example.com", 443, "/", "example.com"),
            "http://example.com:/a": ("http", "example.com", 80, "/a", "example.com"),
            "http://example.com:80/a": ("http", "example.com", 80, "/a", "example.com"),
            "http://example.com:443?q": ("http", "example.com", 443, "/?q", "example.com:443"),
            "https://my_box.test.:8443/a/b?c=d/e?f#g?h": (
                "https",
                "my_box.test.",
                8443,
                "/a/b?c=d/e?f",
                "my_box.test.:8443",
            ),
            "http://127.0.0.1:65535/x": ("http", "127.0.0.1", 65535, "/x", "127.0.0.1:65535"),
            "http://[2001:DB8::0:1]:8080/x": ("http", "2001:db8::1", 8080, "/x", "[2001:db8::1]:8080"),
            "http://[::1]/x": ("http", "::1", 80, "/x", "[::1]"),
            "http://B\u00fccher.test/": ("http", "xn--bcher-kva.test", 80, "/", "xn--bcher-kva.test"),
            "  http://example.com/a  ": ("http", "example.com", 80, "/a", "example.com"),
        }.items():
            target = split_url(url)
            self.assertEqual((target.scheme, target.host, target.port, target.target, target.host_header), expected)
            self.assertIsNone(target.userinfo)

    def test_escapes(self) -> None:
        """What may not stand in a request is escaped; what is escaped already stays."""
        for given_text, expected in {
            "/a b": "/a%20b",
            "/a%20b%2Fc%zz%": "/a%20b%2Fc%25zz%25",
            "/caf\u00e9/\U0001f4fa": "/caf%C3%A9/%F0%9F%93%BA",
            "/a|b[c]{d}\"e'<f>\\^`": "/a%7Cb%5Bc%5D%7Bd%7D%22e'%3Cf%3E%5C%5E%60",
            "/~a-b_c.d!$&'()*+,;=:@": "/~a-b_c.d!$&'()*+,;=:@",
            "?utc={utc}&x=1 2": "/?utc=%7Butc%7D&x=1%202",
        }.items():
            self.assertEqual(split_url("http://example.com" + given_text).target, expected)

    def test_userinfo(self) -> None:
        """User and password are taken out of the URL, decoded, and are not in what is asked for."""
        for url, expected in {
            "http://user:p%40ss%3Aword@example.com/": ("user", "p@ss:word"),
            "http://user@example.com/": ("user", ""),
            "http://user:a:b@example.com/": ("user", "a:b"),
            "http://us@er:pw@example.com/": ("us@er", "pw"),
            "http://@example.com/": None,
        }.items():
            target = split_url(url)
            self.assertEqual(
                (target.userinfo, target.host, target.host_header), (expected, "example.com", "example.com")
            )

    def test_secrets_stay_out_of_sight(self) -> None:
        """What a URL was taken apart into can be logged."""
        shown = repr(split_url("https://secret:secret@secret.test/secret?secret"))
        self.assertNotIn("secret", shown)
        self.assertIn("443", shown)

    def test_refused(self) -> None:
        """A URL that makes no sense is refused without being repeated."""
        for url in (
            "",
            "example.com/secret",
            "ftp://secret.test/",
            "file:///secret",
            "http:/secret",
            "http\u017f://secret.test/",
            "http://",
            "http:///secret",
            "http://secret:0/",
            "http://secret.test:65536/",
            "http://secret.test:123456/",
            "http://secret.test:port/",
            "http://secret.test:\u0661/",
            "http://secret.test:80:80/",
            "http://[::1/secret",
            "http://[secret]/",
            "http://[::1]secret/",
            "http://[fe80::1%25eth0]/secret",
            "http://se cret.test/",
            "http://secret..test/",
            "http://.secret.test/",
            "http://secret%2etest/",
            "http://secret.test\\@other.test/",
            "http://a\u2100secret.test/",
            "http://" + "\u00fc" * 64 + ".test/secret",
            "http://" + "\u00fc" * 300 + ".test/secret",
            f"http://{'secret.' * 40}test/",
            "http://secret.test/\n",
            "http://secret.test/a\tb",
            "http://secret.test/a\0b",
            "http://secret.test/\ud800",
            "http://secret.test/" + "a" * MAX_URL,
        ):
            with self.assertRaises(ProtocolError) as caught:
                split_url(url)
            self.assertNotIn("secret", caught.exception.sentence)

    @given(st.text(max_size=50), st.text(max_size=50))
    def test_any_text(self, host: str, rest: str) -> None:
        """Whatever a URL holds, it is refused or becomes a request of one line."""
        for url in (host + rest, f"http://{host}/{rest}", f"http://example.com/{rest}"):
            try:
                target = split_url(url)
            except ProtocolError:
                continue
            render_request("GET", target.target, target.host_header)


class RedirectTests(SynchronousTestCase):
    """Where a redirect leads."""

    def test_resolved(self) -> None:
        """Every form of Location leads where a browser would go."""
        base = "http://user:pw@example.com:8080/live/1.ts?token=a#f"
        for location, expected in {
            "http://other.test/x#frag": "http://other.test/x",
            "HTTPS://other.test": "HTTPS://other.test",
            "//other.test/x": "http://other.test/x",
            "/x?y": "http://user:pw@example.com:8080/x?y",
            "2.ts": "http://user:pw@example.com:8080/live/2.ts",
            "../2.ts": "http://user:pw@example.com:8080/2.ts",
            "?token=b": "http://user:pw@example.com:8080/live/1.ts?token=b",
            " /a b \t": "http://user:pw@example.com:8080/a b",
            "/caf\u00c3\u00a9": "http://user:pw@example.com:8080/caf\u00e9",
            "/caf\u00e9": "http://user:pw@example.com:8080/caf\u00e9",
            "/\u0142": "http://user:pw@example.com:8080/\u0142",
        }.items():
            self.assertEqual(resolve_redirect(base, location), expected)

    def test_refused(self) -> None:
        """A redirect that leads nowhere, or out of HTTP, is refused without being repeated."""
        base = "https://example.com/"
        for location in (
            "",
            " ",
            "file:///secret",
            "javascript:secret",
            "ftp://secret.test/",
            "rtmp://secret.test/",
            "//secret.test:port/",
            "http://[secret",
            "http:secret",
            "/secret\r\nX: y",
            "/" + "secret" * 1366,
        ):
            with self.assertRaises(ProtocolError) as caught:
                resolve_redirect(base, location)
            self.assertNotIn("secret", caught.exception.sentence)
        self.assertRaises(ProtocolError, resolve_redirect, "file:///etc/", "http://example.com/")

    def test_same_origin(self) -> None:
        """Credentials may go where scheme, host and port are the same, and nowhere else."""
        one = "http://user:pw@Example.com/a"
        self.assertTrue(same_origin(one, "HTTP://example.com:80/b?c"))
        for other in ("https://example.com/a", "http://example.com:81/a", "http://www.example.com/a"):
            self.assertFalse(same_origin(one, other))
        self.assertRaises(ProtocolError, same_origin, one, "nonsense")
