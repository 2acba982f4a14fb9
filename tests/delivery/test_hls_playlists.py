"""Playlists of HLS channels: fetched and worked out once for all, and each viewer's with tokens of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator

from attrs import evolve
from twisted.internet.defer import Deferred

from iptvd.delivery.hls_playlists import AT_ONCE, FORMS, PLAYLIST_TIMEOUT, HlsPlaylists
from iptvd.delivery.hls_sessions import HlsSession, supplies_of
from iptvd.delivery.segments import SegmentCache
from iptvd.delivery.session import Face, Viewer
from iptvd.delivery.template import WORTH_KEEPING, Template
from iptvd.errors import LimitError, UpstreamError
from iptvd.protocols.m3u8 import Role
from iptvd.tokens import KEY_SIZE, MAX_URL, Grant, TokenBox
from tests.delivery.test_hls import MEDIA, URL, HlsTestCase, tokens_in
from tests.delivery.test_hub import VIEWER
from tests.delivery.test_opening import response
from tests.delivery.test_relay import CHANNEL
from tests.doubles import result, sliced

OTHER = Viewer("192.168.1.3")


def live(first: int, count: int = 3, prefix: str = "") -> bytes:
    segments = "".join(f"#EXTINF:6,\n{prefix}{number}.ts\n" for number in range(first, first + count))
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:{first}\n{segments}".encode()


class PlaylistsTestCase(HlsTestCase):
    def setUp(self) -> None:
        super().setUp()
        #: Steps of work that were done in slices.
        self.steps: list[int] = []
        self.tokens = TokenBox(bytes(KEY_SIZE), self.clock.seconds)
        self.cache = SegmentCache(1 << 24, self.clock)
        self.playlists = self.made()
        self.hls = self.viewing()

    def made(self, proxy_content: bool = True) -> HlsPlaylists:
        return HlsPlaylists(self.hub, self.tokens, self.clock, self.counted, proxy_content, self.cache)

    def counted(self, steps: Iterator[object]) -> Awaitable[None]:
        self.steps.append(0)

        def each() -> Iterator[None]:
            for _ in steps:
                self.steps[-1] += 1
                yield

        return sliced(each())

    def viewing(self, viewer: Viewer = VIEWER) -> HlsSession:
        (supply,) = supplies_of(CHANNEL, self.given)
        return HlsSession(self.hub.admit(CHANNEL, viewer, Face.HLS), supply)

    def getting(self, hls: HlsSession | None = None, url: str = URL, query: str = "") -> Deferred[Template]:
        return Deferred.fromCoroutine(self.playlists.get(hls or self.hls, url, query))

    def got(self, body: bytes = MEDIA, hls: HlsSession | None = None, url: str = URL) -> Template:
        """A playlist that is not there yet."""
        work = self.getting(hls, url)
        self.answer(response(body))
        return self.successResultOf(work)

    def requests(self) -> int:
        return len(self.network.connections)

    def grants(self, body: bytes) -> list[Grant]:
        return [self.tokens.open(token) for token in tokens_in(body)]


class GettingTests(PlaylistsTestCase):
    def test_once_for_all(self) -> None:
        """Viewers who ask at the same moment, or a moment later, have one request and one reading between them."""
        other = self.viewing(OTHER)
        self.assertIsNone(self.playlists.ready(self.hls, URL))
        works = [self.getting(), self.getting(other)]
        self.answer(response(MEDIA))
        first, second = map(self.successResultOf, works)
        self.assertIs(first, second)
        self.assertIs(self.playlists.ready(other, URL), first)
        self.assertIs(self.successResultOf(self.getting()), first)
        self.assertEqual(self.requests(), 1)
        self.clock.advance(3)
        self.assertIsNone(self.playlists.ready(self.hls, URL))

    def test_by_its_variables(self) -> None:
        """A playlist is read anew for viewers who were led to it by other variables, and kept in so many forms."""
        body = b'#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-DEFINE:IMPORT="v"\n#EXTINF:6,\n{$v}.ts\n'
        found = []
        for number in range(FORMS + 1):
            hls = self.viewing(OTHER)
            hls.variables = {"v": f"s{number}"}
            found.append(self.successResultOf(self.getting(hls)) if number else self.got(body, hls))
            self.assertEqual(self.playlists.ready(hls, URL) is not None, number < FORMS)
        self.assertEqual(len({template.links[0].url for template in found}), FORMS + 1)
        self.assertEqual(self.requests(), 1)

    def test_directives(self) -> None:
        """Only delivery directives of a player's query reach the origin, after the query that there is."""
        for url, query, asked in (
            (URL, "_HLS_msn=7&token=x&_HLS_part=1", "/a/index.m3u8?sid=1&_HLS_msn=7&_HLS_part=1"),
            ("http://origin.test/b.m3u8", "_HLS_skip=YES", "/b.m3u8?_HLS_skip=YES"),
            ("http://origin.test/c.m3u8", "x=1", "/c.m3u8"),
            ("http://origin.test/d.m3u8", "_HLS_msn=%0a", "/d.m3u8"),
        ):
            work = self.getting(url=url, query=query)
            self.assertEqual(self.asked(), asked)
            self.answer(response(MEDIA))
            self.successResultOf(work)

    def test_what_is_none(self) -> None:
        """What is no playlist is an error that is not kept, and nor is what an origin refuses."""
        for answer, words in (
            (response(b"<html>later</html>"), "web page"),
            (response(b"", "404 x"), "404"),
            (response(b"#EXTM3U\n#EXTINF:6,\nfile:///etc/passwd\n"), "neither http nor https"),
        ):
            work = self.getting(url=f"http://origin.test/{len(answer)}")
            self.answer(answer)
            self.assertIn(words, str(self.failureResultOf(work, UpstreamError).value))
        self.assertEqual(self.slots.total, 0)

    def test_one_that_does_not_come(self) -> None:
        """A playlist has so many seconds to come, and its connection is given back then."""
        work = self.getting()
        self.answer(response(MEDIA)[:-1])
        self.clock.pump([1] * int(PLAYLIST_TIMEOUT))
        self.assertEqual(self.failureResultOf(work, UpstreamError).value.status, 504)
        self.assertEqual((self.slots.total, self.network.connections[-1][2].aborted), (0, True))

    def test_no_connection(self) -> None:
        """Without a connection of the provider's there is none, and the sentence says so."""
        self.limits["p"] = 1
        slot = self.slots.take("p")
        assert slot is not None
        self.assertIn("in use", str(self.failureResultOf(self.getting(), LimitError).value))
        slot.release()
        self.got()

    def test_long_ones(self) -> None:
        """A long playlist is read in slices, and one that is longer than is worth it is read for each viewer."""
        count = WORTH_KEEPING + 1
        body = live(1, count, prefix="x" * (AT_ONCE // count))
        first = self.got(body)
        self.assertGreater(self.steps[-1], 10)
        self.assertIsNot(self.successResultOf(self.getting()), first)
        self.assertEqual((len(self.steps), self.requests()), (2, 1))


class FillingTests(PlaylistsTestCase):
    def filled(self, template: Template, hls: HlsSession | None = None, here: bytes = b"") -> bytes:
        hls = hls or self.hls
        sealed = result(self.playlists.sealed(hls, template))
        return self.playlists.filled(hls, URL, template, sealed, here)

    def test_tokens(self) -> None:
        """Each viewer's tokens name its session, the channel and the source, and stay the same."""
        template, other = self.got(), self.viewing(OTHER)
        bodies = [self.filled(template, hls) for hls in (self.hls, other)]
        for hls, body in zip((self.hls, other), bodies, strict=True):
            grants = self.grants(body)
            self.assertEqual([grant.role for grant in grants], [Role.KEY, Role.SEGMENT, Role.SEGMENT])
            self.assertEqual({grant.session for grant in grants}, {hls.session.id})
            self.assertEqual({(grant.channel, grant.source) for grant in grants}, {(CHANNEL.id, hls.supply.name)})
            self.assertEqual(self.filled(template, hls), body)
        self.assertNotEqual(*bodies)

    def test_from_elsewhere(self) -> None:
        """Where a playlist is not among what it leads to, its links lead there; keys are reached from both alike."""
        template = self.got()
        plain, led = self.filled(template), self.filled(template, here=b"../content/")
        self.assertEqual(tokens_in(plain), tokens_in(led))
        self.assertEqual((plain.count(b"../content/"), led.count(b"../content/")), (0, 2))
        self.assertEqual((plain.count(b"../key/"), led.count(b"../key/")), (1, 1))

    def test_long_ones(self) -> None:
        """The tokens of a playlist of many links are made in slices, and not remembered."""
        template = self.got(live(1, WORTH_KEEPING + 1))
        self.steps.clear()
        body = self.filled(template)
        self.assertEqual(self.steps, [WORTH_KEEPING + 1])
        self.assertEqual(len(self.grants(body)), WORTH_KEEPING + 1)
        self.assertEqual((self.filled(template), self.hls.tokens), (body, {}))
        self.filled(self.got(live(1), url="http://origin.test/b.m3u8"))
        self.assertEqual((len(self.steps), len(self.hls.tokens)), (2, 1))

    def test_of_the_source_it_had(self) -> None:
        """Tokens that are being made when another source is gone over to are those of the source they began with."""
        template, name = self.got(live(1, WORTH_KEEPING + 1)), self.hls.supply.name

        def turned(steps: Iterator[object]) -> Awaitable[None]:
            next(steps)
            self.hls.supply = evolve(self.hls.supply, provider="q")
            return sliced(steps)

        self.playlists._sliced = turned
        sealed = result(self.playlists.sealed(self.hls, template))
        self.assertEqual(
            {self.tokens.open(token.decode().partition(".")[0]).source for token in sealed.values()}, {name}
        )

    def test_too_long_an_address(self) -> None:
        """An address that no token can hold is an error, in a short playlist and in a long one."""
        for count in (1, WORTH_KEEPING + 1):
            body = live(1, count) + b"#EXTINF:6,\n%b.ts\n" % (b"x" * MAX_URL)
            template = self.got(body, url=f"http://origin.test/{count}")
            with self.assertRaises(UpstreamError) as caught:
                self.filled(template)
            self.assertIn("longer than", caught.exception.sentence)

    def test_direct(self) -> None:
        """Where viewers may have segments from the origin itself they do, unless the address has a password in it."""
        self.playlists = self.made(proxy_content=False)
        body = self.filled(self.got(MEDIA + b"#EXTINF:6,\nhttp://user:word@origin.test/s3.ts\n"))
        ours = b"".join(line for line in body.splitlines(True) if not line.startswith(b"http://"))
        self.assertEqual([grant.role for grant in self.grants(ours)], [Role.KEY, Role.SEGMENT])
        self.assertIn(b"\nhttp://origin.test/a/s1.ts\n", body)
        self.assertNotIn(b"word@", body)
        self.playlists.proxy_content = True
        self.assertNotIn(b"origin.test", self.filled(self.successResultOf(self.getting())))

    def test_delivered(self) -> None:
        """What a player had at an address is remembered; where its source carries on another, it is numbered on."""
        address = "http://first.test/index.m3u8"
        template = self.got(live(5))
        body = self.playlists.delivered(self.hls, address, URL, template, {})
        self.assertEqual((body, self.hls.threads[address].end.number), (self.filled(template), 8))
        self.hls.supply = evolve(self.hls.supply, provider="q")
        other = self.got(live(900), url="http://origin.test/b.m3u8")
        now = self.playlists.delivered(self.hls, address, "http://origin.test/b.m3u8", other, {})
        self.assertIn(b"#EXT-X-MEDIA-SEQUENCE:8\n", now)
        self.assertEqual(now.count(b"#EXT-X-DISCONTINUITY\n"), 1)
        self.assertEqual(self.playlists.delivered(self.hls, address, "http://origin.test/b.m3u8", other, {}), now)
