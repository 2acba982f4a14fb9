"""PES packets: where in transport packets they are, and what they begin with (ISO/IEC 13818-1 clause 2.4.3.6)."""

from __future__ import annotations

from attrs import frozen

from iptvd.protocols.mpegts import PACKET
from iptvd.protocols.timestamps import read_stamp, stamp_field

_START = b"\0\0\1"
#: Bytes before what `PES_packet_length` counts.
_LENGTH_END = 6
# Clause 2.4.3.7: the streams whose PES packets are all content after their length.
_HEADLESS = frozenset((0xBC, 0xBE, 0xBF, 0xF0, 0xF1, 0xF2, 0xF8, 0xFF))


@frozen
class PesHead:
    """
    What a PES packet begins with.

    :ivar size: bytes of all of it, 0 when it does not tell.
    :ivar pts: in 90 kHz, None when it has none.
    :ivar dts: the same; the PTS when it has none of its own.
    :ivar place: where in the block the PTS is.
    :ivar apart: whether it has a DTS of its own, right after the PTS.
    """

    size: int
    pts: int | None = None
    dts: int | None = None
    place: int = 0
    apart: bool = False


def payload_start(block: bytes, at: int) -> int:
    """Where in a block the payload of the packet at ``at`` begins; where the packet ends, when it has none."""
    control = block[at + 3]
    if not control & 0x10:
        return at + PACKET
    return min(at + 5 + block[at + 4], at + PACKET) if control & 0x20 else at + 4


def read_pes(block: bytes, at: int) -> PesHead | None:
    """
    What the PES packet begins with that begins with the payload of the packet at ``at``.

    None when none does (sections do not), or when its time stamps are not in this packet whole.
    """
    start, end = payload_start(block, at), at + PACKET
    if end - start < _LENGTH_END or block[start : start + 3] != _START:
        return None
    length = int.from_bytes(block[start + 4 : start + 6], "big")
    size = length and length + _LENGTH_END
    if block[start + 3] in _HEADLESS:
        return PesHead(size)
    if end - start < 9:
        return None
    flags, place = block[start + 7], start + 9
    if not flags & 0x80:
        return PesHead(size)
    apart = bool(flags & 0x40)
    if place + (10 if apart else 5) > end:
        return None
    pts = read_stamp(block, place)
    return PesHead(size, pts, read_stamp(block, place + 5) if apart else pts, place, apart)


def move_stamps(data: bytearray, head: PesHead, ticks: int) -> None:
    """Move the PTS and the DTS of a PES packet on by so many ticks of 90 kHz, in the block it was read from."""
    if head.pts is None or head.dts is None:
        return
    place = head.place
    data[place : place + 5] = stamp_field(head.pts + ticks, 3 if head.apart else 2)
    if head.apart:
        data[place + 5 : place + 10] = stamp_field(head.dts + ticks, 1)
