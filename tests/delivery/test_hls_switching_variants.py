"""HLS that goes over to another source, with several playlists at once and with few connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from twisted.internet.defer import Deferred

from iptvd.delivery import hls_sessions, hls_switching
from iptvd.errors import UpstreamError
from iptvd.model import Outcome
from tests.delivery.hls_switching import APART, DOWN, MASTER, ONE, OTHER, TARGET, TWO, WORDS, SwitchingTestCase, live
from tests.delivery.test_hub import VIEWER
from tests.delivery.test_opening import response


class VariantTests(SwitchingTestCase):
    def several(self, master: bytes, *names: str) -> None:
        """Both sources have these playlists."""
        for host, begin in (("one.test", 1000), ("two.test", 2000)):
            self.give(f"{host}/index.m3u8", response(master))
            for name in names:
                self.give(f"{host}/{name}.m3u8", response(live(begin, prefix=f"{name}-")))

    def bring_down(self, *names: str) -> None:
        for name in ("index", *names):
            self.give(f"one.test/{name}.m3u8", DOWN)

    def test_each_in_its_place(self) -> None:
        """Each variant goes on with the one in its place, also one that was not asked for before, numbered alike."""
        self.several(MASTER, "low", "high")
        low, high = self.begin()
        end = self.read(high, seconds=0).end
        self.bring_down("low", "high")
        now = self.read(high)
        self.assertEqual((self.urls(now)[0], now.media_sequence), ("two.test/high-2003.ts", end))
        other = self.read(low, seconds=0)
        self.assertEqual((self.urls(other)[0], other.media_sequence), ("two.test/low-2003.ts", end))
        self.assertTrue(other.segments[0].discontinuity)
        self.assertEqual(len(self.switches), 1)

    def test_from_one_to_variants_and_back(self) -> None:
        """A source with one playlist is carried on by one of another's variants, and the other way round."""
        for first, second in ((ONE, TWO), (TWO, ONE)):
            self.setUp()
            self.several(MASTER, "low", "high")
            self.give(ONE, response(live(1000)) if first == ONE else response(MASTER))
            self.give(TWO, response(live(2000)) if first == TWO else response(MASTER))
            token = self.begin()[-1]
            end = self.read(token, seconds=0).end
            self.bring_down("low", "high")
            now = self.read(token)
            self.assertEqual(now.media_sequence, end, second)
            self.assertTrue(self.urls(now)[0].startswith("two.test/"))

    def test_sound_apart(self) -> None:
        """Sound that is apart goes on with the other source's sound, and what it does not have is not there."""
        self.several(APART, "sound", "words", "high")
        self.give(TWO, response(APART.replace(WORDS, b"")))
        sound, words, high = self.begin()
        ends = {token: self.read(token, seconds=0).end for token in (sound, words, high)}
        self.bring_down("sound", "words", "high")
        for token, name in ((sound, "sound"), (high, "high")):
            now = self.read(token)
            self.assertEqual((self.urls(now)[0], now.media_sequence), (f"two.test/{name}-2003.ts", ends[token]))
        self.assertEqual(self.failureResultOf(self.asking(words), UpstreamError).value.status, 404)
        self.assertIsNone(self.relay.playlist_at_once(words, VIEWER))

    def test_sound_that_is_not_apart(self) -> None:
        """Where the other source has its sound in the variant, the address of the sound leads there."""
        self.several(APART, "sound", "words", "high")
        self.give(TWO, response(b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhigh.m3u8\n"))
        sound, _, high = self.begin()
        for token in (sound, high):
            self.read(token, seconds=0)
        self.bring_down("sound", "high")
        self.assertEqual([self.urls(self.read(token))[0] for token in (sound, high)], ["two.test/high-2003.ts"] * 2)

    def test_what_can_be_missed(self) -> None:
        """That subtitles fail is no reason to leave a source."""
        self.several(APART, "sound", "words", "high")
        _, words, high = self.begin()
        self.read(high, seconds=0)
        self.give("one.test/words.m3u8", DOWN)
        self.failureResultOf(self.asking(words), UpstreamError)
        self.assertEqual(self.urls(self.read(high))[0], "one.test/high-1000.ts")

    def test_at_the_same_moment(self) -> None:
        """Picture and sound that are asked for at the same moment go over together, and one connection is held."""
        self.several(APART, "sound", "words", "high")
        sound, _, high = self.begin()
        for token in (sound, high):
            self.read(token, seconds=0)
        self.bring_down("sound", "high")
        self.clock.advance(TARGET)
        works = [Deferred.fromCoroutine(self.relay.playlist(token, "", VIEWER)) for token in (sound, high)]
        self.settle()
        urls = [self.urls(self.parsed(self.successResultOf(work)))[0] for work in works]
        self.assertEqual(urls, ["two.test/sound-2003.ts", "two.test/high-2003.ts"])
        self.assertEqual((self.used(), len(self.switches)), ([0, 1], 1))

    def test_late_from_the_former(self) -> None:
        """What still comes from the source that was left meanwhile is not taken for the new one's."""
        self.several(APART, "sound", "words", "high")
        sound, _, high = self.begin()
        ends = [self.read(token, seconds=0).end for token in (sound, high)]
        self.clock.advance(TARGET)
        self.give("one.test/sound.m3u8", None)
        work = self.asking(sound)
        late = self.network.connections[-1][1]
        self.bring_down("high")
        self.assertEqual(self.urls(self.read(high, seconds=0))[0], "two.test/high-2003.ts")
        late.dataReceived(response(live(1001, prefix="sound-")))
        self.settle()
        now = self.parsed(self.successResultOf(work))
        self.assertEqual((self.urls(now)[0], now.media_sequence), ("two.test/sound-2003.ts", ends[0]))
        self.assertEqual(len(self.switches), 1)

    def test_many_addresses(self) -> None:
        """What a player has had is remembered of so many addresses at most."""
        self.patch(hls_sessions, "ADDRESSES", 1)
        self.several(MASTER, "low", "high")
        for token in self.begin():
            self.read(token, seconds=0)
        (hls,) = self.relay._sessions
        self.assertEqual(list(hls.threads), ["http://one.test/high.m3u8"])


class SlotTests(SwitchingTestCase):
    @contextmanager
    def taken(self, provider: str) -> Iterator[None]:
        slot = self.slots.take(provider)
        assert slot is not None
        yield
        slot.release()

    def test_none_free(self) -> None:
        """A source without a connection to spare is passed over, and what there was is kept."""
        self.limits = {"p": 1, "q": 1}
        (token,) = self.begin()
        self.read(token, seconds=0)
        self.give(ONE, DOWN)
        self.clock.advance(TARGET)
        with self.taken("q"):
            self.failureResultOf(self.asking(token), UpstreamError)
            self.assertEqual(self.used(), [1, 1])
        self.assertEqual(self.urls(self.read(token, seconds=0))[0], "two.test/2004.ts")
        self.assertEqual(self.used(), [0, 1])

    def test_a_session_without_one(self) -> None:
        """A session whose connection somebody else has got goes on with a source that has one."""
        self.limits = {"p": 1}
        (token,) = self.begin()
        self.read(token, seconds=0)
        (hls,) = self.relay._sessions
        hls.let_go()
        with self.taken("p"):
            self.assertEqual(self.urls(self.read(token))[0], "two.test/2004.ts")
            self.given = self.given[:1]
            self.give(TWO, DOWN)
            self.clock.advance(TARGET)
            self.failureResultOf(self.asking(token), UpstreamError)

    def test_one_connection_for_both(self) -> None:
        """Where a provider has both sources and allows one connection, all viewers leave the one that fails."""
        self.limits = {"p": 1}
        self.given = [("p", source) for _, source in self.given]
        tokens = {viewer: self.begin(viewer)[0] for viewer in (VIEWER, OTHER)}
        for viewer, token in tokens.items():
            self.read(token, viewer, seconds=0)
        self.freeze(ONE)
        self.give(TWO, DOWN)
        for _ in range(4):
            for viewer, token in tokens.items():
                self.assertEqual(self.urls(self.read(token, viewer, TARGET / 2))[0], "one.test/1000.ts")
        self.assertEqual([hls.slot is not None for hls in self.relay._sessions], [True, True])
        self.clock.advance(5)
        self.give(TWO, response(live(2000)))
        for viewer, token in tokens.items():
            self.assertEqual(self.parsed(self.successResultOf(self.asking(token, viewer))).media_sequence, 1006)
        self.assertEqual((self.used(), len(self.switches)), ([1, 0], 1))
        for session in list(self.hub.sessions.values()):
            session.end(Outcome.ENDED_BY_OPERATOR)
        self.assertEqual(self.used(), [0, 0])

    def test_ended_meanwhile(self) -> None:
        """A session that ends while another source is tried for it leaves nothing."""
        work = self.trying()
        (session,) = self.hub.sessions.values()
        session.end(Outcome.ENDED_BY_OPERATOR)
        self.network.connections[-1][1].dataReceived(response(live(2000)))
        self.failureResultOf(work, UpstreamError)
        self.assertEqual((self.used(), self.switches), ([0, 0], []))

    def test_a_viewer_that_leaves(self) -> None:
        """A viewer that leaves while another source is tried for it keeps no second connection."""
        work = self.trying()
        self.assertEqual(self.used(), [1, 1])
        work.addErrback(lambda failure: None)
        work.cancel()
        self.assertEqual(self.used(), [1, 0])

    def test_at_the_end(self) -> None:
        """When its viewer has left, nothing is held of either source."""
        (token,) = self.begin()
        self.read(token, seconds=0)
        self.give(ONE, DOWN)
        self.read(token)
        self.clock.pump([1] * 40)
        self.assertEqual((self.used(), self.observer.events), ([0, 0], ["started", "viewer_left"]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_many_that_fail(self) -> None:
        """Of only so many sources it is remembered that they failed."""
        self.patch(hls_switching, "MOST_FAILING", 1)
        (token,) = self.begin()
        self.read(token, seconds=0)
        self.give(ONE, DOWN)
        self.give(TWO, DOWN)
        self.clock.advance(TARGET)
        self.failureResultOf(self.asking(token), UpstreamError)
        self.assertEqual(len(self.relay.switching._failing), 1)
