"""Playlists of our own."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.hls_writer import Listed, fits, media_playlist, with_prefix
from iptvd.protocols.m3u8 import Role, rewrite

FULL = b"""#EXTM3U
#EXT-X-VERSION:3
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:2
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:20.250Z
#EXTINF:2.00000,
7.ts
#EXT-X-DISCONTINUITY
#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:22.250Z
#EXTINF:1.96000,
8.ts
#EXT-X-ENDLIST
"""
SEGMENTS = (Listed("7.ts", 2.0, 1_700_000_000.25), Listed("8.ts", 1.96, 1_700_000_002.25, discontinuity=True))


class MediaPlaylistTests(SynchronousTestCase):
    def test_everything(self) -> None:
        """A playlist says all that is known of its segments, in the order that players expect."""
        self.assertEqual(media_playlist(4, 7, 2, SEGMENTS, independent=True, ended=True), FULL)

    def test_only_what_there_is_to_say(self) -> None:
        """What does not apply is not said."""
        self.assertEqual(
            media_playlist(2, 0, 0, [Listed("a.ts", 2.4)]),
            b"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:2.40000,\na.ts\n",
        )

    def test_another_reader(self) -> None:
        """What reads the playlists of origins reads ours."""
        seen: list[str] = []

        def mint(url: str, role: Role, extension: str) -> str:
            seen.append(url)
            self.assertEqual((role, extension), (Role.SEGMENT, "ts"))
            return "x"

        read = rewrite(FULL, "http://example.com/hls/index.m3u8", mint)
        self.assertEqual(seen, ["http://example.com/hls/7.ts", "http://example.com/hls/8.ts"])
        self.assertEqual((read.target_duration, read.media_sequence, read.segments, read.ended), (4.0, 7, 2, True))

    def test_a_target_that_is_kept(self) -> None:
        """A segment that is longer than the target duration when rounded is not listed."""
        self.assertTrue(fits(4.49, 4))
        self.assertFalse(fits(4.5, 4))
        with self.assertRaises(ValueError):
            media_playlist(4, 0, 0, [Listed("a.ts", 4.5)])

    def test_addresses_that_would_break_it(self) -> None:
        """An address that a player would not read as one is refused."""
        for uri in ("", " ", "#a", "a\nb", "a\r"):
            with self.assertRaises(ValueError):
                media_playlist(4, 0, 0, [Listed(uri, 2.0)])

    def test_a_prefix(self) -> None:
        """The same playlist serves viewers with different addresses for its segments."""
        prefixed = with_prefix(FULL, r"../s/\1abc/")
        self.assertEqual(prefixed, FULL.replace(b"7.ts", rb"../s/\1abc/7.ts").replace(b"8.ts", rb"../s/\1abc/8.ts"))
        self.assertEqual(with_prefix(FULL, ""), FULL)
        for prefix in ("#", "a\nb", "\r"):
            with self.assertRaises(ValueError):
                with_prefix(FULL, prefix)
