"""
Going on with a file at the byte where its origin dropped it, and with a live stream that its origin ended.

An origin is asked again only for what it can promise to be the rest of the same file: If-Range with the validator it
gave (RFC 9110 section 13.1.5). Whatever else it answers ends the body rather than corrupt it. A live stream has no
rest: it is asked for anew, and decoders find their way in it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from iptvd.errors import ProtocolError, UpstreamError
from iptvd.log import Log
from iptvd.model import Headers
from iptvd.protocols.heads import Framing, ResponseHead
from iptvd.protocols.http_upstream import HTTPUpstream
from iptvd.protocols.ranges import parse_content_range
from iptvd.protocols.upstream import Receiver, Upstream

#: Seconds before each attempt to go on; after the last the body is lost.
DELAYS = (0.1, 0.2, 0.5, 1.0, 2.0)
#: Bytes after which an origin that drops again is given all attempts anew.
PROGRESS = 65536

#: Asks the origin again, with these request headers; the answer is there, whatever its status.
Reopen = Callable[[Headers], Awaitable[HTTPUpstream]]

_CHANGED = "the origin has another version of the file now, or cannot continue it: start again"
#: Statuses that may be others a moment later.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


def ended_by_origin() -> UpstreamError:
    """Why a live stream is over that its origin has ended."""
    return UpstreamError(502, "the origin ended the stream")


class Body:
    """
    How much of a body has come, and whether its origin can be asked for the rest.

    :param head: of the response it is the body of, None where it came by other ways than HTTP.
    :param reopen: None where it is not to be asked for again.
    :param endless: whether it is a live stream.
    :ivar came: bytes of it so far.
    """

    def __init__(
        self, head: ResponseHead | None, clock: IReactorTime, reopen: Reopen | None, endless: bool = False
    ) -> None:
        self.came = 0
        self.endless = endless
        self._clock = clock
        self._reopen = reopen
        self._start = 0
        self._stop: int | None = None
        self._size: int | None = None
        self._validator = ""
        # What it is compared with, should it be asked for again.
        self._head = head if reopen is not None and not endless else None
        self._attempts = 0
        self._came_before = 0
        if head is not None:
            self._look_at(head)

    @property
    def left(self) -> int | None:
        """Bytes that are missing, None where only its end tells."""
        return None if self._stop is None else self._stop - self._start - self.came

    @property
    def resumable(self) -> bool:
        """Whether its origin may be asked for the rest, or for what comes now."""
        return self._reopen is not None and (self.endless or bool(self._validator))

    def _look_at(self, head: ResponseHead) -> None:
        length = _length(head)
        place: tuple[int, int, int | None] | None = (0, length, length) if length is not None else None
        known = head.status == 200
        if head.status == 206:
            try:
                place = parse_content_range(head.get("content-range"))
                known = length in (None, place[1] - place[0])
            except ProtocolError:
                known = False
        if place is not None and known:
            self._start, self._stop, self._size = place
        elif length is not None:
            self._stop = length
        if known and head.get("accept-ranges").lower() != "none":
            self._validator = validator(head)

    async def again(self, lost: UpstreamError) -> HTTPUpstream:
        """
        The upstream of what is missing.

        :param lost: why it is asked for.
        :raises UpstreamError: when there is none; ``lost`` itself where it cannot be asked for or does not come.
        """
        if self.came - self._came_before >= PROGRESS:
            self._attempts = 0
        self._came_before = self.came
        while self.resumable and self._attempts < len(DELAYS):
            assert self._reopen is not None
            delay = DELAYS[self._attempts]
            self._attempts += 1
            await deferLater(self._clock, delay)
            position = self._start + self.came
            try:
                upstream = await self._reopen(self._headers(position))
            except UpstreamError:
                continue
            head = upstream.head
            if head is not None and (_is_stream(head) if self.endless else self._continues(head, position)):
                return upstream
            upstream.stopProducing()
            if head is None or head.status not in _PASSING:
                raise lost if self.endless else UpstreamError(502, _CHANGED)
        raise lost

    def _headers(self, position: int) -> Headers:
        if self.endless:
            return ()
        last = "" if self._stop is None else str(self._stop - 1)
        return (("Range", f"bytes={position}-{last}"), ("If-Range", self._validator))

    def _continues(self, head: ResponseHead, position: int) -> bool:
        if head.status != 206 or self._head is None:
            return False
        for name in ("etag", "last-modified"):
            if head.get(name) and self._head.get(name) and head.get(name) != self._head.get(name):
                return False
        try:
            start, stop, size = parse_content_range(head.get("content-range"))
            length = _length(head)
        except ProtocolError:
            return False
        if start != position or length not in (None, stop - start):
            return False
        if self._stop not in (None, stop) or (None not in (size, self._size) and size != self._size):
            return False
        self._stop = stop
        return True


def _is_stream(head: ResponseHead) -> bool:
    """Whether a response may be a live stream: what says that it is text says why there is none."""
    return head.status == 200 and not head.get("content-type").lower().startswith("text/")


def _length(head: ResponseHead) -> int | None:
    return head.content_length() if head.framing() is Framing.LENGTH else None


def validator(head: ResponseHead) -> str:
    """What tells one version of a file from another for If-Range, empty when nothing strong does (RFC 9110 8.8)."""
    tag = head.get("etag")
    if tag:
        return tag if tag.startswith('"') else ""
    modified, date = _time(head.get("last-modified")), _time(head.get("date"))
    # Within a second it may have changed again (section 8.8.2.2).
    if modified is None or date is None or date - modified < timedelta(seconds=1):
        return ""
    return head.get("last-modified")


def _time(header: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo is not None else None


class ResumedUpstream(Upstream):
    """An upstream that ends where its length says, and is asked for again where it broke off."""

    log = Log()

    def __init__(self, upstream: Upstream, body: Body) -> None:
        super().__init__()
        self._inner = upstream
        self._body = body
        self._paused = False
        self._work: Deferred[None] | None = None

    def attach(self, receiver: Receiver) -> None:
        """See `Upstream.attach`."""
        self._receiver = receiver
        self._take(self._inner)

    # From the one it is made of

    def data_received(self, data: bytes | memoryview) -> None:
        """Pass it on."""
        if self.ended:
            return
        left = self._body.left
        if left is not None and len(data) > left:
            data = data[:left]
        self._body.came += len(data)
        self._deliver(data)
        if self._body.left == 0:
            self._over(None)

    def body_ended(self, error: UpstreamError | None) -> None:
        """It was all, or it broke off."""
        if self.ended:
            return
        if error is None and self._body.left:
            error = UpstreamError(502, "the origin closed the connection before it had sent everything")
        if error is None and self._body.endless:
            error = ended_by_origin()
        if error is None:
            self._over(None)
            return
        self._inner.stopProducing()
        self._work = Deferred.fromCoroutine(self._again(error))
        self._work.addErrback(self._lost)

    async def _again(self, lost: UpstreamError) -> None:
        upstream = await self._body.again(lost)
        self._work = None
        self._take(upstream)

    def _take(self, upstream: Upstream) -> None:
        self._inner = upstream
        upstream.attach(self)
        if self._paused:
            upstream.pauseProducing()

    def _lost(self, failure: Failure) -> None:
        self._work = None
        if self.ended:
            return
        if isinstance(failure.value, UpstreamError):
            self._over(failure.value)
        else:
            self.log.fault("going on with a file failed", failure)
            self._over(UpstreamError(502, "the origin was lost and could not be asked again"))

    def _over(self, error: UpstreamError | None) -> None:
        self._inner.stopProducing()
        self._end(error)

    # IPushProducer

    def pauseProducing(self) -> None:
        """Stop reading."""
        self._paused = True
        self._inner.pauseProducing()

    def resumeProducing(self) -> None:
        """Read on; what was held is delivered first."""
        self._paused = False
        self._inner.resumeProducing()

    def stopProducing(self) -> None:
        """Close it, and ask no more."""
        self.ended = True
        self._inner.stopProducing()
        if self._work is not None:
            self._work.cancel()
