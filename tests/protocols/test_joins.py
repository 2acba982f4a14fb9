"""Viewers begin where a picture can be decoded, with the tables in force there, however the stream was cut."""

from __future__ import annotations

import io
import subprocess

import av
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.joins import LOOKED_AT, PATIENCE, Follower, Join
from iptvd.protocols.mpegts import PACKET, null_packets
from iptvd.protocols.psi import ProgramMap, Stream
from iptvd.protocols.timestamps import read_pcr
from tests.protocols.tsfilms import SECONDS, film
from tests.protocols.tsmaking import (
    AUDIO_PID,
    FILM,
    H264_KEY,
    H264_OTHER,
    PMT_PID,
    SOUND,
    VIDEO_PID,
    TsWriter,
    blocks,
    continuity_errors,
    each_packet,
    made_film,
    packet,
    pes,
    pid_of,
    scrambled,
    without_rai,
)
from tests.simulators.media import find_ffmpeg

CUTS = st.lists(st.integers(0, 40) | st.integers(0, 700), min_size=1, max_size=12).filter(any)


def joins_of(
    data: bytes, cuts: tuple[int, ...] | list[int] = (10_000_000,), follower: Follower | None = None
) -> list[Join]:
    """All joins of a stream in blocks of so many packets, with offsets in the stream."""
    follower = follower or Follower()
    found, at = [], 0
    for block in blocks(data, cuts):
        found += [evolve(join, offset=at + join.offset) for join in follower.scan(block)]
        at += len(block)
    return found


def key_times(data: bytes) -> list[int | None]:
    """The PTS of each key picture, as FFmpeg finds them."""
    with av.open(io.BytesIO(data), "r", options={"fflags": "+nofillin"}) as container:
        return [one.pts for one in container.demux(container.streams.video[0]) if one.is_keyframe]


def complaints(data: bytes) -> str:
    """What ffmpeg says when it decodes all of a stream and stops at the first error; empty when it is content."""
    command = [find_ffmpeg(), "-v", "error", "-xerror", "-i", "-", "-map", "0", "-f", "null", "-"]
    done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=60)
    return done.stderr.decode(errors="replace") or "failed" * bool(done.returncode)


class RealTests(SynchronousTestCase):
    """Streams as ffmpeg writes them, judged by FFmpeg."""

    def check(self, data: bytes) -> list[Join]:
        """Every key picture is a join, and from each join on everything decodes."""
        joins = joins_of(data)
        self.assertEqual([join.pts for join in joins], key_times(data))
        self.assertEqual(len(joins), SECONDS)
        for join in joins:
            stream = join.tables + data[join.offset :]
            self.assertEqual(continuity_errors(stream), [])
            with av.open(io.BytesIO(stream), "r") as container:
                pictures = 0
                for number, one in enumerate(container.demux(container.streams.video[0])):
                    self.assertFalse(one.is_corrupt)
                    self.assertTrue(number or one.is_keyframe)
                    frames = one.decode()
                    self.assertFalse(any(frame.is_corrupt for frame in frames))
                    if not pictures and frames:
                        self.assertTrue(frames[0].key_frame)
                    pictures += len(frames)
                self.assertGreaterEqual(pictures, 25 * (SECONDS - joins.index(join)) - 2)
        self.assertEqual(complaints(joins[3].tables + data[joins[3].offset :]), "")
        return joins

    def test_marked(self) -> None:
        """With the random access indicator set, viewers begin at each key picture and see it at once."""
        for video, audio in (("h264", "aac"), ("hevc", "aac"), ("mpeg2", "mp2"), ("mpeg4", "ac3")):
            self.check(film(video, audio))

    def test_unmarked(self) -> None:
        """A multiplexer that never sets the random access indicator makes no difference."""
        for video, audio in (("h264", "aac"), ("hevc", "aac"), ("mpeg2", "mp2"), ("mpeg4", "ac3")):
            data = film(video, audio)
            bare = without_rai(data)
            self.assertNotEqual(bare, data)
            self.assertEqual(
                [(join.offset, join.pts, join.pcr, join.tables) for join in self.check(bare)],
                [(join.offset, join.pts, join.pcr, join.tables) for join in joins_of(data)],
            )

    def test_open_groups(self) -> None:
        """Recovery points with their parameter sets count as FFmpeg counts them, marked or not."""
        for data in (film("h264-open"), without_rai(film("h264-open"))):
            joins = joins_of(data)
            self.assertEqual([join.pts for join in joins], key_times(data))
            self.assertGreater(len(joins), SECONDS // 2)

    def test_sound(self) -> None:
        """A channel without pictures can be joined at each piece of sound, and it decodes from there."""
        data = film("", "mp2")
        joins = joins_of(data)
        starts = [at for at, one in enumerate(each_packet(data)) if pid_of(one) == 0x100 and one[1] & 0x40]
        self.assertEqual([join.offset for join in joins], [at * PACKET for at in starts])
        for join in joins[:: len(joins) // 5]:
            with av.open(io.BytesIO(join.tables + data[join.offset :]), "r") as container:
                first = next(container.demux(container.streams.audio[0]))
                self.assertEqual((first.pts, first.is_corrupt), (join.pts, False))
                self.assertTrue(first.decode())

    def test_scrambled(self) -> None:
        """What cannot be read is joined where it is marked, and nowhere when it is not."""
        data = film("h264")
        hidden = scrambled(data, 0x100)
        self.assertEqual(
            [(join.offset, join.pts, join.pcr) for join in joins_of(hidden)],
            [(join.offset, None, join.pcr) for join in joins_of(data)],
        )
        self.assertEqual(joins_of(without_rai(hidden)), [])

    @settings(max_examples=40)
    @given(
        st.sampled_from(("h264", "hevc", "mpeg2", "")),
        st.booleans(),
        CUTS,
    )
    def test_blocks(self, video: str, marked: bool, cuts: list[int]) -> None:
        """The same joins come out whatever blocks the stream comes in."""
        data = film(video)[: 6_000 * PACKET]
        if not marked:
            data = without_rai(data)
        self.assertEqual(joins_of(data, cuts), joins_of(data))
        self.assertGreater(len(joins_of(data)), 1)

    def test_clock(self) -> None:
        """The clock of each block is told, and the last one of the stream is kept."""
        data = film("h264")
        pcrs = [pcr for at in range(0, len(data), PACKET) if (pcr := read_pcr(data, at)) is not None]
        follower = Follower()
        self.assertIsNone(follower.clock(data))
        followed = []
        for block in blocks(data, (30,)):
            follower.scan(block)
            clock = follower.clock(block)
            if clock is not None:
                followed += [*clock]
                self.assertEqual(follower.last_pcr, clock[1])
        self.assertEqual((followed[0], followed[-1]), (pcrs[0], pcrs[-1]))
        self.assertTrue(set(followed) <= set(pcrs))
        self.assertEqual(followed, sorted(followed))

    def test_clock_of_joins(self) -> None:
        """A join has the last clock that came up to it."""
        data = film("h264", options="-pcr_period 150")
        joins = joins_of(data, (100,))
        for join in joins:
            before = [read_pcr(data, at) for at in range(0, join.offset + PACKET, PACKET)]
            self.assertEqual(join.pcr, [pcr for pcr in before if pcr is not None][-1])


class MadeTests(SynchronousTestCase):
    """Streams made to measure."""

    def setUp(self) -> None:
        self.writer = TsWriter()

    def picture(
        self, data: bytes = H264_OTHER, pts: int | None = 900, first: int | None = None, **flags: bool
    ) -> bytes:
        """A picture of the film, in a few packets."""
        return self.writer.packets(VIDEO_PID, pes(data.ljust(800, b"\x80"), pts=pts), first=first, **flags)

    def test_nothing(self) -> None:
        """Without tables there is no join."""
        follower = Follower()
        self.assertEqual(follower.scan(b""), [])
        self.assertEqual(follower.scan(self.picture(H264_KEY, rai=True) + null_packets(5)), [])
        self.assertEqual(
            (follower.tables, follower.program, follower.stream, follower.last_pcr), (b"", None, None, None)
        )
        self.assertEqual((follower.revision, follower.pmt_pid), (0, 0))

    def test_known(self) -> None:
        """What the stream is made of is known."""
        follower = Follower()
        tables = self.writer.tables()
        follower.scan(tables)
        self.assertEqual((follower.tables, follower.program, follower.pmt_pid), (tables, FILM, PMT_PID))
        self.assertEqual((follower.stream, follower.revision), (FILM.streams[0], 2))

    def test_shape(self) -> None:
        """Each second's key picture is a join, marked or not, with its time and its clock."""
        for marked in (True, False):
            joins = joins_of(made_film(3, rai=marked), (7,))
            self.assertEqual([join.pts for join in joins], [126_000, 216_000, 306_000])
            self.assertEqual([join.pcr for join in joins], [36_000 * 300, 126_000 * 300, 216_000 * 300])

    def test_priority_and_damage(self) -> None:
        """A packet's priority makes no difference; one that is marked as damaged is no join."""
        tables = self.writer.tables()
        key = self.picture(H264_KEY, rai=True, priority=True)
        damaged = bytearray(self.picture(H264_KEY, rai=True))
        damaged[1] |= 0x80
        joins = joins_of(tables + key + bytes(damaged))
        self.assertEqual([join.offset for join in joins], [len(tables)])

    def test_no_payload(self) -> None:
        """A packet that marks a join but holds nothing is none."""
        odd = bytearray(packet(VIDEO_PID, b"x", start=True, rai=True))
        odd[4] = 190
        empty = packet(VIDEO_PID, start=True, rai=True)
        self.assertEqual(joins_of(self.writer.tables() + empty + bytes(odd)), [])

    def test_decided_later(self) -> None:
        """A picture whose first packets tell nothing is decided on with the next ones, and lies before the block."""
        follower = Follower()
        follower.scan(self.writer.tables())
        key = self.picture(b"\xff" * 300 + H264_KEY, first=10)
        found = [follower.scan(block) for block in (key[:PACKET], null_packets(2), key[PACKET:])]
        self.assertEqual([len(joins) for joins in found], [0, 0, 1])
        (join,) = found[2]
        self.assertEqual((join.offset, join.pts), (-3 * PACKET, 900))
        self.assertEqual(joins_of(self.writer.tables() + self.picture(H264_OTHER, first=10) + key)[0].pts, 900)

    def test_never_decided(self) -> None:
        """A picture that tells nothing within its first packets is no join, nor is one that ends before."""
        tables = self.writer.tables()
        size = 184 * LOOKED_AT
        late = self.picture(b"\xff" * size + H264_KEY)
        short = self.writer.packets(VIDEO_PID, pes(b"\xff" * 20, pts=5))
        self.assertEqual(joins_of(tables + late + short + short + self.picture()), [])

    def test_scrambled_rest(self) -> None:
        """A picture that becomes unreadable after its first packet is no join."""
        key = self.picture(H264_KEY, first=10)
        hidden = key[:PACKET] + scrambled(key[PACKET:], VIDEO_PID)
        self.assertEqual(joins_of(self.writer.tables() + hidden), [])

    def test_empty_packets_between(self) -> None:
        """Packets with a clock only may lie within a picture."""
        key = self.picture(H264_KEY, first=10)
        clock = packet(VIDEO_PID, counter=key[3], pcr=5)
        joins = joins_of(self.writer.tables() + key[:PACKET] + clock + key[PACKET:])
        self.assertEqual([(join.pts, join.pcr) for join in joins], [(900, None)])

    def test_marks_are_learned(self) -> None:
        """Once pictures are marked only marks count, until there has been none for long."""
        data = self.writer.tables() + self.picture(H264_KEY, rai=True)
        data += b"".join(self.picture(H264_KEY, pts=number) for number in range(PATIENCE + 3))
        self.assertEqual([join.pts for join in joins_of(data)], [900, PATIENCE, PATIENCE + 1, PATIENCE + 2])

    def test_codec_that_tells_nothing(self) -> None:
        """With a codec whose pictures tell nothing any picture counts, unless some are marked."""
        pictures = ProgramMap(1, VIDEO_PID, (Stream(VIDEO_PID, 0x21),))
        data = self.writer.tables(pictures) + self.picture(pts=1) + self.picture(pts=2)
        data += self.picture(pts=3, rai=True) + self.picture(pts=4) + self.picture(pts=5, rai=True)
        self.assertEqual([join.pts for join in joins_of(data)], [1, 2, 3, 5])

    def test_what_is_followed(self) -> None:
        """Pictures are followed before sound, sound before the rest, and nothing on reserved PIDs."""
        teletext, sound, video = Stream(0x30, 0x06, b"\x56\x00"), Stream(0x31, 0x03), Stream(0x32, 0x02)
        for streams, wanted in (
            ((teletext, sound, video), video),
            ((teletext, sound), sound),
            ((teletext,), teletext),
            ((Stream(5, 0x1B), Stream(0x1FFF, 0x1B), Stream(PMT_PID, 0x1B)), None),
            ((), None),
        ):
            follower = Follower()
            follower.scan(TsWriter().tables(ProgramMap(1, 0x1FFF, streams)))
            self.assertEqual(follower.stream, wanted)

    def test_programme(self) -> None:
        """Of several programmes the one that was asked for is followed."""
        other = ProgramMap(2, 0x200, (Stream(0x200, 0x1B),))
        tables = self.writer.tables() + self.writer.tables(other, 0x1002, 1, {1: PMT_PID})
        data = tables + self.picture(rai=True, pts=1) + self.writer.packets(0x200, pes(b"", pts=2), rai=True)
        self.assertEqual([join.pts for join in joins_of(data)], [1])
        self.assertEqual([join.pts for join in joins_of(data, (1,), Follower(2))], [2])

    def test_change(self) -> None:
        """When the tables change, joins come with the new ones, and what was not decided on is dropped."""
        data = self.writer.tables() + self.picture(rai=True, pts=1) + self.picture(H264_KEY, first=10)[:PACKET]
        sound = ProgramMap(1, AUDIO_PID, (Stream(AUDIO_PID, 0x0F, b"\x0a\x04eng\0"),))
        data += self.writer.tables(SOUND, version=1) + self.picture(H264_KEY, rai=True)
        data += self.writer.packets(AUDIO_PID, pes(b"", pts=2, stream_id=0xC0))
        data += self.writer.tables(sound, version=2) + self.writer.packets(AUDIO_PID, pes(b"", pts=3, stream_id=0xC0))
        joins = joins_of(data)
        self.assertEqual([join.pts for join in joins], [1, 2, 3])
        self.assertEqual([join.revision for join in joins], [2, 4, 6])
        for join in joins:
            follower = Follower()
            follower.scan(join.tables)
            self.assertEqual(follower.program, {1: FILM, 2: SOUND, 3: sound}[join.pts or 0])

    def test_dropped_with_the_tables(self) -> None:
        """A picture that is not decided on when its programme moves away is dropped."""
        start = self.picture(H264_KEY, first=10)
        data = self.writer.tables() + start[:PACKET] + self.writer.tables(SOUND, version=1) + start[PACKET:]
        self.assertEqual(joins_of(data), [])

    def test_new_clock(self) -> None:
        """When the clock moves to another PID, what was read on the old one is forgotten."""
        clockless = ProgramMap(1, 0x55, FILM.streams)
        tick = packet(VIDEO_PID, pcr=1), packet(0x55, pcr=2), packet(0x55, pcr=3)
        data = self.writer.tables() + tick[1] + tick[0] + self.picture(rai=True)
        data += self.writer.tables(clockless, version=1) + self.picture(rai=True) + tick[2] + self.picture(rai=True)
        for cuts in ((1,), (1000,)):
            self.assertEqual([join.pcr for join in joins_of(data, cuts)], [1, None, 3])

    def test_discontinuity(self) -> None:
        """A break that was announced is told with the next join, and with it alone."""
        data = self.writer.tables() + self.picture(rai=True) + self.picture(discontinuity=True)
        data += self.picture(rai=True) + self.picture(rai=True) + self.picture(rai=True, discontinuity=True)
        self.assertEqual([join.discontinuity for join in joins_of(data)], [False, True, False, True])

    @given(CUTS, st.booleans(), st.integers(1, 3))
    def test_long_tables(self, cuts: list[int], marked: bool, first: int) -> None:
        """Tables that span packets and pictures on PIDs like theirs are followed in any blocks."""
        program_map = ProgramMap(1, 0x31, (Stream(0x31, 0x1B, b"\x90\xf0" + b"x" * 240), Stream(0x32, 0x0F)))
        data = made_film(4, program_map=program_map, pmt_pid=0x20, pictures=10, picture_size=300, rai=marked)
        data = data[first * PACKET :]
        joins = joins_of(data, cuts)
        self.assertEqual([join.pts for join in joins], [216_000, 306_000, 396_000])
        self.assertEqual(joins, joins_of(data))
        for join in joins:
            self.assertEqual(continuity_errors(join.tables + data[join.offset :]), [])

    @given(
        st.lists(
            st.tuples(
                st.sampled_from((0, PMT_PID, VIDEO_PID, AUDIO_PID)),
                st.sampled_from((b"\0", b"\0\2\xb0\x10", H264_KEY, pes(H264_KEY, pts=1), b"\0\0\1")),
                st.booleans(),
                st.booleans(),
                st.integers(0, 15),
            ),
            max_size=30,
        ),
        CUTS,
    )
    def test_anything(self, packets: list[tuple[int, bytes, bool, bool, int]], cuts: list[int]) -> None:
        """Whatever comes, the same joins come out of any blocks."""
        data = self.writer.tables() + b"".join(
            packet(pid, payload, start=start, rai=rai, counter=counter)
            for pid, payload, start, rai, counter in packets
        )
        self.assertEqual(joins_of(data, cuts), joins_of(data))
