"""
A source translated into the programme of a broadcast that has been running: its PIDs, its clock, its counters.

Decoders that chose their streams at the start go on with picture and sound. PAT and PMT stay, and every PID of the new
source takes the place of one of the same kind, or is left out. One offset moves all its times, so that the first
picture follows the last one of the old source and sound stays with the picture; what sound overlaps is left out. Every
PID enters where a PES packet starts, and its counter goes on from the last packet before. Where the new source's picture
or sound has no place, the programme is announced anew with a place for it.

A source whose own clock jumps is carried on by another offset, and one whose PMT changes is matched again.
"""

from __future__ import annotations

from attrs import define, field

from iptvd.protocols.ending import USUAL_FRAME, Ending, Tail
from iptvd.protocols.matching import fits, make_room, match_streams
from iptvd.protocols.mpegts import NULL_PID, PACKET, SYNC
from iptvd.protocols.pes import PesHead, move_stamps, payload_start, read_pes
from iptvd.protocols.program_tables import ProgramTables
from iptvd.protocols.psi import PAT_PID, ProgramMap, pmt_packets
from iptvd.protocols.stream_types import Kind
from iptvd.protocols.timestamps import PCR_WRAP, TICKS, WRAP, elapsed, pcr_field, read_pcr

#: How far, in 90 kHz, times of one source may lie from each other before its clock has jumped.
FAR = 10 * TICKS
#: How far a stream's DTS may go back before its clock has jumped.
BACK = TICKS
#: What sound may overlap by, in 90 kHz: less than a frame of any codec, and more than its duration is rounded by.
TOLERANCE = TICKS // 200
#: PES packets (or clocks) that are waited for what they are to follow, before they are followed themselves.
PATIENCE = 50

_LED = (Kind.VIDEO, Kind.AUDIO)


@define(eq=False)
class _Lane:
    """
    One PID of ours, and what last went out on it.

    :ivar delta: from the source's counter to ours.
    :ivar open: whether packets go through; never before a PES packet starts.
    :ivar known: whether those that listen know the counter.
    :ivar refused: PES packets since the last one that fitted.
    """

    pid: int
    kind: Kind = Kind.DATA
    counter: int = 15
    dts: int | None = None
    pts: int = 0
    duration: int = USUAL_FRAME
    known: bool = False
    open: bool = False
    delta: int = 0
    refused: int = 0
    high: int = field(init=False)
    low: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.high, self.low = self.pid >> 8, self.pid & 0xFF

    def count(self) -> int:
        """The counter of the next packet with payload."""
        self.counter = (self.counter + 1) & 0x0F
        return self.counter

    def bare(self, flags: int, content: bytes = b"") -> bytes:
        """A packet with an adaptation field and nothing else, which does not count."""
        lead = bytes((SYNC, self.high, self.low, 0x20 | self.counter, PACKET - 5, flags))
        return (lead + content).ljust(PACKET, b"\xff")

    def repeat(self, packets: bytes) -> bytes:
        """Packets with payload, counted on."""
        data = bytearray(packets)
        for at in range(3, len(data), PACKET):
            data[at] = data[at] & 0xF0 | self.count()
        return bytes(data)

    def fill(self, size: int) -> bytes:
        """Packets with so many bytes of payload, all zero."""
        packets = []
        while size:
            stuffing = max(0, PACKET - 4 - size)
            adaptation = bytes((stuffing - 1, 0))[:stuffing].ljust(stuffing, b"\xff") if stuffing else b""
            control = (0x30 if stuffing else 0x10) | self.count()
            lead = bytes((SYNC, self.high, self.low, control)) + adaptation
            packets.append(lead.ljust(PACKET, b"\0"))
            size -= PACKET - len(lead)
        return b"".join(packets)


def _lane_after(pid: int, kind: Kind, tail: Tail) -> _Lane:
    return _Lane(pid, kind, tail.counter, tail.dts, tail.pts or 0, tail.duration, known=True)


class Translator:
    """
    Translates one source from a join point of it on.

    :ivar program: what our programme is made of now.
    :ivar announcements: how often it was announced anew.
    :param ending: how what came before ended.
    :param program: what the programme of the new source is made of.
    :param pmt_pid: where its PMT is.
    :param number: its number, where a certain one is followed; without, the first that the source's PAT names.
    :raises ProtocolError: when the programme has to be announced anew and does not fit into a PMT.
    """

    def __init__(self, ending: Ending, program: ProgramMap, pmt_pid: int, number: int | None = None) -> None:
        self.program = ending.program
        self.announcements = 0
        self._tables = ProgramTables(number)
        self._theirs = program
        self._their_pmt_pid = pmt_pid
        kinds = {stream.pid: stream.kind for stream in ending.program.streams}
        # Our PIDs, and by their own PIDs those of them that the source goes to.
        self._ours = {
            pid: _lane_after(pid, kinds.get(pid, Kind.DATA), tail) for pid, tail in ending.tails.items()
        }
        self._lanes: dict[int, _Lane] = {}
        self._lead: _Lane | None = None
        self._pat_lane = self._lane(PAT_PID)
        self._pmt_lane = self._lane(ending.pmt_pid)
        self._pat, self._pmt, self._version = ending.pat, ending.pmt, ending.pmt_version
        self._owed = {pid: tail.owed for pid, tail in ending.tails.items() if tail.owed}
        self._begun = False
        # What all times are moved by, None until the first is known; and the last time that went out.
        self._offset: int | None = None
        self._time = 0
        self._pcr = ending.pcr
        self._pcr_refused = 0
        self._match()

    def translate(self, block: bytes) -> bytes:
        """
        Whole packets of the source in, whole packets of the broadcast out.

        :raises ProtocolError: as the constructor, when the source's PMT changes.
        """
        data = bytearray(block)
        view = memoryview(data)
        out: list[bytes | memoryview] = []
        kept = 0
        lanes = self._lanes
        heads = zip(
            range(0, len(block), PACKET), block[1::PACKET], block[2::PACKET], block[3::PACKET], strict=True
        )
        for at, high, low, control in heads:
            pid = (high & 0x1F) << 8 | low
            lane = lanes.get(pid)
            before = b""
            if lane is None:
                if pid == NULL_PID:
                    continue
                before, stays = self._take_table(block, at, pid), False
                lanes = self._lanes
            elif high & 0x40 or control & 0x20:
                before, stays = self._take_marked(data, at, pid, lane)
            else:
                stays = lane.open
            if before or not stays:
                if kept < at:
                    out.append(view[kept:at])
                if before:
                    out.append(before)
                kept = at if stays else at + PACKET
            if stays and lane is not None:
                count = (control + lane.delta) & 0x0F
                data[at + 1] = high & 0xE0 | lane.high
                data[at + 2] = lane.low
                data[at + 3] = control & 0xF0 | count
                lane.counter = count
        if not out:
            return bytes(view[kept:])
        out.append(view[kept:])
        return b"".join(out)

    # The programme

    def _lane(self, pid: int, kind: Kind = Kind.DATA) -> _Lane:
        """What there is of one PID of ours."""
        lane = self._ours.get(pid)
        if lane is None:
            lane = self._ours[pid] = _Lane(pid)
        lane.kind = kind
        return lane

    def _match(self) -> bytes:
        """Find a place for each of the source's PIDs, and give what is to be said about it."""
        theirs = self._theirs
        matched = match_streams(self.program, theirs)
        announced = b""
        if not fits(self.program, theirs, matched):
            taken = (self._pmt_lane.pid, self.program.pcr_pid)
            self.program, matched = make_room(self.program, theirs, matched, taken)
            self._version = (self._version + 1) % 32
            self._pmt = pmt_packets(self.program, self._pmt_lane.pid, self._version)
            self.announcements += 1
            announced = self._repeat_pmt()
        before, self._lanes = self._lanes, {}
        for stream in theirs.streams:
            if stream.pid in matched:
                self._lanes[stream.pid] = self._lane(matched[stream.pid], stream.kind)
        for pid, lane in before.items():
            # A PID that goes elsewhere from now on, or nowhere, enters again where a PES packet starts.
            if self._lanes.get(pid) is not lane:
                lane.open = False
        leads = sorted((lane for lane in self._lanes.values() if lane.kind in _LED), key=lambda it: _LED.index(it.kind))
        self._lead = leads[0] if leads else next(iter(self._lanes.values()), None)
        if theirs.pcr_pid != NULL_PID:
            # A clock on a PID of its own: it is taken from there, and its packets never go out themselves.
            self._lanes.setdefault(theirs.pcr_pid, _Lane(NULL_PID))
        return announced

    def _take_table(self, block: bytes, at: int, pid: int) -> bytes:
        """What takes the place of a packet that belongs to none of the source's streams."""
        tables = self._tables
        said = b""
        if pid == PAT_PID:
            tables.look_at_pat(block, at)
            said = self._pat
        elif pid == (tables.pmt_pid or self._their_pmt_pid):
            tables.look_at_pmt(block, at)
            said = self._pmt
        return said
