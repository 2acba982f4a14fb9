"""
What an HLS source consists of, fetched: playlists, keys, initialization sections, and segments as they arrive.

Requests follow each other on the connections that there are (`iptvd.protocols.kept`). A segment's bytes are decrypted
as they come, and looked at before any of them is passed on: a web page or the wrong key is a failure while the segment
can still be asked for again.

All but playlists comes by way of the segment cache, so that viewers of the same channel's HLS form and we cost the
origin one fetch. What was fetched for us stays there until it is delivered, as a viewer who comes may still want it,
and no longer; and it needs no connection of its own, as whoever reads it has one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Protocol

from twisted.internet.defer import TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from iptvd.delivery.decrypt import BLOCK, Decryption, implicit_iv
from iptvd.delivery.hlspiece import MAX_SEGMENT, Arrival, NeedsRemux, Piece, Unplayable
from iptvd.delivery.locator import Locator, locate
from iptvd.delivery.opening import Ask, Opened, refusal
from iptvd.delivery.segments import KEY_LIFE, SegmentCache
from iptvd.delivery.shelf import Terms, length_of
from iptvd.delivery.slots import Slot
from iptvd.delivery.whole import Whole
from iptvd.errors import ProtocolError, UpstreamError
from iptvd.model import Source
from iptvd.protocols.hls_playlist import Reading
from iptvd.protocols.hls_values import (
    ByteRange,
    InitSection,
    Key,
    KeyMethod,
    MediaPlaylist,
    MultivariantPlaylist,
    Segment,
)
from iptvd.protocols.http_upstream import HTTPUpstream, Kept
from iptvd.protocols.kept import KeptConnections
from iptvd.protocols.m3u8 import MAX_BODY, Role
from iptvd.protocols.sniff import Media, sniff
from iptvd.protocols.upstream import Upstream

#: Bytes of an initialization section.
MAX_INIT = 1024 * 1024
#: Seconds for all of a playlist, a key or an initialization section.
WHOLE_TIMEOUT = 10.0
#: Seconds until a segment that failed is asked for a second time.
RETRY = 0.5
#: Bytes of playlist that are read in one go; what is longer is read in slices.
AT_ONCE = 65536
#: Keys that are remembered, and names of segments.
KEYS = 8
NAMES = 8
#: Seconds that a segment is kept for others beyond its turn. A player that comes begins with the one that is being
#: delivered or a later one: it begins three target durations from the end, as we do (RFC 8216 section 6.3.3).
BEYOND = 1.0


_PLAIN = Ask()


class Asks(Protocol):
    """Asks for a URL that belongs to a source; `iptvd.delivery.opening.Opener` does."""

    async def http(self, source: Source, url: str, ask: Ask = _PLAIN, kept: Kept | None = None) -> HTTPUpstream:
        """
        The response, whatever its status, on a connection that is kept for more where there is one.

        :raises UpstreamError: when none came.
        """

    async def open_url(self, source: Source, url: str, ask: Ask, kept: Kept | None = None) -> Opened:
        """
        Likewise, but for something finite.

        :raises UpstreamError: for an error status or none at all.
        """


class HlsFetcher:
    """
    Fetches what belongs to one HLS source.

    :param cache: what viewers of its HLS form have in common with us is fetched once.
    :param sliced: see `iptvd.slices.Slicer`.
    """

    def __init__(
        self,
        opener: Asks,
        cache: SegmentCache,
        source: Source,
        clock: IReactorTime,
        sliced: Callable[[Iterator[object]], Awaitable[None]],
    ) -> None:
        self._opener = opener
        self._cache = cache
        self._source = source
        self._clock = clock
        self._sliced = sliced
        self._kept = KeptConnections(clock)
        self._keys: dict[str, bytes] = {}
        self._init: tuple[InitSection, bytes] | None = None
        # What the attempt that is made now has asked for.
        self._asked: list[tuple[Locator, Ask, Role]] = []
        # The numbers of the segments that had these names last.
        self._numbers: dict[tuple[str, ByteRange | None], int] = {}

    def close(self) -> None:
        """Close the connections that rest."""
        self._kept.close()

    async def playlist(self, url: str, variables: Mapping[str, str]) -> MediaPlaylist | MultivariantPlaylist:
        """
        A playlist as it is now.

        :param variables: what the multivariant playlist that led here defined.
        :raises SourceGone: when the origin does not give it any more.
        :raises UpstreamError: when it cannot be had or understood.
        """
        upstream = await self._opener.http(self._source, url, _PLAIN, self._kept)
        if upstream.head is not None and upstream.head.status != 200:
            upstream.stopProducing()
            raise refusal(upstream.head.status)
        body = await self._whole(upstream, MAX_BODY, "playlist")
        try:
            reading = Reading(body, upstream.url, variables)
            if len(body) > AT_ONCE:
                await self._sliced(iter(reading))
            else:
                for _ in reading:
                    pass
            return reading.result()
        except ProtocolError as error:
            raise UpstreamError(502, f"the origin's playlist cannot be used: {error.sentence}") from None

    async def segment(self, piece: Piece) -> UpstreamError | None:
        """
        Fetch a piece's segment; when that fails, once more.

        :returns: why it could not be had, in which case what there is of it has been cut to whole packets.
        :raises NeedsRemux, Unplayable: when no further segment will be any better.
        """
        error = await self._attempt(piece)
        if error is not None:
            await deferLater(self._clock, RETRY)
            error = await self._attempt(piece)
        if error is not None:
            piece.give_up()
        return error

    def keep(self, segment: Segment) -> None:
        """A segment begins to be delivered: others may want it for as long as that takes."""
        locator, ask = locate(self._source, segment.uri), _ask(segment.byte_range)
        self._cache.keep(locator, ask, Role.SEGMENT, segment.duration + BEYOND)

    async def _attempt(self, piece: Piece) -> UpstreamError | None:
        self._asked.clear()
        try:
            await self._segment(piece)
        except (NeedsRemux, Unplayable):
            raise
        except UpstreamError as error:
            # Whatever came is not what the next attempt is to have.
            for asked in self._asked:
                self._cache.forget(*asked)
            return error
        return None

    async def _segment(self, piece: Piece) -> None:
        segment = piece.segment
        known = piece.restart()
        decryption = await self._decryption(segment.key, segment.sequence)
        if piece.prefix is None:
            piece.prefix = await self._prefix(segment.init, segment.sequence, piece.broken)
        if not known:
            piece.add(piece.prefix)
        self._name(segment)
        # It is fetched when the one before it begins to be delivered.
        life = segment.duration + BEYOND
        upstream, size, skip = await self._open(segment.uri, segment.byte_range, Role.SEGMENT, life)
        length = segment.byte_range.length if segment.byte_range is not None else None
        if length is not None or size is not None:
            piece.expected = len(piece.prefix) + (length or size or 0)
        known = max(0, known - len(piece.prefix))
        # What is more than was asked for is not waited for.
        exact = size is not None and size == length
        body = Arrival(upstream, piece, decryption, self._clock, skip, length, exact, known)
        await body.done

    def _name(self, segment: Segment) -> None:
        """A segment is about to be asked for: another one that had its name before is not meant."""
        name = (segment.uri, segment.byte_range)
        if self._numbers.pop(name, segment.sequence) != segment.sequence:
            self._cache.forget(locate(self._source, segment.uri), _ask(segment.byte_range), Role.SEGMENT)
        self._numbers[name] = segment.sequence
        if len(self._numbers) > NAMES:
            del self._numbers[next(iter(self._numbers))]

    async def _open(
        self, url: str, byte_range: ByteRange | None, role: Role, life: float
    ) -> tuple[Upstream, int | None, int]:
        """What is at a URL, its length if that is told, and how many bytes of it come before what was asked for."""
        ask, locator = _ask(byte_range), locate(self._source, url)
        terms = Terms(life, "", lambda: Slot(lambda: None), finish=False)
        self._asked.append((locator, ask, role))
        opened = await self._cache.open(
            locator, ask, role, terms, lambda: self._opener.open_url(self._source, url, ask, self._kept)
        )
        upstream, skip = opened.upstream, 0
        if upstream is None:
            raise refusal(opened.status)
        if byte_range is not None:
            start, partial = byte_range.start, opened.status == 206
            # An origin that knows no byte ranges answers with all of it.
            skip = 0 if partial else start
            given = next((value for name, value in opened.headers if name == "Content-Range"), "")
            if (partial and not given.strip().startswith(f"bytes {start}-")) or skip > MAX_SEGMENT:
                upstream.stopProducing()
                raise UpstreamError(502, "the origin sends another part of a segment than the one asked for")
        return upstream, length_of(opened.headers), skip

    async def _prefix(self, init: InitSection | None, sequence: int, broken: bool) -> bytes:
        """An initialization section where it has to come, or come again; else nothing."""
        if init is None:
            return b""
        if self._init is not None and self._init[0] == init:
            return self._init[1] if broken else b""
        decryption = await self._decryption(init.key, sequence)
        upstream, _, skip = await self._open(init.uri, init.byte_range, Role.INIT, KEY_LIFE)
        data = await self._whole(upstream, MAX_INIT, "initialization section")
        if init.byte_range is not None:
            data = data[skip : skip + init.byte_range.length]
        if decryption is not None:
            try:
                data = decryption.update(data) + decryption.finish()
            except ProtocolError as error:
                raise UpstreamError(502, error.sentence) from None
        if sniff(data, final=True) is not Media.TS:
            raise NeedsRemux("its segments are fragments of MP4, which takes ffmpeg to make MPEG-TS of")
        self._init = init, data
        return data

    async def _decryption(self, key: Key | None, sequence: int) -> Decryption | None:
        if key is None:
            return None
        if key.method is KeyMethod.SAMPLE_AES:
            raise Unplayable("its segments are encrypted with SAMPLE-AES: only the channel's HLS form can be played")
        if key.method is KeyMethod.OTHER:
            raise Unplayable("its segments are under rights management: only the channel's HLS form may be playable")
        value = key.value or self._keys.get(key.uri)
        if value is None:
            upstream, _, _ = await self._open(key.uri, None, Role.KEY, KEY_LIFE)
            value = await self._whole(upstream, BLOCK, "key")
            if len(value) != BLOCK:
                raise UpstreamError(502, f"the origin sent something else than a key of {BLOCK} bytes")
            self._keys[key.uri] = value
            if len(self._keys) > KEYS:
                del self._keys[next(iter(self._keys))]
        return Decryption(value, key.iv or implicit_iv(sequence))

    async def _whole(self, upstream: Upstream, limit: int, what: str) -> bytes:
        try:
            return await Whole(upstream, limit, what).done.addTimeout(WHOLE_TIMEOUT, self._clock)
        except TimeoutError:
            raise UpstreamError(504, f"the origin's {what} took longer than {WHOLE_TIMEOUT:g} s") from None


def _ask(byte_range: ByteRange | None) -> Ask:
    if byte_range is None:
        return _PLAIN
    return Ask(headers=(("Range", f"bytes={byte_range.start}-{byte_range.start + byte_range.length - 1}"),))
