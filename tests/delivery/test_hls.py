"""Sessions of HLS: begun once, known by their tokens, and ended when nothing is asked for any more."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.hls import HlsRelay
from iptvd.delivery.hls_playlists import PLAYLIST_TIMEOUT
from iptvd.delivery.hls_sessions import FIRST_IDLE, LEAST_IDLE, SLACK
from iptvd.delivery.hub import Hub
from iptvd.delivery.opening import Ask, Opener
from iptvd.delivery.patience import ZAP, ZAP_LOOK
from iptvd.delivery.segments import SegmentCache
from iptvd.delivery.session import Viewer
from iptvd.delivery.slots import Slots
from iptvd.errors import LimitError, TokenError, UpstreamError
from iptvd.model import Channel, Outcome, Source, SourceKind
from iptvd.protocols.http_upstream import Timeouts
from iptvd.protocols.m3u8 import MAX_BODY, Role
from iptvd.tokens import KEY_SIZE, TokenBox
from tests.delivery.test_hub import VIEWER, Observer
from tests.delivery.test_opening import Counts, response
from tests.delivery.test_relay import CHANNEL
from tests.doubles import Anybody, offload, sliced
from tests.protocols.test_http_upstream import Endpoint, Network
from tests.protocols.test_upstream import Gathered

URL = "http://origin.test/a/index.m3u8?sid=1"
MEDIA = b'#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-KEY:METHOD=AES-128,URI="k"\n#EXTINF:6,\ns1.ts\n#EXTINF:6,\ns2.ts\n'
MULTI = b'#EXTM3U\n#EXT-X-DEFINE:NAME="v",VALUE="w"\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow/index.m3u8\n'


class HlsTestCase(SynchronousTestCase):
    """Plays the origin of one channel."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.network = Network()
        self.observer = Observer()
        self.limits: dict[str, int] = {}
        self.channel: Channel | None = evolve(CHANNEL, source_kind=SourceKind.HLS, extension="m3u8")
        self.given = [("p", Source(SourceKind.HLS, url=URL))]
        #: What asking for sources waits for.
        self.resolving: Callable[[], Deferred[None] | None] = lambda: None
        self.relay = self.start()

    def start(self, max_streams: int = 0, proxy_content: bool = True) -> HlsRelay:
        """The relay, as after a restart."""

        async def sources(channel: Channel) -> list[tuple[str, Source]]:
            waiting = self.resolving()
            if waiting is not None:
                await waiting
            return self.given

        connect: Any = lambda target, verify: Endpoint(self.network, target)  # noqa: E731
        opener = Opener(self.clock, connect, Timeouts(10, 10), offload, "iptvd", Counts())  # type: ignore[arg-type]
        self.slots = Slots(lambda provider: self.limits.get(provider, 0))
        wall = self.clock.seconds
        self.hub = Hub(sources, opener, self.observer, self.clock, wall, max_streams, self.slots, Anybody())
        tokens = TokenBox(bytes(KEY_SIZE), self.clock.seconds)
        cache = SegmentCache(1 << 20, self.clock)
        return HlsRelay(self.hub, tokens, lambda _: self.channel, self.clock, sliced, proxy_content, cache)

    def answer(self, data: bytes) -> None:
        self.network.connections[-1][1].dataReceived(data)

    def asked(self) -> str:
        return str(self.network.connections[-1][0].target)

    def open(self, body: bytes = MEDIA, viewer: Viewer = VIEWER) -> bytes:
        """Open the channel; what the player gets."""
        assert self.channel is not None
        work = Deferred.fromCoroutine(self.relay.open(self.channel, viewer))
        self.answer(response(body))
        return self.successResultOf(work)

    def playlist(self, token: str, body: bytes = MEDIA, query: str = "") -> bytes:
        work = Deferred.fromCoroutine(self.relay.playlist(token, query, VIEWER))
        self.answer(response(body))
        return self.successResultOf(work)

    def play(self) -> list[str]:
        """Open the channel and its media playlist; the tokens of what is in that."""
        (token,) = tokens_in(self.open())
        return tokens_in(self.playlist(token))


class HlsTests(HlsTestCase):
    def test_a_session_of_its_own(self) -> None:
        """What a viewer opens leads to a playlist of its own, in which everything has an address of ours."""
        one, two = self.open(), self.open(viewer=Viewer("192.168.1.3"))
        self.assertNotEqual(one, two)
        self.assertEqual((one.count(b"#EXT-X-STREAM-INF"), len(self.hub.sessions)), (1, 2))
        (token,) = tokens_in(one)
        body = self.playlist(token)
        self.assertEqual(len(tokens_in(body)), 3)
        self.assertNotIn(b"s1.ts", body)
        self.assertEqual(self.playlist(token), body)

    def test_opened_twice(self) -> None:
        """A player that looks at a channel and then opens it anew takes up one place, not two."""
        self.relay = self.start(max_streams=1)
        (former,) = tokens_in(self.open())
        (token,) = tokens_in(self.open())
        self.assertEqual((len(self.hub.sessions), self.observer.events), (1, ["started", "viewer_left", "started"]))
        self.playlist(token)
        self.failureResultOf(Deferred.fromCoroutine(self.relay.open(CHANNEL, VIEWER)), LimitError)
        self.failureResultOf(Deferred.fromCoroutine(self.relay.playlist(former, "", VIEWER)), LimitError)
        self.assertEqual(len(self.hub.sessions), 1)

    def test_zapping_with_one_connection(self) -> None:
        """A viewer whose player has fallen silent gives its connection up; others' and what is being sent stay."""
        self.limits["p"] = 1
        _, first, _ = self.play()
        slots = self.hub.slots
        work = Deferred.fromCoroutine(self.relay.content(first, None, Ask(), VIEWER))
        self.clock.advance(6 + SLACK)
        # It is still waited for, and then on its way.
        self.assertIsNone(slots.take("p", VIEWER))
        self.answer(response(b"G" * 188))
        _, _, over = self.successResultOf(work)
        self.clock.advance(6 + SLACK)
        self.assertIsNone(slots.take("p", VIEWER))
        over(Outcome.COMPLETED, "")
        self.clock.advance(6)
        self.assertIsNone(slots.take("p", VIEWER))
        self.clock.advance(SLACK)
        self.assertIsNone(slots.take("p", Viewer("192.168.1.77")))
        self.assertIsNotNone(slots.take("p", VIEWER))
        self.assertEqual(len(self.hub.sessions), 0)

    def test_behind_a_server(self) -> None:
        """Of several viewers who come by one address and program none loses its connection while it plays."""
        self.limits["p"] = 1
        (token,) = tokens_in(self.open())
        for _ in range(5):
            self.playlist(token)
            self.clock.advance(6)
            self.assertIsNone(self.slots.take("p", VIEWER))
        self.assertEqual(self.observer.events, ["started"])

    def test_a_moment(self) -> None:
        """When all connections are in use, a viewer waits a moment for one, and is refused only then."""
        self.limits["p"] = 1
        for free in (True, False):
            slot = self.slots.take("p")
            assert slot is not None
            assert self.channel is not None
            work = Deferred.fromCoroutine(self.relay.open(self.channel, VIEWER))
            self.clock.advance(ZAP_LOOK)
            self.assertNoResult(work)
            if free:
                slot.release()
                self.clock.advance(ZAP_LOOK)
                self.answer(response(MEDIA))
                self.successResultOf(work)
                self.clock.advance(LEAST_IDLE * 2)
            else:
                self.clock.pump([ZAP_LOOK] * (round(ZAP / ZAP_LOOK) + 1))
                self.failureResultOf(work, LimitError)
        self.assertEqual(self.observer.events, ["started", "viewer_left", "started", "refused"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_variants(self) -> None:
        """A channel with variants is passed on as such, and its variables hold in its media playlists."""
        (token,) = tokens_in(self.open(MULTI))
        body = self.playlist(
            token, b'#EXTM3U\n#EXT-X-DEFINE:IMPORT="v"\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n{$v}.ts\n'
        )
        self.assertEqual(self.asked(), "/a/low/index.m3u8")
        (segment,) = tokens_in(body)
        Deferred.fromCoroutine(self.relay.content(segment, None, Ask(), VIEWER))
        self.assertEqual(self.asked(), "/a/low/w.ts")

    def test_directives(self) -> None:
        """Of a player's query only delivery directives go to the origin."""
        (token,) = tokens_in(self.open())
        self.playlist(token, query="_HLS_msn=3&x=y")
        self.assertEqual(self.asked(), "/a/index.m3u8?sid=1&_HLS_msn=3")
        self.clock.advance(3)
        self.playlist(token, query="_HLS_msn=%0a")
        self.assertEqual(self.asked(), "/a/index.m3u8?sid=1")

    def test_content(self) -> None:
        """Segments and keys are had with their tokens, each as what it is and as nothing else."""
        key, first, _ = self.play()
        for token, role, body in ((key, Role.KEY, b"k" * 16), (first, None, b"G" * 188)):
            work = Deferred.fromCoroutine(self.relay.content(token, role, Ask(), VIEWER))
            self.answer(response(body))
            _, opened, over = self.successResultOf(work)
            gathered = Gathered()
            assert opened.upstream is not None
            opened.upstream.attach(gathered)
            self.assertEqual(gathered.data, body)
            over(Outcome.COMPLETED, "")
        for token, role in ((key, None), (first, Role.KEY), ("x", None)):
            work = Deferred.fromCoroutine(self.relay.content(token, role, Ask(), VIEWER))
            self.failureResultOf(work, TokenError)
        self.failureResultOf(Deferred.fromCoroutine(self.relay.playlist(first, "", VIEWER)), TokenError)

    def test_idle(self) -> None:
        """A session ends, as one whose viewer left, some target durations after the last request."""
        (token,) = tokens_in(self.open())
        for _ in range(5):
            self.clock.advance(11)
            self.playlist(token)
        self.assertEqual(self.observer.events, ["started"])
        self.clock.advance(12)
        self.assertEqual(self.observer.events, ["started", "viewer_left"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_idle_before_and_with_short_targets(self) -> None:
        """A session lasts a while even when its segments are short, or not known yet."""
        self.open(MEDIA.replace(b":6\n", b":1\n"))
        self.clock.advance(LEAST_IDLE - 1)
        self.assertEqual(len(self.hub.sessions), 1)
        self.clock.advance(1)
        self.assertEqual(len(self.hub.sessions), 0)
        self.open(MULTI)
        self.clock.advance(FIRST_IDLE - 1)
        self.assertEqual(len(self.hub.sessions), 1)
        self.clock.advance(1)
        self.assertEqual(len(self.hub.sessions), 0)

    def test_a_long_segment(self) -> None:
        """A session whose viewer is still taking a segment is not idle, however long that takes."""
        _, first, _ = self.play()
        work = Deferred.fromCoroutine(self.relay.content(first, None, Ask(), VIEWER))
        self.answer(response(b"G" * 188))
        _, _, over = self.successResultOf(work)
        self.clock.pump([10] * 20)
        self.assertEqual(len(self.hub.sessions), 1)
        over(Outcome.COMPLETED, "")
        self.clock.advance(11)
        self.assertEqual(len(self.hub.sessions), 1)
        self.clock.advance(1)
        self.assertEqual(self.observer.events, ["started", "viewer_left"])

    def test_after_a_restart(self) -> None:
        """Tokens are good after a restart: the session is taken up again, once, whatever asks first."""
        _, first, second = self.play()
        self.relay = self.start()
        waiting: list[Deferred[None]] = []

        def resolving() -> Deferred[None]:
            waiting.append(Deferred())
            return waiting[-1]

        self.resolving = resolving
        works = [Deferred.fromCoroutine(self.relay.content(token, None, Ask(), VIEWER)) for token in (first, second)]
        for each in waiting:
            each.callback(None)
        self.assertEqual((len(waiting), len(self.hub.sessions)), (2, 1))
        for work in works:
            work.addErrback(lambda failure: None)
            work.cancel()
        self.clock.advance(FIRST_IDLE)
        self.assertEqual(sorted(self.observer.events), ["started"] * 2 + ["viewer_left"] * 2)
        self.assertEqual(len(self.hub.sessions), 0)

    def test_a_channel_that_is_gone(self) -> None:
        """A token of a channel that is no longer there is a 404."""
        _, first, _ = self.play()
        self.relay = self.start()
        self.channel = None
        work = Deferred.fromCoroutine(self.relay.content(first, None, Ask(), VIEWER))
        self.assertEqual(self.failureResultOf(work, UpstreamError).value.status, 404)

    def test_which_source(self) -> None:
        """What belongs to the second source is asked for with the second source's headers, also after a restart."""
        second = Source(SourceKind.HLS, url="http://second.test/i.m3u8", headers=(("Referer", "second"),))
        self.given.append(("q", second))
        assert self.channel is not None
        work = Deferred.fromCoroutine(self.relay.open(self.channel, VIEWER))
        self.answer(response(b"", "404 x"))
        self.answer(response(MEDIA))
        (token,) = tokens_in(self.successResultOf(work))
        self.relay = self.start()
        self.playlist(token)
        self.assertIn(b"Referer: second\r\n", self.network.connections[-1][2].value())

    def test_the_limit(self) -> None:
        """When all streams are in use nobody new is admitted, and one that comes back is not either."""
        _, first, _ = self.play()
        self.relay = self.start(max_streams=1)
        assert self.channel is not None
        self.open(viewer=Viewer("192.168.1.3"))
        self.failureResultOf(Deferred.fromCoroutine(self.relay.open(self.channel, VIEWER)), LimitError)
        work = Deferred.fromCoroutine(self.relay.content(first, None, Ask(), VIEWER))
        self.failureResultOf(work, LimitError)
        self.assertEqual(self.observer.events.count("refused"), 2)

    def test_no_playlist(self) -> None:
        """A source that gives no playlist ends the session as exhausted, with the class of what was wrong."""
        assert self.channel is not None
        for answer, status in (
            (response(b"", "404 x"), 404),
            (response(b"", "204 x"), 502),
            (response(b"<html>"), 502),
            (b"HTTP/1.1 200 OK\r\n\r\n" + bytes(MAX_BODY + 1), 502),
        ):
            work = Deferred.fromCoroutine(self.relay.open(self.channel, VIEWER))
            self.answer(answer)
            self.assertEqual(self.failureResultOf(work, UpstreamError).value.status, status)
            self.assertEqual(self.observer.events[-2:], ["started", "exhausted"])
            self.assertTrue(self.network.connections[-1][2].aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_playlist_that_takes_too_long(self) -> None:
        """A playlist that drips is given up."""
        assert self.channel is not None
        work = Deferred.fromCoroutine(self.relay.open(self.channel, VIEWER))
        self.answer(b"HTTP/1.1 200 OK\r\n\r\n#EXTM3U\n")
        self.clock.advance(PLAYLIST_TIMEOUT)
        self.assertEqual(self.failureResultOf(work, UpstreamError).value.status, 504)
        self.assertTrue(self.network.connections[-1][2].aborted)

    def test_leaving_before_there_is_a_playlist(self) -> None:
        """A viewer that leaves before it has a playlist left."""
        assert self.channel is not None
        work = Deferred.fromCoroutine(self.relay.open(self.channel, VIEWER))
        work.addErrback(lambda failure: None)
        work.cancel()
        self.assertEqual(self.observer.events, ["started", "viewer_left"])

    def test_ended_meanwhile(self) -> None:
        """A session that is ended while something is being opened for it gets nothing more."""
        _, first, _ = self.play()
        work = Deferred.fromCoroutine(self.relay.content(first, None, Ask(), VIEWER))
        self.hub.drain(5.0)
        self.failureResultOf(work, LimitError)
        self.assertTrue(self.network.connections[-1][2].aborted)
        self.assertEqual(self.observer.events, ["started", "drained"])

    def test_a_long_playlist(self) -> None:
        """A playlist that is long is rewritten in slices, and comes out the same."""
        segments = b"".join(b"#EXTINF:6,\ns%d.ts\n" % number for number in range(5000))
        (token,) = tokens_in(self.open())
        # Until then the short one is new enough for anyone.
        self.clock.advance(3)
        self.assertEqual(len(tokens_in(self.playlist(token, b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n" + segments))), 5000)

    def test_direct(self) -> None:
        """If segments need not go through us they are the origin's own, unless that takes headers or a password."""
        self.relay = self.start(proxy_content=False)
        for source, direct in (
            (Source(SourceKind.HLS, url=URL), True),
            (Source(SourceKind.HLS, url=URL, headers=(("User-Agent", "iptvd"),)), True),
            (Source(SourceKind.HLS, url=URL, headers=(("Referer", "x"),)), False),
            (Source(SourceKind.HLS, url=URL.replace("//", "//bob:canary@")), False),
        ):
            self.given = [("p", source)]
            (token,) = tokens_in(self.open())
            body = self.playlist(token)
            self.assertEqual(b"\nhttp://origin.test/a/s1.ts\n" in body, direct)
            self.assertIn(b'URI="../key/', body)
            self.assertNotIn(b"canary", body)


def tokens_in(body: bytes) -> list[str]:
    """The tokens in a playlist, in their order."""
    uris = re.findall(r'URI="([^"]+)"|^([^#\s].*)$', body.decode(), re.MULTILINE)
    return [urlsplit(quoted or line).path.rpartition("/")[2].partition(".")[0] for quoted, line in uris]
