"""Channel lists as they are in the field, and as we write them."""

from __future__ import annotations

from random import Random
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.protocols import m3u
from iptvd.protocols.m3u import M3UEntry, M3UParser

TYPICAL = """\
\ufeff#EXTM3U url-tvg="http://epg.example.com/a.xml.gz,http://epg.example.com/b.xml" catchup-days=3\r
#EXTINF:-1 tvg-id="one.example" tvg-chno="7" tvg-logo="http://l.example.com/1.png" group-title="News; Local",One, HD\r
http://origin.example.com/live/1.ts?a=b,c\r
\r
#EXTGRP:Föreign\r
#EXTINF:0 tvg-id='two' channel-number=8 logo=http://logo.example.com/2.png radio=true,Zwei “2”\r
#EXTVLCOPT:http-user-agent="Player/1.0 (a; b)"\r
#EXTVLCOPT:http-referrer=http://site.example.com/?a=b\r
#KODIPROP:inputstream.adaptive.manifest_type=mpd\r
http://origin.example.com/2.mpd\r
#EXTINF:12.5,Three\r
http://origin.example.com/3.mp4|User-Agent=Kodi%2F20+x&Origin=http%3A%2F%2Fsite.example.com
"""


def parse(text: str | bytes, *, step: int | None = None) -> list[M3UEntry]:
    data = text.encode() if isinstance(text, str) else text
    parser = M3UParser()
    entries: list[M3UEntry] = []
    for start in range(0, len(data), step or max(len(data), 1)):
        entries += parser.feed(data[start : start + (step or len(data))])
    return entries + parser.close()


def only(text: str | bytes) -> M3UEntry:
    (entry,) = parse(text)
    return entry


class Reading(SynchronousTestCase):
    """What lists in the field hold is understood."""

    def test_typical(self) -> None:
        """A list as players take it gives names, URLs, groups, numbers, logos and request headers."""
        one, two, three = parse(TYPICAL)
        self.assertEqual((one.name, one.url), ("One, HD", "http://origin.example.com/live/1.ts?a=b,c"))
        self.assertEqual((one.group, one.number, one.duration, one.radio), ("News; Local", 7, -1.0, False))
        self.assertEqual(one.logo, "http://l.example.com/1.png")
        self.assertEqual(one.headers, ())
        self.assertEqual((two.name, two.group, two.number, two.radio), ("Zwei “2”", "Föreign", 8, True))
        self.assertEqual((two.attributes["tvg-id"], two.logo), ("two", "http://logo.example.com/2.png"))
        self.assertEqual(
            two.headers, (("User-Agent", "Player/1.0 (a; b)"), ("Referer", "http://site.example.com/?a=b"))
        )
        self.assertEqual(two.properties, {"inputstream.adaptive.manifest_type": "mpd"})
        self.assertEqual((three.name, three.url), ("Three", "http://origin.example.com/3.mp4"))
        self.assertEqual((three.group, three.duration), ("Föreign", 12.5))
        self.assertEqual(three.headers, (("User-Agent", "Kodi/20 x"), ("Origin", "http://site.example.com")))
        self.assertEqual(three.properties, {})

    def test_any_split(self) -> None:
        """However a list arrives in pieces, the same entries come out of it."""
        random = Random(5)
        for encoded in (TYPICAL.encode(), TYPICAL[1:].encode("utf-16"), TYPICAL.replace("\n", "").encode()):
            whole = parse(encoded)
            self.assertEqual(len(whole), 3)
            self.assertEqual(parse(encoded, step=1), whole)
            for _ in range(50):
                parser, rest, entries = M3UParser(), encoded, list[M3UEntry]()
                while rest:
                    cut = random.randrange(1, 90)
                    entries += parser.feed(rest[:cut])
                    rest = rest[cut:]
                self.assertEqual(entries + parser.close(), whole)

    def test_header_attributes(self) -> None:
        """The first line's attributes are those of the list, even when other lists were appended to it."""
        for mark in ("", "\ufeff"):
            parser = M3UParser()
            parser.feed((mark + '#EXTM3U x-tvg-url="http://a.test/?a=1,b", x=1 junk\n#EXTM3U x=2\n').encode())
            self.assertEqual(parser.attributes, {"x-tvg-url": "http://a.test/?a=1,b", "x": "1"})

    def test_line_ends(self) -> None:
        """LF, CRLF and CR all end lines."""
        for end in ("\n", "\r\n", "\r"):
            text = end.join(("#EXTM3U", "#EXTINF:-1,A", "http://a.test/1", "#EXTINF:-1,B", "http://a.test/2"))
            for step in (None, 1):
                self.assertEqual([e.name for e in parse(text, step=step)], ["A", "B"])

    def test_encodings(self) -> None:
        """Lines in UTF-8 and in latin-1 may stand in one list, and UTF-16 with its mark is read too."""
        lines = [b"\xef\xbb\xbf#EXTM3U x=\xe9", "#EXTINF:-1,Télé".encode("latin-1"), b"http://a.test/1"]
        lines += ["#EXTINF:-1,Télé".encode(), b"http://a.test/2"]
        self.assertEqual([e.name for e in parse(b"\n".join(lines))], ["Télé", "Télé"])
        parser = M3UParser()
        parser.feed(b"\n".join(lines))
        self.assertEqual(parser.attributes, {"x": "é"})
        for encoding in ("utf-16-le", "utf-16-be"):
            text = "\ufeff#EXTM3U\n#EXTINF:-1,Télé\nhttp://a.test/1"
            self.assertEqual(only(text.encode(encoding)).name, "Télé")

    def test_extinf_forms(self) -> None:
        """The name begins after the comma that follows the attributes, in whatever way they are quoted."""
        cases: dict[str, tuple[str, dict[str, str]]] = {
            '-1 a="1",Name': ("Name", {"a": "1"}),
            "-1,Name": ("Name", {}),
            "-1 , Name ": ("Name", {}),
            '-1 a="1",Name, with comma': ("Name, with comma", {"a": "1"}),
            '-1 a="x, y" b="p=q",Name': ("Name", {"a": "x, y", "b": "p=q"}),
            "-1 a='x, y' b='p=\"q',Name": ("Name", {"a": "x, y", "b": 'p="q'}),
            "-1 a=1 b=p=q,Name": ("Name", {"a": "1", "b": "p=q"}),
            '-1 a = "1" B= 2,Name': ("Name", {"a": "1", "b": "2"}),
            '-1 a="1"b="2",Name': ("Name", {"a": "1", "b": "2"}),
            '-1 a="",Name': ("Name", {"a": ""}),
            '-1 a="1 b,Name': ("Name", {"a": "1"}),
            '-1 a="A "b" C" d="2",Name': ("Name", {"a": "A", "d": "2"}),
            "-1 a=My Group,Name": ("Name", {"a": "My"}),
            '-1,a="1" b="2",Name': ("Name", {"a": "1", "b": "2"}),
            '-1,a="1" Name': ('a="1" Name', {}),
            "-1,Name a=1": ("Name a=1", {}),
            '-1 a="1",The "best" one': ('The "best" one', {"a": "1"}),
            '-1 a="1"': ("", {"a": "1"}),
            "-1 Just a name": ("Just a name", {}),
            "Just a name": ("Just a name", {}),
            "": ("", {}),
            ",": ("", {}),
            '-1 ä="1",Name': ("Name", {"ä": "1"}),
            '-1 a="1" tvg-name="Known"': ("Known", {"a": "1", "tvg-name": "Known"}),
        }
        for text, (name, attributes) in cases.items():
            entry = only(f"#EXTINF:{text}\nhttp://a.test/1\n")
            self.assertEqual((entry.name, entry.attributes), (name, attributes), text)
        self.assertEqual(only("#extinf :5,Name\nhttp://a.test/1").name, "Name")

    def test_durations(self) -> None:
        """A duration is seconds, and -1 when it makes no sense."""
        cases = {"0": 0.0, "-1": -1.0, "12.5": 12.5, "+3": 3.0, "": -1.0, "-": -1.0, "x": -1.0, "7.": 7.0}
        for text, seconds in cases.items():
            self.assertEqual(only(f"#EXTINF:{text},N\nhttp://a.test/1").duration, seconds)

    def test_numbers(self) -> None:
        """Only a positive whole number is a channel number."""
        for text, number in {"12": 12, "0": None, "-3": None, "5.1": None, "x": None, "9999999999": None}.items():
            self.assertEqual(only(f'#EXTINF:-1 tvg-chno="{text}",N\nhttp://a.test/1').number, number)

    def test_group(self) -> None:
        """An #EXTGRP lasts until the next, an empty one ends it, and a group-title counts for its entry."""
        text = "#EXTM3U\n#EXTINF:0,1\n#EXTGRP:A\nu1\n#EXTINF:0,2\nu2\n#EXTINF:0 group-title=B,3\nu3\n#EXTINF:0,4\nu4\n"
        text += "#EXTGRP:\n#EXTINF:0,5\nu5\n"
        self.assertEqual([e.group for e in parse(text)], ["A", "A", "B", "A", ""])

    def test_catchup(self) -> None:
        """Catch-up attributes are kept as they are, placeholders and all."""
        source = "http://a.test/x?utc={utc}&lutc=${timestamp}&d={duration:60}"
        entry = only(
            f'#EXTINF:-1 catchup="append" catchup-source="{source}" tvg-rec="" timeshift=5 x=1,N\nhttp://a.test'
        )
        self.assertEqual(
            m3u.catchup_of(entry.attributes), (("catchup", "append"), ("catchup-source", source), ("timeshift", "5"))
        )

    def test_bare_urls(self) -> None:
        """A list of nothing but URLs is one too, and other text in it is passed over."""
        self.assertEqual(
            [(e.name, e.url) for e in parse("some words\nhttp://a.test/1\n# a remark\n\nudp://@239.0.0.1:1\n")],
            [("", "http://a.test/1"), ("", "udp://@239.0.0.1:1")],
        )

    def test_no_header_line(self) -> None:
        """A list without #EXTM3U is read all the same, and what an #EXTINF announces is an entry whatever it is."""
        self.assertEqual(only("#EXTINF:-1,N\n/a/file.ts\n").url, "/a/file.ts")

    def test_control_characters(self) -> None:
        """No name, group or attribute holds a control character or anything that ends a line."""
        entry = only('#EXTINF:-1 a="x\x00y" group-title="p\u2028q",N\x1bo\x85\ufeffo\nhttp://a.test/1')
        self.assertEqual((entry.name, entry.group, entry.attributes["a"]), ("N o o", "p q", "x y"))

    def test_no_secrets_shown(self) -> None:
        """An entry's representation shows neither its URL nor its headers."""
        entry = only("#EXTINF:-1,N\n#EXTVLCOPT:http-user-agent=s3cret\nhttp://u:s3cret@a.test/")
        self.assertNotIn("s3cret", repr(entry))


class RequestHeaders(SynchronousTestCase):
    """What a list may say about requests."""

    def headers(self, lines: str) -> dict[str, str]:
        return dict(only(f"#EXTM3U\n{lines}").headers)

    def test_places(self) -> None:
        """VLC's options, Kodi's properties, attributes and the URL's suffix name headers, the last one counting."""
        vlc = "#EXTVLCOPT:http-user-agent=V\n#EXTVLCOPT:http-origin=http://o.test\n#EXTVLCOPT:network-caching=1000\n"
        kodi = "#KODIPROP:inputstream.adaptive.stream_headers=X-A=1%202&X-B=b%3Dc\n"
        kodi += "#KODIPROP:inputstream.adaptive.manifest_headers=X-C=3\n#KODIPROP:inputstream=x\n"
        info = '#EXTINF:-1 http-referrer="http://r.test/",N\n'
        self.assertEqual(
            self.headers(f"{vlc}{kodi}{info}http://a.test/1|user-agent=S&X-D="),
            {
                "user-agent": "S",
                "Origin": "http://o.test",
                "X-A": "1 2",
                "X-B": "b=c",
                "X-C": "3",
                "Referer": "http://r.test/",
            },
        )

    def test_not_a_suffix(self) -> None:
        """A bar in a URL that no headers follow is part of the URL."""
        for url in ("http://a.test/a|b", "http://a.test/a|", "http://a.test/?x=1|2&y"):
            entry = only(url)
            self.assertEqual((entry.url, entry.headers), (url, ()))

    def test_refused(self) -> None:
        """Headers that frame a message, belong to a connection or choose a part of the answer are dropped."""
        names = "Host|content-length|Transfer-Encoding|Connection|Range|If-Range|Proxy-Authorization|TE|Upgrade"
        for name in (*names.split("|"), "Icy-MetaData", "verifypeer", "bad name", "", "näme", "A" * 65, "X:Y"):
            self.assertEqual(self.headers(f"http://a.test/1|{quote(name)}=1&X-Kept=1"), {"X-Kept": "1"})

    def test_values(self) -> None:
        """A value that would break a request, or is too long, takes its header with it."""
        for value in ("a%0D%0AHost:%20b", "a%00b", "a%0a", "%E2%82%AC", "x" * 4097, ""):
            self.assertEqual(self.headers(f"http://a.test/1|X-A={value}&X-Kept=1"), {"X-Kept": "1"})
        self.assertTrue(m3u.allowed_header("X-A", "é\t" + "x" * 4000))

    def test_bounded(self) -> None:
        """An entry has at most 32 headers, and 64 attributes and properties."""
        many = "&".join(f"X-{n}=1" for n in range(40))
        props = "".join(f"#KODIPROP:p{n}=1\n" for n in range(70))
        for mark in ('"', ""):
            attributes = " ".join(f"a{n}={mark}1{mark}" for n in range(70))
            text = f"#EXTINF:-1 {attributes},N\n{props}#KODIPROP:inputstream.adaptive.stream_headers=X-0=0\n"
            entry = only(f"{text}http://a.test/1|{many}")
            self.assertEqual((len(entry.attributes), len(entry.properties), len(entry.headers)), (64, 64, 32))
            self.assertEqual((entry.name, entry.headers[0]), ("N", ("X-0", "1")))

    def test_stay_with_their_entry(self) -> None:
        """What is said for an entry that never gets its URL does not reach the next one."""
        lost = "#EXTINF:-1,A\n#EXTVLCOPT:http-user-agent=A\n#KODIPROP:p=1\n#EXTINF:-1,B\n"
        entry, after = parse(f"#EXTM3U\n{lost}http://a.test/1\nhttp://a.test/2\n")
        self.assertEqual((entry.name, entry.headers, entry.properties), ("B", (), {}))
        self.assertEqual(after.name, "")


class Refusing(SynchronousTestCase):
    """What is no channel list says what it is instead."""

    def refused(self, data: str | bytes) -> str:
        sentence = str(self.assertRaises(ProtocolError, parse, data))
        self.assertEqual(str(self.assertRaises(ProtocolError, parse, data, step=1)), sentence)
        return sentence

    def test_other_formats(self) -> None:
        """A page, JSON or a playlist of another kind is named."""
        cases = {
            "\n <!DOCTYPE html><html>\nhttp://a.test/\n": "an HTML page",
            "<HTML>": "an HTML page",
            "<?xml version='1.0'?><html>": "an HTML page",
            "<?xml version='1.0'?>\n<tv>": "an XML document",
            '{"user_info": {"auth": 0}}': "JSON",
            "[]": "JSON",
            "[Playlist]\nFile1=http://a.test/": "a PLS playlist",
            "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\nseg.ts\n": "the HLS playlist of one stream",
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n": "the HLS playlist of one stream",
        }
        for text, found in cases.items():
            self.assertIn(f"this is {found}", self.refused(text))

    def test_nothing(self) -> None:
        """An empty answer and one with nothing of a list in it are told apart."""
        for text in ("", " ", "\n\n", "\ufeff"):
            self.assertIn("is empty", self.refused(text))
        for data in (b"Invalid login", b"x", b"\x89PNG\r\n\x1a\n\0\0", b"# only\n#EXTINF:-1,a promise\n"):
            self.assertIn("is not an M3U playlist", self.refused(data))
        self.assertEqual(parse("#EXTM3U\n"), [])

    def test_stream_tag_among_channels(self) -> None:
        """A stray tag of HLS after the first channel does not make the list something else."""
        self.assertEqual(len(parse("http://a.test/1\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://a.test/2\n")), 2)

    def test_bounds(self) -> None:
        """A line or a list that is too long ends the reading with a sentence that says so."""
        for text in ("http://a.test/1\n" + "x" * 30, "http://a.test/1\n" + "x" * 30 + "\n"):
            for step in (1, 100):
                parser = M3UParser(max_line=29)
                with self.assertRaises(ProtocolError) as caught:
                    for start in range(0, len(text), step):
                        parser.feed(text[start : start + step].encode())
                self.assertIn("after entry 1 of the playlist is longer than 29 bytes", str(caught.exception))
        parser = M3UParser(max_entries=2)
        self.assertEqual(len(parser.feed(b"http://a.test/1\nhttp://a.test/2\n")), 2)
        error = self.assertRaises(ProtocolError, parser.feed, b"http://a.test/3\n")
        self.assertIn("more than 2 entries", str(error))

    @settings(max_examples=200, deadline=None)
    @given(
        st.binary(max_size=200) | st.text(alphabet="#EXTINFGRPM3U:-1,=\"' ab|&%\n\r/", max_size=200).map(str.encode)
    )
    def test_anything(self, data: bytes) -> None:
        """Whatever comes, it gives entries or our own error, and the same ones at any split."""
        results = []
        for step in (None, 1, 7):
            try:
                results.append(
                    repr([(e, e.url, e.attributes, e.headers, e.properties) for e in parse(data, step=step)])
                )
            except ProtocolError as error:
                results.append(str(error))
        self.assertEqual(results, results[:1] * 3)


_PLAIN = st.text(st.characters(codec="utf-8"), max_size=30)
_TARGETS = st.from_regex(r"http://[a-z]{1,8}\.test(:[0-9]{1,4})?/[a-zA-Z0-9/._?&=,%-]{0,20}", fullmatch=True)


def _cleaned(text: str) -> str:
    return text.translate(m3u._QUOTED).strip()


class Writing(SynchronousTestCase):
    """What is written is what players agree on."""

    def test_header(self) -> None:
        """The first line names the guide in both of the ways that players look for."""
        self.assertEqual(
            m3u.header("http://tv.test/epg.xml"),
            '#EXTM3U x-tvg-url="http://tv.test/epg.xml" url-tvg="http://tv.test/epg.xml"\n',
        )
        self.assertEqual(m3u.header(), "#EXTM3U\n")
        self.assertEqual(m3u.header('a"\nb').count("\n"), 1)

    def test_entry(self) -> None:
        """Attributes stand in the usual order, empty ones are left out, and the name comes after the comma."""
        self.assertEqual(m3u.entry("http://tv.test/1.ts", "One"), "#EXTINF:-1,One\nhttp://tv.test/1.ts\n")
        self.assertEqual(
            m3u.entry(
                "http://tv.test/1.ts",
                "One, HD",
                tvg_id="one",
                tvg_name="One",
                number=7,
                logo="http://tv.test/l.png",
                group="News",
                radio=True,
                catchup=(("catchup", "default"), ("catchup-source", "http://tv.test/{utc}"), ("tvg-rec", "")),
                mpegts=True,
            ),
            '#EXTINF:-1 tvg-id="one" tvg-name="One" tvg-chno="7" tvg-logo="http://tv.test/l.png" group-title="News"'
            ' radio="true" catchup="default" catchup-source="http://tv.test/{utc}",One, HD\n'
            "#KODIPROP:mimetype=video/mp2t\nhttp://tv.test/1.ts\n",
        )

    def test_escaping(self) -> None:
        """No quote, line end or control character in a value can end it or start a line of its own."""
        text = m3u.entry(
            "http://tv.test/1\n#EXTINF:-1,Evil",
            'A "b"\r\n#EXTINF:-1,Evil',
            group='x" tvg-id="evil',
            catchup=(("catchup-source", 'a"\nb'),),
        )
        (entry,) = parse(text)
        self.assertEqual(entry.name, "A 'b'  #EXTINF:-1,Evil")
        self.assertEqual(entry.attributes, {"group-title": "x' tvg-id='evil", "catchup-source": "a' b"})

    @settings(max_examples=300, deadline=None)
    @given(
        _TARGETS,
        st.tuples(_PLAIN, _PLAIN, _PLAIN, _PLAIN, _PLAIN, _PLAIN),
        st.none() | st.integers(1, 999_999_999),
        st.tuples(st.booleans(), st.booleans()),
    )
    def test_round_trip(self, url: str, texts: tuple[str, ...], number: int | None, flags: tuple[bool, bool]) -> None:
        """Whatever is written is read back, quotes and control characters aside."""
        name, tvg_id, tvg_name, logo, group, source = texts
        radio, mpegts = flags
        text = m3u.header("http://tv.test/epg") + m3u.entry(
            url,
            name,
            tvg_id=tvg_id,
            tvg_name=tvg_name,
            number=number,
            logo=logo,
            group=group,
            catchup=(("catchup-source", source),),
            radio=radio,
            mpegts=mpegts,
        )
        (entry,) = parse(text, step=64)
        self.assertEqual(entry.name, _cleaned(name) or _cleaned(tvg_name))
        self.assertEqual((entry.url, entry.number, entry.radio), (url, number, radio))
        for key, value in (("tvg-id", tvg_id), ("tvg-name", tvg_name), ("catchup-source", source)):
            self.assertEqual(entry.attributes.get(key, ""), _cleaned(value))
        self.assertEqual((entry.logo, entry.group), (_cleaned(logo), _cleaned(group)))
        self.assertEqual(entry.properties, {"mimetype": "video/mp2t"} if mpegts else {})
