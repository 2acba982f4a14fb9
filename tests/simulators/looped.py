"""
The film round and round: the packets of a TS file again and again, with clocks and counters that never jump.

Every round is the file's bytes with its PCR, PTS and DTS moved on by the length of the file, and its continuity
counters by the number of packets that came before (ISO 13818-1, 2.4.3.3 to 2.4.3.7). The file has to be whole packets,
and to last exactly as long as it is said to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

from attrs import frozen

PACKET = 188
#: A packet that decoders throw away.
NULL_PACKET = b"\x47\x1f\xff\x10" + b"\xff" * 184
#: Ticks of PTS, DTS and the base of the PCR a second, and where they wrap.
TICKS = 90_000
WRAP = 1 << 33
#: What an unpaced stream is written in.
BLOCK = 128 * 1024


@frozen
class Chunk:
    """The packets from one PCR up to the next: due ``at`` seconds into the film, for ``lasts`` seconds."""

    at: float
    lasts: float
    start: int
    end: int


def _stamp(field: bytes) -> int:
    """The 33 bits of a PTS or DTS field of five bytes."""
    return (field[0] & 0x0E) << 29 | field[1] << 22 | (field[2] & 0xFE) << 14 | field[3] << 7 | field[4] >> 1


def _set_stamp(data: bytearray, at: int, value: int) -> None:
    data[at] = data[at] & 0xF1 | value >> 29 & 0x0E
    data[at + 1] = value >> 22 & 0xFF
    data[at + 2] = value >> 14 & 0xFE | 1
    data[at + 3] = value >> 7 & 0xFF
    data[at + 4] = value << 1 & 0xFE | 1


def _pes_stamps(packet: bytes, start: int) -> Iterator[int]:
    """Where in ``packet`` the PTS and DTS fields of a PES header of picture or sound at ``start`` are."""
    if packet[start : start + 3] != b"\0\0\1" or not 0xC0 <= packet[start + 3] <= 0xEF:
        return
    flags = packet[start + 7] >> 6
    if flags & 2:
        yield start + 9
    if flags == 3:
        yield start + 14


class LoopedTs:
    """
    A TS file that never ends.

    :param data: whole packets, the first of which starts with the sync byte.
    :param seconds: how long it lasts.
    """

    def __init__(self, data: bytes, seconds: int) -> None:
        if len(data) % PACKET or any(byte != 0x47 for byte in data[::PACKET]):
            raise ValueError("the file is not whole TS packets")
        self.data = data
        self.seconds = seconds
        self._pcrs: list[tuple[int, int]] = []
        self._stamps: list[tuple[int, int]] = []
        self._pids: list[int] = []
        self._counts: Counter[int] = Counter()
        self._index()
        self.chunks = self._chunks()
        # A round costs milliseconds to make, and all who watch at the same time want the same one.
        self.round = lru_cache(maxsize=4)(self._round)

    def _index(self) -> None:
        for at in range(0, len(self.data), PACKET):
            packet = self.data[at : at + PACKET]
            pid = (packet[1] & 0x1F) << 8 | packet[2]
            self._pids.append(pid)
            start = 4
            if packet[3] & 0x20:
                start += 1 + packet[4]
                if packet[4] and packet[5] & 0x10:
                    self._pcrs.append((at + 6, int.from_bytes(packet[6:10], "big") << 1 | packet[10] >> 7))
            if packet[3] & 0x10:
                self._counts[pid] += 1
                if packet[1] & 0x40:
                    self._stamps += ((at + i, _stamp(packet[i : i + 5])) for i in _pes_stamps(packet, start))

    def _chunks(self) -> tuple[Chunk, ...]:
        if not self._pcrs:
            raise ValueError("the file has no clock")
        first = self._pcrs[0][1]
        marks = [((value - first) % WRAP / TICKS, at - at % PACKET) for at, value in self._pcrs]
        marks = [(0.0, 0), *marks[1:], (float(self.seconds), len(self.data))]
        return tuple(Chunk(at, after - at, start, end) for (at, start), (after, end) in pairwise(marks))

    def _round(self, number: int) -> bytes:
        """The bytes of one round, the first being 0."""
        data = bytearray(self.data)
        shift = number * self.seconds * TICKS
        for at, value in self._pcrs:
            data[at : at + 4] = ((value + shift) % WRAP >> 1).to_bytes(4, "big")
            data[at + 4] = data[at + 4] & 0x7F | ((value + shift) & 1) << 7
        for at, value in self._stamps:
            _set_stamp(data, at, (value + shift) % WRAP)
        moved = {pid: number * count % 16 for pid, count in self._counts.items()}
        for at, pid in zip(range(3, len(data), PACKET), self._pids, strict=True):
            counter = data[at]
            data[at] = counter & 0xF0 | (counter + moved.get(pid, 0)) & 0x0F
        return bytes(data)

    def play(self, position: float, burst: float, rate: float, mbit: float) -> Iterator[tuple[float, bytes]]:
        """
        The endless stream from the chunk in which ``position`` (seconds since round 0 began) falls.

        :param burst: seconds of it that are due at once.
        :param rate: how much faster than it is meant to be played it is due; 0 for all at once.
        :param mbit: Mbit/s to stuff it to with null packets, 0 for none.
        :returns: pairs of when (seconds from now) and what.
        """
        if not rate and not mbit:
            yield from self._unpaced(int(position // self.seconds))
            return
        number, owed = int(position // self.seconds), 0.0
        while True:
            data, base = self.round(number), number * self.seconds
            for chunk in self.chunks:
                if base + chunk.at + chunk.lasts <= position:
                    continue
                packets = data[chunk.start : chunk.end]
                owed += mbit * 1e6 / 8 * chunk.lasts - len(packets)
                stuffing = max(0, int(owed // PACKET)) if mbit else 0
                owed -= stuffing * PACKET
                due = (base + chunk.at - position - burst) / rate if rate else 0.0
                yield due, packets + NULL_PACKET * stuffing
            number += 1

    def _unpaced(self, number: int) -> Iterator[tuple[float, bytes]]:
        while True:
            data = self.round(number)
            for start in range(0, len(data), BLOCK):
                yield 0.0, data[start : start + BLOCK]
            number += 1


def looped_bytes(data: bytes, seconds: float, rate: float) -> Iterator[tuple[float, bytes]]:
    """Bytes that simply follow each other for ever, like a radio's, as pairs of when and what; see `LoopedTs.play`."""
    step = max(1, int(len(data) / seconds / 20))
    due = 0.0
    while True:
        for start in range(0, len(data), step):
            yield due, data[start : start + step]
            due += 0.05 / rate if rate else 0.0
