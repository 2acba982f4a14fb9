"""Where the provider for M3U playlists gets its playlist from, and how that is set."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Awaitable, Iterator
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ConfigError
from iptvd.model import ProviderState
from iptvd.providers import m3u as module
from iptvd.providers.m3u import STEP, M3USettings, m3u
from tests.doubles import result
from tests.providers.test_m3u import LIST, ProviderTestCase


class FetchingTests(ProviderTestCase):
    """Where a playlist comes from, and what is said when it does not come."""

    def test_unconfigured(self) -> None:
        """Without a URL it says what is missing."""
        self.assertIn("no playlist is set", self.refused(ProviderState.UNCONFIGURED, self.provider("")))

    def test_unchanged(self) -> None:
        """A list that the server says is the same is not read again; without its word it is."""
        provider = self.provider(headers={"X-Key": "1"}, verify_tls=False)
        self.web.body = LIST.encode()
        self.assertIsNotNone(result(provider.fetch()))
        self.assertEqual(self.web.sent, (("X-Key", "1"), ("User-Agent", "Agent/1")))
        self.web.headers = {"etag": '"1"', "last-modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
        self.assertIsNotNone(result(provider.fetch()))
        self.web.status, self.web.body = 304, b""
        self.assertIsNone(result(provider.fetch()))
        self.assertEqual(
            self.web.sent[2:],
            (("If-None-Match", '"1"'), ("If-Modified-Since", "Mon, 01 Jan 2024 00:00:00 GMT")),
        )
        self.assertEqual(self.web.verified, [False] * 3)
        self.assertEqual(self.web.limits, [module.MAX_SIZE] * 3)
        self.assertIn("304", self.refused(ProviderState.UNREACHABLE))

    def test_failed_reading_is_tried_again(self) -> None:
        """A list that was not understood is asked for again in full."""
        provider = self.provider()
        self.web.headers, self.web.body = {"etag": '"1"'}, b"<html>"
        self.refused(ProviderState.NOT_UNDERSTOOD, provider)
        self.refused(ProviderState.NOT_UNDERSTOOD, provider)
        self.assertEqual(self.web.sent, (("User-Agent", "Agent/1"),))

    def test_statuses(self) -> None:
        """A server's refusal is told by its kind and its number."""
        for status, state in {
            401: ProviderState.AUTH_FAILED,
            403: ProviderState.BLOCKED,
            451: ProviderState.BLOCKED,
            404: ProviderState.UNREACHABLE,
            500: ProviderState.UNREACHABLE,
            302: ProviderState.UNREACHABLE,
            206: ProviderState.UNREACHABLE,
        }.items():
            self.web.status, self.web.body = status, LIST.encode()
            self.assertIn(str(status), self.refused(state))

    def test_not_understood(self) -> None:
        """A page, an empty answer and a list of nothing to watch are each told, and never give an empty listing."""
        for body, sentence in {
            b"<!doctype html>": "HTML",
            b"": "is empty",
            b"#EXTM3U\n": "it has no entries",
            b"#EXTM3U\n#EXTINF:0,N\n/etc/passwd\nx\n": "none of its 2 entries",
            b"\x1f\x8b": "cut short",
            gzip.compress(LIST.encode())[:10] + b"\xff" * 20: "damaged gzip",
            gzip.compress(LIST.encode())[:-9]: "cut short",
        }.items():
            self.web.body = body
            self.assertIn(sentence, self.refused(ProviderState.NOT_UNDERSTOOD))

    def test_gzip(self) -> None:
        """A compressed list is recognised by its content, also in several parts and with padding behind them."""
        half = len(LIST) // 2
        whole = self.entries(LIST)
        parts = gzip.compress(LIST[:half].encode()) + gzip.compress(LIST[half:].encode())
        for body in (gzip.compress(LIST.encode()), parts, parts + b"\0" * 10000):
            self.assertEqual(self.entries(body), whole)

    def test_bomb(self) -> None:
        """What grows beyond all bounds when it is unpacked is given up, in short steps."""
        self.patch(module, "MAX_SIZE", 1 << 20)
        squeeze = zlib.compressobj(9, wbits=31)
        self.web.body = squeeze.compress(b"#EXTM3U\n" + b"\n" * (8 << 20)) + squeeze.flush()
        self.assertIn("larger than 1 MiB", self.refused(ProviderState.NOT_UNDERSTOOD))
        self.assertEqual(self.steps, (1 << 20) // STEP)

    def test_file(self) -> None:
        """A list in a file is read again only after the file has changed."""
        path = self.folder / "list.m3u"
        path.write_text(LIST)
        provider = self.provider(str(path))
        listing = result(provider.fetch())
        assert listing is not None
        self.assertEqual(listing.entries, self.entries(LIST))
        self.assertIsNone(result(provider.fetch()))
        path.write_bytes(gzip.compress(b"http://a.test/1\n"))
        os.utime(path, (1, 1))
        listing = result(provider.fetch())
        assert listing is not None
        self.assertEqual(len(listing.entries), 1)
        self.assertEqual(self.web.limits, [module.MAX_SIZE])

    def test_home(self) -> None:
        """A path may start at a home folder, if there is that home."""
        self.patch(os, "environ", {**os.environ, "HOME": str(self.folder)})
        (self.folder / "list.m3u").write_text(LIST)
        self.assertIsNotNone(result(self.provider("~/list.m3u").fetch()))
        self.refused(ProviderState.UNCONFIGURED, self.provider("~nobody-of-that-name/list.m3u"))

    def test_file_trouble(self) -> None:
        """A file that is missing, or is none, is named as the trouble, and nothing waits for it."""
        os.mkfifo(self.folder / "fifo")
        for name, sentence in (("gone", "No such file"), ("fifo", "is not a file"), ("", "is not a file")):
            provider = self.provider(str(self.folder / name))
            self.assertIn(sentence, self.refused(ProviderState.UNCONFIGURED, provider))

    def test_file_lost(self) -> None:
        """A file that goes away before it is opened is trouble of the same kind."""
        path = self.folder / "list.m3u"
        path.write_text(LIST)

        def late(steps: Iterator[object]) -> Awaitable[None]:
            path.unlink()
            return self.sliced(steps)

        self.context = evolve(self.context, sliced=late)
        self.assertIn("No such file", self.refused(ProviderState.UNCONFIGURED, self.provider(str(path))))


class SettingsTests(SynchronousTestCase):
    """What may be set, and how it is said on the command line."""

    def test_argument(self) -> None:
        """What follows the name is a URL, or a file seen from where the daemon is started."""
        self.assertEqual(m3u.settings_from_argument(""), {})
        self.assertEqual(m3u.settings_from_argument("https://a.test/x?y"), {"url": "https://a.test/x?y"})
        self.assertEqual(m3u.settings_from_argument("/srv/a.m3u"), {"url": "/srv/a.m3u"})
        self.assertEqual(m3u.settings_from_argument("a.m3u"), {"url": str(Path("a.m3u").absolute())})

    def test_wrong(self) -> None:
        """What is neither is refused with what would be right, and without being repeated."""
        for url in ("ftp://a.test/s3cret", "file:///s3cret", "http://", "http://a b/s3cret", "/a\ns3cret"):
            with self.assertRaises(ConfigError) as caught:
                m3u.settings_from_argument(url)
            self.assertIn("http or https URL", caught.exception.sentence)
            self.assertNotIn("s3cret", caught.exception.sentence)

    def test_wrong_headers(self) -> None:
        """A header that cannot be sent is named, but not its value."""
        for headers in ({"Host": "s3cret"}, {"X-A": "s3cret\r\n"}):
            with self.assertRaises(ValueError) as caught:
                M3USettings(headers=headers)
            self.assertIn(next(iter(headers)), str(caught.exception))
            self.assertNotIn("s3cret", str(caught.exception))
