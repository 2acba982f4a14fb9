"""Who a request is taken to be from that comes straight, and which hosts it may name."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ConfigError
from iptvd.trust import HostRefused
from tests.trusting import AT_HOME, OUTER_PROXY, OUTSIDE, judged, trust


class DirectTests(SynchronousTestCase):
    """Requests that come straight from the client."""

    def test_base_url(self) -> None:
        """Links start with what the client itself has called us, default ports left out."""
        for host, secure, expected in (
            ("TV.example.com.:8085", False, "http://tv.example.com:8085"),
            ("tv.example.com", False, "http://tv.example.com"),
            ("tv.example.com:80", False, "http://tv.example.com"),
            ("tv.example.com:443", False, "http://tv.example.com:443"),
            ("tv.example.com:443", True, "https://tv.example.com"),
            ("[fe80::1]:8085", False, "http://[fe80::1]:8085"),
        ):
            self.assertEqual(judged({"Host": host}, AT_HOME, secure=secure).base_url, expected)

    def test_address(self) -> None:
        """The address of the connection is the client's, written in one way."""
        for peer, address in (
            (AT_HOME, AT_HOME),
            ("::ffff:192.168.1.5", AT_HOME),
            ("fe80::1%eth0", "fe80::1"),
        ):
            caller = judged({}, peer)
            self.assertEqual(caller.address, address)
            self.assertTrue(caller.trusted)
            self.assertFalse(caller.via_untrusted_proxy)

    def test_certainty(self) -> None:
        """Who a request is from is certain where nobody else has a word in it, or only trusted proxies have."""
        for headers, peer, certain, direct in (
            ({}, OUTSIDE, True, True),
            ({"X-Forwarded-For": AT_HOME}, OUTSIDE, False, False),
            ({"X-Forwarded-For": AT_HOME}, OUTER_PROXY, True, False),
            ({}, None, False, True),
        ):
            caller = judged(dict(headers), peer)
            self.assertEqual((caller.certain, caller.direct), (certain, direct), (headers, peer))

    def test_outside(self) -> None:
        """Who is not in a trusted network is not trusted."""
        self.assertFalse(judged({}, OUTSIDE).trusted)
        self.assertFalse(judged({}, "2001:db8::1").trusted)

    def test_no_address(self) -> None:
        """Without an IP address nobody is trusted."""
        for peer in (None, "", "nonsense"):
            caller = judged({}, peer)
            self.assertEqual((caller.address, caller.trusted), ("", False))

    def test_proxy_machine_itself(self) -> None:
        """A request made on a proxy's own machine, without a word of forwarding, is from that machine."""
        self.assertTrue(judged({}, "127.0.0.1").trusted)


class HostTests(SynchronousTestCase):
    """Names that a request may call us by."""

    def test_known_names(self) -> None:
        """IP addresses, localhost, .local names, the machine's own and the configured names are ours."""
        known = trust(["TV.example.com.", "nas:8085"], "https://public.example.com", ["Box.", "box.lan"])
        for host in (
            "192.168.1.2",
            "192.168.1.2.",
            "[::1]:8085",
            "localhost:8085",
            "LOCALHOST",
            "iptv.localhost",
            "box.local",
            "public.example.com",
            "tv.example.com:9",
            "nas",
            "box",
            "box.lan",
        ):
            judged({"Host": host}, AT_HOME, by=known)

    def test_foreign_names(self) -> None:
        """Any other name is refused with a sentence that says where to add it."""
        for host in ("evil.test", "nas", "local", "localhost.evil.test", "sub.tv.example.com", "2130706433", "127.1"):
            with self.assertRaises(HostRefused) as caught:
                judged({"Host": host + ":8085"}, AT_HOME)
            self.assertIn(f"The name {host} is not known here: add it to allowed_hosts", caught.exception.sentence)

    def test_no_name(self) -> None:
        """What is not one host name is refused and not repeated."""
        for hosts in (["<script>"], ["a b"], ["tv.example.com", "evil.test"], ["[::1]", "localhost"]):
            with self.assertRaises(HostRefused) as caught:
                judged({"Host": hosts}, AT_HOME)
            self.assertIn("allowed_hosts", caught.exception.sentence)
            self.assertNotIn("<", caught.exception.sentence)

    def test_none_named(self) -> None:
        """Without a Host, links start with the public URL, else with the address that was called."""
        for hosts in ([], [""], [" "]):
            headers: dict[str, str | list[str]] = {"Host": hosts}
            public = trust(public_url="https://public.example.com:8443/iptv/")
            self.assertEqual(judged(headers, AT_HOME, by=public).base_url, "https://public.example.com:8443/iptv")
            self.assertEqual(judged(headers, AT_HOME).base_url, "http://192.168.1.2:8085")
            self.assertEqual(judged(headers, AT_HOME, local_address="fe80::2%eth0").base_url, "http://[fe80::2]:8085")
            self.assertEqual(judged(headers, AT_HOME, local_address="").base_url, "http://localhost:8085")
        self.assertEqual(trust().judge(None, False, lambda name: [], 0).base_url, "http://localhost")

    def test_public_url(self) -> None:
        """Called by the public URL's host and port, links start with the public URL."""
        public = trust(public_url="https://public.example.com:443/iptv/")
        for host, expected in (
            ("public.example.com", "https://public.example.com/iptv"),
            ("public.example.com:443", "https://public.example.com/iptv"),
            ("public.example.com:8085", "http://public.example.com:8085"),
            ("tv.example.com", "http://tv.example.com"),
        ):
            self.assertEqual(judged({"Host": host}, AT_HOME, by=public).base_url, expected)

    def test_public_url_and_proxy(self) -> None:
        """A proxy's word on scheme and prefix goes before the public URL."""
        public = trust(public_url="https://tv.example.com/iptv")
        for headers, expected in (
            ({"X-Forwarded-Proto": "https"}, "https://tv.example.com/iptv"),
            ({"X-Forwarded-Proto": "http"}, "http://tv.example.com"),
            ({"X-Forwarded-Prefix": "/other"}, "http://tv.example.com/other"),
            ({"X-Forwarded-Host": "tv.example.com", "X-Forwarded-Port": "443"}, "https://tv.example.com/iptv"),
        ):
            self.assertEqual(judged(dict(headers), by=public).base_url, expected)

    def test_settings(self) -> None:
        """A setting that is no name or no base URL is refused with a sentence that names it."""
        with self.assertRaisesRegex(ConfigError, "allowed_hosts .* write names"):
            trust(["https://tv.example.com/"])
        for url in (
            "tv.example.com",
            "ftp://tv.example.com",
            "https://",
            "https://user:s3cret@tv.example.com",
            "https://tv.example.com/?a",
            "https://tv.example.com/#a",
            "https://tv.example.com/../",
            "https://[::1",
            "https://tv.example.com:99999",
        ):
            with self.assertRaisesRegex(ConfigError, "public_url .* write it like") as caught:
                trust(public_url=url)
            self.assertNotIn("s3cret", caught.exception.sentence)
