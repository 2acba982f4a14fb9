"""Opening a source: either its first bytes are there and are media, or it failed with a reason."""

from __future__ import annotations

import os
from collections.abc import Sequence
from email.utils import formatdate
from pathlib import Path
from typing import BinaryIO, Protocol

from attrs import frozen
from twisted.internet.defer import TimeoutError

from iptvd.errors import ProtocolError, UpstreamError
from iptvd.model import Headers, Source, SourceKind
from iptvd.nearby import FarSource
from iptvd.protocols.file_upstream import FileUpstream
from iptvd.protocols.http1 import Framing, ResponseHead
from iptvd.protocols.http_upstream import Connect, HTTPUpstream, Kept, Timeouts, headers_for, open_http
from iptvd.protocols.process_upstream import IReactor, ProcessUpstream
from iptvd.protocols.ranges import (
    RangeNotSatisfiable,
    if_range_matches,
    parse_range,
    unsatisfied_content_range,
)
from iptvd.protocols.sniff import ENOUGH, Media, content_type, sniff
from iptvd.protocols.upstream import Upstream
from iptvd.store import Offload

#: What of an origin's head concerns the viewer of a file or segment.
_PASSED = (
    *("content-range", "accept-ranges", "etag", "last-modified", "content-type"),
    # It was not asked for, but some send it all the same.
    "content-encoding",
)

_TEXT = (Media.HTML, Media.TEXT)

_FILE_TYPES = {
    "mp4": "video/mp4",
    "m4v": "video/mp4",
    "mkv": "video/x-matroska",
    "webm": "video/webm",
    "avi": "video/x-msvideo",
    "mov": "video/quicktime",
    "ts": "video/mp2t",
    "mp3": "audio/mpeg",
    "aac": "audio/aac",
}


@frozen
class Ask:
    """
    What the viewer asked for.

    :ivar headers: ``Range``, ``If-Range`` and the like, to be passed on where the source understands them.
    """

    method: str = "GET"
    headers: Headers = ()

    def get(self, name: str) -> str | None:
        """The value of a header, None when it was not sent."""
        return next((value for given, value in self.headers if given.lower() == name.lower()), None)


@frozen
class Opened:
    """
    An open source.

    :ivar upstream: None for HEAD and for a range that cannot be had.
    :ivar status: what the viewer is answered: 200, 206, 304 or 416.
    :ivar headers: the response headers that come from the source.
    :ivar media: what the first bytes are, where they were looked at.
    """

    upstream: Upstream | None
    status: int
    headers: Headers
    media: Media | None = None


class FoundPlaylist(UpstreamError):  # noqa: N818 - what was found, not what went wrong
    """A source that promised a stream turned out to be an HLS playlist."""

    def __init__(self) -> None:
        super().__init__(406, "this channel is an HLS playlist")


class SourceGone(UpstreamError):  # noqa: N818 - what happened to it
    """An origin does not give something, which it may have given before: it may be had at another address now."""


def refusal(status: int) -> UpstreamError:
    """What an origin's error status becomes for a viewer."""
    if status in (404, 410):
        return SourceGone(404, f"the origin does not have it (it answered {status})")
    if status in (401, 403):
        return SourceGone(502, f"the origin refuses access (it answered {status})")
    if status in (429, 503):
        return UpstreamError(503, f"the origin is overloaded or full (it answered {status})")
    if status in (408, 504):
        return UpstreamError(504, f"the origin did not answer in time (it answered {status})")
    if status == 451:
        return UpstreamError(502, f"the origin refuses access (it answered {status})")
    return UpstreamError(502, f"the origin failed (it answered {status})")


class UpstreamObserver(Protocol):
    """Is told of every request to an origin, for the metrics."""

    def upstream_opened(self) -> None:
        """An origin was asked."""

    def upstream_failed(self, status: int) -> None:
        """It did not deliver; a viewer is answered with this status."""


class Opener:
    """
    Opens sources of every kind.

    :param user_agent: sent where a source's own headers have none.
    :param observer: is told of every request to an origin.
    :param far: connects for sources that may not lead to anything private.
    """

    def __init__(
        self,
        reactor: IReactor,
        connect: Connect,
        timeouts: Timeouts,
        offload: Offload,
        user_agent: str,
        observer: UpstreamObserver,
        far: Connect | None = None,
    ) -> None:
        self._reactor = reactor
        self._connect = connect
        self._far = far if far is not None else connect
        self._timeouts = timeouts
        self._offload = offload
        self._user_agent = user_agent
        self._observer = observer
        self._processes: set[ProcessUpstream] = set()

    async def open(self, source: Source, ask: Ask, extension: str) -> Opened:
        """
        Open a live stream or a file.

        :raises UpstreamError: when nothing can be played; `FoundPlaylist` when it is a playlist.
        """
        if source.path:
            return await self._open_file(source.path, ask, extension)
        if source.command:
            return await self._live(self._start(source.command))
        if source.kind is SourceKind.VOD:
            opened = await self.open_url(source, source.url, ask)
            return await self._checked_file(opened, ask, extension)
        upstream = await self.http(source, source.url)
        head = _head_of(upstream)
        if head.status != 200:
            upstream.stopProducing()
            raise refusal(head.status)
        return await self._live(upstream)

    def _start(self, command: Sequence[str]) -> ProcessUpstream:
        process = ProcessUpstream(self._reactor, command, self._processes.discard)
        self._processes.add(process)
        try:
            process.start()
        except UpstreamError:
            self._processes.discard(process)
            raise
        return process

    async def stop(self) -> None:
        """End what is still open of commands, and wait until they are reaped."""
        processes = list(self._processes)
        for process in processes:
            process.stopProducing()
        for process in processes:
            await process.reaped()

    def needs_no_headers(self, source: Source) -> bool:
        """Whether anyone may ask for what belongs to a source: our own name does not count as a header it needs."""
        return source.proxy is None and all(
            name.lower() == "user-agent" and value == self._user_agent for name, value in source.headers
        )

    async def http(self, source: Source, url: str, ask: Ask = Ask(), kept: Kept | None = None) -> HTTPUpstream:
        """
        Ask for a URL that belongs to a source, with the source's headers.

        :param kept: see `iptvd.protocols.http_upstream.open_http`.
        :raises UpstreamError: when no response came.
        """
        try:
            headers = headers_for(url, source.headers, source.url)
        except ProtocolError as error:
            raise UpstreamError(502, f"the origin's address cannot be used: {error.sentence}") from None
        if not any(name.lower() == "user-agent" for name, _ in headers):
            headers = (*headers, ("User-Agent", self._user_agent))
        self._observer.upstream_opened()
        try:
            upstream = await open_http(
                url,
                (*headers, *ask.headers),
                self._far if isinstance(source, FarSource) else self._connect,
                self._reactor,
                self._timeouts,
                method=ask.method,
                verify_tls=source.verify_tls,
                proxy=source.proxy,
                kept=kept,
            )
        except UpstreamError as error:
            self._observer.upstream_failed(error.status)
            raise
        status = _head_of(upstream).status
        if status >= 400 and status != 416:
            refused = refusal(status)
            self._observer.upstream_failed(refused.status)
            if source.renew is not None and isinstance(refused, SourceGone):
                source.renew()
        return upstream

    async def open_url(self, source: Source, url: str, ask: Ask, kept: Kept | None = None) -> Opened:
        """
        Open a finite thing by URL: a film, a segment, a key.

        Status, length, type, validators and ranges are passed on.

        :param kept: see `iptvd.protocols.http_upstream.open_http`.
        :raises UpstreamError: for an error status or none at all.
        """
        upstream = await self.http(source, url, ask, kept)
        head = _head_of(upstream)
        headers = _passed(head)
        if head.status in (200, 206) and ask.method != "HEAD":
            return Opened(upstream, head.status, headers)
        upstream.stopProducing()
        if head.status in (200, 206, 304):
            return Opened(None, head.status, headers)
        if head.status == 416:
            told = tuple((name, value) for name, value in headers if name == "Content-Range")
            return Opened(None, 416, told)
        raise refusal(head.status)

    async def first_media(self, upstream: Upstream) -> Media:
        """
        What the first bytes are; they stay in the upstream.

        :raises UpstreamError: when none come in time, or it ends before the first.
        """
        enough = 1
        end = self._reactor.seconds() + self._timeouts.head
        while True:
            left = max(0.0, end - self._reactor.seconds())
            try:
                data = await upstream.first_bytes(enough).addTimeout(left, self._reactor)
            except TimeoutError:
                little = "too little" if enough > 1 else "nothing"
                raise UpstreamError(504, f"the origin sent {little} within {self._timeouts.head:g} s") from None
            if not data:
                raise UpstreamError(502, "the origin sent nothing")
            media = sniff(data, final=upstream.ended or len(data) >= ENOUGH)
            if media is not None:
                return media
            enough = len(data) + 1

    async def _live(self, upstream: Upstream) -> Opened:
        try:
            media = await self.first_media(upstream)
        except BaseException:
            upstream.stopProducing()
            raise
        if media in (Media.HLS, *_TEXT):
            upstream.stopProducing()
            if media is Media.HLS:
                raise FoundPlaylist
            raise UpstreamError(502, "the origin sent a web page or text instead of a stream")
        return Opened(upstream, 200, (("Content-Type", content_type(media)),), media)

    async def _checked_file(self, opened: Opened, ask: Ask, extension: str) -> Opened:
        headers = dict(opened.headers)
        whole = opened.status == 200
        # What a part is can only be told from a start that is long enough; players ask for bytes 0 to 1 as a trial.
        long_enough = int(headers.get("Content-Length", 0)) >= ENOUGH
        part = headers.get("Content-Range", "").startswith("bytes 0-") and long_enough
        if opened.upstream is not None and (whole or part):
            try:
                media = await self.first_media(opened.upstream)
            except BaseException:
                opened.upstream.stopProducing()
                raise
            if media in _TEXT:
                opened.upstream.stopProducing()
                raise UpstreamError(502, "the origin sent a web page or text instead of a file")
            if media is Media.HLS:
                opened.upstream.stopProducing()
                raise FoundPlaylist
        if opened.status in (200, 206):
            own = headers.get("Content-Type", "application/octet-stream")
            headers["Content-Type"] = _FILE_TYPES.get(extension, own)
        return Opened(opened.upstream, opened.status, tuple(headers.items()))

    async def _open_file(self, path: str, ask: Ask, extension: str) -> Opened:
        def look() -> tuple[BinaryIO, int, str, str]:
            file = Path(path).open("rb")  # noqa: SIM115 - it stays open for the body
            facts = os.fstat(file.fileno())
            etag = f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'
            return file, facts.st_size, etag, formatdate(facts.st_mtime, usegmt=True)

        try:
            file, size, etag, modified = await self._offload(look)
        except OSError as error:
            raise UpstreamError(502, f"the file cannot be opened: {error.strerror}") from None
        if not size:
            file.close()
            raise UpstreamError(502, "the file is empty")
        headers: list[tuple[str, str]] = [
            ("Content-Type", _FILE_TYPES.get(extension, "application/octet-stream")),
            ("Accept-Ranges", "bytes"),
            ("ETag", etag),
            ("Last-Modified", modified),
        ]
        wanted = ask.get("Range")
        condition = ask.get("If-Range")
        if condition is not None and not if_range_matches(condition, etag, modified):
            wanted = None
        try:
            chosen = parse_range(wanted, size)
        except RangeNotSatisfiable:
            file.close()
            return Opened(None, 416, (("Content-Range", unsatisfied_content_range(size)),))
        start, stop = (chosen.start, chosen.stop) if chosen else (0, size)
        headers.append(("Content-Length", str(stop - start)))
        if chosen:
            headers.append(("Content-Range", chosen.content_range(size)))
        status = 206 if chosen else 200
        if ask.method == "HEAD":
            file.close()
            return Opened(None, status, tuple(headers))
        return Opened(FileUpstream(file, start, stop - start, self._offload), status, tuple(headers))


def _passed(head: ResponseHead) -> Headers:
    """What of an origin's head a viewer is told."""
    headers = tuple((name.title(), head.get(name)) for name in _PASSED if head.get(name))
    try:
        # Beside chunks a length means nothing (RFC 9112 section 6.3).
        if head.framing() is Framing.LENGTH:
            headers = (*headers, ("Content-Length", str(head.content_length())))
    except ProtocolError:
        # It answered HEAD, and to GET it will not be able to: that is when to tell.
        pass
    return headers


def _head_of(upstream: HTTPUpstream) -> ResponseHead:
    if upstream.head is None:
        raise UpstreamError(502, "the origin did not answer")
    return upstream.head


def playable(sources: Sequence[tuple[str, Source]], kind: SourceKind) -> list[tuple[str, Source]]:
    """Those of a channel's sources that come in the form in which it is played, best first."""
    return [(provider, source) for provider, source in sources if source.kind is kind]
