"""The times of a translated source go on from the old one's, also where its own clock jumps or is somewhere else."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.ending import Ending
from iptvd.protocols.mpegts import NULL_PID, PACKET
from iptvd.protocols.psi import ProgramMap, Stream
from iptvd.protocols.timestamps import PCR_WRAP, TICKS, WRAP, pcr_field
from iptvd.protocols.translation import PATIENCE, USUAL_LEAD, Translator
from tests.protocols.switching import Seen, ending_of, seen
from tests.protocols.tsmaking import AUDIO_PID, FILM, VIDEO_PID, TsWriter, made_film, packet, pes

FRAME = TICKS // 25
OTHER = ProgramMap(7, 0x321, (Stream(0x321, 0x1B), Stream(0x320, 0x0F)))
OTHER_PMT = 0x1100


class ClockTests(SynchronousTestCase):
    """Streams of which each packet is made by hand."""

    def setUp(self) -> None:
        self.ending = ending_of(made_film(1))
        self.writer = TsWriter()
        tail = self.ending.tails[VIDEO_PID]
        assert tail.dts is not None
        self.next = tail.dts + FRAME

    def begin(self, ending: Ending | None = None, theirs: ProgramMap = OTHER) -> None:
        """Have a source carry on, whose first picture is at 1,000,000 by its own clock."""
        self.translator = Translator(ending or self.ending, theirs, OTHER_PMT)
        self.go(self.picture(1_000_000))

    def picture(self, dts: int, pcr: int | None = None) -> bytes:
        return self.writer.packets(0x321, pes(b"p", pts=dts % WRAP), pcr=pcr)

    def sound(self, dts: int) -> bytes:
        return self.writer.packets(0x320, pes(b"s", pts=dts % WRAP, stream_id=0xC0))

    def go(self, *packets: bytes) -> list[Seen]:
        return seen(self.translator.translate(b"".join(packets)))

    def times(self, pid: int, packets: Sequence[bytes]) -> list[int]:
        """The DTS that come out on one PID, counted from the first picture."""
        return [(one.dts - self.next) % WRAP for one in self.go(*packets) if one.pid == pid and one.dts is not None]


class JumpTests(ClockTests):
    """A source whose times jump."""

    def test_jumps(self) -> None:
        """Times go on evenly when the source's jump, and the sound stays with the picture."""
        for jump in (-2 * TICKS, 500 * TICKS, -5000 * TICKS, WRAP // 2):
            self.begin()
            steps = (0, FRAME, 2 * FRAME)
            before = [made for at in steps[1:] for made in (self.picture(1_000_000 + at), self.sound(1_000_000 + at))]
            self.go(*before)
            base = 1_000_000 + jump
            late = [made for at in steps for made in (self.sound(base + at), self.picture(base + at))]
            out = self.go(*late)
            times = {pid: [one.dts for one in out if one.pid == pid] for pid in (VIDEO_PID, AUDIO_PID)}
            expected = [(self.next + (3 + at) * FRAME) % WRAP for at in range(3)]
            self.assertEqual(times[VIDEO_PID], expected)
            # The sound that came before the first picture has jumped too, but where to is not known yet.
            self.assertEqual(times[AUDIO_PID], expected[1:])

    def test_small_steps(self) -> None:
        """Times that go back a little, or that pause, are the source's own affair."""
        self.begin()
        steps = (FRAME, 3 * FRAME, 2 * FRAME, 2 * FRAME, 8 * TICKS)
        self.assertEqual(self.times(VIDEO_PID, [self.picture(1_000_000 + at) for at in steps]), list(steps))

    def test_sound_alone_jumps(self) -> None:
        """Sound that has left its picture is left out until it is back."""
        self.begin()
        steps = (FRAME, -50 * TICKS, 50 * TICKS, 3 * FRAME)
        self.assertEqual(self.times(AUDIO_PID, [self.sound(1_000_000 + at) for at in steps]), [FRAME, 3 * FRAME])

    def test_picture_ends(self) -> None:
        """When there is no picture any more, sound whose times jump is followed after a while."""
        self.begin()
        self.go(self.sound(1_000_000 + FRAME))
        late = [self.sound(5 * TICKS * 60 + at * FRAME) for at in range(PATIENCE + 3)]
        self.assertEqual(self.times(AUDIO_PID, late), [2 * FRAME, 3 * FRAME, 4 * FRAME])

    def test_picture_never_begins(self) -> None:
        """A source with sound alone is followed, after a while if it had promised a picture, at once if not."""
        self.translator = Translator(self.ending, OTHER, OTHER_PMT)
        self.assertEqual(len(self.times(AUDIO_PID, [self.sound(at * FRAME) for at in range(PATIENCE + 3)])), 3)
        self.translator = Translator(self.ending, evolve(OTHER, streams=OTHER.streams[1:]), OTHER_PMT)
        self.assertEqual(self.times(AUDIO_PID, [self.sound(77), self.sound(77 + FRAME)]), [0, FRAME])

    def test_subtitles(self) -> None:
        """Subtitles never lead: what is far from the picture stays out, however much of it comes."""
        subtitles = (Stream(0x50, 0x06, b"\x59\x00"),)
        ending = evolve(self.ending, program=evolve(FILM, streams=FILM.streams + subtitles))
        self.begin(ending, evolve(OTHER, streams=(*OTHER.streams, Stream(0x60, 0x06, b"\x59\x00"))))

        def subtitle(at: int) -> bytes:
            return self.writer.packets(0x60, pes(b"t", pts=at, stream_id=0xBD))

        self.assertEqual(self.times(0x50, [subtitle(at) for at in range(2 * PATIENCE)]), [])
        self.assertEqual(self.times(0x50, [subtitle(1_000_000 + FRAME)]), [FRAME])

    def test_new_picture_overlaps(self) -> None:
        """A picture that enters on a new PID, with times that have been, is moved on rather than left out."""
        self.begin()
        self.go(self.picture(1_000_000 + 5 * FRAME))
        moved = evolve(OTHER, pcr_pid=0x421, streams=(Stream(0x421, 0x1B), OTHER.streams[1]))
        tables = TsWriter().tables(OTHER, OTHER_PMT) + TsWriter().tables(moved, OTHER_PMT, 1)
        late = self.writer.packets(0x421, pes(b"p", pts=1_000_000 + 2 * FRAME))
        self.assertEqual(self.times(VIDEO_PID, [tables, late]), [10 * FRAME])


class AnchorTests(ClockTests):
    """What the first times follow."""

    def first(self, ending: Ending) -> int | None:
        self.begin(ending)
        out = seen(self.translator.translate(self.picture(1_000_000 + FRAME)))
        return out[-1].dts

    def untimed(self, *pids: int) -> Ending:
        """The ending without the times of these."""
        tails = {
            pid: evolve(tail, dts=None, pts=None) if pid in pids else tail for pid, tail in self.ending.tails.items()
        }
        return evolve(self.ending, tails=tails)

    def test_other_kinds(self) -> None:
        """Where no picture was the picture follows the sound."""
        self.assertEqual(self.first(self.untimed(VIDEO_PID)), self.next + FRAME)

    def test_clock_alone(self) -> None:
        """Where only the clock is known the times lie ahead of it."""
        ending = self.untimed(VIDEO_PID, AUDIO_PID)
        assert ending.pcr is not None
        self.assertEqual(self.first(ending), ending.pcr // 300 + USUAL_LEAD + FRAME)

    def test_nothing_known(self) -> None:
        """Where nothing is known the source's own times stay."""
        self.assertEqual(self.first(evolve(self.untimed(VIDEO_PID, AUDIO_PID), pcr=None)), 1_000_000 + FRAME)

    def test_picture_long_gone(self) -> None:
        """A picture that ended long before the sound is not gone back to."""
        tail = self.ending.tails[VIDEO_PID]
        gone = evolve(tail, dts=(self.next - 2 * TICKS) % WRAP, pts=(self.next - 2 * TICKS) % WRAP)
        self.assertEqual(
            self.first(evolve(self.ending, tails={**self.ending.tails, VIDEO_PID: gone})), self.next + FRAME
        )


class PcrTests(ClockTests):
    """The programme's clock."""

    def setUp(self) -> None:
        super().setUp()
        assert self.ending.pcr is not None
        self.last = self.ending.pcr
        # What the source's clock shows when ours shows what it last showed.
        self.zero = (1_000_000 + self.last // 300 - self.next) * 300

    def clocks(self, *packets: bytes) -> list[tuple[int, int, bool]]:
        """PID, time since the last of the old source, and whether a break is told, of the clocks that come out."""
        out = self.go(*packets)
        return [(one.pid, (one.pcr - self.last) % PCR_WRAP, one.breaks) for one in out if one.pcr is not None]

    def test_goes_on(self) -> None:
        """The clock is moved like all other times, without loss of its finest ticks."""
        self.begin()
        self.assertEqual(self.clocks(self.picture(1_000_000, self.zero + 12_345)), [(VIDEO_PID, 12_345, False)])

    def test_never_back(self) -> None:
        """A clock that would go back is taken out until it is ahead; the picture it came with stays."""
        self.begin()
        late = [self.picture(1_000_000 + FRAME, self.zero + at) for at in (-5000, 0, 1, 1, 300)]
        self.assertEqual(self.clocks(*late), [(VIDEO_PID, 1, False), (VIDEO_PID, 300, False)])
        out = self.go(self.picture(1_000_000 + 2 * FRAME, self.zero))
        self.assertEqual([(one.pid, one.payload) for one in out], [(VIDEO_PID, True)])

    def test_wrap(self) -> None:
        """The clock goes on over its wrap."""
        ending = evolve(self.ending, pcr=PCR_WRAP - 1)
        tails = {pid: evolve(tail, dts=WRAP - 9, pts=WRAP - 9) for pid, tail in self.ending.tails.items()}
        self.begin(evolve(ending, tails=tails))
        self.assertEqual([one.pcr for one in self.go(self.picture(1_000_000, 1_000_000 * 300))], [(FRAME - 9) * 300])

    def test_own_pid(self) -> None:
        """A clock on a PID of its own is put where decoders expect it, and nothing else is taken from there."""
        self.begin(theirs=evolve(OTHER, pcr_pid=0x400))
        made = packet(0x400, pcr=self.zero + 900)
        self.assertEqual(self.clocks(made), [(VIDEO_PID, 900, False)])
        self.assertEqual(self.go(packet(0x400, pes(b"x", pts=1), start=True)), [])
        out = self.go(self.picture(1_000_000 + FRAME), packet(0x400, pcr=self.zero + 9000), self.picture(1_000_000))
        self.assertEqual([one.payload for one in out], [True, False, True])
        self.assertEqual([(one.counter - out[0].counter) % 16 for one in out], [0, 0, 1])

    def test_other_stream(self) -> None:
        """A clock that comes with the picture is put with the sound, when decoders expect it there."""
        ours = evolve(FILM, pcr_pid=AUDIO_PID)
        self.begin(evolve(self.ending, program=ours))
        out = self.go(self.picture(1_000_000 + FRAME, self.zero + 7))
        self.assertEqual(
            [(one.pid, one.payload, one.pcr) for one in out],
            [
                (AUDIO_PID, False, self.last + 7),
                (VIDEO_PID, True, None),
            ],
        )

    def test_unknown_counter(self) -> None:
        """A clock on a PID of which no counter is known says that the counter breaks."""
        self.begin(evolve(self.ending, program=evolve(FILM, pcr_pid=0x1F0)))
        made = [self.picture(1_000_000 + FRAME, self.zero + at) for at in (7, 8)]
        self.assertEqual(self.clocks(*made), [(0x1F0, 7, True), (0x1F0, 8, False)])

    def test_no_clock(self) -> None:
        """Where the old programme or the new one has no clock none comes out."""
        self.begin(evolve(self.ending, program=evolve(FILM, pcr_pid=NULL_PID)))
        self.assertEqual(self.clocks(self.picture(1_000_000 + FRAME, self.zero + 7)), [])
        self.begin(theirs=evolve(OTHER, pcr_pid=NULL_PID))
        self.assertEqual(self.clocks(self.picture(1_000_000 + FRAME, self.zero + 7)), [])

    def test_before_the_first_picture(self) -> None:
        """No clock comes before the first picture has told what it is to follow."""
        self.translator = Translator(self.ending, OTHER, OTHER_PMT)
        self.assertEqual(self.go(packet(0x321, pcr=self.zero + 7)), [])

    def test_not_of_the_programme(self) -> None:
        """A clock that comes with a stream that has not the programme's is taken out."""
        self.begin()
        made = self.writer.packets(0x320, pes(b"s", pts=1_000_000 + FRAME), pcr=5)
        self.assertEqual([(one.pid, one.pcr) for one in self.go(made)], [(AUDIO_PID, None)])

    def test_first(self) -> None:
        """Where the old source had no clock the new one's is taken as it comes."""
        self.begin(evolve(self.ending, pcr=None))
        self.assertEqual(len(self.clocks(self.picture(1_000_000, self.zero - 99))), 1)

    def test_unrelated(self) -> None:
        """A clock that has nothing to do with the times is taken after a while, and said to have jumped."""
        for theirs, place in ((OTHER, VIDEO_PID), (evolve(OTHER, pcr_pid=0x400), VIDEO_PID)):
            self.begin(theirs=theirs)
            far = self.zero + 3600 * 27_000_000
            made = [
                packet(theirs.pcr_pid, b"x" * 100 if theirs is OTHER else b"", pcr=far + at)
                for at in range(PATIENCE + 2)
            ]
            wanted = [(place, far - self.zero + PATIENCE, True), (place, far - self.zero + PATIENCE + 1, False)]
            self.assertEqual(self.clocks(*made), wanted)

    def test_original_clock(self) -> None:
        """The clock of an earlier multiplex is taken out, whatever stands around it in the packet."""
        self.begin()
        field = bytes((25, 0x1E)) + pcr_field(self.zero + 900) + pcr_field(1) + b"\x05\x03abc" + b"\xff" * 7
        made = b"\x47\x03\x21\x30" + field + b"p" * (PACKET - 4 - len(field))
        out = self.translator.translate(made)
        self.assertEqual(out[4:6], bytes((25, 0x16)))
        self.assertEqual(out[6:12], pcr_field(self.last + 900))
        self.assertEqual(out[12:], b"\x05\x03abc" + b"\xff" * 13 + made[30:])
        field = bytes((13, 0x08)) + pcr_field(1) + b"\xff" * 6
        out = self.translator.translate(b"\x47\x03\x21\x30" + field + b"p" * (PACKET - 4 - len(field)))
        self.assertEqual(out[4:], bytes((13, 0)) + b"\xff" * 12 + b"p" * (PACKET - 18))

    def test_lying_field(self) -> None:
        """An adaptation field that promises more than it has room for does no harm."""
        self.begin()
        for length in (1, 6, 255):
            made = bytes((0x47, 0x03, 0x21, 0x30, length, 0x18)) + b"p" * (PACKET - 6)
            self.assertEqual(len(self.translator.translate(made)), PACKET)
