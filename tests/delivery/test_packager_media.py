"""What is in the segments of a broadcast, judged by players that are not ours."""

from __future__ import annotations

import subprocess
from functools import lru_cache
from pathlib import Path

from iptvd.protocols.mpegts import PACKET
from tests.daemon.judges import decode
from tests.delivery.packaging import WRAP_SECONDS, Audience, Packaging, paced, play
from tests.doubles import folder_for, result
from tests.protocols.tsmaking import continuity_errors, pid_of
from tests.simulators.media import PICTURES, SECONDS, find_ffmpeg

RATE = PICTURES // SECONDS


@lru_cache
def long_groups(path: Path) -> bytes:
    """The film with a key picture every ten seconds only."""
    options = (
        "-map 0 -c:a copy -c:v libx264 -preset ultrafast -bf 2 -g 250 -keyint_min 250 -sc_threshold 0 -f mpegts -"
    )
    command = [find_ffmpeg(), "-nostdin", "-v", "error", "-i", str(path), *options.split()]
    return subprocess.run(command, capture_output=True, check=True, timeout=120).stdout


def written(audience: Audience, folder: Path) -> Path:
    """The last playlist and its segments as files, ended."""
    for row in audience.last.rows:
        (folder / row.uri).write_bytes(audience.segments[row.sequence])
    playlist = folder / "index.m3u8"
    playlist.write_bytes(result(audience.packager.playlist()) + b"#EXT-X-ENDLIST\n")
    return playlist


def complaints(path: Path) -> str:
    """What ffmpeg has to say against a playlist that it reads and decodes whole; empty when it is content."""
    command = [find_ffmpeg(), "-nostdin", "-v", "error", "-xerror", "-i", str(path), "-map", "0", "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    return done.stderr.decode(errors="replace") or (f"status {done.returncode}" if done.returncode else "")


class MediaTests(Packaging):
    def test_a_long_run(self) -> None:
        """In a minute of a channel no picture is lost or damaged between segments, and each stands alone."""
        audience = Audience(self.packager())
        play(self.broadcast, self.clock, self.film(60.0), audience)
        self.assertAlmostEqual(audience.seconds, 58.0, 3)
        judged = decode(audience.bytes, 1e9)
        self.assertEqual((judged.pictures, judged.corrupt, judged.errors), (58 * RATE, 0, 0))
        for number, row in audience.rows.items():
            self.assertEqual((row.duration, row.discontinuity), (2.0, False))
            judged = decode(audience.segments[number], 1e9)
            self.assertEqual((judged.pictures, judged.errors), (2 * RATE, 0))
        self.assertEqual((len(audience.last.rows), audience.last.target, audience.last.independent), (6, 4, True))

    def test_counters(self) -> None:
        """The tables at the head of each segment repeat or carry on those before; no other packet is out of order."""
        audience = Audience(self.packager())
        play(self.broadcast, self.clock, self.film(20.0), audience)
        data = audience.bytes
        last: dict[int, bytes] = {}
        errors = dict.fromkeys(at for _, at in continuity_errors(data))
        for at in range(0, len(data), PACKET):
            packet = data[at : at + PACKET]
            if at in errors:
                self.assertEqual(packet, last[pid_of(packet)])
            last[pid_of(packet)] = packet

    def test_ffmpeg_reads_it(self) -> None:
        """ffmpeg plays the playlist from its first segment to its last without a complaint."""
        audience = Audience(self.packager())
        play(self.broadcast, self.clock, self.film(30.0), audience)
        playlist = written(audience, folder_for(self))
        self.assertEqual(complaints(playlist), "")
        self.assertEqual(decode(str(playlist), 1e9).pictures, 12 * RATE)

    def test_dates(self) -> None:
        """Each segment tells when it was on the air, without a gap to the one before."""
        audience = Audience(self.packager())
        play(self.broadcast, self.clock, self.film(20.0), audience)
        dates = [row.date for row in audience.rows.values()]
        self.assertEqual(dates[:3], [f"2023-11-14T22:13:{second}.080Z" for second in (20, 22, 24)])

    def test_the_clock_begins_again(self) -> None:
        """When the time stamps wrap after 26.5 hours nothing is seen of it."""
        start = int(WRAP_SECONDS) - 15.0
        audience = Audience(self.packager())
        play(self.broadcast, self.clock, self.film(40.0, start), audience)
        self.assertEqual({row.duration for row in audience.rows.values()}, {2.0})
        self.assertFalse(any(row.discontinuity for row in audience.rows.values()))
        judged = decode(audience.bytes, 1e9)
        self.assertEqual((judged.pictures, judged.errors), (audience.seconds * RATE, 0))

    def test_another_programme(self) -> None:
        """Where another encode carries on, a segment ends, and the next is announced as a discontinuity."""
        audience = Audience(self.packager())
        play(self.broadcast, self.clock, self.film(7.0), audience)
        audience.packager.discontinuity()
        other = paced(self.media.read("other.ts"), SECONDS, 9.0)
        play(self.broadcast, self.clock, ((max(due, 0.04), data) for due, data in other), audience)
        rows = list(audience.rows.values())
        self.assertEqual([row.discontinuity for row in rows], [index == 4 for index in range(len(rows))])
        self.assertEqual(
            [round(row.duration, 2) for row in rows], [2.0, 2.0, 2.0, 1.0, *[2.0] * (len(rows) - 5), rows[-1].duration]
        )
        for number, row in audience.rows.items():
            self.assertEqual(decode(audience.segments[number], 1e9).pictures, round(row.duration * RATE))

    def test_a_clock_that_jumps(self) -> None:
        """When an origin begins again without a word it is a discontinuity too, and no segment is longer for it."""
        audience = Audience(self.packager())
        play(self.broadcast, self.clock, self.film(6.48), audience)
        play(self.broadcast, self.clock, self.film(7.0, 500.0), audience)
        rows = list(audience.rows.values())
        self.assertEqual([row.discontinuity for row in rows], [False] * 4 + [True, False, False][: len(rows) - 4])
        self.assertAlmostEqual(rows[3].duration, 0.48, 1)

    def test_sound_alone(self) -> None:
        """A radio channel is cut as evenly, by its sound."""
        audience = Audience(self.packager())
        play(self.broadcast, self.clock, paced(self.media.read("audio.ts"), SECONDS, 40.0), audience)
        self.assertTrue(all(2.0 <= row.duration < 2.4 for row in audience.rows.values()))
        self.assertFalse(any(row.discontinuity for row in audience.rows.values()))
        judged = decode(audience.bytes, 1e9)
        self.assertEqual((judged.corrupt, judged.errors), (0, 0))
        self.assertEqual(judged.samples, round(audience.seconds * 32_000))
        self.assertEqual(complaints(written(audience, folder_for(self))), "")

    def test_key_pictures_far_apart(self) -> None:
        """With ten seconds between key pictures segments end in between, are not called independent, and play."""
        data = long_groups(self.media.path("film.ts"))
        audience = Audience(self.packager())
        play(self.broadcast, self.clock, paced(data, SECONDS, 59.0), audience)
        self.assertEqual((audience.last.target, audience.last.independent), (6, False))
        self.assertTrue(any(row.duration >= 6.0 for row in audience.rows.values()))
        judged = decode(audience.bytes, 1e9)
        self.assertEqual((judged.corrupt, judged.errors), (0, 0))
        # Pictures are cut in the order in which they are decoded, a few of them before those shown before them.
        self.assertLessEqual(abs(judged.pictures - audience.seconds * RATE), 3)
        joined = [number for number in audience.segments if decode(audience.segments[number], 1e9).errors == 0]
        self.assertGreaterEqual(len(joined), 5)

    def test_key_pictures_that_become_rare(self) -> None:
        """The target duration that was announced holds even when key pictures come less often later."""
        audience = Audience(self.packager())
        play(self.broadcast, self.clock, self.film(20.0), audience)
        slow = paced(long_groups(self.media.path("film.ts")), SECONDS, 35.0, 20.0)
        play(self.broadcast, self.clock, slow, audience)
        self.assertEqual(audience.last.target, 4)
        self.assertFalse(audience.last.independent)
        self.assertTrue(audience.playlists[0].independent)
