"""
Long bodies: written step by step, sent while they are, and kept for the next who asks for the same.

Each user has links of their own. A body is written once for all who may see the same, with `ANY_BASE` where links
begin, and that is filled in, and packed, as each of them takes it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from json.encoder import encode_basestring

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.server import Request

from iptvd.web.api import Sliced
from iptvd.web.filling import MARK, send_pieces

#: Bytes of bodies that are kept, and how many.
CACHE_BYTES = 64 * 1024 * 1024
CACHE_ENTRIES = 256


def array(batches: Iterable[Iterable[str]]) -> Iterator[bytes]:
    """The JSON of a list, given the JSON of its items, batch by batch."""
    mark = "["
    for batch in batches:
        text = ",".join(batch)
        if text:
            yield (mark + text).encode("utf-8", "replace")
            mark = ","
        else:
            yield b""
    yield b"]" if mark == "," else b"[]"


class Body:
    """
    What is written.

    :ivar size: bytes that there are by now.
    :ivar whole: whether that is all.
    """

    def __init__(self) -> None:
        self.size = 0
        self.whole = False
        self._pieces: list[bytes] = []
        self._failure: Failure | None = None
        self._waiting: list[Deferred[None]] = []

    def add(self, piece: bytes) -> None:
        """Go on with this."""
        if piece:
            self._pieces.append(piece)
            self.size += len(piece)
            self._tell()

    def end(self, failure: Failure | None = None) -> None:
        """It is whole, or will never be."""
        self.whole = failure is None
        self._failure = failure
        self._tell()

    def piece(self, index: int) -> bytes | None:
        """A part of it, None where there is none yet."""
        return self._pieces[index] if index < len(self._pieces) else None

    async def more(self) -> None:
        """Wait until there is more of it, or it is whole; what has kept it from being written is raised."""
        if self._failure is None and not self.whole:
            waiting: Deferred[None] = Deferred(self._waiting.remove)
            self._waiting.append(waiting)
            await waiting
        if self._failure is not None:
            self._failure.raiseException()

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)


class Bodies:
    """
    Those that were asked for lately.

    A body that has been begun is finished, whether somebody waits for it or not: it will be asked for again.

    :param sliced: see `iptvd.slices.Slicer`.
    """

    def __init__(self, sliced: Sliced, clock: IReactorTime) -> None:
        self._sliced = sliced
        self._clock = clock
        self._kept: OrderedDict[object, Body] = OrderedDict()
        self._revision = ""

    def get(self, revision: str, key: object, pieces: Callable[[], Iterator[bytes]]) -> Body:
        """
        The body of this name.

        :param revision: of what it is about: what is kept of another one is dropped.
        :param key: everything else that it depends on.
        :param pieces: gives the body, a short piece of work for each.
        """
        if revision != self._revision:
            self._kept.clear()
            self._revision = revision
        body = self._kept.get(key)
        if body is None:
            # There before it begins, because it may be whole at once.
            body = self._kept[key] = Body()
            self._write(body, pieces(), key)
        else:
            self._kept.move_to_end(key)
        return body

    def make(self, pieces: Iterator[bytes]) -> Body:
        """One that is not kept."""
        body = Body()
        self._write(body, pieces)
        return body

    async def send(self, request: Request, body: Body, base_url: str) -> None:
        """
        Send a body while it is written, as fast as the client takes it, and finish the request.

        :param base_url: what the client's links begin with.
        """
        base, taken = encode_basestring(base_url)[1:-1].encode(), 0

        def pieces() -> Iterator[bytes | None]:
            nonlocal taken
            while not (body.whole and body.piece(taken) is None):
                piece = body.piece(taken)
                if piece is not None:
                    taken += 1
                    piece = piece.replace(MARK, base)
                yield piece

        async def more() -> None:
            if body.piece(taken) is None:
                await body.more()

        await send_pieces(request, pieces(), self._sliced, self._clock, more)

    def _write(self, body: Body, pieces: Iterator[bytes], key: object = None) -> None:
        def done(result: object) -> None:
            failure = result if isinstance(result, Failure) else None
            body.end(failure)
            if failure is not None and self._kept.get(key) is body:
                del self._kept[key]
            self._forget()

        async def write() -> None:
            await self._sliced(map(body.add, pieces))

        Deferred.fromCoroutine(write()).addBoth(done)

    def _forget(self) -> None:
        """Drop those that were not asked for longest when there are too many."""
        size = sum(body.size for body in self._kept.values())
        while len(self._kept) > 1 and (size > CACHE_BYTES or len(self._kept) > CACHE_ENTRIES):
            _, oldest = self._kept.popitem(last=False)
            size -= oldest.size
