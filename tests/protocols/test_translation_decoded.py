"""What decoders that are not ours make of a switch between real encodes: every picture, the sound, and no error."""

from __future__ import annotations

import io
import subprocess
from functools import lru_cache
from itertools import pairwise

import av
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from iptvd.protocols.mpegts import PACKET
from iptvd.protocols.timestamps import TICKS, WRAP, elapsed
from tests.protocols.switching import Switch, breaks, stamps, switch
from tests.protocols.tsfilms import film
from tests.simulators.media import find_ffmpeg

#: Moves the clock so that it wraps in the middle of a film.
TO_WRAP = f"-output_ts_offset {WRAP // TICKS - 4}"
#: Another programme on other PIDs.
ELSEWHERE = "-mpegts_start_pid 0x321 -mpegts_pmt_start_pid 0x1100 -mpegts_service_id 7"


@frozen
class Decoded:
    """
    What a decoder made of a stream.

    :ivar corrupt: packets that the demuxer found damaged, as after a jump of a continuity counter.
    :ivar errors: packets that the decoder could make nothing of.
    """

    pictures: int
    samples: int
    corrupt: int
    errors: int


def decode(data: bytes) -> Decoded:
    """Decode a stream to its end."""
    pictures = samples = corrupt = errors = 0
    with av.open(io.BytesIO(data), "r") as container:
        for each in container.demux():
            corrupt += each.is_corrupt
            try:
                frames = each.decode()
            except av.error.FFmpegError:
                errors += 1
                continue
            pictures += sum(isinstance(frame, av.VideoFrame) for frame in frames)
            samples += sum(frame.samples for frame in frames if isinstance(frame, av.AudioFrame))
    return Decoded(pictures, samples, corrupt, errors)


@lru_cache
def backup(options: str = "-output_ts_offset 5000") -> bytes:
    """Six seconds that have nothing in common with `film` but their codecs, the sound on the lower PID."""
    command = [
        find_ffmpeg(),
        "-nostdin",
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=176x144:rate=30:duration=6",
    ]
    command += ["-f", "lavfi", "-i", "sine=frequency=990:beep_factor=2:sample_rate=44100:duration=6"]
    words = (
        "-map 1:a -map 0:v -ac 2 -c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 30 -keyint_min 30 -sc_threshold 0"
    )
    command += [*words.split(), "-c:a", "aac", "-f", "mpegts", *ELSEWHERE.split(), *options.split(), "-"]
    return subprocess.run(command, capture_output=True, check=True, timeout=120).stdout


def part(data: bytes, share: float, packets: int = 0) -> bytes:
    """The first part of a stream, up to a packet that is at no particular place."""
    return data[: int(len(data) * share) // PACKET * PACKET + packets * PACKET]


def times(data: bytes) -> dict[str, list[tuple[int, int]]]:
    """PTS and DTS of each packet, by what stream it is of, as the demuxer gives them."""
    found: dict[str, list[tuple[int, int]]] = {}
    with av.open(io.BytesIO(data), "r") as container:
        for each in container.demux():
            if each.pts is not None and each.dts is not None:
                found.setdefault(each.stream.type, []).append((each.pts, each.dts))
    return found


def chosen_at_the_start(data: bytes) -> tuple[int, float, str]:
    """Pictures, seconds of sound and complaints of an ffmpeg that chose its streams before the switch came."""
    command = [find_ffmpeg(), "-v", "debug", "-analyzeduration", "500000", "-probesize", "200000", "-i", "-"]
    command += ["-map", "0:v:0", "-map", "0:a:0", "-fps_mode", "passthrough", "-f", "framecrc", "-"]
    done = subprocess.run(command, input=data, capture_output=True, check=True, timeout=60)
    pictures, ticks, rate = 0, 0, 1
    for line in done.stdout.decode().splitlines():
        words = line.replace(",", " ").split()
        if line.startswith("#tb 1:"):
            rate = int(words[2].partition("/")[2])
        elif words[0] == "0":
            pictures += 1
        elif words[0] == "1":
            ticks += int(words[3])
    # A picture that was cut in the middle is decoded as far as it goes, which ffmpeg calls a corrupt frame.
    signs = ("Continuity check", "Packet corrupt", "corrupt input packet", "size mismatch")
    bad = [line for line in done.stderr.decode().splitlines() if any(sign in line for sign in signs)]
    return pictures, ticks / rate, "\n".join(bad)


class DecodedTests(SynchronousTestCase):
    """Judged by FFmpeg."""

    def judge(self, made: Switch, rates_differ: bool = True) -> Decoded:
        """
        Hold a switch to losing no picture and next to no sound.

        :param rates_differ: whether the sound has another sample rate after it.
        """
        whole, head, source = (decode(data) for data in (made.whole, made.head, made.source))
        self.assertEqual((whole.corrupt, breaks(made.whole)), (0, []))
        self.assertEqual(whole.pictures, head.pictures + source.pictures)
        # What a frame of sound that was cut is filled up with is no sound.
        self.assertLessEqual(whole.errors, head.errors + source.errors + 1)
        lost = head.samples + source.samples - whole.samples
        # A PES packet of sound that overlaps is left out, and ffmpeg puts up to a third of a second into one.
        self.assertTrue(0 <= lost <= 16_000, lost)
        # Within a PES packet ffmpeg reckons with the sample rate that the sound had first: with another one only the
        # PES packets' own times can be judged.
        found = times(made.whole)
        judged = [[dts for _, dts in found[kind]] for kind in found if kind == "video" or not rates_differ]
        judged += [stamps(stream.pid, made.whole) for stream in made.ending.program.streams]
        for stream in judged:
            steps = [elapsed(*pair) for pair in pairwise(stream)]
            self.assertGreater(min(steps), 0)
            self.assertLess(max(steps), TICKS)
        ours, theirs = times(made.tail), times(made.source)
        moved = [elapsed(theirs[kind][-1][0] % WRAP, ours[kind][-1][0] % WRAP) for kind in theirs]
        self.assertTrue(all(abs(elapsed(moved[0], each)) < TICKS // 20 for each in moved), moved)
        return whole

    @settings(max_examples=6)
    @given(
        st.floats(0.3, 0.95),
        st.floats(0, 0.6),
        st.lists(st.integers(1, 200), min_size=1, max_size=3),
        st.sampled_from(("", TO_WRAP)),
        st.sampled_from(("-output_ts_offset 5000", TO_WRAP)),
    )
    def test_any_place(self, cut: float, joined: float, counts: list[int], options: str, others: str) -> None:
        """No picture is lost between two sources that share nothing but their codecs, wherever the first one ends."""
        head, source = part(film("h264", "aac", options), cut), backup(others)
        self.judge(switch(head, source, int(len(source) * joined), counts))

    def test_chosen_at_the_start(self) -> None:
        """A decoder that chose its streams before the switch goes on with picture and sound without a complaint."""
        made = switch(part(film("h264", "aac"), 0.5, 3), backup())
        head, source = decode(made.head), decode(made.source)
        pictures, seconds, complaints = chosen_at_the_start(made.whole)
        self.assertEqual((pictures, complaints), (head.pictures + source.pictures, ""))
        self.assertGreater(seconds, head.samples / 48_000 + source.samples / 44_100 - 0.35)

    def test_judge(self) -> None:
        """The same decoder does not get far with a stream that is not translated."""
        made = switch(part(film("h264", "aac"), 0.5, 3), backup(ELSEWHERE))
        pictures, seconds, _ = chosen_at_the_start(made.head + made.source)
        self.assertLess(pictures, 110)
        self.assertLess(seconds, 4.5)

    def test_back_and_forth(self) -> None:
        """From one source to the other and back, and again, everything of every part is there."""
        primary, other = film("h264", "aac"), backup()
        whole = part(primary, 0.4, 1)
        for source in (other, primary, other):
            made = switch(whole, part(source, 0.8, 5), len(source) // 3)
            self.judge(made)
            self.assertEqual(made.translator.announcements, 0)
            whole = made.whole
        self.assertGreater(decode(whole).pictures, 250)

    def test_sound_alone(self) -> None:
        """A radio station carries on on its backup."""
        made = switch(part(film("", "aac"), 0.5, 1), film("", "aac", ELSEWHERE + " -output_ts_offset 5000"), 20_000)
        whole = self.judge(made, rates_differ=False)
        self.assertEqual(whole.pictures, 0)
        self.assertGreater(whole.samples, 48_000 * 6)

    def test_picture_gone_and_back(self) -> None:
        """A backup without a picture gives sound, and the next source gives both again."""
        radio = switch(part(film("h264", "aac"), 0.5, 3), film("", "aac", ELSEWHERE))
        self.assertEqual(radio.translator.announcements, 0)
        made = switch(radio.whole, backup())
        self.assertEqual(made.translator.announcements, 0)
        whole = decode(made.whole)
        self.assertEqual((whole.corrupt, breaks(made.whole)), (0, []))
        self.assertEqual(whole.pictures, sum(decode(data).pictures for data in (radio.head, made.source)))
        self.assertGreater(whole.samples, 48_000 * 11 + 44_100 * 5)

    def test_other_codecs(self) -> None:
        """A decoder that follows the PMT finds the new picture or sound, beside what stays."""
        head = part(film("h264", "aac"), 0.4, 3)
        for source, new in ((film("mpeg2", "aac", ELSEWHERE), "mpeg2video"), (film("h264", "mp2"), "mp")):
            made = switch(head, source)
            self.assertEqual(made.translator.announcements, 1)
            with av.open(io.BytesIO(made.whole), "r") as container:
                codecs = [each.codec_context.name for each in container.streams if each.codec_context is not None]
            self.assertEqual(codecs[:2], ["h264", "aac"])
            # Depending on how much of it was looked at, MPEG audio is taken for layer II or III at first.
            self.assertTrue(len(codecs) == 3 and codecs[2].startswith(new), codecs)
            whole, first, second = (decode(data) for data in (made.whole, made.head, made.source))
            self.assertEqual((whole.corrupt, breaks(made.whole)), (0, []))
            self.assertEqual(whole.pictures, first.pictures + second.pictures)
            self.assertLess(abs(whole.samples - first.samples - second.samples), 16_000)
