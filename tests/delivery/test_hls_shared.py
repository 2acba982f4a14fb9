"""What viewers of one HLS channel share: playlists, segments, the provider's connection; and for how long."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred

from iptvd.delivery import hls_playlists, template
from iptvd.delivery.hls_sessions import PLAYLISTS
from iptvd.delivery.opening import Ask
from iptvd.delivery.session import Viewer
from iptvd.errors import LimitError, TokenError
from iptvd.model import Outcome
from tests.delivery.test_hls import MULTI, HlsTestCase, tokens_in
from tests.delivery.test_hub import VIEWER
from tests.delivery.test_opening import response
from tests.protocols.test_upstream import Gathered

OTHER = Viewer("192.168.1.3")
BODY = b"G" * 188
TARGET = 6


def live(first: int, *names: str, more: str = "") -> bytes:
    lines = ["#EXTM3U", f"#EXT-X-TARGETDURATION:{TARGET}", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
    for name in names:
        lines += [f"#EXTINF:{TARGET},", name]
    return "\n".join([*lines, more, ""]).encode()


class SharedTestCase(HlsTestCase):
    def media(self, body: bytes, viewer: Viewer = VIEWER) -> str:
        """Open the channel; the token of its media playlist, which is there."""
        (token,) = tokens_in(self.open(body, viewer))
        self.playlist(token, body)
        return token

    def reload(self, token: str, body: bytes, seconds: float = TARGET / 2) -> list[str]:
        """Wait until the playlist may be asked for again; what is in it then."""
        self.clock.advance(seconds)
        return tokens_in(self.playlist(token, body))

    def begin(self, token: str) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.relay.content(token, None, Ask(), VIEWER))

    def take(self, token: str, answer: bytes = b"") -> bytes:
        """Have a segment, from the origin where there is an answer."""
        work = self.begin(token)
        if answer:
            self.answer(response(answer))
        _, opened, over = self.successResultOf(work)
        gathered = Gathered()
        opened.upstream.attach(gathered)
        over(Outcome.COMPLETED, "")
        return gathered.data

    def requests(self) -> int:
        return len(self.network.connections)


class PlaylistTests(SharedTestCase):
    def test_worked_out_once(self) -> None:
        """However many viewers ask for a version of a playlist, it is read once, and each gets tokens of its own."""
        drafts: list[object] = []
        drafting = template.Drafting

        def counted(*arguments: Any) -> Any:
            drafts.append(arguments)
            return drafting(*arguments)

        self.patch(hls_playlists, "Drafting", counted)
        media = live(0, "a.ts", "b.ts")
        tokens = [self.media(media, Viewer(f"192.168.1.{number}")) for number in range(10)]
        bodies = {self.playlist(token) for token in tokens}
        self.assertEqual((len(drafts), len(bodies), self.requests()), (1, 10, 1))
        self.reload(tokens[0], media)
        self.assertEqual((len(drafts), self.requests()), (2, 2))

    def test_the_same_address(self) -> None:
        """A segment has the same address in each version of a playlist, and after a restart."""
        token = self.media(live(0, "a.ts", "b.ts"))
        before = tokens_in(self.playlist(token))
        after = self.reload(token, live(1, "b.ts", "c.ts"))
        self.assertEqual((before[1], len({*before, *after})), (after[0], 3))
        self.relay = self.start()
        self.assertEqual(tokens_in(self.playlist(token, live(1, "b.ts", "c.ts"))), after)

    def test_many_playlists(self) -> None:
        """A viewer may have any number of playlists in turn; only of some are the tokens remembered."""
        lines = "".join(f"#EXT-X-STREAM-INF:BANDWIDTH={n}\n{n}.m3u8\n" for n in range(1, PLAYLISTS + 3))
        tokens = tokens_in(self.open(b"#EXTM3U\n" + lines.encode()))
        for _ in range(2):
            for number, token in enumerate(tokens):
                found = self.reload(token, live(number, f"{number}.ts"), seconds=1)
                self.assertEqual(len(found), 1)
        (hls,) = self.relay._sessions
        self.assertEqual(len(hls.tokens), PLAYLISTS)

    def test_at_once(self) -> None:
        """A playlist that is there and fresh is had without waiting, the same as with it, and counts as a request."""
        media = live(0, "a.ts")
        token = self.media(media)
        self.assertEqual(self.relay.playlist_at_once(token, VIEWER), self.playlist(token))
        self.clock.advance(TARGET / 2)
        self.assertIsNone(self.relay.playlist_at_once(token, VIEWER))
        for _ in range(10):
            self.reload(token, media, TARGET)
            self.clock.advance(1)
            self.assertIsNotNone(self.relay.playlist_at_once(token, VIEWER))
        self.assertEqual(self.observer.events, ["started"])
        self.clock.advance(2 * TARGET)
        self.assertEqual(self.observer.events, ["started", "viewer_left"])
        self.assertIsNone(self.relay.playlist_at_once(token, VIEWER))

    def test_not_at_once(self) -> None:
        """What is forged, of another sort or of a session that is over is never had at once."""
        key_and_segment = self.play()
        (token,) = tokens_in(self.open(viewer=OTHER))
        for bad in (*key_and_segment, token[:-1], "x", ""):
            self.assertIsNone(self.relay.playlist_at_once(bad, VIEWER))
        for bad in (token, *key_and_segment, "x"):
            self.assertIsNone(self.relay.content_at_once(bad, VIEWER))
        self.relay = self.start()
        self.assertIsNone(self.relay.playlist_at_once(token, VIEWER))

    def test_at_once_with_variants(self) -> None:
        """A playlist that depends on the variables of another is had at once by those who have these."""
        (token,) = tokens_in(self.open(MULTI))
        media = b'#EXTM3U\n#EXT-X-DEFINE:IMPORT="v"\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n{$v}.ts\n'
        body = self.playlist(token, media)
        self.assertEqual(self.relay.playlist_at_once(token, VIEWER), body)


class SegmentTests(SharedTestCase):
    def test_at_once(self) -> None:
        """A segment that is there is had without waiting; as long as it is being sent its viewer is not idle."""
        token = self.media(live(0, "a.ts"))
        (segment,) = tokens_in(self.playlist(token))
        self.assertIsNone(self.relay.content_at_once(segment, VIEWER))
        self.take(segment, BODY)
        kept = self.relay.content_at_once(segment, VIEWER)
        assert kept is not None
        self.assertEqual((b"".join(kept.entry.body.blocks), kept.session.viewer), (BODY, VIEWER))
        over = kept.begin()
        self.clock.pump([TARGET] * 10)
        self.assertEqual((self.observer.events, b"".join(kept.entry.body.blocks)), (["started"], BODY))
        over()
        self.clock.pump([1] * (2 * TARGET))
        self.assertEqual(self.observer.events, ["started", "viewer_left"])
        over = kept.begin()
        over()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_of_another_user(self) -> None:
        """What a user began is for no other user: neither at once nor by the long way."""
        token, other = self.media(live(0, "a.ts")), evolve(VIEWER, user="bob")
        (segment,) = tokens_in(self.playlist(token))
        self.take(segment, BODY)
        for at_once, one in ((self.relay.playlist_at_once, token), (self.relay.content_at_once, segment)):
            self.assertIsNone(at_once(one, other))
            self.assertIsNotNone(at_once(one, VIEWER))
        for work in (self.relay.playlist(token, "", other), self.relay.content(segment, None, Ask(), other)):
            self.failureResultOf(Deferred.fromCoroutine(work), TokenError)

    def test_no_longer_than_its_playlist(self) -> None:
        """A segment is asked for once while its playlist names it, and anew when no player can know of it any more."""
        token = self.media(live(0, "a.ts", "b.ts"))
        first, _ = tokens_in(self.playlist(token))
        self.take(first, BODY)
        for _ in range(4):
            self.reload(token, live(0, "a.ts", "b.ts"), TARGET)
        self.reload(token, live(1, "b.ts", "c.ts"), TARGET)
        before = self.requests()
        # Whoever got the version before this one may go on with it until it is reloaded.
        self.assertEqual((self.take(first), self.requests()), (BODY, before))
        self.reload(token, live(1, "b.ts", "c.ts"))
        self.assertEqual((self.take(first, b"A" * 188), self.requests()), (b"A" * 188, before + 2))

    def test_when_nobody_follows_it(self) -> None:
        """When its playlist is not asked for any more, a segment is soon gone, and nothing is left."""
        token = self.media(live(0, "a.ts"))
        (segment,) = tokens_in(self.playlist(token))
        self.take(segment, BODY)
        self.assertEqual(self.relay.cached, 1)
        self.clock.advance(1.5 * TARGET)
        self.assertEqual((self.relay._cache.figures.bytes_held, self.relay.cached), (0, 0))

    def test_a_film(self) -> None:
        """What a playlist names that will not change is kept for a while without it being loaded again."""
        token = self.media(live(0, "a.ts", more="#EXT-X-ENDLIST"))
        (segment,) = tokens_in(self.playlist(token))
        self.take(segment, BODY)
        self.clock.advance(4 * TARGET - 1)
        self.assertEqual(self.take(segment), BODY)

    def test_a_name_that_is_used_again(self) -> None:
        """When an origin gives another segment a name it has used before, viewers get the new one."""
        token = self.media(live(0, "a.ts", "b.ts", "c.ts"))
        first = tokens_in(self.playlist(token))[0]
        self.assertEqual(self.take(first, b"1" * 188), b"1" * 188)
        again = self.reload(token, live(1, "b.ts", "c.ts", "a.ts"))
        self.assertEqual(again[2], first)
        self.assertEqual(self.take(first, b"2" * 188), b"2" * 188)
        self.reload(token, live(2, "c.ts", "a.ts", "b.ts"))
        self.assertEqual(self.take(first), b"2" * 188)


class SlotTests(SharedTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.limits["p"] = 1
        token = self.media(live(0, "a.ts"))
        (self.segment,) = tokens_in(self.playlist(token))

    def end(self) -> None:
        """The viewer's session ends, and what was being sent in it."""
        (session,) = list(self.hub.sessions.values())
        session.end(Outcome.ENDED_BY_OPERATOR)

    def under_way(self) -> None:
        """More than half of the segment has come when its viewer leaves."""
        work = self.begin(self.segment)
        self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabcdef")
        _, opened, over = self.successResultOf(work)
        opened.upstream.attach(Gathered())
        opened.upstream.stopProducing()
        over(Outcome.VIEWER_LEFT, "")
        self.end()

    def test_a_fetch_has_its_connection(self) -> None:
        """A segment that is fetched to its end although its viewer has gone has a connection until it is there."""
        self.under_way()
        self.assertEqual(self.slots.used("p"), 1)
        self.answer(b"ghij")
        self.assertEqual(self.slots.used("p"), 0)

    def test_a_fetch_makes_way(self) -> None:
        """A fetch that nobody waits for any more gives its connection to whoever wants it."""
        self.under_way()
        self.assertIsNotNone(self.slots.take("p", OTHER))
        self.assertTrue(self.network.connections[-1][2].aborted)
        self.assertEqual(self.slots.used("p"), 1)

    def test_an_end_while_it_is_waited_for(self) -> None:
        """When a session ends before the origin has answered, its request is given up, and its connection is free."""
        work = self.begin(self.segment)
        self.end()
        self.failureResultOf(work, LimitError)
        self.assertTrue(self.network.connections[-1][2].aborted)
        self.assertEqual(self.slots.used("p"), 0)

    def test_others_wait_too(self) -> None:
        """When the viewer whose request it was has gone, the connection stays for those who wait for it as well."""
        work = self.begin(self.segment)
        assert self.channel is not None
        opened = self.successResultOf(Deferred.fromCoroutine(self.relay.open(self.channel, OTHER)))
        (same,) = tokens_in(self.relay.playlist_at_once(tokens_in(opened)[0], OTHER) or b"")
        another = self.begin(same)
        first, second = self.hub.sessions.values()
        first.end(Outcome.ENDED_BY_OPERATOR)
        self.failureResultOf(work, LimitError)
        second.end(Outcome.ENDED_BY_OPERATOR)
        self.assertEqual(self.slots.used("p"), 0)
        self.failureResultOf(another, LimitError)

    def test_none_to_be_had(self) -> None:
        """Nothing is fetched for a session that is over when its connection has gone to somebody else."""
        (hls,) = self.relay._sessions
        self.end()
        self.assertIsNotNone(self.slots.take("p", OTHER))
        with self.assertRaises(LimitError):
            self.relay._playlists.slot(hls)
