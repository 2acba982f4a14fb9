"""Channel lists in M3U; what they say of a source is looked at too."""

from __future__ import annotations

from iptvd.errors import ProtocolError
from iptvd.protocols import m3u
from tests.fuzz.targets import split, told

_LISTS = (
    b"#EXTM3U x-tvg-url=\"http://example.com/epg.xml\" catchup='shift'\n"
    b'#EXTINF:-1 tvg-id="a.test" tvg-name="A, B" tvg-chno="5" tvg-logo="http://example.com/a.png" group-title="G;H"'
    b' radio="true" catchup="append" catchup-source="?utc={utc}",Name, with a comma\n'
    b"#EXTGRP:Other\n#EXTVLCOPT:http-user-agent=VLC\n#EXTVLCOPT:http-referrer=http://example.com/\n"
    b"#KODIPROP:inputstream.adaptive.manifest_type=hls\nhttp://example.com/a.m3u8|User-Agent=x&Referer=y\n",
    b"\xef\xbb\xbf#EXTM3U\r\n#EXTINF:0,x\r\nhttp://example.com/x.ts\r\n",
    "#EXTM3U\n#EXTINF:-1 tvg-id=ä,Ö\nhttp://example.com/1\n".encode("utf-16"),
    "#EXTM3U\n#EXTINF:-1,Ö\nrtmp://example.com/1\n".encode("latin-1"),
    b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n",
    b"<html>",
)
SEEDS = [prefix + text for prefix in (b"\0", b"\xff") for text in _LISTS]


def one(data: bytes) -> None:
    """Read it as a list, piece by piece; what comes out can be written again."""
    parser = m3u.M3UParser()
    try:
        found = [entry for piece in split(data) for entry in parser.feed(piece)]
        found += parser.close()
    except ProtocolError as error:
        told(error.sentence)
        return
    m3u.catchup_of(parser.attributes)
    for entry in found:
        assert entry.url
        assert "\n" not in entry.name
        assert all(m3u.allowed_header(name, value) for name, value in entry.headers)
        assert entry.number is None or entry.number >= 0
        assert isinstance(entry.logo, str)
        assert isinstance(entry.radio, bool)
