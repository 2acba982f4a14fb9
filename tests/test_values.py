"""Tests of the forms that settings take."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from ipaddress import ip_network
from pathlib import Path
from typing import Literal, Optional
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd import values
from iptvd.protocols.socks5 import Proxy
from iptvd.values import Form, NoProxy, form_of, many, seconds, whole


class Size(Enum):
    SMALL = "small"


class ValuesTests(SynchronousTestCase):
    def refused(self, form: Form[object], *wrong: object) -> None:
        for value in wrong:
            with self.assertRaises(ValueError):
                if isinstance(value, str):
                    form.from_text(value)
                else:
                    form.from_toml(value)

    def test_whole_numbers(self) -> None:
        """A whole number is read within its bounds, and nothing that only looks like one."""
        form = whole(1, 65535)
        self.assertEqual([form.from_text(" 80 "), form.from_toml(80), form.from_text("+8")], [80, 80, 8])
        self.refused(form, "0", "65536", "8_0", "٣", "eight", "", "1" * 5000, True, 8.0, 0, [80])
        with self.assertRaises(ValueError):
            form.from_toml("80")

    def test_seconds(self) -> None:
        """A time is a number of seconds, or has a unit."""
        form = seconds(0)
        found = [form.from_text(text) for text in ("10", "10s", "5m", "4h", "1d", "250ms", "1.5 s")]
        self.assertEqual(found, [10, 10, 300, 14400, 86400, 0.25, 1.5])
        self.assertEqual([form.from_toml(5), form.from_toml(0.5), form.from_toml("5m")], [5, 0.5, 300])
        nonsense = (0, -1, float("inf"), float("nan"), True, [1], 10**400)
        self.refused(form, "0", "-1s", "1e9", "inf", "nan", "5 weeks", "", "999999999999h", *nonsense)
        self.refused(seconds(60), "59s", 59)
        self.refused(seconds(4, 120), "3s", "121s", 121)
        for form, words in ((seconds(4, 120), "at least 4 s, at most 120 s"), (seconds(0, 10), "0, at most 10 s")):
            self.assertTrue(form.right.endswith(words), form.right)

    def test_guides(self) -> None:
        """A guide is a URL that can be asked for, or a file that is the same wherever the daemon is started."""
        good = ("http://bob:s3cret@x.test:81/a.xml?b=c", "HTTPS://x.test/a|b.gz", "/srv/guide.xml")
        self.assertEqual(values.GUIDES.from_text(" ".join(good)), good)
        self.assertEqual(values.GUIDES.from_toml(["/srv/a guide.xml"]), ("/srv/a guide.xml",))
        for port in (0, 99999):
            self.refused(values.GUIDES, [f"http://x.test:{port}/"])
        for wrong in ("http:///a", "ftp://x.test/a", "http://a b/", "http://x.test/a b", "a.xml", "./a.xml"):
            self.refused(values.GUIDES, [wrong])

    def test_flags(self) -> None:
        """Yes and no are understood in the usual spellings; TOML has its own."""
        found = [values.YES_NO.from_text(text) for text in ("TRUE", "yes", "on", "1", "FALSE", "no", "off", "0")]
        self.assertEqual(found, [True] * 4 + [False] * 4)
        self.assertIs(values.YES_NO.from_toml(False), False)
        self.refused(values.YES_NO, "maybe", "", 1, None)

    def test_proxies(self) -> None:
        """A proxy is a host and a port, with or without a user, as others write it too; or there is none."""
        locked = Proxy("proxy.test", 1080, "bob", "a:b@c")
        for text in ("bob:a:b@c@proxy.test:1080", "socks5://bob:a:b@c@proxy.test:1080"):
            self.assertEqual([values.SOCKS5.from_text(text), values.SOCKS5.from_toml(text)], [locked, locked])
        self.assertEqual(values.SOCKS5.from_text(" SOCKS5H://[::1]:9 "), Proxy("::1", 9))
        for text in ("none", "Direct"):
            self.assertIs(values.SOCKS5.from_text(text), NoProxy.NONE)
        self.refused(values.SOCKS5, "", "proxy.test", "http://proxy.test:1", "a\nb:1", "x" * 5000 + ":1", 1080)

    def test_levels(self) -> None:
        """Log levels are read in any case, and by the names that others give them."""
        found = [values.LOG_LEVEL.from_text(text) for text in ("DEBUG", "info", "Warning", "warn", "FATAL")]
        self.assertEqual(found, ["debug", "info", "warn", "warn", "critical"])
        self.refused(values.LOG_LEVEL, "loud", 10)

    def test_addresses(self) -> None:
        """An address to listen on is an IP address, or localhost."""
        found = [values.ADDRESS.from_text(text) for text in ("0.0.0.0", "[::]", "::1", "LocalHost", "")]
        self.assertEqual(found, ["0.0.0.0", "::", "::1", "localhost", ""])
        self.refused(values.ADDRESS, "my-box", "1.2.3", 1)

    def test_public_urls(self) -> None:
        """A public URL has a host and perhaps a prefix, and nothing that would be secret or get lost."""
        form = values.HTTP_URL
        self.assertEqual(form.from_text(" https://tv.example.com/tv/ "), "https://tv.example.com/tv")
        self.assertEqual([form.from_text("http://[::1]:8085"), form.from_text("")], ["http://[::1]:8085", ""])
        bad = ("tv.example.com", "ftp://x", "http://", "http://u:p@x", "http://x?a=b", "http://x#f", "http://x y")
        self.refused(form, *bad, "http://x:0", "http://x:99999", "http://[::1", "http://x/\x01", "http://x\\y", 1)

    def test_endpoints(self) -> None:
        """Endpoints are told from bare ports and impossible ports."""
        good = r"tcp:8085 tcp:port=80:interface=\:\: tcp6:0 unix:/run/tv.sock systemd:domain=INET:index=0"
        self.assertEqual(values.ENDPOINTS.from_text(good), tuple(good.split()))
        self.refused(values.ENDPOINTS, "8085", "tcp:", "tcp:http", "tcp:65536", ":8085", "tcp:80\x00", "tcp:8 0")
        self.refused(values.ENDPOINTS, ["tcp:80", 80], {"tcp": 80})
        with self.assertRaises(ValueError):
            values.ENDPOINTS.from_toml("tcp:80")

    def test_host_names(self) -> None:
        """Host names come without scheme and port, in any case."""
        found = values.HOST_NAMES.from_text("TV.Example.com. [::1] 192.0.2.1 box_1")
        self.assertEqual(found, ("tv.example.com", "::1", "192.0.2.1", "box_1"))
        self.refused(values.HOST_NAMES, "http://x", "x:80", "-x", "*", "a..b", "a" * 64)

    def test_networks(self) -> None:
        """Networks are given by their first address; a single address is one too."""
        found = values.NETWORKS.from_toml(["10.0.0.0/8", "::1"])
        self.assertEqual(found, (ip_network("10.0.0.0/8"), ip_network("::1/128")))
        self.refused(values.NETWORKS, "10.0.0.1/8", "home", [10])

    def test_lists_are_bounded(self) -> None:
        """A list of more than a thousand is refused."""
        form = many(str, "texts")
        self.assertEqual(len(form.from_text("x " * 1000)), 1000)
        self.refused(form, "x " * 1001)

    def test_paths(self) -> None:
        """A folder of the command line may be relative, one of the settings file may not."""
        self.assertEqual(values.FOLDER.from_text("state"), Path("state").absolute())
        self.assertEqual(values.FOLDER.from_toml("~/state"), Path.home() / "state")
        self.assertEqual(values.FOLDERS.from_text("/a b"), (Path("/a"), Path("b")))
        self.refused(values.FOLDER, "", "\x00", "x" * 5000, 5)
        for wrong in ("state", "", 5):
            with self.assertRaises(ValueError):
                values.FOLDER.from_toml(wrong)
        with mock.patch.object(Path, "expanduser", side_effect=RuntimeError):
            self.refused(values.FOLDER, "~nobody-of-that-name/x")

    def test_header_values(self) -> None:
        """What goes into a request header cannot end it."""
        self.assertEqual(values.HEADER_VALUE.from_text(" a/1 "), "a/1")
        self.refused(values.HEADER_VALUE, "a\r\nb", "é", "x" * 513, 1)

    @given(st.text())
    def test_no_text_breaks_a_form(self, text: str) -> None:
        """Whatever the environment holds, a form reads it or refuses it."""
        forms: tuple[Form[object], ...] = (
            *(whole(0, 9), seconds(0), values.TEXT, values.YES_NO, values.LOG_LEVEL, values.ADDRESS),
            *(values.HTTP_URL, values.HEADER_VALUE, values.FOLDER, values.FOLDERS, values.ENDPOINTS),
            *(values.HOST_NAMES, values.NETWORKS, values.SOCKS5, values.GUIDES, values.SHARING, values.TIME_ZONE),
        )
        for form in forms:
            for read in (form.from_text, form.from_toml):
                try:
                    read(text)
                except ValueError:
                    continue


class FormOfTests(SynchronousTestCase):
    def form(self, hint: object) -> Form[object]:
        form = form_of(hint)
        assert form is not None
        return form

    def test_plain_types(self) -> None:
        """A provider's setting is read by the type that its class gives it."""
        for hint, text, value in (
            (str, "a b", "a b"),
            (int, "-5", -5),
            (float, "2.5", 2.5),
            (bool, "no", False),
            (Path, "/x", Path("/x")),
            (int | None, "5", 5),
            (Optional[str], "x", "x"),  # noqa: UP045
            (tuple[str, ...], "a b", ("a", "b")),
            (Literal["ts", "hls"], "hls", "hls"),
            (Literal[1, 2], "2", 2),
            (Size, "Small", Size.SMALL),
        ):
            self.assertEqual(self.form(hint).from_text(text), value)

    def test_toml_values(self) -> None:
        """TOML has lists, numbers and tables of its own."""
        self.assertEqual(self.form(float).from_toml(2), 2.0)
        self.assertEqual(self.form(tuple[str, ...]).from_toml(["a"]), ("a",))
        self.assertEqual(self.form(Mapping[str, str]).from_toml({"a": "b"}), {"a": "b"})
        for hint, wrong in (
            (float, True),
            (float, "2"),
            (float, float("nan")),
            (Literal["ts"], "x"),
            (Size, "big"),
            (Size, 1),
            (dict[str, str], ["a"]),
            (dict[str, str], {"a": 1}),
            (dict[str, str], {"a": "\n"}),
            (tuple[str, ...], [1]),
        ):
            with self.assertRaises(ValueError):
                self.form(hint).from_toml(wrong)
        with self.assertRaises(ValueError):
            self.form(dict[str, str]).from_text("a=b")

    def test_unknown_types(self) -> None:
        """A type that is not known is left to the class itself."""
        self.assertEqual([form_of(hint) for hint in (None, bytes, int | str, dict[str, int])], [None] * 4)
