"""
The provider ``demo``: test pictures, a tone and a film, made by ffmpeg on this machine; no network, no account.

Each live channel is encoded once, into a short loop that is then copied round and round, which costs next to no CPU.
For the time stamps to go on over the seam as if there were none, three things must hold, and older ffmpeg versions
(5.1) are stricter about them than newer ones:

- the loop's length is a whole number of seconds (key frames), of video frames (1/25 s) and of AAC frames
  (1024/48000 s): so a multiple of 8 seconds, and neither stream may be cut short or run over;
- both streams start at the same time, so the encoder's priming frame takes the place of the first 1024 samples;
- there is a video stream, because 5.1 takes the length of a loop from frame rates. The radio channel's loop has one
  too: it is read for its time stamps and thrown away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from secrets import token_hex

from attrs import Attribute, field, frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredLock, succeed
from twisted.logger import Logger
from twisted.plugin import IPlugin
from twisted.python.failure import Failure
from zope.interface import implementer

from iptvd.errors import ConfigError, ProviderError
from iptvd.interfaces import IProvider, IProviderMaker, ProviderContext
from iptvd.model import ChannelKind, Entry, Listing, ProviderState, Source, SourceKind

#: A loop's length is a multiple of this many seconds.
LOOP_STEP = 8

_SIZE = "s=640x360:r=25"
_HAND = "color=c=white:s=8x100:r=25,format=rgba,pad=200:200:96:0:color=black@0,rotate=a=2*PI*t/16:c=black@0"
_BARS = f"smptebars={_SIZE}[bars];{_HAND}[hand];[bars][hand]overlay=x=220:y=20"

_RATE = 48000
_AAC_FRAME = 1024

#: One second between key frames, whatever is in the picture; no B-frames, so that DTS and PTS are the same.
_VIDEO = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -b:v 900k -maxrate 1000k -bufsize 1000k"
_FRAMES = "-bf 0 -g 25 -keyint_min 25 -sc_threshold 0"
_AUDIO = "-c:a aac -b:a 96k"

#: A second and a half at once, then real time: a viewer's first picture needs no waiting. From ffmpeg 6.1 on.
_BURST = ("-readrate", "1", "-readrate_initial_burst", "1.5")
_REAL_TIME = ("-re",)
_SAID = 200


@frozen
class Recipe:
    """
    What one entry is made of.

    :ivar picture: a lavfi graph that ends in 25 pictures a second; it is cut to length.
    :ivar tone: hertz of the tone that swells and fades every two seconds, so that the seam falls into silence.
    :ivar seconds: its length; for a loop, a multiple of `LOOP_STEP`.
    """

    key: str
    name: str
    number: int
    picture: str
    tone: int
    kind: ChannelKind = ChannelKind.LIVE
    seconds: int = field(default=16)

    @seconds.validator
    def _fits(self, attribute: Attribute[int], value: int) -> None:
        if self.kind is not ChannelKind.VOD and (value < LOOP_STEP or value % LOOP_STEP):
            raise ValueError(f"a loop's length is a multiple of {LOOP_STEP} seconds")

    @property
    def extension(self) -> str:
        """The extension of its file, and of its URLs."""
        return "mp4" if self.kind is ChannelKind.VOD else "ts"

    @property
    def encoding(self) -> tuple[str, ...]:
        """The arguments that make it, without the program in front and the file at the end."""
        # The encoder puts one frame in front (its priming), so that much less goes in.
        samples = self.seconds * _RATE - _AAC_FRAME
        wave = f"0.25*sin(2*PI*{self.tone}*t)*sin(PI*t/2)^2"
        sound = f"aevalsrc={wave}|{wave}:s={_RATE},atrim=end_sample={samples}"
        form = (
            "-movflags +faststart -f mp4" if self.kind is ChannelKind.VOD else "-muxdelay 0.2 -muxpreload 0 -f mpegts"
        )
        return (
            *("-nostdin", "-v", "error", "-y"),
            *("-f", "lavfi", "-i", f"{self.picture},trim=duration={self.seconds}"),
            *("-f", "lavfi", "-i", sound),
            # Only here: a shift inside the graph of an input is taken back when the input is opened.
            *("-map", "0:v", "-map", "1:a", "-af", f"asetpts=PTS+{_AAC_FRAME}"),
            *f"{_VIDEO} {_FRAMES} {_AUDIO} {form}".split(),
        )

    @property
    def file_name(self) -> str:
        """The file's name: another recipe gives another name, so that a new version never plays an old file."""
        return f"{self.key}-{sha256(repr(self.encoding).encode()).hexdigest()[:8]}.{self.extension}"

    @property
    def entry(self) -> Entry:
        """What is listed."""
        return Entry(
            key=self.key,
            name=self.name,
            kind=self.kind,
            source_kind=SourceKind.VOD if self.kind is ChannelKind.VOD else SourceKind.TS,
            extension=self.extension,
            group="Demo",
            number=self.number,
            tvg_id=f"demo.{self.key}",
        )


RECIPES = (
    Recipe("bars", "Demo Bars", 1, _BARS, tone=440),
    Recipe("testcard", "Demo Test Card", 2, f"testsrc2={_SIZE}", tone=550),
    Recipe("fractal", "Demo Fractal", 3, f"mandelbrot={_SIZE}", tone=660),
    Recipe("tone", "Demo Radio", 4, "color=c=black:s=64x36:r=25", tone=880, kind=ChannelKind.RADIO),
    Recipe("film", "Demo Film", 5, f"testsrc={_SIZE}", tone=330, kind=ChannelKind.VOD, seconds=60),
)


@implementer(IProvider)
class DemoProvider:
    """
    Encodes each recipe once, one after the other, in the background from the first fetch on.

    Whoever wants one that is not made yet waits for it. One that could not be made is tried again for the next who
    asks.
    """

    _log = Logger()

    def __init__(self, context: ProviderContext, recipes: Sequence[Recipe] = RECIPES) -> None:
        self._context = context
        self._recipes = {recipe.key: recipe for recipe in recipes}
        self._turn = DeferredLock()
        self._waiting: dict[str, list[Deferred[Path]]] = {}
        self._pace: tuple[str, ...] = ()
        self._tidy = False
        self._listed = False

    async def fetch(self) -> Listing | None:
        """All of it at once, while the encoding goes on."""
        self._need_ffmpeg()
        for recipe in self._recipes.values():
            self._made(recipe).addErrback(self._log_failure, recipe)
        if self._listed:
            return None
        self._listed = True
        return Listing(tuple(recipe.entry for recipe in self._recipes.values()))

    async def resolve(self, entry: Entry) -> Sequence[Source]:
        """The one way to get an entry, as soon as it is made."""
        self._need_ffmpeg()
        recipe = self._recipes.get(entry.key)
        if recipe is None:
            raise ProviderError(
                ProviderState.UNREACHABLE, "The demo has no such channel any more: refresh the lineup."
            )
        path = await self._made(recipe)
        if recipe.kind is ChannelKind.VOD:
            return (Source(SourceKind.VOD, path=str(path)),)
        return (Source(SourceKind.TS, command=self._command(recipe, path, await self._paced()), offline=True),)

    def _need_ffmpeg(self) -> None:
        if not self._context.ffmpeg:
            raise ProviderError(
                ProviderState.UNCONFIGURED,
                "The demo is made by ffmpeg, which is not here: install ffmpeg or iptvd[ffmpeg].",
            )

    def _command(self, recipe: Recipe, path: Path, pace: tuple[str, ...]) -> tuple[str, ...]:
        radio = recipe.kind is ChannelKind.RADIO
        return (
            *(self._context.ffmpeg, "-nostdin", "-v", "error", *pace, "-stream_loop", "-1", "-i", str(path)),
            *("-map", "0:a" if radio else "0", "-c", "copy"),
            # With less of a delay the PCR runs ahead of the audio's DTS.
            *("-muxdelay", "0.2", "-muxpreload", "0", "-flush_packets", "1", "-f", "mpegts", "-"),
            *(("-map", "0:v", "-c", "copy", "-f", "null", "-") if radio else ()),
        )

    async def _paced(self) -> tuple[str, ...]:
        """The options that make this ffmpeg deliver in real time: found out once."""
        if not self._pace:
            trial = ("-f", "lavfi", "-i", "anullsrc=d=0.02", "-f", "null", "-")
            try:
                status, _ = await self._context.run((self._context.ffmpeg, "-nostdin", "-v", "error", *_BURST, *trial))
            except OSError as error:
                raise _failed("start ffmpeg", error.strerror or "") from error
            self._pace = _REAL_TIME if status else _BURST
        return self._pace

    def _made(self, recipe: Recipe) -> Deferred[Path]:
        """The recipe's file, once it is there; cancelling takes back the wish only, not the work."""
        path = self._context.state_dir.absolute() / recipe.file_name
        if path.is_file():
            return succeed(path)
        waiter: Deferred[Path] = Deferred()
        if recipe.key in self._waiting:
            self._waiting[recipe.key].append(waiter)
        else:
            self._waiting[recipe.key] = [waiter]
            self._turn.run(self._encode, recipe, path).addBoth(self._tell, recipe)
        return waiter

    def _tell(self, result: Path | Failure, recipe: Recipe) -> None:
        for waiter in self._waiting.pop(recipe.key):
            waiter.callback(result)

    async def _encode(self, recipe: Recipe, path: Path) -> Path:
        # A name of its own: another provider object, made from new settings, may be at the same file.
        partial = path.with_name(f"{path.name}.{token_hex(4)}.part")
        doing = f"make {recipe.name}"
        try:
            if not self._tidy:
                self._make_room(path.parent)
            status, said = await self._context.run((self._context.ffmpeg, *recipe.encoding, str(partial)))
            if status:
                raise _failed(doing, _last_line(said) or f"exit status {status}")
            partial.replace(path)
        except OSError as error:
            raise _failed(doing, error.strerror or "") from error
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        return path

    def _make_room(self, folder: Path) -> None:
        """Remove what a killed run and older versions left."""
        folder.mkdir(parents=True, exist_ok=True)
        names = {recipe.file_name for recipe in self._recipes.values()}
        for recipe in self._recipes.values():
            for found in folder.glob(f"{recipe.key}-*"):
                if found.name not in names:
                    found.unlink(missing_ok=True)
        self._tidy = True

    def _log_failure(self, failure: Failure, recipe: Recipe) -> None:
        if failure.trap(ProviderError, CancelledError) is CancelledError:
            return
        self._log.warn("{channel}: {reason}", channel=recipe.name, reason=failure.getErrorMessage())


def _failed(doing: str, why: str) -> ProviderError:
    return ProviderError(ProviderState.UNREACHABLE, f"The demo could not {doing}: {why or 'unknown reason'}.")


def _last_line(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").split("\n")
    return next((line.strip()[:_SAID] for line in reversed(lines) if line.strip()), "")


@frozen
class DemoSettings:
    """There is nothing to set."""


@implementer(IPlugin, IProviderMaker)
class DemoMaker:
    """The plugin."""

    kind = "demo"
    summary = "Four test channels and a film made by ffmpeg on this machine: no network, no account."
    settings = DemoSettings

    def settings_from_argument(self, argument: str) -> Mapping[str, object]:
        """Nothing follows ``--provider demo``."""
        if argument:
            raise ConfigError("--provider demo takes nothing after it: write just demo.")
        return {}

    def make(self, settings: object, context: ProviderContext) -> DemoProvider:
        """The demo."""
        return DemoProvider(context)


demo = DemoMaker()
