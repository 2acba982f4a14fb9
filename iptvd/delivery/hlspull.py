"""
An HLS source as one steady stream of MPEG-TS, like any other upstream.

Three things go on at once. The playlist is followed, as RFC 8216 section 6.3.4 has it. Segments are fetched, one at a
time and one ahead of the one being delivered. And what is due of them is delivered, a little every `STEP`. Everything
that has to do with delivery happens in `_turn`, which only the clock calls: nothing that arrives or fails is acted on
while it does.

A playlist that is overdue, or that fails twice in a row, ends the source while there are still segments of it to play.
What is here of them is delivered at once then: whoever reads goes on playing that while another source is connected.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from iptvd.delivery.hls_freshness import LEAST_TARGET, OVERDUE
from iptvd.delivery.hlsfetch import Asks, HlsFetcher
from iptvd.delivery.hlspiece import PACKET, NeedsRemux, Piece, Unplayable
from iptvd.delivery.opening import Opened, Opener, SourceGone
from iptvd.delivery.pacing import Pace
from iptvd.delivery.segments import SegmentCache
from iptvd.errors import UpstreamError
from iptvd.log import Log
from iptvd.model import Source
from iptvd.protocols.hls_position import Position, choose
from iptvd.protocols.hls_values import MediaPlaylist, MultivariantPlaylist
from iptvd.protocols.sniff import Media, content_type
from iptvd.protocols.upstream import Upstream

#: Seconds between two deliveries.
STEP = 0.1
#: Times in a row that a playlist cannot be had until it is given up.
MOST_FAILURES = 2
#: Seconds that a playlist which is read again may take, however late it is already.
LEAST_PATIENCE = 1.0
#: Segments in a row that may be missing.
MOST_MISSING = 3
#: Segments in memory: the one being delivered and the next.
PIECES = 2
#: Target durations ahead beyond which it does not matter how many there are.
FAR_AHEAD = 10


@frozen
class _Media:
    """Where the segments come from: the media playlist, and what it may import."""

    url: str
    variables: Mapping[str, str]


class HlsUpstream(Upstream):
    """
    Reads one HLS source.

    It ends without an error after the last segment of a playlist that has ended; with `NeedsRemux` when the source is
    no MPEG-TS or its sound is elsewhere, `SourceGone` when it has to be resolved anew, `Unplayable` when it is
    encrypted for players only, and any other `UpstreamError` when it is lost.

    :param cache: see `HlsFetcher`.
    :param sliced: see `iptvd.slices.Slicer`.
    :param cap: peak bits a second that a variant may have; 0 is no limit.
    :ivar on_discontinuity: called before the first byte of what does not carry on what was delivered last.
    """

    log = Log()

    def __init__(
        self,
        opener: Asks,
        cache: SegmentCache,
        source: Source,
        clock: IReactorTime,
        sliced: Callable[[Iterator[object]], Awaitable[None]],
        cap: int = 0,
    ) -> None:
        super().__init__()
        self.on_discontinuity: Callable[[], object] = lambda: None
        self._source = source
        self._clock = clock
        self._cap = cap
        self._fetcher = HlsFetcher(opener, cache, source, clock, sliced)
        self._position = Position()
        self._pace = Pace()
        self._pieces: deque[Piece] = deque()
        self._current: Piece | None = None
        self._media: _Media | None = None
        self._following: Deferred[None] | None = None
        self._fetching: Deferred[UpstreamError | None] | None = None
        self._timer: IDelayedCall | None = None
        self._target = LEAST_TARGET
        self._paused = False
        self._broken = False
        self._missing = 0
        # What it will end with when all that is here is delivered.
        self._last_word: UpstreamError | None = None
        # Bytes a second of media, as it last was: for segments whose size is not told.
        self._rate = 0.0

    def start(self) -> None:
        """Begin. What goes wrong, it ends with."""
        following = Deferred.fromCoroutine(self._follow())
        self._following = following
        following.addErrback(self._failed)

    # The playlist

    async def _follow(self) -> None:
        began = changed_at = self._clock.seconds()
        self._media, playlist = await self._find_media()
        failures = 0
        while True:
            self._target = max(playlist.target_duration, LEAST_TARGET)
            changed = self._position.see(playlist)
            if changed:
                changed_at = began
                self._soon()
            if playlist.ended:
                return
            end = changed_at + (1 + OVERDUE) * self._target
            now = self._clock.seconds()
            # What could not be had tells nothing but that it is late.
            if (now if failures else began) >= end:
                late = now - changed_at - self._target
                raise UpstreamError(504, f"the origin's playlist is overdue by {late:.0f} s")
            wait = self._target if changed else self._target / 2
            await deferLater(self._clock, max(0.0, began + wait - now))
            began = self._clock.seconds()
            try:
                playlist = await self._again(self._media, max(end - began, LEAST_PATIENCE))
                failures = 0
            except SourceGone:
                raise
            except UpstreamError as error:
                failures += 1
                if failures >= MOST_FAILURES:
                    raise
                self.log.info("a playlist could not be read again: {reason}", reason=error.sentence)

    async def _find_media(self) -> tuple[_Media, MediaPlaylist]:
        url = self._source.url
        playlist = await self._fetcher.playlist(url, {})
        if isinstance(playlist, MediaPlaylist):
            return _Media(url, {}), playlist
        choice = choose(playlist, self._cap)
        url = choice.variant.uri
        if choice.audio is not None:
            sentence = "its sound comes apart from its picture, which takes ffmpeg to join"
            raise NeedsRemux(sentence, (url, choice.audio.uri))
        media = await self._fetcher.playlist(url, playlist.variables)
        return _Media(url, playlist.variables), _only_media(media)

    async def _again(self, media: _Media, patience: float) -> MediaPlaylist:
        """The playlist as it is now."""
        work = Deferred.fromCoroutine(self._fetcher.playlist(media.url, media.variables))
        try:
            return _only_media(await work.addTimeout(patience, self._clock))
        except TimeoutError:
            raise UpstreamError(504, "the origin's playlist does not come in time") from None

    # Segments

    def _fetch_next(self) -> None:
        """Begin with the next segment, unless one is being fetched or enough are here."""
        if self._fetching is not None or len(self._pieces) >= PIECES:
            return
        following = self._position.take()
        if following is None:
            if self._position.done and not self._pieces:
                self._close()
                self._end(None)
            return
        piece = Piece(following.segment, following.broken, self._soon)
        self._pieces.append(piece)
        if piece.segment.gap:
            piece.give_up()
            self._fetched(UpstreamError(502, "the origin is missing it itself"))
            return
        work = Deferred.fromCoroutine(self._fetcher.segment(piece))
        self._fetching = work
        work.addCallbacks(self._fetched, self._failed)

    def _fetched(self, error: UpstreamError | None) -> None:
        self._fetching = None
        self._soon()
        if error is None:
            self._missing = 0
            return
        self._missing += 1
        self.log.info("a segment is left out: {reason}", reason=error.sentence)
        if self._missing >= MOST_MISSING:
            sentence = f"{MOST_MISSING} segments in a row cannot be had: {error.sentence}"
            self._failed(Failure(UpstreamError(error.status, sentence)))

    # Delivery

    def _soon(self) -> None:
        """There may be something to do. While a step is being waited for, that will see to it."""
        if self._timer is None and not self.ended:
            self._timer = self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._timer = None
        if self._last_word is not None:
            self._wind_up(self._last_word)
            return
        delivered = False
        while not self._paused and not self.ended:
            piece = self._current or self._begin()
            if piece is None:
                break
            delivered = self._deliver_due(piece) or delivered
            if self.ended or not piece.whole or piece.taken < piece.received:
                break
            self._leave(piece)
        if self.ended:
            return
        self._fetch_next()
        waiting = any(piece.available for piece in self._pieces)
        if not self.ended and self._timer is None and not self._paused and (delivered or waiting):
            self._timer = self._clock.callLater(STEP, self._turn)

    def _begin(self) -> Piece | None:
        """The next piece's turn."""
        if not self._pieces:
            return None
        piece = self._pieces[0]
        if not piece.available and not piece.whole:
            # Its time begins with its first byte.
            return None
        target, playlist = self._target, self._position.playlist
        here = sum(each.segment.duration for each in self._pieces)
        ahead = here + self._position.ahead(FAR_AHEAD * target)
        ended = playlist is not None and playlist.ended
        self._pace.begin(self._clock.seconds(), piece.segment.duration, ahead, target, ended)
        self._current = piece
        self._broken = self._broken or piece.broken
        self._fetcher.keep(piece.segment)
        return piece

    def _deliver_due(self, piece: Piece) -> bool:
        """Deliver what is due of a piece."""
        share = self._pace.share(self._clock.seconds())
        size = self._size_of(piece)
        due = piece.received if share >= 1.0 else int(size * share) // PACKET * PACKET
        if not piece.whole:
            due = min(due, piece.received // PACKET * PACKET)
        return self._deliver_up_to(piece, due)

    def _deliver_up_to(self, piece: Piece, due: int) -> bool:
        """Deliver a piece up to so many bytes of it."""
        delivered = False
        while piece.available and piece.taken < due and not self._paused and not self.ended:
            if self._broken:
                self._broken = False
                self.on_discontinuity()
                continue
            part = piece.take(due - piece.taken)
            delivered = True
            self._deliver(part)
        return delivered

    def _size_of(self, piece: Piece) -> int:
        """Bytes of a piece altogether, as far as that can be told."""
        if piece.whole:
            return piece.received
        if piece.expected is not None:
            return max(piece.expected, piece.received)
        return max(piece.received, int(self._rate * piece.segment.duration))

    def _leave(self, piece: Piece) -> None:
        """A piece is delivered."""
        self._pieces.popleft()
        self._current = None
        if piece.lost:
            self._broken = True
        elif piece.segment.duration > 0:
            self._rate = piece.received / piece.segment.duration

    # The end

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, CancelledError):
            return
        if isinstance(error, NeedsRemux) and not error.inputs and self._media is not None:
            error = NeedsRemux(error.sentence, (self._media.url,))
        elif not isinstance(error, UpstreamError):
            self.log.failure("reading an HLS source failed", failure=failure)
            error = UpstreamError(502, "the source cannot be read because of an error in iptvd: see its log")
        here = any(piece.available for piece in self._pieces)
        if here and not isinstance(error, NeedsRemux | Unplayable):
            self._stop_fetching()
            self._last_word = error
            self._soon()
        else:
            self._close()
            self._end(error)

    def _wind_up(self, error: UpstreamError) -> None:
        """Deliver what is here as fast as it is taken, and end."""
        while self._pieces and not self._paused and not self.ended:
            piece = self._pieces[0]
            if not piece.whole:
                piece.give_up()
            if piece is not self._current:
                self._current = piece
                self._broken = self._broken or piece.broken
            self._deliver_up_to(piece, piece.received)
            if piece.taken >= piece.received:
                self._leave(piece)
        if not self._pieces and not self.ended:
            self._close()
            self._end(error)

    def _close(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        self._stop_fetching()
        self._current = None
        self._pieces.clear()

    def _stop_fetching(self) -> None:
        for work in (self._following, self._fetching):
            if work is not None:
                work.cancel()
        self._following = self._fetching = None
        self._fetcher.close()

    # IPushProducer

    def pauseProducing(self) -> None:
        """Deliver nothing; what is here stays, and no more segments are fetched."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Deliver again."""
        if self._paused:
            self._paused = False
            self._soon()

    def stopProducing(self) -> None:
        """Close every connection at once."""
        self.ended = True
        self._held.clear()
        self._close()


async def open_hls(
    opener: Opener,
    cache: SegmentCache,
    source: Source,
    clock: IReactorTime,
    sliced: Callable[[Iterator[object]], Awaitable[None]],
    cap: int = 0,
) -> Opened:
    """
    Open an HLS source as a stream: its first bytes are there, and are MPEG-TS.

    :raises UpstreamError: as `HlsUpstream` ends, when it does before its first byte.
    """
    upstream = HlsUpstream(opener, cache, source, clock, sliced, cap)
    upstream.start()
    try:
        await opener.first_media(upstream)
    except BaseException:
        upstream.stopProducing()
        raise
    return Opened(upstream, 200, (("Content-Type", content_type(Media.TS)),), Media.TS)


def _only_media(playlist: MediaPlaylist | MultivariantPlaylist) -> MediaPlaylist:
    if isinstance(playlist, MultivariantPlaylist):
        raise UpstreamError(502, "the origin's playlist of variants leads to another one")
    return playlist
