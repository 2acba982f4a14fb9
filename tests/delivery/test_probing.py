"""A slow look at channels that nobody watches."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.opening import Ask, FoundPlaylist, Opened, Opener
from iptvd.delivery.probing import KEEP, LOOK, PATIENCE, SOONEST, Pace, Probing
from iptvd.delivery.reach import Reach
from iptvd.delivery.session import Face, Session, Viewer
from iptvd.delivery.slots import Slots
from iptvd.errors import UpstreamError
from iptvd.model import Channel, ChannelKind, Entry, Source, SourceKind
from iptvd.protocols.memory_upstream import MemoryUpstream
from iptvd.protocols.sniff import Media
from iptvd.store import RowsFile
from tests.doubles import folder_for, offload, sliced
from tests.web.building import entries, lineup_of


class Origins:
    """Opens what the test says, and knows what is open."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Callable[[], Any] = self.media
        self.open_now = 0
        self.first = Media.HLS

    def media(self) -> Opened:
        upstream = MemoryUpstream([b"x"])
        stop = upstream.stopProducing

        def stopped() -> None:
            self.open_now -= 1
            stop()

        upstream.stopProducing = stopped  # type: ignore[method-assign]
        self.open_now += 1
        return Opened(upstream, 200, ())

    async def open(self, source: Source, ask: Ask, extension: str) -> Opened:
        self.asked.append(source.url)
        answer = self.answer()
        if isinstance(answer, Exception):
            raise answer
        return cast(Opened, await answer if isinstance(answer, Deferred) else answer)

    async def open_url(self, source: Source, url: str, ask: Ask) -> Opened:
        return await self.open(source, ask, "")

    async def first_media(self, upstream: object) -> Media:
        return self.first


class ProbingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.origins = Origins()
        self.limit = 2
        self.slots = Slots(lambda provider: 1 if provider == "single" else self.limit)
        self.reach = Reach(self.clock.seconds)
        self.file = RowsFile(folder_for(self) / "channels.rows", "channels 1", sliced, offload)
        self.lineup = lineup_of(*entries(2))
        self.kind = SourceKind.TS
        self.sessions: list[Session] = []
        self.of = ["home"]

    def start(self, interval: float | None = 60.0) -> Probing:
        async def sources(channel: Channel) -> list[tuple[str, Source]]:
            return [(name, Source(self.kind, url=f"http://{name}.test/{channel.id}")) for name in self.of]

        probing = Probing(
            self.reach,
            self.file,
            cast(Opener, self.origins),
            self.slots,
            lambda: self.lineup.channels,
            sources,
            lambda: self.sessions,
            self.clock,
            Random(1),
        )
        probing.pace = Pace(interval)
        probing.startService()
        self.addCleanup(lambda: probing.running and probing.stopService())
        return probing

    def wait(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.clock.advance(1)

    def states(self) -> list[str]:
        return [self.reach.of(channel.id).state.value for channel in self.lineup.channels]

    def test_one_after_another(self) -> None:
        """Each channel is tried once in the time that is set, and nothing stays open."""
        self.start()
        self.wait(70)
        self.assertEqual(self.states(), ["ok", "ok"])
        self.assertEqual((len(self.origins.asked), self.origins.open_now, self.slots.total), (2, 0, 0))

    def test_never(self) -> None:
        """Where it is not asked for, no origin is."""
        self.start(None)
        self.wait(500)
        self.assertEqual(self.origins.asked, [])

    def test_slowly(self) -> None:
        """However many channels there are, some seconds lie between two."""
        self.lineup = lineup_of(*entries(1000))
        self.start(600.0)
        self.wait(300)
        self.assertTrue(300 / SOONEST / 2 <= len(self.origins.asked) <= 300 / (SOONEST * 0.9))

    def test_what_fails(self) -> None:
        """A channel that cannot be had fails with the reason; one that turns out to be a playlist is there."""
        self.origins.answer = lambda: UpstreamError(502, "the origin refuses access")
        self.start()
        self.wait(70)
        self.assertEqual(self.states(), ["failing", "failing"])
        self.assertEqual(self.reach.of(self.lineup.channels[0].id).reason, "the origin refuses access")
        self.origins.answer = FoundPlaylist
        self.wait(70)
        self.assertEqual(self.states(), ["ok", "ok"])

    def test_another_source(self) -> None:
        """A channel is there when any of its sources is; it does not fail while one of them could not be tried."""
        self.lineup = lineup_of(*entries(1))
        self.of = ["home", "other"]
        answers: list[object] = [UpstreamError(502, "it is gone")]
        self.origins.answer = lambda: answers.pop(0) if answers else self.origins.media()
        self.start()
        self.wait(70)
        self.assertEqual((self.states(), len(self.origins.asked)), (["ok"], 2))
        self.origins.answer = lambda: UpstreamError(502, "it is gone")
        self.of = ["home", "single"]
        self.wait(70)
        self.assertEqual(self.states(), ["ok"])
        self.of = ["home", "other"]
        self.wait(70)
        self.assertEqual(self.states(), ["failing"])

    def test_playlists(self) -> None:
        """Of HLS the playlist is looked at."""
        self.kind = SourceKind.HLS
        self.start()
        self.wait(70)
        self.assertEqual((self.states(), self.origins.open_now), (["ok", "ok"], 0))
        self.origins.first = Media.HTML
        self.wait(70)
        self.assertEqual((self.states(), self.origins.open_now), (["failing", "failing"], 0))
        self.origins.answer = lambda: Opened(None, 304, ())
        self.wait(70)
        self.assertEqual(self.states(), ["failing", "failing"])

    def test_an_origin_that_takes_too_long(self) -> None:
        """It is given up after a while, and its slot is free again."""
        self.origins.answer = lambda: Deferred()
        self.start()
        self.wait(40)
        self.assertEqual(self.slots.total, 1)
        self.wait(PATIENCE)
        self.assertEqual(self.reach.of(self.lineup.channels[0].id).reason, "the origin takes too long")

    def test_a_viewer_gets_the_slot(self) -> None:
        """Whoever wants the connection has it at once, and the channel is not said to fail."""
        self.origins.answer = lambda: Deferred()
        self.start()
        self.wait(40)
        other = self.slots.take("home")
        self.assertIsNotNone(self.slots.take("home", Viewer("127.0.0.1")))
        self.assertEqual((self.slots.total, self.states()), (2, ["unknown", "unknown"]))
        assert other is not None
        self.assertIsNone(self.slots.take("home"))

    def test_where_there_is_no_room(self) -> None:
        """A provider with one connection, or with only one that is free, is left alone."""
        self.limit = 1
        self.start()
        self.wait(70)
        self.limit = 2
        self.slots.take("home")
        self.wait(70)
        self.slots.take("home")
        self.wait(70)
        self.assertEqual((self.origins.asked, self.states()), ([], ["unknown", "unknown"]))

    def test_what_is_not_tried(self) -> None:
        """Films and what cannot be played are not, nor what was watched a short time ago."""
        film = Entry("f", "Film", ChannelKind.VOD, SourceKind.VOD, "mp4")
        odd = Entry("o", "Odd", unsupported="it is protected")
        self.lineup = lineup_of(film, odd, *entries(1))
        (_, _, seen) = self.lineup.channels
        self.sessions = [Session("s", seen, Viewer("127.0.0.1"), Face.TS, 0.0, 1000)]
        self.start(120.0)
        self.wait(300)
        self.assertEqual((self.origins.asked, self.states()), ([], ["unknown", "unknown", "ok"]))
        self.assertGreaterEqual(self.reach.of(seen.id).seen or 0, 300 - LOOK)

    def test_over_a_restart(self) -> None:
        """What is known is on disk after a while and at the end, and there again at the start."""
        self.start()
        self.wait(KEEP + 1)
        self.assertTrue(self.file.path.exists())
        self.file.path.unlink()
        self.start().stopService()
        self.assertTrue(self.file.path.exists())
        self.reach = Reach(self.clock.seconds)
        self.start()
        self.assertEqual(self.states(), ["ok", "ok"])

    def test_a_damaged_file(self) -> None:
        """It is set aside, and everything is unknown."""
        self.file.path.write_text("damaged")
        self.start()
        self.assertEqual(self.states(), ["unknown", "unknown"])
        self.assertTrue(self.file.path.with_name("channels.rows.damaged").exists())

    def test_stopped_in_the_middle(self) -> None:
        """Nothing is left of a look that was under way."""
        self.origins.answer = lambda: Deferred()
        probing = self.start()
        self.wait(40)
        probing.stopService()
        self.assertEqual((self.slots.total, self.clock.getDelayedCalls()), (0, []))
