"""
Clips that tell a viewer of raw TS why there is nothing to watch, for players that show no error's sentence.

A clip is a still picture with silence, made by ffmpeg when it is needed for the first time and kept on disk under a
name that hangs on how it is made. It is as long as it is shown, so that there is no seam in it, and is sent in real
time: a player that comes again at its end does so a few times a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from hashlib import sha256
from pathlib import Path
from secrets import token_hex

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from iptvd.log import Log
from iptvd.protocols.mpegts import PACKET, SYNC
from iptvd.store import Offload

#: Seconds that a clip lasts, and seconds of it that a player gets at once.
SECONDS = 20
LEAD = 3.0
#: Seconds between two pieces of it, and seconds that a viewer who reads slowly has beyond its length.
TICK = 0.25
GRACE = 10.0
#: How many viewers are shown one at the same time; more get an error.
MOST_SHOWN = 200
#: Bytes that a clip may have; it has less than a tenth of that.
MOST_BYTES = 4 << 20
#: Seconds that ffmpeg has to make one, that a viewer waits for it, and after which a failure is tried again.
PATIENCE = 30.0
WAIT = 5.0
RETRY = 300.0
_SAID = 200

#: Runs a program at low priority to its end: exit status, and the end of what it said (`iptvd.children.Children.run`).
Run = Callable[[Sequence[str]], Deferred[tuple[int, bytes]]]


class Card(Enum):
    """What can be told, in the words that are shown."""

    FULL = "All connections are in use"
    UNAVAILABLE = "This channel is unavailable"


def recipe(card: Card, worded: bool) -> tuple[str, ...]:
    """
    The arguments that make a clip, without the program in front and the file at the end.

    :param worded: whether the words are written on it, which takes a font; a plain picture takes none.
    """
    words = f"drawtext=text='{card.value}':font=Sans:fontsize=36:fontcolor=white:x=(w-text_w)/2:y=(h-text_h)/2"
    return (
        *("-nostdin", "-v", "error", "-y"),
        *("-f", "lavfi", "-i", "color=c=0x1c2530:s=640x360:r=25", "-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo"),
        *("-map", "0:v", "-map", "1:a", "-t", str(SECONDS)),
        *(("-vf", words) if worded else ()),
        # A key frame a second, and no B-frames: whatever can play, can play this.
        *("-c:v", "libx264", "-preset", "veryfast", "-tune", "stillimage", "-pix_fmt", "yuv420p"),
        *("-bf", "0", "-g", "25", "-keyint_min", "25", "-sc_threshold", "0", "-c:a", "aac", "-b:a", "64k"),
        *("-fs", str(MOST_BYTES), "-muxdelay", "0.2", "-muxpreload", "0", "-f", "mpegts"),
    )


def file_name(card: Card, worded: bool) -> str:
    """The name a clip is kept under: another recipe gives another name."""
    made = sha256(repr(recipe(card, worded)).encode()).hexdigest()[:8]
    return f"{card.name.lower()}-{'words' if worded else 'plain'}-{made}.ts"


class Clips:
    """
    Makes them, keeps them, and knows who is shown one.

    :param folder: where they are kept.
    :param ffmpeg: the program's path, empty where there is none.
    """

    log = Log()

    def __init__(self, folder: Path, ffmpeg: str, run: Run, offload: Offload, clock: IReactorTime) -> None:
        self._folder = folder
        self._ffmpeg = ffmpeg
        self._run = run
        self._offload = offload
        self._clock = clock
        self._enabled = False
        self._made: dict[Card, bytes] = {}
        self._waiting: dict[Card, list[Deferred[bytes]]] = {}
        self._not_before = 0.0
        self._showings: set[Showing] = set()

    @property
    def shown(self) -> int:
        """How many viewers are shown one now."""
        return len(self._showings)

    def enable(self, enabled: bool) -> None:
        """Whether there are to be any from now on."""
        if enabled and not self._ffmpeg:
            self.log.warn(
                "refusal_clips needs ffmpeg, which is not here: install ffmpeg or iptvd[ffmpeg], and restart iptvd"
            )
        self._enabled = enabled and bool(self._ffmpeg)

    def close(self) -> None:
        """Make and show none any more."""
        self._enabled = False
        for showing in list(self._showings):
            showing.end(False)

    async def get(self, card: Card) -> bytes:
        """A clip in whole packets; empty when there is none to be shown now."""
        clip = self._made.get(card, b"")
        if not clip and self._enabled and self._clock.seconds() >= self._not_before:
            waiter: Deferred[bytes] = Deferred()
            self._waiting.setdefault(card, []).append(waiter)
            if len(self._waiting[card]) == 1:
                Deferred.fromCoroutine(self._make(card)).addErrback(self._failed).addCallback(self._tell, card)
            with suppress(TimeoutError):
                clip = await waiter.addTimeout(WAIT, self._clock)
        # Others may be shown it since we began to wait.
        return clip if self._enabled and len(self._showings) < MOST_SHOWN else b""

    def show(self, clip: bytes, head: bytes, transport: ITransport, over: Callable[[bool], None]) -> Showing:
        """
        Show one over a connection.

        :param head: sent before it.
        :param over: called when it has been sent, or, with False, when the viewer did not take it; the connection is
            then the caller's to close.
        """

        def ended(whole: bool) -> None:
            self._showings.discard(showing)
            over(whole)

        showing = Showing(clip, transport, self._clock, ended)
        self._showings.add(showing)
        showing.start(head)
        return showing

    # Making

    def _failed(self, failure: Failure) -> bytes:
        if not failure.check(CancelledError):
            self.log.fault("a clip could not be made", failure)
        self._not_before = self._clock.seconds() + RETRY
        return b""

    def _tell(self, clip: bytes, card: Card) -> None:
        if clip:
            self._made[card] = clip
        for waiter in self._waiting.pop(card):
            if not waiter.called:
                waiter.callback(clip)

    async def _make(self, card: Card) -> bytes:
        try:
            await self._offload(self._make_room)
            clip, reason = await self._one(card, True)
            if not clip:
                clip, _ = await self._one(card, False)
                if clip:
                    self.log.warn("clips have no words on them, for which a font is needed: {reason}", reason=reason)
        except OSError as error:
            clip, reason = b"", error.strerror or ""
        if not clip:
            self.log.warn("clips cannot be made, so viewers get an error instead: {reason}", reason=reason)
            self._not_before = self._clock.seconds() + RETRY
        return clip

    async def _one(self, card: Card, worded: bool) -> tuple[bytes, str]:
        """A clip as it was kept, else made; or none, and why."""
        path = self._folder / file_name(card, worded)
        clip, reason = await self._offload(_read, path), ""
        if not clip:
            reason = await self._render(card, worded, path)
            clip = await self._offload(_read, path)
        return clip, reason or "ffmpeg made none that can be shown"

    async def _render(self, card: Card, worded: bool, path: Path) -> str:
        """Have ffmpeg make one; why it did not, or empty."""
        partial = path.with_name(f".{path.name}.{token_hex(4)}.partial")
        try:
            running = self._run((self._ffmpeg, *recipe(card, worded), str(partial)))
            status, said = await running.addTimeout(PATIENCE, self._clock)
            if status:
                return _first_line(said) or f"exit status {status}"
            await self._offload(partial.replace, path)
        except TimeoutError:
            return f"ffmpeg took more than {PATIENCE:g} s"
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        return ""

    def _make_room(self) -> None:
        """Remove what other versions left."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = {file_name(card, worded) for card in Card for worded in (True, False)}
        for found in self._folder.glob("*.ts"):
            if found.name not in names:
                found.unlink(missing_ok=True)


def _read(path: Path) -> bytes:
    """A clip as it was kept; empty when there is none, or it is no whole one."""
    try:
        with path.open("rb") as file:
            clip = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return b""
    whole = len(clip) <= MOST_BYTES and clip[::PACKET].count(SYNC) * PACKET == len(clip)
    return clip if whole else b""


def _first_line(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").split("\n")
    return next((line.strip()[:_SAID] for line in lines if line.strip()), "")


@implementer(IPushProducer)
class Showing:
    """
    One viewer that is shown a clip, from its beginning, in real time; what it does not read is not sent.

    :param over: see `Clips.show`.
    """

    def __init__(self, clip: bytes, transport: ITransport, clock: IReactorTime, over: Callable[[bool], None]) -> None:
        self._clip = clip
        self._transport = transport
        self._clock = clock
        self._over: Callable[[bool], None] | None = over
        self._begun = clock.seconds()
        self._sent = 0
        self._paused = False
        self._timer: IDelayedCall | None = None

    def start(self, head: bytes) -> None:
        """Begin."""
        self._transport.registerProducer(self, True)  # type: ignore[attr-defined]
        self._transport.write(head)
        self._go_on()

    def end(self, whole: bool) -> None:
        """End it; nothing happens when it has ended."""
        over, self._over = self._over, None
        if over is None:
            return
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._transport.unregisterProducer()  # type: ignore[attr-defined]
        over(whole)

    def _go_on(self) -> None:
        """Send what is due."""
        if self._over is None:
            return
        passed = self._clock.seconds() - self._begun
        due = len(self._clip) if passed + LEAD >= SECONDS else int(len(self._clip) * (passed + LEAD) / SECONDS)
        piece = b"" if self._paused else self._clip[self._sent : due]
        self._sent += len(piece)
        if piece:
            self._transport.write(piece)
        if self._sent == len(self._clip) or passed >= SECONDS + GRACE:
            self.end(self._sent == len(self._clip))
        else:
            self._timer = self._clock.callLater(TICK, self._go_on)

    # IPushProducer

    def pauseProducing(self) -> None:
        """The viewer does not read."""
        self._paused = True

    def resumeProducing(self) -> None:
        """It reads again; what is due is sent with the next piece."""
        self._paused = False

    def stopProducing(self) -> None:
        """Its connection is gone."""
        self.end(False)
