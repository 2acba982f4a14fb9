"""The provider for M3U playlists: what it lists, what it refuses, and that a playlist cannot reach this machine."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Sequence

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from iptvd.errors import ProviderError
from iptvd.interfaces import IFetcher, ProviderContext
from iptvd.model import ChannelKind, Entry, Fetched, Headers, Listing, ProviderState, Source, SourceKind
from iptvd.protocols import m3u as lists
from iptvd.providers import m3u as module
from iptvd.providers.m3u import STEP, M3USettings, m3u
from tests.doubles import folder_for, result

URL = "http://user:s3cret@lists.test/get.php?password=s3cret"
LIST = """#EXTM3U catchup="default" catchup-days="3"
#EXTINF:-1 tvg-id="one" tvg-name="One" tvg-chno="5" tvg-logo="http://logo.test/1.png" group-title="News",One HD
#EXTVLCOPT:http-referrer=http://site.test/
http://origin.test/live/user/s3cret/1.ts
#EXTINF:-1 tvg-id="two" catchup-days="9" catchup-source="http://origin.test/{utc}",Two
https://origin.test/two/index.m3u8?token=s3cret
#EXTINF:-1 tvg-logo="data:image/png;base64,x" radio="true",Three
http://origin.test/three.mp3
#EXTINF:-1,
http://origin.test/movie/user/s3cret/4.mkv
"""


@implementer(IFetcher)
class Lists:
    """Answers every request with what it is told to, and remembers the request."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b""
        self.headers: dict[str, str] = {}
        self.sent: Headers = ()
        self.verified: list[bool] = []
        self.limits: list[int] = []

    def get(
        self,
        url: str,
        *,
        headers: Headers = (),
        limit: int = 0,
        timeout: float = 0.0,
        verify_tls: bool = True,
    ) -> Awaitable[Fetched]:
        """See `IFetcher.get`."""
        self.sent = headers
        self.verified.append(verify_tls)
        self.limits.append(limit)
        return succeed(Fetched(self.status, url, self.headers, self.body))


class ProviderTestCase(SynchronousTestCase):
    """A provider over a pretended network and a real folder."""

    def setUp(self) -> None:
        self.web = Lists()
        self.folder = folder_for(self)
        self.steps = 0
        self.context = ProviderContext(
            name="mine",
            clock=Clock(),
            fetcher=self.web,
            state_dir=self.folder,
            ffmpeg="/opt/ffmpeg",
            user_agent="Agent/1",
            sliced=self.sliced,
            run=self.run_nothing,
        )

    def sliced(self, steps: Iterator[object]) -> Awaitable[None]:
        async def drain() -> None:
            for _ in steps:
                self.steps += 1

        return Deferred.fromCoroutine(drain())

    def run_nothing(self, argv: Sequence[str]) -> Awaitable[tuple[int, bytes]]:
        raise AssertionError("a playlist starts no program")

    def provider(self, url: str = URL, **options: object) -> module.M3UProvider:
        made = m3u.make(M3USettings(url, **options), self.context)  # type: ignore[arg-type]
        assert isinstance(made, module.M3UProvider)
        return made

    def listing(self, text: str | bytes) -> Listing:
        self.web.body = text.encode() if isinstance(text, str) else text
        listing = result(self.provider().fetch())
        assert listing is not None
        return listing

    def entries(self, text: str | bytes) -> Sequence[Entry]:
        return self.listing(text).entries

    def source(self, entry: Entry, **options: object) -> Source:
        (source,) = result(self.provider(**options).resolve(entry))  # type: ignore[arg-type]
        return source

    def refused(self, state: ProviderState, provider: module.M3UProvider | None = None) -> str:
        with self.assertRaises(ProviderError) as caught:
            result((provider or self.provider()).fetch())
        self.assertIs(caught.exception.state, state)
        sentence: str = caught.exception.sentence
        self.assertNotIn("s3cret", sentence)
        self.assertNotIn("://", sentence)
        return sentence


class ListingTests(ProviderTestCase):
    """What a playlist's entries become."""

    def test_entries(self) -> None:
        """Each entry comes with name, group, number, logo, kind and catch-up as the list has them."""
        one, two, three, four = self.entries(LIST)
        self.assertEqual(
            one,
            Entry(
                "one",
                "One HD",
                group="News",
                number=5,
                tvg_id="one",
                tvg_name="One",
                logo="http://logo.test/1.png",
                catchup=(("catchup", "default"), ("catchup-days", "3")),
                origin={
                    "url": "http://origin.test/live/user/s3cret/1.ts",
                    "headers": [["Referer", "http://site.test/"]],
                },
            ),
        )
        self.assertEqual((two.kind, two.source_kind, two.extension), (ChannelKind.LIVE, SourceKind.HLS, "m3u8"))
        self.assertEqual(
            two.catchup,
            (("catchup", "default"), ("catchup-source", "http://origin.test/{utc}"), ("catchup-days", "9")),
        )
        self.assertEqual((three.kind, three.source_kind, three.extension), (ChannelKind.RADIO, SourceKind.TS, "mp3"))
        self.assertEqual((three.logo, three.key), ("", "origin.test/three.mp3"))
        self.assertEqual((four.kind, four.source_kind, four.extension), (ChannelKind.VOD, SourceKind.VOD, "mkv"))
        self.assertEqual((four.name, four.key), ("4.mkv", "origin.test/movie/4"))

    def test_nothing_shown(self) -> None:
        """Neither settings nor entries show credentials when they are printed."""
        self.assertNotIn("s3cret", repr(self.listing(LIST)))
        self.assertNotIn("s3cret", repr(M3USettings(URL, {"Cookie": "s3cret"})))

    def test_names(self) -> None:
        """An entry without a name is called by its guide's names, its file, or something."""
        text = '#EXTM3U\n#EXTINF:0 tvg-id="i" tvg-name="n",\nhttp://a.test/1\n#EXTINF:0 tvg-id="i",\nhttp://a.test/2\n'
        text += "http://a.test/p/file.ts?x\nhttp://a.test\n"
        self.assertEqual([entry.name for entry in self.entries(text)], ["n", "i", "file.ts", "unnamed"])

    def test_bounded(self) -> None:
        """However long a list's texts are, what is kept of them is not."""
        long = "x" * 9000
        (entry,) = self.entries(
            f'#EXTINF:0 tvg-id="{long}" tvg-name="{long}" group-title="{long}" tvg-logo="http://a.test/{long}"'
            f' catchup-source="{long}" catchup="shift",{long}\nhttp://a.test/1\n'
        )
        self.assertEqual([len(text) for text in (entry.name, entry.group, entry.tvg_id, entry.tvg_name)], [256] * 4)
        self.assertEqual((entry.logo, entry.catchup), ("", (("catchup", "shift"),)))
        self.assertLess(len(entry.key), 256)

    def test_large(self) -> None:
        """A list of 100,000 channels is read in many short steps, each over a few KiB or a few hundred channels."""
        text = lists.header() + "".join(
            lists.entry(f"http://origin.test/{n}.ts", f"Channel {n}", tvg_id=f"c{n // 2}") for n in range(100_000)
        )
        fed: list[int] = []
        feed = lists.M3UParser.feed

        def counted(parser: lists.M3UParser, data: bytes) -> list[lists.M3UEntry]:
            fed.append(len(data))
            return feed(parser, data)

        self.patch(lists.M3UParser, "feed", counted)
        entries = self.entries(text)
        self.assertEqual(len(entries), 100_000)
        self.assertEqual(len({entry.key for entry in entries}), 100_000)
        self.assertEqual(sum(fed), len(text.encode()))
        self.assertLessEqual(max(fed), STEP)
        self.assertGreaterEqual(self.steps, len(fed) + 3 * 100_000 // module.BATCH)


class KeyTests(ProviderTestCase):
    """A channel keeps its key, and no two have the same."""

    def keys(self, text: str) -> list[str]:
        return [entry.key for entry in self.entries(text)]

    def test_ids(self) -> None:
        """A tvg-id that one entry alone has is its key; those who share one are known by their URLs."""
        text = "".join(f'#EXTINF:0 tvg-id="{i}",N\nhttp://a.test/{n}.ts\n' for n, i in enumerate(("a", "b", "a", "")))
        self.assertEqual(self.keys(text), ["a.test/0.ts", "b", "a.test/2.ts", "a.test/3.ts"])

    def test_urls(self) -> None:
        """Entries with one URL are known by their names too, and by their place when even these are the same."""
        names = ("A", "B", "A", "A#2", "A")
        text = "".join(f"#EXTINF:0,{name}\nhttp://a.test/play?id={n}\n" for n, name in enumerate(names))
        keys = ["a.test/play A", "a.test/play B", "a.test/play A#2", "a.test/play A%232", "a.test/play A#3"]
        self.assertEqual(self.keys(text), keys)

    def test_id_like_url(self) -> None:
        """A tvg-id that looks like another entry's URL does not take its key away."""
        text = '#EXTINF:0,A\nhttp://a.test/1\n#EXTINF:0 tvg-id="a.test/1",B\nhttp://a.test/2\n'
        self.assertEqual(self.keys(text), ["a.test/1#2", "a.test/1"])

    def test_new_password(self) -> None:
        """A changed password, scheme or token changes no key."""
        text = "".join(
            f"#EXTINF:0,N\nhttp://PW@a.test/{kind}user/PW/{kind and 7}1.ts?t=PW\n" for kind in ("", "movie/")
        )
        text += "http://a.test/x/y.m3u8?token=PW\n"
        old, new = text.replace("PW", "old"), text.replace("PW", "new").replace("http:", "https:")
        self.assertEqual(self.keys(old), self.keys(new))
        self.assertNotIn("old", "".join(self.keys(old)))

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(st.sampled_from(("", "a", "b", "a#2", "h.test/")), st.sampled_from("xy"), st.sampled_from("12"))
        )
    )
    def test_always_unique(self, rows: list[tuple[str, str, str]]) -> None:
        """Whatever is the same in a list, its keys differ, and come out the same each time."""
        if rows:
            text = "".join(f'#EXTINF:0 tvg-id="{i}",{name}\nhttp://h.test/{path}\n' for i, name, path in rows)
            keys = self.keys(text)
            self.assertEqual(len(set(keys)), len(rows))
            self.assertEqual(self.keys(text), keys)


class SafetyTests(ProviderTestCase):
    """A playlist from outside names nothing on this machine."""

    def test_skipped(self) -> None:
        """Entries that are files, commands, options or nested protocols are left out, and counted."""
        bad = (
            "/etc/passwd",
            "file:///etc/passwd",
            "-f lavfi -i http://a.test/",
            "-http://a.test/",
            "pipe:0",
            "concat:http://a.test/1|file:/etc/passwd",
            "subfile,,start,0,end,0,,:/etc/passwd",
            "plugin://plugin.video.x/",
            "relative/path.ts",
            "http://",
            "http://a.test/" + "x" * 9000,
        )
        text = "#EXTM3U\n" + "".join(f"#EXTINF:0,N\n{url}\n" for url in bad) + "http://a.test/1.ts\n"
        listing = self.listing(text)
        self.assertEqual([entry.origin["url"] for entry in listing.entries], ["http://a.test/1.ts"])
        self.assertEqual(listing.skipped, {"not a stream URL": len(bad)})

    def test_origin_from_disk(self) -> None:
        """An entry that was kept on disk and names anything but a stream is refused when it is asked for."""
        for origin in ({}, {"url": "/etc/passwd"}, {"url": "file:///etc/passwd"}, {"url": 3}, {"url": "-i"}):
            entry = Entry("k", "N", origin=origin)
            with self.assertRaises(ProviderError) as caught:
                result(self.provider().resolve(entry))
            self.assertIs(caught.exception.state, ProviderState.NOT_UNDERSTOOD)

    def test_headers_from_disk(self) -> None:
        """Headers that were kept on disk are sent only when they may be."""
        headers = [["Host", "b.test"], ["X-A", "1\r\nX-B: 2"], ["X-C", "3"]]
        entry = Entry("k", "N", origin={"url": "http://a.test/", "headers": headers})
        self.assertEqual(self.source(entry).headers, (("X-C", "3"), ("User-Agent", "Agent/1")))

    @settings(max_examples=200, deadline=None)
    @given(st.text(st.characters(codec="utf-8"), max_size=60) | st.text("-htpfile:/@.|,a1 %\\", max_size=30))
    def test_any_url(self, url: str) -> None:
        """Whatever stands for a URL, what is resolved is http(s), or an ffmpeg command with that URL behind its -i."""
        for entry in self.entries(f"#EXTM3U\n#EXTINF:0,N\n{url}\nhttp://a.test/last\n"):
            source = self.source(entry)
            self.assertFalse(source.path)
            if source.command:
                self.assertEqual(source.command[0], "/opt/ffmpeg")
                address = source.command[source.command.index("-i") + 1]
                self.assertRegex(address, r"\A(udp|rtp|rtsp|rtmps?|srt|https?)://[!-~]+\Z")
            else:
                self.assertRegex(source.url, r"\Ahttps?://[!-~]+\Z")


class ResolvingTests(ProviderTestCase):
    """What an entry is played from."""

    def test_url(self) -> None:
        """A stream over HTTP is its URL, with the list's headers and an agent."""
        one, two, *_ = self.entries(LIST)
        self.assertEqual(
            self.source(one),
            Source(
                SourceKind.TS,
                "http://origin.test/live/user/s3cret/1.ts",
                headers=(("Referer", "http://site.test/"), ("User-Agent", "Agent/1")),
            ),
        )
        self.assertEqual(self.source(two).kind, SourceKind.HLS)
        self.assertFalse(self.source(two, verify_tls=False).verify_tls)

    def test_own_agent(self) -> None:
        """The agent that a list asks for replaces ours, and without any none is named."""
        (entry,) = self.entries("http://a.test/1.ts|user-agent=Own%2F2\n")
        self.assertEqual(self.source(entry).headers, (("user-agent", "Own/2"),))
        self.context = evolve(self.context, user_agent="")
        (entry,) = self.entries("http://a.test/1.ts\n")
        self.assertEqual(self.source(entry).headers, ())

    def test_remuxed(self) -> None:
        """Multicast, RTSP, RTMP, SRT and DASH come through ffmpeg as MPEG-TS."""
        text = "udp://@239.0.0.1:1234\nrtsp://a.test/x\nrtmp://a.test/x/y\nsrt://a.test:9\nhttps://a.test/x.mpd\n"
        text += "#KODIPROP:inputstream.adaptive.manifest_type=mpd\nhttp://a.test/dash|Referer=http://b.test/\n"
        entries = self.entries(text)
        self.assertEqual(len(entries), 6)
        for entry in entries:
            source = self.source(entry)
            self.assertEqual((entry.source_kind, entry.extension, source.kind), (SourceKind.TS, "ts", SourceKind.TS))
            self.assertEqual(source.command[-4:], ("copy", "-f", "mpegts", "-"))
        self.assertIn("udp://239.0.0.1:1234", self.source(entries[0]).command)
        self.assertIn("Referer: http://b.test/\r\nUser-Agent: Agent/1\r\n", self.source(entries[5]).command)

    def test_without_ffmpeg(self) -> None:
        """Without ffmpeg such entries are listed with the reason, and asking for one gives it."""
        (ready,) = self.entries("udp://@239.0.0.1:1234\n")
        self.context = evolve(self.context, ffmpeg="")
        (entry,) = self.entries("udp://@239.0.0.1:1234\n")
        self.assertIn("needs ffmpeg", entry.unsupported)
        for each in (entry, ready):
            with self.assertRaises(ProviderError) as caught:
                result(self.provider().resolve(each))
            self.assertIn("needs ffmpeg", caught.exception.sentence)

    def test_drm(self) -> None:
        """What is protected by DRM is listed, and says so."""
        text = "#KODIPROP:inputstream.adaptive.license_type=com.widevine.alpha\nhttp://a.test/x.mpd\n"
        (entry,) = self.entries(text)
        self.assertEqual(entry.unsupported, "it is protected by DRM")
