"""Clips for viewers that cannot be served: how they are made, kept and shown."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IProducer
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.delivery.clips import (
    GRACE,
    LEAD,
    MOST_BYTES,
    MOST_SHOWN,
    PATIENCE,
    RETRY,
    SECONDS,
    WAIT,
    Card,
    Clips,
    file_name,
    recipe,
)
from iptvd.protocols.mpegts import PACKET, null_packets
from tests.daemon.judges import decode, probe
from tests.delivery.test_relay import Glass
from tests.doubles import folder_for, offload, result
from tests.simulators.media import find_ffmpeg

#: Stands for what ffmpeg makes: as many packets as make pieces of whole numbers.
CLIP = null_packets(800)
Ran = Deferred[tuple[int, bytes]]


class Ffmpeg:
    """
    Makes what the script says: bytes for the file, or how it fails; the last again and again.

    :ivar asked: the arguments of each run.
    """

    def __init__(self, *script: bytes | str | Ran) -> None:
        self.script = list(script)
        self.asked: list[Sequence[str]] = []

    def run(self, argv: Sequence[str]) -> Ran:
        self.asked.append(argv)
        now = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(now, bytes):
            Path(argv[-1]).write_bytes(now)
            return succeed((0, b""))
        return succeed((1, now.encode())) if isinstance(now, str) else now

    @property
    def worded(self) -> list[bool]:
        return [any("drawtext" in each for each in argv) for argv in self.asked]


class ClipsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.folder = folder_for(self) / "clips"
        self.ffmpeg = Ffmpeg(CLIP)
        self.logged: list[str] = []
        self.clips = self.make()
        self.ends: list[bool] = []

    def make(self, ffmpeg: str = "/usr/bin/ffmpeg") -> Clips:
        clips = Clips(self.folder, ffmpeg, lambda argv: self.ffmpeg.run(argv), offload, self.clock)
        self.patch(clips, "log", self)
        clips.enable(True)
        return clips

    def warn(self, text: str, **fields: object) -> None:
        """As a log has it."""
        self.logged.append(text.format(**fields))

    def get(self, card: Card = Card.FULL) -> bytes:
        return result(self.clips.get(card))

    def wait(self, card: Card = Card.FULL) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self.clips.get(card))

    def show(self, high_water: int = 10**9) -> Glass:
        """A viewer that is shown the clip."""
        glass = Glass(high_water)
        transport: Any = glass
        self.clips.show(CLIP, b"HEAD", transport, self.ends.append)
        return glass


class MakingTests(ClipsTestCase):
    def test_once(self) -> None:
        """Each clip is made once, and is there again after a restart."""
        self.assertEqual([self.get(), self.get(), self.get(Card.UNAVAILABLE)], [CLIP] * 3)
        self.assertEqual((len(self.ffmpeg.asked), self.ffmpeg.worded), (2, [True, True]))
        self.clips = self.make()
        self.assertEqual([self.get(card) for card in Card], [CLIP] * 2)
        self.assertEqual(len(self.ffmpeg.asked), 2)
        names = {file_name(card, True) for card in Card}
        self.assertEqual({path.name for path in self.folder.iterdir()}, names)
        self.assertEqual(self.logged, [])

    def test_not_unless_asked(self) -> None:
        """Without the setting nothing is made, and what is made is not shown."""
        self.clips.enable(False)
        self.assertEqual((self.get(), self.ffmpeg.asked), (b"", []))
        self.clips.enable(True)
        self.assertEqual(self.get(), CLIP)
        self.clips.enable(False)
        self.assertEqual(self.get(), b"")

    def test_at_the_same_time(self) -> None:
        """All who are refused while a clip is made wait for the same; who leaves leaves the others theirs."""
        making: Ran = Deferred()
        self.ffmpeg.script = [making]
        waiting = [self.wait() for _ in range(3)]
        waiting[0].cancel()
        self.failureResultOf(waiting[0], CancelledError)
        Path(self.ffmpeg.asked[0][-1]).write_bytes(CLIP)
        making.callback((0, b""))
        self.assertEqual([self.successResultOf(each) for each in waiting[1:]], [CLIP] * 2)
        self.assertEqual(len(self.ffmpeg.asked), 1)
        self.clock.advance(WAIT)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_slow_machine(self) -> None:
        """A viewer does not wait for long; the clip that is made meanwhile is there for the next."""
        making: Ran = Deferred()
        self.ffmpeg.script = [making]
        waiting = self.wait()
        self.clock.advance(WAIT)
        self.assertEqual(self.successResultOf(waiting), b"")
        Path(self.ffmpeg.asked[0][-1]).write_bytes(CLIP)
        making.callback((0, b""))
        self.assertEqual((self.get(), len(self.ffmpeg.asked)), (CLIP, 1))

    def test_without_a_font(self) -> None:
        """Where ffmpeg finds no font the picture is a plain one, and the log says why; a font is looked for again."""
        self.ffmpeg.script = ["Cannot find a valid font for the family Sans\nand so on", CLIP]
        self.assertEqual((self.get(), self.ffmpeg.worded), (CLIP, [True, False]))
        self.assertEqual(
            self.logged,
            ["clips have no words on them, for which a font is needed: Cannot find a valid font for the family Sans"],
        )
        self.ffmpeg.script = ["no font", b"not asked"]
        self.clips = self.make()
        self.assertEqual((self.get(), self.ffmpeg.worded), (CLIP, [True, False, True]))
        self.ffmpeg.script = [CLIP]
        self.clips = self.make()
        self.assertEqual((self.get(), self.ffmpeg.worded[3:]), (CLIP, [True]))

    def test_failing(self) -> None:
        """When no clip can be made the log says so, once in a while, and nothing of the attempts stays on disk."""
        failures: list[str | bytes] = ["Unknown encoder 'libx264'", "", b"no packets", b"x" * (MOST_BYTES + 1)]
        for number, failure in enumerate(failures):
            self.clips = self.make()
            self.ffmpeg = Ffmpeg(failure)
            self.assertEqual([self.get(), self.get(), self.get(Card.UNAVAILABLE)], [b""] * 3)
            self.assertEqual((len(self.ffmpeg.asked), len(self.logged)), (2, 1 + number))
            why = failure or "exit status 1" if isinstance(failure, str) else "ffmpeg made none that can be shown"
            self.assertEqual(self.logged[-1], f"clips cannot be made, so viewers get an error instead: {why}")
            self.assertFalse([path for path in self.folder.iterdir() if path.suffix == ".partial"])
        self.clock.advance(RETRY)
        self.ffmpeg.script = [CLIP]
        self.assertEqual(self.get(), CLIP)

    def test_hanging(self) -> None:
        """An ffmpeg that does not end is ended."""
        ended: list[object] = []
        self.ffmpeg.script = [Deferred(ended.append) for _ in range(2)]
        waiting = self.wait()
        self.clock.pump([PATIENCE, PATIENCE])
        self.assertEqual((self.successResultOf(waiting), len(ended)), (b"", 2))
        self.assertIn("ffmpeg took more than 30 s", self.logged[0])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopping(self) -> None:
        """When the daemon stops while a clip is made, those who wait for it are told that there is none."""
        making: Ran = Deferred()
        self.ffmpeg.script = [making]
        waiting = self.wait()
        self.clips.close()
        making.cancel()
        self.assertEqual((self.successResultOf(waiting), self.logged), (b"", []))

    def test_a_fault(self) -> None:
        """A fault of ours is logged as such, and viewers get no clip."""
        self.patch(self, "fault", lambda text, failure: self.logged.append(failure.type.__name__))
        self.ffmpeg.script = []
        self.assertEqual((self.get(), self.get(), self.logged), (b"", b"", ["IndexError"]))

    fault: Any = None

    def test_a_disk_that_is_full(self) -> None:
        """A folder that cannot be written is a sentence in the log."""
        self.folder.parent.joinpath("clips").write_text("in the way")
        self.assertEqual(self.get(), b"")
        self.assertEqual(self.logged, ["clips cannot be made, so viewers get an error instead: File exists"])

    def test_without_ffmpeg(self) -> None:
        """Without ffmpeg there are no clips, and the log says at once what to do."""
        self.clips = self.make(ffmpeg="")
        self.assertEqual((self.get(), self.ffmpeg.asked, len(self.logged)), (b"", [], 1))
        self.assertIn("install ffmpeg", self.logged[0])
        self.clips.enable(False)
        self.assertEqual(len(self.logged), 1)

    def test_other_versions(self) -> None:
        """What another version has made is made again, and its file goes; nothing else in the folder does."""
        self.folder.mkdir()
        for name in ("full-words-01234567.ts", "notes.txt"):
            (self.folder / name).write_bytes(CLIP)
        self.get()
        self.assertEqual({path.name for path in self.folder.iterdir()}, {"notes.txt", file_name(Card.FULL, True)})

    def test_a_damaged_file(self) -> None:
        """A file that a crash has left empty or cut short is made again."""
        for left in (b"", CLIP[:-1]):
            self.folder.mkdir(exist_ok=True)
            (self.folder / file_name(Card.FULL, True)).write_bytes(left)
            self.clips = self.make()
            self.assertEqual(self.get(), CLIP)


class ShowingTests(ClipsTestCase):
    def test_real_time(self) -> None:
        """The beginning comes at once, for the player to start, and the rest as it plays; then it ends, once."""
        glass = self.show()
        self.assertEqual(len(glass.held), 4 + round(len(CLIP) * LEAD / SECONDS))
        for second in range(1, round(SECONDS - LEAD)):
            self.clock.pump([0.25] * 4)
            self.assertEqual(len(glass.held), 4 + round(len(CLIP) * (LEAD + second) / SECONDS))
        self.assertEqual((self.ends, self.clips.shown), ([], 1))
        self.clock.pump([0.25] * 4)
        self.assertEqual((glass.held, self.ends, self.clips.shown), (b"HEAD" + CLIP, [True], 0))
        self.assertEqual((glass.producer, self.clock.getDelayedCalls()), (None, []))

    def test_who_does_not_read(self) -> None:
        """A viewer that does not read is sent no more, and is let go of when the clip should be over for long."""
        glass = self.show(high_water=PACKET)
        held = len(glass.held)
        self.clock.pump([1] * round(SECONDS + GRACE))
        self.assertEqual((len(glass.held), self.ends, self.clips.shown), (held, [False], 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_who_reads_again(self) -> None:
        """A viewer that reads again has what it missed, and all of it in the end."""
        glass = self.show(high_water=len(CLIP) // 2)
        got = b""
        for _ in range(SECONDS + round(GRACE) - 1):
            self.clock.pump([0.25] * 4)
            if len(glass.held) > glass.high_water:
                got += glass.drink()
        self.assertEqual((got + glass.held, self.ends), (b"HEAD" + CLIP, [True]))
        self.assertLess(glass.peak, len(CLIP))

    def test_who_leaves(self) -> None:
        """A viewer that leaves is forgotten."""
        glass = self.show()
        assert glass.producer is not None
        glass.producer.stopProducing()
        self.assertEqual((self.ends, self.clips.shown, self.clock.getDelayedCalls()), ([False], 0, []))

    def test_who_is_gone(self) -> None:
        """A viewer that is gone already is shown nothing, however often that is told."""

        class Gone(Glass):
            def registerProducer(self, producer: IProducer, streaming: bool) -> None:
                producer.stopProducing()
                producer.stopProducing()

        transport: Any = Gone()
        self.clips.show(CLIP, b"", transport, self.ends.append)
        self.assertEqual((transport.held, self.ends, self.clips.shown), (b"", [False], 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopping(self) -> None:
        """When the daemon stops, those who are shown a clip are let go of, and nobody is shown another."""
        for _ in range(3):
            self.show()
        self.clips.close()
        self.assertEqual((self.ends, self.clips.shown, self.clock.getDelayedCalls()), ([False] * 3, 0, []))
        self.assertEqual(self.get(), b"")

    def test_not_too_many(self) -> None:
        """Beyond a number of viewers that are shown one at the same time there is none for more."""
        self.get()
        for _ in range(MOST_SHOWN):
            self.show()
        self.assertEqual(self.get(), b"")
        self.clock.pump([0.25] * 4 * SECONDS)
        self.assertEqual(self.get(), CLIP)


@pytest.mark.parametrize("worded", [True, False])
@pytest.mark.parametrize("card", Card)
def test_real_media(card: Card, worded: bool, tmp_path: Path) -> None:
    """What ffmpeg makes of a recipe is a whole clip of H.264 and AAC that decodes without a fault, and is small."""
    path = tmp_path / file_name(card, worded)
    subprocess.run([find_ffmpeg(), *recipe(card, worded), str(path)], check=True)
    clip = path.read_bytes()
    assert len(clip) < 500_000
    assert probe(clip).codecs == ("h264", "aac")
    decoded = decode(clip, 2 * SECONDS)
    assert (decoded.corrupt, decoded.errors, decoded.pictures) == (0, 0, 25 * SECONDS)
    assert decoded.samples >= 48_000 * (SECONDS - 0.1)
