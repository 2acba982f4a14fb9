"""Who a request is taken to be from that came through proxies, and by which URL it is taken to have come."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.trust import Caller, HostRefused
from tests.trusting import AT_HOME, OUTER_PROXY, OUTSIDE, PROXY, judged, told, trust


class ForwardedUrlTests(SynchronousTestCase):
    """What trusted proxies say of the URL."""

    def test_said_in_full(self) -> None:
        """A proxy's scheme, host, port and prefix make the URL."""
        for headers, expected in (
            ({"X-Forwarded-Host": "iptv.test:8443", "X-Forwarded-Proto": "https"}, "https://iptv.test:8443"),
            (
                {"X-Forwarded-Host": "iptv.test", "X-Forwarded-Port": "8443", "X-Forwarded-Proto": "HTTPS"},
                "https://iptv.test:8443",
            ),
            ({"X-Forwarded-Host": "iptv.test:443", "X-Forwarded-Proto": "https"}, "https://iptv.test"),
            ({"X-Forwarded-Port": "8443", "X-Forwarded-Proto": "https"}, "https://tv.example.com:8443"),
            ({"X-Forwarded-Prefix": "/iptv/"}, "http://tv.example.com/iptv"),
            ({"Forwarded": 'proto=https;host="iptv.test:8443"'}, "https://iptv.test:8443"),
            ({"Forwarded": "host=iptv.test;proto=https", "X-Forwarded-Prefix": "/a"}, "https://iptv.test/a"),
            ({"Forwarded": "host=iptv.test;proto=https", "X-Forwarded-Host": "b.test"}, "https://iptv.test"),
            ({"Forwarded": "for=192.0.2.1", "X-Forwarded-Host": "b.test"}, "http://b.test"),
        ):
            self.assertEqual(judged(dict(headers)).base_url, expected)

    def test_ports_that_contradict(self) -> None:
        """The port the client wrote goes before the proxy's, and a plain port is not the port of https."""
        for headers, expected in (
            ({"X-Forwarded-Host": "iptv.test:8443", "X-Forwarded-Port": "9"}, "http://iptv.test:8443"),
            ({"X-Forwarded-Proto": "https", "X-Forwarded-Port": "80"}, "https://tv.example.com"),
            ({"X-Forwarded-Proto": "http", "X-Forwarded-Port": "443"}, "http://tv.example.com"),
        ):
            self.assertEqual(judged(dict(headers)).base_url, expected)

    def test_malformed(self) -> None:
        """What makes no sense is left out of the URL, and costs the request its trust."""
        for name, value in (
            ("X-Forwarded-Host", 'a"b'),
            ("X-Forwarded-Host", "a/b"),
            ("X-Forwarded-Port", "0"),
            ("X-Forwarded-Prefix", "//evil.test"),
            ("X-Forwarded-Prefix", "/a/../.."),
            ("X-Forwarded-Proto", "h" * 5000),
            ("Forwarded", 'host="a'),
            ("Forwarded", "host=a%b"),
        ):
            caller = judged({name: value, "X-Forwarded-For": AT_HOME})
            self.assertEqual(told(caller), Caller(AT_HOME, "http://tv.example.com", False, False))

    def test_other_schemes(self) -> None:
        """A scheme other than http and https says nothing about links, and takes no trust away."""
        caller = judged({"X-Forwarded-Proto": "wss", "X-Forwarded-For": AT_HOME}, secure=True)
        self.assertEqual(told(caller), Caller(AT_HOME, "https://tv.example.com", True, False))

    def test_lists(self) -> None:
        """Of several, what the proxy nearest to the client wrote counts, as far as proxies are trusted."""
        way: dict[str, str | list[str]] = {"X-Forwarded-For": f"6.6.6.6, {AT_HOME}, {OUTER_PROXY}"}
        self.assertEqual(judged(way | {"X-Forwarded-Host": "evil.test, a.test, b.test"}).base_url, "http://a.test")
        self.assertEqual(judged(way | {"X-Forwarded-Host": ["evil.test, a.test", "b.test"]}).base_url, "http://a.test")
        self.assertEqual(judged(way | {"X-Forwarded-Host": "a.test, b.test"}).base_url, "http://a.test")
        self.assertEqual(judged(way | {"X-Forwarded-Host": "a.test"}).base_url, "http://a.test")
        self.assertEqual(judged({"X-Forwarded-Host": "evil.test, a.test"}).base_url, "http://a.test")
        forwarded = f"for=6.6.6.6;host=evil.test, for={AT_HOME};host=a.test, for={OUTER_PROXY};host=b.test;proto=https"
        self.assertEqual(judged({"Forwarded": forwarded}).base_url, "https://a.test")

    def test_own_host_still_checked(self) -> None:
        """Where a proxy tells no host, the Host header has to be one of ours."""
        with self.assertRaises(HostRefused):
            judged({"Host": "evil.test", "X-Forwarded-Proto": "https"})
        self.assertEqual(judged({"Host": "evil.test", "X-Forwarded-Host": "a.test"}).base_url, "http://a.test")


class ForwardedClientTests(SynchronousTestCase):
    """What trusted proxies say of the client."""

    def test_one_proxy(self) -> None:
        """A trusted proxy's client is the caller, and trusted as if it had come itself."""
        for headers in (
            {"X-Forwarded-For": AT_HOME},
            {"X-Forwarded-For": f"{AT_HOME}:4711"},
            {"X-Forwarded-For": f"::ffff:{AT_HOME}"},
            {"Forwarded": f"for={AT_HOME}"},
            {"Forwarded": f'for="[::ffff:{AT_HOME}]:4711";by=_a'},
            {"Forwarded": f"for={AT_HOME}", "X-Forwarded-For": AT_HOME},
        ):
            self.assertEqual(told(judged(dict(headers))), Caller(AT_HOME, "http://tv.example.com", True, False))

    def test_outside(self) -> None:
        """A client from outside is not trusted for coming through a trusted proxy."""
        self.assertEqual(
            told(judged({"X-Forwarded-For": OUTSIDE})), Caller(OUTSIDE, "http://tv.example.com", False, False)
        )

    def test_chain(self) -> None:
        """Trusted proxies are walked through from the right; the first other address is the caller."""
        chained = f"{AT_HOME}, {OUTER_PROXY}"
        self.assertEqual(
            told(judged({"X-Forwarded-For": chained})), Caller(AT_HOME, "http://tv.example.com", True, False)
        )
        caller = judged({"Forwarded": [f"for={AT_HOME}", f'for="{OUTER_PROXY}:1"']})
        self.assertEqual(told(caller), Caller(AT_HOME, "http://tv.example.com", True, False))

    def test_only_proxies(self) -> None:
        """Where the way starts at a trusted proxy's machine, that machine is the caller."""
        caller = judged({"X-Forwarded-For": f"127.0.0.1, {OUTER_PROXY}"})
        self.assertEqual(told(caller), Caller("127.0.0.1", "http://tv.example.com", True, False))

    def test_claims_to_the_left(self) -> None:
        """An address that an untrusted client claims for itself changes nothing but its trust, which is gone."""
        for headers in (
            {"X-Forwarded-For": f"{AT_HOME}, {OUTSIDE}"},
            {"X-Forwarded-For": f"<nonsense>, {OUTSIDE}, {OUTER_PROXY}"},
            {"Forwarded": f"for={AT_HOME}, for={OUTSIDE}"},
        ):
            self.assertEqual(told(judged(dict(headers))), Caller(OUTSIDE, "http://tv.example.com", False, True))
        caller = judged({"X-Forwarded-For": f"127.0.0.1, {AT_HOME}"})
        self.assertEqual(told(caller), Caller(AT_HOME, "http://tv.example.com", False, True))

    def test_two_stories(self) -> None:
        """Where the two kinds of header disagree, Forwarded counts and nobody is trusted."""
        caller = judged({"Forwarded": f"for={AT_HOME}", "X-Forwarded-For": OUTSIDE})
        self.assertEqual(told(caller), Caller(AT_HOME, "http://tv.example.com", False, False))

    def test_nobody_told(self) -> None:
        """Where no client is told, the caller is the last proxy known, and not trusted."""
        for headers in (
            {"X-Forwarded-For": ""},
            {"X-Forwarded-For": "unknown"},
            {"X-Forwarded-For": "a" * 5000},
            {"X-Forwarded-Proto": "http"},
            {"X-Real-IP": AT_HOME},
            {"CF-Connecting-IP": "unknown"},
            {"CF-Connecting-IP": f"{AT_HOME}, {AT_HOME}"},
            {"Via": "1.1 cache"},
            {"Forwarded": "for=unknown"},
            {"Forwarded": "for=_hidden"},
            {"Forwarded": "proto=http"},
            {"Forwarded": f"for={AT_HOME}, proto=http"},
        ):
            caller = judged(dict(headers), "127.0.0.1")
            self.assertEqual((caller.address, caller.trusted), ("127.0.0.1", False), headers)
        caller = judged({"X-Forwarded-For": f"unknown, {OUTER_PROXY}"})
        self.assertEqual(told(caller), Caller(OUTER_PROXY, "http://tv.example.com", False, False))

    def test_cloudflare(self) -> None:
        """The one client that Cloudflare names is believed from trusted proxies, where nothing else disagrees."""
        for headers, peer, address, trusted in (
            ({"CF-Connecting-IP": AT_HOME}, "127.0.0.1", AT_HOME, True),
            ({"CF-Connecting-IP": f"{AT_HOME} "}, "127.0.0.1", AT_HOME, True),
            ({"CF-Connecting-IP": OUTSIDE}, "127.0.0.1", OUTSIDE, False),
            ({"CF-Connecting-IP": AT_HOME, "X-Forwarded-For": AT_HOME}, "127.0.0.1", AT_HOME, True),
            ({"CF-Connecting-IP": AT_HOME, "X-Forwarded-For": f"{AT_HOME}, 10.0.0.9"}, "127.0.0.1", AT_HOME, True),
            ({"CF-Connecting-IP": AT_HOME, "X-Forwarded-For": OUTSIDE}, "127.0.0.1", OUTSIDE, False),
            ({"CF-Connecting-IP": OUTSIDE, "X-Forwarded-For": AT_HOME}, "127.0.0.1", AT_HOME, False),
            ({"CF-Connecting-IP": AT_HOME, "Forwarded": f"for={OUTSIDE}"}, "127.0.0.1", OUTSIDE, False),
            ({"CF-Connecting-IP": "x", "X-Forwarded-For": AT_HOME}, "127.0.0.1", AT_HOME, False),
            ({"CF-Connecting-IP": AT_HOME}, OUTSIDE, OUTSIDE, False),
        ):
            caller = judged(dict(headers), peer)
            self.assertEqual((caller.address, caller.trusted), (address, trusted), headers)
        # Two such lines are nobody's word.
        caller = judged({"CF-Connecting-IP": [AT_HOME, OUTSIDE]}, "127.0.0.1")
        self.assertEqual((caller.address, caller.trusted), ("127.0.0.1", False))

    def test_relayed(self) -> None:
        """A client that a proxy has told by the PROXY protocol is trusted as itself, but is not the machine itself."""
        headers: dict[str, list[str]] = {"host": ["tv.example.com"]}
        for peer, trusted in ((AT_HOME, True), ("127.0.0.1", True), (OUTSIDE, False), (None, False)):
            caller = trust().judge(peer, False, lambda name: headers.get(name, []), 80, relayed=True)
            self.assertEqual((caller.trusted, caller.direct), (trusted, False), peer)

    def test_rebound_name(self) -> None:
        """A host that is not ours makes links behind a proxy, but a page under it is not trusted."""
        caller = judged({"X-Forwarded-For": AT_HOME, "X-Forwarded-Host": "evil.test"})
        self.assertEqual(told(caller), Caller(AT_HOME, "http://evil.test", False, False))
        self.assertTrue(judged({"X-Forwarded-For": AT_HOME, "X-Forwarded-Host": "tv.example.com"}).trusted)

    def test_untrusted_proxy(self) -> None:
        """Headers of a proxy that is not trusted change nothing, and what comes through it is not trusted."""
        for headers in (
            {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "evil.test", "X-Forwarded-Proto": "https"},
            {"Forwarded": "for=127.0.0.1;host=evil.test;proto=https"},
            {"X-Forwarded-Prefix": "/evil"},
            {"X-Real-IP": "127.0.0.1"},
            {"CF-Connecting-IP": "127.0.0.1"},
            {"Via": "1.1 cache"},
        ):
            self.assertEqual(
                told(judged(dict(headers), AT_HOME)), Caller(AT_HOME, "http://tv.example.com", False, True)
            )

    def test_unix_socket(self) -> None:
        """The other end of a Unix socket is a trusted proxy if the operator says so."""
        headers: dict[str, str | list[str]] = {"X-Forwarded-For": f"{AT_HOME}, {PROXY}", "X-Forwarded-Host": "a.test"}
        self.assertEqual(told(judged(headers, None)), Caller("", "http://tv.example.com", False, True))
        by = trust(["a.test"], trust_unix=True)
        self.assertEqual(told(judged(headers, None, by=by)), Caller(AT_HOME, "http://a.test", True, False))
        caller = judged({"X-Forwarded-For": "unknown", "Host": "a.test"}, None, by=by)
        self.assertEqual(told(caller), Caller("", "http://a.test", False, False))


HEADERS = ["host", "forwarded", "via", *(f"x-forwarded-{what}" for what in ("for", "host", "port", "prefix", "proto"))]
PIECES = ["for=", "host=", "proto=", "https", PROXY, AT_HOME, "a.test", "localhost", "/a", "[", "]", ":", "::1", "%"]
PIECES += [",", ";", '"', "\\", " ", "\n", "\x00", "<", "é", "٨", "..", "//", "80", "443", "@", "unknown"]
VALUES = st.one_of(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), st.text(max_size=30))
URL = re.compile(r"https?://([a-z0-9_][a-z0-9._-]*|\[[0-9a-f:]+\])(:[1-9][0-9]{0,4})?(/[A-Za-z0-9._~-]+)*")


class AnyHeadersTests(SynchronousTestCase):
    """Whatever a request says."""

    @given(
        headers=st.dictionaries(st.sampled_from(HEADERS), st.lists(VALUES, max_size=3)),
        peer=st.one_of(st.none(), st.sampled_from([PROXY, AT_HOME, "::ffff:10.0.0.1", "fe80::1%eth0"]), st.text()),
        public_url=st.sampled_from(["", "https://tv.example.com/iptv"]),
        secure=st.booleans(),
    )
    @example({"x-forwarded-host": ["A.test:0443"], "x-forwarded-proto": ["https"]}, PROXY, "", False)
    def test_safe(self, headers: dict[str, list[str]], peer: str | None, public_url: str, secure: bool) -> None:
        """A request is refused for its host or gets a plain http(s) URL, and is trusted at a certain address only."""
        by = trust(public_url=public_url, trust_unix=True)
        try:
            caller = by.judge(peer, secure, lambda name: headers.get(name, []), 8085, "::")
        except HostRefused as refused:
            self.assertTrue(refused.sentence.isprintable())
            return
        self.assertRegex(caller.base_url, re.compile(URL.pattern + r"\Z", re.ASCII))
        self.assertFalse(caller.trusted and (caller.via_untrusted_proxy or not caller.address))
