"""Tests of the names that other proxies give their settings."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from iptvd.aliases import ALIASES, read_aliases
from iptvd.config import load
from iptvd.discovery import Found
from iptvd.errors import ConfigError
from iptvd.plain_settings import SETTINGS
from iptvd.protocols.socks5 import Proxy
from iptvd.providers.daddylive import daddylive
from iptvd.settings import Loaded
from tests.makers import Maker, finder


def loaded(environ: dict[str, str], *makers: Maker, toml: Path = Path("/nonexistent/iptvd.toml")) -> Loaded:
    return load(
        {"provider": ("demo",)}, {"HOME": "/h"} | environ, default_file=toml, find=finder(Maker("demo"), *makers)
    )


class AliasTests(SynchronousTestCase):
    def test_settings(self) -> None:
        """A foreign name sets what it is about."""
        for environ, field, value in (
            ({"PORT": "3000"}, "port", 3000),
            ({"M3U_PROXY_PORT": "3000"}, "port", 3000),
            ({"BACKEND_PORT": "3000"}, "port", 3000),
            ({"BACKEND_PORT": "1", "PORT": "3000"}, "port", 3000),
            ({"HOST": "0.0.0.0"}, "host", "0.0.0.0"),
            ({"HOST": "localhost"}, "host", "localhost"),
            ({"HOST": "[::1]"}, "host", "::1"),
            ({"HOST_IP": "192.0.2.1"}, "host", "192.0.2.1"),
            ({"HOST": "box", "HOST_IP": "192.0.2.1"}, "host", "192.0.2.1"),
            ({"M3U_PROXY_HOST": "0.0.0.0"}, "host", "0.0.0.0"),
            ({"API_URL": "http://tv.test:3000/"}, "public_url", "http://tv.test:3000"),
            ({"BACKEND_URI": "http://b.test", "BACKEND_HOST_URI": "http://c.test"}, "public_url", "http://b.test"),
            ({"BACKEND_URI": "http://b.test", "API_URL": "http://a.test"}, "public_url", "http://a.test"),
            ({"BACKEND_HOST_URI": "http://c.test"}, "public_url", "http://c.test"),
            ({"SOCKS5": "bob:s3cret@10.0.0.9:1080"}, "socks5", Proxy("10.0.0.9", 1080, "bob", "s3cret")),
            ({"API_TOKEN": "s3cret"}, "api_token", "s3cret"),
            ({"PROXY_CONTENT": "FALSE"}, "proxy_content", False),
            ({"PROXY_CONTENT": "TRUE"}, "proxy_content", True),
            ({"MAX_CONCURRENT_STREAMS": "5"}, "max_streams", 5),
            ({"CLIENT_TIMEOUT": "60"}, "client_timeout", 60.0),
            ({"STREAM_TIMEOUT": "20"}, "stall_timeout", 20.0),
            ({"LOG_LEVEL": "WARNING"}, "log_level", "warn"),
            ({"LOG_LEVEL": "INFO"}, "log_level", "info"),
        ):
            self.assertEqual(getattr(loaded(environ).config, field), value, environ)

    def test_origin(self) -> None:
        """A setting that a foreign name gives is known to come from it."""
        self.assertEqual(loaded({"PORT": "3000"}).origins["port"], "environment PORT")

    def test_ours_win(self) -> None:
        """Our own names win over foreign ones, and foreign ones over the settings file."""
        file = Path(self.mktemp())
        file.write_text("port = 1\nmax_streams = 1")
        both = {"PORT": "2", "IPTVD_PORT": "3", "MAX_CONCURRENT_STREAMS": "2"}
        config = loaded(both, toml=file).config
        self.assertEqual((config.port, config.max_streams), (3, 2))

    def test_no_effect(self) -> None:
        """A name without an effect is told once."""
        environ = {"WORKERS": "4", "CLEANUP_INTERVAL": "5", "HOST": "box", "DADDYLIVE_URI": "http://canary.test"}
        notices = loaded(environ).notices
        self.assertEqual(sorted(notice.split()[0] for notice in notices), sorted(environ))
        self.assertNotIn("canary", " ".join(notices))
        self.assertEqual(loaded({}).notices, ())

    def test_empty_is_unset(self) -> None:
        """A name that is set to nothing is not set."""
        got = loaded({alias.name: " " for alias in ALIASES})
        self.assertEqual((got.notices, got.config), ((), loaded({}).config))

    def test_protection(self) -> None:
        """What would protect and cannot is refused, without repeating it."""
        for name, words in (("SOCKS5", "socks5 (environment SOCKS5) must be host:port or user:password@host:port"),):
            with self.assertRaises(ConfigError) as caught:
                loaded({name: "bob:canary@127.0.0.1"})
            self.assertIn(words, caught.exception.sentence)
            self.assertNotIn("canary", caught.exception.sentence)

    def test_provider_default(self) -> None:
        """A name that is about a provider is the default of that provider's setting."""
        environ = {"HOME": "/h", "DADDYLIVE_URI": "http://site.test, http://mirror.test"}

        def base(provider: str, **more: str) -> object:
            found = Found({"daddylive": daddylive, "demo": Maker("demo")}, {})
            got = load(
                {"provider": (provider,)}, environ | more, default_file=Path("/nonexistent"), find=lambda _: found
            )
            self.assertEqual(got.notices, ())
            return getattr(got.config.providers[0].settings, "base_url", None)

        self.assertEqual(base("daddylive"), ("http://site.test", "http://mirror.test"))
        self.assertEqual(base("daddylive:http://arg.test"), ("http://arg.test",))
        self.assertEqual(base("daddylive", IPTVD_PROVIDER_DADDYLIVE_BASE_URL="http://env.test"), ("http://env.test",))
        self.assertEqual(base("demo"), None)

    def test_wrong_value(self) -> None:
        """A wrong value is an error that names the foreign name it stands under."""
        with self.assertRaises(ConfigError) as caught:
            loaded({"PORT": "tcp://10.0.0.1:80"})
        self.assertEqual(caught.exception.sentence, "port (environment PORT) must be a whole number from 1 to 65535.")

    def test_table(self) -> None:
        """Every foreign name means one thing, and a setting that exists."""
        names = [alias.name for alias in ALIASES]
        self.assertEqual(len(names), len(set(names)))
        for alias in ALIASES:
            self.assertLessEqual(sum(map(bool, (alias.setting, alias.provider))), 1)
            self.assertIn(alias.setting, {"", *(each.name for each in SETTINGS)})

    def test_direct(self) -> None:
        """Nothing foreign means nothing to do."""
        foreign = read_aliases({"PATH": "/bin"}, ())
        self.assertEqual((dict(foreign.settings), dict(foreign.providers), foreign.notices), ({}, {}, ()))
