"""Sources of every form keep one broadcast supplied, whatever the channel is listed with."""

from __future__ import annotations

from itertools import permutations

from attrs import evolve

from iptvd.delivery.broadcast import Broadcast
from iptvd.delivery.feed import FeedState
from iptvd.delivery.opening import FoundPlaylist
from iptvd.delivery.ring import Budget, Ring
from iptvd.model import Channel, Source, SourceKind
from iptvd.protocols.mpegts import PACKET
from iptvd.protocols.sniff import Media
from tests.delivery.feeding import OTHER, SECOND_LENGTH, FeedTestCase
from tests.delivery.test_relay import CHANNEL
from tests.protocols.test_upstream import Tap
from tests.protocols.tsmaking import made_film

TS = Source(SourceKind.TS, url="http://origin.test/a")
HLS = Source(SourceKind.HLS, url="http://origin.test/b")
COMMAND = Source(SourceKind.HLS, command=("c",))


class FormsTests(FeedTestCase):
    def begin(self, *sources: Source, listed: Channel = CHANNEL) -> Tap:
        """Another broadcast with these sources, of which the first has played for two seconds."""
        self.feed.close()
        self.broadcast = Broadcast(Ring(12.0, Budget(10**9)), self.clock, 20.0)
        self.sources, self.origins.asked = list(zip("ab", sources, strict=True)), []
        self.feed = self.make(listed)
        tap = self.start()
        self.play(tap, made_film(seconds=2))
        return tap

    def test_another_form(self) -> None:
        """Whatever form the next source delivers in, and whatever the channel is listed with, it carries on."""
        for kind in (SourceKind.TS, SourceKind.HLS):
            for first, second in permutations((TS, HLS, COMMAND), 2):
                tap = self.begin(first, second, listed=evolve(CHANNEL, source_kind=kind))
                tap.finish()
                self.play(self.origins.taps[-1], made_film(seconds=4, program_map=OTHER, pmt_pid=0x20, first_pts=77))
                self.assertEqual((self.feed.source, self.feed.switches), ("b/1", 1))
                self.check_join(made_film(seconds=2))

    def test_bursts(self) -> None:
        """What a source that delivers in bursts has brought in advance is no silence while it lasts; then it is."""
        kind = SourceKind.TS
        for source in (Source(kind, command=("ffmpeg",)), Source(kind, url="http://origin.test/a")):
            self.broadcast = Broadcast(Ring(12.0, Budget(10**9)), self.clock, 20.0)
            self.sources, self.origins.asked = [("a", source), self.sources[-1]], []
            self.feed = self.make()
            tap = self.start()
            film = made_film(seconds=12)
            for start in range(0, len(film), 4 * SECOND_LENGTH // PACKET * PACKET):
                burst = film[start : start + 4 * SECOND_LENGTH // PACKET * PACKET]
                for at in range(0, len(burst), 20 * PACKET):
                    tap.deliver(burst[at : at + 20 * PACKET])
                    self.clock.advance(0.001)
                self.clock.pump([0.25] * 15)
                if source.command:
                    self.assertEqual((len(self.origins.asked), self.feed.state), (1, FeedState.STREAMING))
            self.clock.pump([0.25] * 10)
            self.assertEqual(self.origins.asked[1:2], ["b"])
            self.feed.close()

    def test_what_leads_tells_what_silence_is(self) -> None:
        """What is silence goes by the source that has taken over, not by that with which the channel began."""
        for first, second, fails in ((TS, HLS, False), (HLS, TS, True)):
            self.begin(first, second).finish()
            # Five seconds of it at once, and two of nothing.
            film = made_film(seconds=5, program_map=OTHER)
            for at in range(0, len(film), 20 * PACKET):
                self.origins.taps[-1].deliver(film[at : at + 20 * PACKET])
                self.clock.advance(0.001)
            self.assertEqual((self.feed.source, self.feed.state), ("b/1", FeedState.STREAMING))
            self.clock.pump([0.25] * 8)
            self.assertEqual(self.feed.state is FeedState.SWITCHING, fails)

    def test_a_playlist_in_disguise(self) -> None:
        """What turns out to be a playlist is told, unless it is to be made a stream of; that is told, too, then."""
        self.origins.script["a"] = [FoundPlaylist(), FoundPlaylist(), Media.TS]
        with self.assertRaises(FoundPlaylist):
            self.start()
        self.assertEqual((self.slots.total, self.feed.disguised), (0, False))
        self.feed = self.make()
        self.feed.follow_playlists()
        self.start()
        self.assertEqual((self.origins.asked, self.feed.source, self.feed.disguised), (["a"] * 3, "a/0", True))

    def test_a_backup_in_disguise(self) -> None:
        """A backup that turns out to be a playlist carries on all the same, and says nothing of the channel."""
        self.origins.script["b"] = [FoundPlaylist(), Media.TS]
        tap = self.start()
        self.play(tap, made_film(seconds=2))
        tap.finish()
        self.play(self.origins.taps[-1], made_film(seconds=2))
        self.assertEqual((self.feed.source, self.feed.disguised, self.slots.total), ("b/1", False, 1))
