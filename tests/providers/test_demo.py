"""Tests of the demo provider: with a program that only pretends, and with the ffmpegs there are."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Awaitable, Sequence
from itertools import islice, pairwise
from pathlib import Path

import av
import imageio_ffmpeg  # type: ignore[import-untyped,unused-ignore]
from attrs import evolve, frozen
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ConfigError, ProviderError
from iptvd.model import ChannelKind, Entry, Listing, ProviderState, Source, SourceKind
from iptvd.providers.demo import LOOP_STEP, RECIPES, DemoProvider, DemoSettings, Recipe, demo
from tests.doubles import folder_for
from tests.providers.test_contract import context_for, given

BARS, CARD, FRACTAL, RADIO, FILM = RECIPES
BURST = "-readrate_initial_burst"


class Runs:
    """Programs that encode until a test ends them; whether ffmpeg knows an option is said at once."""

    def __init__(self) -> None:
        self.encodings: list[tuple[str, ...]] = []
        self.trials = 0
        self.knows_burst = True
        self.missing = False
        self._running: list[Deferred[tuple[int, bytes]]] = []

    def __call__(self, argv: Sequence[str]) -> Awaitable[tuple[int, bytes]]:
        if self.missing:
            raise FileNotFoundError(2, "No such file or directory")
        if argv[-1] == "-":
            self.trials += 1
            return succeed((0, b"") if self.knows_burst else (1, b"Option not found"))
        self.encodings.append(tuple(argv))
        self._running.append(Deferred())
        return self._running[-1]

    @property
    def keys(self) -> list[str]:
        """What was to be encoded, in order."""
        return [Path(argv[-1]).name.partition("-")[0] for argv in self.encodings]

    def end(self, status: int = 0, said: bytes = b"") -> None:
        """End the one that runs, with a file written, be it whole or not."""
        running = self._running.pop()
        assert not self._running, "only one is to run at a time"
        Path(self.encodings[-1][-1]).write_bytes(b"media")
        running.callback((status, said))

    def cancel(self) -> None:
        """End the one that runs as the daemon does when it stops."""
        self._running.pop().errback(CancelledError())


class DemoTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.runs = Runs()
        self.context = evolve(context_for(self), run=self.runs)
        self.folder = self.context.state_dir
        self.provider = demo.make(DemoSettings(), self.context)

    def resolving(self, recipe: Recipe, provider: DemoProvider | None = None) -> Deferred[Sequence[Source]]:
        return Deferred.fromCoroutine((provider or self.provider).resolve(recipe.entry))

    def error(self, deferred: Deferred[Sequence[Source]]) -> ProviderError:
        error: ProviderError = self.failureResultOf(deferred, ProviderError).value
        return error

    def command(self, recipe: Recipe) -> tuple[str, ...]:
        resolving = self.resolving(recipe)
        self.runs.end()
        (source,) = self.successResultOf(resolving)
        return source.command

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def test_lists_at_once(self) -> None:
        """Four channels and a film are listed before anything is encoded."""
        listing = given(self.provider.fetch())
        assert isinstance(listing, Listing)
        self.assertEqual(
            [(entry.number, entry.tvg_id, entry.kind, entry.extension) for entry in listing.entries],
            [
                (1, "demo.bars", ChannelKind.LIVE, "ts"),
                (2, "demo.testcard", ChannelKind.LIVE, "ts"),
                (3, "demo.fractal", ChannelKind.LIVE, "ts"),
                (4, "demo.tone", ChannelKind.RADIO, "ts"),
                (5, "demo.film", ChannelKind.VOD, "mp4"),
            ],
        )
        self.assertEqual({(entry.group, entry.logo) for entry in listing.entries}, {("Demo", "")})
        self.assertEqual([entry.source_kind for entry in listing.entries], [SourceKind.TS] * 4 + [SourceKind.VOD])
        self.assertIsNone(given(self.provider.fetch()))

    def test_one_at_a_time(self) -> None:
        """The channels are encoded one after the other, the film last."""
        given(self.provider.fetch())
        for done in range(1, len(RECIPES) + 1):
            self.assertEqual(self.runs.keys, ["bars", "testcard", "fractal", "tone", "film"][:done])
            self.runs.end()
        self.assertEqual(self.files(), sorted(recipe.file_name for recipe in RECIPES))

    def test_waiting(self) -> None:
        """Many who open a channel while it is made wait for the same work, and one who leaves does not end it."""
        given(self.provider.fetch())
        first, gone, second = self.resolving(BARS), self.resolving(BARS), self.resolving(BARS)
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.assertNoResult(first)
        self.runs.end()
        for resolving in (first, second):
            (source,) = self.successResultOf(resolving)
            self.assertIn(str(self.folder / BARS.file_name), source.command)
        self.assertEqual(self.runs.keys, ["bars", "testcard"])

    def test_without_fetch(self) -> None:
        """A channel known from an earlier run can be opened before anything was fetched."""
        self.assertEqual(self.command(CARD)[0], self.context.ffmpeg)
        self.assertEqual(self.runs.keys, ["testcard"])

    def test_made_once(self) -> None:
        """What was encoded is still there after a restart."""
        self.command(BARS)
        again = demo.make(DemoSettings(), self.context)
        self.successResultOf(self.resolving(BARS, again))
        self.assertEqual(self.runs.keys, ["bars"])

    def test_film(self) -> None:
        """The film is a file."""
        resolving = self.resolving(FILM)
        self.runs.end()
        expected = Source(SourceKind.VOD, path=str(self.folder / FILM.file_name))
        self.assertEqual(self.successResultOf(resolving), (expected,))
        self.assertEqual(self.runs.trials, 0)

    def test_failure(self) -> None:
        """When a channel cannot be made the viewer reads why, nothing half made stays, and it is tried again."""
        resolving = self.resolving(BARS)
        self.runs.end(1, b"[out] something\nUnknown encoder 'libx264'\n\n")
        error = self.error(resolving)
        self.assertEqual(error.state, ProviderState.UNREACHABLE)
        self.assertEqual(error.sentence, "The demo could not make Demo Bars: Unknown encoder 'libx264'.")
        self.assertEqual(self.files(), [])
        self.command(BARS)

    def test_failure_without_words(self) -> None:
        """When ffmpeg says nothing, its exit status is told."""
        resolving = self.resolving(BARS)
        self.runs.end(-9)
        self.assertEqual(self.error(resolving).sentence, "The demo could not make Demo Bars: exit status -9.")

    def test_failure_in_the_background(self) -> None:
        """When nobody waits, the operator finds the reason in the log, and the other channels are still made."""
        with capturedLogs() as logged:
            given(self.provider.fetch())
            self.runs.end(1, b"no space left")
        (event,) = logged
        self.assertEqual(event["log_level"], LogLevel.warn)
        self.assertEqual(event["channel"], "Demo Bars")
        self.assertTrue(event["reason"].endswith("no space left."))
        given(self.provider.fetch())
        for _ in RECIPES[1:]:
            self.runs.end()
        self.assertEqual(self.runs.keys[-1], "bars")

    def test_stop(self) -> None:
        """Stopping the daemon while it encodes is no error."""
        with capturedLogs() as logged:
            given(self.provider.fetch())
            waiting = self.resolving(BARS)
            self.runs.cancel()
            self.failureResultOf(waiting, CancelledError)
        self.assertEqual([event for event in logged if event["log_level"] >= LogLevel.error], [])

    def test_leftovers(self) -> None:
        """What a killed run and older versions left is removed, and nothing else."""
        kept = ["notes.txt", FILM.file_name]
        for name in (*kept, f"{BARS.file_name}.0a0b0c0d.part", "bars-00000000.ts", "film-00000000.mp4"):
            (self.folder / name).write_bytes(b"old")
        self.command(BARS)
        self.assertEqual(self.files(), sorted([*kept, BARS.file_name]))

    def test_other_recipe(self) -> None:
        """Another recipe never plays the file of the one before it."""
        self.assertNotEqual(evolve(BARS, tone=441).file_name, BARS.file_name)
        self.assertNotEqual(evolve(BARS, seconds=8).file_name, BARS.file_name)

    def test_folder_is_made(self) -> None:
        """The folder does not have to be there."""
        self.folder.rmdir()
        self.command(BARS)
        self.assertEqual(self.files(), [BARS.file_name])

    def test_folder_fails(self) -> None:
        """A folder that cannot be written gives a sentence."""
        blocked = self.folder / "file"
        blocked.write_bytes(b"")
        provider = DemoProvider(evolve(self.context, state_dir=blocked))
        self.assertRegex(self.error(self.resolving(BARS, provider)).sentence, r"could not make Demo Bars: \w[\w ]+\.")

    def test_ffmpeg_goes(self) -> None:
        """An ffmpeg that is no longer there gives a sentence, also when only its options were to be found out."""
        self.runs.missing = True
        self.assertIn("could not make Demo Bars: No such file", self.error(self.resolving(BARS)).sentence)
        (self.folder / BARS.file_name).write_bytes(b"media")
        self.assertIn("could not start ffmpeg: No such file", self.error(self.resolving(BARS)).sentence)

    def test_no_ffmpeg(self) -> None:
        """Without ffmpeg the operator is told what to install."""
        provider = DemoProvider(evolve(self.context, ffmpeg=""))
        for work in (provider.fetch(), provider.resolve(BARS.entry)):
            with self.assertRaises(ProviderError) as raised:
                given(work)
            self.assertEqual(raised.exception.state, ProviderState.UNCONFIGURED)
            self.assertIn("install ffmpeg or iptvd[ffmpeg]", raised.exception.sentence)

    def test_unknown(self) -> None:
        """A channel that a later version has no more gives a sentence."""
        with self.assertRaises(ProviderError) as raised:
            given(self.provider.resolve(Entry("gone", "Gone")))
        self.assertEqual(raised.exception.state, ProviderState.UNREACHABLE)

    def test_pace(self) -> None:
        """It starts with a burst where ffmpeg can, which is asked once, and in real time where it cannot."""
        for _ in range(2):
            self.assertIn(BURST, self.command(BARS))
            (self.folder / BARS.file_name).unlink()
        self.assertEqual(self.runs.trials, 1)
        self.runs.knows_burst = False
        self.provider = demo.make(DemoSettings(), self.context)
        command = self.command(BARS)
        self.assertNotIn(BURST, command)
        self.assertLess(command.index("-re"), command.index("-i"))

    def test_loop_length(self) -> None:
        """A loop whose sound and picture do not end together is refused."""
        for seconds in (0, LOOP_STEP // 2, LOOP_STEP + 1):
            with self.assertRaises(ValueError):
                evolve(BARS, seconds=seconds)

    def test_argument(self) -> None:
        """Nothing follows it on the command line."""
        with self.assertRaises(ConfigError):
            demo.settings_from_argument("x")
        self.assertEqual(demo.settings_from_argument(""), {})


@frozen
class Stream:
    """
    One elementary stream as it was found.

    :ivar steps: the different distances between the DTS of neighbours, in its time base.
    :ivar keys: the different distances between key frames, in frames.
    """

    codec: str
    frames: int
    first: int
    steps: frozenset[int]
    keys: frozenset[int]
    corrupt: int


def streams_of(file: Path) -> dict[str, Stream]:
    """What FFmpeg finds in a file, by type of stream."""
    streams: dict[str, Stream] = {}
    with av.open(str(file)) as container:
        packets = [packet for packet in container.demux() if packet.dts is not None]
        for stream in container.streams:
            own = [packet for packet in packets if packet.stream.index == stream.index]
            times = [packet.dts or 0 for packet in own]
            keys = [index for index, packet in enumerate(own) if packet.is_keyframe]
            streams[stream.type] = Stream(
                stream.codec_context.name,
                len(own),
                times[0],
                frozenset(b - a for a, b in pairwise(times)),
                frozenset(b - a for a, b in pairwise(keys)),
                sum(packet.is_corrupt for packet in own),
            )
    return streams


def run_now(argv: Sequence[str]) -> Awaitable[tuple[int, bytes]]:
    """Run a program to its end."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return succeed((done.returncode, done.stderr[-4096:]))


class EncodedTests(SynchronousTestCase):
    """With each ffmpeg there is: the one of the package, and the machine's own, which is often older."""

    ffmpegs = tuple(filter(None, (imageio_ffmpeg.get_ffmpeg_exe(), shutil.which("ffmpeg"))))

    def made(self, ffmpeg: str, recipe: Recipe) -> Source:
        context = evolve(context_for(self), ffmpeg=ffmpeg, run=run_now)
        (source,) = given(DemoProvider(context, [recipe]).resolve(recipe.entry))
        return source

    def rounds(self, command: tuple[str, ...], rounds: int) -> Path:
        """What a command gives in so many rounds of its loop, as fast as it can."""
        file = folder_for(self) / "rounds.ts"
        program, loop, out = command[0], command.index("-stream_loop"), command.index("mpegts") + 1
        words = [program, "-v", "warning", "-stream_loop", str(rounds - 1), *command[loop + 2 : out], str(file)]
        done = subprocess.run([*words, *command[out + 1 :]], stdin=subprocess.DEVNULL, capture_output=True, check=True)
        self.assertNotRegex(done.stderr, rb"(?i)dts|timestamp|corrupt")
        return file

    def test_loop(self) -> None:
        """A channel has picture, sound and a key frame every second, and its clock goes on over the loop's seams."""
        for ffmpeg in self.ffmpegs:
            source = self.made(ffmpeg, evolve(BARS, seconds=LOOP_STEP))
            file = self.rounds(source.command, 3)
            streams = streams_of(file)
            start = streams["video"].first
            self.assertEqual(
                streams,
                {
                    "video": Stream("h264", 600, start, frozenset({3600}), frozenset({25}), 0),
                    "audio": Stream("aac", 1125, start, frozenset({1920}), frozenset({1}), 0),
                },
            )
            check = [ffmpeg, "-v", "warning", "-xerror", "-i", str(file), "-f", "null", "-"]
            self.assertEqual(given(run_now(check)), (0, b""))

    def test_radio(self) -> None:
        """The radio channel has sound only, and its clock goes on over the loop's seams."""
        for ffmpeg in self.ffmpegs:
            source = self.made(ffmpeg, evolve(RADIO, seconds=LOOP_STEP))
            streams = streams_of(self.rounds(source.command, 3))
            start = streams["audio"].first
            self.assertEqual(streams, {"audio": Stream("aac", 1125, start, frozenset({1920}), frozenset({1}), 0)})

    def test_film(self) -> None:
        """The film knows how long it is, and can be started before it is there whole."""
        for ffmpeg in self.ffmpegs:
            film = Path(self.made(ffmpeg, evolve(FILM, seconds=2)).path)
            self.assertEqual(
                {name: stream.codec for name, stream in streams_of(film).items()}, {"video": "h264", "audio": "aac"}
            )
            with av.open(str(film)) as container:
                self.assertAlmostEqual((container.duration or 0) / av.time_base, 2, delta=0.05)
            whole = film.read_bytes()
            self.assertLess(whole.index(b"moov"), whole.index(b"mdat"))

    def test_pictures(self) -> None:
        """Each channel's pictures move, and no two channels look the same."""
        seen = set()
        for recipe in (BARS, CARD, FRACTAL):
            source = self.made(self.ffmpegs[0], evolve(recipe, seconds=LOOP_STEP))
            with av.open(source.command[source.command.index("-i") + 1]) as container:
                frames = [bytes(frame.planes[0]) for frame in islice(container.decode(video=0), 30)]
            self.assertEqual(len(set(frames)), 30, recipe.name)
            seen.update(frames)
        self.assertEqual(len(seen), 90)

    def test_ends(self) -> None:
        """Nothing runs on when nobody reads any more, or when it is told to end."""
        for ffmpeg in self.ffmpegs:
            source = self.made(ffmpeg, evolve(RADIO, seconds=LOOP_STEP))
            for told in (False, True):
                with subprocess.Popen(source.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
                    assert child.stdout is not None
                    self.assertEqual(child.stdout.read(188)[:1], b"G")
                    if told:
                        child.terminate()
                        child.stdout.read()
                    else:
                        child.stdout.close()
                    self.assertIsInstance(child.wait(timeout=60), int)
