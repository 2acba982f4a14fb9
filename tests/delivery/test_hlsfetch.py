"""Byte ranges, keys and initialization sections of an HLS source, and what cannot be made a stream of."""

from __future__ import annotations

from iptvd.delivery import hlsfetch
from iptvd.delivery.decrypt import implicit_iv
from iptvd.delivery.hlspiece import NeedsRemux, Unplayable
from iptvd.errors import UpstreamError
from tests.delivery.hls_script import Reply, encrypted, listed, numbered, ts
from tests.delivery.pulling import KEY, OTHER_KEY, PullTestCase


class ByteRangeTests(PullTestCase):
    def test_byte_ranges(self) -> None:
        """Segments that are parts of one file are cut out of it, also when the origin knows no byte ranges."""
        size = len(ts(0))
        lines = [f"#EXT-X-BYTERANGE:{size}@{size}\nall.bin", f"#EXT-X-BYTERANGE:{size}\nall.bin"]
        data = b"".join(map(ts, range(4)))

        def part(wanted: str) -> Reply:
            start, _, last = wanted.removeprefix("bytes=").partition("-")
            told = f"Content-Range: bytes {start}-{last}/{len(data)}"
            return Reply(206, data[int(start) : int(last) + 1], (told,))

        for page in (part, Reply(200, data)):
            self.begin()
            self.pages["/index.m3u8"] = listed(0, *lines, ended=True)
            self.pages["/all.bin"] = page
            self.pull()
            self.run_for(5)
            self.assertEqual(bytes(self.taken.data), ts(1) + ts(2))
            self.assertEqual(self.taken.ends, [None])

    def test_another_part_than_the_one_asked_for(self) -> None:
        """An origin that sends another part, or less than there should be, is not believed."""
        for page in (Reply(206, ts(0), ("Content-Range: bytes 5-9/10",)), Reply(206, ts(0)), Reply(200, ts(0))):
            self.begin()
            self.pages["/index.m3u8"] = listed(0, "#EXT-X-BYTERANGE:376@7520\nall.bin", ended=True)
            self.pages["/all.bin"] = page
            self.pull()
            self.run_for(4)
            self.assertEqual((bytes(self.taken.data), self.taken.ends), (b"", [None]))
            self.assertEqual(self.origin.asked("/all"), ["/all.bin"] * 2)


class EncryptionTests(PullTestCase):
    def test_keys_that_rotate(self) -> None:
        """Each segment is decrypted with its key and vector; a key is fetched once."""
        self.pages |= {"/k1": KEY, "/k2": OTHER_KEY}
        vector = bytes(range(16))
        self.pages["/7.ts"] = encrypted(ts(7), KEY, implicit_iv(7))
        self.pages["/8.ts"] = encrypted(ts(8), KEY, implicit_iv(8))
        self.pages["/9.ts"] = encrypted(ts(9), OTHER_KEY, vector)
        self.pages["/10.ts"] = encrypted(ts(10), KEY, implicit_iv(10))
        names = [
            '#EXT-X-KEY:METHOD=AES-128,URI="k1"\n7.ts',
            "8.ts",
            f'#EXT-X-KEY:METHOD=AES-128,URI="k2",IV=0x{vector.hex()}\n9.ts',
            '#EXT-X-KEY:METHOD=AES-128,URI="k1"\n10.ts',
            "#EXT-X-KEY:METHOD=NONE\n11.ts",
            f'#EXT-X-KEY:METHOD=AES-128,URI="data:,{KEY.decode()}",IV=0xc\n12.ts',
        ]
        self.pages["/12.ts"] = encrypted(ts(12), KEY, implicit_iv(12))
        self.pages["/index.m3u8"] = listed(7, *names, ended=True)
        self.pull()
        self.run_for(13)
        self.assertEqual(bytes(self.taken.data), b"".join(map(ts, range(7, 13))))
        self.assertEqual(self.origin.asked("/k"), ["/k1", "/k2"])

    def test_few_keys_are_remembered(self) -> None:
        """A stream with ever new keys does not fill our memory with them."""
        self.patch(hlsfetch, "KEYS", 1)
        self.patch(hlsfetch, "KEY_LIFE", 0.0)
        self.pages |= {"/k0": KEY, "/k1": KEY}
        names = [f'#EXT-X-KEY:METHOD=AES-128,URI="k{number % 2}"\n{number}.ts' for number in range(3)]
        for number in range(3):
            self.pages[f"/{number}.ts"] = encrypted(ts(number), KEY, implicit_iv(number))
        self.pages["/index.m3u8"] = listed(0, *names, ended=True)
        self.pull()
        self.run_for(7)
        self.assertEqual(self.origin.asked("/k"), ["/k0", "/k1", "/k0"])
        self.whole_and_in_order(0)

    def test_keys_that_do_not_fit(self) -> None:
        """With a wrong key, none, or half of one, no byte is passed on, and after three segments it is over."""
        for page in (Reply(200, OTHER_KEY), Reply(404), Reply(200, b"short"), Reply(200, b"<html></html>" * 9)):
            self.begin()
            self.pages["/k"] = page
            for number in range(4):
                self.pages[f"/{number}.ts"] = encrypted(ts(number), KEY, implicit_iv(number))
            self.pages["/index.m3u8"] = listed(
                0, '#EXT-X-KEY:METHOD=AES-128,URI="k"\n0.ts', "1.ts", "2.ts", "3.ts", ended=True
            )
            self.pull()
            self.run_for(8)
            self.ended_with(UpstreamError, "3 segments in a row")
            self.assertEqual(self.taken.data, b"")

    def test_cut_short_while_encrypted(self) -> None:
        """An encrypted segment whose end is missing is asked for again."""
        sealed = encrypted(ts(0), KEY, implicit_iv(0))
        pages = iter([sealed[:-16], sealed])
        self.pages["/k"] = KEY
        self.pages["/0.ts"] = lambda _: next(pages)
        self.pages["/index.m3u8"] = listed(0, '#EXT-X-KEY:METHOD=AES-128,URI="k"\n0.ts', ended=True)
        self.pull()
        self.run_for(4)
        self.assertEqual(bytes(self.taken.data), ts(0))

    def test_what_only_players_can_undo(self) -> None:
        """SAMPLE-AES and rights management end with a sentence that says what can be done."""
        for tag, words in (
            ('#EXT-X-KEY:METHOD=SAMPLE-AES,URI="k"', "SAMPLE-AES"),
            ('#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://x",KEYFORMAT="com.example"', "rights management"),
        ):
            self.begin()
            self.pages["/index.m3u8"] = listed(0, f"{tag}\n0.ts")
            self.pull()
            self.run_for(1)
            self.ended_with(Unplayable, words)
            self.assertEqual(self.origin.asked(), ["/index.m3u8"])


class OtherFormTests(PullTestCase):
    def test_fragments_of_mp4(self) -> None:
        """Fragments of MP4 need a remux, of the playlist that was chosen."""
        self.pages["/index.m3u8"] = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9\nv.m3u8\n"
        self.pages["/v.m3u8"] = listed(0, '#EXT-X-MAP:URI="init.mp4"\n0.ts')
        self.pages["/init.mp4"] = b"\0\0\0\x18ftypiso5\0\0\2\0iso5iso6mp41"
        self.pull()
        self.run_for(1)
        error = self.ended_with(NeedsRemux, "MP4")
        assert isinstance(error, NeedsRemux)
        self.assertEqual(error.inputs, ("http://origin.test/v.m3u8",))

    def test_fragments_without_a_map(self) -> None:
        """Segments that turn out to be something else than MPEG-TS need a remux too."""
        self.pages["/index.m3u8"] = numbered(0, 3)
        self.pages["/1.ts"] = b"\0\0\0\x18styp" + b"x" * 5000
        self.pull()
        self.run_for(1)
        self.ended_with(NeedsRemux, "mp4")

    def test_sound_that_is_apart(self) -> None:
        """Sound in a playlist of its own needs a remux of both."""
        self.pages["/index.m3u8"] = (
            b'#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="x",URI="a.m3u8"\n'
            b'#EXT-X-STREAM-INF:BANDWIDTH=9,AUDIO="a"\nv.m3u8\n'
        )
        self.pull()
        self.run_for(1)
        error = self.ended_with(NeedsRemux, "apart")
        assert isinstance(error, NeedsRemux)
        self.assertEqual(error.inputs, ("http://origin.test/v.m3u8", "http://origin.test/a.m3u8"))

    def test_tables_that_come_first(self) -> None:
        """An initialization section of MPEG-TS comes once before the segments, and again after a break."""
        tables = ts(999, 2)
        sealed = encrypted(tables, KEY, implicit_iv(1))
        names = ['#EXT-X-MAP:URI="file",BYTERANGE="376@4"\n0.ts', "1.ts", "#EXT-X-DISCONTINUITY\n2.ts"]
        names.append('#EXT-X-KEY:METHOD=AES-128,URI="k",IV=0x1\n#EXT-X-MAP:URI="sealed"\n3.ts')
        self.pages |= {"/file": b"1234" + tables + b"more", "/sealed": sealed, "/k": KEY}
        self.pages["/3.ts"] = encrypted(ts(3), KEY, implicit_iv(1))
        self.pages["/index.m3u8"] = listed(0, *names, ended=True)
        self.pull()
        self.run_for(9)
        self.assertEqual(bytes(self.taken.data), tables + ts(0) + ts(1) + tables + ts(2) + tables + ts(3))
        self.assertEqual(self.origin.asked("/file"), ["/file"])

    def test_tables_that_cannot_be_had(self) -> None:
        """A segment whose initialization section is missing, or wrongly encrypted, is left out."""
        for page in (Reply(404), Reply(200, b"x" * 160)):
            self.begin()
            self.pages |= {"/init": page, "/k": KEY}
            self.pages["/index.m3u8"] = listed(
                0, '#EXT-X-KEY:METHOD=AES-128,URI="k"\n#EXT-X-MAP:URI="init"\n0.ts', ended=True
            )
            self.pull()
            self.run_for(4)
            self.assertEqual((self.taken.data, self.taken.ends), (b"", [None]))
