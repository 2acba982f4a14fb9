"""
Long answers that are sent no faster than they are taken; and texts that several users get, each with their own links.

Such a text is written once for all who may see the same, with `ANY_BASE` where links begin: that is filled in, and
packed, as each of them takes it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import pairwise
from secrets import token_hex

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.web.server import Request
from zope.interface import implementer

from iptvd.web.api import Sliced
from iptvd.web.packing import packed
from iptvd.web.request import accepts_gzip

#: What stands in a text where a user's links begin. Nobody who makes up names of channels knows it.
ANY_BASE = f"http://{token_hex(16)}.invalid"
#: The same in bytes.
MARK = ANY_BASE.encode()
#: Seconds in which a client has to take something.
PATIENCE = 60.0


@frozen
class Text:
    """
    The text.

    :ivar ends: where its pieces end, none of which is large; nothing stands across two of them.
    :ivar marks: how often `ANY_BASE` is in it.
    """

    body: bytes
    ends: Sequence[int]
    marks: int

    def size(self, base_url: str) -> int:
        """How many bytes it has with these links."""
        return len(self.body) + self.marks * (len(base_url.encode()) - len(MARK))

    def pieces(self, base_url: str) -> Iterator[bytes]:
        """It with these links, piece by piece."""
        base = base_url.encode()
        for start, end in pairwise((0, *self.ends)):
            yield self.body[start:end].replace(MARK, base)


async def send_filled(
    request: Request, text: Text, base_url: str, sliced: Sliced, clock: IReactorTime
) -> bytes | None:
    """
    Answer with the text with these links; its type is set, and its tag.

    :param sliced: see `iptvd.slices.Slicer`: all who take it at the same time share what there is of it.
    """
    request.setHeader("X-Content-Type-Options", "nosniff")
    request.setHeader("Vary", "Accept-Encoding")
    if not accepts_gzip(request):
        # How long it is in gzip is not known before.
        request.setHeader("Content-Length", str(text.size(base_url)))
    if request.method == b"HEAD":
        say_packed(request)
        return b""
    await send_pieces(request, text.pieces(base_url), sliced, clock)
    return None


def say_packed(request: Request) -> bool:
    """Whether the answer is to be in gzip; its headers say so then."""
    if accepts_gzip(request):
        request.setHeader("Content-Encoding", "gzip")
        return True
    return False


async def _no_more() -> None:
    """There is nothing to wait for."""


async def send_pieces(
    request: Request,
    pieces: Iterator[bytes | None],
    sliced: Sliced,
    clock: IReactorTime,
    more: Callable[[], Awaitable[None]] = _no_more,
) -> None:
    """
    Send what there is no faster than it is taken, in gzip where that is wanted, and finish the request.

    :param pieces: the answer; None where there is no more of it yet.
    :param sliced: see `iptvd.slices.Slicer`.
    :param more: waits until there is more.
    """
    if say_packed(request):
        pieces = packed(pieces)
    pace = _Pace(request, clock)
    whole = waits = False

    def steps() -> Iterator[None]:
        nonlocal whole, waits
        waits = False
        while not pace.paused:
            try:
                piece = next(pieces)
            except StopIteration:
                whole = True
                return
            if piece is None:
                waits = True
                return
            if piece:
                request.write(piece)
            yield

    request.registerProducer(pace, True)
    try:
        while not whole:
            await sliced(steps())
            await pace.room()
            if waits:
                await more()
    finally:
        pace.stopProducing()
        if request.channel is not None:
            request.unregisterProducer()
    request.finish()


@implementer(IPushProducer)
class _Pace:
    """Keeps to the pace at which a client takes what it gets, and lets it go when that is nothing."""

    def __init__(self, request: Request, clock: IReactorTime) -> None:
        self._abort: Callable[[], object] = request.channel.forceAbortClient
        self._clock = clock
        self._timer: IDelayedCall | None = None
        self._room: Deferred[None] | None = None

    @property
    def paused(self) -> bool:
        """Whether the client takes nothing now."""
        return self._room is not None

    async def room(self) -> None:
        """Wait until the client takes more."""
        if self._room is not None:
            await self._room

    def pauseProducing(self) -> None:
        """It takes nothing now."""
        if self._room is None:
            self._room = Deferred()
            self._timer = self._clock.callLater(PATIENCE, self._abort)

    def resumeProducing(self) -> None:
        """It has taken everything."""
        room, self._room = self._room, None
        self.stopProducing()
        if room is not None and not room.called:
            room.callback(None)

    def stopProducing(self) -> None:
        """It has left: whoever waits for room is told by the request."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
