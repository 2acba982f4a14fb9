"""One segment of an HLS source on its way: it arrives, is decrypted, looked at, held within bounds and passed on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from iptvd.delivery.decrypt import Decryption
from iptvd.errors import ProtocolError, UpstreamError
from iptvd.protocols.hls_values import Segment
from iptvd.protocols.sniff import ENOUGH, Media, sniff
from iptvd.protocols.upstream import Upstream

#: Bytes of a segment that are held at once; beyond, it is read as it is delivered.
HELD = 16 * 1024 * 1024
#: Bytes of a segment altogether.
MAX_SEGMENT = 256 * 1024 * 1024
#: Seconds without a byte after which a segment is given up.
SILENCE = 5.0
#: Bytes up to which what arrived in several pieces is passed on as one.
SMALL = 64 * 1024
#: Bytes of a packet of MPEG-TS: what is delivered is cut nowhere else.
PACKET = 188


class NeedsRemux(UpstreamError):  # noqa: N818 - what is needed, not what went wrong
    """
    The source is HLS that does not become MPEG-TS by putting its segments one after the other.

    :ivar inputs: the URLs of the media playlists to be put together: the picture's, then the sound's if that is apart.
    """

    def __init__(self, sentence: str, inputs: tuple[str, ...] = ()) -> None:
        super().__init__(502, sentence)
        self.inputs = inputs


class Unplayable(UpstreamError):  # noqa: N818 - what it is
    """The segments are encrypted in a way that only some players can undo, and we cannot."""

    def __init__(self, sentence: str) -> None:
        super().__init__(502, sentence)


class Piece:
    """
    One segment as it arrives.

    :ivar broken: it does not carry on what came before it.
    :ivar prefix: the initialization section that comes before it, None until that is known.
    :ivar whole: nothing more will come.
    :ivar lost: it could not be had, or not all of it.
    :ivar expected: bytes it will have, None while that is not known.
    :ivar received: bytes that came, ``taken`` those that were passed on.
    """

    def __init__(self, segment: Segment, broken: bool, arrived: Callable[[], None]) -> None:
        self.segment = segment
        self.broken = broken
        self.prefix: bytes | None = None
        self.whole = self.lost = False
        self.expected: int | None = None
        self.received = 0
        self.taken = 0
        self.paused = False
        self._arrived = arrived
        self._parts: deque[memoryview] = deque()
        self._is_ts = False
        self._flow: Upstream | None = None

    def flow_from(self, upstream: Upstream) -> None:
        """Pause this when too much is held."""
        self._flow = upstream
        self.paused = False

    def add(self, data: bytes | memoryview) -> None:
        """
        More of the segment, decrypted.

        :raises UpstreamError: when it turns out to be no MPEG-TS; `NeedsRemux` when it is other media.
        """
        if not data:
            return
        self._parts.append(memoryview(data))
        self.received += len(data)
        if not self._is_ts:
            self._look(final=False)
        if self.received - self.taken > HELD and self._flow is not None:
            self.paused = True
            self._flow.pauseProducing()
        if self._is_ts:
            self._arrived()

    def finish(self) -> None:
        """
        All of it has come.

        :raises UpstreamError: when that is nothing, or no MPEG-TS.
        """
        if not self._is_ts:
            self._look(final=True)
        self.whole = True

    def give_up(self) -> None:
        """Nothing more will come: what there is ends with its last whole packet."""
        self.whole = self.lost = True
        self._flow = None
        keep = max(self.taken, self.received - self.received % PACKET) if self._is_ts else 0
        while self.received > keep:
            last = self._parts.pop()
            cut = min(len(last), self.received - keep)
            self.received -= cut
            if cut < len(last):
                self._parts.append(last[: len(last) - cut])

    def restart(self) -> int:
        """It is asked for again: how many of its bytes are here already."""
        self._flow = None
        if not self._is_ts:
            self._parts.clear()
            self.received = 0
        return self.received

    @property
    def available(self) -> int:
        """Bytes that may be passed on now."""
        return self.received - self.taken if self._is_ts else 0

    def take(self, most: int) -> bytes | memoryview:
        """Some of them: at least one byte and at most ``most``."""
        part = self._parts.popleft()
        taken: bytes | memoryview = part
        if len(part) > most:
            self._parts.appendleft(part[most:])
            taken = part[:most]
        elif len(part) < most and len(part) < SMALL and self._parts:
            # What arrived in crumbs is passed on in one.
            parts = [part]
            size = len(part)
            while self._parts and size + len(self._parts[0]) <= min(most, SMALL):
                parts.append(self._parts.popleft())
                size += len(parts[-1])
            taken = b"".join(parts)
        self.taken += len(taken)
        if self.paused and self.received - self.taken < HELD // 2 and self._flow is not None:
            self.paused = False
            self._flow.resumeProducing()
        return taken

    def _look(self, final: bool) -> None:
        head = b"".join(self._parts)[:ENOUGH]
        if not head:
            raise UpstreamError(502, "the origin sent an empty segment")
        media = sniff(head, final)
        if media is None:
            return
        if media in (Media.HTML, Media.TEXT, Media.HLS, Media.UNKNOWN):
            what = "data that is no media" if media is Media.UNKNOWN else "a page or text"
            raise UpstreamError(502, f"the origin sent {what} instead of a segment")
        if media is not Media.TS:
            raise NeedsRemux(f"its segments are {media.value} and not MPEG-TS, which takes ffmpeg to change")
        self._is_ts = True


class Arrival:
    """
    A response's body on its way into a piece.

    :param skip: bytes at its start that are not wanted.
    :param length: bytes wanted after those, None for all.
    :param exact: whether the response is to end with those, so that its connection is fit for another request.
    :param known: bytes of the result that the piece has already, from an earlier attempt.
    :ivar done: fires when all is there, or fails with an `UpstreamError`.
    """

    def __init__(
        self,
        upstream: Upstream,
        piece: Piece,
        decryption: Decryption | None,
        clock: IReactorTime,
        skip: int,
        length: int | None,
        exact: bool,
        known: int,
    ) -> None:
        self.done: Deferred[None] = Deferred(lambda _: self._stop())
        self._upstream = upstream
        self._piece = piece
        self._decryption = decryption
        self._clock = clock
        self._skip = skip
        self._left = length
        self._exact = exact
        self._known = known
        self._timer: IDelayedCall = clock.callLater(SILENCE, self._silent)
        piece.flow_from(upstream)
        upstream.attach(self)

    def data_received(self, data: bytes | memoryview) -> None:
        if self.done.called:
            return
        self._timer.reset(SILENCE)
        data = self._cut(data)
        try:
            self._add(self._decryption.update(data) if self._decryption is not None else data)
        except UpstreamError as error:
            self._fail(error)
        else:
            if self._left == 0 and not self._exact:
                self._stop()
                self._finish()

    def body_ended(self, error: UpstreamError | None) -> None:
        if self.done.called:
            return
        if error is not None and (self._left is None or self._left > 0):
            self._fail(error)
        elif self._left:
            self._fail(UpstreamError(502, "the origin sent less of a segment than its playlist says there is"))
        else:
            self._stop()
            self._finish()

    def _cut(self, data: bytes | memoryview) -> bytes | memoryview:
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        return data

    def _add(self, data: bytes | memoryview) -> None:
        if self._known:
            known = min(self._known, len(data))
            self._known -= known
            data = data[known:]
        self._piece.add(data)
        if self._piece.received > MAX_SEGMENT:
            raise UpstreamError(502, f"the origin sent a segment of more than {MAX_SEGMENT >> 20} MiB")

    def _finish(self) -> None:
        try:
            if self._decryption is not None:
                self._add(self._decryption.finish())
            if self._known:
                raise UpstreamError(502, "the origin sent less of a segment than it had sent before")
            self._piece.finish()
        except ProtocolError as error:
            self.done.errback(UpstreamError(502, error.sentence))
        except UpstreamError as error:
            self.done.errback(error)
        else:
            self.done.callback(None)

    def _silent(self) -> None:
        if self._piece.paused:
            self._timer = self._clock.callLater(SILENCE, self._silent)
        else:
            self._fail(UpstreamError(504, f"the origin sent nothing of a segment for {SILENCE:g} s"))

    def _fail(self, error: UpstreamError) -> None:
        self._stop()
        self.done.errback(error)

    def _stop(self) -> None:
        if self._timer.active():
            self._timer.cancel()
        self._upstream.stopProducing()
