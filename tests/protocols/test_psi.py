"""Tables are put together from packets, read, and written so that others read them."""

from __future__ import annotations

import io

import av
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.protocols.mpegts import NULL_PID, PACKET
from iptvd.protocols.psi import (
    LARGEST_SECTION,
    PAT_PID,
    ProgramMap,
    Sections,
    Stream,
    crc,
    head,
    parse_pat,
    parse_pmt,
    pat_packets,
    pat_section,
    pmt_packets,
    pmt_section,
    section_packets,
)
from iptvd.protocols.stream_types import Kind
from tests.protocols.tsfilms import film
from tests.protocols.tsmaking import PMT_PID, continuity_errors, each_packet, packet, pid_of

PIDS = st.integers(0x10, NULL_PID - 1)
STREAMS = st.builds(Stream, PIDS, st.integers(0, 255), st.binary(max_size=30))
MAPS = st.builds(
    ProgramMap, st.integers(1, 0xFFFF), PIDS, st.lists(STREAMS, max_size=20).map(tuple), st.binary(max_size=60)
)
PROGRAMS = st.dictionaries(st.integers(1, 0xFFFF), PIDS, max_size=253)


def sections_of(data: bytes) -> list[bytes]:
    """All sections in packets of one PID."""
    sections = Sections()
    return [section for one in each_packet(data) for section in sections.feed(one)]


def packed(sections: list[bytes], cuts: list[int], first: int = 0) -> bytes:
    """Sections one right after the other, packets started anew or ended early as a multiplexer may."""
    data = b"".join(sections)
    starts, at = set(), 0
    for section in sections:
        starts.add(at)
        at += len(section)
    made, at, number = [], 0, 0
    while at < len(data):
        size = min(cuts[number % len(cuts)], len(data) - at)
        begun = [start for start in starts if at <= start < at + size]
        # One byte is for the pointer where there is one.
        if begun and size > 183:
            size = 183
            begun = [start for start in begun if start < at + size]
        payload = (bytes((min(begun) - at,)) if begun else b"") + data[at : at + size]
        made.append(packet(PMT_PID, payload, start=bool(begun), counter=first + number))
        at += size
        number += 1
    return b"".join(made)


class SectionTests(SynchronousTestCase):
    """Sections over packets."""

    def test_crc(self) -> None:
        """The checksum is the one that the standard names."""
        self.assertEqual(crc(b"123456789"), 0x0376E6E7)
        self.assertEqual(crc(b""), 0xFFFFFFFF)

    @given(
        st.lists(MAPS.map(pmt_section), min_size=1, max_size=5), st.lists(st.integers(4, 184), min_size=1, max_size=9)
    )
    def test_any_packing(self, wanted: list[bytes], cuts: list[int]) -> None:
        """Sections are found however they were laid into packets: many in one, or one over many."""
        self.assertEqual(sections_of(packed(wanted, cuts)), wanted)

    @given(MAPS.map(pmt_section), st.integers(0, 15))
    def test_own_packets(self, section: bytes, continuity: int) -> None:
        """A section in packets of its own is read back, and their counters go on from each other."""
        data = section_packets(section, PMT_PID, continuity)
        self.assertEqual(sections_of(data), [section])
        self.assertEqual(continuity_errors(data), [])
        self.assertEqual(data[3] & 0x0F, continuity)
        self.assertEqual(len(data), -(-(len(section) + 1) // 184) * PACKET)

    def test_waiting(self) -> None:
        """It is known whether the rest of a section is still to come."""
        sections = Sections()
        section = pat_section(dict.fromkeys(range(1, 100), 0x100))
        waited = []
        for one in each_packet(section_packets(section, PAT_PID)):
            sections.feed(one)
            waited.append(sections.waiting)
        self.assertEqual(waited, [True, True, False])

    def test_lost_packet(self) -> None:
        """A section of which a packet is missing is left out, and the next one is read."""
        section = pat_section(dict.fromkeys(range(1, 150), 0x100))
        data = section_packets(section, PAT_PID)
        again = section_packets(section, PAT_PID, len(data) // PACKET)
        for missing in range(0, len(data), PACKET):
            self.assertEqual(sections_of(data[:missing] + data[missing + PACKET :] + again), [section])

    def test_repeated_packet(self) -> None:
        """A packet that is sent twice, as is allowed, does no harm."""
        section = pat_section(dict.fromkeys(range(1, 150), 0x100))
        twice = b"".join(one + one for one in each_packet(section_packets(section, PAT_PID)))
        self.assertEqual(sections_of(twice), [section])

    def test_damage(self) -> None:
        """A section with a wrong bit is left out, and so is a packet that the receiver marked as damaged."""
        data = pat_packets({1: 0x100})
        for at in range(5, 21):
            wrong = bytearray(data)
            wrong[at] ^= 0x10
            self.assertEqual(sections_of(bytes(wrong)), [], at)
        wrong = bytearray(data)
        wrong[1] |= 0x80
        self.assertEqual(sections_of(bytes(wrong)), [])

    def test_no_payload(self) -> None:
        """Packets without a payload, and with a field that leaves no room for one, hold no section."""
        self.assertEqual(sections_of(packet(0, rai=True, start=True)), [])
        odd = bytearray(packet(0, b"x", start=True))
        odd[4] = 200
        self.assertEqual(sections_of(bytes(odd)), [])

    def test_other_tables(self) -> None:
        """Tables without a checksum, such as the time of day, and oversized ones are passed over."""
        time = b"\x70\x70\x05\xe0\x00\x12\x34\x56"
        section = pat_section({1: 0x100})
        self.assertEqual(sections_of(packet(0, b"\0" + time + section, start=True)), [section])
        self.assertEqual(sections_of(packet(0, b"\0" + b"\x4e\xff\xff" + b"x" * 100, start=True)), [])

    def test_middle(self) -> None:
        """What comes before the first section's beginning is passed over."""
        self.assertEqual(sections_of(packet(0, b"rest of another") + pat_packets({1: 5}, 0, 1)), [pat_section({1: 5})])

    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 15), st.binary(min_size=1, max_size=184)), max_size=20))
    def test_anything(self, packets: list[tuple[bool, int, bytes]]) -> None:
        """Whatever comes, only whole and undamaged sections come out."""
        data = b"".join(packet(0, payload, start=start, counter=counter) for start, counter, payload in packets)
        self.assertTrue(all(crc(section) == 0 for section in sections_of(data)))


class TableTests(SynchronousTestCase):
    """PAT and PMT."""

    @given(PROGRAMS, st.integers(0, 31), st.integers(0, 0xFFFF))
    def test_pat(self, programs: dict[int, int], version: int, stream_id: int) -> None:
        """The programmes of a PAT are read back, with what it begins with."""
        (section,) = sections_of(pat_packets(programs, version, 7, stream_id))
        self.assertEqual(parse_pat(section), programs)
        about = head(section)
        self.assertEqual(
            (about.table_id, about.extension, about.version, about.current, about.number),
            (0, stream_id, version, True, 0),
        )

    def test_network(self) -> None:
        """The network's own PID is no programme."""
        self.assertEqual(parse_pat(pat_section({0: 0x10, 5: 0x50})), {5: 0x50})

    @given(MAPS, st.integers(0, 31))
    def test_pmt(self, program_map: ProgramMap, version: int) -> None:
        """What a programme is made of is read back."""
        (section,) = sections_of(pmt_packets(program_map, PMT_PID, version, 3))
        self.assertEqual(parse_pmt(section), program_map)
        self.assertEqual((head(section).version, head(section).extension), (version, program_map.program_number))

    def test_next(self) -> None:
        """A table that is to hold later says so."""
        section = bytearray(pat_section({1: 0x100}))
        section[5] &= ~1
        self.assertFalse(head(bytes(section)).current)

    def test_too_large(self) -> None:
        """A table that does not fit is refused with a sentence."""
        full = ProgramMap(1, 0x100, (), b"x" * (LARGEST_SECTION - 16))
        self.assertEqual(len(pmt_section(full)), LARGEST_SECTION)
        streams = tuple(Stream(0x100 + number, 0x1B) for number in range(202))
        for program_map in (ProgramMap(1, 0x100, streams), ProgramMap(1, 0x100, (), b"x" * 5000)):
            with self.assertRaises(ProtocolError) as caught:
                pmt_section(program_map)
            self.assertIn("does not fit", caught.exception.sentence)
        with self.assertRaises(ProtocolError):
            pat_section(dict.fromkeys(range(1, 255), 0x100))

    def test_malformed(self) -> None:
        """A table of another kind, or one whose lengths contradict each other, is refused with a sentence."""
        pat, pmt = pat_section({1: 0x100}), pmt_section(ProgramMap(1, 0x100, (Stream(0x100, 0x1B, b"\x52\x01\x07"),)))
        for data in (pmt, pat[:-6] + pat[-4:]):
            with self.assertRaises(ProtocolError):
                parse_pat(data)
        longer = bytearray(pmt)
        longer[11] = 200
        for data in (pat[:8] + pat[-4:], pat, pmt[:10] + pmt[-4:], pmt[:-6] + pmt[-4:], bytes(longer)):
            with self.assertRaises(ProtocolError):
                parse_pmt(data)

    @given(st.binary(min_size=12, max_size=60), st.sampled_from((0, 2)))
    def test_anything(self, data: bytes, table_id: int) -> None:
        """Whatever a section holds, it is read or refused."""
        section = bytes((table_id,)) + data
        for parse in (parse_pat, parse_pmt):
            try:
                parse(section)
            except ProtocolError as error:
                self.assertIn("malformed", error.sentence.replace("contradicts its own lengths", "malformed"))


class RealTests(SynchronousTestCase):
    """Tables of and for other programs."""

    def test_read(self) -> None:
        """The tables that ffmpeg writes are understood."""
        packets = list(each_packet(film("h264", "ac3", "-metadata:s:a:0 language=fra")))
        pat = sections_of(b"".join(one for one in packets if pid_of(one) == PAT_PID))
        self.assertEqual(set(map(tuple, (parse_pat(section).items() for section in pat))), {((1, 0x1000),)})
        pmt = sections_of(b"".join(one for one in packets if pid_of(one) == 0x1000))
        self.assertEqual(len(set(pmt)), 1)
        program_map = parse_pmt(pmt[0])
        self.assertEqual(
            [(stream.pid, stream.codec, stream.kind, stream.language) for stream in program_map.streams],
            [(0x100, "h264", Kind.VIDEO, ""), (0x101, "ac3", Kind.AUDIO, "fra")],
        )
        self.assertEqual((program_map.program_number, program_map.pcr_pid), (1, 0x100))
        self.assertEqual(pmt_section(program_map, head(pmt[0]).version), pmt[0])

    def test_written(self) -> None:
        """A stream with our tables in place of its own is what it was to ffmpeg."""
        data = film("h264", "ac3")
        own = [one for one in each_packet(data) if pid_of(one) not in (PAT_PID, 0x1000)]
        streams = (Stream(0x100, 0x1B), Stream(0x101, 0x81, b"\x0a\x04swe\x00"))
        # Padding that makes the table span two packets.
        tables = pat_packets({9: 0x44}, 4) + pmt_packets(ProgramMap(9, 0x100, streams, b"\x90\xc8" + b"x" * 200), 0x44)
        with av.open(io.BytesIO(tables + b"".join(own)), "r") as container:
            seen = [(stream.id, stream.codec_context.name, stream.language) for stream in container.streams]
            self.assertEqual(seen, [(0x100, "h264", None), (0x101, "ac3", "swe")])
