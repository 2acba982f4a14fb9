"""Whether a coded picture can be decoded without those before it, by the first start codes of its PES packet."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import frozen

_KEY, _NOT_KEY = 1, 2


@frozen
class Rule:
    """
    How a codec tells.

    :ivar offset: which byte after the start code names what follows.
    :ivar verdicts: for each value of that byte: 0 go on to the next start code, 1 a key picture, 2 another picture.
    """

    offset: int
    verdicts: bytes


def _rule(offset: int, name: Callable[[int], int], key: Iterable[int], other: Iterable[int]) -> Rule:
    keys, others = frozenset(key), frozenset(other)
    named = map(name, range(256))
    return Rule(offset, bytes(_KEY if it in keys else _NOT_KEY if it in others else 0 for it in named))


def _whole(byte: int) -> int:
    return byte


# Parameter sets count as well as the picture itself: they are repeated where decoding may begin, also where that is at
# an open group of pictures.
_H264 = _rule(0, lambda byte: byte & 0x1F, (5, 7), (1, 2, 3, 4))  # ISO/IEC 14496-10 table 7-1: IDR, SPS; slices
_HEVC = _rule(0, lambda byte: byte >> 1 & 0x3F, (*range(16, 22), 32, 33), range(10))  # ISO/IEC 23008-2 table 7-1
_VVC = _rule(1, lambda byte: byte >> 3, (7, 8, 9, 14, 15), range(4))  # ISO/IEC 23090-3 table 5
_MPEG2 = _rule(0, _whole, (0xB3,), (0x00,))  # ISO/IEC 13818-2 table 6-1: sequence header; picture
_MPEG4 = _rule(0, _whole, (0xB0, *range(0x20, 0x30)), (0xB6,))  # ISO/IEC 14496-2 table 6-3: VOS, VOL; VOP
_AVS = _rule(0, _whole, (0xB0,), (0xB3, 0xB6))  # GB/T 20090.2: sequence; pictures
_VC1 = _rule(0, _whole, (0x0F,), (0x0D,))  # SMPTE 421M annex E: sequence; frame

#: By the name of the codec as in `stream_types.codec`. What is missing has no start codes, or key pictures only.
RULES = {
    "mpeg1video": _MPEG2,
    "mpeg2video": _MPEG2,
    "mpeg4": _MPEG4,
    "h264": _H264,
    "hevc": _HEVC,
    "vvc": _VVC,
    "cavs": _AVS,
    "avs2": _AVS,
    "avs3": _AVS,
    "vc1": _VC1,
}


def shows_key_picture(pes: bytes, rule: Rule | None) -> bool | None:
    """
    Whether the PES packet that starts with ``pes`` begins with a key picture; None when more of it is needed to tell.

    A scrambled one is none; without a rule any picture is one.
    """
    if rule is None:
        return True
    if len(pes) < 9:
        return None
    if not pes.startswith(b"\0\0\1") or pes[6] & 0x30:
        return False
    last = len(pes) - 4 - rule.offset
    at = pes.find(b"\0\0\1", 9 + pes[8])
    while 0 <= at <= last:
        verdict = rule.verdicts[pes[at + 3 + rule.offset]]
        if verdict:
            return verdict == _KEY
        at = pes.find(b"\0\0\1", at + 3)
    return None
