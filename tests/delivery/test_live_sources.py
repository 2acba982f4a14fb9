"""Live sources of every kind, opened as MPEG-TS."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.live_sources import LiveSources, remux_command
from iptvd.delivery.opening import Ask, FoundPlaylist, Opened
from iptvd.delivery.segments import SegmentCache
from iptvd.errors import UpstreamError
from iptvd.model import Source, SourceKind
from iptvd.protocols.sniff import Media
from iptvd.protocols.socks5 import Proxy
from tests.delivery.hls_script import ScriptedOrigin, Taken, numbered, ts
from tests.doubles import result, sliced
from tests.protocols.test_upstream import Tap

URL = "http://origin.test/index.m3u8"
HLS = Source(SourceKind.HLS, url=URL)
MP4 = b"\0\0\0\x18ftypiso5" + bytes(5000)


class Openings:
    """An opener that notes what it is to open, and asks the scripted origin for the rest."""

    def __init__(self, origin: ScriptedOrigin) -> None:
        self._opener = origin.opener()
        self.asked: list[tuple[Source, Ask, str]] = []
        self.error: UpstreamError | None = None

    async def open(self, source: Source, ask: Ask, extension: str) -> Opened:
        self.asked.append((source, ask, extension))
        if self.error is not None:
            raise self.error
        return Opened(Tap(), 200, (), Media.TS)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opener, name)


class LiveSourcesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.origin = ScriptedOrigin(self.clock)
        self.openings = Openings(self.origin)
        self.cache = SegmentCache(64 << 20, self.clock)
        self.addCleanup(self.cache.clear)
        for number in range(10):
            self.origin.pages[f"/{number}.ts"] = ts(number)

    def sources(self, ffmpeg: str = "/opt/ffmpeg", cap: int = 0) -> LiveSources:
        opener: Any = self.openings
        return LiveSources(opener, self.cache, self.clock, sliced, ffmpeg, cap)

    def open(self, source: Source, **options: Any) -> Deferred[Opened]:
        """Open it, and let the origin answer."""
        opened = Deferred.fromCoroutine(self.sources(**options).open(source, "m3u8"))
        for _ in range(200):
            self.clock.advance(0.02)
        return opened

    def test_what_is_no_playlist(self) -> None:
        """A stream, a command and what a plugin makes of a playlist by a command are opened as they are."""
        for source in (
            Source(SourceKind.TS, url="http://origin.test/1.ts"),
            Source(SourceKind.TS, command=("a", "b")),
            Source(SourceKind.HLS, command=("a", "b")),
        ):
            opened = result(self.sources().open(source, "ts"))
            self.assertIs(opened.media, Media.TS)
            self.assertEqual(self.openings.asked[-1], (source, Ask(), "ts"))

    def test_its_errors(self) -> None:
        """What goes wrong with a stream is passed on, that it is a playlist too."""
        for error in (UpstreamError(404, "gone"), FoundPlaylist()):
            self.openings.error = error
            with self.assertRaises(type(error)):
                result(self.sources().open(Source(SourceKind.TS, url="http://origin.test/1.ts"), "ts"))

    def test_a_playlist(self) -> None:
        """A playlist becomes a stream of its segments."""
        self.origin.pages["/index.m3u8"] = numbered(0, 5)
        opened = self.successResultOf(self.open(HLS))
        self.assertIs(opened.media, Media.TS)
        assert opened.upstream is not None
        self.addCleanup(opened.upstream.stopProducing)
        taken = Taken(self.clock)
        opened.upstream.attach(taken)
        for _ in range(400):
            self.clock.advance(0.02)
        self.assertEqual(taken.order()[0], 3)
        self.assertEqual(self.openings.asked, [])

    def test_the_cap(self) -> None:
        """Of the variants the best one within the cap is taken."""
        variants = "".join(
            f"#EXT-X-STREAM-INF:BANDWIDTH={rate}\n{name}.m3u8\n"
            for name, rate in (("low", 1_000_000), ("high", 8_000_000))
        )
        self.origin.pages["/index.m3u8"] = f"#EXTM3U\n{variants}".encode()
        for name in ("low", "high"):
            self.origin.pages[f"/{name}.m3u8"] = numbered(0, 5)
        for cap, name in ((0, "high"), (2_000_000, "low")):
            opened = self.successResultOf(self.open(HLS, cap=cap))
            assert opened.upstream is not None
            opened.upstream.stopProducing()
            self.assertEqual(self.origin.asked("/high.m3u8" if name == "low" else "/low.m3u8"), [])
            self.assertNotEqual(self.origin.asked(f"/{name}.m3u8"), [])
            self.origin.requests.clear()

    def test_what_ffmpeg_has_to_change(self) -> None:
        """Segments that are no MPEG-TS go through ffmpeg, which is given the playlist and the source's headers."""
        self.origin.pages["/index.m3u8"] = numbered(0, 5)
        for number in range(10):
            self.origin.pages[f"/{number}.ts"] = MP4
        source = Source(SourceKind.HLS, url=URL, headers=(("Referer", "http://example.com/"),))
        self.assertIs(self.successResultOf(self.open(source)).media, Media.TS)
        ((remuxed, ask, extension),) = self.openings.asked
        self.assertEqual((remuxed.kind, ask, extension), (SourceKind.TS, Ask(), "ts"))
        self.assertEqual(remuxed.command, remux_command("/opt/ffmpeg", (URL,), source))

    def test_without_ffmpeg(self) -> None:
        """Where there is no ffmpeg that is an error that says so."""
        self.origin.pages["/index.m3u8"] = numbered(0, 5)
        for number in range(10):
            self.origin.pages[f"/{number}.ts"] = MP4
        failure = self.failureResultOf(self.open(HLS, ffmpeg=""), UpstreamError)
        self.assertIn("there is no ffmpeg", failure.value.sentence)
        self.assertEqual(self.openings.asked, [])

    def test_behind_a_proxy(self) -> None:
        """What ffmpeg would have to fetch is refused where everything has to go through a proxy."""
        self.origin.pages["/index.m3u8"] = numbered(0, 5)
        for number in range(10):
            self.origin.pages[f"/{number}.ts"] = MP4
        source = Source(SourceKind.HLS, url=URL, proxy=Proxy("proxy.test", 1080))
        error = self.failureResultOf(self.open(source), UpstreamError).value
        self.assertEqual(error.status, 502)
        self.assertIn("cannot go through the SOCKS proxy: open its HLS form", error.sentence)
        self.assertEqual(self.openings.asked, [])

    def test_leaving(self) -> None:
        """Whoever gives it up while it is being opened leaves nothing open."""
        self.origin.pages["/index.m3u8"] = numbered(0, 5)
        opened = Deferred.fromCoroutine(self.sources().open(HLS, "m3u8"))
        opened.addErrback(lambda failure: None)
        opened.cancel()
        for _ in range(200):
            self.clock.advance(0.02)
        self.assertEqual([one for one in self.origin.connections if one.open], [])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class RemuxTests(SynchronousTestCase):
    def test_the_command(self) -> None:
        """Picture and sound are put together without being encoded, in this order, over HTTP alone."""
        command = remux_command("/opt/ffmpeg", ("http://a.test/v", "http://a.test/s"), HLS)
        self.assertEqual(command[0], "/opt/ffmpeg")
        inputs = [command[at + 1] for at, word in enumerate(command) if word == "-i"]
        maps = [command[at + 1] for at, word in enumerate(command) if word == "-map"]
        self.assertEqual((inputs, maps), (["http://a.test/v", "http://a.test/s"], ["0", "1"]))
        allowed = [command[at + 1] for at, word in enumerate(command) if word == "-protocol_whitelist"]
        self.assertEqual(len(allowed), 2)
        for each in allowed:
            self.assertTrue({"file", "pipe", "concat", "data", "udp"}.isdisjoint(each.split(",")))
        self.assertEqual(command[command.index("-c") + 1], "copy")
        self.assertEqual(command[-1], "-")
        self.assertNotIn("-headers", command)
        self.assertNotIn("-tls_verify", command)

    def test_headers_and_certificates(self) -> None:
        """The source's headers go with each request; a certificate is only let pass where the source says so."""
        source = Source(SourceKind.HLS, url=URL, headers=(("A", "b"), ("C", "d")), verify_tls=False)
        command = remux_command("ffmpeg", ("http://a.test/v",), source)
        self.assertEqual(command[command.index("-headers") + 1], "A: b\r\nC: d\r\n")
        self.assertEqual(command[command.index("-tls_verify") + 1], "0")
        self.assertLess(command.index("-headers"), command.index("-i"))
