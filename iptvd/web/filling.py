"""A text that several users get, each with links of their own: filled in for each as it is taken."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import pairwise
from secrets import token_hex

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.web.server import Request
from zope.interface import implementer

from iptvd.web.request import Refusal, accepts_gzip

#: What stands in the text where a user's links begin. Nobody who makes up names of channels knows it.
ANY_BASE = f"http://{token_hex(16)}.invalid"

_MARK = ANY_BASE.encode()

Sliced = Callable[[Iterator[object]], Awaitable[None]]


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
        return len(self.body) + self.marks * (len(base_url.encode()) - len(_MARK))

    def pieces(self, base_url: str) -> Iterator[bytes]:
        """It with these links, piece by piece."""
        base = base_url.encode()
        for start, end in pairwise((0, *self.ends)):
            yield self.body[start:end].replace(_MARK, base)


async def send_filled(request: Request, text: Text, base_url: str, sliced: Sliced) -> bytes | None:
    """
    Answer with the text with these links, no faster than it is taken; its type is set, and its tag.

    :param sliced: see `iptvd.slices.Slicer`: all who take it at the same time share what there is of it.
    :raises Refusal: when we are stopping.
    """
    request.setHeader("X-Content-Type-Options", "nosniff")
    request.setHeader("Vary", "Accept-Encoding")
    pieces = text.pieces(base_url)
    if accepts_gzip(request):
        # How long that is, is not known before.
        request.setHeader("Content-Encoding", "gzip")
        pieces = _packed(pieces)
    else:
        request.setHeader("Content-Length", str(text.size(base_url)))
    if request.method == b"HEAD":
        return b""
    filling = _Filling(request, pieces)
    request.registerProducer(filling, True)
    try:
        await filling.run(sliced)
    except CancelledError:
        if request.channel is not None:
            request.unregisterProducer()
        # What is said instead, where that is still possible, is no list.
        for name in ("Content-Encoding", "ETag"):
            request.responseHeaders.removeHeader(name)
        raise Refusal(503, "iptvd is stopping.") from None
    request.unregisterProducer()
    request.finish()
    return None


def _packed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    # Level 1: the other eight take twice as long to make it a tenth smaller.
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


@implementer(IPushProducer)
class _Filling:
    """Fills in what there is room for: what is written to a full connection pauses it."""

    def __init__(self, request: Request, pieces: Iterator[bytes]) -> None:
        self._request = request
        self._pieces = pieces
        self._room: Deferred[None] | None = None

    async def run(self, sliced: Sliced) -> None:
        """All of it; cancelled when the viewer leaves."""
        whole = False

        def steps() -> Iterator[None]:
            nonlocal whole
            while self._room is None:
                piece = next(self._pieces, None)
                if piece is None:
                    whole = True
                    return
                if piece:
                    self._request.write(piece)
                yield

        while not whole:
            await sliced(steps())
            if self._room is not None:
                await self._room

    def pauseProducing(self) -> None:
        """There is no room."""
        if self._room is None:
            self._room = Deferred()

    def resumeProducing(self) -> None:
        """There is room."""
        room, self._room = self._room, None
        if room is not None and not room.called:
            room.callback(None)

    def stopProducing(self) -> None:
        """The viewer has left, which cancels all of it."""
