"""The last seconds of a channel."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.ring import STALE, Budget, Ring
from iptvd.protocols.joins import Follower
from iptvd.protocols.mpegts import PACKET
from tests.protocols.tsmaking import made_film, unannounced_errors

SIZES = st.lists(st.integers(1, 50), min_size=1, max_size=200)


def ring(span: float = 10.0, limit: int = 10**9) -> Ring:
    return Ring(span, Budget(limit))


class RingTests(SynchronousTestCase):
    def test_blocks_are_found_by_number(self) -> None:
        """Every block that is kept is found by its number, at its absolute offset."""
        kept = ring()
        for number in range(2000):
            kept.append(bytes([number % 256]) * 3, number / 100)
        self.assertEqual((kept.next, kept.end), (2000, 6000))
        for number in range(kept.first, kept.next):
            block = kept.block(number)
            assert block is not None
            self.assertEqual((block.offset, block.data[0]), (number * 3, number % 256))
        self.assertIsNone(kept.block(kept.first - 1))
        self.assertIsNone(kept.block(kept.next))

    def test_the_span(self) -> None:
        """What is older than the span has left."""
        kept = ring(span=1.0)
        for number in range(100):
            kept.append(b"x", number / 10)
        self.assertAlmostEqual(kept.seconds, 1.0)
        self.assertEqual(kept.size, kept.next - kept.first)

    def test_the_newest_join_point_stays(self) -> None:
        """However little room other rings leave, the newest join point is there."""
        budget = Budget(100)
        kept, other = Ring(1.0, budget), Ring(1.0, budget)
        other.append(b"o" * 90, 0.0)
        kept.append(b"k" * 50, 0.0)
        join = kept.join_at(10, b"tables", 90_000)
        for number in range(50):
            kept.append(b"x", float(number))
        self.assertEqual(list(kept.joins), [join])
        assert join is not None
        self.assertIsNotNone(kept.block(join.number))
        kept.append(b"k", 55.0)
        newer = kept.join_at(kept.end - 1, b"tables", None)
        kept.append(b"x", 56.0)
        self.assertEqual(list(kept.joins), [newer])
        self.assertEqual(budget.used, 90 + 2)

    def test_a_join_point_that_no_other_follows(self) -> None:
        """A channel that never shows a second key picture, or all of whose key pictures are too far, stays bounded."""
        for limit, most in ((10**9, round(STALE) + 2), (40, 41)):
            kept = ring(span=10.0, limit=limit)
            kept.append(b"k", 0.0)
            kept.join_at(0, b"", None)
            for number in range(200):
                kept.append(b"x", float(number))
                self.assertLessEqual(kept.size, most)
            self.assertEqual(len(kept.joins), 0)
            self.assertLessEqual(kept.size, 11)

    @given(SIZES, st.integers(1, 500))
    def test_the_budget(self, sizes: list[int], limit: int) -> None:
        """Rings that share a budget hold no more than it together, beside one block and a newest join each."""
        budget = Budget(limit)
        rings = [Ring(1e9, budget), Ring(1e9, budget)]
        for index, size in enumerate(sizes):
            rings[index % 2].append(bytes(size), float(index))
            self.assertEqual(budget.used, sum(one.size for one in rings))
        over = budget.used - limit
        self.assertTrue(over <= 0 or over <= sum(one.size for one in rings if one.next - one.first == 1))

    @given(SIZES, st.data())
    def test_a_cursor_reads_every_byte_once(self, sizes: list[int], data: st.DataObject) -> None:
        """A reader that keeps up gets every byte exactly once and in order, whatever the blocks' sizes."""
        kept = ring(span=5.0)
        sent = read = b""
        number = 0
        for index, size in enumerate(sizes):
            chunk = bytes([index % 256]) * size
            sent += chunk
            kept.append(chunk, index / 10)
            if data.draw(st.booleans()) or kept.next - number > 40:
                for block in kept.after(number, 1000):
                    read += block.data
                number = kept.next
        for block in kept.after(number, 1000):
            read += block.data
        self.assertEqual(read, sent)

    def test_all_since_a_block(self) -> None:
        """What has come since a block is had in one piece, a single block without a copy; not what is very much."""
        kept = ring(span=1.0)
        last = b"c" * 3
        for second, data in enumerate((b"a", b"bb", last)):
            kept.append(data, second / 2)
        self.assertEqual([kept.since(number) for number in range(5)], [b"abbccc", b"bbccc", b"ccc", b"", b""])
        self.assertIs(kept.since(2), last)
        kept.append(b"d" * (1 << 20), 2.0)
        self.assertEqual([len(kept.since(number)) for number in range(5)], [0, 0, 0, 1 << 20, 0])

    @given(st.integers(0, 24), st.integers(1, 60))
    def test_a_gap_before_a_join_point(self, block: int, size: int) -> None:
        """What is sent before a join point after a gap ends with its tables, and allows the counters to jump."""
        film, kept = made_film(3), ring(span=100.0)
        for start in range(0, len(film), size * PACKET):
            kept.append(film[start : start + size * PACKET], 0.0)
        follower = Follower()
        joins = [kept.join_at(join.offset, join.tables, None) for join in follower.scan(film)]
        join = joins[-1]
        assert join is not None
        gap = kept.gap_before(join)
        self.assertTrue(gap.endswith(join.tables))
        self.assertIs(kept.gap_before(join), gap)
        stream = film[: block * PACKET] + gap + film[join.offset :]
        self.assertEqual(unannounced_errors(stream), [])
        other = joins[0]
        assert other is not None
        self.assertEqual(unannounced_errors(film + kept.gap_before(other) + film[other.offset :]), [])

    def test_where_to_join(self) -> None:
        """A viewer joins at the newest join point that is far enough back, else at the oldest."""
        kept = ring(span=100.0)
        self.assertIsNone(kept.join_for(2.0))
        for second in range(10):
            kept.append(b"x" * 188, float(second))
            kept.join_at(second * 188, b"", second)
        for back, expected in ((0.0, 9), (2.0, 7), (2.5, 6), (50.0, 0)):
            join = kept.join_for(back)
            assert join is not None
            self.assertEqual(join.pts, expected)

    def test_a_join_in_an_earlier_block(self) -> None:
        """A join point that is understood only later lies in the block it lies in; one that has left is none."""
        kept = ring(span=1.0)
        for second in range(4):
            kept.append(b"x" * 10, second / 2)
        join = kept.join_at(25, b"", None)
        assert join is not None
        self.assertEqual((join.number, join.place, join.offset), (2, 5, 25))
        self.assertIsNone(kept.join_at(3, b"", None))

    def test_clear(self) -> None:
        """What is cleared gives its room back, and offsets go on."""
        budget = Budget(1000)
        kept = Ring(10.0, budget)
        kept.append(b"abc", 0.0)
        kept.join_at(0, b"", None)
        kept.clear()
        self.assertEqual((kept.size, budget.used, kept.first, kept.next, len(kept.joins)), (0, 0, 1, 1, 0))
        self.assertEqual(kept.append(b"d", 1.0).offset, 3)
