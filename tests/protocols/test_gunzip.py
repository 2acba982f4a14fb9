"""Gzip as it comes."""

from __future__ import annotations

from gzip import compress

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.protocols.gunzip import gunzipped


def cut(data: bytes, step: int) -> list[bytes]:
    """The data in blocks of so many bytes."""
    return [data[start : start + step] for start in range(0, len(data), step)]


class GunzipTests(SynchronousTestCase):
    @given(st.binary(max_size=5000), st.integers(1, 700), st.integers(1, 700))
    def test_any_split(self, content: bytes, step: int, most: int) -> None:
        """However it arrives, what was packed comes out, in blocks that are no larger than they may be."""
        for packed in (
            compress(content),
            compress(content[:10]) + compress(content[10:]),
            compress(content) + b"\0" * 9,
        ):
            found = list(gunzipped(iter(cut(packed, step)), most, "it"))
            self.assertEqual(b"".join(found), content)
            self.assertTrue(all(len(block) <= most for block in found))

    def test_what_is_damaged(self) -> None:
        """A file that was changed or cut short on its way is refused with what it is."""
        packed = compress(b"content" * 100)
        for data, words in (
            (packed[:-8] + b"x" * 8, "the list is a damaged gzip file"),
            (packed[:-4], "the list is a gzip file that was cut short"),
            (packed[:12], "cut short"),
        ):
            with self.assertRaises(ProtocolError) as caught:
                list(gunzipped(iter([data]), 1000, "the list"))
            self.assertIn(words, str(caught.exception))
