"""Segments as slices of blocks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.pieces import Piece, Segment, carried_on, say_the_same, split, trim
from iptvd.protocols.mpegts import PACKET, null_packets
from tests.protocols.tsmaking import FILM, SOUND, TsWriter, continuity_errors, packet


def joined(pieces: list[Piece]) -> bytes:
    return b"".join(data[start:stop] for data, start, stop in pieces)


class SegmentTests(SynchronousTestCase):
    def test_its_bytes(self) -> None:
        """A segment gives its tables and then what it was cut from, without a copy of it."""
        block = bytes(range(200))
        segment = Segment(1, 2.0, 0.0, False, True, 2 + 5, b"ab", ((block, 10, 13), (block, 100, 102)))
        views = list(segment)
        self.assertEqual(b"".join(views), b"ab" + bytes((10, 11, 12, 100, 101)))
        self.assertEqual(sum(map(len, views)), segment.size)
        self.assertIs(views[1].obj, block)


class SplitTests(SynchronousTestCase):
    @given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.data())
    def test_nothing_is_lost(self, sizes: list[int], data: st.DataObject) -> None:
        """Wherever pieces are split, each byte is on its side of the place, once."""
        pieces = [(bytes([index]) * (size + 4), 2, 2 + size) for index, size in enumerate(sizes)]
        whole, total = joined(pieces), sum(sizes)
        at = data.draw(st.integers(0, total))
        taken = split(pieces, 1000 + total, 1000 + at)
        self.assertEqual((joined(pieces), joined(taken)), (whole[:at], whole[at:]))
        self.assertTrue(all(start < stop for _, start, stop in pieces + taken))


class TrimTests(SynchronousTestCase):
    def test_tables_at_the_end(self) -> None:
        """What is only tables or nothing at the end of a segment is taken off, and nothing before."""
        writer = TsWriter()
        picture, tables = packet(0x100, b"x"), writer.tables()
        pieces = [(picture * 3, PACKET, 3 * PACKET), (picture + tables, 0, 3 * PACKET), (null_packets(2), 0, 376)]
        self.assertEqual(trim(pieces, tables), 4 * PACKET)
        self.assertEqual(joined(pieces), picture * 3)
        self.assertEqual(trim(pieces, tables), 0)
        only = [(tables, 0, len(tables))]
        self.assertEqual((trim(only, tables), only), (len(tables), []))


class TablesTests(SynchronousTestCase):
    def test_counters_do_not_matter(self) -> None:
        """Tables are the same whatever their counters, and others when they name other streams."""
        writer = TsWriter()
        first, second, other = writer.tables(), writer.tables(), writer.tables(SOUND)
        self.assertNotEqual(first, second)
        self.assertTrue(say_the_same(first, second))
        self.assertFalse(say_the_same(first, other))

    def test_carried_on(self) -> None:
        """Tables that are put between packets count as if they had always been there."""
        writer = TsWriter()
        tables = writer.tables(FILM)
        before = b"".join(writer.tables() for _ in range(20)) + null_packets(3)
        # The same low bits of the PID are not the same PID.
        others = packet(0x100, b"x") * 2
        pieces = [(b"?" + before + b"?", 1, 1 + len(before)), (others, 0, len(others))]
        put_in = carried_on(tables, pieces)
        self.assertTrue(say_the_same(put_in, tables))
        # They repeat the packets that came last, as duplicates that the standard allows.
        self.assertEqual(put_in, before[19 * len(tables) : 20 * len(tables)])
        self.assertEqual(continuity_errors(put_in + writer.tables()), [])

    def test_tables_of_many_packets(self) -> None:
        """A table that takes several packets leads up to what follows with its last."""
        pat, pmt = packet(0, b"a", start=True), packet(0x1000, b"b", start=True) + packet(0x1000, b"c", counter=1)
        before = b"".join(packet(0x1000, b"b", counter=counter) for counter in range(1, 13))
        put_in = carried_on(pat + pmt, [(before, 0, len(before))])
        self.assertEqual([put_in[at + 3] & 15 for at in range(0, len(put_in), PACKET)], [0, 11, 12])
