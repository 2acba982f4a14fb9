"""``/epg.xml`` and ``/epg.xml.gz``: the guide of the lineup in XMLTV, written by a child as the viewer takes it."""

from __future__ import annotations

import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IConsumer, IDelayedCall, IProducer, IPushProducer, IReactorTime
from twisted.web.server import Request
from zope.interface import implementer

from iptvd import __version__
from iptvd.epg.export import Asked
from iptvd.errors import StoreError
from iptvd.web.answering import AnswerResource
from iptvd.web.playlist import groups_of
from iptvd.web.request import Refusal, accepts_gzip, argument, caller_of, is_current

#: How many are written at once; whoever asks then waits.
AT_ONCE = 4
#: Seconds a viewer may take nothing of it, and may take for all of it: the others wait, and so does the database with
#: forgetting what it was when the viewer began.
PATIENCE, LONGEST = 60.0, 1800.0
#: Days that can be asked for.
MOST_DAYS = 60
# Characters of a group that is asked for.
_LONGEST_GROUP = 200

_DAYS = re.compile(r"[1-9][0-9]?")


@implementer(IConsumer, IPushProducer)
class _Taking:
    """A viewer that takes the guide, and is let go when that takes too long."""

    def __init__(self, request: Request, clock: IReactorTime) -> None:
        self._request = request
        self._clock = clock
        self._producer: Any = None
        self._abort: Callable[[], object] = request.channel.forceAbortClient
        self._idle: IDelayedCall | None = None
        self._whole = clock.callLater(LONGEST, self._abort)

    def over(self) -> None:
        """It has ended in one way or the other."""
        for timer in (self._idle, self._whole):
            if timer is not None and timer.active():
                timer.cancel()

    # IConsumer, for the child

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """The child is there."""
        self._producer = producer
        self._request.registerProducer(self, streaming)

    def unregisterProducer(self) -> None:
        """The child has ended."""
        self._request.unregisterProducer()

    def write(self, data: bytes) -> None:
        """On to the viewer."""
        self._request.write(data)

    # IPushProducer, for the viewer's connection

    def pauseProducing(self) -> None:
        """The viewer takes nothing now."""
        if self._idle is None:
            self._idle = self._clock.callLater(PATIENCE, self._abort)
        self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        """The viewer has taken everything."""
        idle, self._idle = self._idle, None
        if idle is not None and idle.active():
            idle.cancel()
        self._producer.resumeProducing()

    def stopProducing(self) -> None:
        """The viewer has left."""
        self._producer.stopProducing()


class GuideResource(AnswerResource):
    """
    The guide.

    :param pipe: see `iptvd.children.Children.pipe`.
    :param wall: seconds since the epoch.
    :param revision: changes with what is shown; 0 while there is nothing.
    :param days: how many days are told where none are asked for.
    :param packed: whether it is a gzip file, rather than text that may be sent in gzip.
    :param slots: shared by all forms of it.
    """

    open_to_pages = True

    def __init__(
        self,
        database: Path,
        pipe: Callable[[Sequence[str], IConsumer, bytes], Deferred[tuple[int, bytes]]],
        revision: Callable[[], Awaitable[int]],
        days: Callable[[], int],
        packed: bool,
        slots: DeferredSemaphore,
        clock: IReactorTime,
        wall: Callable[[], float],
    ) -> None:
        super().__init__()
        self._database = database
        self._pipe = pipe
        self._revision = revision
        self._days = days
        self._packed = packed
        self._slots = slots
        self._clock = clock
        self._wall = wall

    async def answer(self, request: Request) -> bytes | None:
        """The guide, or 304 when it is as it was."""
        asked = argument(request, "days")
        if asked and (_DAYS.fullmatch(asked) is None or int(asked) > MOST_DAYS):
            raise Refusal(400, f"days is a number from 1 to {MOST_DAYS}")
        wanted = Asked(
            caller_of(request).base_url,
            int(asked or self._days()),
            argument(request, "group")[:_LONGEST_GROUP],
            groups_of(request),
        )
        revision = await self._revision()
        if not revision:
            raise Refusal(503, "The guide is being put together.", (("Retry-After", "5"),))
        # What is over is left out day by day.
        told = (__version__, revision, wanted, int(self._wall()) // 86400)
        etag = f'"{blake2b(repr(told).encode("utf-8", "replace"), digest_size=12).hexdigest()}"'
        in_gzip = not self._packed and accepts_gzip(request)
        self._describe(request, etag, in_gzip)
        if is_current(request, etag):
            request.setResponseCode(304)
            return b""
        if request.method == b"HEAD":
            return b""
        argv = [sys.executable, "-m", "iptvd.epg.export", str(self._database)]
        await self._write(request, [*argv, "--gzip"] if in_gzip or self._packed else argv, bytes(wanted))
        request.finish()
        return None

    async def _write(self, request: Request, argv: Sequence[str], told: bytes) -> None:
        await self._slots.acquire()
        taking = _Taking(request, self._clock)
        try:
            status, _ = await self._pipe(argv, taking, told)
            if status != 0:
                raise StoreError(f"the guide could not be written (status {status})")
        finally:
            taking.over()
            self._slots.release()

    def _describe(self, request: Request, etag: str, in_gzip: bool) -> None:
        request.setHeader("Content-Type", "application/gzip" if self._packed else "text/xml; charset=utf-8")
        request.setHeader("X-Content-Type-Options", "nosniff")
        request.setHeader("Cache-Control", "no-cache")
        # Weak: the same guide in gzip and not, and packed again.
        request.setHeader("ETag", f"W/{etag}")
        if not self._packed:
            request.setHeader("Vary", "Accept-Encoding")
        if in_gzip:
            request.setHeader("Content-Encoding", "gzip")
