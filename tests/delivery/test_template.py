"""Playlists with gaps: what all viewers get alike, and what each gets of its own."""

from __future__ import annotations

from urllib.parse import urljoin

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery import template
from iptvd.delivery.template import WORTH_KEEPING, Drafting, Template
from iptvd.errors import ProtocolError
from iptvd.protocols.m3u8 import Role, rewrite

URL = "http://origin.test/a/index.m3u8"

PLAYLISTS = (
    b'#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MAP:URI="init.mp4"\n#EXT-X-KEY:METHOD=AES-128,URI="k"\n'
    b'#EXTINF:6,\ns1.m4s\n#EXT-X-PART:URI="s2.0.m4s",DURATION=1\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI="s2.1.m4s"\n',
    b"\xef\xbb\xbf#EXTM3U\r\n#EXT-X-TARGETDURATION:6\r\n#EXTINF:6,name, with\r\n../s1.ts\r\n#EXT-X-ENDLIST",
    b'#EXTM3U\n#EXT-X-DEFINE:NAME="v",VALUE="w"\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="{$v}",URI="{$v}.m3u8"\n'
    b"#EXT-X-STREAM-INF:BANDWIDTH=1\nlow/{$v}.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\n//other.test/high.m3u8\n",
    b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n#EXT-X-BYTERANGE:10@0\nall.ts\n#EXTINF:6,\n#EXT-X-BYTERANGE:10\n"
    b"all.ts\n#EXTINF:6,\n",
    b"#EXTM3U\n",
)


def draft(body: bytes, url: str = URL, variables: dict[str, str] | None = None, direct: bool = False) -> Template:
    drafting = Drafting(body, url, variables or {}, lambda target, role: direct and role is Role.SEGMENT)
    for _ in drafting:
        pass
    return drafting.result()


def mint(url: str, role: Role, extension: str) -> str:
    return f"{role.value}-{len(url)}-{hash(url)}.{extension}"


def filled(found: Template) -> bytes:
    return found.filled([mint(link.url, link.role, link.extension).encode() for link in found.links])


def live(first: int, *names: str, more: str = "") -> bytes:
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
    for name in names:
        lines += ["#EXTINF:2,", *([more] if more else []), name]
    return "\n".join([*lines, ""]).encode()


class TemplateTests(SynchronousTestCase):
    def test_the_same_as_by_hand(self) -> None:
        """A playlist put together from its template is the one that rewriting it for the viewer alone gives."""
        for body in PLAYLISTS:
            alone = rewrite(body, URL, mint)
            found = draft(body)
            self.assertEqual(filled(found), alone.body)
            self.assertEqual((found.facts.target_duration, found.facts.ended), (alone.target_duration, alone.ended))
            self.assertEqual((found.facts.body, found.facts.variables), (b"", alone.variables))

    @given(st.lists(st.sampled_from(["a.ts", "b.ts", "c/d.ts?x", "/e", "http://other.test/f.mp4", "g h"])))
    def test_any_segments(self, names: list[str]) -> None:
        """That holds for any segments, however often each is there."""
        body = live(7, *names, more='#EXT-X-KEY:METHOD=AES-128,URI="k"')
        self.assertEqual(filled(draft(body)), rewrite(body, URL, mint).body)

    def test_direct(self) -> None:
        """What viewers get from the origin itself is no gap."""
        found = draft(live(0, "a.ts", more='#EXT-X-KEY:METHOD=AES-128,URI="k"'), direct=True)
        self.assertEqual([link.role for link in found.links], [Role.KEY])
        self.assertIn(b"\nhttp://origin.test/a/a.ts\n", found.filled([b"key"]))

    def test_a_mark_that_is_forged(self) -> None:
        """A variable whose value is meant to look like one of our own marks is text like any other."""
        body = b'#EXTM3U\n#EXT-X-DEFINE:QUERYPARAM="x"\n#EXT-X-TARGETDURATION:2\n#EXT-X-Y:{$x}\n#EXTINF:2,\na.ts\n'
        for value in ("%00", "%000%00", "%00" * 5 + "1"):
            url = f"{URL}?x={value}"
            self.assertEqual(filled(draft(body, url)), rewrite(body, url, mint).body)

    def test_what_is_no_playlist(self) -> None:
        """What is no playlist, or holds NUL, is none here either."""
        for body in (b"<html>", b"", b"#EXTM3U\n\0", b"#EXTM3U\n#EXTINF:2,\nftp://x/y\n"):
            with self.assertRaises(ProtocolError):
                draft(body)

    def test_it_grows_too_big(self) -> None:
        """A playlist that would exceed all bounds with a viewer's tokens is given up."""
        self.patch(template, "MAX_OUTPUT", 200)
        found = draft(live(0, "a.ts", "b.ts"))
        self.assertIn(b"x" * 50, found.filled([b"x" * 50] * 2))
        with self.assertRaises(ProtocolError):
            found.filled([b"x" * 100] * 2)

    def test_numbers(self) -> None:
        """Each segment with a name of its own has its number, by which another of the same name is told."""
        found = draft(live(70, "a.ts", "b.ts", "slate.ts", "slate.ts", "c.ts"))
        numbers = {"a.ts": 70, "b.ts": 71, "c.ts": 74}
        self.assertEqual(found.numbers, {urljoin(URL, name): number for name, number in numbers.items()})
        skipped = live(70, "a.ts").replace(b"#EXTINF", b"#EXT-X-SKIP:SKIPPED-SEGMENTS=5\n#EXTINF")
        self.assertEqual(list(draft(skipped).numbers.values()), [75])

    def test_no_numbers(self) -> None:
        """Where names cannot be told apart by number, or need not be, there are none."""
        for body in (
            live(0, "a.ts").replace(b"#EXT-X-MEDIA-SEQUENCE:0\n", b""),
            live(0, "a.ts", more="#EXT-X-BYTERANGE:10@0"),
            live(0, "a.ts") + b"#EXT-X-ENDLIST\n",
            live(0, *(f"{number}.ts" for number in range(WORTH_KEEPING + 1))),
            b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n",
        ):
            self.assertEqual(draft(body).numbers, {})

    def test_no_secrets(self) -> None:
        """Nothing of an address is in what a log might show of it."""
        shown = repr(draft(live(0, "a.ts?token=canary")))
        self.assertNotIn("canary", shown)
        self.assertNotIn("origin.test", shown)
