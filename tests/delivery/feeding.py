"""What tests of a feed and its parts share: origins that do as the test says, and a feed with a ring of its own."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.broadcast import Broadcast
from iptvd.delivery.feed import Feed, Timing
from iptvd.delivery.hlspull import HlsUpstream
from iptvd.delivery.opening import Opened
from iptvd.delivery.ring import Budget, Ring
from iptvd.delivery.slots import Slots
from iptvd.errors import UpstreamError
from iptvd.model import Channel, Outcome, Source, SourceKind
from iptvd.protocols.mpegts import PACKET
from iptvd.protocols.psi import ProgramMap, Stream
from iptvd.protocols.sniff import Media
from tests.delivery.test_relay import CHANNEL
from tests.doubles import result
from tests.protocols.test_upstream import Tap
from tests.protocols.tsmaking import continuity_errors, made_film, pid_of

OTHER = ProgramMap(7, 0x210, (Stream(0x210, 0x1B), Stream(0x211, 0x0F)))
SECOND_LENGTH = len(made_film(seconds=1))


class Origins:
    """
    Opens taps, or fails, as the test says; a list of results for each URL, the last again and again.

    :ivar alone: those that are read in a way that shares nothing with others.
    """

    def __init__(self) -> None:
        self.script: dict[str, list[Media | UpstreamError | Deferred[Opened]]] = {}
        self.asked: list[str] = []
        self.taps: list[Tap] = []
        self.alone: set[str] = set()

    async def open(self, source: Source, extension: str, part: Callable[[], None] = lambda: None) -> Opened:
        name = source.url[-1:] or source.command[0]
        self.asked.append(name)
        if name in self.alone:
            part()
        script = self.script.get(name, [Media.TS])
        now = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(now, UpstreamError):
            raise now
        if isinstance(now, Deferred):
            return await now
        return self.opened(now)

    def opened(self, media: Media = Media.TS) -> Opened:
        tap = Tap()
        self.taps.append(tap)
        return Opened(tap, 200, (), media)


class Pulled(HlsUpstream):
    """An HLS source whose playlists and segments nobody reads: the test delivers."""

    def deliver(self, data: bytes) -> None:
        self._deliver(data)


class FeedTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.origins = Origins()
        self.given_up: list[tuple[Outcome, str]] = []
        self.switched: list[tuple[str, str, str]] = []
        self.limits: dict[str, int] = {}
        self.slots = Slots(lambda provider: self.limits.get(provider, 0))
        self.broadcast = Broadcast(Ring(12.0, Budget(10**9)), self.clock, 20.0)
        self.sources = [(name, Source(SourceKind.TS, url=f"http://origin.test/{name}")) for name in "ab"]
        self.feed = self.make()
        self.addCleanup(self.feed.close)

    def make(self, listed: Channel = CHANNEL) -> Feed:
        async def sources(channel: Channel) -> list[tuple[str, Source]]:
            return list(self.sources)

        return Feed(
            listed,
            self.broadcast,
            sources,
            self.origins,
            self.slots,
            self.clock,
            self.clock.seconds,
            Timing(stall=5.0),
            lambda outcome, reason: self.given_up.append((outcome, reason)),
            lambda *what: self.switched.append(what),
        )

    def start(self) -> Tap:
        result(self.feed.start())
        return self.origins.taps[-1]

    def play(self, tap: Tap, film: bytes) -> None:
        """Deliver a film in real time, a second at a time."""
        for start in range(0, len(film), SECOND_LENGTH // 4 // PACKET * PACKET):
            tap.deliver(film[start : start + SECOND_LENGTH // 4 // PACKET * PACKET])
            self.clock.advance(0.25)

    def check_join(self, first: bytes) -> None:
        """What came after ``first`` is the same programme, without a gap in any counter, and its clock goes on."""
        output = self.output
        self.assertTrue(output.startswith(first))
        self.assertGreater(len(output), len(first) + SECOND_LENGTH)
        pids = {pid_of(output[at : at + PACKET]) for at in range(0, len(output), PACKET)} - {0x1FFF}
        self.assertEqual(pids, {pid_of(first[at : at + PACKET]) for at in range(0, len(first), PACKET)})
        self.assertEqual(continuity_errors(output), [])

    @property
    def output(self) -> bytes:
        """Everything that has gone to viewers."""
        self.broadcast.flush()
        ring = self.broadcast.ring
        return b"".join(block.data for block in ring.after(ring.first, ring.next - ring.first))
