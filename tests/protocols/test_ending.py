"""How a stream ended is read out of its last packets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.ending import SOUND_FRAME, USUAL_FRAME, Ending, Tail, read_ending
from iptvd.protocols.mpegts import NULL_PID, PACKET, null_packets
from iptvd.protocols.psi import ProgramMap, Stream, pat_packets, pmt_packets
from iptvd.protocols.timestamps import TICKS, WRAP
from tests.protocols.tsmaking import AUDIO_PID, FILM, PMT_PID, VIDEO_PID, TsWriter, blocks, made_film, packet, pes

FRAME = TICKS // 25


def sized(made: bytes) -> bytes:
    """A PES packet that tells its length."""
    return made[:4] + (len(made) - 6).to_bytes(2, "big") + made[6:]


def ended(data: bytes) -> Ending:
    """The ending that there has to be."""
    found = read_ending([data])
    assert found is not None
    return found


def audio_tail(*packets: bytes) -> Tail:
    """How the sound of a stream of these packets ended."""
    return ended(TsWriter().tables() + b"".join(packets)).tails[AUDIO_PID]


class EndingTests(SynchronousTestCase):
    """Of a whole programme."""

    @given(
        st.lists(st.integers(0, 40), min_size=1).filter(any), st.sampled_from((126_000, WRAP - 3 * FRAME, WRAP - 1))
    )
    def test_film(self, counts: list[int], first_pts: int) -> None:
        """Programme, tables, counters, times and clock are known at the end, however the stream was cut."""
        data = made_film(2, first_pts=first_pts)
        found = read_ending(blocks(data, counts))
        assert found is not None
        last = (first_pts + 49 * FRAME) % WRAP
        self.assertEqual((found.program, found.pmt_pid), (FILM, PMT_PID))
        self.assertEqual(found.pat, pat_packets({1: PMT_PID}, continuity=1))
        self.assertEqual(found.pmt, pmt_packets(FILM, PMT_PID, continuity=1))
        self.assertEqual((found.pat_version, found.pmt_version), (0, 0))
        self.assertEqual(found.pcr, (last - TICKS) % WRAP * 300)
        video = 50 * 11
        self.assertEqual(found.tails[VIDEO_PID], Tail((video - 1) % 16, last, last, FRAME))
        self.assertEqual(found.tails[AUDIO_PID], Tail((50 * 2 - 1) % 16, last, last, FRAME))
        self.assertEqual(found.tails[0], Tail(1))
        self.assertEqual(found.tails[PMT_PID], Tail(1))

    def test_versions(self) -> None:
        """The newest tables count, and their versions are known."""
        writer = TsWriter()
        data = writer.tables(version=3) + writer.tables(ProgramMap(1, NULL_PID, ()), version=31)
        found = ended(data)
        self.assertEqual((found.pat_version, found.pmt_version), (31, 31))
        self.assertEqual((found.program.streams, found.pcr), ((), None))
        self.assertEqual(set(found.tails), {0, PMT_PID})

    def test_long_tables(self) -> None:
        """Tables that take several packets are whole."""
        described = b"\x0a\x04eng\0" * 80
        program = ProgramMap(1, VIDEO_PID, (Stream(VIDEO_PID, 0x1B, described),))
        found = ended(TsWriter().tables(program))
        self.assertEqual(found.program, program)
        self.assertEqual(len(found.pmt), 3 * PACKET)
        self.assertEqual(found.tails[PMT_PID], Tail(2))

    def test_programs(self) -> None:
        """Of several programmes a certain one is asked for."""
        other = ProgramMap(2, 0x30, (Stream(0x30, 0x0F),))
        data = pat_packets({1: PMT_PID, 2: 0x1001}) + pmt_packets(FILM, PMT_PID) + pmt_packets(other, 0x1001)
        found = read_ending([data], 2)
        assert found is not None
        self.assertEqual((found.program, found.pmt_pid), (other, 0x1001))

    def test_nothing(self) -> None:
        """Without tables there is nothing to go on from."""
        for data in (b"", null_packets(3), pat_packets({1: PMT_PID}), packet(VIDEO_PID, b"x")):
            self.assertIsNone(read_ending([data]))

    def test_nothing_of_a_stream(self) -> None:
        """A stream of which nothing came has no ending; one that came without times has a counter."""
        found = ended(TsWriter().tables() + packet(VIDEO_PID, b"x", counter=5))
        self.assertNotIn(AUDIO_PID, found.tails)
        self.assertEqual(found.tails[VIDEO_PID], Tail(5))
        self.assertIsNone(found.pcr)


class TailTests(SynchronousTestCase):
    """Of one PID."""

    def setUp(self) -> None:
        self.writer = TsWriter()

    def sound(self, size: int, pts: int | None) -> bytes:
        return self.writer.packets(AUDIO_PID, sized(pes(b"s" * size, pts=pts, stream_id=0xC0)))

    def test_reordered_pictures(self) -> None:
        """The picture that is shown last counts, even when others follow it; a rare step is none to go by."""
        steps = ((0, 2), (1, 6), (2, 4), (3, 3), (5, 5))
        made = [self.writer.packets(VIDEO_PID, pes(b"p", pts=pts * FRAME, dts=dts * FRAME)) for dts, pts in steps]
        found = ended(TsWriter().tables() + b"".join(made)).tails[VIDEO_PID]
        self.assertEqual((found.dts, found.pts, found.duration), (5 * FRAME, 6 * FRAME, FRAME))

    def test_cut_sound(self) -> None:
        """Sound that was cut off lasts as long as what came of it and one frame, and what is missing is known."""
        whole = self.sound(986, 0) + self.sound(986, 9000) + self.sound(1986, 18000)
        found = audio_tail(whole)
        self.assertEqual((found.dts, found.owed), (18000, 0))
        self.assertEqual(found.duration, 18000 * 2000 // 2000)
        cut = audio_tail(whole[: -6 * PACKET])
        self.assertEqual((cut.dts, cut.owed + 5 * 184), (18000, 2000))
        self.assertEqual(cut.duration, 18000 * 5 * 184 // 2000 + SOUND_FRAME)

    def test_sound_without_length(self) -> None:
        """Sound that does not tell its length lasts as long as the steps before."""
        made = [self.writer.packets(AUDIO_PID, pes(b"s", pts=pts, stream_id=0xC0)) for pts in (0, 1920, 3840)]
        self.assertEqual(audio_tail(*made).duration, 1920)
        self.assertEqual(audio_tail(made[0]), Tail(0, 0, 0, USUAL_FRAME))

    def test_first_sound(self) -> None:
        """One piece of sound alone lasts as long as is usual."""
        self.assertEqual(audio_tail(self.sound(100, 5)).duration, USUAL_FRAME)

    def test_untimed(self) -> None:
        """What comes without a time belongs to what came before it."""
        found = audio_tail(self.sound(86, 0), self.sound(86, 1000), self.sound(91, None))
        self.assertEqual((found.dts, found.duration), (1000, 2000))
        self.assertEqual(audio_tail(self.sound(86, None)[:PACKET]), Tail(3))

    def test_jump(self) -> None:
        """What came before the clock jumped does not count."""
        for jump in (50 * TICKS, -50 * TICKS):
            late = [self.sound(86, (jump + 1920 * number) % WRAP) for number in range(3)]
            found = audio_tail(self.sound(86, 0), self.sound(86, 1920), *late)
            expected = (jump + 3840) % WRAP
            self.assertEqual((found.dts, found.pts, found.duration), (expected, expected, 1920))

    def test_clock_that_stands(self) -> None:
        """Times that do not go on give no duration."""
        self.assertEqual(audio_tail(self.sound(86, 900), self.sound(86, 0)).duration, 0)

    def test_data(self) -> None:
        """Subtitles take no time that others would have to wait for."""
        program = ProgramMap(1, NULL_PID, (Stream(0x50, 0x06, b"\x59\x00"),))
        made = [self.writer.packets(0x50, sized(pes(b"s", pts=pts, stream_id=0xBD))) for pts in (0, 90_000)]
        found = ended(TsWriter().tables(program) + b"".join(made)).tails[0x50]
        self.assertEqual((found.dts, found.duration), (90_000, 0))
