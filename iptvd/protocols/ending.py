"""How a stream ended, read out of its last seconds, so that another can go on where it stopped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import compress, pairwise
from statistics import median_low

from attrs import frozen

from iptvd.protocols.mpegts import NULL_PID, PACKET, pids
from iptvd.protocols.pes import PesHead, payload_start, read_pes
from iptvd.protocols.program_tables import ProgramTables
from iptvd.protocols.psi import PAT_PID, ProgramMap, head
from iptvd.protocols.stream_types import Kind
from iptvd.protocols.timestamps import TICKS, elapsed, last_pcr

#: How long a frame lasts where nothing tells, in 90 kHz: 25 frames a second.
USUAL_FRAME = TICKS // 25
#: A frame of sound lasts at most so long with usual codecs, in 90 kHz: 2,048 samples, 48,000 a second.
SOUND_FRAME = 2048 * TICKS // 48_000
#: The steps of DTS, in 90 kHz, that are a stream's own rather than a jump of its clock.
_BACK, _AHEAD = TICKS, 10 * TICKS

_STARTS = bytes(bool(byte & 0x40) for byte in range(256))


@frozen
class Tail:
    """
    How one PID ended.

    :ivar counter: the continuity counter of its last packet.
    :ivar dts: of its last PES packet with time stamps, in 90 kHz modulo 2^33; None when none had any.
    :ivar pts: the one that comes last, None together with ``dts``.
    :ivar duration: how long what came of that PES packet lasts, in 90 kHz, estimated.
    :ivar owed: bytes that the last PES packet has announced and that never came.
    """

    counter: int
    dts: int | None = None
    pts: int | None = None
    duration: int = USUAL_FRAME
    owed: int = 0


@frozen
class Ending:
    """
    How a stream ended.

    :ivar program: what its programme was made of.
    :ivar pat: the PAT in force, as packets.
    :ivar pmt: the PMT in force, as packets.
    :ivar tails: of PAT, PMT and the programme's PIDs that there were packets of, by PID.
    :ivar pcr: its last clock, in 27 MHz; None when it had none.
    """

    program: ProgramMap
    pmt_pid: int
    pat: bytes
    pmt: bytes
    tails: Mapping[int, Tail]
    pcr: int | None

    @property
    def pat_version(self) -> int:
        """The version of the PAT, 0 to 31."""
        return head(self.pat[5:]).version

    @property
    def pmt_version(self) -> int:
        """The version of the PMT, 0 to 31."""
        return head(self.pmt[5:]).version


def read_ending(blocks: Iterable[bytes], number: int | None = None) -> Ending | None:
    """
    How a stream ended; None when there is no PAT and PMT of a programme in it.

    :param blocks: of whole packets, oldest first: the tables in force, as `joins.Follower.tables` has them (they may
        be repeated seldom), and then the last second or two.
    :param number: of the programme; without, the first that the PAT names.
    """
    data = b"".join(blocks)
    every = pids(data)
    tables = ProgramTables(number)
    for index in _places(every, PAT_PID):
        tables.look_at_pat(data, index * PACKET)
    for index in _places(every, tables.pmt_pid) if tables.pmt_pid else ():
        tables.look_at_pmt(data, index * PACKET)
    program = tables.program
    if program is None:
        return None
    last = dict(zip(every, range(len(every)), strict=True))
    starts: dict[int, list[int]] = {}
    for index in compress(range(len(every)), data[1::PACKET].translate(_STARTS)):
        starts.setdefault(every[index], []).append(index)
    # Of tables and of a clock on its own there are the counters only.
    kinds = {PAT_PID: Kind.DATA, tables.pmt_pid: Kind.DATA, program.pcr_pid: Kind.DATA}
    kinds.update((stream.pid, stream.kind) for stream in program.streams)
    kinds.pop(NULL_PID, None)
    tails = {
        pid: _tail(data, every, pid, kind, data[last[pid] * PACKET + 3] & 0x0F, starts.get(pid, []))
        for pid, kind in kinds.items()
        if pid in last
    }
    pat, pmt = _split(tables.packets())
    pcr = None if program.pcr_pid == NULL_PID else last_pcr(data, program.pcr_pid)
    return Ending(program, tables.pmt_pid, pat, pmt, tails, pcr)


def _places(every: tuple[int, ...], pid: int, start: int = 0) -> Iterator[int]:
    """The indices of the packets of one PID."""
    try:
        while True:
            start = every.index(pid, start) + 1
            yield start - 1
    except ValueError:
        return


def _split(tables: bytes) -> tuple[bytes, bytes]:
    """The packets of the PAT and those of the PMT."""
    count = pids(tables).count(PAT_PID) * PACKET
    return tables[:count], tables[count:]


def _tail(data: bytes, every: tuple[int, ...], pid: int, kind: Kind, counter: int, starts: list[int]) -> Tail:
    heads = [(index, found) for index in starts if (found := read_pes(data, index * PACKET)) is not None]
    if not heads:
        return Tail(counter)
    owed = max(0, heads[-1][1].size - _came(data, every, pid, heads[-1][0]))
    stamped = _without_jumps(heads)
    if not stamped:
        return Tail(counter, owed=owed)
    newest = stamped[-1]
    pts = max((pes.pts for pes in stamped), key=lambda pts: elapsed(newest.dts, pts))
    duration = _duration(stamped, kind, _came(data, every, pid, newest.index))
    if owed and kind is Kind.AUDIO:
        # To a decoder the frame that was cut lasts to its end.
        duration += SOUND_FRAME
    return Tail(counter, newest.dts, pts, duration, owed)


def _duration(stamped: list[_Stamped], kind: Kind, came: int) -> int:
    """How long the last one lasts, of which so many bytes came."""
    if kind not in (Kind.VIDEO, Kind.AUDIO):
        return 0
    before = [pes.size for pes in stamped[:-1]]
    if kind is Kind.AUDIO and before and all(before):
        # Sound comes as many frames in one PES packet, now more and now less: its bytes tell the time.
        return max(0, elapsed(stamped[0].dts, stamped[-1].dts)) * came // sum(before)
    steps = [step for one, other in pairwise(stamped) if (step := elapsed(one.dts, other.dts)) > 0]
    return median_low(steps) if steps else USUAL_FRAME


def _came(data: bytes, every: tuple[int, ...], pid: int, index: int) -> int:
    """The bytes of payload of one PID from the packet with this index on."""
    return sum((at + 1) * PACKET - payload_start(data, at * PACKET) for at in _places(every, pid, index))


@frozen
class _Stamped:
    index: int
    pts: int
    dts: int
    size: int


def _without_jumps(heads: list[tuple[int, PesHead]]) -> list[_Stamped]:
    """Those that have time stamps, oldest first, since the clock has last jumped."""
    found: list[_Stamped] = []
    for index, pes in reversed(heads):
        if pes.pts is None or pes.dts is None:
            continue
        if found and not -_BACK <= elapsed(pes.dts, found[-1].dts) <= _AHEAD:
            break
        found.append(_Stamped(index, pes.pts, pes.dts, pes.size))
    return found[::-1]
