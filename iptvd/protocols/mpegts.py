"""
Whole transport stream packets out of a byte stream (ISO/IEC 13818-1 clause 2.4.3.2).

Packets follow each other at a distance of 188 bytes, of 192 where each has a time stamp of four bytes before it
(M2TS), or of 204 where sixteen bytes of error correction come after it. What comes out is packets of 188 bytes and
nothing else. While the stream is in step nothing is done for each packet: one slice takes every sync byte out at once.
"""

from __future__ import annotations

import re
import struct

#: Bytes of a packet.
PACKET = 188
#: What every packet starts with.
SYNC = 0x47
#: The PID of packets that decoders throw away.
NULL_PID = 0x1FFF

_NULL_PACKET = b"\x47\x1f\xff\x10" + b"\xff" * (PACKET - 4)
_PID_HIGH = bytes(byte & 0x1F for byte in range(256))

# Packets that have to follow each other before their distance is believed: a single sync byte occurs anywhere. The
# adaptation field control of none of them is the reserved 00.
_FOLLOWERS = 4
_DISTANCES = (PACKET, 192, 204)
_HEADER = rb"G..[\x10-\x3f\x50-\x7f\x90-\xbf\xd0-\xff]"
_RUN = re.compile(
    _HEADER + b"(?:%b)" % b"|".join(b"((?:.{%d}%b){4})" % (distance - 4, _HEADER) for distance in _DISTANCES),
    re.DOTALL,
)
# Bytes with which it can be told of an offset, whatever the distance, that a run of packets starts there.
_RUN_SIZE = _FOLLOWERS * max(_DISTANCES) + 4
# Bytes before the sync byte, where they belong to the packet.
_LEADS = {192: 4}


def null_packets(count: int) -> bytes:
    """So many packets that decoders throw away."""
    return _NULL_PACKET * count


def pids(block: bytes) -> tuple[int, ...]:
    """The PID of each packet of a block of whole packets, in order."""
    count = len(block) // PACKET
    both = bytearray(2 * count)
    both[::2] = block[1::PACKET].translate(_PID_HIGH)
    both[1::2] = block[2::PACKET]
    return struct.unpack(f">{count}H", both)


def announced_gap(before: bytes, after: bytes) -> bytes:
    """
    Packets that tell a decoder that the stream does not go on from what it was given last.

    For each PID one without payload that has the discontinuity indicator (ISO/IEC 13818-1 clause 2.4.3.5): it allows
    the clock to jump, and its counter is the one that the next packet of its PID goes on from.

    :param before: whole packets of the stream up to where it goes on, with the PIDs whose next packet comes later.
    :param after: whole packets from there on.
    """
    counters = dict(zip(pids(before), before[3::PACKET], strict=True))
    # Of these the first of each PID counts, so they are gone through from their end.
    for pid, control in zip(reversed(pids(after)), reversed(after[3::PACKET]), strict=True):
        # Only a packet with a payload has counted.
        counters[pid] = control - (control >> 4 & 1)
    counters.pop(NULL_PID, None)
    return b"".join(
        b"\x47%c%c%c\xb7\x80" % (pid >> 8, pid & 0xFF, 0x20 | counter & 0x0F) + b"\xff" * (PACKET - 6)
        for pid, counter in sorted(counters.items())
    )


class Packets:
    """
    Cuts a stream into whole packets, and finds them again after damage.

    What comes out does not depend on how the stream was cut into pieces. Less than a packet and what goes with it is
    kept from one piece to the next; while packets are searched, as much as it takes to be sure of them (less than 900
    bytes).

    :ivar dropped: bytes thrown away because they belonged to no packet.
    :ivar losses: how often packets were not where the one before had promised.
    :ivar distance: bytes from one packet to the next as they come in: 188, 192 or 204, and 0 while that is not known.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.losses = 0
        self.distance = 0
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """
        The packets of 188 bytes that are whole by now, one after the other; often all of ``data``, not copied.

        :param data: of any length that a socket gives.
        """
        if self.distance != PACKET:
            return self._feed_slowly(self._rest + data)
        rest = self._rest
        over = (len(rest) + len(data)) % PACKET
        if len(rest) + len(data) == over:
            self._rest = rest + data
            return b""
        cut = len(data) - over
        block = b"".join((rest, memoryview(data)[:cut])) if rest or over else data
        if block[::PACKET].count(SYNC) * PACKET != len(block):
            return self._feed_slowly(rest + data)
        self._rest = data[cut:]
        return block

    def _feed_slowly(self, data: bytes) -> bytes:
        """The same, where packets have to be searched or are not simply 188 bytes."""
        found: list[bytes | memoryview] = []
        at = 0
        while True:
            if not self.distance:
                at = self._search(data, at)
                if not self.distance:
                    break
            at = self._take(data, at, found)
            if self.distance:
                break
        self._rest = data[at:]
        # A single piece that is all of what came is given on as it is.
        return b"".join(found)

    def _search(self, data: bytes, at: int) -> int:
        """Where packets begin from ``at`` on, and sets `distance`; else what is still to be looked at."""
        # From here on there is too little to say of an offset that nothing starts there.
        undecided = max(at, len(data) - _RUN_SIZE + 1)
        run = _RUN.search(data, at)
        if run is None or run.start() > undecided:
            # What stands before the sync byte of the next packet may belong to it.
            start = max(at, undecided - max(_LEADS.values()))
        else:
            self.distance = _DISTANCES[(run.lastindex or 1) - 1]
            start = run.start() - _LEADS.get(self.distance, 0)
            if start < at:
                start += self.distance
        self.dropped += start - at
        return start

    def _take(self, data: bytes, at: int, found: list[bytes | memoryview]) -> int:
        """Add the packets from ``at`` on to ``found``; gives where they end, and clears `distance` if too early."""
        distance, lead = self.distance, _LEADS.get(self.distance, 0)
        count = (len(data) - at) // distance
        # What is left of the sync bytes begins with the first that is none.
        good = count - len(data[at + lead : at + count * distance : distance].lstrip(b"G"))
        end = at + good * distance
        if distance == PACKET:
            found.append(data[at:end])
        else:
            view = memoryview(data)
            found += [view[start : start + PACKET] for start in range(at + lead, end, distance)]
        if good < count:
            self.distance = 0
            self.losses += 1
        return end
