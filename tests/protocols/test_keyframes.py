"""Pictures that can be decoded alone are told from others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.keyframes import RULES, shows_key_picture
from tests.protocols.tsmaking import H264_KEY, H264_OTHER, HEVC_KEY, HEVC_OTHER, MPEG2_KEY, MPEG2_OTHER, pes

#: Of each codec, what a key picture and what another picture begins with.
PICTURES = {
    "h264": (H264_KEY, H264_OTHER),
    "hevc": (HEVC_KEY, HEVC_OTHER),
    "mpeg1video": (MPEG2_KEY, MPEG2_OTHER),
    "mpeg2video": (MPEG2_KEY, MPEG2_OTHER),
    "vvc": (b"\0\0\1\x00\xa1\0\0\1\x00\x79", b"\0\0\1\x00\xa1\0\0\1\x00\x01"),
    "mpeg4": (b"\0\0\1\xb0\x01", b"\0\0\1\xb6\x10"),
    "cavs": (b"\0\0\1\xb0\x20", b"\0\0\1\xb6\x10"),
    "avs2": (b"\0\0\1\xb0\x20", b"\0\0\1\xb3\x10"),
    "avs3": (b"\0\0\1\xb0\x20", b"\0\0\1\xb6\x10"),
    "vc1": (b"\0\0\1\x0f\xca", b"\0\0\1\x0d\x10"),
}


class KeyPictureTests(SynchronousTestCase):
    """The first start codes of a PES packet."""

    def test_each_codec(self) -> None:
        """In every codec that has start codes a key picture is known, and another one too."""
        self.assertEqual(set(PICTURES), set(RULES))
        for codec, (key, other) in PICTURES.items():
            for picture, wanted in ((key, True), (other, False), (b"\0" + key, True), (b"\xff" * 20 + other, False)):
                self.assertIs(shows_key_picture(pes(picture, pts=5), RULES[codec]), wanted, codec)

    def test_idr_without_parameter_sets(self) -> None:
        """A picture that can be decoded alone counts without parameter sets before it."""
        for codec, picture in (("h264", b"\0\0\1\x65\x88"), ("hevc", b"\0\0\1\x2a\x01"), ("vvc", b"\0\0\1\x00\x39")):
            self.assertIs(shows_key_picture(pes(picture), RULES[codec]), True)

    def test_no_rule(self) -> None:
        """With a codec that tells nothing any picture counts."""
        self.assertIs(shows_key_picture(pes(b""), None), True)

    def test_stamps_are_no_start_codes(self) -> None:
        """What the header holds is not taken for a picture."""
        data = bytearray(pes(H264_OTHER, pts=0, dts=0))
        data[10:14] = b"\0\0\1\x65"
        self.assertIs(shows_key_picture(bytes(data), RULES["h264"]), False)

    def test_nothing_to_see(self) -> None:
        """A scrambled PES packet and what is no PES packet show no key picture."""
        self.assertIs(shows_key_picture(pes(H264_KEY, scrambled=True), RULES["h264"]), False)
        self.assertIs(shows_key_picture(b"\0" + pes(H264_KEY), RULES["h264"]), False)

    @given(st.sampled_from(sorted(PICTURES)), st.booleans(), st.binary(max_size=30).map(lambda data: data + b"\x80"))
    def test_byte_by_byte(self, codec: str, is_key: bool, rest: bytes) -> None:
        """With too little of it there is no verdict, and once there is one it stands."""
        rule = RULES[codec]
        data = pes(PICTURES[codec][not is_key] + rest, pts=3)
        verdicts = [shows_key_picture(data[:size], rule) for size in range(len(data) + 1)]
        known = verdicts.index(is_key)
        self.assertEqual(set(verdicts[:known]), {None})
        self.assertEqual(set(verdicts[known:]), {is_key})
