"""Transport streams made to measure, packet by packet, and changes to streams that are there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import cycle

from iptvd.protocols.mpegts import NULL_PID, PACKET, SYNC
from iptvd.protocols.psi import PAT_PID, ProgramMap, Stream, pat_packets, pmt_packets
from iptvd.protocols.timestamps import PCR_TICKS, TICKS, pcr_field, stamp_field

VIDEO_PID, AUDIO_PID, PMT_PID = 0x100, 0x101, 0x1000
#: H.264 picture and AAC sound, the clock with the picture.
FILM = ProgramMap(1, VIDEO_PID, (Stream(VIDEO_PID, 0x1B), Stream(AUDIO_PID, 0x0F)))
#: AAC sound alone.
SOUND = ProgramMap(1, AUDIO_PID, (Stream(AUDIO_PID, 0x0F),))

_START_CODE = b"\0\0\1"
#: What coded pictures begin with; a decoder makes nothing of them.
H264_KEY = (
    _START_CODE + b"\x09\x10" + _START_CODE + b"\x67\x42" + _START_CODE + b"\x68\xce" + _START_CODE + b"\x65\x88"
)
H264_OTHER = _START_CODE + b"\x09\x30" + _START_CODE + b"\x41\x9a"
HEVC_KEY = _START_CODE + b"\x46\x01" + _START_CODE + b"\x40\x01" + _START_CODE + b"\x26\x01"
HEVC_OTHER = _START_CODE + b"\x46\x01" + _START_CODE + b"\x02\x01"
MPEG2_KEY = _START_CODE + b"\xb3\x14" + _START_CODE + b"\xb8\0" + _START_CODE + b"\0\0"
MPEG2_OTHER = _START_CODE + b"\0\0"


def packet(
    pid: int,
    payload: bytes = b"",
    *,
    start: bool = False,
    counter: int = 0,
    rai: bool = False,
    discontinuity: bool = False,
    pcr: int | None = None,
    priority: bool = False,
    damaged: bool = False,
    scrambling: int = 0,
) -> bytes:
    """
    One packet, stuffed in its adaptation field; without a payload it has nothing else.

    :param pcr: in 27 MHz.
    :param scrambling: the two scrambling control bits.
    """
    flags = discontinuity << 7 | rai << 6 | (pcr is not None) << 4
    field = bytes((flags,)) if flags else b""
    if pcr is not None:
        field += pcr_field(pcr)
    room = PACKET - 4 - len(payload)
    if flags or room:
        assert room > len(field), "the payload is too long for what comes before it"
        field = field or (b"\0" if room > 1 else b"")
        field = bytes((room - 1,)) + field.ljust(room - 1, b"\xff")
    control = (0x20 if field else 0) | (0x10 if payload else 0)
    high = damaged << 7 | start << 6 | priority << 5 | pid >> 8
    made = bytes((SYNC, high, pid & 0xFF, scrambling << 6 | control | counter % 16)) + field + payload
    assert len(made) == PACKET
    return made


def pes(
    data: bytes, *, pts: int | None = None, dts: int | None = None, stream_id: int = 0xE0, scrambled: bool = False
) -> bytes:
    """A PES packet of a length that it does not tell; times in 90 kHz."""
    stamps = b"" if pts is None else stamp_field(pts) if dts is None else stamp_field(pts, 3) + stamp_field(dts, 1)
    flags = 0 if pts is None else 0x80 if dts is None else 0xC0
    head = bytes((0, 0, 1, stream_id, 0, 0, 0x80 | (0x10 if scrambled else 0), flags, len(stamps)))
    return head + stamps + data


class TsWriter:
    """Makes packets whose counters go on from each other."""

    def __init__(self) -> None:
        self._counters: Counter[int] = Counter()

    def _count(self, pid: int, count: int) -> int:
        first = self._counters[pid]
        self._counters[pid] += count
        return first

    def tables(
        self,
        program_map: ProgramMap = FILM,
        pmt_pid: int = PMT_PID,
        version: int = 0,
        others: dict[int, int] | None = None,
    ) -> bytes:
        """
        PAT and PMT.

        :param others: programmes that the PAT names as well, before it.
        """
        programs = {**(others or {}), program_map.program_number: pmt_pid}
        pat = pat_packets(programs, version, self._count(PAT_PID, 1))
        count = len(pmt_packets(program_map, pmt_pid, version)) // PACKET
        return pat + pmt_packets(program_map, pmt_pid, version, self._count(pmt_pid, count))

    def packets(
        self,
        pid: int,
        data: bytes,
        *,
        rai: bool = False,
        pcr: int | None = None,
        discontinuity: bool = False,
        scrambling: int = 0,
        priority: bool = False,
        first: int | None = None,
    ) -> bytes:
        """
        A PES packet as packets; the flags and the PCR belong to the first of them.

        :param first: bytes of payload of the first of them, as many as there is room for when left out.
        """
        room = PACKET - 4 - (8 if pcr is not None else 2 if rai or discontinuity else 0)
        first = room if first is None else first
        made = [
            packet(
                pid,
                data[:first],
                start=True,
                counter=self._count(pid, 1),
                rai=rai,
                pcr=pcr,
                discontinuity=discontinuity,
                scrambling=scrambling,
                priority=priority,
            )
        ]
        for at in range(first, len(data), PACKET - 4):
            rest = data[at : at + PACKET - 4]
            made.append(packet(pid, rest, counter=self._count(pid, 1), scrambling=scrambling, priority=priority))
        return b"".join(made)


def made_film(
    seconds: int,
    *,
    program_map: ProgramMap = FILM,
    pmt_pid: int = PMT_PID,
    key: bytes = H264_KEY,
    other: bytes = H264_OTHER,
    picture_size: int = 2000,
    pictures: int = 25,
    first_pts: int = 126_000,
    rai: bool = True,
) -> bytes:
    """
    A stream with the shape of a film: each second tables, then a key picture and others, and sound with each picture.

    :param pictures: a second.
    :param first_pts: of the first picture; the clock is a second behind.
    :param rai: whether key pictures have the random access indicator.
    """
    video, audio = program_map.streams[:2]
    writer, made = TsWriter(), []
    for number in range(seconds * pictures):
        pts = first_pts + number * TICKS // pictures
        is_key = number % pictures == 0
        if is_key:
            made.append(writer.tables(program_map, pmt_pid))
        picture = pes((key if is_key else other).ljust(picture_size, b"\x80"), pts=pts)
        pcr = (pts - TICKS) * (PCR_TICKS // TICKS)
        made.append(writer.packets(video.pid, picture, rai=rai and is_key, pcr=pcr))
        made.append(writer.packets(audio.pid, pes(b"\xff\xf1" * 150, pts=pts, stream_id=0xC0)))
    return b"".join(made)


def each_packet(data: bytes) -> Iterator[bytes]:
    """The packets one by one."""
    return (data[at : at + PACKET] for at in range(0, len(data), PACKET))


def pid_of(one: bytes | bytearray) -> int:
    """A packet's PID."""
    return (one[1] & 0x1F) << 8 | one[2]


def blocks(data: bytes, packets: Iterable[int]) -> Iterator[bytes]:
    """The stream in blocks of so many packets each, the numbers taken again and again; they are not all 0."""
    at = 0
    for count in cycle(tuple(packets)):
        if at >= len(data):
            return
        yield data[at : at + count * PACKET]
        at += count * PACKET


def without_rai(data: bytes) -> bytes:
    """The stream as a multiplexer writes it that never sets the random access indicator."""
    made = bytearray(data)
    for at in range(0, len(made), PACKET):
        if made[at + 3] & 0x20 and made[at + 4]:
            made[at + 5] &= ~0x40
    return bytes(made)


def scrambled(data: bytes, pid: int) -> bytes:
    """The stream with the payload of one PID made unreadable and marked so."""
    made = bytearray(data)
    for at in range(0, len(made), PACKET):
        if pid_of(made[at : at + PACKET]) == pid and made[at + 3] & 0x10:
            start = at + 4 + (1 + made[at + 4] if made[at + 3] & 0x20 else 0)
            made[at + 3] |= 0x80
            made[start : at + PACKET] = bytes(byte ^ 0xA5 for byte in made[start : at + PACKET])
    return bytes(made)


def continuity_errors(data: bytes) -> list[tuple[int, int]]:
    """The PID and the offset of each packet whose counter does not go on from the one before on its PID."""
    last: dict[int, int] = {}
    errors = []
    for number, one in enumerate(each_packet(data)):
        pid, counter = pid_of(one), one[3] & 0x0F
        if pid == NULL_PID:
            continue
        expected = (last.get(pid, counter - 1) + bool(one[3] & 0x10)) % 16
        if pid in last and counter != expected:
            errors.append((pid, number * PACKET))
        last[pid] = counter
    return errors


def unannounced_errors(data: bytes) -> list[tuple[int, int]]:
    """The same without those packets that say themselves that they do not go on from the one before."""
    return [
        (pid, at)
        for pid, at in continuity_errors(data)
        if not (data[at + 3] & 0x20 and data[at + 4] and data[at + 5] & 0x80)
    ]
