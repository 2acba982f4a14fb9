"""A switch from one stream to another as tests see it: made, and then looked at packet by packet."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from iptvd.protocols.ending import Ending
from iptvd.protocols.joins import Follower
from iptvd.protocols.pes import read_pes
from iptvd.protocols.timestamps import read_pcr
from iptvd.protocols.translation import Translator, read_ending
from tests.protocols.tsmaking import blocks, each_packet, pid_of

#: Bytes that are looked at for how a stream ended.
TAIL = 10_000 * 188


@frozen
class Seen:
    """One packet, as far as its time and its place matter."""

    pid: int
    counter: int
    starts: bool
    payload: bool
    breaks: bool
    pts: int | None
    dts: int | None
    pcr: int | None


def seen(data: bytes) -> list[Seen]:
    """The packets of a stream."""
    found = []
    for one in each_packet(data):
        pes = read_pes(one, 0) if one[1] & 0x40 else None
        found.append(
            Seen(
                pid_of(one),
                one[3] & 0x0F,
                bool(one[1] & 0x40),
                bool(one[3] & 0x10),
                bool(one[3] & 0x20 and one[4] and one[5] & 0x80),
                pes.pts if pes is not None else None,
                pes.dts if pes is not None else None,
                read_pcr(one, 0),
            )
        )
    return found


def stamps(pid: int, data: bytes) -> list[int]:
    """The DTS of one PID's PES packets."""
    return [one.dts for one in seen(data) if one.pid == pid and one.dts is not None]


def breaks(data: bytes) -> list[tuple[int, int]]:
    """PID and number of each packet whose counter does not go on from the one before, and that does not say so."""
    last: dict[int, int] = {}
    found = []
    for number, one in enumerate(seen(data)):
        expected = (last.get(one.pid, one.counter - one.payload) + one.payload) % 16
        if one.pid != 0x1FFF and not one.breaks and one.counter != expected:
            found.append((one.pid, number))
        last[one.pid] = one.counter
    return found


def ending_of(head: bytes) -> Ending:
    """How a stream ended, which has to be known."""
    ending = read_ending([head[-TAIL:]])
    assert ending is not None
    return ending


def first_join(source: bytes, after: int = 0) -> tuple[Follower, int]:
    """Where a viewer can begin from an offset on, and a follower that has seen the source up to there."""
    at = next(join.offset for join in Follower().scan(source) if join.offset >= after)
    follower = Follower()
    follower.scan(source[:at])
    return follower, at


@frozen
class Switch:
    """
    A switch that was made.

    :ivar head: the old source up to its end.
    :ivar source: the new one from where it was joined.
    :ivar tail: what it was translated to.
    """

    head: bytes
    source: bytes
    tail: bytes
    ending: Ending
    translator: Translator

    @property
    def whole(self) -> bytes:
        """What a viewer gets."""
        return self.head + self.tail


def switch(head: bytes, source: bytes, after: int = 0, counts: Iterable[int] = (7,)) -> Switch:
    """
    Switch from the end of one stream to another.

    :param after: the offset from which on the new one is joined.
    :param counts: packets of the blocks in which it comes.
    """
    ending = ending_of(head)
    follower, at = first_join(source, after)
    assert follower.program is not None
    translator = Translator(ending, follower.program, follower.pmt_pid)
    tail = b"".join(map(translator.translate, blocks(source[at:], counts)))
    return Switch(head, source[at:], tail, ending, translator)
