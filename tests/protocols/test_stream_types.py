"""Streams are known for what they are by the signs that broadcasters and encoders set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.psi import Stream
from iptvd.protocols.stream_types import Kind, codec, descriptors, kind, language

ENGLISH = b"\x0a\x04eng\x00"


class CodecTests(SynchronousTestCase):
    """Codecs and kinds."""

    def test_by_type(self) -> None:
        """A stream type says what most streams are."""
        for stream_type, name, what in (
            (0x01, "mpeg1video", Kind.VIDEO),
            (0x02, "mpeg2video", Kind.VIDEO),
            (0x1B, "h264", Kind.VIDEO),
            (0x24, "hevc", Kind.VIDEO),
            (0x03, "mp2", Kind.AUDIO),
            (0x04, "mp2", Kind.AUDIO),
            (0x0F, "aac", Kind.AUDIO),
            (0x11, "aac_latm", Kind.AUDIO),
            (0x81, "ac3", Kind.AUDIO),
            (0x87, "eac3", Kind.AUDIO),
            (0x05, "", Kind.DATA),
            (0x06, "", Kind.DATA),
            (0x15, "", Kind.DATA),
            (0x86, "", Kind.DATA),
            (0xFF, "", Kind.DATA),
        ):
            self.assertEqual((codec(stream_type), Stream(0x31, stream_type).kind), (name, what), hex(stream_type))

    def test_by_descriptor(self) -> None:
        """Private data is what its descriptors say it is."""
        for described, name, what in (
            (b"\x6a\x01\x00", "ac3", Kind.AUDIO),
            (b"\x7a\x01\x00", "eac3", Kind.AUDIO),
            (b"\x7b\x01\x00", "dts", Kind.AUDIO),
            (b"\x7c\x01\x58", "aac", Kind.AUDIO),
            (b"\x7f\x02\x80\x02", "opus", Kind.AUDIO),
            (b"\x7f\x01\x15", "ac4", Kind.AUDIO),
            (b"\x7f\x00", "", Kind.DATA),
            (b"\x56\x05eng\x10\x00", "teletext", Kind.SUBTITLES),
            (b"\x59\x08eng\x10\x00\x01\x00\x01", "dvbsub", Kind.SUBTITLES),
            (b"\x05\x04AC-3", "ac3", Kind.AUDIO),
            (b"\x05\x04HEVC", "hevc", Kind.VIDEO),
            (b"\x05\x04KLVA", "", Kind.DATA),
            (b"\x05\x01A", "", Kind.DATA),
            (b"\x52\x01\x07" + ENGLISH + b"\x6a\x00", "ac3", Kind.AUDIO),
        ):
            stream = Stream(0x31, 0x06, described)
            self.assertEqual((stream.codec, stream.kind), (name, what), described)

    def test_registered(self) -> None:
        """A user's own stream type is what its registration says; other descriptors say nothing of it."""
        self.assertEqual(codec(0x90, b"\x05\x04EAC3"), "eac3")
        self.assertEqual(codec(0x90, b"\x6a\x00\x7f\x01\x0e"), "")
        self.assertEqual(codec(0x0B, b"\x05\x04EAC3"), "")

    def test_unknown_kind(self) -> None:
        """What is not known is data."""
        self.assertEqual(kind("smoke signals"), Kind.DATA)


class DescriptorTests(SynchronousTestCase):
    """Lists of descriptors."""

    def test_language(self) -> None:
        """A language is found in the descriptors of sound, of subtitles and of teletext."""
        for described, letters in (
            (ENGLISH, "eng"),
            (b"\x52\x01\x07\x0a\x04GER\x00", "ger"),
            (b"\x59\x08fra\x10\x00\x01\x00\x01", "fra"),
            (b"\x56\x05swe\x10\x00", "swe"),
            (b"\x0a\x04e1g\x00", ""),
            (b"\x0a\x04\xe9\xe9\xe9\x00", ""),
            (b"\x0a\x02en", ""),
            (b"", ""),
        ):
            self.assertEqual(language(described), letters, described)
            self.assertEqual(Stream(0x31, 0x0F, described).language, letters)

    @given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=8), st.integers(0, 3))
    def test_round(self, wanted: list[tuple[int, bytes]], cut: int) -> None:
        """All descriptors are read, up to one that is cut short."""
        data = b"".join(bytes((tag, len(content))) + content for tag, content in wanted)
        self.assertEqual(list(descriptors(data)), wanted)
        if wanted and len(wanted[-1][1]) >= cut:
            self.assertEqual(list(descriptors(data[: len(data) - cut])), wanted[: len(wanted) - bool(cut)])

    @given(st.integers(0, 255), st.binary(max_size=60))
    def test_anything(self, stream_type: int, described: bytes) -> None:
        """Whatever the descriptors hold, there is an answer."""
        self.assertIsInstance(kind(codec(stream_type, described)), Kind)
        self.assertIn(len(language(described)), (0, 3))
