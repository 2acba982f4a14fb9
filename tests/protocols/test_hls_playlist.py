"""What an HLS playlist says is read as it is meant, and what cannot be meant is refused with a sentence."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.protocols import hls_playlist, m3u8
from iptvd.protocols.hls_playlist import Reading, parse
from iptvd.protocols.hls_values import (
    ByteRange,
    InitSection,
    Key,
    KeyMethod,
    MediaPlaylist,
    MultivariantPlaylist,
    Rendition,
    Segment,
    Variant,
)

BASE = "http://cdn.example.com/live/one/index.m3u8?token=abc"
HERE = "http://cdn.example.com/live/one/"

#: Lines that playlists are made of, for those that make no sense.
LINES = [
    "#EXTINF:2,",
    "a.ts",
    "b.ts",
    "#EXT-X-DISCONTINUITY",
    "#EXT-X-BYTERANGE:5@3",
    "#EXT-X-BYTERANGE:5",
    "#EXT-X-TARGETDURATION:4",
    "#EXT-X-STREAM-INF:BANDWIDTH=1",
    '#EXT-X-MAP:URI="m"',
    '#EXT-X-KEY:METHOD=AES-128,URI="k"',
    "#EXT-X-KEY:METHOD=NONE",
    '#EXT-X-KEY:"',
    "#EXT-X-GAP",
    "#EXT-X-ENDLIST",
    "{$x}",
]


class ReadTestCase(SynchronousTestCase):
    """Reads playlists given line by line."""

    def media(self, *lines: str) -> MediaPlaylist:
        playlist = parse("\n".join(("#EXTM3U", *lines)).encode(), BASE)
        assert isinstance(playlist, MediaPlaylist)
        return playlist

    def multivariant(self, *lines: str) -> MultivariantPlaylist:
        playlist = parse("\n".join(("#EXTM3U", *lines)).encode(), BASE)
        assert isinstance(playlist, MultivariantPlaylist)
        return playlist

    def refused(self, *lines: str, variables: Mapping[str, str] | None = None) -> str:
        with self.assertRaises(ProtocolError) as caught:
            parse("\n".join(("#EXTM3U", *lines)).encode(), BASE, variables)
        self.assertNotIn("cdn.example", caught.exception.sentence)
        return str(caught.exception)


class MediaPlaylistTests(ReadTestCase):
    def test_segments(self) -> None:
        """Segments have their absolute address, length, number, and what else is told of each."""
        playlist = self.media(
            "#EXT-X-VERSION:6",
            "#EXT-X-TARGETDURATION:6",
            "#EXT-X-MEDIA-SEQUENCE: 18446744073709551600",
            "#EXT-X-DISCONTINUITY-SEQUENCE:4",
            "#EXT-X-INDEPENDENT-SEGMENTS",
            "#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:05.500+01:00",
            "#EXTINF:6.006,A title, with http://title.test/",
            "a.ts",
            "# a comment",
            "",
            "#EXT-X-DISCONTINUITY",
            "#EXTINF:5,",
            "/b.ts",
            "#EXT-X-GAP",
            "#EXTINF:4.5",
            "http://b.test/c.ts?x=1",
        )
        self.assertEqual(
            playlist,
            MediaPlaylist(
                6.0,
                18446744073709551600,
                4,
                (
                    Segment(HERE + "a.ts", 6.006, 18446744073709551600, program_date_time=1767319445.5),
                    Segment("http://cdn.example.com/b.ts", 5.0, 18446744073709551601, discontinuity=True),
                    Segment("http://b.test/c.ts?x=1", 4.5, 18446744073709551602, gap=True),
                ),
                ended=False,
                independent_segments=True,
            ),
        )
        self.assertEqual(playlist.end, 18446744073709551603)

    def test_an_ended_playlist(self) -> None:
        """A playlist says that nothing will follow."""
        self.assertTrue(self.media("#EXT-X-TARGETDURATION:2", "#EXTINF:2,", "a.ts", "#EXT-X-ENDLIST").ended)

    def test_an_empty_playlist(self) -> None:
        """A stream that has not begun yet has a playlist all the same."""
        playlist = self.media("#EXT-X-TARGETDURATION:2", "#EXT-X-MEDIA-SEQUENCE:7")
        self.assertEqual((playlist.segments, playlist.media_sequence, playlist.end), ((), 7, 7))

    def test_what_players_forgive(self) -> None:
        """A byte order mark, CRLF, a missing EXTINF, a target that is too short and a date that is none do no harm."""
        playlist = parse(
            b"\xef\xbb\xbf\r\n#EXTM3U\r\n#EXT-X-TARGETDURATION:2\r\na.ts\r\n#EXTINF:4.6,\r\nb.ts\r\n"
            b"#EXT-X-MEDIA-SEQUENCE:9\r\n#EXT-X-PROGRAM-DATE-TIME:yesterday\r\n#EXTINF:x,\r\nc.ts",
            BASE,
        )
        assert isinstance(playlist, MediaPlaylist)
        self.assertEqual([segment.duration for segment in playlist.segments], [2.0, 4.6, 2.0])
        self.assertEqual([segment.sequence for segment in playlist.segments], [0, 1, 2])
        self.assertEqual(playlist.target_duration, 5.0)
        self.assertIsNone(playlist.segments[2].program_date_time)

    def test_a_target_that_is_not_told(self) -> None:
        """The longest segment stands in for a target duration that is not there or makes no sense."""
        self.assertEqual(self.media("#EXT-X-TARGETDURATION:x", "#EXTINF:3.2,", "a.ts").target_duration, 4.0)

    def test_a_date_without_zone(self) -> None:
        """A date that tells no zone is UTC."""
        playlist = self.media("#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:05", "#EXTINF:3,", "a.ts")
        self.assertEqual(playlist.segments[0].program_date_time, 1767323045.0)

    def test_byte_ranges(self) -> None:
        """A byte range without a start follows the one before it in the same file."""
        playlist = self.media(
            "#EXTINF:2,", "#EXT-X-BYTERANGE:100@1000", "a.ts",
            "#EXTINF:2,", "#EXT-X-BYTERANGE:50", "a.ts",
            "#EXTINF:2,", "#EXT-X-BYTERANGE:10@0", "b.ts",
            "#EXTINF:2,", "c.ts",
        )  # fmt: skip
        self.assertEqual(
            [segment.byte_range for segment in playlist.segments],
            [ByteRange(1000, 100), ByteRange(1100, 50), ByteRange(0, 10), None],
        )

    def test_byte_ranges_from_nowhere(self) -> None:
        """A byte range that starts nowhere, or is none, is refused."""
        for lines in (
            ("#EXT-X-BYTERANGE:50", "a.ts"),
            ("a.ts", "#EXT-X-BYTERANGE:50", "a.ts"),
            ("#EXT-X-BYTERANGE:50@0", "a.ts", "#EXT-X-BYTERANGE:50", "b.ts"),
        ):
            self.assertIn("where it starts", self.refused("#EXT-X-TARGETDURATION:2", *lines))
        for text in ("0@0", "-5@0", "5@", "x", ""):
            self.assertIn("byte range that is none", self.refused(f"#EXT-X-BYTERANGE:{text}", "a.ts"))

    def test_init_sections(self) -> None:
        """An initialization section holds until the next one, with its part of a file and the key before it."""
        playlist = self.media(
            '#EXT-X-MAP:URI="one.mp4",BYTERANGE="720@0"',
            "#EXTINF:2,",
            "a.m4s",
            "#EXTINF:2,",
            "b.m4s",
            '#EXT-X-KEY:METHOD=AES-128,URI="k",IV=0x1',
            '#EXT-X-MAP:URI="two.mp4",BYTERANGE="9"',
            "#EXTINF:2,",
            "c.m4s",
            '#EXT-X-MAP:URI="three.mp4"',
            "#EXTINF:2,",
            "d.m4s",
        )
        key = Key(KeyMethod.AES_128, HERE + "k", bytes(15) + b"\1")
        one = InitSection(HERE + "one.mp4", ByteRange(0, 720))
        two = InitSection(HERE + "two.mp4", ByteRange(0, 9), key)
        self.assertEqual(
            [segment.init for segment in playlist.segments],
            [one, one, two, InitSection(HERE + "three.mp4", None, key)],
        )
        self.assertIn("initialization section without", self.refused('#EXT-X-MAP:BYTERANGE="1@0"'))

    def test_keys(self) -> None:
        """A key holds from its tag on, until the next or until there is none, with the vector that it names."""
        playlist = self.media(
            '#EXT-X-KEY:METHOD=AES-128,URI="../k?n=1"',
            "#EXTINF:2,",
            "a.ts",
            '#EXT-X-KEY:METHOD=AES-128,URI="k2",IV=0X00112233445566778899aabbccddEEFF,KEYFORMAT="identity"',
            "#EXTINF:2,",
            "b.ts",
            "#EXT-X-KEY:METHOD=NONE",
            "#EXTINF:2,",
            "c.ts",
            '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="k3"',
            "#EXTINF:2,",
            "d.ts",
        )
        self.assertEqual(
            [segment.key for segment in playlist.segments],
            [
                Key(KeyMethod.AES_128, "http://cdn.example.com/live/k?n=1"),
                Key(KeyMethod.AES_128, HERE + "k2", bytes.fromhex("00112233445566778899aabbccddeeff")),
                None,
                Key(KeyMethod.SAMPLE_AES, HERE + "k3"),
            ],
        )

    def test_keys_of_several_systems(self) -> None:
        """Of keys that hold side by side the plain one counts; rights management alone is told as such."""
        drm = '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://x",KEYFORMAT="com.apple.streamingkeydelivery"'
        segment = ("#EXTINF:2,", "a.ts")
        both = self.media(drm, '#EXT-X-KEY:METHOD=AES-128,URI="k"', drm, *segment)
        self.assertEqual(both.segments[0].key, Key(KeyMethod.AES_128, HERE + "k"))
        for tag in (drm, "#EXT-X-KEY:METHOD=AES-512", "#EXT-X-KEY:", '#EXT-X-KEY:METHOD=AES-128,URI="SKD://x"'):
            self.assertEqual(self.media(tag, *segment).segments[0].key, Key(KeyMethod.OTHER))

    def test_keys_in_the_playlist(self) -> None:
        """A key may stand in the playlist itself."""
        for uri in ("data:text/plain;base64,MDEyMzQ1Njc4OWFiY2RlZg==", "data:,0123456789%61bcdef"):
            playlist = self.media(f'#EXT-X-KEY:METHOD=AES-128,URI="{uri}"', "#EXTINF:2,", "a.ts")
            self.assertEqual(playlist.segments[0].key, Key(KeyMethod.AES_128, value=b"0123456789abcdef"))
        for uri in ("data:;base64,MDEy", "data:;base64,M", "data:", "data:,short"):
            self.assertIn("not of 16 bytes", self.refused(f'#EXT-X-KEY:METHOD=AES-128,URI="{uri}"'))

    def test_keys_that_are_none(self) -> None:
        """A key without an address, and a vector that is no number, are refused."""
        self.assertIn("key without an address", self.refused("#EXT-X-KEY:METHOD=AES-128"))
        for vector in ("1", "0x", "0xG", "0x" + "0" * 33):
            self.assertIn("vector", self.refused(f'#EXT-X-KEY:METHOD=AES-128,URI="k",IV={vector}'))

    def test_secrets_are_not_shown(self) -> None:
        """No address and no key shows when a playlist's values are printed."""
        playlist = self.media(
            '#EXT-X-MAP:URI="secret1"', '#EXT-X-KEY:METHOD=AES-128,URI="secret2",IV=0x5ec4e7', "#EXTINF:2,", "secret3"
        )
        self.assertNotIn("secret", repr(playlist))
        self.assertNotIn("cdn.example", repr(playlist))

    def test_a_delta_update(self) -> None:
        """A playlist that leaves segments out is refused, because it was not asked to."""
        self.assertIn("leaves out", self.refused("#EXT-X-SKIP:SKIPPED-SEGMENTS=3"))

    def test_a_list_of_channels(self) -> None:
        """A list of channels, which looks much like HLS, is told apart by its durations."""
        self.assertIn("list of channels", self.refused("#EXTINF:-1 tvg-id=x,News", "http://b.test/1.ts"))

    def test_durations_beyond_reason(self) -> None:
        """A segment of more than an hour is refused."""
        self.assertIn("more than 3600 s", self.refused("#EXTINF:3601,"))
        self.assertIn("more than 3600 s", self.refused("#EXT-X-TARGETDURATION:99999999999999999999"))


class MultivariantPlaylistTests(ReadTestCase):
    def test_variants_and_renditions(self) -> None:
        """Variants and renditions have all that there is to choose by."""
        playlist = self.multivariant(
            "#EXT-X-INDEPENDENT-SEGMENTS",
            '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="English",LANGUAGE="en",DEFAULT=YES,AUTOSELECT=YES,URI="en.m3u8"',
            '#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID="c",NAME="CC",INSTREAM-ID="CC1"',
            "#EXT-X-STREAM-INF:BANDWIDTH=5000,AVERAGE-BANDWIDTH=4000,RESOLUTION=1280x720,"
            'CODECS="avc1.4d, mp4a.40.2",AUDIO="a"',
            "# a comment",
            "high.m3u8",
            "#EXT-X-STREAM-INF:BANDWIDTH=x,RESOLUTION=big",
            "low.m3u8",
            '#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=100,URI="trick.m3u8"',
        )
        self.assertEqual(
            playlist,
            MultivariantPlaylist(
                (
                    Variant(HERE + "high.m3u8", 5000, 4000, (1280, 720), ("avc1.4d", "mp4a.40.2"), "a"),
                    Variant(HERE + "low.m3u8", 0),
                ),
                (
                    Rendition("AUDIO", "a", "English", "en", True, True, HERE + "en.m3u8"),
                    Rendition("CLOSED-CAPTIONS", "c", "CC"),
                ),
                True,
                {},
            ),
        )
        self.assertNotIn("cdn.example", repr(playlist))

    def test_neither_nor(self) -> None:
        """Variants and segments at once, and a list without anything to play, are refused."""
        variant = ("#EXT-X-STREAM-INF:BANDWIDTH=1", "v.m3u8")
        self.assertIn("at once", self.refused(*variant, "#EXTINF:2,", "a.ts"))
        self.assertIn("no variant", self.refused('#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI="t.m3u8"'))
        self.assertIn("no variant", self.refused("#EXT-X-STREAM-INF:BANDWIDTH=1"))


class VariableTests(ReadTestCase):
    def test_variables(self) -> None:
        """Variables are put in, and handed on to the playlists that import them."""
        playlist = self.multivariant(
            '#EXT-X-DEFINE:NAME="host",VALUE="b.test"',
            '#EXT-X-DEFINE:QUERYPARAM="token"',
            '#EXT-X-DEFINE:NAME="group",VALUE="sound"',
            '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="{$group}",NAME="x",URI="http://{$host}/a.m3u8"',
            "#EXT-X-STREAM-INF:BANDWIDTH=1",
            "http://{$host}/v.m3u8?t={$token}",
        )
        self.assertEqual(playlist.variants[0].uri, "http://b.test/v.m3u8?t=abc")
        self.assertEqual((playlist.renditions[0].group, playlist.renditions[0].uri), ("sound", "http://b.test/a.m3u8"))
        body = b'#EXTM3U\n#EXT-X-DEFINE:IMPORT="host"\n#EXTINF:2,\nhttp://{$host}/s.ts\n'
        media = parse(body, BASE, playlist.variables)
        assert isinstance(media, MediaPlaylist)
        self.assertEqual(media.segments[0].uri, "http://b.test/s.ts")

    def test_unknown_variables(self) -> None:
        """An address with a variable that nobody defined is refused."""
        self.assertIn("does not define", self.refused("#EXTINF:2,", "{$host}/a.ts"))
        self.assertIn("did not define", self.refused('#EXT-X-DEFINE:IMPORT="host"', variables={"other": "x"}))

    def test_variables_that_multiply(self) -> None:
        """Variables that would blow a playlist up are refused."""
        self.patch(hls_playlist, "MAX_OUTPUT", 1000)
        lines = ['#EXT-X-DEFINE:NAME="a",VALUE="' + "x" * 100 + '"', "#EXT-X-STREAM-INF:BANDWIDTH=1", "{$a}" * 20]
        self.assertIn("grow beyond", self.refused(*lines))


class BoundsTests(ReadTestCase):
    def fails(self, body: bytes, words: str) -> None:
        with self.assertRaises(ProtocolError) as caught:
            parse(body, BASE)
        self.assertIn(words, caught.exception.sentence)

    def test_what_is_no_playlist(self) -> None:
        """What is no playlist is refused with a word on what it is."""
        self.fails(b"", "nothing")
        self.fails(b"<html><body>Hello</body></html>", "web page")
        self.fails(b"#EXTM3U\n\0", "binary data")
        self.fails(bytes(range(256)), "binary data")

    def test_bounds(self) -> None:
        """A playlist, its lines and their number have bounds."""
        self.patch(m3u8, "MAX_BODY", 1 << 20)
        self.patch(hls_playlist, "MAX_LINE", 1000)
        self.patch(m3u8, "MAX_LINES", 100)
        self.fails(b"#EXTM3U" + b" " * (1 << 20), "larger than 1 MiB")
        self.fails(b"#EXTM3U\n#" + b"x" * 1000, "line of more than")
        self.fails(b"#EXTM3U\n" * 101, "more than 100 lines")
        self.fails(b"#EXTM3U\n" * 1000, "more than 100 lines")

    def test_other_schemes(self) -> None:
        """A playlist that leads to something else than http and https is refused."""
        self.assertIn("neither http nor https", self.refused("#EXTINF:2,", "file:///etc/passwd"))

    def test_long_playlists_are_read_in_steps(self) -> None:
        """A long playlist is read in many short steps, with the same result as at once."""
        lines = "".join(f"#EXTINF:2.0,\nsegment{number}.ts\n" for number in range(1000))
        body = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n" + lines.encode()
        reading = Reading(body, BASE)
        steps = sum(1 for _ in reading)
        self.assertGreater(steps, 20)
        self.assertEqual(reading.result(), parse(body, BASE))

    @given(st.lists(st.one_of(st.sampled_from(LINES), st.text(max_size=40)), max_size=20))
    def test_any_playlist(self, lines: list[str]) -> None:
        """Whatever a playlist holds, it is read or refused with a sentence; numbers go up by one."""
        try:
            playlist = parse("\n".join(("#EXTM3U", *lines)).encode("utf-8", "replace"), BASE)
        except ProtocolError as error:
            self.assertTrue(error.sentence.endswith("."))
            return
        if isinstance(playlist, MediaPlaylist):
            numbers = [segment.sequence for segment in playlist.segments]
            self.assertEqual(numbers, list(range(playlist.media_sequence, playlist.end)))
            self.assertTrue(all(segment.uri.startswith("http") for segment in playlist.segments))
        else:
            self.assertTrue(playlist.variants)
