"""
A source translated into the programme of a broadcast that has been running: its PIDs, its clock, its counters.

Decoders that chose their streams at the start go on with picture and sound. PAT and PMT stay, and every PID of the
new source takes the place of one of the same kind, or is left out. One offset moves all its times, so that the first
picture follows the last one of the old source and sound stays with the picture; what sound overlaps is left out. Every
PID enters where a PES packet starts, and its counter goes on from the last packet before. Where the new source's
picture or sound has no place, the programme is announced anew with a place for it.

A source whose own clock jumps is carried on by another offset, and one whose PMT changes is matched again.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from iptvd.protocols.ending import USUAL_FRAME, Ending, Tail, read_ending
from iptvd.protocols.matching import fits, make_room, match_streams
from iptvd.protocols.mpegts import NULL_PID, PACKET, SYNC
from iptvd.protocols.pes import PesHead, move_stamps, read_pes
from iptvd.protocols.program_tables import ProgramTables
from iptvd.protocols.psi import PAT_PID, ProgramMap, pmt_packets
from iptvd.protocols.stream_types import Kind
from iptvd.protocols.timestamps import PCR_WRAP, TICKS, WRAP, elapsed, pcr_field, read_pcr

__all__ = ["Translator", "read_ending"]

#: How far, in 90 kHz, times of one source may lie from each other before its clock has jumped.
FAR = 10 * TICKS
#: How far a stream's DTS may go back before its clock has jumped, and how far from each other streams may end before
#: one of them ended earlier.
NEAR = TICKS
#: What sound may overlap by, in 90 kHz: less than a frame of any codec, and more than its duration is rounded by.
TOLERANCE = TICKS // 200
#: PES packets (or clocks) that are waited for what they are to follow, before they are followed themselves.
PATIENCE = 50

#: From the clock to a DTS, in 90 kHz, where the clock is all there is to go by.
USUAL_LEAD = TICKS // 2

_LEADING = (Kind.VIDEO, Kind.AUDIO)
# Flags of an adaptation field, and in the fourth byte of a packet.
_DISCONTINUITY, _PCR, _OPCR = 0x80, 0x10, 0x08
_SCRAMBLED = 0xC0


@define(eq=False)
class _Lane:
    """
    One PID of ours, and what last went out on it.

    :ivar known: whether decoders know its counter.
    :ivar open: whether packets go through; from the start of a PES packet on.
    :ivar delta: from the source's counter to ours.
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
        """A packet with an adaptation field and no payload, which therefore does not count."""
        if not self.known:
            flags |= _DISCONTINUITY
            self.known = True
        lead = bytes((SYNC, self.high, self.low, 0x20 | self.counter, PACKET - 5, flags))
        return (lead + content).ljust(PACKET, b"\xff")

    def overlaps(self, dts: int) -> bool:
        """Whether a PES packet with this DTS would begin before the last one has ended."""
        return self.dts is not None and elapsed(self.dts, dts) < max(1, self.duration - TOLERANCE)

    def take(self, pts: int, dts: int) -> None:
        """Note the times of a PES packet that goes out."""
        if self.dts is None:
            self.pts = pts
        elif self.open and self.kind in _LEADING and 0 < elapsed(self.dts, dts) < FAR:
            self.duration = elapsed(self.dts, dts)
        self.dts = dts
        self.pts = _latest((self.pts, pts))

    def repeat(self, packets: bytes) -> bytes:
        """Packets with payload, counted on."""
        data = bytearray(packets)
        for at in range(3, len(data), PACKET):
            data[at] = data[at] & 0xF0 | self.count()
        return bytes(data)

    def fill(self, size: int) -> bytes:
        """Packets with so many bytes of payload, all zero."""
        packets = []
        while size > 0:
            stuffing = max(0, PACKET - 4 - size)
            # The length of the adaptation field does not count itself, and its flags are there unless it is 0.
            adaptation = bytes((stuffing - 1, 0))[:stuffing].ljust(stuffing, b"\xff") if stuffing else b""
            lead = bytes((SYNC, self.high, self.low, (0x30 if stuffing else 0x10) | self.count())) + adaptation
            packets.append(lead.ljust(PACKET, b"\0"))
            size -= PACKET - 4
        return b"".join(packets)


class Translator:
    """
    Translates one source, from a join point of it on.

    :ivar program: what our programme is made of now.
    :ivar announcements: how often it has been announced anew.
    :param ending: how what came before has ended.
    :param program: what the programme of the source is made of.
    :param pmt_pid: where its PMT is.
    :param number: its number, where a certain one is followed; without, the first that the source's PAT names.
    :raises ProtocolError: when the programme is to be announced anew and does not fit into a PMT.
    """

    def __init__(self, ending: Ending, program: ProgramMap, pmt_pid: int, number: int | None = None) -> None:
        self.program = ending.program
        self.announcements = 0
        self._tables = ProgramTables(number)
        self._theirs = program
        self._their_pmt_pid = pmt_pid
        # What goes out, by our PIDs, and where to, by theirs.
        self._ours = {pid: _lane_after(pid, tail) for pid, tail in ending.tails.items()}
        self._lanes: dict[int, _Lane] = {}
        self._lead: _Lane | None = None
        self._pcr_lane: _Lane | None = None
        for stream in ending.program.streams:
            self._lane(stream.pid).kind = stream.kind
        self._pat_lane, self._pmt_lane = self._lane(PAT_PID), self._lane(ending.pmt_pid)
        self._pat, self._pmt, self._version = ending.pat, ending.pmt, ending.pmt_version
        self._owed = {pid: tail.owed for pid, tail in ending.tails.items()}
        self._begun = False
        # What all times are moved by, in 90 kHz, None until it is known; and the latest time of picture or sound.
        self._offset: int | None = None
        ends = [(lane.kind in _LEADING, lane.dts) for lane in self._ours.values() if lane.dts is not None]
        self._time = _latest([dts for leads, dts in ends if leads] or [dts for _, dts in ends] or [0])
        self._pcr = ending.pcr
        self._pcr_refused = 0
        self._match()

    def translate(self, block: bytes) -> bytes:
        """
        Whole packets of the source in, whole packets of the broadcast out.

        :raises ProtocolError: as the constructor does, when the source's PMT has changed.
        """
        data = bytearray(block)
        view = memoryview(data)
        out: list[bytes | memoryview] = []
        kept = 0
        lanes = self._lanes
        places = range(0, len(block), PACKET)
        for at, high, low, control in zip(places, block[1::PACKET], block[2::PACKET], block[3::PACKET], strict=True):
            pid = (high & 0x1F) << 8 | low
            lane = lanes.get(pid)
            if lane is not None:
                if high & 0x40 or control & 0x20:
                    before = self._take_marked(block, data, at, lane)
                    if before:
                        out += view[kept:at], before
                        kept = at
                if lane.open:
                    lane.counter = count = (control + lane.delta) & 0x0F
                    data[at + 1] = high & 0xE0 | lane.high
                    data[at + 2] = lane.low
                    data[at + 3] = control & 0xF0 | count
                    continue
            elif pid == NULL_PID:
                continue
            else:
                before = self._take_other(block, at, pid)
                lanes = self._lanes
                if before:
                    out += view[kept:at], before
                    kept = at
            if kept < at:
                out.append(view[kept:at])
            kept = at + PACKET
        out.append(view[kept:])
        return b"".join(out)

    # The programme

    def _lane(self, pid: int) -> _Lane:
        return self._ours.setdefault(pid, _Lane(pid))

    def _match(self) -> None:
        """Find a place for each of the source's streams, in a new version of our PMT if it has to be."""
        theirs = self._theirs
        matched = match_streams(self.program, theirs)
        if not fits(self.program, theirs, matched):
            taken = (self._pmt_lane.pid, self.program.pcr_pid)
            self.program, matched = make_room(self.program, theirs, matched, taken)
            self._version = (self._version + 1) % 32
            self._pmt = pmt_packets(self.program, self._pmt_lane.pid, self._version)
            self.announcements += 1
        before = self._lanes
        self._lanes = {}
        for stream in theirs.streams:
            if stream.pid in matched:
                self._lanes[stream.pid] = lane = self._lane(matched[stream.pid])
                lane.kind = stream.kind
        for pid, lane in before.items():
            # What goes elsewhere from now on enters there where a PES packet starts.
            if self._lanes.get(pid) is not lane:
                lane.open = False
        led = [lane for kind in _LEADING for lane in self._lanes.values() if lane.kind is kind]
        self._lead = next(iter(led or self._lanes.values()), None)
        pcr_pid = self.program.pcr_pid
        self._pcr_lane = None if pcr_pid == NULL_PID else self._lane(pcr_pid)
        if theirs.pcr_pid != NULL_PID:
            # Where the clock has a PID of its own nothing else is taken from there.
            self._lanes.setdefault(theirs.pcr_pid, _Lane(NULL_PID))

    def _take_other(self, block: bytes, at: int, pid: int) -> bytes:
        """What comes in the place of a packet that is none of the streams': our tables for theirs."""
        tables = self._tables
        if pid == PAT_PID:
            tables.look_at_pat(block, at)
            return self._pat_lane.repeat(self._pat) if self._begun and block[at + 1] & 0x40 else b""
        if pid != (tables.pmt_pid or self._their_pmt_pid):
            return b""
        tables.look_at_pmt(block, at)
        changed = tables.program not in (None, self._theirs)
        if tables.program is not None and changed:
            self._theirs = tables.program
            self._match()
        return self._pmt_lane.repeat(self._pmt) if self._begun and (changed or block[at + 1] & 0x40) else b""

    # The streams

    def _take_marked(self, block: bytes, data: bytearray, at: int, lane: _Lane) -> bytes:
        """Deal with a packet that starts a PES packet or has an adaptation field; gives what goes out before it."""
        control = block[at + 3]
        before = b""
        if block[at + 1] & 0x40 and control & 0x10:
            pes = None if control & _SCRAMBLED else read_pes(block, at)
            opens = lane.pid != NULL_PID and self._follows(lane, pes, bool(control & _SCRAMBLED))
            if opens:
                if pes is not None and self._offset is not None:
                    move_stamps(data, pes, self._offset)
                before = self._opening()
                if not lane.known:
                    before += lane.bare(_DISCONTINUITY)
                if not lane.open:
                    lane.delta = lane.counter + 1 - control
            lane.open = opens
        if control & 0x20 and block[at + 4] and block[at + 5] & (_PCR | _OPCR):
            before += self._take_clock(block, data, at, lane)
        return before

    def _opening(self) -> bytes:
        """What the first of the source's packets follows: the end of what was cut short, and the tables."""
        if self._begun:
            return b""
        self._begun = True
        # A decoder that has been promised more of a PES packet would take it from the next one. Zeros are no frame of
        # any codec: at most the frame that was cut is lost.
        fillings = [self._ours[pid].fill(size) for pid, size in self._owed.items()]
        return b"".join((*fillings, self._pat_lane.repeat(self._pat), self._pmt_lane.repeat(self._pmt)))

    def _follows(self, lane: _Lane, pes: PesHead | None, scrambled: bool) -> bool:
        """Whether a PES packet (sections where there is none) goes out, and with it all up to the next one."""
        if pes is None:
            return self._offset is not None and (scrambled or lane.kind is Kind.DATA)
        if pes.pts is None or pes.dts is None:
            return self._offset is not None and (lane.open or lane.kind is Kind.DATA)
        if self._offset is None or self._strays(lane, pes.dts + self._offset):
            if lane is not self._lead and (lane.kind not in _LEADING or lane.refused < PATIENCE):
                lane.refused += 1
                return False
            self._offset = self._anchored(lane, pes.pts, pes.dts)
        pts, dts = (pes.pts + self._offset) % WRAP, (pes.dts + self._offset) % WRAP
        if not lane.open and lane.overlaps(dts):
            return False
        lane.refused = 0
        lane.take(pts, dts)
        if lane is self._lead or lane.kind in _LEADING:
            self._time = dts
        return True

    def _strays(self, lane: _Lane, dts: int) -> bool:
        """Whether the source's clock has jumped, by the DTS that a PES packet would get."""
        if lane.open and lane.dts is not None and elapsed(lane.dts, dts) < -NEAR:
            return True
        # What leads cannot do without the picture that it enters with.
        if lane is self._lead and not lane.open and lane.overlaps(dts):
            return True
        return abs(elapsed(self._time, dts)) > FAR

    def _anchored(self, lane: _Lane, pts: int, dts: int) -> int:
        """The offset with which a PES packet follows what last went out, in decoding and in presentation."""
        leading = [other for other in self._ours.values() if other is lane or other.kind in _LEADING]
        recent = [
            each for each in leading if each.dts is not None and elapsed(each.dts + each.duration, self._time) < NEAR
        ]
        same = [other for other in recent if other is lane] or [other for other in recent if other.kind is lane.kind]
        offsets = []
        for end in same or recent:
            after = max(1, end.duration)
            offsets += [(end.dts or 0) + after - dts, end.pts + after - pts]
        if not offsets:
            offsets.append(0 if self._pcr is None else self._pcr // 300 + USUAL_LEAD - dts)
        return _latest(offsets) % WRAP

    # The clock

    def _take_clock(self, block: bytes, data: bytearray, at: int, lane: _Lane) -> bytes:
        """Move the clock of a packet on, or take it out; gives a packet for it when it belongs on another PID."""
        pcr = read_pcr(block, at)
        # The clock of what this was before it was first put together with others: decoders pass it over.
        if block[at + 5] & _OPCR:
            _cut_clock(data, at, _OPCR, 6 if block[at + 5] & _PCR else 0)
        ours, theirs = self._pcr_lane, self._lanes.get(self._theirs.pcr_pid)
        if pcr is not None and self._offset is not None and ours is not None and theirs is lane:
            pcr = (pcr + self._offset * 300) % PCR_WRAP
            follows = self._pcr is None or 0 < elapsed(self._pcr, pcr, PCR_WRAP) <= FAR * 300
            if follows or self._pcr_refused >= PATIENCE:
                self._pcr, self._pcr_refused = pcr, 0
                jumped = 0 if follows else _DISCONTINUITY
                if ours is lane and lane.open:
                    data[at + 5] |= jumped
                    data[at + 6 : at + 12] = pcr_field(pcr)
                    return b""
                _cut_clock(data, at, _PCR, 0)
                return ours.bare(_PCR | jumped, pcr_field(pcr))
            self._pcr_refused += 1
        if block[at + 5] & _PCR:
            _cut_clock(data, at, _PCR, 0)
        return b""


def _lane_after(pid: int, tail: Tail) -> _Lane:
    """What is known of a PID from before."""
    return _Lane(pid, counter=tail.counter, dts=tail.dts, pts=tail.pts or 0, duration=tail.duration, known=True)


def _latest(times: Sequence[int]) -> int:
    """The time that all the others come before, of some that lie together."""
    return max(times, key=lambda time: elapsed(times[0], time))


def _cut_clock(data: bytearray, at: int, flag: int, place: int) -> None:
    """Take six bytes out of the adaptation field of the packet at ``at``; stuffing takes their place at its end."""
    end = min(at + 5 + data[at + 4], at + PACKET)
    start = at + 6 + place
    data[at + 5] &= ~flag
    data[start:end] = data[start + 6 : end].ljust(end - start, b"\xff")
