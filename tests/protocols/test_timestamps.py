"""The clocks of a stream are read as they were written, across their wrap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.mpegts import PACKET, null_packets
from iptvd.protocols.timestamps import (
    PCR_WRAP,
    WRAP,
    elapsed,
    first_pcr,
    last_pcr,
    pcr_field,
    pes_pts,
    read_pcr,
    read_stamp,
    stamp_field,
)
from tests.protocols.tsmaking import packet, pes

STAMPS = st.integers(0, WRAP - 1)
PCRS = st.integers(0, PCR_WRAP - 1)


class StampTests(SynchronousTestCase):
    """PTS and DTS."""

    def test_known(self) -> None:
        """Fields as other programs write them are read."""
        # 126,000 and 2^33 - 1 as a PTS.
        self.assertEqual(read_stamp(b"\x21\x00\x07\xd8\x61", 0), 126_000)
        self.assertEqual(stamp_field(126_000), b"\x21\x00\x07\xd8\x61")
        self.assertEqual(stamp_field(WRAP - 1, 1), b"\x1f\xff\xff\xff\xff")

    @given(STAMPS, st.sampled_from((1, 2, 3)), st.binary(max_size=4))
    def test_round(self, value: int, prefix: int, before: bytes) -> None:
        """What is written is read back, whatever stands around it, and the prefix is kept."""
        field = stamp_field(value + WRAP, prefix)
        self.assertEqual(read_stamp(before + field + b"\xff", len(before)), value)
        self.assertEqual(field[0] >> 4, prefix)

    @given(STAMPS, STAMPS)
    def test_pes(self, pts: int, dts: int) -> None:
        """A PES packet's PTS is found with a DTS and without."""
        for data in (pes(b"x", pts=pts), pes(b"x", pts=pts, dts=dts)):
            self.assertEqual(pes_pts(b"ab" + data, 2, 2 + len(data)), pts)

    def test_no_pts(self) -> None:
        """A PES packet without PTS, one that is cut short and one that is none have no PTS."""
        whole = pes(b"x", pts=7)
        self.assertIsNone(pes_pts(pes(b"more than enough"), 0, 25))
        self.assertIsNone(pes_pts(whole, 0, 13))
        self.assertIsNone(pes_pts(b"\1" + whole[1:], 0, len(whole)))

    @given(st.sampled_from((WRAP, PCR_WRAP)), st.integers(0, PCR_WRAP), st.integers(1 - WRAP // 2, WRAP // 2 - 1))
    def test_elapsed(self, wrap: int, start: int, ticks: int) -> None:
        """Time that passes is told across the wrap, forwards and backwards."""
        self.assertEqual(elapsed(start % wrap, (start + ticks) % wrap, wrap), ticks)
        self.assertEqual(elapsed(WRAP - 1, 1), 2)


class PcrTests(SynchronousTestCase):
    """The programme's clock."""

    @given(PCRS, st.booleans())
    def test_round(self, pcr: int, start: bool) -> None:
        """What is written is read back."""
        one = packet(0x31, b"x" * 20, pcr=pcr, start=start)
        self.assertEqual(read_pcr(null_packets(2) + one, 2 * PACKET), pcr)
        self.assertEqual(one[6:12], pcr_field(pcr + PCR_WRAP))

    def test_none(self) -> None:
        """Packets without a clock have none: no adaptation field, one too short, one with other flags."""
        for one in (packet(5, b"x" * 184), packet(5, b"x" * 183), packet(5, b"x" * 180), packet(5, b"x", rai=True)):
            self.assertIsNone(read_pcr(one, 0))

    @given(st.lists(st.tuples(st.sampled_from((0x31, 0x131, 0x32)), st.none() | PCRS, st.booleans()), max_size=30))
    def test_first_and_last(self, packets: list[tuple[int, int | None, bool]]) -> None:
        """The first and the last clock of a PID are found among other packets, and damaged ones are not believed."""
        block = b"".join(packet(pid, b"x" * 170, pcr=pcr, damaged=damaged) for pid, pcr, damaged in packets)
        wanted = [pcr if pid == 0x131 and not damaged else None for pid, pcr, damaged in packets]
        found = [pcr for pcr in wanted if pcr is not None]
        self.assertEqual(first_pcr(block, 0x131), found[0] if found else None)
        self.assertEqual(last_pcr(block, 0x131), found[-1] if found else None)
        middle = [pcr for pcr in wanted[1:-1] if pcr is not None]
        self.assertEqual(last_pcr(block, 0x131, PACKET, max(len(block) - PACKET, 0)), middle[-1] if middle else None)
