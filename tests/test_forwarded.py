"""Tests of how proxies' headers, addresses and hosts are read."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.forwarded import (
    MAX_HEADER,
    Place,
    parse_address,
    parse_forwarded,
    parse_list,
    parse_place,
    parse_port,
    parse_prefix,
)


class AddressTests(SynchronousTestCase):
    """Addresses as connections and proxies write them."""

    def test_written_forms(self) -> None:
        """An address is the same with and without brackets, port, zone and IPv6 clothes."""
        for text, expected in (
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7:4711", "192.0.2.7"),
            ("192.0.2.7:_hidden", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("[::ffff:192.0.2.7]:80", "192.0.2.7"),
            ("2001:DB8:0::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%25eth0]:80", "fe80::1"),
        ):
            self.assertEqual(parse_address(text), ip_address(expected), text)
            self.assertEqual(str(parse_address(text)), expected)

    def test_anything_else(self) -> None:
        """What is not an address is refused."""
        for text in (
            "",
            "unknown",
            "_hidden",
            "example.com",
            "192.0.2.256",
            "192.0.2.7/24",
            "[192.0.2.7",
            "[]",
            "::g",
        ):
            with self.assertRaises(ProtocolError):
                parse_address(text)


class PlaceTests(SynchronousTestCase):
    """Hosts as requests name them."""

    def test_written_forms(self) -> None:
        """A host comes out as URLs have it."""
        for text, expected in (
            ("TV.Example.com", "tv.example.com"),
            ("tv.example.com.", "tv.example.com"),
            ("tv.example.com:8443", "tv.example.com:8443"),
            ("tv.example.com:", "tv.example.com"),
            ("my_box-2.test", "my_box-2.test"),
            ("192.0.2.7:80", "192.0.2.7:80"),
            ("[2001:DB8:0::7]", "[2001:db8::7]"),
            ("[fe80::1%25eth0]:8085", "[fe80::1]:8085"),
        ):
            self.assertEqual(str(parse_place(text)), expected)

    def test_anything_else(self) -> None:
        """What could not stand in a URL as a host is refused."""
        for text in (
            "",
            " ",
            "a b",
            "a/b",
            "user@example.com",
            "exa\nmple.com",
            'a"b',
            "<b>",
            "münchen.test",
            "2001:db8::7",
            "[2001:db8::7",
            "[1:2]",
            "a..b",
            ".a",
            "-a",
            ".",
            "a" * 64,
            "a." * 200,
            "example.com:0",
            "example.com:65536",
            "example.com:٨٠",
            "example.com:-1",
            "example.com:80:80",
        ):
            with self.assertRaises(ProtocolError):
                parse_place(text)

    def test_default_port(self) -> None:
        """A port that goes without saying is left out, any other is kept."""
        self.assertEqual(Place("a.test", 443).under("https"), Place("a.test"))
        self.assertEqual(Place("a.test", 443).under("http"), Place("a.test", 443))

    def test_ports(self) -> None:
        """A port is a number from 1 to 65535."""
        self.assertEqual(parse_port("1"), 1)
        self.assertEqual(parse_port("65535"), 65535)
        for text in ("", "0", "65536", "99999", "100000", "8o", "80 ", "٨٠", "+80"):
            with self.assertRaises(ProtocolError):
                parse_port(text)


class PrefixTests(SynchronousTestCase):
    """Path prefixes."""

    def test_normal_form(self) -> None:
        """A prefix ends without a slash, and the root is none."""
        for text, expected in (("/iptv/", "/iptv"), ("/a/b-c._~", "/a/b-c._~"), ("/", ""), ("", "")):
            self.assertEqual(parse_prefix(text), expected)

    def test_anything_else(self) -> None:
        """A prefix cannot lead to another place or break out of a playlist's line."""
        bad = (
            "iptv",
            "//evil.test",
            "/a//b",
            "/a/../b",
            "/..",
            "/.",
            "http://a.test",
            "/a?b",
            "/a#b",
            '/a"',
            "/a\n",
            "/%2e",
        )
        for text in (*bad, "/" + 200 * "a"):
            with self.assertRaises(ProtocolError):
                parse_prefix(text)


class ListTests(SynchronousTestCase):
    """Headers that are lists."""

    def test_lines(self) -> None:
        """Several lines are one list, and empty items are none."""
        self.assertEqual(parse_list(["a, b", " c ,,", ""]), ["a", "b", "c"])
        self.assertEqual(parse_list([]), [])

    def test_bound(self) -> None:
        """A header that is too long is refused, all its lines taken together."""
        self.assertEqual(len(parse_list(["a" * MAX_HEADER])), 1)
        for parse in (parse_list, parse_forwarded):
            with self.assertRaises(ProtocolError):
                parse(["a=" + "b" * (MAX_HEADER // 2)] * 2)


class ForwardedTests(SynchronousTestCase):
    """The Forwarded header."""

    def test_elements(self) -> None:
        """Each hop's parameters are read, quoted or not, in one line or several."""
        self.assertEqual(
            parse_forwarded(
                [
                    'For="[2001:db8:cafe::17]:4711" ;proto=https; host="tv.example.com:8443"',
                    "for=192.0.2.60;by=_hidden, for=unknown",
                ]
            ),
            [
                {"for": "[2001:db8:cafe::17]:4711", "proto": "https", "host": "tv.example.com:8443"},
                {"for": "192.0.2.60", "by": "_hidden"},
                {"for": "unknown"},
            ],
        )

    def test_quoting(self) -> None:
        """In quotes, separators are text, and a backslash makes the next character itself."""
        self.assertEqual(parse_forwarded([r'for="a,b;c=\"d\\";host=e']), [{"for": r'a,b;c="d' + "\\", "host": "e"}])
        self.assertEqual(parse_forwarded(['for=""']), [{"for": ""}])

    def test_careless_writers(self) -> None:
        """Missing quotes around an address with a port, and empty items, are forgiven."""
        self.assertEqual(
            parse_forwarded([", for=[2001:db8::1]:80;;host=a.test:81;, ", ""]),
            [{"for": "[2001:db8::1]:80", "host": "a.test:81"}],
        )

    def test_malformed(self) -> None:
        """A header that is not well-formed is refused."""
        for text in (
            "for",
            "for=",
            'for="a',
            'for="a"b',
            "for=a b",
            "=a",
            "for =a",
            "for=a;for=b",
            "for=a\x00",
            "for= a",
        ):
            with self.assertRaises(ProtocolError):
                parse_forwarded([text])

    @given(
        st.lists(st.dictionaries(st.sampled_from(["for", "by", "host", "proto"]), st.text(max_size=20), min_size=1))
    )
    def test_round_trip(self, elements: list[dict[str, str]]) -> None:
        """Whatever is quoted by the rules is read as it was."""

        def quoted(text: str) -> str:
            return '"' + text.replace("\\", r"\\").replace('"', r"\"") + '"'

        line = ", ".join(";".join(f"{name}={quoted(value)}" for name, value in one.items()) for one in elements)
        if len(line) <= MAX_HEADER:
            self.assertEqual(parse_forwarded([line]), elements)
