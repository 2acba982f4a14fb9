"""The streams of a new source take the places of those that decoders have chosen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.matching import fits, make_room, match_streams
from iptvd.protocols.mpegts import NULL_PID
from iptvd.protocols.psi import ProgramMap, Stream

H264, MPEG2, AAC, MP2, AC3, PRIVATE, SPLICE = 0x1B, 0x02, 0x0F, 0x04, 0x81, 0x06, 0x86


def in_language(letters: bytes) -> bytes:
    """A descriptor that names a language."""
    return b"\x0a\x04" + letters + b"\0"


def program(*streams: Stream, pcr_pid: int | None = None, number: int = 1) -> ProgramMap:
    """A programme with its clock on its first stream."""
    return ProgramMap(number, streams[0].pid if pcr_pid is None else pcr_pid, streams)


OURS = program(Stream(0x100, H264), Stream(0x101, AAC))


class MatchTests(SynchronousTestCase):
    """Which goes with which."""

    def test_codec(self) -> None:
        """Streams go together by what they are coded in, wherever they stand in the PMT."""
        theirs = program(Stream(0x21, AAC), Stream(0x22, H264), Stream(0x23, AC3))
        self.assertEqual(match_streams(OURS, theirs), {0x21: 0x101, 0x22: 0x100})

    def test_codec_by_descriptor(self) -> None:
        """AC-3 is AC-3, whichever way the PMT says so; private data that is something else is not."""
        ours = program(Stream(1, AC3))
        self.assertEqual(match_streams(ours, program(Stream(2, PRIVATE, b"\x6a\x01\x00"))), {2: 1})
        self.assertEqual(match_streams(ours, program(Stream(2, PRIVATE, b"\x59\x00"))), {})

    def test_unknown(self) -> None:
        """Streams of an unknown kind go together by their type."""
        ours = program(Stream(1, SPLICE), Stream(2, 0x15))
        self.assertEqual(match_streams(ours, program(Stream(3, 0x15), Stream(4, 0x90))), {3: 2})

    def test_language(self) -> None:
        """Sound goes with sound in the same language, and what is left over in its order."""
        ours = program(Stream(1, AAC, in_language(b"eng")), Stream(2, AAC, in_language(b"deu")), Stream(3, AAC))
        theirs = program(Stream(7, AAC, in_language(b"deu")), Stream(8, AAC), Stream(9, AAC, in_language(b"fra")))
        self.assertEqual(match_streams(ours, theirs), {7: 2, 8: 1, 9: 3})

    def test_first_sound(self) -> None:
        """The sound that players choose by themselves goes on, in another language if it has to be."""
        ours = program(Stream(1, AAC, in_language(b"eng")), Stream(2, AAC, in_language(b"deu")))
        self.assertEqual(match_streams(ours, program(Stream(7, AAC, in_language(b"deu")))), {7: 1})

    @given(st.data())
    def test_one_to_one(self, data: st.DataObject) -> None:
        """No two streams go to the same place, and none goes to one of another kind."""
        kinds = st.sampled_from(((H264, b""), (AAC, b""), (AAC, in_language(b"eng")), (AC3, in_language(b"eng"))))
        made = []
        for first in (0x100, 0x200):
            chosen = data.draw(st.lists(kinds, min_size=1, max_size=6))
            made.append(program(*(Stream(first + at, *kind) for at, kind in enumerate(chosen))))
        matched = match_streams(*made)
        self.assertEqual(len(set(matched.values())), len(matched))
        codecs = [{stream.pid: stream.codec for stream in one.streams} for one in made]
        for theirs, ours in matched.items():
            self.assertEqual(codecs[1][theirs], codecs[0][ours])


class FitTests(SynchronousTestCase):
    """Whether the old PMT does."""

    def fits(self, *theirs: Stream, ours: ProgramMap = OURS) -> bool:
        program_map = program(*theirs)
        return fits(ours, program_map, match_streams(ours, program_map))

    def test_fits(self) -> None:
        """The old PMT does for picture and sound in the old codecs, with more beside them or one of them missing."""
        self.assertTrue(self.fits(Stream(1, H264), Stream(2, AAC)))
        self.assertTrue(self.fits(Stream(1, H264), Stream(2, AAC), Stream(3, AC3), Stream(4, SPLICE)))
        self.assertTrue(self.fits(Stream(1, H264)))
        self.assertTrue(self.fits(Stream(1, AAC)))

    def test_does_not_fit(self) -> None:
        """It does not do for another codec, a picture where none was, or where the first sound would be silent."""
        self.assertFalse(self.fits(Stream(1, MPEG2), Stream(2, AAC)))
        self.assertFalse(self.fits(Stream(1, H264), Stream(2, MP2)))
        self.assertFalse(self.fits(Stream(1, H264), Stream(2, AAC), ours=program(Stream(1, AAC))))
        ours = program(Stream(0x100, H264), Stream(0x101, AC3), Stream(0x102, AAC))
        self.assertFalse(self.fits(Stream(1, H264), Stream(2, AAC), ours=ours))


class RoomTests(SynchronousTestCase):
    """What is announced instead."""

    def test_room(self) -> None:
        """What has a place keeps it, what has none gets a PID of its own, and what is missing is not announced."""
        theirs = ProgramMap(9, 0x22, (Stream(0x21, AAC, in_language(b"eng")), Stream(0x22, MPEG2)), b"\x05\0")
        made, pids = make_room(OURS, theirs, match_streams(OURS, theirs), ())
        free = pids[0x22]
        self.assertEqual(made.streams, (Stream(0x101, AAC), Stream(free, MPEG2)))
        self.assertEqual((made.program_number, made.pcr_pid, made.descriptors), (1, free, b"\x05\0"))
        self.assertEqual(pids, {0x21: 0x101, 0x22: free})
        self.assertNotIn(free, (0x100, 0x101))

    def test_same_again(self) -> None:
        """A codec comes back on the PID on which it was before, so that a decoder finds there what it expects."""
        theirs = program(Stream(0x22, MPEG2), Stream(0x21, AAC))
        first, there = make_room(OURS, theirs, match_streams(OURS, theirs), ())
        back, _ = make_room(first, OURS, match_streams(first, OURS), ())
        again, and_there = make_room(back, theirs, match_streams(back, theirs), ())
        self.assertEqual((again, and_there), (first, there))
        self.assertNotEqual(back.streams[0].pid, first.streams[0].pid)

    def test_taken(self) -> None:
        """No PID is used twice."""
        theirs = program(*(Stream(at, MPEG2) for at in range(0x20, 0x40)), Stream(0x50, AAC))
        _, free = make_room(OURS, theirs, {}, ())
        made, pids = make_room(OURS, theirs, {}, (free[0x20], free[0x21]))
        used = [stream.pid for stream in made.streams]
        self.assertEqual(len(set(used)), len(theirs.streams))
        self.assertFalse({free[0x20], free[0x21], 0x100, 0x101} & set(used))
        self.assertEqual(list(pids.values()), used)

    def test_clock(self) -> None:
        """The clock is with the stream it came with, else where it was, else with the first stream, or nowhere."""
        video, audio = Stream(0x21, MPEG2), Stream(0x22, AAC)

        def clock(ours: int, theirs: int) -> int:
            program_map = program(video, audio, pcr_pid=theirs)
            made, pids = make_room(program(*OURS.streams, pcr_pid=ours), program_map, {0x22: 0x101}, ())
            self.assertNotEqual(pids[0x21], 0x100)
            return 0x21 if made.pcr_pid == pids[0x21] else made.pcr_pid

        self.assertEqual(clock(0x100, 0x22), 0x101)
        self.assertEqual(clock(0x100, 0x21), 0x21)
        self.assertEqual(clock(0x100, 0x30), 0x100)
        self.assertEqual(clock(NULL_PID, 0x30), 0x21)
        self.assertEqual(clock(0x100, NULL_PID), NULL_PID)
