"""The pages that players lie in."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import urlsplit

from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.website.players import PlayerPage, is_playlist, lookup_url, playlist_url, read_page, read_server
from tests.website.pages import vector

URL = "https://tv.example.com/stream/stream-51.php"


def scripted(text: str) -> PlayerPage:
    return read_page(f"<script>{text}</script>".encode(), URL)


class PageTests(SynchronousTestCase):
    def test_frames(self) -> None:
        """Frames that look like players come first, hidden ones and what a script would write not at all."""
        page = read_page(vector("stream.html"), URL)
        self.assertEqual(
            page.frames,
            (
                "https://one.example.com/p.php?a=1&b=2",
                "https://tv.example.com/two.php",
                "https://ads.example.com/banner.html",
                "https://ads.example.com/other.html",
            ),
        )
        self.assertEqual((page.likely, page.playlist, page.key, page.signed), (2, "", "", False))

    def test_lookup_player(self) -> None:
        """A player that looks its server up has the channel's key, and the host of the playlists."""
        page = read_page(vector("p1.html"), URL)
        self.assertEqual((page.key, page.cdn), ("premium51", "cdn.example.com"))
        self.assertEqual((page.playlist, page.frames, page.signed), ("", (), False))
        for text, cdn in (
            ('"https://top1.cdn.example.com:8443/top1/cdn/"', "cdn.example.com:8443"),
            ('"https://" + sk + "new.cdn.example.com/"', "cdn.example.com"),
            ('"https://news.example.com/"', ""),
            ('"https://new.localhost/"', ""),
        ):
            self.assertEqual(scripted(f"const CHANNEL_KEY: 'a'; x = {text}").cdn, cdn)

    def test_decoding_player(self) -> None:
        """Of all that is in Base64 only the address of a playlist that the player is given counts."""
        page = read_page(vector("p2.html"), URL)
        self.assertEqual(page.playlist, "https://cdn.example.com/hls/xyz/51/index.m3u8?t=1")

    def test_decoys(self) -> None:
        """What decodes to anything else than an http or https address of a playlist is none."""
        for text in (
            "ftp://a.test/x.m3u8",
            "https://a.test/x.mp4",
            "https://a.test/?x=.m3u8",
            "/x.m3u8",
            "\xff\xfe" * 9,
        ):
            code = b64encode(text.encode("latin-1")).decode()
            self.assertEqual(scripted(f"source: window.atob('{code}')").playlist, "", text)
        code = b64encode(b"https://a.test/x.m3u8").decode()
        for text in (f"atob('{code}')", f"resource: atob('{code}')", f"source: decode('{code}')"):
            self.assertEqual(scripted(text).playlist, "", text)
        for text in (
            f"source: atob('{code}')",
            f'"source" : window.atob( "{code.rstrip("=")}" )',
            f"source=atob('{code}')",
        ):
            self.assertEqual(scripted(text).playlist, "https://a.test/x.m3u8", text)

    def test_signature(self) -> None:
        """A page that wants a signature is known by it."""
        self.assertTrue(read_page(vector("signed.html"), URL).signed)
        for text in ("crypto.subtle.digest()", "'/x?sig=' + s", "var authToken", "CryptoJS.HmacSHA256"):
            self.assertTrue(scripted(text).signed, text)
        self.assertFalse(scripted("var author, design = 1").signed)

    def test_only_scripts(self) -> None:
        """What stands in the text of a page or in a comment is no player."""
        page = read_page(b"channelKey='a' <!-- <script>channelKey='b'</script> --><p>source: atob('x')", URL)
        self.assertEqual(page, PlayerPage())

    def test_server(self) -> None:
        """The server is a name, possibly with slashes, and nothing that could lead elsewhere."""
        self.assertEqual(read_server(b'{"x": 1, "server_key": "zz"}'), "zz")
        self.assertEqual(read_server(b'{"server_key": "top1/cdn"}'), "top1/cdn")
        for body in (
            b"",
            b"<html>",
            b"{}",
            b"[]",
            b'{"server_key": null}',
            b'{"server_key": "../x"}',
            b'{"server_key": "a.b"}',
        ):
            with self.assertRaises(ProtocolError, msg=str(body)):
                read_server(body)

    def test_addresses(self) -> None:
        """What a server is asked and where a playlist is follow from the templates."""
        self.assertEqual(
            lookup_url("/server_lookup.php?channel_id={key}", "premium51", "https://p.example.com/a/b.php?x=1"),
            "https://p.example.com/server_lookup.php?channel_id=premium51",
        )
        self.assertEqual(
            playlist_url("https://{server}new.{cdn}/{server}/{key}/mono.m3u8", "zz", "premium51", "cdn.example.com"),
            "https://zznew.cdn.example.com/zz/premium51/mono.m3u8",
        )
        self.assertEqual(
            playlist_url("https://{first}.{cdn}/{server}/{key}/mono.m3u8", "top1/cdn", "k", "cdn.example.com"),
            "https://top1.cdn.example.com/top1/cdn/k/mono.m3u8",
        )

    def test_playlists(self) -> None:
        """An address of a playlist is http or https and says so."""
        self.assertTrue(is_playlist("http://a.test/x/INDEX.M3U8?y"))
        for text in (
            "",
            "a.m3u8",
            "http://a.test/x.ts",
            "http://[x/a.m3u8",
            "http://a.test/a b.m3u8",
            "http://a.test/\n.m3u8",
        ):
            self.assertFalse(is_playlist(text), text)

    @given(strategies.binary())
    def test_anything(self, body: bytes) -> None:
        """Whatever a page is, what is found can be asked for over http."""
        wrapped = b"<iframe src='" + body + b"'></iframe><script>" + body + b"</script>" + body
        page = read_page(wrapped, URL)
        for address in page.frames:
            self.assertIn(urlsplit(address).scheme, ("http", "https"))
        self.assertTrue(not page.playlist or is_playlist(page.playlist))
