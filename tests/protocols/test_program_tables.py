"""The tables of a programme are known as they stand, and handed on so that the stream goes on from them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.mpegts import PACKET
from iptvd.protocols.program_tables import ProgramTables
from iptvd.protocols.psi import (
    PAT_PID,
    ProgramMap,
    Stream,
    crc,
    pat_packets,
    pat_section,
    pmt_packets,
    pmt_section,
    section_packets,
)
from tests.protocols.tsmaking import FILM, PMT_PID, SOUND, continuity_errors, each_packet, packet, pid_of

LONG = ProgramMap(1, 0x100, (Stream(0x100, 0x1B, b"\x90\xf0" + b"x" * 240), Stream(0x101, 0x0F)))


def show(tables: ProgramTables, data: bytes) -> list[bool]:
    """What looking at each packet of PAT and PMT tells."""
    told = []
    for at, one in zip(range(0, len(data), PACKET), each_packet(data), strict=True):
        if pid_of(one) == PAT_PID:
            told.append(tables.look_at_pat(data, at))
        elif pid_of(one) == tables.pmt_pid:
            told.append(tables.look_at_pmt(data, at))
    return told


def changed(section: bytes, at: int, value: int) -> bytes:
    """A section with a byte changed and its checksum set right."""
    made = section[:at] + bytes((value,)) + section[at + 1 : -4]
    return made + crc(made).to_bytes(4, "big")


class ProgramTablesTests(SynchronousTestCase):
    """One programme's tables."""

    def setUp(self) -> None:
        self.tables = ProgramTables()

    def test_nothing_yet(self) -> None:
        """Before the tables have come there are none."""
        self.assertEqual((self.tables.program, self.tables.pmt_pid, self.tables.revision), (None, 0, 0))
        self.assertEqual(self.tables.packets(), b"")
        self.assertFalse(self.tables.pat_waiting or self.tables.pmt_waiting)
        self.assertFalse(self.tables.look_at_pmt(packet(PMT_PID, b"x", start=True), 0))
        show(self.tables, pat_packets({1: PMT_PID}))
        self.assertEqual((self.tables.packets(), self.tables.pmt_pid), (b"", PMT_PID))

    def test_in_force(self) -> None:
        """The tables are given as they came, with the counters they had the last time they came."""
        for count in range(40):
            pat, pmt = pat_packets({1: PMT_PID}, 0, count), pmt_packets(FILM, PMT_PID, 0, 3 * count)
            self.assertEqual(show(self.tables, pat + pmt), [count == 0] * 2)
            self.assertEqual(self.tables.packets(), pat + pmt)
            self.assertIs(self.tables.packets(), self.tables.packets())
        self.assertEqual((self.tables.program, self.tables.revision), (FILM, 2))

    def test_long(self) -> None:
        """A table that spans packets is waited for, and given with counters that the stream goes on from."""
        show(self.tables, pat_packets({1: PMT_PID}))
        for count in range(0, 20, 2):
            pmt = pmt_packets(LONG, PMT_PID, 0, count)
            self.assertEqual(show(self.tables, pmt[:PACKET]), [True])
            self.assertTrue(self.tables.pmt_waiting)
            self.assertEqual(show(self.tables, pmt[PACKET:]), [True])
            self.assertFalse(self.tables.pmt_waiting)
            after = pmt_packets(LONG, PMT_PID, 0, count + 2)
            self.assertEqual(continuity_errors(self.tables.packets() + after), [])
        self.assertEqual((self.tables.program, self.tables.revision), (LONG, 2))

    def test_cut_off(self) -> None:
        """A table whose end never came does not get in the way of the next."""
        show(self.tables, pat_packets({1: PMT_PID}) + pmt_packets(FILM, PMT_PID) + pmt_packets(FILM, PMT_PID, 0, 1))
        show(self.tables, pmt_packets(LONG, PMT_PID, 0, 2)[:PACKET])
        self.assertTrue(self.tables.pmt_waiting)
        self.assertEqual(show(self.tables, pmt_packets(FILM, PMT_PID, 0, 3)), [True])
        self.assertFalse(self.tables.pmt_waiting)
        self.assertEqual(self.tables.program, FILM)

    def test_together(self) -> None:
        """Tables that share a packet with other sections are found in it, and given without those."""
        both = packet(PMT_PID, b"\0" + pmt_section(ProgramMap(2, 5, ())) + pmt_section(FILM), start=True, counter=4)
        show(self.tables, pat_packets({1: PMT_PID, 2: PMT_PID}, 0, 4))
        for _ in range(3):
            show(self.tables, both)
            self.assertEqual(self.tables.program, FILM)
            self.assertEqual(self.tables.packets()[PACKET:], pmt_packets(FILM, PMT_PID, 0, 4))
        self.assertEqual(self.tables.revision, 2)

    def test_new_version(self) -> None:
        """New contents are in force at once, and counted."""
        show(self.tables, pat_packets({1: PMT_PID}) + pmt_packets(FILM, PMT_PID))
        self.assertEqual(show(self.tables, pmt_packets(SOUND, PMT_PID, 1, 1)), [True])
        self.assertEqual((self.tables.program, self.tables.revision), (SOUND, 3))
        self.assertEqual(show(self.tables, pat_packets({1: PMT_PID}, 1, 1)), [True])
        self.assertEqual((self.tables.program, self.tables.revision), (SOUND, 4))

    def test_new_place(self) -> None:
        """When the table of a programme moves, the old one does not hold any more."""
        show(self.tables, pat_packets({1: PMT_PID}) + pmt_packets(FILM, PMT_PID))
        show(self.tables, pat_packets({1: 0x20}, 1, 1))
        self.assertEqual((self.tables.program, self.tables.pmt_pid, self.tables.packets()), (None, 0x20, b""))
        show(self.tables, pmt_packets(FILM, 0x20))
        self.assertEqual(self.tables.program, FILM)

    def test_not_yet(self) -> None:
        """A table that is to hold later does not hold."""
        next_pat = changed(pat_section({1: 0x20}), 5, 0xC0)
        next_pmt = changed(pmt_section(SOUND), 5, 0xC0)
        show(self.tables, pat_packets({1: PMT_PID}) + pmt_packets(FILM, PMT_PID))
        show(self.tables, section_packets(next_pat, PAT_PID, 1) + section_packets(next_pmt, PMT_PID, 1))
        self.assertEqual((self.tables.program, self.tables.pmt_pid, self.tables.revision), (FILM, PMT_PID, 2))

    def test_nonsense(self) -> None:
        """Tables that make no sense, name reserved PIDs or no programme at all change nothing."""
        show(self.tables, pat_packets({1: PMT_PID}) + pmt_packets(FILM, PMT_PID))
        for number, programs in enumerate(({}, {1: 0x0F}, {1: 0x1FFF})):
            show(self.tables, pat_packets(programs, 1, 1 + number))
        show(self.tables, section_packets(pmt_section(SOUND), PAT_PID, 4))
        show(self.tables, section_packets(pat_section({1: 0x20}), PMT_PID, 1))
        self.assertEqual((self.tables.program, self.tables.pmt_pid, self.tables.revision), (FILM, PMT_PID, 2))

    def test_choice(self) -> None:
        """Of several programmes the first is followed for as long as it is there, or the one that was asked for."""
        wanted = ProgramTables(7)
        for tables in (self.tables, wanted):
            show(tables, pat_packets({5: 0x50, 7: 0x70}))
        self.assertEqual((self.tables.pmt_pid, wanted.pmt_pid), (0x50, 0x70))
        for tables in (self.tables, wanted):
            show(tables, pat_packets({3: 0x30, 5: 0x50}, 1, 1))
        self.assertEqual((self.tables.pmt_pid, wanted.pmt_pid), (0x50, 0x70))
        show(self.tables, pat_packets({3: 0x30}, 2, 2))
        self.assertEqual(self.tables.pmt_pid, 0x30)

    def test_many_programmes(self) -> None:
        """Of a PAT in several parts the one holds that names the programme."""
        parts = [pat_section({3: 0x30}), changed(pat_section({5: 0x50}), 6, 1), changed(pat_section({7: 0x70}), 6, 2)]
        packets = [section_packets(part, PAT_PID, number) for number, part in enumerate(parts)]
        wanted = ProgramTables(5)
        for tables in (self.tables, wanted):
            show(tables, b"".join(packets) * 2)
        self.assertEqual((self.tables.pmt_pid, wanted.pmt_pid), (0x30, 0x50))
        self.assertEqual((self.tables.revision, wanted.revision), (1, 1))
