"""
Program specific information: which programmes a transport stream has and what they are made of.

Sections are put together from packets, checked, read and written (ISO/IEC 13818-1 clauses 2.4.4.1 to 2.4.4.9).
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Mapping

from attrs import frozen

from iptvd.errors import ProtocolError
from iptvd.protocols import stream_types
from iptvd.protocols.mpegts import PACKET, SYNC
from iptvd.protocols.stream_types import Kind

#: The PID of the programme association table.
PAT_PID = 0
#: Bytes of the largest section of a PAT or a PMT.
LARGEST_SECTION = 1024

_PAT, _PMT = 0x00, 0x02
# Bytes before the content, and the CRC after it.
_HEAD, _CRC = 8, 4
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_STUFFING = b"\xff"


@frozen
class Stream:
    """
    One elementary stream of a programme.

    :ivar descriptors: as they stand in the PMT.
    """

    pid: int
    stream_type: int
    descriptors: bytes = b""

    @property
    def codec(self) -> str:
        """What it is coded in; see `stream_types.codec`."""
        return stream_types.codec(self.stream_type, self.descriptors)

    @property
    def kind(self) -> Kind:
        """What it is to a viewer."""
        return stream_types.kind(self.codec)

    @property
    def language(self) -> str:
        """The language it is in, three letters of ISO 639, or empty."""
        return stream_types.language(self.descriptors)


@frozen
class ProgramMap:
    """
    What a programme is made of.

    :ivar pcr_pid: where its clock is, `NULL_PID` when it has none.
    :ivar streams: in the order of the PMT.
    :ivar descriptors: of the programme as a whole, as they stand in the PMT.
    """

    program_number: int
    pcr_pid: int
    streams: tuple[Stream, ...]
    descriptors: bytes = b""


@frozen
class Head:
    """
    What all sections of this form begin with.

    :ivar extension: the transport stream's id in a PAT, the programme's number in a PMT.
    :ivar version: 0 to 31.
    :ivar current: whether it holds now, rather than next.
    :ivar number: which of the sections of its table this is.
    """

    table_id: int
    extension: int
    version: int
    current: bool
    number: int


def crc(data: bytes) -> int:
    """The CRC of sections (annex A), 0 over a whole section that is undamaged."""
    # It is the CRC-32 of zip files with the bits of each byte, and of the result, the other way around.
    value = crc32(data.translate(_MIRRORED)) ^ 0xFFFF_FFFF
    return int.from_bytes(value.to_bytes(4, "little").translate(_MIRRORED), "big")


class Sections:
    """
    Puts the sections of one PID together.

    :ivar waiting: whether a section has begun whose end is still to come.
    """

    def __init__(self) -> None:
        self.waiting = False
        self._part = b""
        self._counter = -1

    def feed(self, packet: bytes) -> list[bytes]:
        """
        The sections that end in this packet of 188 bytes; no damaged ones, no oversized ones, none without a CRC.

        A packet that repeats the one before is passed over, and one that is missing ends the section it belonged to.
        """
        counter, start = packet[3] & 0x0F, 4
        if packet[3] & 0x20:
            start += 1 + packet[4]
        if packet[1] & 0x80 or not packet[3] & 0x10 or start >= PACKET:
            return []
        repeated, follows = counter == self._counter, counter == (self._counter + 1) % 16
        self._counter = counter
        begins = bool(packet[1] & 0x40)
        if repeated and not begins:
            return []
        if not follows:
            self._drop()
        payload = packet[start:]
        if not begins:
            return self._more(payload) if self.waiting else []
        ended = self._more(payload[1 : 1 + payload[0]]) if self.waiting else []
        self._drop()
        self._part = payload[1 + payload[0] :]
        return ended + self._cut()

    def _drop(self) -> None:
        self._part = b""
        self.waiting = False

    def _more(self, data: bytes) -> list[bytes]:
        self._part += data
        return self._cut()

    def _cut(self) -> list[bytes]:
        """Take the whole sections out of what there is."""
        found: list[bytes] = []
        self.waiting = False
        while self._part and not self._part.startswith(_STUFFING):
            size = 3 + (int.from_bytes(self._part[1:3], "big") & 0x0FFF)
            if len(self._part) >= 3 and size > LARGEST_SECTION:
                break
            if len(self._part) < 3 or len(self._part) < size:
                self.waiting = True
                return found
            section, self._part = self._part[:size], self._part[size:]
            if size >= _HEAD + _CRC and section[1] & 0x80 and crc(section) == 0:
                found.append(section)
        self._part = b""
        return found


def head(section: bytes) -> Head:
    """What a section that `Sections` gave begins with."""
    return Head(
        table_id=section[0],
        extension=int.from_bytes(section[3:5], "big"),
        version=section[5] >> 1 & 0x1F,
        current=bool(section[5] & 1),
        number=section[6],
    )


def parse_pat(section: bytes) -> dict[int, int]:
    """
    The PID of each programme's PMT, by the programme's number.

    :raises ProtocolError: when it is none.
    """
    content = section[_HEAD:-_CRC]
    if section[0] != _PAT or len(content) % 4:
        raise ProtocolError("The programme association table is malformed: the source may not be a transport stream.")
    words = [int.from_bytes(content[at : at + 2], "big") for at in range(0, len(content), 2)]
    # Number 0 names the network's own PID.
    return {number: pid & 0x1FFF for number, pid in zip(words[::2], words[1::2], strict=True) if number}


def parse_pmt(section: bytes) -> ProgramMap:
    """
    What a programme is made of.

    :raises ProtocolError: when it is none.
    """
    end = len(section) - _CRC
    at = _HEAD + 4
    if section[0] != _PMT or at > end:
        raise ProtocolError("The programme map is malformed: the source may be damaged.")
    pcr_pid, length = (int.from_bytes(section[start : start + 2], "big") for start in (_HEAD, _HEAD + 2))
    described, at = section[at : at + (length & 0x0FFF)], at + (length & 0x0FFF)
    streams = []
    while at + 5 <= end:
        pid, length = (int.from_bytes(section[start : start + 2], "big") for start in (at + 1, at + 3))
        streams.append(Stream(pid & 0x1FFF, section[at], section[at + 5 : at + 5 + (length & 0x0FFF)]))
        at += 5 + (length & 0x0FFF)
    if at != end:
        raise ProtocolError("The programme map contradicts its own lengths: the source may be damaged.")
    return ProgramMap(head(section).extension, pcr_pid & 0x1FFF, tuple(streams), described)


def _section(table_id: int, extension: int, version: int, content: bytes) -> bytes:
    size = _HEAD + len(content) + _CRC
    if size > LARGEST_SECTION:
        raise ProtocolError(f"A table of {size} bytes does not fit into a section: leave streams or descriptors out.")
    section = (
        bytes((table_id,))
        + (0xB000 | size - 3).to_bytes(2, "big")
        + extension.to_bytes(2, "big")
        + bytes((0xC1 | version % 32 << 1, 0, 0))
        + content
    )
    return section + crc(section).to_bytes(4, "big")


def pat_section(programs: Mapping[int, int], transport_stream_id: int = 1, version: int = 0) -> bytes:
    """
    A PAT: the PID of each programme's PMT, by the programme's number.

    :raises ProtocolError: for more programmes than fit into one section (253).
    """
    content = b"".join(
        number.to_bytes(2, "big") + (0xE000 | pid).to_bytes(2, "big") for number, pid in programs.items()
    )
    return _section(_PAT, transport_stream_id, version, content)


def pmt_section(program_map: ProgramMap, version: int = 0) -> bytes:
    """
    A PMT.

    :raises ProtocolError: when it does not fit into one section.
    """
    described = program_map.descriptors
    parts = [(0xE000 | program_map.pcr_pid).to_bytes(2, "big"), _length(described), described]
    for stream in program_map.streams:
        pid = (0xE000 | stream.pid).to_bytes(2, "big")
        parts += [bytes((stream.stream_type,)), pid, _length(stream.descriptors), stream.descriptors]
    return _section(_PMT, program_map.program_number, version, b"".join(parts))


def _length(described: bytes) -> bytes:
    # More than twelve bits of it do not fit into the section either, which is refused as a whole.
    return (0xF000 | len(described) & 0x0FFF).to_bytes(2, "big")


def section_packets(section: bytes, pid: int, continuity: int = 0) -> bytes:
    """
    A section in packets of its own, stuffed to their end.

    :param continuity: the counter of the first packet, modulo 16; the next one on this PID is to have it plus
        ``len(result) // PACKET``.
    """
    data = b"\0" + section
    packets = []
    for number, at in enumerate(range(0, len(data), PACKET - 4)):
        start = 0 if at else 0x40
        packets.append(bytes((SYNC, start | pid >> 8, pid & 0xFF, 0x10 | (continuity + number) % 16)))
        packets.append(data[at : at + PACKET - 4].ljust(PACKET - 4, _STUFFING))
    return b"".join(packets)


def pat_packets(
    programs: Mapping[int, int], version: int = 0, continuity: int = 0, transport_stream_id: int = 1
) -> bytes:
    """A PAT in packets; see `pat_section` and `section_packets`."""
    return section_packets(pat_section(programs, transport_stream_id, version), PAT_PID, continuity)


def pmt_packets(program_map: ProgramMap, pmt_pid: int, version: int = 0, continuity: int = 0) -> bytes:
    """A PMT in packets; see `pmt_section` and `section_packets`."""
    return section_packets(pmt_section(program_map, version), pmt_pid, continuity)
