"""Sessions of HLS: how long they go on, what they remember, and when they are over."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery import hls_sessions
from iptvd.delivery.hls_sessions import (
    AUDIO,
    FIRST_IDLE,
    IDLE_TARGETS,
    LEAST_IDLE,
    RELOAD_TARGETS,
    SLACK,
    VARIANT,
    HlsSession,
    HlsSessions,
    Supply,
    Thread,
    end_unserved,
    supplies_of,
)
from iptvd.delivery.opening import Ask
from iptvd.delivery.session import Face, Session, Viewer
from iptvd.delivery.slots import Slots
from iptvd.errors import LimitError, UpstreamError
from iptvd.model import Outcome, Source, SourceKind
from iptvd.protocols.hls_seam import End, Seam
from iptvd.protocols.m3u8 import rewrite
from tests.delivery.test_hls import HlsTestCase, tokens_in
from tests.delivery.test_hub import VIEWER
from tests.delivery.test_opening import response
from tests.delivery.test_relay import CHANNEL

TARGET = 6
OTHER = Viewer("192.168.1.3")


def supply(place: int = 0, provider: str = "p") -> Supply:
    return Supply(Source(SourceKind.HLS, url=f"http://{provider}.test/{place}.m3u8"), provider, place, place)


def session(name: str = "s", viewer: Viewer = VIEWER, channel_id: int = CHANNEL.id) -> Session:
    return Session(name, evolve(CHANNEL, id=channel_id), viewer, Face.HLS, 0.0)


def thread(of: Supply, seam: Seam | None = None) -> Thread:
    return Thread(of.name, End(7, 0), End(7, 0), False, seam)


class SupplyTests(SynchronousTestCase):
    def test_named_alike(self) -> None:
        """A source has the same name after a new resolution, and no two of a channel's have the same."""
        first, second = (
            supplies_of(
                CHANNEL, [(name, Source(SourceKind.HLS, url=f"http://x.test/{at}")) for name in ("p", "p", "q")]
            )
            for at in (1, 2)
        )
        self.assertEqual([each.name for each in first], [each.name for each in second])
        self.assertEqual(len({each.name for each in first}), 3)
        self.assertEqual([str(each) for each in first], ["p/0", "p/1", "q/2"])


class HlsSessionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.hls = HlsSession(session(), supply())

    def take_in(self, text: str) -> None:
        self.hls.take_in(rewrite(f"#EXTM3U\n{text}\n".encode(), "http://x.test/", lambda *_: "x"))

    def test_how_long_it_lasts(self) -> None:
        """A player's silence is measured by its playlist's target duration, with a least time."""
        self.take_in("#EXT-X-VERSION:3")
        self.assertEqual((self.hls.idle, self.hls.life), (FIRST_IDLE, LEAST_IDLE))
        self.take_in("#EXT-X-TARGETDURATION:10")
        self.assertEqual((self.hls.idle, self.hls.rhythm), (IDLE_TARGETS * 10, 10 + SLACK))
        self.assertEqual(self.hls.life, RELOAD_TARGETS * 10)
        self.take_in("#EXT-X-TARGETDURATION:1\n#EXT-X-ENDLIST")
        self.assertEqual((self.hls.idle, self.hls.rhythm), (LEAST_IDLE, 1 + SLACK))
        self.assertEqual(self.hls.life, 2 * LEAST_IDLE)

    def test_variables(self) -> None:
        """What a playlist defines is known to those that it leads to."""
        self.take_in('#EXT-X-DEFINE:NAME="a",VALUE="b"')
        self.take_in("#EXT-X-TARGETDURATION:1")
        self.assertEqual(self.hls.variables, {"a": "b"})

    def test_its_connection(self) -> None:
        """It has one connection, which goes back once, at its end or before."""
        slots = Slots(lambda provider: 1)
        for early in (False, True):
            self.setUp()
            slot = slots.take("p")
            assert slot is not None
            self.hls.hold(slot)
            self.assertEqual(slots.used("p"), 1)
            if early:
                self.hls.let_go()
                self.assertEqual(slots.used("p"), 0)
            self.hls.session.end(Outcome.VIEWER_LEFT)
            self.assertEqual(slots.used("p"), 0)
        slot = slots.take("p")
        assert slot is not None
        self.hls.hold(slot)
        self.assertEqual(slots.used("p"), 0)

    def test_another_source(self) -> None:
        """With another source it has that one's connection and playlists, and its old tokens still mean the first."""
        slots = Slots(lambda provider: 0)
        first, second = slots.take("p"), slots.take("q")
        assert first is not None
        assert second is not None
        self.hls.hold(first)
        self.hls.remember_tokens("http://p.test/0.m3u8", {"link": b"token"})
        former, trial = self.hls.supply, HlsSession(self.hls.session, supply(1, "q"), slot=second)
        self.hls.go_on_with(trial)
        self.assertEqual((slots.used("p"), slots.used("q"), trial.slot), (0, 1, None))
        self.assertEqual((self.hls.known[former.name], self.hls.tokens), (former, {}))
        self.hls.session.end(Outcome.VIEWER_LEFT)
        self.assertEqual(slots.total, 0)

    def test_whose_numbers(self) -> None:
        """A player's numbers are the source's own until another source carries on."""
        address = "http://p.test/0.m3u8"
        self.assertTrue(self.hls.is_plain(address))
        self.hls.remember(address, thread(self.hls.supply))
        self.assertTrue(self.hls.is_plain(address))
        self.hls.remember(address, thread(supply(1, "q")))
        self.assertFalse(self.hls.is_plain(address))
        self.hls.seam = Seam(1, 0, 7, 1)
        self.assertFalse(self.hls.is_plain("http://p.test/other.m3u8"))
        self.hls.remember(address, thread(self.hls.supply, self.hls.seam))
        self.assertFalse(self.hls.is_plain(address))

    def test_bounded(self) -> None:
        """Of only so many playlists tokens are remembered, and of only so many addresses what was had there."""
        self.patch(hls_sessions, "PLAYLISTS", 2)
        self.patch(hls_sessions, "ADDRESSES", 2)
        for name in ("a", "b", "a", "c"):
            self.hls.remember_tokens(name, {})
            self.hls.remember(name, thread(self.hls.supply))
        self.assertEqual((list(self.hls.tokens), list(self.hls.threads)), (["b", "c"], ["b", "c"]))

    def test_taken_up_again(self) -> None:
        """A session that is taken up again goes on where the former was, by its source's addresses if it has that."""
        self.hls.leads_to({"http://p.test/low": VARIANT})
        self.hls.remember("http://p.test/low", thread(self.hls.supply))
        for later, routes in ((supply(), self.hls.routes), (supply(1, "q"), {})):
            again = HlsSession(session(), later)
            again.resume(self.hls)
            self.assertEqual((again.threads, again.routes), (self.hls.threads, routes))

    def test_where_playlists_are(self) -> None:
        """Each address leads to the playlist in its place, to what is most alike, or nowhere."""
        self.hls.leads_to({"a/low": VARIANT, "a/high": VARIANT, "a/sound": AUDIO, "a/words": "SUBTITLES"})
        self.hls.leads_to({"b/1": VARIANT, "b/2": VARIANT, "b/x": AUDIO})
        self.assertEqual([self.hls.route(f"a/{name}") for name in ("low", "high", "sound")], ["b/1", "b/2", "b/x"])
        self.assertEqual((self.hls.route("a/words"), self.hls.route("c/unknown")), ("", "c/unknown"))
        self.hls.leads_to({"c/9/2": VARIANT, "c/9/1": VARIANT, "c/3": VARIANT})
        self.assertEqual([self.hls.route(f"a/{name}") for name in ("low", "high")], ["c/9/1", "c/9/2"])
        self.assertIn(self.hls.route("a/sound"), ("c/9/2", "c/9/1", "c/3"))

    def test_after_a_restart(self) -> None:
        """A playlist of before a restart is taken for what it is most alike to."""
        self.hls.routes["old/sound.m3u8"] = "old/sound.m3u8"
        self.hls.leads_to({"new/high.m3u8": VARIANT, "new/sound.m3u8": AUDIO})
        self.assertEqual(
            (self.hls.route("old/sound.m3u8"), self.hls.kinds), ("new/sound.m3u8", {"old/sound.m3u8": AUDIO})
        )


class UnservedTests(SynchronousTestCase):
    def test_how_it_ended(self) -> None:
        """A session in which nothing was given ends by what was in the way: the sources, a limit, or its viewer."""
        for error, outcome, reason in (
            (UpstreamError(502, "it is down"), Outcome.EXHAUSTED, "it is down"),
            (LimitError("all are in use"), Outcome.REFUSED, "all are in use"),
            (CancelledError(), Outcome.VIEWER_LEFT, ""),
        ):
            ended = session()
            end_unserved(ended, error)
            self.assertEqual((ended.outcome, ended.reason), (outcome, reason))


class HlsSessionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.sessions = HlsSessions(self.clock)

    def begin(self, name: str = "s", viewer: Viewer = VIEWER, provider: str = "p", channel_id: int = 1) -> HlsSession:
        hls = HlsSession(session(name, viewer, channel_id), supply(0, provider))
        self.sessions.heard_of(hls)
        return hls

    def names(self) -> list[str]:
        return [hls.session.id for hls in self.sessions]

    def test_silence(self) -> None:
        """A session ends when nothing is asked for in a while, and not as long as something is on its way."""
        hls = self.begin()
        self.assertIn("s", self.sessions)
        self.assertIs(self.sessions.get("s"), hls)
        self.clock.advance(FIRST_IDLE - 1)
        self.sessions.heard_of(hls)
        self.clock.advance(FIRST_IDLE - 1)
        hls.bodies = 1
        self.clock.advance(1)
        self.clock.advance(FIRST_IDLE)
        self.assertIsNone(hls.session.outcome)
        hls.bodies = 0
        self.clock.advance(FIRST_IDLE)
        self.assertIs(hls.session.outcome, Outcome.VIEWER_LEFT)
        self.assertEqual((self.names(), self.sessions.get("s"), self.clock.getDelayedCalls()), ([], None, []))

    def test_ended_by_others(self) -> None:
        """A session that was ended is known no more, and nothing is left of it."""
        self.begin().session.end(Outcome.ENDED_BY_OPERATOR)
        self.assertEqual((self.names(), self.clock.getDelayedCalls()), ([], []))

    def test_too_late(self) -> None:
        """What was still being got for a session that has ended does not bring it back."""
        hls = self.begin()
        hls.session.end(Outcome.ENDED_BY_OPERATOR)
        self.sessions.heard_of(hls)
        self.sessions.followed(hls)
        self.assertEqual((self.names(), self.clock.getDelayedCalls()), ([], []))

    def test_given_up(self) -> None:
        """A connection is wanted: only this viewer's session that has fallen silent, with that provider, is ended."""
        hls = self.begin()
        others = [self.begin("t", OTHER), self.begin("u", provider="q")]
        hls.bodies = 1
        self.clock.advance(LEAST_IDLE)
        self.assertFalse(self.sessions.give_up("p", VIEWER))
        hls.bodies = 0
        for each in (hls, *others):
            self.sessions.heard_of(each)
        self.clock.advance(LEAST_IDLE - 1)
        self.assertFalse(self.sessions.give_up("p", VIEWER))
        self.clock.advance(1)
        self.assertFalse(self.sessions.give_up("p", None))
        self.assertTrue(self.sessions.give_up("p", VIEWER))
        self.assertEqual(self.names(), ["t", "u"])
        self.assertIs(hls.session.outcome, Outcome.VIEWER_LEFT)

    def test_opened_anew(self) -> None:
        """What a viewer has opened and not followed ends when it opens the same channel anew."""
        self.sessions.followed(self.begin("followed"))
        self.begin("looked at")
        self.begin("another's", OTHER)
        self.begin("of another channel", channel_id=2)
        self.sessions.end_unfollowed(1, VIEWER)
        self.assertEqual(self.names(), ["followed", "another's", "of another channel"])
        self.sessions.end_unfollowed(1, VIEWER)
        self.assertEqual(len(self.names()), 3)

    def test_remembered(self) -> None:
        """What a session had is remembered for a while after its end if it went over to another source; once."""
        self.patch(hls_sessions, "FORMER", 2)
        plain = self.begin("plain")
        plain.remember("a", thread(plain.supply))
        others = [self.begin(name) for name in ("1", "2", "3")]
        for hls in others:
            hls.remember("a", thread(hls.supply, Seam(1, 0, 7, 1)))
        for hls in (plain, *others):
            hls.session.end(Outcome.VIEWER_LEFT)
        found = {name: self.sessions.former(name) for name in ("plain", "1", "2", "3")}
        self.assertEqual(found, {"plain": None, "1": None, "2": others[1], "3": others[2]})
        self.assertIsNone(self.sessions.former("2"))


class EndedMeanwhileTests(HlsTestCase):
    def only(self) -> Session:
        (found,) = self.hub.sessions.values()
        return found

    def test_a_playlist(self) -> None:
        """A viewer whose session is ended while its playlist is on its way is told so, and nothing goes on for it."""
        (token,) = tokens_in(self.open())
        self.clock.advance(TARGET)
        work = Deferred.fromCoroutine(self.relay.playlist(token, "", VIEWER))
        self.only().end(Outcome.ENDED_BY_OPERATOR, "ended by the operator")
        self.answer(response(b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\ns1.ts\n"))
        self.assertIn("by the operator", str(self.failureResultOf(work, LimitError).value))
        self.assertEqual((list(self.relay._sessions), self.slots.total), ([], 0))

    def test_a_segment(self) -> None:
        """Nor is a segment asked for that waited for its source to be resolved."""
        *_, token = self.play()
        self.relay = self.start()
        self.given = [("q", self.given[0][1])]
        waiting: list[Deferred[None]] = []

        def resolving() -> Deferred[None] | None:
            # The session is taken up at once; where the segment's own source is takes longer.
            if not self.hub.sessions:
                return None
            waiting.append(Deferred())
            return waiting[-1]

        self.resolving = resolving
        asked = len(self.network.connections)
        work = Deferred.fromCoroutine(self.relay.content(token, None, Ask(), VIEWER))
        self.only().end(Outcome.ENDED_BY_OPERATOR)
        waiting[0].callback(None)
        self.failureResultOf(work, LimitError)
        self.assertEqual((len(self.network.connections), list(self.relay._sessions)), (asked, []))
