"""What media bytes are told to be: real media made by ffmpeg, and whatever could be mistaken for it."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.sniff import ENOUGH, Media, content_type, extension, sniff
from tests.simulators.media import find_ffmpeg

#: Files that ffmpeg makes out of a second of picture and sound, with what they are.
FILES = {
    "film.ts": Media.TS,
    "film.m2ts": Media.TS,
    "film.mp4": Media.MP4,
    "fragmented.mp4": Media.MP4,
    "film.mov": Media.MP4,
    "film.mkv": Media.MATROSKA,
    "film.webm": Media.MATROSKA,
    "film.flv": Media.FLV,
    "radio.aac": Media.AAC,
    "low.aac": Media.AAC,
    "radio.mp3": Media.MP3,
    "low.mp3": Media.MP3,
    "voice.mp3": Media.MP3,
    "bare.mp3": Media.MP3,
    "radio.mp2": Media.MP3,
    "low.mp2": Media.MP3,
    "radio.ogg": Media.OGG,
    "list.m3u8": Media.HLS,
    "titles.vtt": Media.WEBVTT,
}

_SUBTITLES = "1\n00:00:00,000 --> 00:00:01,000\nHello\n"

_FFMPEG = """
-v error -f lavfi -i testsrc=s=64x64:r=25:d=1 -f lavfi -i aevalsrc=random(0):s=44100:d=1 -i {folder}/titles.srt
-map 0 -map 1 -c:v libx264 -preset ultrafast -c:a aac {folder}/film.ts
-map 0 -map 1 -c:v libx264 -preset ultrafast -c:a aac -mpegts_m2ts_mode 1 {folder}/film.m2ts
-map 0 -map 1 -c:v libx264 -preset ultrafast -c:a aac {folder}/film.mp4
-map 0 -map 1 -c:v libx264 -preset ultrafast -c:a aac -movflags frag_keyframe+empty_moov {folder}/fragmented.mp4
-map 0 -map 1 -c:v libx264 -preset ultrafast -c:a aac {folder}/film.mov
-map 0 -map 1 -c:v libx264 -preset ultrafast -c:a aac {folder}/film.mkv
-map 1 -c:a libvorbis {folder}/film.webm
-map 0 -map 1 -c:v libx264 -preset ultrafast -c:a aac {folder}/film.flv
-map 1 -c:a aac -b:a 192k {folder}/radio.aac
-map 1 -c:a aac -ac 1 -ar 16000 -b:a 16k {folder}/low.aac
-map 1 -c:a libmp3lame -b:a 320k {folder}/radio.mp3
-map 1 -c:a libmp3lame -ac 1 -ar 22050 -b:a 32k {folder}/low.mp3
-map 1 -c:a libmp3lame -ac 1 -ar 8000 -b:a 8k {folder}/voice.mp3
-map 1 -c:a libmp3lame -b:a 128k -write_xing 0 -id3v2_version 0 {folder}/bare.mp3
-map 1 -c:a mp2 -b:a 384k {folder}/radio.mp2
-map 1 -c:a mp2 -ar 22050 -b:a 64k {folder}/low.mp2
-map 1 -c:a libvorbis {folder}/radio.ogg
-map 0 -map 1 -c:v libx264 -preset ultrafast -c:a aac -f hls {folder}/list.m3u8
-map 2 {folder}/titles.vtt
"""


def id3(size: int, flags: int = 0) -> bytes:
    """An ID3 tag with that many bytes of padding."""
    tag = (
        b"ID3\x04\x00" + bytes((flags, size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127)) + bytes(size)
    )
    return tag + (b"3DI\x04\x00" + tag[5:10] if flags & 0x10 else b"")


def packets(count: int, distance: int = 188) -> bytes:
    """Packets of a transport stream, null ones, at a distance of each other."""
    packet = b"G\x1f\xff\x10" + b"\xff" * 184
    if distance == 192:
        return (bytes(4) + packet) * count
    return (packet + bytes(distance - 188)) * count


def noise(size: int) -> bytes:
    """Random bytes, the same every time."""
    return random.Random(size).randbytes(size)


class MadeByFfmpegTests(SynchronousTestCase):
    """Real media."""

    made: ClassVar[dict[str, bytes]] = {}

    @classmethod
    def setUpClass(cls) -> None:
        """Make the files."""
        super().setUpClass()
        with TemporaryDirectory() as folder:
            (Path(folder) / "titles.srt").write_text(_SUBTITLES)
            subprocess.run(
                [find_ffmpeg(), *_FFMPEG.format(folder=folder).split()], check=True, stdin=subprocess.DEVNULL
            )
            cls.made = {name: (Path(folder) / name).read_bytes() for name in FILES}

    def test_recognised(self) -> None:
        """What ffmpeg writes is told by its content."""
        for name, media in FILES.items():
            data = self.made[name]
            self.assertIs(sniff(data, final=True), media, name)
            self.assertIs(sniff(data[:ENOUGH], final=True), media, name)
            if len(data) >= ENOUGH:
                self.assertIs(sniff(data), media, name)

    def test_verdict_stands(self) -> None:
        """While more comes in, there is no verdict or already the right one."""
        for name, media in FILES.items():
            data = self.made[name]
            for size in range(min(len(data), ENOUGH)):
                self.assertIn(sniff(data[:size]), (None, media), (name, size))

    def test_from_the_middle(self) -> None:
        """A stream that is joined anywhere, in the middle of a packet or a frame, is still told."""
        for name in ("film.ts", "film.m2ts", "radio.aac", "low.aac", "radio.mp3", "low.mp3", "radio.mp2", "voice.mp3"):
            data = self.made[name]
            for start in range(1, min(len(data) - ENOUGH, 3000), 7):
                self.assertIs(sniff(data[start:]), FILES[name], (name, start))

    def test_behind_a_picture(self) -> None:
        """A transport stream that hides behind the head of a picture is told all the same."""
        picture = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0"
        self.assertIs(sniff(picture + self.made["film.ts"]), Media.TS)

    def test_tagged(self) -> None:
        """Sound behind ID3 tags, as in the segments of an audio rendition, is told by what it is."""
        for name in ("radio.aac", "bare.mp3"):
            for tags in (id3(63), id3(63) + id3(200), id3(10, flags=0x10)):
                data = tags + self.made[name]
                self.assertIs(sniff(data), FILES[name])
                for size in range(0, ENOUGH, 11):
                    self.assertIn(sniff(data[:size]), (None, FILES[name]))

    def test_short_sound(self) -> None:
        """Sound that ends after a frame or two is told once it is known that there is no more."""
        for name in ("radio.aac", "bare.mp3"):
            data = self.made[name][:300]
            self.assertIsNone(sniff(data))
            self.assertIs(sniff(data, final=True), FILES[name])


class TransportStreamTests(SynchronousTestCase):
    """Packets, and what looks like them."""

    def test_distances(self) -> None:
        """Packets with time stamps or error correction beside them are a transport stream too, from any place on."""
        for distance in (188, 192, 204):
            data = packets(30, distance)
            for start in range(distance):
                self.assertIs(sniff(data[start:]), Media.TS, (distance, start))

    def test_few_packets(self) -> None:
        """Two packets are enough when there are no more, and one is not."""
        for distance in (188, 192, 204):
            self.assertIsNone(sniff(packets(2, distance)))
            self.assertIs(sniff(packets(2, distance), final=True), Media.TS)
            self.assertIs(sniff(packets(1, distance), final=True), Media.UNKNOWN)

    def test_letter_g(self) -> None:
        """Not everything that starts with a G is a transport stream."""
        for data, media in (
            (b"Get out", Media.TEXT),
            (b"Get out of here. " * 300, Media.TEXT),
            (b"G" * 5000, Media.TEXT),
            ((b"G" + b"o" * 187) * 30, Media.TEXT),
            (b"GIF89a\x01\x00\x01\x00\x80\x00\x00" + noise(5000), Media.UNKNOWN),
            (b"GIF89a\x01\x00\x01\x00\x80\x00\x00" + noise(200), Media.UNKNOWN),
            ((b"G\x1f\xff\x00" + b"\xff" * 184) * 30, Media.UNKNOWN),
            ((b"G\x1f\xff\x00" + b"\xff" * 184) * 2, Media.UNKNOWN),
            ("Get out".encode("utf-16") * 300, Media.UNKNOWN),
        ):
            self.assertIs(sniff(data, final=True), media, data[:20])


class TextTests(SynchronousTestCase):
    """What people and programs write."""

    def test_signatures(self) -> None:
        """Playlists, subtitles and pages are told from their first words."""
        for data, media in (
            (b"#EXTM3U", Media.HLS),
            (b"\xef\xbb\xbf\r\n #EXTM3U\r\n", Media.HLS),
            (b"WEBVTT\n", Media.WEBVTT),
            (b"\xef\xbb\xbfWEBVTT - titles", Media.WEBVTT),
            (b"\n <!DocType  HTML>", Media.HTML),
            (b"<html lang=en>", Media.HTML),
            (b"<!-- page -->", Media.HTML),
            (b"<br/>Forbidden", Media.HTML),
        ):
            self.assertIs(sniff(data), media, data)

    def test_plain(self) -> None:
        """Other text is told once all of it is there."""
        for data, media in (
            (b'{"error": "expired"}', Media.TEXT),
            (b'<?xml version="1.0"?><tv></tv>', Media.TEXT),
            (b'<?xml version="1.0"?><!DOCTYPE x>\n<html xmlns="x">', Media.HTML),
            (b"WEBVTT", Media.WEBVTT),
            (b"WEBVTTX", Media.TEXT),
            (b"#EXTINF:-1", Media.TEXT),
            (b"ID3 is a kind of tag", Media.TEXT),
            (b"The free film", Media.TEXT),
            (b" \n", Media.TEXT),
            ("Zażółć gęślą jaźń".encode()[:-1], Media.TEXT),
            ("Ein schönes Café".encode("latin-1"), Media.TEXT),
            (b"\xe0\xe1\xe2\xe3\xe4\xe5abc", Media.UNKNOWN),
        ):
            self.assertIsNone(sniff(data))
            self.assertIs(sniff(data, final=True), media, data)
        self.assertIs(sniff(b"word " * 1000), Media.TEXT)


class BinaryTests(SynchronousTestCase):
    """What has a signature, and what has none."""

    def test_boxes(self) -> None:
        """Files and segments of MP4 are told by any box that they may start with."""
        for kind in (b"ftyp", b"styp", b"moof", b"sidx", b"moov", b"mdat"):
            self.assertIs(sniff(b"\0\0\0\x18" + kind), Media.MP4)
            self.assertIsNone(sniff(b"\0\0\0\x18" + kind[:3]))

    def test_signatures(self) -> None:
        """Matroska, Ogg and Flash are told by four bytes."""
        for data, media in ((b"\x1aE\xdf\xa3", Media.MATROSKA), (b"OggS", Media.OGG), (b"FLV\x01", Media.FLV)):
            self.assertIs(sniff(data), media)
            self.assertIsNone(sniff(data[:3]))

    def test_large_tag(self) -> None:
        """A tag with a picture, so long that nothing else is to be seen, is that of an MP3."""
        self.assertIs(sniff(id3(100_000)), Media.MP3)
        self.assertIsNone(sniff(id3(100_000)[:2000]))
        self.assertIs(sniff(id3(10), final=True), Media.MP3)

    def test_not_sound(self) -> None:
        """Bytes that look like a frame's header for once are not sound."""
        adts, mpeg = bytes.fromhex("fff1508003fffc"), bytes.fromhex("fffb9000")
        other_adts, other_mpeg = bytes.fromhex("fff1608003fffc"), bytes.fromhex("fffb9400")
        for data in (
            b"\0" + adts + noise(4095),
            b"\0" + mpeg + noise(4095),
            adts + bytes(24) + adts + bytes(24) + other_adts + bytes(4090),
            mpeg + bytes(413) + mpeg + bytes(413) + other_mpeg + bytes(4090),
            bytes.fromhex("fff15080001ffc") + bytes(4090),  # shorter than its own header
            bytes.fromhex("fff1748003fffc") * 600,  # a reserved sample rate
            bytes.fromhex("ffeb9000") + bytes(4093),  # a reserved version
            bytes.fromhex("ffff9000") + bytes(4093),  # layer I
            bytes.fromhex("fffb0000") + bytes(4093),  # no bit rate
            bytes.fromhex("fffbf000") + bytes(4093),  # a forbidden bit rate
            bytes.fromhex("fffb9c00") + bytes(4093),  # a reserved sample rate
            b"\xff\xfeG\0e\0t\0" * 600,  # UTF-16
            b"ID3\xff\x00\x00\x00\x00\x00\x0a" + bytes(4090),
            b"ID3\x04\x00\x00\x80\x00\x00\x0a" + bytes(4090),
            b"\xff" * 5000,
        ):
            self.assertIs(sniff(data), Media.UNKNOWN, data[:20])

    def test_unknown(self) -> None:
        """Noise, nothing at all, and pictures are nothing that we know."""
        self.assertIs(sniff(noise(5000)), Media.UNKNOWN)
        self.assertIs(sniff(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", final=True), Media.UNKNOWN)
        self.assertIs(sniff(b"", final=True), Media.UNKNOWN)
        self.assertIsNone(sniff(b""))

    @settings(max_examples=200, deadline=None)
    @given(
        st.one_of(
            st.binary(max_size=300),
            st.lists(
                st.sampled_from([b"G", b"ID3\x04", b"\xff\xfb\x90\0", b"\xff\xf1P\x80", b"<", b"\0\0", b"a"])
            ).map(b"".join),
        ),
        st.integers(1, 60),
    )
    def test_always_a_verdict(self, data: bytes, times: int) -> None:
        """Whatever comes, there is a verdict at the end of it, and with enough of it there is one at once."""
        data *= times
        self.assertIsInstance(sniff(data, final=True), Media)
        if len(data) >= ENOUGH:
            self.assertIs(sniff(data), sniff(data[:ENOUGH], final=True))


class NameTests(SynchronousTestCase):
    """How media are served."""

    def test_types_and_extensions(self) -> None:
        """Every kind has a media type, and an extension of its own that players know."""
        self.assertEqual((content_type(Media.TS), extension(Media.TS)), ("video/mp2t", "ts"))
        self.assertEqual((content_type(Media.HLS), extension(Media.HLS)), ("application/vnd.apple.mpegurl", "m3u8"))
        for media in Media:
            self.assertRegex(content_type(media), r"^[a-z]+/[a-z0-9.-]+$")
        self.assertEqual(len({extension(media) for media in Media}), len(Media))
