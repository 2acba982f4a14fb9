"""AES-128 as HLS has it."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.decrypt import Decryption, implicit_iv
from iptvd.errors import ProtocolError
from tests.delivery.hls_script import encrypted

KEY = b"0123456789abcdef"


def decrypted(data: bytes, sizes: list[int], iv: bytes) -> bytes:
    decryption, out, at = Decryption(KEY, iv), b"", 0
    for size in sizes:
        out += decryption.update(memoryview(data)[at : at + size])
        at += size
    return out + decryption.update(data[at:]) + decryption.finish()


class DecryptionTests(SynchronousTestCase):
    @given(st.integers(0, 3000), st.integers(0, 2**64 - 1), st.lists(st.integers(0, 100)))
    def test_any_pieces(self, size: int, sequence: int, sizes: list[int]) -> None:
        """A segment comes out as it went in, whatever pieces it arrives in."""
        data = random.Random(size).randbytes(size)
        iv = implicit_iv(sequence)
        self.assertEqual(decrypted(encrypted(data, KEY, iv), sizes, iv), data)

    def test_byte_by_byte(self) -> None:
        """A segment comes out as it went in when it arrives byte by byte."""
        data = bytes(range(256)) * 2
        iv = implicit_iv(7)
        sealed = encrypted(data, KEY, iv)
        self.assertEqual(decrypted(sealed, [1] * len(sealed), iv), data)

    def test_the_implicit_vector(self) -> None:
        """Where no vector is told, it is the segment's number as 16 bytes, high ones first."""
        self.assertEqual(implicit_iv(258), bytes(14) + b"\1\2")

    def test_cut_short(self) -> None:
        """A segment that is cut short, or was encrypted otherwise, is told as such."""
        sealed = encrypted(b"x" * 100, KEY, implicit_iv(0))
        for data in (sealed[:-1], sealed[:-16], b"", b"y" * 112):
            with self.assertRaisesRegex(ProtocolError, "cut short, or not encrypted"):
                decrypted(data, [], implicit_iv(0))
