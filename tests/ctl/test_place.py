"""Where the daemon is."""

from __future__ import annotations

import json
import socket
from typing import Any

from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from iptvd.ctl import place
from iptvd.ctl.place import Place, find
from iptvd.errors import ConfigError
from tests.doubles import folder_for


class PlaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = folder_for(self)
        self.toml, self.env = folder / "iptvd.toml", folder / "iptvd.env"
        self.patch(place, "_OUTSIDE", ("127.0.0.2", 9))

    def find(self, url: str = "", token: str = "", **environ: str) -> Place:
        return find(url, token, "", environ, (self.toml, self.env))

    def set(self, **settings: Any) -> Place:
        """Where a daemon with these settings is."""
        self.toml.write_text("\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items()))
        return self.find()

    def test_default(self) -> None:
        """Where nothing is set, it is on this machine, at the daemon's own default port, without a token."""
        found = self.find()
        self.assertEqual((found.url, found.token, found.origin), ("http://127.0.0.1:8085", "", "default"))

    def test_said(self) -> None:
        """What is said goes before the environment, and that before the settings."""
        self.set(port=9000, api_token="kept")
        found = self.find("http://192.168.1.9:80/tv/", "mine", IPTVD_URL="http://x.test", IPTVD_API_TOKEN="other")
        self.assertEqual((found.url, found.token), ("http://192.168.1.9:80/tv", "mine"))
        found = self.find(IPTVD_URL="tv.example.com", API_TOKEN="other")
        self.assertEqual((found.url, found.token), ("http://tv.example.com", "other"))
        self.assertEqual((found.origin, found.public), ("environment IPTVD_URL", "http://tv.example.com"))

    def test_the_token_stays_here(self) -> None:
        """The local daemon's token is told to no other machine."""
        self.set(api_token="kept")
        self.env.write_text("API_TOKEN=unit\n")
        self.assertEqual(self.find("http://tv.example.com").token, "")
        self.assertEqual(self.find("http://localhost.example.com").token, "")
        for url in ("http://localhost:1", "http://127.0.0.5", "https://[::1]:8085"):
            self.assertEqual(self.find(url).token, "unit")
        self.assertNotIn("unit", repr(self.find()))

    def test_bad_urls(self) -> None:
        """An address that is none, or has a name and password in it, is a sentence."""
        for url in ("ftp://x", "http://", "http://a:b@c", "http://x:0", "http://x:99999", "http://x/?a", "http://[x"):
            error = self.assertRaises(ConfigError, self.find, url)
            self.assertIn("option --url", error.sentence)
            self.assertNotIn("a:b", error.sentence)

    def test_port_and_host(self) -> None:
        """The port and host of the settings lead there, and on all addresses others find it by this machine's own."""
        self.assertEqual(self.set(port=9000).url, "http://127.0.0.1:9000")
        self.assertEqual(self.find().public, "http://127.0.0.1:9000")
        self.assertEqual(self.set(host="::1").url, "http://[::1]:8085")
        self.assertEqual(self.set(host="localhost").url, "http://127.0.0.1:8085")
        self.assertEqual(self.find(PORT="9001").url, "http://127.0.0.1:9001")
        self.assertEqual(self.find(IPTVD_PORT="x").url, "http://127.0.0.1:8085")
        self.assertEqual(self.set(host="192.168.1.5").public, "http://192.168.1.5:8085")
        self.assertEqual(self.set(port="9000").origin, f"file {self.toml}")

    def test_listen(self) -> None:
        """Of the endpoints the first that is plain leads there, else one with TLS."""
        table = {
            "tcp:8086": "http://127.0.0.1:8086",
            "tcp:port=8086:interface=192.168.1.5": "http://192.168.1.5:8086",
            "tcp6:8086:interface=\\:\\:1": "http://[::1]:8086",
            "tcp6:8086": "http://[::1]:8086",
            "tls:/etc/certs:8443": "https://127.0.0.1:8443",
            "tls:/etc/certs": "https://127.0.0.1:443",
            "ssl:8443:privateKey=a": "https://127.0.0.1:8443",
            "unix:/run/tv.sock": "http://127.0.0.1:8085",
            "systemd:domain=INET:index=0": "http://127.0.0.1:8085",
            "tcp:http": "http://127.0.0.1:8085",
        }
        for listen, url in table.items():
            self.assertEqual((listen, self.set(listen=[listen]).url), (listen, url))
            self.assertEqual((listen, self.find(IPTVD_LISTEN=listen).url), (listen, url))
        self.assertEqual(self.set(listen=["unix:/x", "tls:/c:8443", "tcp:1"]).url, "http://127.0.0.1:1")
        self.assertEqual(self.set(listen=["tcp:1:interface=0.0.0.0"]).public, "http://127.0.0.1:1")
        self.assertEqual(self.set(listen=3).url, "http://127.0.0.1:8085")

    @given(strategies.text())
    def test_any_listen(self, text: str) -> None:
        """Whatever is set, an address comes of it."""
        self.assertRegex(self.find(IPTVD_LISTEN=text).url, r"^https?://[^/]+:[0-9]+$")

    def test_public(self) -> None:
        """Others find it by its public URL."""
        self.assertEqual(self.set(public_url="https://tv.example.com/x/").public, "https://tv.example.com/x")
        self.assertEqual(self.set(public_url=3).public, "http://127.0.0.1:8085")

    def test_address_in_the_network(self) -> None:
        """Without a public URL, others find it by the address that this machine has in its network."""

        class Probe:
            def __init__(self, *_: object) -> None:
                self.fails = False

            def __enter__(self) -> Probe:
                return self

            def __exit__(self, *_: object) -> None:
                """Leave."""

            def connect(self, address: object) -> None:
                if fails:
                    raise OSError

            def getsockname(self) -> tuple[str, int]:
                return "192.168.1.7", 1

        self.patch(socket, "socket", Probe)
        fails = False
        self.assertEqual(self.find().public, "http://192.168.1.7:8085")
        self.assertEqual(self.set(host="127.0.0.1").public, "http://127.0.0.1:8085")
        fails = True
        self.toml.unlink()
        self.assertEqual(self.find().public, "http://127.0.0.1:8085")
