"""Short real streams in every codec that matters, encoded by ffmpeg when a test first asks for them."""

from __future__ import annotations

import subprocess
from functools import lru_cache

from tests.simulators.media import find_ffmpeg

#: Length of each, in seconds; there is a key picture at the start of each second.
SECONDS = 8
#: Pictures a second.
RATE = 25

_VIDEO = {
    "h264": "-c:v libx264 -preset ultrafast -bf 2 -g 25 -keyint_min 25 -sc_threshold 0",
    # Several slices a picture, and recovery points where others have an IDR.
    "h264-open": "-c:v libx264 -preset veryfast -x264-params open-gop=1:keyint=25:min-keyint=25:scenecut=0:slices=3",
    "hevc": "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=25:min-keyint=25:scenecut=0",
    "mpeg2": "-c:v mpeg2video -b:v 400k -g 25 -bf 2 -sc_threshold 1000000000 -flags +cgop",
    "mpeg4": "-c:v mpeg4 -b:v 400k -g 25 -sc_threshold 1000000000",
}
_AUDIO = {"aac": "-c:a aac", "mp2": "-c:a mp2", "ac3": "-c:a ac3"}
_PICTURE = f"testsrc2=size=320x180:rate={RATE}:duration={SECONDS},noise=alls=12:allf=t"
_TONE = f"sine=frequency=440:beep_factor=4:sample_rate=48000:duration={SECONDS}"


@lru_cache
def film(video: str, audio: str = "aac", options: str = "") -> bytes:
    """
    A transport stream.

    :param video: ``h264``, ``h264-open``, ``hevc``, ``mpeg2``, ``mpeg4``, or empty for sound alone.
    :param audio: ``aac``, ``mp2`` or ``ac3``.
    :param options: for the multiplexer, separated by spaces.
    """
    command = [find_ffmpeg(), "-nostdin", "-v", "error"]
    if video:
        command += ["-f", "lavfi", "-i", _PICTURE]
    command += ["-f", "lavfi", "-i", _TONE, "-pix_fmt", "yuv420p"]
    words = f"{_VIDEO.get(video, '')} {_AUDIO[audio]} -shortest -f mpegts {options} -"
    done = subprocess.run([*command, *words.split()], capture_output=True, check=False, timeout=120)
    if done.returncode or not done.stdout:
        raise RuntimeError(
            f"ffmpeg failed with status {done.returncode}: {done.stderr.decode(errors='replace')[-2000:]}"
        )
    return done.stdout
