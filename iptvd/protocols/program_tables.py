"""The tables of one programme as they stand while a stream goes by: PAT and PMT, parsed only when they change."""

from __future__ import annotations

from iptvd.errors import ProtocolError
from iptvd.protocols.mpegts import NULL_PID, PACKET
from iptvd.protocols.psi import PAT_PID, ProgramMap, Sections, head, parse_pat, parse_pmt, section_packets

#: The PIDs below are reserved (ISO/IEC 13818-1 table 2-3).
FIRST_PID = 0x10


class _Table:
    """
    The section in force on one PID.

    :ivar counter: of the last packet that carried it.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.section = b""
        self.counter = 0
        self._sections = Sections()
        self._packet = b""

    @property
    def waiting(self) -> bool:
        """Whether a section has begun whose end is still to come."""
        return self._sections.waiting

    def says_the_same(self, block: bytes, at: int) -> bool:
        """Whether the packet at ``at`` is the one that carried the section before; most are."""
        if (
            not self._packet
            or self.waiting
            or block[at + 3] & 0xF0 != 0x10
            or not block.startswith(self._packet, at + 4, at + PACKET)
        ):
            return False
        self.counter = block[at + 3] & 0x0F
        return True

    def fresh_sections(self, block: bytes, at: int) -> list[bytes]:
        """The sections that end in the packet at ``at`` and are not the one in force."""
        packet = block[at : at + PACKET]
        found = self._sections.feed(packet)
        fresh = [section for section in found if section != self.section]
        if len(fresh) < len(found):
            self.counter = packet[3] & 0x0F
            if not fresh and packet.startswith(b"\0" + self.section, 4):
                self._packet = packet[4:]
        return fresh

    def put_in_force(self, section: bytes, packet_counter: int) -> None:
        """Have it replace the one before."""
        self.section = section
        self.counter = packet_counter
        self._packet = b""

    def packets(self) -> bytes:
        """The section in force, in packets whose counters end where the stream's own did."""
        following = len(self.section) // (PACKET - 4)
        return section_packets(self.section, self.pid, self.counter - following)


class ProgramTables:
    """
    Knows the tables in force.

    :ivar program: what the programme is made of, or None while that is not known.
    :ivar revision: how often what the tables say has changed.
    :param number: of the programme; without, the first that the PAT names, for as long as it does.
    """

    def __init__(self, number: int | None = None) -> None:
        self.program: ProgramMap | None = None
        self.revision = 0
        self._wanted = number
        self._number = 0
        self._part = 0
        self._pat = _Table(PAT_PID)
        self._pmt: _Table | None = None
        self._packets_key = (0, 0, 0)
        self._packets = b""

    @property
    def pmt_pid(self) -> int:
        """The PID of the programme's PMT, 0 while that is not known."""
        return self._pmt.pid if self._pmt is not None else 0

    @property
    def pat_waiting(self) -> bool:
        """Whether the PAT goes on in packets that do not start a section."""
        return self._pat.waiting

    @property
    def pmt_waiting(self) -> bool:
        """Whether the PMT does."""
        return self._pmt is not None and self._pmt.waiting

    def packets(self) -> bytes:
        """
        PAT and PMT in packets of their own, empty while there is no programme.

        The counters of those that follow in the stream go on from theirs.
        """
        if self._pmt is None or self.program is None:
            return b""
        key = (self.revision, self._pat.counter, self._pmt.counter)
        if key != self._packets_key:
            self._packets_key = key
            self._packets = self._pat.packets() + self._pmt.packets()
        return self._packets

    def look_at_pat(self, block: bytes, at: int) -> bool:
        """Look at the packet at ``at``, on the PAT's PID; tells whether the tables or what is waited for changed."""
        if self._pat.says_the_same(block, at):
            return False
        waited = self._pat.waiting
        revision = self.revision
        for section in self._pat.fresh_sections(block, at):
            self._take_pat(section, block[at + 3] & 0x0F)
        return revision != self.revision or waited != self._pat.waiting

    def look_at_pmt(self, block: bytes, at: int) -> bool:
        """The same for a packet on the PMT's PID."""
        pmt = self._pmt
        if pmt is None or pmt.says_the_same(block, at):
            return False
        waited = pmt.waiting
        revision = self.revision
        for section in pmt.fresh_sections(block, at):
            self._take_pmt(pmt, section, block[at + 3] & 0x0F)
        return revision != self.revision or waited != pmt.waiting

    def _take_pat(self, section: bytes, counter: int) -> None:
        about = head(section)
        # A PAT of many programmes comes in several sections: ours is the one that names our programme.
        if not about.current or (self._pmt is not None and about.number != self._part):
            return
        try:
            named = parse_pat(section)
        except ProtocolError:
            return
        programs = {number: pid for number, pid in named.items() if FIRST_PID <= pid < NULL_PID}
        number = self._wanted
        if number is None:
            number = self._number if self._number in programs else next(iter(programs), 0)
        if number not in programs:
            return
        self._pat.put_in_force(section, counter)
        self.revision += 1
        self._part = about.number
        if (number, programs[number]) != (self._number, self.pmt_pid):
            self._number = number
            self._pmt = _Table(programs[number])
            self.program = None

    def _take_pmt(self, pmt: _Table, section: bytes, counter: int) -> None:
        about = head(section)
        # Several programmes may have their maps on one PID.
        if not about.current or about.extension != self._number:
            return
        try:
            program = parse_pmt(section)
        except ProtocolError:
            return
        pmt.put_in_force(section, counter)
        self.program = program
        self.revision += 1
