"""A media playlist that goes on with another source: numbered on, in every version of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.protocols.hls_playlist import parse
from iptvd.protocols.hls_seam import End, Seam, end_of, seam_after, sewn
from iptvd.protocols.hls_values import MediaPlaylist, Segment

URL = "http://player.test/index.m3u8"


def listed(first: int, *segments: str, breaks: int = 0, target: int = 2, head: str = "", tail: str = "") -> bytes:
    """A media playlist; a segment may have tags before its name."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{target}", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
    lines += [f"#EXT-X-DISCONTINUITY-SEQUENCE:{breaks}"] if breaks else []
    lines += [head] if head else []
    for segment in segments:
        lines += [f"#EXTINF:{target},", segment]
    return "\n".join([*lines, *([tail] if tail else []), ""]).encode()


def numbered(first: int, last: int, **more: object) -> bytes:
    return listed(first, *(f"{number}.ts" for number in range(first, last + 1)), **more)  # type: ignore[arg-type]


def read(body: bytes) -> MediaPlaylist:
    found = parse(body, URL)
    assert isinstance(found, MediaPlaylist)
    return found


def names(body: bytes) -> list[str]:
    return [segment.uri.rpartition("/")[2] for segment in read(body).segments]


def breaks_of(body: bytes) -> dict[int, int]:
    """The discontinuity sequence number of each segment, by its media sequence number (RFC 8216 section 6.2.1)."""
    playlist, found = read(body), {}
    breaks = playlist.discontinuity_sequence
    for segment in playlist.segments:
        breaks += segment.discontinuity
        found[segment.sequence] = breaks
    return found


def sew(end: End, body: bytes) -> tuple[Seam, bytes]:
    seam = seam_after(end, body)
    assert seam is not None
    return seam, sewn(body, seam)


class EndTests(SynchronousTestCase):
    def test_end(self) -> None:
        """How far a playlist goes is told by its numbers, the discontinuities that are listed among them."""
        body = listed(5, "a.ts", "#EXT-X-DISCONTINUITY\nb.ts", "#EXT-X-DISCONTINUITY\nc.ts", breaks=7)
        self.assertEqual(end_of(body, read(body).end), End(8, 9))
        self.assertEqual(max(breaks_of(body).values()), 9)
        self.assertEqual(end_of(numbered(0, 1), 2), End(2, 0))


class SeamTests(SynchronousTestCase):
    def test_goes_on(self) -> None:
        """The other source's segments follow those there were, after a discontinuity, from near its own end."""
        seam, body = sew(End(108, 4), numbered(1000, 1005))
        self.assertEqual(names(body), ["1003.ts", "1004.ts", "1005.ts"])
        self.assertEqual(breaks_of(body), {108: 5, 109: 5, 110: 5})
        self.assertTrue(read(body).segments[0].discontinuity)
        self.assertEqual(seam.end(End(1006, 0)), End(111, 5))

    def test_moves_on(self) -> None:
        """With each further version segments keep their numbers, and neither number ever goes back."""
        seam, body = sew(End(108, 4), numbered(10, 15))
        known = breaks_of(body)
        for first in range(11, 30):
            segments = [
                f"#EXT-X-DISCONTINUITY\n{at}.ts" if at % 10 == 0 else f"{at}.ts" for at in range(first, first + 6)
            ]
            body = sewn(listed(first, *segments, breaks=(first - 1) // 10 - 1), seam)
            for segment in read(body).segments:
                self.assertEqual(
                    int(names(body)[segment.sequence - read(body).media_sequence][:-3]) - 13 + 108, segment.sequence
                )
            now = breaks_of(body)
            self.assertEqual({at: now[at] for at in now if at in known}, {at: known[at] for at in known if at in now})
            known |= now
        self.assertEqual((max(known), known[max(known)]), (34 - 13 + 108, 5 + 2))

    def test_breaks_of_its_own(self) -> None:
        """A discontinuity of the other source's at its first segment is the one between the two."""
        segments = ["0.ts", "#EXT-X-DISCONTINUITY\n1.ts", "#EXT-X-DISCONTINUITY\n2.ts", "3.ts", "4.ts"]
        seam, body = sew(End(50, 0), listed(0, *segments, breaks=3))
        self.assertEqual((seam.first, seam.first_breaks), (2, 5))
        self.assertEqual((names(body), body.count(b"#EXT-X-DISCONTINUITY\n")), (["2.ts", "3.ts", "4.ts"], 1))
        self.assertEqual(breaks_of(sewn(listed(3, "3.ts", "4.ts", breaks=5), seam)), {51: 1, 52: 1})
        # An origin that does not tell how many there were: the number does not go back.
        self.assertEqual(breaks_of(sewn(listed(3, "3.ts", "4.ts"), seam)), {51: 1, 52: 1})

    def test_an_older_copy(self) -> None:
        """What a cache gives of before is left out, and an end that lies before the seam is none."""
        seam, _ = sew(End(108, 4), numbered(1000, 1005))
        self.assertEqual(names(sewn(numbered(998, 1003), seam)), ["1003.ts"])
        self.assertEqual(seam.end(End(990, 0)), End(108, 5))

    def test_short(self) -> None:
        """Of a short playlist nothing is left out; of one that lists nothing nothing can be made."""
        _, body = sew(End(9, 0), numbered(4, 5))
        self.assertEqual((names(body), read(body).media_sequence), (["4.ts", "5.ts"], 9))
        self.assertIsNone(seam_after(End(9, 0), listed(4)))

    def test_what_holds_for_all(self) -> None:
        """Of what is left out, what holds for all that follows stays, and what is of one segment goes."""
        segments = [
            '#EXT-X-MAP:URI="init.mp4"\n#EXT-X-PROGRAM-DATE-TIME:2030-01-01T00:00:00Z\n# a word\n\n0.m4s',
            "#EXT-X-GAP\n1.m4s",
            *(f"#EXT-X-PROGRAM-DATE-TIME:2030-01-01T00:00:0{at}Z\n# kept\n{at}.m4s" for at in (2, 3, 4)),
        ]
        _, body = sew(End(50, 0), listed(0, *segments, head="#EXT-X-INDEPENDENT-SEGMENTS"))
        playlist = read(body)
        self.assertEqual(names(body), ["2.m4s", "3.m4s", "4.m4s"])
        self.assertEqual(
            {segment.init.uri for segment in playlist.segments if segment.init}, {"http://player.test/init.mp4"}
        )
        self.assertTrue(playlist.independent_segments)
        self.assertEqual((body.count(b"PROGRAM-DATE-TIME"), body.count(b"# kept"), body.count(b"GAP")), (3, 3, 0))
        self.assertNotIn(b"# a word", body)
        self.assertEqual(playlist.target_duration, 2)

    def test_byte_ranges(self) -> None:
        """Where a byte range begins after the one before it, none is left out."""
        ranges = [f"#EXT-X-BYTERANGE:10{'@0' if at == 0 else ''}\nall.ts" for at in range(5)]
        _, body = sew(End(50, 0), listed(0, *ranges))
        self.assertEqual(len(names(body)), 5)
        _, body = sew(End(50, 0), listed(0, *(f"#EXT-X-BYTERANGE:10@{10 * at}\nall.ts" for at in range(5))))
        found = [segment.byte_range.start for segment in read(body).segments if segment.byte_range is not None]
        self.assertEqual(found, [20, 30, 40])

    def test_keys(self) -> None:
        """A key whose vector is the number of the segment keeps that number; another is left as it is."""
        key, drm = '#EXT-X-KEY:METHOD=AES-128,URI="k"', '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://x",KEYFORMAT="y"'
        segments = [
            "0.ts",
            f"{key}\n1.ts",
            f"{drm}\n2.ts",
            "3.ts",
            f"{key},IV=0x07\n4.ts",
            "#EXT-X-KEY:METHOD=NONE\n5.ts",
        ]
        own = read(listed(70, *segments[:2]))
        self.assertEqual([segment.key.iv if segment.key else b"" for segment in own.segments], [b"", None])
        body = sewn(listed(70, *segments), Seam(71, 0, 9, 1))
        lines = body.decode().splitlines()
        vectors = [line.rpartition("IV=0x")[2] for line in lines if "IV=" in line]
        self.assertEqual([int(vector, 16) for vector in vectors], [71, 72, 73, 7])
        ivs = [segment.key.iv for segment in read(body).segments if segment.key and segment.key.iv]
        self.assertEqual([int.from_bytes(iv, "big") for iv in ivs], [71, 72, 73, 7])
        self.assertEqual(body.count(b"skd://x"), 1)
        self.assertIsNone(read(body).segments[-1].key)
        with self.assertRaises(ProtocolError):
            sewn(listed(70, '#EXT-X-KEY:METHOD="AES\n1.ts'), Seam(70, 0, 9, 1))

    def test_low_latency(self) -> None:
        """What would make players ask by numbers, and what is no more the case, is left out."""
        head = "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n#EXT-X-PART-INF:PART-TARGET=1"
        tail = (
            '#EXT-X-PART:DURATION=1,URI="3.0.ts"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI="3.1.ts"\n'
            '#EXT-X-RENDITION-REPORT:URI="low.m3u8",LAST-MSN=3\n#EXT-X-ENDLIST'
        )
        body = sewn(numbered(0, 2, head=head, tail=tail), Seam(0, 0, 9, 1))
        tags = {line.partition(b":")[0] for line in body.splitlines() if line.startswith(b"#")}
        self.assertEqual(
            tags,
            {
                *(b"#EXTM3U", b"#EXT-X-VERSION", b"#EXT-X-TARGETDURATION", b"#EXT-X-MEDIA-SEQUENCE", b"#EXTINF"),
                *(b"#EXT-X-DISCONTINUITY-SEQUENCE", b"#EXT-X-DISCONTINUITY", b"#EXT-X-ENDLIST"),
            },
        )

    def test_odd_lines(self) -> None:
        """Numbers that are none count as 0, lines may end in any way, and segments need not tell how long they are."""
        body = (
            b"#EXTM3U\r\n#EXT-X-MEDIA-SEQUENCE:x\r\n#EXT-X-TARGETDURATION:\r\n#EXTINF:2,\ra.ts\r\nhttp://b.test/b.ts"
        )
        _, found = sew(End(4, 0), body)
        self.assertEqual((names(found), read(found).media_sequence, found[-1:]), (["a.ts", "b.ts"], 4, b"\n"))
        self.assertEqual(breaks_of(found), {4: 1, 5: 1})
        _, found = sew(End(4, 0), b"#EXTM3U\n#EXT-X-TARGETDURATION:2\na.ts\nb.ts\n")
        self.assertEqual((names(found), breaks_of(found)), (["a.ts", "b.ts"], {4: 1, 5: 1}))

    @given(
        st.lists(st.tuples(st.integers(0, 300), st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=6),
        st.data(),
    )
    def test_any_number_of_sources(self, sources: list[tuple[int, int, int]], data: st.DataObject) -> None:
        """However often sources take turns, for a player numbers go on, and a number never means two segments."""
        end = End(5, 1)
        known: dict[int, tuple[str, int]] = {}
        for which, (first, count, breaks) in enumerate(sources):
            broken = data.draw(st.sets(st.integers(0, 40)))
            seam: Seam | None = None
            for moved in range(3):
                start, stop = first + moved, first + moved + count
                segments = [
                    f"#EXT-X-DISCONTINUITY\n{which}-{at}.ts" if at - first in broken else f"{which}-{at}.ts"
                    for at in range(start, stop)
                ]
                gone = sum(at - first in broken for at in range(first, start))
                body = listed(start, *segments, breaks=breaks + gone)
                seam = seam or seam_after(end, body)
                if seam is None:
                    break
                own = end_of(body, stop)
                out = sewn(body, seam)
                playlist, numbers = read(out), breaks_of(out)
                self.assertGreaterEqual(playlist.end, end.number)
                for segment in playlist.segments:
                    here = (_name(segment), numbers[segment.sequence])
                    self.assertEqual(known.setdefault(segment.sequence, here), here)
                end = seam.end(own)
                self.assertEqual(end, End(playlist.end, max(numbers.values())))


def _name(segment: Segment) -> str:
    return segment.uri.rpartition("/")[2]
