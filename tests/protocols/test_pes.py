"""PES packets are found in transport packets, and their times are read and moved."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.mpegts import PACKET
from iptvd.protocols.pes import PesHead, move_stamps, payload_start, read_pes
from iptvd.protocols.timestamps import WRAP
from tests.protocols.tsmaking import packet, pes

STAMPS = st.integers(0, WRAP - 1)


class PayloadTests(SynchronousTestCase):
    """Where the payload of a packet begins."""

    def test_places(self) -> None:
        """The payload begins after the header and what is stuffed between."""
        before = packet(1)
        for made, place in (
            (packet(1, b"x" * 184), 4),
            (packet(1, b"x" * 183), 5),
            (packet(1, b"x" * 10), PACKET - 10),
            (packet(1, pcr=1), PACKET),
            (b"\x47\0\1\x30\xff" + b"x" * 183, PACKET),
        ):
            self.assertEqual(payload_start(made, 0), place)
            self.assertEqual(payload_start(before + made, PACKET), PACKET + place)


class HeadTests(SynchronousTestCase):
    """What a PES packet begins with."""

    @given(STAMPS, st.none() | STAMPS, st.integers(0, 30))
    def test_stamps(self, pts: int, dts: int | None, before: int) -> None:
        """Times are read with a DTS and without, wherever the PES packet begins."""
        payload = pes(b"x" * (100 - before), pts=pts, dts=dts)
        found = read_pes(packet(2) + packet(1, payload, start=True), PACKET)
        assert found is not None
        self.assertEqual((found.pts, found.dts), (pts, pts if dts is None else dts))
        self.assertEqual((found.size, found.apart), (0, dts is not None))

    def test_size(self) -> None:
        """A PES packet that tells its length is known with all that stands before the length."""
        made = pes(b"x" * 50, pts=1)
        found = read_pes(packet(1, made[:4] + (len(made) - 6).to_bytes(2, "big") + made[6:]), 0)
        assert found is not None
        self.assertEqual(found.size, len(made))

    def test_without_stamps(self) -> None:
        """A PES packet may have no times, and padding has no place for any."""
        self.assertEqual(read_pes(packet(1, pes(b"x")), 0), PesHead(0))
        self.assertEqual(read_pes(packet(1, b"\0\0\1\xbe\0\x02\xff\xff"), 0), PesHead(8))

    def test_nothing(self) -> None:
        """Sections, packets without payload and heads that are cut short are no start of a PES packet."""
        whole = pes(b"", pts=1, dts=2)
        for payload in (b"\0\x02\xb0\x12", b"", whole[:5], whole[:8], whole[:18], pes(b"", pts=1)[:13]):
            self.assertIsNone(read_pes(packet(1, payload), 0))
        self.assertIsNotNone(read_pes(packet(1, whole), 0))

    @given(STAMPS, st.none() | STAMPS, STAMPS)
    def test_moved(self, pts: int, dts: int | None, ticks: int) -> None:
        """Times are moved across their wrap, and nothing else is changed."""
        block = packet(1, pes(b"sound", pts=pts, dts=dts), start=True)
        data, head = bytearray(block), read_pes(block, 0)
        assert head is not None
        move_stamps(data, head, ticks)
        after = pes(b"sound", pts=(pts + ticks) % WRAP, dts=None if dts is None else (dts + ticks) % WRAP)
        self.assertEqual(bytes(data), packet(1, after, start=True))

    def test_nothing_to_move(self) -> None:
        """A PES packet without times stays as it is."""
        data = bytearray(packet(1, pes(b"x")))
        move_stamps(data, PesHead(0), 5)
        self.assertEqual(bytes(data), packet(1, pes(b"x")))
