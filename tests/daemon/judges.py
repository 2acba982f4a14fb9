"""Players that judge what a URL gives: ffmpeg refuses what is broken, and PyAV counts what it decodes."""

from __future__ import annotations

import io
import subprocess
from time import monotonic

import av
from attrs import frozen
from av.container import InputContainer

from tests.simulators.media import find_ffmpeg

#: Seconds after which a source that gives nothing is given up.
PATIENCE = 20.0


@frozen
class Verdict:
    """
    What ffmpeg found.

    :ivar status: its exit status; 0 is good.
    :ivar words: what it complained about first, empty when it is content.
    """

    status: int
    words: str

    @property
    def good(self) -> bool:
        """Whether there was nothing to complain about."""
        return self.status == 0 and not self.words


@frozen
class Probed:
    """
    What a source is.

    :ivar codecs: of each picture, then of each sound, such as ``h264`` and ``aac``.
    :ivar size: width and height of the picture, zeros without one.
    :ivar sample_rate: of the sound, 0 without.
    :ivar seconds: how long it says that it is, None when it does not.
    """

    container: str
    codecs: tuple[str, ...]
    size: tuple[int, int]
    sample_rate: int
    seconds: float | None


@frozen
class Decoded:
    """
    What a decoder made of a source.

    :ivar pictures: frames of picture.
    :ivar samples: samples of sound, of one channel.
    :ivar corrupt: packets that the demuxer found damaged, as after a jump of a continuity counter.
    :ivar errors: packets that the decoder could make nothing of.
    :ivar seconds: of media, from the first picture (or sound, where there is none) to the last; where the clock jumps,
        as at a discontinuity, that is no time.
    """

    pictures: int
    samples: int
    corrupt: int
    errors: int
    seconds: float


def judge(url: str, seconds: float, *, options: tuple[str, ...] = ()) -> Verdict:
    """
    Let ffmpeg read so many seconds of a URL, and stop at the first packet that is damaged.

    A stream that starts between key frames is none the worse for it, but ffmpeg complains up to the first.

    :param options: for the input, such as ``("-headers", …)``.
    """
    if ".m3u8" in url:
        options = ("-allowed_extensions", "ALL", *options)
    command = [find_ffmpeg(), "-nostdin", "-v", "error", "-xerror", "-rw_timeout", f"{PATIENCE * 1e6:.0f}", *options]
    command += ["-i", url, "-map", "0", "-t", str(seconds), "-c", "copy", "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=seconds * 3 + 2 * PATIENCE)
    return Verdict(done.returncode, done.stderr.decode(errors="replace").strip()[:2000])


def _open(source: str | bytes) -> InputContainer:
    options = {"allowed_extensions": "ALL"} if isinstance(source, str) and ".m3u8" in source else {}
    opened = av.open(io.BytesIO(source) if isinstance(source, bytes) else source, timeout=PATIENCE, options=options)
    assert isinstance(opened, InputContainer)
    return opened


def probe(source: str | bytes) -> Probed:
    """
    What a URL, or the bytes of a file, are.

    :raises av.error.FFmpegError: when FFmpeg makes nothing of it.
    """
    with _open(source) as container:
        pictures, sounds = container.streams.video, container.streams.audio
        return Probed(
            container.format.name,
            tuple(stream.codec_context.codec.canonical_name for stream in (*pictures, *sounds)),
            (pictures[0].codec_context.width, pictures[0].codec_context.height) if pictures else (0, 0),
            sounds[0].codec_context.sample_rate if sounds else 0,
            container.duration / 1e6 if container.duration else None,
        )


def decode(source: str | bytes, seconds: float) -> Decoded:
    """
    Decode so many seconds of a URL, or of the bytes of a file; less when it ends before.

    :raises av.error.FFmpegError: when FFmpeg makes nothing of it.
    """
    pictures = samples = corrupt = errors = 0
    played, last = 0.0, None
    end = monotonic() + seconds * 3 + 2 * PATIENCE
    with _open(source) as container:
        lead = (*container.streams.video, *container.streams.audio)[0]
        for packet in container.demux(container.streams.video + container.streams.audio):
            corrupt += packet.is_corrupt
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                errors += 1
                continue
            for frame in frames:
                if isinstance(frame, av.VideoFrame):
                    pictures += 1
                elif isinstance(frame, av.AudioFrame):
                    samples += frame.samples
                else:
                    continue
                if packet.stream is lead and frame.time is not None:
                    if last is not None and 0 < frame.time - last < 1:
                        played += frame.time - last
                    last = frame.time
            if played >= seconds or monotonic() > end:
                break
    return Decoded(pictures, samples, corrupt, errors, played)
