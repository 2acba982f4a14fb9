"""Films for the origin: MPEG-TS of a constant bitrate with a key frame every second, made once by ffmpeg."""

from __future__ import annotations

import subprocess
from pathlib import Path

#: Seconds of each. The loop is longer than the ten seconds over which the daemon compares a stream's clock with real
#: time: a film that begins anew within them looks like one that falls behind.
LENGTH = 12


def film(folder: Path, kbit: int, *, gop: int = 25) -> Path:
    """
    A film of so many kbit/s, made unless it is there.

    :param gop: pictures from key frame to key frame, of 25 a second.
    """
    path = folder / f"film-{kbit}-{gop}.ts"
    if path.exists():
        return path
    size = "1280x720" if kbit >= 4000 else "320x180"
    picture = max(100, kbit * 8 // 10 - 100)
    command = [
        *("ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25,noise=alls=30:allf=t"),
        *("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", str(LENGTH)),
        *("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", str(gop)),
        *("-b:v", f"{picture}k", "-maxrate", f"{picture}k", "-bufsize", f"{picture // 2}k"),
        *("-c:a", "aac", "-b:a", "32k", "-muxrate", f"{kbit}k", "-f", "mpegts", str(path)),
    ]
    subprocess.run(command, check=True)
    return path


def segments(folder: Path, kbit: int) -> Path:
    """The film cut into segments of 2 s, named ``0.ts``, ``1.ts``, … in a folder."""
    path = folder / f"segments-{kbit}"
    if not path.exists():
        path.mkdir()
        source = film(folder, kbit)
        cut = ["-c", "copy", "-f", "segment", "-segment_time", "2", "-segment_format", "mpegts", str(path / "%d.ts")]
        subprocess.run(["ffmpeg", "-v", "error", "-i", str(source), *cut], check=True)
    return path
