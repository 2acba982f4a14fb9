"""HLS from a real origin, pulled over the loopback and judged by FFmpeg."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from iptvd.delivery.hlspiece import NeedsRemux
from iptvd.delivery.hlspull import open_hls
from iptvd.delivery.opening import Opener
from iptvd.delivery.segments import SegmentCache
from iptvd.errors import UpstreamError
from iptvd.model import Source, SourceKind
from iptvd.protocols.http_upstream import Timeouts, connect_with
from iptvd.slices import Slicer
from tests.daemon.judges import decode
from tests.doubles import offload
from tests.simulators.running import OriginProcess


class _Observer:
    def upstream_opened(self) -> None:
        """Not of interest."""

    def upstream_failed(self, status: int) -> None:
        """Not of interest."""


class _Until:
    """A receiver that waits for so many seconds' worth of bytes."""

    def __init__(self, size: int) -> None:
        self.data = bytearray()
        self.enough: Deferred[None] = Deferred()
        self._size = size

    def data_received(self, data: bytes | memoryview) -> None:
        self.data += data
        if len(self.data) >= self._size and not self.enough.called:
            self.enough.callback(None)

    def body_ended(self, error: UpstreamError | None) -> None:
        if not self.enough.called:
            self.enough.errback(error or UpstreamError(502, "it ended too early"))


async def _pulled(origin: OriginProcess, path: str, size: int, **knobs: object) -> bytes:
    from twisted.internet import reactor

    clock = IReactorTime(reactor)
    slicer = Slicer(clock)
    opener = Opener(
        reactor,  # type: ignore[arg-type]
        connect_with(reactor, Timeouts()),
        Timeouts(),
        offload,
        "tests",
        _Observer(),
    )
    source = Source(SourceKind.HLS, url=origin.at(path, **knobs))
    cache = SegmentCache(64 << 20, clock)
    try:
        opened = await open_hls(opener, cache, source, clock, slicer)
        assert opened.upstream is not None
        receiver = _Until(size)
        opened.upstream.attach(receiver)
        try:
            await receiver.enough.addTimeout(20, clock)
        finally:
            opened.upstream.stopProducing()
    finally:
        cache.clear()
        slicer.stop()
    return bytes(receiver.data)


def judged(data: bytes) -> None:
    """FFmpeg decodes it, and finds nothing missing: a picture for every 40 ms, and sound all along."""
    # Up to where the last tables come, which is between two frames.
    end = max(at for at in range(0, len(data) - 187, 188) if data[at + 1 : at + 3] == b"\x40\0")
    seen = decode(data[:end], 999)
    assert (seen.corrupt, seen.errors) == (0, 0)
    assert seen.seconds > 3
    assert abs(seen.pictures - (seen.seconds * 25 + 1)) < 4
    assert seen.samples > (seen.seconds - 1) * 32_000


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_live_channel(origin: OriginProcess) -> None:
    """A live HLS channel comes as a stream in which FFmpeg finds nothing wrong, over the seams of its segments."""
    judged(await _pulled(origin, "/hls-live/plain/index.m3u8", 400_000))


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_live_encrypted_channel(origin: OriginProcess) -> None:
    """An encrypted live channel whose key changes comes as a stream in which FFmpeg finds nothing wrong."""
    judged(await _pulled(origin, "/hls-live/aes/index.m3u8", 650_000))


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_live_channel_in_one_file(origin: OriginProcess) -> None:
    """A live channel whose segments are parts of a file comes whole, also when the origin knows no byte ranges."""
    for knobs in ({}, {"noranges": 1}):
        origin.control("/hls-live/*", **knobs)
        judged(await _pulled(origin, "/hls-live/single/index.m3u8", 320_000))
        origin.control("/hls-live/*")


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_segments_under_false_names(origin: OriginProcess) -> None:
    """Segments that are called pictures, behind a byte order mark and CRLF, come all the same."""
    judged(await _pulled(origin, "/hls-live/plain/index.m3u8", 320_000, disguise=".png", bom=1, crlf=1))


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_an_encrypted_film(origin: OriginProcess) -> None:
    """A film whose playlist names a vector for its key comes as a stream from its start."""
    judged(await _pulled(origin, "/hls/aes/index.m3u8", 320_000))


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_what_needs_a_remux(origin: OriginProcess) -> None:
    """Fragments of MP4, and sound that is apart, are told as what a remux is needed for."""
    for path, inputs in (("/hls-live/fmp4/index.m3u8", 1), ("/hls-live/multi/index.m3u8", 2)):
        with pytest.raises(NeedsRemux) as raised:
            await _pulled(origin, path, 1)
        assert len(raised.value.inputs) == inputs


def _accepted(origin: OriginProcess) -> int:
    stats: Any = origin.get("/stats").json()
    return int(stats["connections"]["accepted"])


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_connections_are_kept(origin: OriginProcess) -> None:
    """Playlists, keys and segments of a channel come on two connections at most, however many there are of them."""
    before = _accepted(origin)
    for path in ("/hls/aes/index.m3u8", "/hls-live/single/index.m3u8"):
        judged(await _pulled(origin, path, 320_000))
    # Each question to the origin itself is another.
    after = _accepted(origin) - 1
    assert 2 <= after - before <= 4
