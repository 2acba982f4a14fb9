"""The media that tests play are what they are said to be."""

from __future__ import annotations

from io import BytesIO
from itertools import pairwise

import av
import pytest

from tests.daemon.judges import decode, probe
from tests.simulators.looped import PACKET, LoopedTs
from tests.simulators.media import AUDIO_FRAMES, HLS_SETS, PICTURES, SAMPLE_RATE, SECONDS, Media


@pytest.mark.parametrize("name", ["film.ts", "film.mp4", "film.mkv"])
def test_film(media: Media, name: str) -> None:
    """The film has every picture and all its sound in each container."""
    data = media.read(name)
    what = probe(data)
    assert (what.codecs, what.size, what.sample_rate) == (("h264", "aac"), (320, 180), SAMPLE_RATE)
    seen = decode(data, 2 * SECONDS)
    assert (seen.pictures, seen.corrupt, seen.errors) == (PICTURES, 0, 0)
    assert abs(seen.samples - AUDIO_FRAMES * 1024) <= 1024


def test_faststart(media: Media) -> None:
    """The MP4 has its index before its content, so that it plays while it loads."""
    data = media.read("film.mp4")
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_other(media: Media) -> None:
    """The other film has another picture size, other PIDs and another clock, as another source of a channel has."""

    def traits(name: str) -> tuple[tuple[int, int], set[int], bool]:
        data = media.read(name)
        with av.open(BytesIO(data)) as container:
            starts = [stream.start_time or 0 for stream in container.streams]
            return probe(data).size, {stream.id for stream in container.streams}, min(starts) > 5000 * 90_000

    assert traits("film.ts") == ((320, 180), {0x100, 0x101}, False)
    assert traits("other.ts") == ((160, 90), {0x321, 0x322}, True)


@pytest.mark.parametrize(("name", "codec"), [("radio.aac", "aac"), ("radio.mp3", "mp3"), ("audio.ts", "aac")])
def test_sound(media: Media, name: str, codec: str) -> None:
    """Sound alone comes as bare audio and in TS."""
    assert probe(media.read(name)).codecs == (codec,)
    assert decode(media.read(name), SECONDS).pictures == 0


@pytest.mark.parametrize("name", HLS_SETS)
def test_hls_sets(media: Media, name: str) -> None:
    """Every HLS set plays from its playlist from the first picture to the last."""
    seen = decode(str(media.path(f"hls/{name}/index.m3u8")), 2 * SECONDS)
    pictures = {"multi": 2 * PICTURES, "audio": 0}.get(name, PICTURES)
    assert (seen.pictures, seen.corrupt, seen.errors) == (pictures, 0, 0)
    assert abs(seen.samples - AUDIO_FRAMES * 1024) <= 1024


@pytest.mark.parametrize("name", ["film.ts", "other.ts", "audio.ts"])
def test_rounds_follow_each_other(media: Media, name: str) -> None:
    """A film played round and round has no jump in its counters and none in its clock."""
    looped = LoopedTs(media.read(name), SECONDS)
    assert looped.round(0) == media.read(name)
    data = b"".join(looped.round(number) for number in range(3))
    with av.open(BytesIO(data), "r") as container:
        stamps: dict[int, list[int]] = {}
        for packet in container.demux():
            assert not packet.is_corrupt
            if packet.dts is not None:
                stamps.setdefault(packet.stream.id, []).append(packet.dts)
    for times in stamps.values():
        steps = {after - before for before, after in pairwise(times)}
        assert len(steps) == 1


def test_rounds_wrap_the_clock(media: Media) -> None:
    """A film that has been playing for more than a day wraps its clock as the format demands, and still plays."""
    looped = LoopedTs(media.read("film.ts"), SECONDS)
    wrapped = (1 << 33) // (SECONDS * 90_000)
    seen = decode(looped.round(wrapped) + looped.round(wrapped + 1), 3 * SECONDS)
    assert (seen.pictures, seen.corrupt) == (2 * PICTURES, 0)


def test_pace(media: Media) -> None:
    """A paced stream is due when its own clock says so, in whole packets, and stuffing brings it up to a rate."""
    looped = LoopedTs(media.read("film.ts"), SECONDS)
    due, size = 0.0, 0
    for due, packets in looped.play(25.0, 0.0, 2.0, 4.0):
        assert len(packets) % PACKET == 0
        if due >= 5.0:
            break
        size += len(packets)
    assert abs(size - 4e6 / 8 * 10) < 4e6 / 8 * 0.2


def test_refused() -> None:
    """A file that is not whole packets cannot be looped."""
    with pytest.raises(ValueError, match="whole TS packets"):
        LoopedTs(b"\x47" * 187, SECONDS)
