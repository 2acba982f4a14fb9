"""Gzip, piece by piece."""

from __future__ import annotations

from gzip import decompress
from random import Random
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from iptvd.web import packing
from iptvd.web.packing import AT_ONCE, pack, packed

TEXT = Random(5).randbytes(3 * AT_ONCE + 7)


class PackingTests(SynchronousTestCase):
    def test_a_long_text(self) -> None:
        """A text of any length is the same after it was packed, in steps of which each takes some of it."""
        for text in (b"", b"x", TEXT[:AT_ONCE], TEXT):
            found: list[bytes] = []
            steps = sum(1 for _ in pack(text, found))
            self.assertEqual(decompress(b"".join(found)), text)
            self.assertEqual(steps, -(-len(text) // AT_ONCE) + 1)
        with patch.object(packing, "AT_ONCE", 1000):
            self.assertGreater(sum(1 for _ in pack(TEXT, [])), len(TEXT) // 1000)

    def test_pieces(self) -> None:
        """Pieces can be packed as they come; where none has come there is none."""
        pieces = list(packed([b"one", None, memoryview(b"two"), b""]))
        self.assertIsNone(pieces[1])
        self.assertEqual(decompress(b"".join(filter(None, pieces))), b"onetwo")

    def test_better(self) -> None:
        """What is packed better takes less room."""
        sizes = []
        for level in (1, 9):
            found: list[bytes] = []
            for _ in pack(b"All work and no play makes a dull boy of Jack. " * 5000 + TEXT[:99], found, level):
                pass
            sizes.append(len(b"".join(found)))
        self.assertLess(sizes[1], sizes[0])
