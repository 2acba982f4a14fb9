"""Another source carries on where the old one ended, in the same programme, on the same PIDs, with the same clock."""

from __future__ import annotations

from itertools import pairwise

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError
from iptvd.protocols.joins import Follower
from iptvd.protocols.mpegts import NULL_PID, PACKET, null_packets
from iptvd.protocols.psi import PAT_PID, ProgramMap, Stream, pmt_packets
from iptvd.protocols.timestamps import PCR_WRAP, TICKS, WRAP, elapsed
from iptvd.protocols.translation import Translator
from tests.protocols.switching import Seen, breaks, ending_of, seen, stamps, switch
from tests.protocols.tsmaking import AUDIO_PID, FILM, PMT_PID, VIDEO_PID, TsWriter, each_packet, made_film, packet, pes

FRAME = TICKS // 25
#: The programme of the new source: sound first, other PIDs, another number.
OTHER = ProgramMap(7, 0x321, (Stream(0x321, 0x1B), Stream(0x320, 0x0F)))
OTHER_PMT = 0x1100
#: When its first picture is shown.
START = 5000 * TICKS


def made_other(seconds: int = 2, first_pts: int = START, program_map: ProgramMap = OTHER) -> bytes:
    """The new source."""
    return made_film(seconds, program_map=program_map, pmt_pid=OTHER_PMT, first_pts=first_pts, pictures=20)


def on(pid: int, data: bytes) -> list[Seen]:
    """The packets of one PID."""
    return [one for one in seen(data) if one.pid == pid]


def clocks(data: bytes) -> list[int]:
    """The clock of a stream, on whatever PID."""
    return [one.pcr for one in seen(data) if one.pcr is not None]


def followed(data: bytes) -> Follower:
    """What one who follows the tables knows at the end."""
    follower = Follower()
    follower.scan(data)
    return follower


class SwitchTests(SynchronousTestCase):
    """A switch between two sources of the same kind."""

    @given(
        st.integers(30, 500),
        st.lists(st.integers(0, 50), min_size=1).filter(any),
        st.sampled_from((126_000, WRAP - 20 * FRAME, WRAP - 1)),
        st.sampled_from((START, WRAP - TICKS, 0)),
    )
    def test_carries_on(self, cut: int, counts: list[int], first: int, other: int) -> None:
        """PIDs, tables, counters and times go on wherever the old source ended, across the wrap of the clock too."""
        head = made_film(2, first_pts=first)[: cut * PACKET]
        made = switch(head, made_other(first_pts=other), counts=counts)
        self.assertEqual(breaks(made.whole), [])
        self.assertEqual({one.pid for one in seen(made.tail)}, {PAT_PID, PMT_PID, VIDEO_PID, AUDIO_PID})
        self.assertEqual(made.translator.announcements, 0)
        end = stamps(VIDEO_PID, head)[-1]
        self.assertEqual(stamps(VIDEO_PID, made.tail), [(end + FRAME + at * TICKS // 20) % WRAP for at in range(40)])
        for pid in (VIDEO_PID, AUDIO_PID):
            times = stamps(pid, made.whole)
            steps = [elapsed(*pair) for pair in pairwise(times)]
            self.assertTrue(all(0 < step <= TICKS // 5 for step in steps), steps)
        times = clocks(made.whole)
        self.assertTrue(all(elapsed(*pair, PCR_WRAP) > 0 for pair in pairwise(times)))
        first_tables = seen(made.tail)[:2]
        self.assertEqual([one.pid for one in first_tables], [PAT_PID, PMT_PID])

    @given(st.lists(st.lists(st.integers(0, 60), min_size=1).filter(any), min_size=2, max_size=2))
    def test_blocks(self, counts: list[list[int]]) -> None:
        """The same comes out however the new source is cut into blocks."""
        head, other = made_film(1)[: -9 * PACKET], made_other()
        one, another = (switch(head, other, counts=each).tail for each in counts)
        self.assertEqual(one, another)

    def test_sound_and_picture(self) -> None:
        """Picture, sound and clock of the new source keep their distances."""
        made = switch(made_film(1), made_other())
        for pid, other in ((VIDEO_PID, 0x321), (AUDIO_PID, 0x320)):
            moved = elapsed(stamps(other, made.source)[-1], stamps(pid, made.tail)[-1])
            self.assertEqual(moved, elapsed(stamps(0x321, made.source)[0], stamps(VIDEO_PID, made.tail)[0]))
        self.assertEqual(elapsed(clocks(made.source)[-1], clocks(made.tail)[-1], PCR_WRAP), moved * 300)

    def test_tables(self) -> None:
        """Our tables come where the source's were, unchanged but for their counters."""
        made = switch(made_film(1), made_other(3))
        pmts = [one for one in each_packet(made.tail) if seen(one)[0].pid == PMT_PID]
        self.assertEqual({one[4:] for one in pmts}, {pmt_packets(FILM, PMT_PID)[4:]})
        self.assertEqual([one[3] for one in pmts], [0x11, 0x12, 0x13])

    def test_back_and_forth(self) -> None:
        """After many switches the stream is still what it was at the beginning."""
        whole = made_film(1)
        sources = (made_other(), made_film(2, first_pts=WRAP - TICKS))
        for number in range(6):
            made = switch(whole[: -5 * PACKET], sources[number % 2])
            whole = made.whole
            self.assertEqual(made.ending.program, FILM)
        self.assertEqual(breaks(whole), [])
        self.assertEqual({one.pid for one in seen(whole)}, {PAT_PID, PMT_PID, VIDEO_PID, AUDIO_PID})
        times = stamps(VIDEO_PID, whole)
        self.assertTrue(all(0 < elapsed(*pair) <= TICKS // 5 for pair in pairwise(times)))

    def test_reordered(self) -> None:
        """The first picture is shown after the last one, also when only the old source reorders its pictures."""
        writer = TsWriter()
        head = writer.tables() + b"".join(
            writer.packets(VIDEO_PID, pes(b"p", pts=(number + 3) * FRAME, dts=number * FRAME)) for number in range(9)
        )
        made = switch(head, made_other())
        self.assertEqual(stamps(VIDEO_PID, made.tail)[0], 12 * FRAME)

    def test_overlapping_sound(self) -> None:
        """Sound that would come a second time is left out, until some follows; the picture is whole."""
        head = made_film(1)
        ending = ending_of(head)
        sound, end = ending.tails[AUDIO_PID], stamps(VIDEO_PID, head)[-1]
        ending = evolve(
            ending, tails={**ending.tails, AUDIO_PID: evolve(sound, dts=end + 5 * FRAME, duration=2 * FRAME)}
        )
        tail = Translator(ending, OTHER, OTHER_PMT).translate(made_other()[2 * PACKET :])
        # 0.05 s apart, from one frame after the end on: the first that is not before the end of the seventh.
        self.assertEqual(stamps(AUDIO_PID, tail)[0], end + FRAME + 5 * TICKS // 20)
        self.assertEqual(len(stamps(VIDEO_PID, tail)), 40)
        self.assertEqual(breaks(head + tail), [])


class UnfinishedTests(SynchronousTestCase):
    """What the old source left unfinished."""

    @given(st.integers(1, 2000))
    def test_filled(self, missing: int) -> None:
        """A decoder gets as much of a PES packet as it was promised before the next one comes."""
        writer = TsWriter()
        made = pes(b"s" * 3000, pts=1000, stream_id=0xC0)
        made = made[:4] + (len(made) - 6 + missing).to_bytes(2, "big") + made[6:]
        head = writer.tables() + writer.packets(VIDEO_PID, pes(b"p", pts=1000, dts=1000))
        head += writer.packets(AUDIO_PID, made)
        whole = switch(head, made_other()).whole
        self.assertEqual(breaks(whole), [])
        size, starts = 0, 0
        for one in each_packet(whole):
            if seen(one)[0].pid == AUDIO_PID:
                starts += bool(one[1] & 0x40)
                if starts > 1:
                    break
                size += PACKET - 4 - (1 + one[4] if one[3] & 0x20 else 0)
        self.assertEqual(size, len(made) + missing)


class PacketTests(SynchronousTestCase):
    """What becomes of single packets of the new source."""

    def setUp(self) -> None:
        self.head = made_film(1)
        self.translator = Translator(ending_of(self.head), OTHER, OTHER_PMT)
        self.writer = TsWriter()

    def video(self, pts: int = START, **options: bool | int) -> bytes:
        return self.writer.packets(0x321, pes(b"p" * 300, pts=pts), **options)  # type: ignore[arg-type]

    def audio(self, pts: int = START) -> bytes:
        return self.writer.packets(0x320, pes(b"s", pts=pts, stream_id=0xC0))

    def begin(self) -> bytes:
        """Have it go through."""
        return self.translator.translate(self.video(START - FRAME))

    def test_entries(self) -> None:
        """Each PID enters where a PES packet of it starts, and none before the picture."""
        early = self.audio(START) + self.writer.tables(OTHER, OTHER_PMT) + packet(0x321, b"x" * 184)
        self.assertEqual(self.translator.translate(early), b"")
        late = self.video()[PACKET:] + self.video() + packet(0x320, b"x" * 184) + self.audio(START + TICKS)
        found = [(one.pid, one.starts) for one in seen(self.translator.translate(late))][2:]
        self.assertEqual(found, [(VIDEO_PID, True), (VIDEO_PID, False), (AUDIO_PID, True)])

    def test_null_packets(self) -> None:
        """Null packets pass, before and after the first picture."""
        self.assertEqual(self.translator.translate(null_packets(2)), null_packets(2))
        out = self.translator.translate(null_packets(1) + self.video() + null_packets(1))
        self.assertEqual([one.pid for one in seen(out)], [NULL_PID, PAT_PID, PMT_PID, VIDEO_PID, VIDEO_PID, NULL_PID])
        self.assertEqual(self.translator.translate(b""), b"")

    def test_left_out(self) -> None:
        """What belongs to no stream of the programme is left out."""
        self.begin()
        self.assertEqual(self.translator.translate(packet(0x11, b"x", start=True) + packet(0x1F0, b"x")), b"")

    def test_more_streams(self) -> None:
        """More sound than there was is left out as long as there is no need to announce anything."""
        more = evolve(OTHER, streams=(Stream(0x322, 0x81), *OTHER.streams))
        self.translator = Translator(ending_of(self.head), more, OTHER_PMT)
        self.begin()
        self.assertEqual(self.translator.translate(packet(0x322, b"x" * 184, start=True)), b"")
        self.assertEqual(self.translator.announcements, 0)

    def test_flags(self) -> None:
        """Damage, priority and scrambling of packets are still told."""
        self.begin()
        marked = packet(0x321, b"x" * 184, counter=2, priority=True, damaged=True, scrambling=2)
        out = self.translator.translate(marked)
        last = ending_of(self.head).tails[VIDEO_PID].counter
        expected = packet(VIDEO_PID, b"x" * 184, counter=last + 3, priority=True, damaged=True, scrambling=2)
        self.assertEqual(out, expected)

    def test_counters(self) -> None:
        """A repeated packet stays one, packets without payload do not count, and a loss stays a loss."""
        self.begin()
        first = packet(0x321, b"x" * 184, counter=2)
        others = packet(0x321, rai=True, counter=2) + packet(0x321, b"x" * 184, counter=5)
        out = seen(self.translator.translate(first + first + others))
        last = ending_of(self.head).tails[VIDEO_PID].counter
        self.assertEqual([(one.counter - last) % 16 for one in out], [3, 3, 3, 6])

    def test_scrambled(self) -> None:
        """Of what is scrambled no time is looked for: it goes through once the others' times are known."""
        hidden = packet(0x320, b"\xa5" * 184, start=True, scrambling=3)
        self.assertEqual(self.translator.translate(hidden), b"")
        self.begin()
        out = self.translator.translate(hidden)
        self.assertEqual((out[3] & 0xC0, seen(out)[0].pid, out[4:]), (0xC0, AUDIO_PID, hidden[4:]))

    def test_no_times(self) -> None:
        """A PES packet without a time, or whose head is cut, goes only where one with a time went before."""
        untimed, cut = (
            packet(0x320, pes(b"x", stream_id=0xC0), start=True),
            packet(0x320, pes(b"", pts=1)[:11], start=True),
        )
        self.begin()
        self.assertEqual(self.translator.translate(untimed + cut), b"")
        self.translator.translate(self.audio(START + TICKS))
        self.assertEqual(len(self.translator.translate(untimed)), PACKET)
        self.assertEqual(self.translator.translate(cut + packet(0x320, b"x" * 184)), b"")
        self.assertEqual(self.translator.translate(untimed), b"")

    def test_start_without_payload(self) -> None:
        """A packet that claims to start something and has no payload starts nothing."""
        self.assertEqual(self.translator.translate(packet(0x321, start=True, pcr=1)), b"")
        self.begin()
        self.assertEqual(len(self.translator.translate(packet(0x321, start=True, rai=True))), PACKET)

    def test_continued_tables(self) -> None:
        """Our tables come once for each of the source's, however many packets that takes there."""
        self.begin()
        described = b"\x0a\x04eng\0" * 60
        other = evolve(OTHER, descriptors=described)
        out = self.translator.translate(self.writer.tables(other, OTHER_PMT))
        # The PMT is known to have changed only when it is whole.
        self.assertEqual([one.pid for one in seen(out)], [PAT_PID, PMT_PID, PMT_PID])
        out = self.translator.translate(self.writer.tables(other, OTHER_PMT) + packet(PAT_PID, b"\xff" * 184))
        self.assertEqual([one.pid for one in seen(out)], [PAT_PID, PMT_PID])
        self.assertEqual(self.translator.announcements, 0)


class AnnouncementTests(SynchronousTestCase):
    """Sources that the old PMT has no place for, and such that change what they are made of."""

    def setUp(self) -> None:
        self.head = made_film(1)
        self.writer = TsWriter()

    def timed(self, pid: int, pts: int) -> bytes:
        return self.writer.packets(pid, pes(b"x" * 300, pts=pts))

    def test_other_codec(self) -> None:
        """Another picture codec is announced by a new version of the PMT; the sound stays where it is."""
        mpeg2 = evolve(OTHER, streams=(Stream(0x321, 0x02), Stream(0x320, 0x0F)))
        made = switch(self.head, made_other(program_map=mpeg2))
        program = made.translator.program
        video = program.streams[0].pid
        self.assertEqual(made.translator.announcements, 1)
        self.assertEqual(program, ProgramMap(1, video, (Stream(video, 0x02), Stream(AUDIO_PID, 0x0F))))
        self.assertEqual(followed(made.whole).program, program)
        self.assertEqual(ending_of(made.whole).pmt_version, 1)
        self.assertEqual(breaks(made.whole), [])
        first, second = on(video, made.tail)[:2]
        self.assertEqual((first.breaks, first.payload), (True, False))
        self.assertEqual((second.starts, second.dts), (True, stamps(VIDEO_PID, self.head)[-1] + FRAME))
        self.assertEqual(len(stamps(AUDIO_PID, made.tail)), len(stamps(video, made.tail)))
        # And back, with the version after that.
        again = switch(made.whole, made_other())
        self.assertEqual(ending_of(again.whole).pmt_version, 2)
        self.assertEqual(breaks(again.whole), [])

    def test_version_wraps(self) -> None:
        """After version 31 comes 0."""
        head = TsWriter().tables(version=31) + self.head[2 * PACKET :]
        made = switch(head, made_other(program_map=evolve(OTHER, streams=(Stream(0x321, 0x24), Stream(0x320, 0x0F)))))
        self.assertEqual(ending_of(made.whole).pmt_version, 0)

    def test_does_not_fit(self) -> None:
        """A programme that no PMT can hold is refused with a sentence."""
        described = b"\x0a\x04eng\0" * 150
        long = ProgramMap(1, 0x30, (Stream(0x30, 0x02, described), Stream(0x31, 0x0F)))
        ours = evolve(FILM, streams=(Stream(VIDEO_PID, 0x1B), Stream(AUDIO_PID, 0x0F, described)))
        with self.assertRaisesRegex(ProtocolError, "does not fit"):
            Translator(evolve(ending_of(self.head), program=ours), long, OTHER_PMT)

    def test_silent_before(self) -> None:
        """Sound that comes back after so long that nobody knows its counter says that the counter breaks."""
        ending = ending_of(self.head)
        tails = {pid: tail for pid, tail in ending.tails.items() if pid != AUDIO_PID}
        tail = Translator(evolve(ending, tails=tails), OTHER, OTHER_PMT).translate(made_other())
        self.assertEqual(breaks(self.head + tail), [])
        self.assertEqual([one.breaks for one in on(AUDIO_PID, tail)[:3]], [True, False, False])

    def test_new_pids(self) -> None:
        """A source that changes its PIDs goes on in the same places."""
        moved = ProgramMap(7, 0x421, (Stream(0x421, 0x1B), Stream(0x320, 0x0F)))
        there = made_other() + TsWriter().tables(moved, OTHER_PMT, 1)
        there += made_other(first_pts=START + 2 * TICKS, program_map=moved)[2 * PACKET :]
        made = switch(self.head, there)
        self.assertEqual(breaks(made.whole), [])
        self.assertEqual(made.translator.announcements, 0)
        steps = {elapsed(*pair) for pair in pairwise(stamps(VIDEO_PID, made.tail))}
        self.assertEqual((steps, len(stamps(VIDEO_PID, made.tail))), ({TICKS // 20}, 80))

    def test_new_codec(self) -> None:
        """A source that changes its codec is announced anew when it does."""
        hevc = evolve(OTHER, streams=(Stream(0x321, 0x24), Stream(0x320, 0x0F)))
        there = made_other() + TsWriter().tables(hevc, OTHER_PMT, 1)
        made = switch(self.head, there + made_other(first_pts=START + 2 * TICKS, program_map=hevc)[2 * PACKET :])
        self.assertEqual(made.translator.announcements, 1)
        self.assertEqual(followed(made.whole).program, made.translator.program)
        video = made.translator.program.streams[0].pid
        self.assertEqual((len(stamps(VIDEO_PID, made.tail)), len(stamps(video, made.tail))), (40, 40))
        self.assertEqual(breaks(made.whole), [])

    def test_new_place_of_the_pmt(self) -> None:
        """A source that moves its PMT is followed there."""
        moved = ProgramMap(7, 0x421, (Stream(0x421, 0x1B), Stream(0x320, 0x0F)))
        made = switch(
            self.head, made_other() + TsWriter().tables(moved, 0x1200) + self.timed(0x421, START + 2 * TICKS)
        )
        self.assertEqual(stamps(VIDEO_PID, made.tail)[-1] - stamps(VIDEO_PID, made.tail)[-2], TICKS // 20)

    def test_first_tables_late(self) -> None:
        """Tables that change before the first picture are followed without a word."""
        translator = Translator(ending_of(self.head), evolve(OTHER, streams=()), OTHER_PMT)
        out = translator.translate(self.timed(0x321, START) + self.writer.tables(OTHER, OTHER_PMT))
        self.assertEqual(out, b"")
        self.assertEqual(len(stamps(VIDEO_PID, translator.translate(self.timed(0x321, START)))), 1)

    def test_sections(self) -> None:
        """Streams of sections go where such streams were, once the times are known."""
        ours = evolve(FILM, streams=(*FILM.streams, Stream(0x102, 0x86)))
        theirs = evolve(OTHER, streams=(*OTHER.streams, Stream(0x322, 0x86)))
        section = packet(0x322, b"\0\xfc\x30\x11" + b"\xff" * 180, start=True, counter=3)
        translator = Translator(evolve(ending_of(self.head), program=ours), theirs, OTHER_PMT)
        self.assertEqual(translator.translate(section), b"")
        translator.translate(self.timed(0x321, START))
        self.assertEqual(on(0x102, translator.translate(section))[-1].payload, True)

    def test_data_alone(self) -> None:
        """A programme without picture and sound follows the times of what it has."""
        data = ProgramMap(1, NULL_PID, (Stream(0x50, 0x15), Stream(0x51, 0x86)))
        writer = TsWriter()
        head = writer.tables(data) + writer.packets(0x50, pes(b"x", pts=5000, stream_id=0xBD))
        theirs = ProgramMap(1, NULL_PID, (Stream(0x60, 0x15),))
        translator = Translator(ending_of(head), theirs, OTHER_PMT)
        out = translator.translate(self.timed(0x60, 77) + self.writer.packets(0x60, pes(b"x")) + self.timed(0x60, 99))
        self.assertEqual(stamps(0x50, out), [5001, 5023])
