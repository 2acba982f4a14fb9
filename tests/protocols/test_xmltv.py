"""Guides in XMLTV."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.protocols.xmltv import (
    LONGEST,
    MAX_DEPTH,
    MAX_ID,
    MAX_NAMES,
    MAX_PARTS,
    MAX_TEXT,
    MAX_TOKEN,
    UNTOLD,
    GuideChannel,
    GuideProgramme,
    XmltvParser,
)

START, STOP = "20260701120000 +0000", "20260701130000 +0000"
NOON = 1782907200

GUIDE = f"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tv SYSTEM "xmltv.dtd">
<tv source-info-name="somebody">
<channel id="one.test"><display-name>One &amp; Only</display-name><display-name lang="en">1&nbsp;HD</display-name>
<icon src="http://example.com/one.png"/></channel>
<programme start="{START}" stop="{STOP}" channel="one.test">
  <desc lang="en">Caf&eacute;  &lt;live&gt;</desc>
  <title lang="en">News</title><title lang="de">Nachrichten</title>
  <credits><actor role="Self &quot;S&quot;">Ann</actor><director>Bob</director><unknown>X</unknown></credits>
  <icon src="http://example.com/news.jpg" width="10"/>
  <icon src="http://user:secret@example.com/x.jpg"/><icon src="http://example.com/x.jpg?token=1"/>
  <url>http://example.com/page</url>
  <length units="minutes">60</length><length units="minutes">61</length>
  <category>News</category><episode-num system="onscreen">S1 E2</episode-num>
  <rating system="X"><value>PG</value><icon src="http://example.com/pg.png"/></rating>
  <star-rating><value></value></star-rating>
  <previously-shown start="20250101"/><premiere/><new/>
</programme>
<other><thing>Text</thing></other>
</tv>
"""
NEWS = (
    '<title lang="en">News</title><title lang="de">Nachrichten</title><desc lang="en">Café &lt;live&gt;</desc>'
    "<credits><director>Bob</director><actor role='Self \"S\"'>Ann</actor></credits><category>News</category>"
    '<length units="minutes">60</length><icon src="http://example.com/news.jpg" width="10"/>'
    '<episode-num system="onscreen">S1 E2</episode-num><previously-shown start="20250101"/><premiere/><new/>'
    '<rating system="X"><value>PG</value></rating>'
)
FOUND: list[GuideChannel | GuideProgramme] = [
    GuideChannel("one.test", ("One & Only", "1 HD")),
    GuideProgramme("one.test", NOON, NOON + 3600, "News", NEWS),
]


def read(document: str | bytes) -> tuple[list[GuideChannel | GuideProgramme], dict[str, int]]:
    """What a document has, and what was skipped of it."""
    parser = XmltvParser()
    found = parser.feed(document.encode() if isinstance(document, str) else document)
    return found + parser.close(), dict(parser.skipped)


def programme(start: str = START, stop: str = f' stop="{STOP}"', inside: str = "<title>T</title>") -> str:
    """A programme of channel c."""
    return f'<programme channel="c" start="{start}"{stop}>{inside}</programme>'


def inside_of(parts: str) -> str:
    """What becomes of the parts of a programme, without its title."""
    ((one,), _) = read(f"<tv>{programme(inside='<title>T</title>' + parts)}</tv>")
    assert isinstance(one, GuideProgramme)
    return one.xml.removeprefix("<title>T</title>")


class XmltvTests(SynchronousTestCase):
    def test_whole(self) -> None:
        """Channels and programmes come out as the guide has them, in the order that the DTD wants."""
        self.assertEqual(read(GUIDE), (FOUND, {}))

    def test_byte_by_byte(self) -> None:
        """However it arrives, it is the same."""
        parser = XmltvParser()
        found = [item for byte in GUIDE.encode() for item in parser.feed(bytes([byte]))]
        self.assertEqual(found + parser.close(), FOUND)

    @settings(max_examples=30)
    @given(st.lists(st.integers(1, len(GUIDE.encode())), max_size=8))
    def test_any_split(self, cuts: list[int]) -> None:
        """Split anywhere, it is the same."""
        document = GUIDE.encode()
        parser, found, last = XmltvParser(), [], 0
        for cut in sorted(cuts):
            found += parser.feed(document[last:cut])
            last = cut
        found += parser.feed(document[last:])
        self.assertEqual(found + parser.close(), FOUND)

    def test_without_a_document_type(self) -> None:
        """Names that only HTML knows are read without a document type too; an unknown one is left out."""
        bare = GUIDE.replace('<!DOCTYPE tv SYSTEM "xmltv.dtd">\n', "")
        self.assertEqual(read(bare)[0], FOUND)
        self.assertEqual(read(bare.replace("&eacute;", "é&nosuchname;"))[0], FOUND)
        self.assertEqual(read("<!DOCTYPE tv [%nothing;]><tv/>"), ([], {}))

    def test_encodings(self) -> None:
        """A byte order mark and older encodings are read as they say."""
        self.assertEqual(read(b"\xef\xbb\xbf" + GUIDE.encode())[0], FOUND)
        latin = GUIDE.replace("UTF-8", "ISO-8859-1").replace("&eacute;", "é").encode("latin-1")
        self.assertEqual(read(latin)[0], FOUND)

    def test_nothing_is_expanded(self) -> None:
        """A guide that declares entities is refused before any of them is expanded or fetched."""
        for declaration in (
            '<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">',
            '<!ENTITY a SYSTEM "file:///etc/hostname">',
            '<!ENTITY % a SYSTEM "http://127.0.0.1:9/">%a;',
        ):
            with self.assertRaises(ProtocolError) as caught:
                read(f"<!DOCTYPE tv [{declaration}]><tv>&b;</tv>")
            self.assertIn("entities of its own", str(caught.exception))

    @settings(max_examples=60)
    @given(st.lists(st.tuples(st.integers(0, len(GUIDE.encode())), st.binary(max_size=12)), max_size=5))
    def test_anything(self, changes: list[tuple[int, bytes]]) -> None:
        """Whatever is written into a guide, it is read or refused with a sentence, and what is read is well-formed."""
        document = GUIDE.encode()
        for place, written in changes:
            document = document[:place] + written + document[place + len(written) :]
        try:
            found, _ = read(document)
        except ProtocolError as error:
            self.assertTrue(error.sentence)
            return
        for item in found:
            if isinstance(item, GuideProgramme):
                self.assertLess(item.start, item.stop)
                ElementTree.fromstring(f"<programme>{item.xml}</programme>")

    def test_what_is_no_guide(self) -> None:
        """What cannot be read says why."""
        for document, reason in (
            ("", "cut short"),
            ("<tv><channel id='a'>", "cut short"),
            ("{}", "not well-formed"),
            ("<html><body>Sign in</body></html>", "its first element is not tv"),
            ("<tv><programme></tv>", "not well-formed"),
            ('<?xml version="1.0" encoding="klingon"?><tv/>', "encoding"),
            ("<tv>" + "<a>" * MAX_DEPTH, "too deep"),
        ):
            with self.assertRaises(ProtocolError) as caught:
                read(document)
            self.assertIn(reason, str(caught.exception))

    def test_an_end_that_is_not_told(self) -> None:
        """A programme without a stop lasts until the next of its channel, or an hour."""
        found, _ = read(
            "<tv>"
            + programme(stop="")
            + programme(start="20260701123000")
            + programme(start="20260701180000", stop="")
            + programme(start="20260702180000", stop="")
            + "</tv>"
        )
        times = [(one.start - NOON, one.stop - one.start) for one in found if isinstance(one, GuideProgramme)]
        self.assertEqual(times, [(0, 1800), (1800, 1800), (21600, UNTOLD), (108000, UNTOLD)])

    def test_what_is_skipped_is_counted(self) -> None:
        """One bad item costs no other, and each reason is counted."""
        found, skipped = read(
            "<tv><channel/>"
            + f"<channel id='{'x' * 300}'/>"
            + programme(inside="<title> </title>")
            + programme(start="soon")
            + programme(stop=' stop="soon"')
            + programme(stop=f' stop="{START}"')
            + programme(stop=' stop="20260901000000"')
            + f"<programme start='{START}'><title>T</title></programme>"
            + programme()
            + "</tv>"
        )
        self.assertEqual(len(found), 1)
        self.assertEqual(
            skipped,
            {
                "a channel without an id": 2,
                "no title": 1,
                "no time that can be read": 2,
                "it stops before it starts, or after a week": 2,
                "no channel": 1,
            },
        )
        self.assertEqual(LONGEST, 7 * 86400)

    def test_everything_is_bounded(self) -> None:
        """Texts are cut, and what comes too often is left out."""
        names = "<display-name>0</display-name>" + "".join(
            f"<display-name>{number}</display-name>" for number in range(50)
        )
        ((channel,), _) = read(f"<tv><channel id='c'>{names}</channel></tv>")
        assert isinstance(channel, GuideChannel)
        self.assertEqual(len(channel.names), MAX_NAMES)
        self.assertEqual(inside_of(f"<desc>{'x' * 9000}</desc>"), f"<desc>{'x' * MAX_TEXT}</desc>")
        many = inside_of("<category>a</category>" * 100)
        self.assertEqual(many, "<category>a</category>" * (MAX_PARTS - 1))
        people = inside_of(f"<credits>{'<guest>a</guest>' * 100}</credits>")
        self.assertEqual(people.count("<guest>"), MAX_PARTS)

    def test_nothing_is_held_for_long(self) -> None:
        """A tag or comment that does not end is an error soon; a text that does not end is none."""
        for begin in ("<tv><!--", "<tv><channel id='", "<?x ", "<tv/><!--", "<!DOCTYPE tv SYSTEM '"):
            parser = XmltvParser()
            parser.feed(begin.encode())
            with self.assertRaises(ProtocolError) as caught:
                for _ in range(3 * MAX_TOKEN // 65536):
                    parser.feed(b"y" * 65536)
            self.assertIn("too long", str(caught.exception))
        parser = XmltvParser()
        parser.feed(b"\n" + GUIDE.encode().rpartition(b"</tv>")[0] + b"<channel id='b'><display-name>")
        for _ in range(3 * MAX_TOKEN // 65536):
            parser.feed(b"y" * 65536)
        self.assertEqual(parser.feed(b"</display-name></channel></tv>"), [GuideChannel("b", ("y" * MAX_ID,))])

    def test_parts_that_the_dtd_does_not_allow(self) -> None:
        """A part that would not be valid is left out, and the rest stays."""
        for parts, left in (
            ("<category/>", ""),
            ("<length units='days'>1</length>", ""),
            ("<length units='hours'>long</length>", ""),
            ("<icon/>", ""),
            ("<credits><actor/></credits>", ""),
            ("<rating><value>1</value><value>2</value></rating>", "<rating><value>1</value></rating>"),
            ("<desc>a</desc>Text in between<premiere>First</premiere>", "<desc>a</desc><premiere>First</premiere>"),
            ("<desc>a <b>very <i>bold</i></b> text</desc>", "<desc>a very bold text</desc>"),
            (
                "<credits><actor>Ann<image>http://example.com/a.png</image></actor></credits>",
                "<credits><actor>Ann</actor></credits>",
            ),
            ("<desc>x\u0085\u2003y</desc>", "<desc>x y</desc>"),
        ):
            self.assertEqual(inside_of(parts), left, parts)
