"""``/logo/<id>``: a channel's picture, fetched once and kept on disk; a drawn initial where there is none."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import blake2b, sha256
from html import escape
from pathlib import Path

from twisted.internet.defer import DeferredSemaphore
from twisted.web.resource import Resource
from twisted.web.server import Request

from iptvd.errors import ProviderError, StoreError
from iptvd.interfaces import IFetcher
from iptvd.lineup import Lineup
from iptvd.log import Log
from iptvd.model import Channel
from iptvd.store import Offload, write_durably
from iptvd.web.answering import AnswerResource
from iptvd.web.request import Refusal, send, who_of
from iptvd.web.shared_work import SharedWork

#: A picture may have this many bytes.
MAX_LOGO = 2 * 1024 * 1024
#: Seconds before a logo that could not be fetched is asked for again.
RETRY = 600.0
#: Pictures fetched at the same time.
FETCHES = 16
_MOST_MISSING = 20_000

# What a picture begins with, and its type. No SVG: it can hold scripts.
_MAGIC = (
    (re.compile(rb"\x89PNG\r\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"....ftypavi[fs]", re.DOTALL), "image/avif"),
    (re.compile(rb"\x00\x00\x01\x00"), "image/x-icon"),
)


def picture_type(data: bytes) -> str:
    """The media type of a picture that may be shown, by content; empty when it is none."""
    return next((kind for magic, kind in _MAGIC if magic.match(data)), "")


def drawn(name: str) -> bytes:
    """An SVG with a name's initial, in a colour that depends on the name."""
    initial = next((letter for letter in name.upper() if letter.isalnum()), "?")
    hue = sha256(name.encode("utf-8", "replace")).digest()[0] * 360 // 256
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100" role="img">'
        f'<rect width="100" height="100" rx="16" fill="hsl({hue},45%,38%)"/>'
        '<text x="50" y="50" dy=".36em" text-anchor="middle" font-family="sans-serif" font-size="56" fill="#fff">'
        f"{escape(initial)}</text></svg>\n"
    ).encode()


class LogoCache:
    """
    Pictures on disk, the least recently written dropped first.

    :param fetcher: gives the one for what a provider names.
    :ivar limit: bytes that all of them together may have.
    """

    log = Log()

    def __init__(
        self,
        folder: Path,
        fetcher: Callable[[str], IFetcher],
        offload: Offload,
        wall: Callable[[], float],
        limit: int,
    ) -> None:
        self._folder = folder
        self._fetcher = fetcher
        self._offload = offload
        self._wall = wall
        self.limit = limit
        self._missing: OrderedDict[str, float] = OrderedDict()
        self._shared: SharedWork[bytes] = SharedWork()
        self._slots = DeferredSemaphore(FETCHES)
        # Bytes of each file, oldest first; None until the folder was looked at.
        self._sizes: dict[str, int] | None = None
        self._unkept = False

    async def get(self, url: str, provider: str) -> bytes:
        """The picture at a URL that a provider names; empty when there is none to be had."""
        name = blake2b(url.encode("utf-8", "replace"), digest_size=16).hexdigest()
        kept: bytes = await self._offload(self._read, name)
        if kept:
            return kept
        if self._missing.get(name, 0.0) > self._wall():
            return b""
        # Several ask at once, and any of them may leave before it is there.
        return await self._shared(name, lambda: self._fetch_and_keep(name, url, provider))

    async def _fetch_and_keep(self, name: str, url: str, provider: str) -> bytes:
        await self._slots.acquire()
        try:
            data = await self._fetch(url, provider)
        finally:
            self._slots.release()
        if data:
            self._missing.pop(name, None)
            await self._keep(name, data)
            return data
        self._missing[name] = self._wall() + RETRY
        self._missing.move_to_end(name)
        while len(self._missing) > _MOST_MISSING:
            self._missing.popitem(last=False)
        return b""

    async def _fetch(self, url: str, provider: str) -> bytes:
        try:
            fetched = await self._fetcher(provider).get(url, limit=MAX_LOGO, timeout=10.0)
        except ProviderError:
            return b""
        return fetched.body if fetched.status == 200 and picture_type(fetched.body) else b""

    async def _keep(self, name: str, data: bytes) -> None:
        """Write it; a picture that cannot be kept can be shown all the same."""
        try:
            if self._sizes is None:
                there = await self._offload(self._look)
                # Another one may have looked meanwhile, and written.
                self._sizes = there if self._sizes is None else self._sizes
            # Counted first: when the viewers leave now, the thread writes it all the same.
            self._sizes.pop(name, None)
            self._sizes[name] = len(data)
            await self._offload(self._write, name, data)
        except (StoreError, OSError) as error:
            if not self._unkept:
                self.log.error("logos cannot be kept: {reason}", reason=str(error))
            self._unkept = True
            return
        self._unkept = False
        too_much = sum(self._sizes.values()) - self.limit
        dropped: list[str] = []
        for oldest, size in self._sizes.items():
            if too_much <= 0:
                break
            dropped.append(oldest)
            too_much -= size
        for oldest in dropped:
            del self._sizes[oldest]
        if dropped:
            await self._offload(self._drop, dropped)

    # In a thread

    def _read(self, name: str) -> bytes:
        try:
            return (self._folder / name).read_bytes()
        except OSError:
            return b""

    def _look(self) -> dict[str, int]:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        files: list[tuple[int, str, int]] = []
        for file in self._folder.iterdir():
            # What begins with a dot is being written.
            if not file.name.startswith("."):
                status = file.stat()
                files.append((status.st_mtime_ns, file.name, status.st_size))
        return {name: size for _, name, size in sorted(files)}

    def _write(self, name: str, data: bytes) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        write_durably(self._folder / name, [data])

    def _drop(self, names: Sequence[str]) -> None:
        for name in names:
            with suppress(OSError):
                (self._folder / name).unlink()


def _provider_of_logo(channel: Channel) -> str:
    """Who names a channel's logo: whoever lists it with it; the first, where a rule has given it another."""
    return next((provider for provider, entry in channel.entries if entry.logo == channel.logo), channel.provider)


class LogosResource(Resource):
    """``/logo/``."""

    def __init__(self, lineup: Callable[[], Lineup], cache: LogoCache) -> None:
        super().__init__()
        self._lineup = lineup
        self._cache = cache

    def getChild(self, path: bytes, request: Request) -> Resource:
        """The logo of the channel with that id."""
        channel = self._lineup().by_id.get(int(path)) if path.isdigit() and len(path) < 11 else None
        if channel is not None and not who_of(request).may_see(channel):
            channel = None
        return LogoResource(channel, self._cache)


class LogoResource(AnswerResource):
    """One logo."""

    open_to_pages = True

    def __init__(self, channel: Channel | None, cache: LogoCache) -> None:
        super().__init__()
        self._channel = channel
        self._cache = cache

    async def answer(self, request: Request) -> bytes:
        """The picture."""
        channel = self._channel
        if channel is None:
            raise Refusal(404, "There is no such channel.")
        data = await self._cache.get(channel.logo, _provider_of_logo(channel)) if channel.logo else b""
        kind = picture_type(data)
        request.setHeader("Cache-Control", "public, max-age=86400" if kind else "public, max-age=600")
        if not kind:
            data, kind = drawn(channel.name), "image/svg+xml"
        etag = f'"{blake2b(data, digest_size=12).hexdigest()}"'
        request.setHeader("Content-Security-Policy", "default-src 'none'; sandbox")
        return send(request, data, kind, etag=etag, compress=False)
