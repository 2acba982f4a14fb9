"""Opening a live source as MPEG-TS, whatever it is made of: a stream, a command, a playlist, or by way of ffmpeg."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from twisted.internet.interfaces import IReactorTime

from iptvd.delivery.hlspiece import NeedsRemux
from iptvd.delivery.hlspull import open_hls
from iptvd.delivery.opening import Ask, Opened, Opener
from iptvd.delivery.segments import SegmentCache
from iptvd.errors import UpstreamError
from iptvd.model import Source, SourceKind


class LiveSources:
    """
    Opens what a feed is made of.

    :param ffmpeg: the program's path, empty where there is none.
    :param cap: the highest bandwidth of an HLS variant, in bits a second; 0 for the best.
    :param cache: what an HLS source consists of is fetched once for us and for viewers of its HLS form.
    """

    def __init__(
        self,
        opener: Opener,
        cache: SegmentCache,
        clock: IReactorTime,
        sliced: Callable[[Iterator[object]], Awaitable[None]],
        ffmpeg: str,
        cap: int,
    ) -> None:
        self.cap = cap
        self._opener = opener
        self._cache = cache
        self._clock = clock
        self._sliced = sliced
        self._ffmpeg = ffmpeg

    async def open(self, source: Source, extension: str, part: Callable[[], None] = lambda: None) -> Opened:
        """
        Open it; its first bytes are there.

        :param part: called before an HLS source is read in a way that shares nothing with others who read it.
        :raises UpstreamError: when nothing can be played.
        """
        if source.kind is not SourceKind.HLS or not source.url:
            return await self._opener.open(source, Ask(), extension)
        try:
            return await open_hls(self._opener, self._cache, source, self._clock, self._sliced, self.cap)
        except NeedsRemux as needs:
            if source.proxy is not None:
                sentence = "this channel's HLS has to be remuxed by ffmpeg, which cannot go through the SOCKS proxy"
                raise UpstreamError(502, f"{sentence}: open its HLS form instead") from None
            if not self._ffmpeg:
                raise UpstreamError(502, "this channel's HLS has to be remuxed, and there is no ffmpeg") from None
            part()
            command = remux_command(self._ffmpeg, needs.inputs, source)
            return await self._opener.open(Source(SourceKind.TS, command=command), Ask(), "ts")


def remux_command(ffmpeg: str, inputs: tuple[str, ...], source: Source) -> tuple[str, ...]:
    """
    The command that puts media playlists, picture first, into one MPEG-TS without encoding anything.

    It speaks to HTTP only: a playlist can name neither a file nor a device of this machine.
    """
    headers = "".join(f"{name}: {value}\r\n" for name, value in source.headers)
    options: tuple[str, ...] = (
        "-protocol_whitelist",
        "http,https,tcp,tls,crypto,httpproxy",
        "-allowed_extensions",
        "ALL",
    )
    if headers:
        options = (*options, "-headers", headers)
    if not source.verify_tls:
        options = (*options, "-tls_verify", "0")
    command: tuple[str, ...] = (ffmpeg, "-nostdin", "-v", "error")
    for url in inputs:
        # In real time, else it comes in bursts of a segment.
        command = (*command, *options, "-re", "-f", "hls", "-i", url)
    for number in range(len(inputs)):
        command = (*command, "-map", str(number))
    # So much that the clock is never ahead of a picture, however unevenly picture and sound come where segments meet.
    return (*command, "-c", "copy", "-muxdelay", "0.7", "-muxpreload", "0", "-f", "mpegts", "-")
