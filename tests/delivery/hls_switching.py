"""What tests of HLS that goes over to another source share: origins out of a table, and a player."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from iptvd.delivery.session import Viewer
from iptvd.model import Channel, Source, SourceKind
from iptvd.protocols.hls_playlist import parse
from iptvd.protocols.hls_values import MediaPlaylist
from tests.delivery.test_hls import HlsTestCase, tokens_in
from tests.delivery.test_hub import VIEWER
from tests.delivery.test_opening import response

OTHER = Viewer("192.168.1.3")
TARGET = 6
#: Seconds after which a player may load its playlist again and gets it from the origin.
RELOAD = TARGET
ONE, TWO, THREE = ("one.test/index.m3u8", "two.test/index.m3u8", "three.test/index.m3u8")
DOWN = response(b"", "500 x")
GONE = response(b"", "403 x")
MASTER = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\nhigh.m3u8\n"
SOUND = b'#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",URI="sound.m3u8"\n'
WORDS = b'#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="s",URI="words.m3u8"\n'
APART = SOUND + WORDS + b'#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO="a",SUBTITLES="s"\nhigh.m3u8\n'

#: What is answered, None for nothing at all.
Page = bytes | None


def live(first: int, more: str = "", prefix: str = "", end: str = "") -> bytes:
    """A playlist of six segments from a number on."""
    lines = ["#EXTM3U", f"#EXT-X-TARGETDURATION:{TARGET}", f"#EXT-X-MEDIA-SEQUENCE:{first}", *([more] if more else [])]
    for number in range(first, first + 6):
        lines += [f"#EXTINF:{TARGET},", f"{prefix}{number}.ts"]
    return "\n".join([*lines, end, ""]).encode()


class SwitchingTestCase(HlsTestCase):
    """
    Plays some origins, from a table.

    :ivar pages: by host and path.
    :ivar switches: what was told of them.
    """

    def setUp(self) -> None:
        super().setUp()
        self.pages: dict[str, Callable[[], Page]] = {}
        self.asks: list[str] = []
        self._answered = 0
        self.given = []
        self.offer("p", ONE)
        self.offer("q", TWO)
        self.watched()

    def watched(self) -> None:
        """Note what is told of switches."""
        self.switches: list[tuple[str, str, str]] = []

        def switched(channel: Channel, former: str, source: str, reason: str) -> None:
            self.switches.append((former, source, reason))

        self.relay.switching.switched = switched

    def offer(self, provider: str, address: str) -> None:
        """One source more, whose playlist moves on with the time."""
        headers = (("Referer", provider),)
        self.given = [*self.given, (provider, Source(SourceKind.HLS, url=f"http://{address}", headers=headers))]
        begin = 1000 * len(self.given)
        self.pages[address] = lambda: response(live(begin + int(self.clock.seconds()) // TARGET))

    def give(self, address: str, page: Page) -> None:
        self.pages[address] = lambda: page

    def freeze(self, address: str) -> None:
        """The playlist stays as it is."""
        self.give(address, self.pages[address]())

    def settle(self) -> None:
        """Answer what was asked."""
        connections = self.network.connections
        while self._answered < len(connections):
            target, protocol, transport = connections[self._answered]
            self._answered += 1
            address = f"{target.host}{target.target}"
            self.asks.append(address)
            page = self.pages.get(address, lambda: response(b"", "404 x"))()
            if page is not None and not transport.aborted:
                protocol.dataReceived(page)

    def begin(self, viewer: Viewer = VIEWER) -> list[str]:
        """Open the channel; the tokens of its playlists."""
        assert self.channel is not None
        work = Deferred.fromCoroutine(self.relay.open(self.channel, viewer))
        self.settle()
        return tokens_in(self.successResultOf(work))

    def asking(self, token: str, viewer: Viewer = VIEWER, query: str = "") -> Deferred[bytes]:
        work = Deferred.fromCoroutine(self.relay.playlist(token, query, viewer))
        self.settle()
        return work

    def trying(self) -> Deferred[bytes]:
        """A player's request for which another source is tried, that does not answer."""
        (token,) = self.begin()
        self.read(token, seconds=0)
        self.give(ONE, DOWN)
        self.give(TWO, None)
        self.clock.advance(TARGET)
        return self.asking(token)

    def read(self, token: str, viewer: Viewer = VIEWER, seconds: float = RELOAD) -> MediaPlaylist:
        """The playlist some time later, as a player reads it."""
        self.clock.advance(seconds)
        return self.parsed(self.successResultOf(self.asking(token, viewer)))

    def parsed(self, body: bytes) -> MediaPlaylist:
        found = parse(body, "http://player.test/content/x.m3u8")
        assert isinstance(found, MediaPlaylist)
        return found

    def urls(self, playlist: MediaPlaylist) -> list[str]:
        """Where its segments are at their origin, as far as it shows."""
        found = []
        for segment in playlist.segments:
            (token,) = tokens_in(segment.uri.encode())
            found.append(self.relay._tokens.open(token).url.removeprefix("http://"))
        return found

    def used(self) -> list[int]:
        return [self.slots.used(provider) for provider in ("p", "q")]
