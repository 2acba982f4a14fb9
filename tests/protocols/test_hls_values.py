"""What playlists say, as values: where a list of segments ends, what is hidden, what is told apart."""

from __future__ import annotations

from attrs.exceptions import FrozenInstanceError
from twisted.trial.unittest import SynchronousTestCase

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

SECRET = "http://user:secret@origin.example.com/x?token=secret"


def playlist(*segments: Segment, first: int = 7) -> MediaPlaylist:
    return MediaPlaylist(6.0, first, 0, segments, False, False)


class ValueTests(SynchronousTestCase):
    def test_the_end(self) -> None:
        """A playlist ends before the number of the segment to come, be there any segment or none."""
        self.assertEqual(playlist().end, 7)
        self.assertEqual(playlist(Segment("a", 6.0, 7), Segment("b", 6.0, 8)).end, 9)

    def test_nothing_is_shown(self) -> None:
        """Neither addresses nor keys are in what a log might show of a playlist."""
        key = Key(KeyMethod.AES_128, SECRET, b"secret-iv-secret", b"secret-secret-se")
        init = InitSection(SECRET, ByteRange(0, 10), key)
        values = (
            playlist(Segment(SECRET, 6.0, 7, ByteRange(0, 10), key, init)),
            MultivariantPlaylist(
                (Variant(SECRET, 1),), (Rendition("AUDIO", "a", "b", uri=SECRET),), False, {"a": SECRET}
            ),
        )
        for value in values:
            self.assertNotIn("secret", repr(value))
            self.assertNotIn("origin", repr(value))

    def test_told_apart(self) -> None:
        """Two sections are the same when nothing about them differs, not even their key."""
        one, same, other = (InitSection("a", None, Key(KeyMethod.AES_128, uri)) for uri in ("k", "k", "l"))
        self.assertEqual(one, same)
        self.assertNotEqual(one, other)
        self.assertEqual(len({one, same, other}), 2)

    def test_as_they_were(self) -> None:
        """What was read stays what it is."""
        with self.assertRaises(FrozenInstanceError):
            playlist().ended = True  # type: ignore[misc]

    def test_methods(self) -> None:
        """Encryption is called by the names that playlists have for it (RFC 8216 section 4.3.2.4)."""
        self.assertIs(KeyMethod("AES-128"), KeyMethod.AES_128)
        self.assertIs(KeyMethod("SAMPLE-AES"), KeyMethod.SAMPLE_AES)
        with self.assertRaises(ValueError):
            KeyMethod("NONE")
