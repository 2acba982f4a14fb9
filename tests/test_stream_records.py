"""Streams as they are kept, and as the lineup has them."""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.model import ChannelKind, SourceKind
from iptvd.stream_records import Stream, entry_of_stream, form_of, id_of, recognised, stream_of, to_record

URL = "http://example.com/one.ts"
FULL = Stream(
    url=URL,
    failover_urls=["http://example.com/two.m3u8", URL],
    user_agent="TV",
    headers={"Referer": "http://example.com/"},
    metadata={"local_id": "7", "group": "News"},
    name="One",
    created=1000.0,
    extra={"theirs": [1, {"a": None}]},
)


class StreamTests(SynchronousTestCase):
    def test_the_id(self) -> None:
        """The same URL is the same stream, under the id that m3u-proxy gives it."""
        # What `printf http://example.com/one.ts | md5sum` says.
        self.assertEqual(id_of(URL), "f0eaedd6113d5a3c2e6c0d42f6ff98b8")
        self.assertNotEqual(id_of(URL), id_of(URL + "?"))
        self.assertEqual(len(id_of("http://example.com/\udc80")), 32)

    def test_it_comes_back(self) -> None:
        """A stream is the same after it was kept; a record that is none is told from one."""
        for stream in (FULL, Stream(url=URL)):
            self.assertEqual(stream_of(to_record(stream)), stream)
        for record in ({}, {"url": 7}, {"url": URL, "failover_urls": "x"}):
            with self.assertRaises(msgspec.ValidationError):
                stream_of(record)

    def test_an_entry(self) -> None:
        """The lineup has its name and group, and where it is to be had, each URL once."""
        entry = entry_of_stream(id_of(URL), to_record(FULL))
        self.assertEqual((entry.name, entry.group, entry.key), ("One", "News", id_of(URL)))
        self.assertEqual(entry.origin["urls"], [URL, "http://example.com/two.m3u8"])
        self.assertEqual((entry.origin["headers"], entry.origin["user_agent"]), (FULL.headers, "TV"))
        self.assertNotIn("example.com", repr(entry))

    def test_its_name(self) -> None:
        """Without a name it is called what its metadata say, else by its id, and never by what breaks a playlist."""
        for metadata, name in (
            ({"title": "A"}, "A"),
            ({"channel_name": "B\n#EXTM3U"}, "B #EXTM3U"),
            ({"name": " ", "title": "C"}, "C"),
            ({}, f"Stream {id_of(URL)[:8]}"),
        ):
            record = to_record(Stream(url=URL, metadata=metadata))
            self.assertEqual(entry_of_stream(id_of(URL), record).name, name)

    def test_forms(self) -> None:
        """What a stream is goes by the path of its URL."""
        for path, form in (
            ("a", (ChannelKind.LIVE, SourceKind.TS, "ts")),
            ("a.m3u8?b=c", (ChannelKind.LIVE, SourceKind.HLS, "m3u8")),
            ("a.mp4", (ChannelKind.VOD, SourceKind.VOD, "mp4")),
            ("movie/u/p/1.mkv", (ChannelKind.VOD, SourceKind.VOD, "mkv")),
            ("a.mp3", (ChannelKind.RADIO, SourceKind.TS, "mp3")),
        ):
            self.assertEqual(form_of(f"https://example.com/{path}"), form, path)

    def test_what_is_none(self) -> None:
        """What is no http or https URL is no stream, nor is DASH."""
        for url in ("", "x", "ftp://example.com/", "rtmp://example.com/a", "http://", "http://example.com/a.mpd"):
            with self.assertRaises(ProtocolError):
                recognised(url)
            with self.assertRaises(ProtocolError):
                entry_of_stream("x", {"url": url})
