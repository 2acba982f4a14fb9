"""A playlist leaves us with our URIs in it and everything else byte for byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.protocols import m3u8
from iptvd.protocols.m3u8 import Rewriting, Rewritten, Role, rewrite, single_variant
from tests.protocols.playlists import BASE, Minted, RewriteTestCase


class RewriteTests(RewriteTestCase):
    """What is replaced, and by what."""

    def test_media_playlist(self) -> None:
        """Segments are replaced, and what a reader needs for the next reload is told."""
        result = self.rewrite(
            "#EXT-X-VERSION:6",
            "#EXT-X-TARGETDURATION:6",
            "#EXT-X-MEDIA-SEQUENCE: 1700000000000001",
            "#EXTINF:6.006,http://title.test/",
            "a.ts",
            "#EXTINF:6.006,",
            "http://b.test/b.ts",
        )
        self.assertEqual(
            result,
            Rewritten(
                body=(
                    b"#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE: 1700000000000001\n"
                    b"#EXTINF:6.006,http://title.test/\n/m/segment1.ts\n#EXTINF:6.006,\n/m/segment2.ts\n"
                ),
                multivariant=False,
                target_duration=6.0,
                part_target=None,
                blocking_reload=False,
                ended=False,
                media_sequence=1_700_000_000_000_001,
                skipped=0,
                segments=2,
                uris=2,
                drm=False,
                variables={},
            ),
        )
        self.assertEqual(
            self.minted.calls,
            [
                ("http://cdn.example.com/live/one/a.ts", Role.SEGMENT, "ts"),
                ("http://b.test/b.ts", Role.SEGMENT, "ts"),
            ],
        )

    def test_multivariant_playlist(self) -> None:
        """Variants and renditions are playlists, also with comments and other tags in between."""
        result = self.rewrite(
            '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="English",URI="audio/en.m3u8",LANGUAGE="en"',
            '#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID="c",NAME="English",INSTREAM-ID="CC1"',
            '#EXT-X-STREAM-INF:BANDWIDTH=1000,CODECS="avc1.4d401f,mp4a.40.2",AUDIO="a"',
            "# a comment",
            "",
            "video/low.php?id=1",
            "#EXT-X-STREAM-INF:BANDWIDTH=2000",
            "video/high.m3u8",
            '#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=100,URI="trick.m3u8"',
            '#EXT-X-IMAGE-STREAM-INF:BANDWIDTH=10,URI="images.m3u8"',
        )
        self.assertEqual(
            result.body.decode().split("\n")[1:-1],
            [
                '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="English",URI="/m/playlist1.m3u8",LANGUAGE="en"',
                '#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID="c",NAME="English",INSTREAM-ID="CC1"',
                '#EXT-X-STREAM-INF:BANDWIDTH=1000,CODECS="avc1.4d401f,mp4a.40.2",AUDIO="a"',
                "# a comment",
                "",
                "/m/playlist2.m3u8",
                "#EXT-X-STREAM-INF:BANDWIDTH=2000",
                "/m/playlist3.m3u8",
                '#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=100,URI="/m/playlist4.m3u8"',
                '#EXT-X-IMAGE-STREAM-INF:BANDWIDTH=10,URI="/m/playlist5.m3u8"',
            ],
        )
        self.assertTrue(result.multivariant)
        self.assertEqual((result.segments, result.uris), (0, 5))
        self.assertIsNone(result.target_duration)

    def test_every_tag_with_a_uri(self) -> None:
        """Each tag that holds a URI has it replaced, and nothing else of it."""
        for line, role in (
            ('#EXT-X-KEY:METHOD=AES-128,URI="{}",IV=0x1', Role.KEY),
            ('#EXT-X-SESSION-KEY:METHOD=AES-128,URI="{}"', Role.KEY),
            ('#EXT-X-MAP:URI="{}",BYTERANGE="720@0"', Role.INIT),
            ('#EXT-X-MEDIA:TYPE=SUBTITLES,URI="{}",NAME="a,URI=b"', Role.PLAYLIST),
            ('#EXT-X-I-FRAME-STREAM-INF:URI="{}"', Role.PLAYLIST),
            ('#EXT-X-PART:DURATION=0.3,INDEPENDENT=YES,URI="{}"', Role.SEGMENT),
            ('#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{}",BYTERANGE-START=0', Role.SEGMENT),
            ('#EXT-X-PRELOAD-HINT:URI="{}",TYPE=MAP', Role.INIT),
            ('#EXT-X-PRELOAD-HINT:URI="{}",TYPE=OTHER', Role.OTHER),
            ('#EXT-X-RENDITION-REPORT:URI="{}",LAST-MSN=1,LAST-PART=2', Role.PLAYLIST),
            ('#EXT-X-SESSION-DATA:DATA-ID="com.example",URI="{}"', Role.OTHER),
            ('#EXT-X-CONTENT-STEERING:SERVER-URI="{}",PATHWAY-ID="a"', Role.OTHER),
            ('#EXT-X-DATERANGE:ID="1",CLASS="com.apple.hls.interstitial",X-ASSET-URI="{}"', Role.PLAYLIST),
            ('#EXT-X-DATERANGE:ID="1",X-ASSET-LIST="{}",X-RESUME-OFFSET=0', Role.OTHER),
        ):
            self.minted.calls.clear()
            (new,) = self.lines(line.format("../x?a=b,c"))
            ((url, minted_role, extension),) = self.minted.calls
            self.assertEqual(new, line.format(f"/m/{role.value}1.{extension}"))
            self.assertEqual((url, minted_role), ("http://cdn.example.com/live/x?a=b,c", role))

    def test_other_tags_stay(self) -> None:
        """Tags we do not know, comments and playback control stay as they are, URLs in them too."""
        lines = [
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=36.0,PART-HOLD-BACK=1.0",
            "#EXT-X-BYTERANGE:100@0",
            "#EXT-X-PROGRAM-DATE-TIME:2024-01-01T00:00:00Z",
            "#EXT-X-CUE-OUT:30",
            '#EXT-X-UNHEARD-OF:URI="http://x.test/"',
            '#EXT-X-DATERANGE:ID="a",SCTE35-OUT=0xFC30,X-COM-EXAMPLE="http://x.test/,URI=1"',
            '#EXT-X-SESSION-DATA:DATA-ID="a",VALUE="http://x.test/"',
            "#EXT-X-KEY:METHOD=NONE",
            "# http://x.test/",
            "#",
        ]
        self.assertEqual(self.lines(*lines), lines)

    def test_low_latency(self) -> None:
        """What a low-latency reader needs is told: parts, blocking reloads, skipped segments."""
        result = self.rewrite(
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.0",
            "#EXT-X-PART-INF:PART-TARGET=0.33334",
            "#EXT-X-SKIP:SKIPPED-SEGMENTS=7",
        )
        self.assertEqual((result.part_target, result.blocking_reload, result.skipped), (0.33334, True, 7))
        self.assertFalse(self.rewrite("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=NO").blocking_reload)

    def test_part_keeps_its_hinted_uri(self) -> None:
        """A part has the URI that a hint had announced for it."""
        hint, part = self.lines('#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p.m4s"', '#EXT-X-PART:DURATION=1,URI="p.m4s"')
        self.assertEqual(hint.rpartition("URI=")[2], part.rpartition("URI=")[2])

    def test_ended(self) -> None:
        """A playlist that will not grow says so."""
        self.assertTrue(self.rewrite("#EXT-X-ENDLIST").ended)

    def test_numbers_that_are_none(self) -> None:
        """Numbers that cannot be read are as if they were not there."""
        result = self.rewrite("#EXT-X-TARGETDURATION:soon", "#EXT-X-MEDIA-SEQUENCE:", "#EXT-X-SKIP:SKIPPED-SEGMENTS=x")
        self.assertEqual((result.target_duration, result.media_sequence, result.skipped), (None, 0, 0))
        self.assertEqual(self.rewrite("#EXT-X-TARGETDURATION:5.5").target_duration, 5.5)

    def test_same_uri_minted_once(self) -> None:
        """Byte ranges of one file and a repeated key cost one token each, and every mention is replaced."""
        result = self.rewrite(
            '#EXT-X-KEY:METHOD=AES-128,URI="x"', "x", '#EXT-X-KEY:METHOD=AES-128,URI="x"', "x", "x", "y", "x"
        )
        roles = [role for _, role, _ in self.minted.calls]
        self.assertEqual(roles, [Role.KEY, Role.SEGMENT, Role.KEY, Role.SEGMENT, Role.SEGMENT])
        self.assertEqual((result.uris, result.segments), (7, 5))

    def test_in_steps(self) -> None:
        """A long playlist is done in many steps, with the same result as at once."""
        body = b"#EXTM3U\n" + b"".join(b"#EXTINF:6,\n%d.ts\n" % number for number in range(2000))
        rewriting = Rewriting(body, BASE, Minted())
        self.assertGreater(sum(1 for _ in rewriting), 50)
        self.assertEqual(rewriting.result(), rewrite(body, BASE, self.minted))

    def test_single_variant(self) -> None:
        """A viewer's first playlist has one variant."""
        body = single_variant("/hls/abc.m3u8", bandwidth=5_000_000)
        self.assertEqual(body, b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=5000000\n/hls/abc.m3u8\n")
        self.assertTrue(rewrite(body, BASE, self.minted).multivariant)

    def test_repr_shows_no_addresses(self) -> None:
        """Neither a playlist nor its variables show when the result is printed."""
        shown = repr(self.rewrite('#EXT-X-DEFINE:NAME="h",VALUE="secret"', "{$h}"))
        self.assertNotIn("secret", shown)
        self.assertNotIn("EXTM3U", shown)


class ExtensionTests(RewriteTestCase):
    """The media extension of our URIs."""

    def extension(self, *lines: str) -> str:
        self.minted.calls.clear()
        self.rewrite(*lines)
        return self.minted.calls[-1][2]

    def test_known_ones_stay(self) -> None:
        """A segment with a media extension keeps it, in lower case, whatever follows in the URL."""
        for uri, extension in (
            ("a.ts", "ts"),
            ("a.M4S?x=y.php", "m4s"),
            ("a.webvtt", "webvtt"),
            ("a.aac;jsessionid=1", "aac"),
            ("x.php/a.mp4#t", "mp4"),
        ):
            self.assertEqual(self.extension(uri), extension, uri)

    def test_disguised_segments(self) -> None:
        """A segment under a strange name is fragmented MP4 where there is an init section, else a transport stream."""
        for uri in ("a.png", "a.jpg", "a.html", "a.php?x=.mp4", "a", "a.ts/b", "http://a.ts", "a.m3u8", "a."):
            self.assertEqual(self.extension(uri), "ts", uri)
            self.assertEqual(self.extension('#EXT-X-MAP:URI="i.mp4"', uri), "m4s", uri)

    def test_other_roles(self) -> None:
        """Playlists, keys, init sections and data have extensions of their own."""
        self.assertEqual(self.extension("#EXT-X-STREAM-INF:BANDWIDTH=1", "a.ts"), "m3u8")
        self.assertEqual(self.extension('#EXT-X-KEY:METHOD=AES-128,URI="a.php"'), "key")
        self.assertEqual(self.extension('#EXT-X-MAP:URI="a.png"'), "mp4")
        self.assertEqual(self.extension('#EXT-X-MAP:URI="a.m4s"'), "m4s")
        for uri, extension in (
            ("a.JSON", "json"),
            ("a", "bin"),
            ("a.b_c", "bin"),
            ("a.toolong", "bin"),
            ("a.", "bin"),
        ):
            self.assertEqual(self.extension(f'#EXT-X-SESSION-DATA:DATA-ID="a",URI="{uri}"'), extension, uri)


class SchemeTests(RewriteTestCase):
    """What is not http or https."""

    def test_inline_data_stays(self) -> None:
        """Data that is part of the playlist stays there."""
        lines = ['#EXT-X-KEY:METHOD=AES-128,URI="data:;base64,AAAA"', '#EXT-X-MAP:URI=" DATA:video/mp4,x"']
        result = self.rewrite(*lines)
        self.assertEqual(result.body.decode().split("\n")[1:-1], lines)
        self.assertEqual((result.uris, result.drm), (0, False))

    def test_inline_playlist(self) -> None:
        """A playlist as data is refused: it would lead viewers past us."""
        self.refused("#EXT-X-STREAM-INF:BANDWIDTH=1", "data:application/vnd.apple.mpegurl,x")

    def test_drm(self) -> None:
        """Keys of a DRM system are left to the player, and it is told that they are there."""
        for line in (
            '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://key",KEYFORMAT="com.apple.streamingkeydelivery"',
            '#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI="SKD://key"',
            '#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI="data:text/plain,x",KEYFORMAT="com.microsoft.playready"',
        ):
            result = self.rewrite(line)
            self.assertEqual(result.body.decode(), f"#EXTM3U\n{line}\n")
            self.assertTrue(result.drm)

    def test_plain_keys_are_no_drm(self) -> None:
        """A key that is fetched as it is, or no key, is no DRM."""
        for line in (
            '#EXT-X-KEY:METHOD=AES-128,URI="k",KEYFORMAT="identity"',
            '#EXT-X-KEY:METHOD=AES-128,URI="k",KEYFORMAT=""',
            '#EXT-X-KEY:METHOD=NONE,KEYFORMAT="x"',
        ):
            self.assertFalse(self.rewrite(line).drm, line)

    def test_drm_key_over_https(self) -> None:
        """A DRM key with an http address goes through us like any other."""
        result = self.rewrite('#EXT-X-KEY:METHOD=SAMPLE-AES,URI="https://k.test/k",KEYFORMAT="x"')
        self.assertEqual((result.uris, result.drm), (1, True))

    def test_others_are_refused(self) -> None:
        """A playlist that leads to files or to other protocols is refused, and no token is made for them."""
        for uri in ("file:///etc/passwd", "ftp://x.test/a.ts", "rtmp://x.test/a", "javascript:x", "http://", "//"):
            self.assertIn("neither http nor https", self.refused(uri))
            self.refused(f'#EXT-X-KEY:METHOD=AES-128,URI="{uri}"')
        self.assertEqual(self.minted.calls, [])


class LosslessTests(SynchronousTestCase):
    """Everything that is not a URI stays."""

    def check(self, body: bytes, expected: bytes) -> None:
        self.assertEqual(rewrite(body, BASE, Minted()).body, expected)

    def test_line_endings(self) -> None:
        """LF, CRLF, lone CR and a missing last line end survive."""
        self.check(b"#EXTM3U\r\n\r\n#EXTINF:6,\r\na.ts\r\n", b"#EXTM3U\r\n\r\n#EXTINF:6,\r\n/m/segment1.ts\r\n")
        self.check(b"#EXTM3U\n#EXTINF:6,\r\na.ts", b"#EXTM3U\n#EXTINF:6,\r\n/m/segment1.ts")
        self.check(b"#EXTM3U\r# x\ra.ts\r\rb.ts", b"#EXTM3U\r# x\r/m/segment1.ts\r\r/m/segment2.ts")

    def test_byte_order_mark(self) -> None:
        """A byte order mark and blank lines at the start, which strict players refuse, are dropped."""
        self.check(b"\xef\xbb\xbf#EXTM3U\na.ts\n", b"#EXTM3U\n/m/segment1.ts\n")
        self.check(b"\r\n \xef\xbb\xbf\n#EXTM3U\n", b"#EXTM3U\n")

    def test_bytes_that_are_no_text(self) -> None:
        """Titles in old encodings survive."""
        self.check(b"#EXTM3U\n#EXTINF:6,\xe9t\xe9\n#\xff\n", b"#EXTM3U\n#EXTINF:6,\xe9t\xe9\n#\xff\n")

    @given(
        st.lists(
            st.tuples(
                st.one_of(
                    st.just(b"%b"),
                    st.just(b'#EXT-X-MAP:A="x,\xff=",URI="%b",B=1'),
                    st.just(b"#EXT-X-PART:DURATION=1, URI=%b"),
                    st.binary(max_size=12).map(lambda raw: b"#" + raw.translate(None, b"\0\r\n%")),
                    st.just(b"#EXTINF:6.0,a,b"),
                    st.just(b""),
                ),
                st.sampled_from([b"a.ts", b"../b?c=d", b"http://x.test/e", b"f g", b"\xff"]),
                st.sampled_from([b"", b" ", b"\t"]),
                st.sampled_from([b"\n", b"\r\n", b"\n\n"]),
            )
        ),
        st.booleans(),
    )
    def test_random_playlists(self, lines: list[tuple[bytes, bytes, bytes, bytes]], ends: bool) -> None:
        """Whatever the lines are, only URIs differ."""
        body = wanted = b"#EXTM3U\n"
        for line, uri, space, end in lines:
            body += space + line.replace(b"%b", uri) + space + end
            wanted += space + line.replace(b"%b", b"/ours") + space + end
        if not ends:
            body, wanted = body.rstrip(b"\r\n"), wanted.rstrip(b"\r\n")
        self.assertEqual(rewrite(body, BASE, lambda url, role, extension: "/ours").body, wanted)

    @given(
        st.binary(max_size=200),
        st.sampled_from([b"", b"#EXTM3U\n", b"#EXTM3U\n#EXT-X-MAP:", b"#EXTM3U\n#EXT-X-DEFINE:"]),
    )
    def test_anything(self, tail: bytes, head: bytes) -> None:
        """Any bytes at all are rewritten or refused with a sentence."""
        try:
            rewrite(head + tail, BASE, Minted())
        except ProtocolError as error:
            self.assertTrue(error.sentence.endswith("."))


class BoundsTests(SynchronousTestCase):
    """What is no playlist, or too much of one."""

    def refused(self, body: bytes, base: str = BASE) -> str:
        with self.assertRaises(ProtocolError) as caught:
            rewrite(body, base, Minted())
        return str(caught.exception)

    def test_no_playlist(self) -> None:
        """What came instead of a playlist is named."""
        for body, word in (
            (b"", "nothing"),
            (b" \r\n", "nothing"),
            (b"<!DOCTYPE html><html></html>", "a web page"),
            (b"\n<html>", "a web page"),
            (b'{"error": 1}', "other text"),
            (b"\x00\x01\x02\xff" * 20, "binary data"),
            ((b"G@\x00\x10" + b"\xff" * 184) * 8, "an MPEG-TS stream"),
        ):
            self.assertEqual(
                self.refused(body), f"The source answered with {word} where an HLS playlist was expected."
            )

    def test_binary_inside(self) -> None:
        """A zero byte is in no playlist."""
        self.assertIn("binary data", self.refused(b"#EXTM3U\na\0b\n"))

    def test_bounds(self) -> None:
        """A playlist may be 8 MiB, 200,000 lines, and 64 KiB a line, and no more."""
        self.assertIn("8 MiB", self.refused(b"#EXTM3U\n" + b"#" * m3u8.MAX_BODY))
        rewrite(b"#EXTM3U\r\n" + b"\r\n" * (m3u8.MAX_LINES - 1), BASE, Minted())
        self.assertIn("200000 lines", self.refused(b"#EXTM3U\r\n" + b"\r\n" * m3u8.MAX_LINES))
        self.assertIn("200000 lines", self.refused(b"#EXTM3U\n" + b"\n" * (2 * m3u8.MAX_LINES)))
        rewrite(b"#EXTM3U\n#" + b"x" * (m3u8.MAX_LINE - 1), BASE, Minted())
        self.assertIn("64 KiB", self.refused(b"#EXTM3U\n#" + b"x" * m3u8.MAX_LINE))

    def test_growth(self) -> None:
        """A playlist that our own URIs would make grow beyond 32 MiB is refused."""
        with self.assertRaises(ProtocolError) as caught:
            rewrite(b"#EXTM3U\n" + b"a.ts\n" * 34, BASE, lambda url, role, extension: "x" * 1024 * 1024)
        self.assertIn("32 MiB", str(caught.exception))

    def test_bad_address(self) -> None:
        """A playlist that did not come over http is not read."""
        self.refused(b"#EXTM3U\n", "file:///tmp/x.m3u8")
