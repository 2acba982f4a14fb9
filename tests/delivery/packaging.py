"""What the tests of the packager share: streams fed at their own pace, and a viewer who reads every playlist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest
from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery import cutting
from iptvd.delivery.broadcast import Broadcast
from iptvd.delivery.packager import Packager
from iptvd.delivery.ring import Budget, Ring
from tests.doubles import result
from tests.simulators.looped import LoopedTs
from tests.simulators.media import SECONDS, Media

#: What the wall clock shows when the clock of a test shows 0.
EPOCH = 1_700_000_000.0
#: Seconds after which time stamps begin again.
WRAP_SECONDS = (1 << 33) / 90_000

#: When (seconds from the beginning), and what.
Timed = Iterable[tuple[float, bytes]]


def new_broadcast(clock: IReactorTime, span: float = 12.0) -> Broadcast:
    return Broadcast(Ring(span, Budget(10**9)), clock, 20.0)


def paced(
    data: bytes, file_seconds: int, seconds: float, position: float = 0.0, burst: float = 0.0
) -> Iterator[tuple[float, bytes]]:
    """So many seconds of a film that never ends, as a live origin sends it."""
    for due, packets in LoopedTs(data, file_seconds).play(position, burst, 1.0, 0):
        if due + burst >= seconds:
            return
        yield max(due, 0.0), packets


@frozen
class Row:
    """A segment as a playlist lists it."""

    sequence: int
    uri: str
    duration: float
    date: str
    discontinuity: bool
    discontinuities: int


@frozen
class Read:
    """A media playlist as a player reads it."""

    target: int
    sequence: int
    discontinuity_sequence: int
    independent: bool
    rows: tuple[Row, ...]

    @property
    def seconds(self) -> float:
        return sum(row.duration for row in self.rows)


def read(playlist: bytes) -> Read:
    """Read a playlist; an `AssertionError` where a player might stumble."""
    lines = playlist.decode().splitlines()
    assert lines[0] == "#EXTM3U"
    tags = {name: value for name, _, value in (line.partition(":") for line in lines if line.startswith("#EXT-X-"))}
    first = int(tags["#EXT-X-MEDIA-SEQUENCE"])
    breaks = int(tags.get("#EXT-X-DISCONTINUITY-SEQUENCE", "0"))
    rows: list[Row] = []
    before: dict[str, str] = {}
    discontinuities = breaks
    for line in lines[1:]:
        if line.startswith("#"):
            name, _, value = line.partition(":")
            before[name] = value
            continue
        broken = "#EXT-X-DISCONTINUITY" in before
        discontinuities += broken
        duration = float(before["#EXTINF"].rstrip(","))
        rows.append(
            Row(first + len(rows), line, duration, before["#EXT-X-PROGRAM-DATE-TIME"], broken, discontinuities)
        )
        before = {}
    target = int(tags["#EXT-X-TARGETDURATION"])
    assert all(int(row.duration + 0.5) <= target for row in rows), playlist
    return Read(target, first, breaks, "#EXT-X-INDEPENDENT-SEGMENTS" in tags, tuple(rows))


class Audience:
    """
    A viewer who asks for the playlist whenever something has come, and gets every segment.

    Holds each playlist to what RFC 8216 section 6.2.1 and 6.2.2 say of those that follow each other.
    """

    def __init__(self, packager: Packager) -> None:
        self.packager = packager
        self.playlists: list[Read] = []
        self.rows: dict[int, Row] = {}
        self.segments: dict[int, bytes] = {}

    @property
    def last(self) -> Read:
        return self.playlists[-1]

    def ask(self) -> None:
        now = read(result(self.packager.playlist()))
        if self.playlists:
            before = self.last
            if now == before:
                return
            assert now.target == before.target
            assert now.sequence >= before.sequence
            assert now.rows[-1].sequence > before.rows[-1].sequence
            assert now.independent <= before.independent
            assert now.sequence == before.sequence or now.seconds >= 3 * now.target
        self.playlists.append(now)
        for row in now.rows:
            known = self.rows.setdefault(row.sequence, row)
            assert known == row
            if row.sequence not in self.segments:
                segment = self.packager.segment(row.sequence)
                assert segment is not None
                data = b"".join(segment)
                assert len(data) == segment.size
                assert len(data) % 188 == 0
                self.segments[row.sequence] = data
        numbers = sorted(self.rows)
        assert all(later == earlier + 1 for earlier, later in pairwise(numbers))

    @property
    def seconds(self) -> float:
        """The duration of all segments together."""
        return sum(row.duration for row in self.rows.values())

    @property
    def bytes(self) -> bytes:
        """All segments, one after the other."""
        return b"".join(self.segments[number] for number in sorted(self.segments))


def play(broadcast: Broadcast, clock: Clock, timed: Timed, audience: Audience | None = None) -> None:
    """Feed a broadcast what comes when it comes, and let a viewer, if there is one, watch once there is a playlist."""
    begun = clock.seconds()
    looked = False
    for due, packets in timed:
        clock.advance(max(0.0, begun + due - clock.seconds()))
        broadcast.take(packets)
        if audience is not None and audience.packager.ready:
            audience.ask()
            looked = True
    broadcast.flush()
    clock.advance(0)
    if looked and audience is not None:
        audience.ask()


class Packaging(SynchronousTestCase):
    """A broadcast and what it takes to package it."""

    media: Media

    @pytest.fixture(autouse=True)
    def _media(self, media: Media) -> None:
        self.media = media

    def setUp(self) -> None:
        # A busy machine is no reason to do it in more turns.
        self.patch(cutting, "_SLICE", 60.0)
        self.clock = Clock()
        self.broadcast = new_broadcast(self.clock)
        self.addCleanup(self.broadcast.close, lambda viewer: None)
        self.closed: list[Packager] = []

    def packager(self, *, smooth: bool = False, **settings: float) -> Packager:
        def wall() -> float:
            return EPOCH + self.clock.seconds()

        def closed() -> None:
            self.closed.append(packager)

        packager = Packager(self.broadcast, self.clock, wall, closed, smooth=smooth, **settings)  # type: ignore[arg-type]
        self.addCleanup(packager.close)
        return packager

    def film(self, seconds: float, position: float = 0.0) -> Iterator[tuple[float, bytes]]:
        return paced(self.media.read("film.ts"), SECONDS, seconds, position)
