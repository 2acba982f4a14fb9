"""
Where a viewer can begin: the join points of a transport stream, followed without a loop over its packets.

Of each block one slice takes the byte of every packet that holds the start flag and the high bits of the PID; a table
marks those that may matter, and only they are looked at: the packets that start a table or a picture, a few in each
block. The same joins come out however the stream was cut into blocks.

A join is a packet at which a PES packet of the followed stream starts: of the programme's first video, or of its first
sound when it has no video. It counts when it has the random access indicator (ISO/IEC 13818-1 clause 2.4.3.5). While
that has not been seen for long, which with some multiplexers is always, the picture's own start codes count as well.
For sound, and for codecs whose start codes tell nothing, any start counts.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, evolve, field, frozen

from iptvd.protocols.keyframes import RULES, Rule, shows_key_picture
from iptvd.protocols.mpegts import NULL_PID, PACKET
from iptvd.protocols.program_tables import FIRST_PID, ProgramTables
from iptvd.protocols.psi import PAT_PID, ProgramMap, Stream
from iptvd.protocols.stream_types import Kind
from iptvd.protocols.timestamps import first_pcr, last_pcr, pes_pts

#: Starts of PES packets after which a random access indicator that was not seen again is not relied on any more.
PATIENCE = 250
#: Packets of a PES packet that are looked at for what it begins with.
LOOKED_AT = 4

# The second byte of a packet without its PID, not damaged, of either priority: one that starts something, or any.
_STARTS = (0x40, 0x60)
_ANY = (0x00, 0x20, 0x40, 0x60)


@frozen
class Join:
    """
    A packet at which a viewer can begin.

    :ivar offset: of that packet in the block it was found with; negative when it is that many bytes before the block.
    :ivar pts: of the picture or sound that begins there, in 90 kHz modulo 2^33, or None when it cannot be read.
    :ivar pcr: the programme's last clock up to and with that packet, in 27 MHz, or None when there was none yet.
    :ivar tables: PAT and PMT, in packets to be sent before it; their counters are those that the stream goes on from.
    :ivar revision: `Follower.revision` as of that packet.
    :ivar discontinuity: whether a break of clock or counters was announced with the start of this PES packet or of one
        since the join before.
    """

    offset: int
    pts: int | None
    pcr: int | None
    tables: bytes = field(repr=False)
    revision: int
    discontinuity: bool


@define
class _Undecided:
    """
    A start of which it is not known yet whether it counts.

    :ivar begun: what there is of the PES packet.
    :ivar packets: in which that came.
    :ivar behind: bytes of the blocks since the one that ``join`` has its offset in.
    """

    join: Join
    begun: bytes
    packets: int = 1
    behind: int = 0


class Follower:
    """
    Follows one programme of one stream.

    :ivar stream: whose PES packets are followed, or None while there is none.
    :ivar last_pcr: the programme's last clock, in 27 MHz, or None.
    :param number: of the programme; without, the first that the PAT names.
    """

    def __init__(self, number: int | None = None) -> None:
        self.stream: Stream | None = None
        self.last_pcr: int | None = None
        self._tables = ProgramTables(number)
        self._joins: list[Join] = []
        # Where in the block at hand the PID of the clock began to hold.
        self._pcr_pid = NULL_PID
        self._pcr_start = 0
        self._any_start = False
        self._rule: Rule | None = None
        # Starts since the random access indicator was last seen.
        self._unmarked = PATIENCE
        self._discontinuity = False
        self._undecided: _Undecided | None = None
        self._wire()

    @property
    def program(self) -> ProgramMap | None:
        """What the programme is made of, or None while that is not known."""
        return self._tables.program

    @property
    def pmt_pid(self) -> int:
        """The PID of the programme's PMT, 0 while that is not known."""
        return self._tables.pmt_pid

    @property
    def revision(self) -> int:
        """How often what the tables say has changed."""
        return self._tables.revision

    @property
    def tables(self) -> bytes:
        """PAT and PMT as of the end of the last block, in packets; empty while there is no programme."""
        return self._tables.packets()

    def scan(self, block: bytes) -> list[Join]:
        """
        The joins that this block of whole packets decides on, in their order.

        One at the end of a block may be decided on with a later one only, and has a negative offset then.
        """
        joins: list[Join] = []
        self._joins = joins
        self._pcr_start = 0
        high, low = block[1::PACKET], block[2::PACKET]
        table = self._table
        marks = high.translate(table)
        at = marks.find(1)
        while at >= 0:
            visit = self._visits.get(high[at] << 8 | low[at])
            if visit is not None:
                visit(self, block, at * PACKET)
                if table is not self._table:
                    table = self._table
                    marks = high.translate(table)
            at = marks.find(1, at + 1)
        self.last_pcr = self._pcr_up_to(block, len(block))
        if self._undecided is not None:
            self._undecided.behind += len(block)
        return joins

    def clock(self, block: bytes) -> tuple[int, int] | None:
        """The programme's first and last clock in a block of whole packets, in 27 MHz; None when there is none."""
        first, last = first_pcr(block, self._pcr_pid), last_pcr(block, self._pcr_pid)
        return None if first is None or last is None else (first, last)

    # What packets are looked at

    def _wire(self) -> None:
        """Set which packets are looked at, and by what."""
        wanted: list[tuple[int, _Visit, bool]] = [(PAT_PID, Follower._on_pat, self._tables.pat_waiting)]
        if self._tables.pmt_pid:
            wanted.append((self._tables.pmt_pid, Follower._on_pmt, self._tables.pmt_waiting))
        if self.stream is not None:
            wanted.append((self.stream.pid, Follower._on_stream, self._undecided is not None))
        visits: dict[int, _Visit] = {}
        table = bytearray(256)
        for pid, visit, inside in wanted:
            for flags in _ANY if inside else _STARTS:
                visits[flags << 8 | pid] = visit
                table[flags | pid >> 8] = 1
        self._visits = visits
        self._table = bytes(table)

    # The tables

    def _on_pat(self, block: bytes, at: int) -> None:
        if self._tables.look_at_pat(block, at):
            self._tables_changed(at)

    def _on_pmt(self, block: bytes, at: int) -> None:
        if self._tables.look_at_pmt(block, at):
            self._tables_changed(at)

    def _tables_changed(self, at: int) -> None:
        """Follow what the tables name now, from the packet at ``at`` on."""
        program = self._tables.program
        pcr_pid = NULL_PID if program is None else program.pcr_pid
        if pcr_pid != self._pcr_pid:
            self._pcr_pid, self._pcr_start = pcr_pid, at
            self.last_pcr = None
        stream = None if program is None else _followed(program, self._tables.pmt_pid)
        if _traits(stream) != _traits(self.stream):
            self._undecided = None
            self._unmarked = PATIENCE
            self._discontinuity = False
            self._any_start = stream is not None and stream.kind is not Kind.VIDEO
            self._rule = None if stream is None else RULES.get(stream.codec)
        self.stream = stream
        self._wire()

    # The followed stream

    def _on_stream(self, block: bytes, at: int) -> None:
        """A packet of it that starts a PES packet, or one more of a PES packet that is not decided on."""
        control, start, end = block[at + 3], at + 4, at + PACKET
        flags = 0
        if control & 0x20:
            flags = block[start + 1] if block[start] else 0
            start += 1 + block[start]
        if not control & 0x10 or start >= end:
            return
        scrambled = bool(control & 0xC0)
        if self._undecided is not None:
            if not block[at + 1] & 0x40:
                self._go_on(self._undecided, b"" if scrambled else block[start:end])
                return
            self._give_up()
        if flags & 0x80:
            self._discontinuity = True
        if flags & 0x40:
            self._unmarked = 0
            counts: bool | None = True
        elif self._any_start:
            counts = True
        elif self._unmarked < PATIENCE:
            self._unmarked += 1
            return
        elif scrambled:
            return
        else:
            counts = shows_key_picture(block[start:end], self._rule)
        if counts is False:
            return
        join = Join(
            at,
            None if scrambled else pes_pts(block, start, end),
            self._pcr_up_to(block, end),
            self._tables.packets(),
            self._tables.revision,
            self._discontinuity,
        )
        if counts:
            self._add(join)
        else:
            self._undecided = _Undecided(join, block[start:end])
            self._wire()

    def _go_on(self, undecided: _Undecided, data: bytes) -> None:
        """Look at more of a PES packet."""
        begun = undecided.begun = undecided.begun + data
        undecided.packets += 1
        counts = shows_key_picture(begun, self._rule)
        if counts:
            join = undecided.join
            self._add(evolve(join, offset=join.offset - undecided.behind, pts=pes_pts(begun, 0, len(begun))))
        if counts is not None or undecided.packets == LOOKED_AT:
            self._give_up()

    def _give_up(self) -> None:
        """Look at no more of a PES packet."""
        self._undecided = None
        self._wire()

    def _add(self, join: Join) -> None:
        self._joins.append(join)
        self._discontinuity = False

    def _pcr_up_to(self, block: bytes, end: int) -> int | None:
        """The last clock before ``end``, in this block or before it."""
        pcr = None if self._pcr_pid == NULL_PID else last_pcr(block, self._pcr_pid, self._pcr_start, end)
        return self.last_pcr if pcr is None else pcr


#: Looks at the packet of a block at an index.
_Visit = Callable[[Follower, bytes, int], None]


def _followed(program: ProgramMap, pmt_pid: int) -> Stream | None:
    """The stream that joins are looked for in: the first video, else the first sound, else the first there is."""
    streams = [stream for stream in program.streams if FIRST_PID <= stream.pid < NULL_PID and stream.pid != pmt_pid]
    for kind in (Kind.VIDEO, Kind.AUDIO):
        for stream in streams:
            if stream.kind is kind:
                return stream
    return streams[0] if streams else None


def _traits(stream: Stream | None) -> tuple[int, str] | None:
    """What makes it another stream when it changes."""
    return None if stream is None else (stream.pid, stream.codec)
