"""Tests of the description of the settings in force."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from iptvd.config import load
from iptvd.describe import describe, masked
from iptvd.plain_settings import SETTINGS
from tests.makers import finder

_TOML = """
port = 3000
socks5 = "canary8:canary9@proxy.test:1080"
[[provider]]
kind = "panel"
name = "home"
url = "http://bob:canary1@panel.test:8080/get.php?username=canary2&password=canary3#canary4"
password = "canary5"
headers = {Authorization = "canary6"}
tags = ["plain", "https://lists.test/canary7/list.m3u", "http://x.test"]
[[provider]]
kind = "demo"
enabled = false
user_agent = "a/1"
socks5 = "[::1]:1081"
[[rule]]
match = "a"
hide = true
[[webhook]]
name = "tv"
url = "https://bob:canary10@hooks.test/canary11?key=canary12"
events = ["slots", "channel_status"]
secret = "canary13"
"""


class DescribeTests(SynchronousTestCase):
    def describe(self) -> str:
        file = Path(self.mktemp()).absolute()
        file.write_text(_TOML)
        environ = {"HOME": "/h", "IPTVD_MAX_STREAMS": "4", "WORKERS": "3", "IPTVD_PROVIDER_HOME_DEPTH": "9"}
        loaded = load({"log_level": "warn"}, environ, default_file=file, find=finder())
        return describe(loaded).replace(str(file), "FILE")

    def test_every_setting(self) -> None:
        """Every setting is there with its value and where it comes from."""
        lines = [" ".join(line.split()) for line in self.describe().splitlines()]
        for line in (
            "port 3000 [file FILE]",
            "max_streams 4 [environment IPTVD_MAX_STREAMS]",
            "log_level warn [option --log-level]",
            "client_timeout 300 [default]",
            "proxy_content true [default]",
            "public_url (none) [default]",
            "rules 1 [file FILE]",
            "home (kind panel) [file FILE]",
            "depth 9 [environment IPTVD_PROVIDER_HOME_DEPTH]",
            "strict true [default]",
            "colour red [default]",
            "refresh_interval as all have [default]",
            "demo (kind demo, disabled) [file FILE]",
            "user_agent a/1 [file FILE]",
            "tv [file FILE]",
            "url https://********@hooks.test/******** [file FILE]",
            "events channel_status slots [file FILE]",
            "secret ******** [file FILE]",
            "timeout 10 [file FILE]",
            "nearby false [file FILE]",
            "WORKERS has no effect here: one process serves everything.",
        ):
            self.assertIn(line, lines)
        for setting in SETTINGS:
            self.assertTrue(any(line.startswith(setting.name + " ") for line in lines), setting.name)

    def test_secrets(self) -> None:
        """No password, token or path of a URL is in it; what is set and what is not can still be told."""
        text = self.describe()
        self.assertNotIn("canary", text)
        self.assertIn("http://********@panel.test:8080/********", text)
        self.assertIn("plain https://lists.test/******** http://x.test", text)
        lines = [" ".join(line.split()) for line in text.splitlines()]
        self.assertIn("password ******** [file FILE]", lines)
        self.assertIn("socks5 ********@proxy.test:1080 [file FILE]", lines)
        self.assertIn("socks5 as all have [default]", lines)
        self.assertIn("socks5 [::1]:1081 [file FILE]", lines)
        self.assertIn("headers ******** [file FILE]", lines)
        self.assertIn("password (none) [default]", lines)

    def test_masked(self) -> None:
        """Of a URL, the scheme and the host are left."""
        for text, shown in (
            ("http://x.test", "http://x.test"),
            ("http://x.test:80/", "http://x.test:80/"),
            ("http://x.test?canary", "http://x.test/********"),
            ("rtmp://canary@x.test/canary", "rtmp://********@x.test/********"),
            ("a http://can/ary@x.test b", "a http://can/******** b"),
            ("http://x.test|Cookie=canary", "http://x.test/********"),
            ("no url", "no url"),
        ):
            self.assertEqual(masked(text), shown)
