"""Guides' files, packed and not."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.epg.unpacking import BLOCK, plain
from iptvd.errors import ProtocolError
from tests.doubles import folder_for

TEXT = b"<tv>" + b"some programme " * 40_000 + b"</tv>"


class PlainTests(SynchronousTestCase):
    def file(self, content: bytes) -> Path:
        path = folder_for(self) / "guide"
        path.write_bytes(content)
        return path

    def read(self, content: bytes, limit: int = 1 << 30) -> bytes:
        blocks = list(plain(self.file(content), limit))
        self.assertTrue(all(len(block) <= BLOCK for block in blocks))
        return b"".join(blocks)

    def test_the_same_however_it_is_packed(self) -> None:
        """Plain, gzip and xz give the same, also several packed files one after another and with padding."""
        for content in (
            TEXT,
            gzip.compress(TEXT),
            gzip.compress(TEXT[:1000]) + gzip.compress(TEXT[1000:]),
            gzip.compress(TEXT) + b"\0" * 100,
            lzma.compress(TEXT),
            lzma.compress(TEXT[:1000]) + lzma.compress(TEXT[1000:]),
            lzma.compress(TEXT) + b"\0" * 100,
        ):
            self.assertEqual(self.read(content), TEXT)
        self.assertEqual(self.read(b""), b"")

    @settings(max_examples=30)
    @given(st.binary(max_size=200_000))
    def test_anything(self, content: bytes) -> None:
        """Whatever is in it comes out again."""
        self.assertEqual(self.read(gzip.compress(content)), content)
        self.assertEqual(self.read(lzma.compress(content)), content)

    def test_what_is_damaged_says_so(self) -> None:
        """A file that was cut short or changed on its way is refused."""
        for content, reason in (
            (gzip.compress(TEXT)[:-100], "gzip file that was cut short"),
            (gzip.compress(TEXT)[:-8] + b"x" * 8, "damaged gzip"),
            (lzma.compress(TEXT)[:-10], "xz file that was cut short"),
            (lzma.compress(TEXT)[:60] + b"x" * 200, "damaged xz"),
        ):
            with self.assertRaises(ProtocolError) as caught:
                self.read(content)
            self.assertIn(reason, str(caught.exception))

    def test_a_limit_on_what_comes_out(self) -> None:
        """A small file that unpacks to a huge one is given up at the limit."""
        with self.assertRaises(ProtocolError) as caught:
            self.read(gzip.compress(b"\0" * (3 << 20)), 2 << 20)
        self.assertIn("longer than 2 MiB", str(caught.exception))

    def test_a_file_that_is_too_long_itself(self) -> None:
        """A huge file is not even begun with."""
        with self.assertRaises(ProtocolError) as caught:
            next(plain(self.file(b"x" * ((1 << 20) + 1)), 1 << 20))
        self.assertIn("longer than 1 MiB", str(caught.exception))
