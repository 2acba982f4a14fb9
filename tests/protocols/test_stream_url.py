"""Stream URLs from outside: what is one, what it is, and what ffmpeg may do with it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.model import ChannelKind, SourceKind
from iptvd.protocols.stream_url import (
    MANIFEST_TYPE,
    StreamUrl,
    classify,
    recognise,
    remux_command,
    why_unsupported,
)

FFMPEG = "/opt/ffmpeg"


def stream(url: str, manifest_type: str = "") -> StreamUrl:
    found = recognise(url, manifest_type)
    assert found is not None, url
    return found


class Recognising(SynchronousTestCase):
    """Only what is asked for over the network is a stream."""

    def test_never(self) -> None:
        """No file, folder, command, option, device or nested protocol is ever taken for a stream."""
        for url in (
            "",
            "/etc/passwd",
            "etc/passwd",
            "..",
            "C:\\films\\a.mp4",
            "\\\\server\\share\\a.ts",
            "-i",
            "-f lavfi http://a.test/",
            "-http://a.test/",
            "@http://a.test/",
            "file:/etc/passwd",
            "file:///etc/passwd",
            "FILE:///etc/passwd",
            "file://a.test/etc/passwd",
            "pipe:0",
            "pipe://a.test/",
            "fd:",
            "unix:/run/a.sock",
            "unix://a.test/run/a.sock",
            "concat:http://a.test/1|/etc/passwd",
            "concat://a.test/1|/etc/passwd",
            "concatf:/etc/passwd",
            "subfile,,start,0,end,0,,:/etc/passwd",
            "subfile,,start,0,end,0,,:http://a.test/",
            "http,listen,1:http://a.test/",
            "async:http://a.test/",
            "cache:http://a.test/",
            "crypto+http://a.test/",
            "crypto:http://a.test/",
            "data:text/plain,x",
            "data://a.test/",
            "lavfi:testsrc",
            "tee:a.ts",
            "hls+http://a.test/",
            "hls+file:///etc/passwd",
            "plugin://plugin.video.a/?b",
            "script://a.test/",
            "exec://a.test/",
            "mpd://a.test/a.mpd",
            "ftp://a.test/a.ts",
            "sftp://a.test/a.ts",
            "gopher://a.test/",
            "tcp://a.test:1",
            "rist://a.test:1",
            "zmq:tcp://a.test:1",
            "dvb://1",
            "v4l2:///dev/video0",
            "javascript:alert(1)",
            "http:/a.test/",
            "http:a.test",
            "http//a.test",
            "//a.test/a.ts",
            "http://",
            "http:///etc/passwd",
            "http://:80/",
            "http://a.test:0/",
            "http://a.test:65536/",
            "http://a.test:x/",
            "http://a.test:-1/",
            "http://a b.test/",
            "http://a..test/",
            "http://.test/",
            "http://%61.test/",
            "http://a.test\\@b.test/",
            "http://a,b.test/",
            "http://[::1/",
            "http://[a.test]/",
            "http://[]/",
            "http://\u2100.test/",
            "http://" + "ü" * 300 + ".test/",
            "http://" + "a" * 64 + ".test/",
            "http://" + "a." * 200 + "test/",
            "http://a.test\n/etc/passwd",
            "http://a.test/" + "a" * 8192,
            "udp://239.0.0.1",
            "udp://@",
            "rtp://239.0.0.1/",
            "srt://:9000",
            "srt://a.test",
            "rtmp:///app/x",
            "rtsp://",
            "rtsps:/a.test/",
        ):
            self.assertIsNone(recognise(url), url)
            self.assertIsNone(recognise(url, "mpd"), url)

    @settings(max_examples=300, deadline=None)
    @given(st.text(max_size=60) | st.text("htps:/@[]-,.|a1\\ ?#", max_size=30).map("http://".__add__))
    def test_anything(self, url: str) -> None:
        """Whatever is recognised is printable, has a known scheme and a host, and stays what it is when seen again."""
        found = recognise(url)
        if found is not None:
            self.assertRegex(found.url, r"\A(https?|udp|rtp|rtsp|rtmps?|srt)://[!-~]*\Z")
            self.assertEqual(stream(found.url).url, found.url)

    def test_normalised(self) -> None:
        """Scheme and host are lower case and ASCII, spaces and other letters encoded, and the fragment is gone."""
        for url, expected in {
            "HTTP://A.Test/B c.ts?d=é#f": "http://a.test/B%20c.ts?d=%C3%A9",
            "http://a.test": "http://a.test",
            "http://a.test./x%20y": "http://a.test./x%20y",
            "http://Bücher.test/": "http://xn--bcher-kva.test/",
            "http://u ser:p%40ss@a.test:8080/": "http://u%20ser:p%40ss@a.test:8080/",
            "http://[::1]:80/a": "http://[::1]:80/a",
            "http://a.test/a\x00b\x7f\udc80": "http://a.test/a%00b%7F%ED%B2%80",
        }.items():
            self.assertEqual(stream(url).url, expected)

    def test_forms(self) -> None:
        """What is not plain HTTP is known by its scheme, and DASH by its extension or by what the list says."""
        for url, form in {
            "http://a.test/a.ts": "",
            "https://a.test/A.MPD?x": "mpd",
            "rtsp://u:p@a.test/cam": "rtsp",
            "rtmps://a.test/app/x": "rtmps",
            "RTMP://a.test/app/x": "rtmp",
            "srt://a.test:9000?streamid=x": "srt",
        }.items():
            self.assertEqual(stream(url).form, form)
        self.assertEqual(stream("http://a.test/a", "mpd").form, "mpd")
        self.assertEqual(stream("rtmp://a.test/a.mpd", "mpd").form, "rtmp")

    def test_multicast(self) -> None:
        """The form that VLC writes groups in is understood, and nothing but host, port and options remains of it."""
        for url, expected in {
            "udp://@239.0.0.1:1234": "udp://239.0.0.1:1234",
            "udp://@:1234": "udp://:1234",
            "UDP://10.0.0.1@239.0.0.1:1234/%d.png?localaddr=10.0.0.2": "udp://239.0.0.1:1234?localaddr=10.0.0.2",
            "rtp://@[ff02::1]:5004": "rtp://[ff02::1]:5004",
            "srt://a.test:9000?streamid=#!::r=a/b": "srt://a.test:9000?streamid=#!::r=a/b",
        }.items():
            self.assertEqual(stream(url).url, expected)

    def test_keys(self) -> None:
        """A stream keeps its key when scheme, credentials, container or query change."""
        for urls, key in (
            (("http://a.test/x/y.ts", "https://u:p@A.test:443/x/y.ts?token=1"), "a.test/x/y.ts"),
            (("http://a.test:8080/x", "https://a.test:8080/x"), "a.test:8080/x"),
            (("https://a.test:80/x",), "a.test:80/x"),
            (
                ("http://a.test/live/u/p/12.ts", "http://a.test/u2/p2/12", "http://a.test/u/p/12.m3u8"),
                "a.test/live/12",
            ),
            (("http://a.test/movie/u/p/12.mkv", "http://a.test/movie/u/p2/12.mkv"), "a.test/movie/12"),
            (("http://a.test/series/u/p/12.mp4",), "a.test/series/12"),
            (("http://a.test/a/b/c/12.ts",), "a.test/a/b/c/12.ts"),
            (("http://a.test",), "a.test"),
            (("udp://@239.0.0.1:1234", "udp://239.0.0.1:1234?x=1"), "239.0.0.1:1234"),
        ):
            for url in urls:
                self.assertEqual(stream(url).key, key)

    def test_nothing_shown(self) -> None:
        """Its representation holds neither credentials nor tokens."""
        self.assertNotIn("s3cret", repr(stream("http://u:s3cret@a.test/live/u/s3cret/1.ts?t=s3cret")))


class Classifying(SynchronousTestCase):
    """What a stream is to a viewer."""

    def test_kinds(self) -> None:
        """Live, radio and films are told apart by path, extension and what the list says."""
        live, radio, vod = ChannelKind.LIVE, ChannelKind.RADIO, ChannelKind.VOD
        ts, hls, file = SourceKind.TS, SourceKind.HLS, SourceKind.VOD
        for url, manifest_type, is_radio, expected in (
            ("http://a.test/1", "", False, (live, ts, "ts")),
            ("http://a.test/1.ts", "", False, (live, ts, "ts")),
            ("http://a.test/u/p/1", "", False, (live, ts, "ts")),
            ("http://a.test/a.php", "", False, (live, ts, "ts")),
            ("http://a.test/1.M3U8?x", "", False, (live, hls, "m3u8")),
            ("http://a.test/1", "hls", False, (live, hls, "m3u8")),
            ("http://a.test/a.php?id=1&output=m3u8", "", False, (live, hls, "m3u8")),
            ("http://a.test/a.php?type=M3U8&id=1", "", False, (live, hls, "m3u8")),
            ("http://a.test/p?u=http%3A%2F%2Fb.test%2Fx.m3u8", "", False, (live, hls, "m3u8")),
            ("http://a.test/p?note=m3u8x", "", False, (live, ts, "ts")),
            ("http://a.test/a.m3u8", "", True, (radio, hls, "m3u8")),
            ("http://a.test/1", "", True, (radio, ts, "ts")),
            ("http://a.test/1.mp3", "", False, (radio, ts, "mp3")),
            ("http://a.test/1.AAC", "", True, (radio, ts, "aac")),
            ("http://a.test/1.mp4", "", True, (radio, ts, "ts")),
            ("http://a.test/1.MKV", "", False, (vod, file, "mkv")),
            ("http://a.test/film.webm?x=y", "", False, (vod, file, "webm")),
            ("http://a.test/movie/u/p/1.ts", "", False, (vod, file, "ts")),
            ("http://a.test/series/u/p/1", "", False, (vod, file, "mp4")),
            ("http://a.test/movie/u/p/1.m3u8", "", False, (vod, hls, "m3u8")),
            ("http://a.test/1.mpd", "", False, (live, ts, "ts")),
            ("rtmp://a.test/x.mp4", "", False, (live, ts, "ts")),
            ("rtmp://a.test/x", "", True, (radio, ts, "ts")),
        ):
            self.assertEqual(classify(stream(url, manifest_type), manifest_type, is_radio), expected, url)

    def test_unsupported(self) -> None:
        """What cannot be played says why."""
        for url, properties, ffmpeg, expected in (
            ("http://a.test/1.ts", {}, "", ""),
            ("http://a.test/1.mpd", {}, FFMPEG, ""),
            ("http://a.test/1.mpd", {}, "", "needs ffmpeg because it comes as mpd"),
            ("udp://239.0.0.1:1", {}, "", "needs ffmpeg because it comes as udp"),
            ("http://a.test/1.mpd", {"inputstream.adaptive.license_type": "com.widevine.alpha"}, FFMPEG, "DRM"),
            ("http://a.test/1.m3u8", {"inputstream.adaptive.drm_legacy": "org.w3.clearkey"}, FFMPEG, "DRM"),
            ("http://a.test/1.mpd", {"inputstream.adaptive.license_type": "", "x": "y"}, FFMPEG, ""),
            ("http://a.test/1.ism/Manifest", {}, FFMPEG, "Smooth Streaming"),
            ("http://a.test/1", {MANIFEST_TYPE: "ISM"}, FFMPEG, "Smooth Streaming"),
            ("srt://a.test:9000?x=1&mode=listener", {}, FFMPEG, "waits for a sender"),
            ("rtsp://a.test/x?listen", {}, FFMPEG, "waits for a sender"),
            ("srt://a.test:9000?mode=caller", {}, FFMPEG, ""),
            ("http://a.test/1.mpd?listen=1", {}, FFMPEG, ""),
        ):
            found = why_unsupported(stream(url), properties, ffmpeg)
            self.assertEqual(bool(found), bool(expected), url)
            self.assertIn(expected, found)


class Remuxing(SynchronousTestCase):
    """What ffmpeg is told."""

    def command(self, url: str, *headers: tuple[str, str], verify_tls: bool = True) -> list[str]:
        return list(remux_command(FFMPEG, stream(url), headers, verify_tls))

    def test_shape(self) -> None:
        """A group of multicast is taken as MPEG-TS and written as MPEG-TS, with no protocol but its own."""
        self.assertEqual(
            self.command("udp://@239.0.0.1:1234", ("Referer", "http://a.test/")),
            f"{FFMPEG} -nostdin -v error -protocol_whitelist udp -f mpegts"
            " -i udp://239.0.0.1:1234 -c copy -f mpegts -".split(),
        )

    def test_bounds(self) -> None:
        """Whatever the scheme, nothing local may be opened, the format is fixed, and the URL stands behind its -i."""
        for url, protocols in {
            "rtp://@239.0.0.1:1234": {"rtp", "udp"},
            "rtsp://a.test/x": {"rtp", "udp", "tcp"},
            "rtmp://a.test/x": {"rtmp", "tcp"},
            "rtmps://a.test/x": {"rtmps", "tls", "tcp"},
            "srt://a.test:1": {"srt"},
            "http://a.test/x.mpd": {"http", "https", "tcp", "tls", "crypto"},
        }.items():
            command = self.command(url)
            source = command.index("-i")
            self.assertEqual(set(command[command.index("-protocol_whitelist") + 1].split(",")), protocols)
            self.assertLess(command.index("-protocol_whitelist"), source)
            self.assertLess(command.index("-f"), source)
            self.assertEqual(command[source + 1], stream(url).url)
            self.assertEqual(command.count("-i"), 1)

    def test_dash(self) -> None:
        """DASH is asked for with the list's headers, and verified where there is TLS."""
        command = self.command("http://a.test/x.mpd", ("Referer", "http://b.test/"), ("User-Agent", "Agent/1"))
        headers = command[command.index("-headers") + 1]
        self.assertEqual(headers, "Referer: http://b.test/\r\nUser-Agent: Agent/1\r\n")
        self.assertNotIn("-tls_verify", command)
        for verify_tls, told in ((True, "1"), (False, "0")):
            command = self.command("https://a.test/x.mpd", verify_tls=verify_tls)
            self.assertNotIn("-headers", command)
            self.assertEqual(command[command.index("-tls_verify") + 1], told)
