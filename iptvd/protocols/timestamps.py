"""The clocks of a transport stream: PTS and DTS (ISO/IEC 13818-1 clause 2.4.3.7) and the PCR (clause 2.4.3.5)."""

from __future__ import annotations

from iptvd.protocols.mpegts import PACKET

#: PTS and DTS a second, and where they begin again.
TICKS = 90_000
WRAP = 1 << 33
#: PCR a second, and where it begins again.
PCR_TICKS = 27_000_000
PCR_WRAP = WRAP * 300

_HAS_ADAPTATION = bytes(bool(byte & 0x20) for byte in range(256))


def elapsed(earlier: int, later: int, wrap: int = WRAP) -> int:
    """
    Ticks from one time to another across the wrap, the shorter way around: negative when ``later`` comes before.

    :param wrap: `WRAP` for PTS and DTS, `PCR_WRAP` for the PCR.
    """
    return (later - earlier + wrap // 2) % wrap - wrap // 2


def read_stamp(data: bytes, at: int) -> int:
    """The PTS or DTS in the five bytes at ``at``."""
    bits = int.from_bytes(data[at : at + 5], "big")
    return bits >> 3 & 0x1_C000_0000 | bits >> 2 & 0x3FFF_8000 | bits >> 1 & 0x7FFF


def stamp_field(value: int, prefix: int = 2) -> bytes:
    """
    The five bytes of a PTS or DTS.

    :param prefix: 2 for a PTS alone, 3 for a PTS that a DTS follows, 1 for that DTS.
    """
    value %= WRAP
    bits = prefix << 36 | (value & 0x1_C000_0000) << 3 | (value & 0x3FFF_8000) << 2 | (value & 0x7FFF) << 1
    return (bits | 0x1_0001_0001).to_bytes(5, "big")


def read_pcr(block: bytes, at: int) -> int | None:
    """The PCR of the packet at ``at``, in 27 MHz, or None when it has none."""
    if not block[at + 3] & 0x20 or block[at + 4] < 7 or not block[at + 5] & 0x10:
        return None
    bits = int.from_bytes(block[at + 6 : at + 12], "big")
    return (bits >> 15) * 300 + (bits & 0x1FF)


def pcr_field(value: int) -> bytes:
    """The six bytes of a PCR, given in 27 MHz."""
    base, extension = divmod(value % PCR_WRAP, 300)
    return (base << 15 | 0x7E00 | extension).to_bytes(6, "big")


def pes_pts(data: bytes, start: int, end: int) -> int | None:
    """The PTS of the PES packet that begins at ``start``, or None when it has none before ``end``."""
    # Those streams whose PES packets have no such header have other ids (clause 2.4.3.7), and no pictures or sound.
    if end - start < 14 or data[start : start + 3] != b"\0\0\1" or not data[start + 7] & 0x80:
        return None
    return read_stamp(data, start + 9)


def _pcr_on(pid: int, block: bytes, at: int) -> int | None:
    ours = block[at + 2] == pid & 0xFF and block[at + 1] & 0x9F == pid >> 8
    return read_pcr(block, at) if ours else None


def first_pcr(block: bytes, pid: int) -> int | None:
    """The first PCR on a PID in a block of whole packets, in 27 MHz; damaged packets do not count."""
    adapted = block[3::PACKET].translate(_HAS_ADAPTATION)
    at = adapted.find(1)
    while at >= 0:
        pcr = _pcr_on(pid, block, at * PACKET)
        if pcr is not None:
            return pcr
        at = adapted.find(1, at + 1)
    return None


def last_pcr(block: bytes, pid: int, start: int = 0, end: int | None = None) -> int | None:
    """
    The last one.

    :param start: of the packet from which on it is looked for.
    :param end: of the last packet that is looked at; all of the block when it is left out.
    """
    adapted = block[start + 3 : end : PACKET].translate(_HAS_ADAPTATION)
    at = adapted.rfind(1)
    while at >= 0:
        pcr = _pcr_on(pid, block, start + at * PACKET)
        if pcr is not None:
            return pcr
        at = adapted.rfind(1, 0, at)
    return None
