"""
The media that tests play: a 20 s film that ffmpeg encodes once a run, and cuts into every form without encoding again.

The film is 320x180 at 25 frames a second with B-frames, a key frame every second, and stereo AAC at 32 kHz. 20 s of
that are exactly 500 pictures and 625 AAC frames, so that it can be repeated for ever without a gap between its rounds.
"""

from __future__ import annotations

import shutil
import subprocess
from itertools import chain
from pathlib import Path

from attrs import frozen

#: Length of the film, and of every form of it, in seconds.
SECONDS = 20
#: Pictures in the film.
PICTURES = 500
#: AAC frames in the film, 1,024 samples each.
AUDIO_FRAMES = 625
#: Audio samples a second.
SAMPLE_RATE = 32_000
#: Seconds of an HLS segment.
SEGMENT_SECONDS = 2
#: Segments of each media playlist.
SEGMENTS = SECONDS // SEGMENT_SECONDS
#: The sets of HLS files there are.
HLS_SETS = ("plain", "aes", "fmp4", "single", "multi", "audio")
#: The key of the encrypted set, and the initialization vector its playlist names.
KEY = b"0123456789abcdef"
KEY_IV = "00112233445566778899aabbccddeeff"


def _words(line: str) -> list[str]:
    """The arguments in a line without quotes."""
    return line.split()


_KEY_INFO = f"key.bin\nhls/aes/key.bin\n{KEY_IV}\n"
_VIDEO = _words(
    "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -bf 2 -g 25 -keyint_min 25 -sc_threshold 0 "
    "-b:v:0 400k -maxrate:v:0 450k -bufsize:v:0 450k -b:v:1 120k -maxrate:v:1 150k -bufsize:v:1 150k"
)
_HLS = _words("-f hls -hls_time 2 -hls_list_size 0 -hls_playlist_type vod -flags +bitexact")
_BIG = _words("-map 0:0 -map 0:2 -c copy")
_SMALL = _words("-map 0:1 -map 0:2 -c copy")
_SOUND = _words("-map 0:2 -c copy")
# AAC in TS and in a raw stream has ADTS headers, which MP4 and Matroska have no place for.
_NO_ADTS = _words("-bsf:a aac_adtstoasc")


@frozen
class Media:
    """
    Where the film is.

    ``film.ts``, ``film.mp4`` (index first), ``film.mkv``; ``other.ts``, the film at 160x90 with other PIDs and a clock
    that is 5,000 s ahead; ``audio.ts``, its sound alone; ``radio.aac`` (ADTS) and ``radio.mp3``; and a folder for each
    of `HLS_SETS` below ``hls/``, each with an ``index.m3u8``. ``multi`` has the variants ``0`` and ``1`` and the audio
    rendition ``2``.
    """

    folder: Path

    def path(self, name: str) -> Path:
        """The path of one file."""
        return self.folder / name

    def read(self, name: str) -> bytes:
        """The bytes of one file."""
        return self.path(name).read_bytes()


def find_ffmpeg() -> str:
    """
    The ffmpeg of this machine, else the one that imageio-ffmpeg brings.

    :raises RuntimeError: when there is none.
    """
    found = shutil.which("ffmpeg")
    if found is not None:
        return found
    import imageio_ffmpeg  # type: ignore[import-untyped,unused-ignore]

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def _run(folder: Path, arguments: list[str]) -> None:
    """Run ffmpeg in ``folder``; `RuntimeError` with its last words when it fails."""
    command = [find_ffmpeg(), "-nostdin", "-v", "error", "-y", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=120)
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace")[-2000:]
        raise RuntimeError(f"ffmpeg failed with status {done.returncode}: {words}")


def _encode(folder: Path) -> None:
    tones = "[0][1]amix,aformat=channel_layouts=stereo,asplit[a][b]"
    low, high = (f"sine=frequency={pitch}:beep_factor=4:sample_rate={SAMPLE_RATE}" for pitch in (440, 990))
    sound = ["-f", "lavfi", "-i", low, "-f", "lavfi", "-i", high, "-filter_complex", tones]
    aac = ["-map", "[a]", "-c:a", "aac", "-b:a", "96k", "-t", str(SECONDS), "-f", "adts", "radio.aac"]
    mp3 = ["-map", "[b]", "-c:a", "libmp3lame", "-b:a", "96k", "-t", str(SECONDS), "-id3v2_version", "0"]
    _run(folder, [*sound, *aac, *mp3, "-write_xing", "0", "radio.mp3"])
    # The sound is encoded first and copied in, because a copied ADTS stream starts at zero like the picture does.
    picture = ["-f", "lavfi", "-i", f"testsrc2=size=320x180:rate=25:duration={SECONDS}", "-i", "radio.aac"]
    split = "[0:v]noise=alls=12:allf=t,split[a][b];[b]scale=160:90[s]"
    maps = ["-filter_complex", split, "-map", "[a]", "-map", "[s]", "-map", "1:a", "-c:a", "copy", "-t", str(SECONDS)]
    _run(folder, [*picture, *maps, *_VIDEO, "both.nut"])


def _cut_files(folder: Path) -> None:
    pids = _words("-mpegts_start_pid 0x321 -mpegts_pmt_start_pid 0x1100 -mpegts_transport_stream_id 7")
    mp4 = [*_BIG, *_NO_ADTS, "-movflags", "+faststart", "film.mp4"]
    files = [*_BIG, "film.ts", *mp4, *_BIG, *_NO_ADTS, "film.mkv", *_SOUND, "audio.ts"]
    _run(folder, ["-i", "both.nut", *files, *_SMALL, *pids, "-output_ts_offset", "5000", "other.ts"])


def _cut_segments(folder: Path) -> None:
    for name in (*HLS_SETS, "multi/0", "multi/1", "multi/2"):
        (folder / "hls" / name).mkdir(parents=True)
    (folder / "hls/aes/key.bin").write_bytes(KEY)
    (folder / "key.info").write_text(_KEY_INFO)

    def names(name: str, segment: str = "s%d.ts") -> list[str]:
        return ["-hls_segment_filename", f"hls/{name}/{segment}", f"hls/{name}/index.m3u8"]

    fmp4 = ["-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", "init.mp4"]
    streams = "v:0,agroup:sound v:1,agroup:sound a:0,agroup:sound,default:yes,language:en"
    multi = _words("-map 0:0 -map 0:1 -map 0:2 -c copy -b:v:0 400k -b:v:1 120k -b:a 96k")
    outputs = [
        [*_BIG, *_HLS, *names("plain")],
        [*_BIG, *_HLS, "-hls_key_info_file", "key.info", *names("aes")],
        [*_BIG, *_HLS, *_NO_ADTS, *fmp4, *names("fmp4", "s%d.m4s")],
        [*_BIG, *_HLS, "-hls_flags", "single_file", *names("single", "s.ts")],
        [*_SOUND, *_HLS, *names("audio")],
        [*multi, *_HLS, "-var_stream_map", streams, "-master_pl_name", "index.m3u8", *names("multi/%v")],
    ]
    _run(folder, ["-i", "both.nut", *chain.from_iterable(outputs)])


def make_media(folder: Path) -> Media:
    """
    Make all of it in ``folder``, which is empty or does not exist yet; two or three seconds.

    :raises RuntimeError: when ffmpeg is missing or fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _encode(folder)
    _cut_files(folder)
    _cut_segments(folder)
    return Media(folder)
