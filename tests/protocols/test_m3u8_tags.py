"""Attribute lists and variables of playlists, as they come."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.m3u8 import rewrite
from iptvd.protocols.m3u8_tags import MAX_ATTRIBUTES, count, seconds, value_of
from tests.protocols.playlists import BASE, RewriteTestCase


class AttributeTests(RewriteTestCase):
    """Attribute lists as they come."""

    def test_commas_and_equal_signs_in_quotes(self) -> None:
        """Commas, equal signs and URI= in quoted text are text."""
        (line,) = self.lines('#EXT-X-MEDIA:NAME="a,URI=\'x\',b=c",URI="d,e=f"')
        self.assertEqual(line, '#EXT-X-MEDIA:NAME="a,URI=\'x\',b=c",URI="/m/playlist1.m3u8"')

    def test_white_space(self) -> None:
        """White space around names, values and lines is kept."""
        self.assertEqual(
            self.lines(' \t#EXT-X-MAP: URI = " i.mp4 " , BYTERANGE = "1@0" \t', "\ta b.ts  "),
            [' \t#EXT-X-MAP: URI = "/m/init1.mp4" , BYTERANGE = "1@0" \t', "\t/m/segment2.ts  "],
        )
        self.assertEqual(self.minted.calls[0][0], "http://cdn.example.com/live/one/i.mp4")
        self.assertEqual(self.minted.calls[1][0], "http://cdn.example.com/live/one/a%20b.ts")

    def test_without_quotes(self) -> None:
        """A URI that lacks its quotes is replaced all the same."""
        self.assertEqual(self.lines("#EXT-X-MAP:URI= i.mp4 ,A=1"), ["#EXT-X-MAP:URI= /m/init1.mp4 ,A=1"])

    def test_twice(self) -> None:
        """Where a URI is given twice, neither stays."""
        self.assertEqual(
            self.lines('#EXT-X-MAP:URI="a.mp4",URI="b.mp4"'), ['#EXT-X-MAP:URI="/m/init1.mp4",URI="/m/init2.mp4"']
        )

    def test_oddities_stay(self) -> None:
        """Empty items, words without a value and an empty URI stay."""
        lines = ['#EXT-X-MAP:,,A,B=,URI="",URI=,', "#EXT-X-MAP:", "#EXT-X-MAP"]
        self.assertEqual(self.lines(*lines), lines)

    def test_quotes_that_do_not_close(self) -> None:
        """An attribute list with a stray quotation mark is refused, since players differ in what they take it for."""
        for text in ('URI="a.mp4', 'URI="a"b"', 'URI="a" b', 'A=b"c",URI="x"', 'A"=1'):
            self.assertIn("quotation mark", self.refused(f"#EXT-X-MAP:{text}"))

    def test_too_many(self) -> None:
        """A tag with more attributes than any tag has is refused."""
        self.lines("#EXT-X-MAP:" + "A=1," * MAX_ATTRIBUTES)
        self.assertIn("500 attributes", self.refused("#EXT-X-MAP:" + "A=1," * (MAX_ATTRIBUTES + 1)))


class VariableTests(RewriteTestCase):
    """EXT-X-DEFINE."""

    def test_value(self) -> None:
        """Variables are filled in where they are used, and no value leaves in a definition."""
        result = self.rewrite(
            '#EXT-X-DEFINE:NAME="host",VALUE="secret.test"',
            '#EXT-X-DEFINE:VALUE="https://{$host}/x",NAME="root"',
            '#EXT-X-DEFINE:NAME="lang",VALUE="en"',
            '#EXT-X-MEDIA:TYPE=AUDIO,NAME="{$lang} {$none}",URI="{$root}/{$lang}.m3u8"',
            '#EXT-X-UNHEARD-OF:A="{$lang}"',
            "#EXTINF:6,{$lang}",
            "# {$lang}",
            "{$root}/{$lang}_1.ts?{$ }",
        )
        self.assertEqual(
            result.body.decode().split("\n")[1:-1],
            [
                '#EXT-X-DEFINE:NAME="host",VALUE=""',
                '#EXT-X-DEFINE:NAME="root",VALUE=""',
                '#EXT-X-DEFINE:NAME="lang",VALUE=""',
                '#EXT-X-MEDIA:TYPE=AUDIO,NAME="en {$none}",URI="/m/playlist1.m3u8"',
                '#EXT-X-UNHEARD-OF:A="en"',
                "#EXTINF:6,{$lang}",
                "# {$lang}",
                "/m/segment2.ts",
            ],
        )
        self.assertEqual(
            [url for url, _, _ in self.minted.calls],
            ["https://secret.test/x/en.m3u8", "https://secret.test/x/en_1.ts?%7B$%20%7D"],
        )
        self.assertEqual(
            dict(result.variables), {"host": "secret.test", "root": "https://secret.test/x", "lang": "en"}
        )

    def test_query_parameter(self) -> None:
        """A variable taken from the playlist's own query is filled in, and players need not look for it in ours."""
        self.assertEqual(
            self.lines('#EXT-X-DEFINE:QUERYPARAM="token"', '#EXT-X-DEFINE:QUERYPARAM="lang"', "{$lang}.ts?t={$token}"),
            ['#EXT-X-DEFINE:NAME="token",VALUE=""', '#EXT-X-DEFINE:NAME="lang",VALUE=""', "/m/segment1.ts"],
        )
        self.assertEqual(self.minted.calls[0][0], "http://cdn.example.com/live/one/en.ts?t=abc")
        self.refused('#EXT-X-DEFINE:QUERYPARAM="none"')

    def test_import(self) -> None:
        """What a multivariant playlist defined can be imported by those it lists."""
        parent = self.rewrite('#EXT-X-DEFINE:NAME="p",VALUE="secret"')
        lines = self.lines('#EXT-X-DEFINE:IMPORT="p"', "{$p}.ts", variables=parent.variables)
        self.assertEqual(lines, ['#EXT-X-DEFINE:IMPORT="p"', "/m/segment1.ts"])
        self.assertEqual(self.minted.calls[0][0], "http://cdn.example.com/live/one/secret.ts")
        self.assertIn("imports", self.refused('#EXT-X-DEFINE:IMPORT="q"', variables=parent.variables))
        self.assertIn("imports", self.refused('#EXT-X-DEFINE:IMPORT="p"'))

    def test_any_bytes(self) -> None:
        """A value that is not UTF-8 goes into the URL byte for byte, through an import too."""
        parent = rewrite(b'#EXTM3U\n#EXT-X-DEFINE:NAME="p",VALUE="\xc3\xbc\xff"', BASE, self.minted)
        self.rewrite('#EXT-X-DEFINE:IMPORT="p"', "{$p}.ts", variables=parent.variables)
        self.assertEqual(self.minted.calls[0][0], "http://cdn.example.com/live/one/%C3%BC%FF.ts")

    def test_drm_key(self) -> None:
        """A key left to the player has its variables filled in."""
        self.assertEqual(
            self.lines('#EXT-X-DEFINE:NAME="k",VALUE="1"', '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://{$k}"')[1],
            '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://1"',
        )

    def test_undefined(self) -> None:
        """A URI with a variable that is not defined before it is refused."""
        self.assertIn("does not define", self.refused("{$host}/a.ts", '#EXT-X-DEFINE:NAME="host",VALUE="x"'))

    def test_value_that_breaks_out(self) -> None:
        """A value that would end the quotes or the line it is put into is refused."""
        self.assertIn("quotation mark", self.refused('#EXT-X-DEFINE:QUERYPARAM="odd"'))

    def test_without_a_name(self) -> None:
        """A definition of nothing does no harm."""
        self.assertEqual(self.lines("#EXT-X-DEFINE:"), ['#EXT-X-DEFINE:NAME="",VALUE=""'])

    def test_growth(self) -> None:
        """Variables that make a playlist grow without end are refused."""
        define = f'#EXT-X-DEFINE:NAME="a",VALUE="{"x" * 60_000}"'
        self.assertIn("32 MiB", self.refused(define, "{$a}" * 1000))
        self.assertIn("32 MiB", self.refused(define, f'#EXT-X-UNHEARD-OF:A="{"{$a}" * 1000}"'))


class NumberTests(SynchronousTestCase):
    def test_numbers(self) -> None:
        """A number is read from where a value begins, with what is left of its decimals."""
        for text, whole, told in (
            (b"12", 12, 12.0),
            (b" \t7,title", 7, 7.0),
            (b"9.5", 9, 9.5),
            (b"3.", 3, 3.0),
            (b"", 0, None),
            (b"x1", 0, None),
            (b"-1", 0, None),
            (b"\n1", 0, None),
            (b"1" * 30, int("1" * 20), float("1" * 20)),
        ):
            self.assertEqual((count(text), seconds(text)), (whole, told), text)

    def test_where_tags_are(self) -> None:
        """Of tags of one name the first counts, and one whose name only begins alike is another."""
        body = b"#EXTM3U\n#EXT-X-A-B:1\n#EXT-X-A:2\n#EXT-X-A:3\n#EXT-X-LAST:" + b"4" * 200
        self.assertEqual((count(value_of(body, b"#EXT-X-A")), count(value_of(body, b"#EXT-X-A-B"))), (2, 1))
        self.assertEqual(value_of(body, b"#EXT-X-C"), b"")
        self.assertLess(len(value_of(body, b"#EXT-X-LAST")), 200)
        self.assertEqual(count(value_of(body, b"#EXT-X-LAST")), int("4" * 20))
