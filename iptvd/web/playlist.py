"""The lineup as an M3U playlist, filtered by the query, rendered once for all who ask by the same address."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from hashlib import blake2b

from attrs import define, frozen
from twisted.web.server import Request

from iptvd.lineup import Lineup
from iptvd.model import Channel, ChannelKind, SourceKind
from iptvd.protocols import m3u
from iptvd.web.request import AnswerResource, Refusal, argument, caller_of, send

#: Bytes of rendered playlists that are kept.
CACHE_BYTES = 64 * 1024 * 1024

_FORMS = {"ts": SourceKind.TS, "hls": SourceKind.HLS}


@frozen
class Filter:
    """What of the lineup is asked for; empty means all."""

    group: str = ""
    provider: str = ""
    kind: ChannelKind | None = None
    form: SourceKind | None = None

    def passes(self, channel: Channel, kind_of: Callable[[Channel], SourceKind]) -> bool:
        """
        Whether a channel is asked for.

        The form concerns what is live: a film has only its own.
        """
        if self.group and channel.group != self.group:
            return False
        if self.provider and all(name != self.provider for name, _ in channel.entries):
            return False
        if self.kind is not None and channel.kind is not self.kind:
            return False
        return self.form is None or channel.kind is ChannelKind.VOD or kind_of(channel) is self.form


def filter_of(request: Request) -> Filter:
    """
    The filter in a request's query.

    :raises Refusal: for a value that is none.
    """
    kind = form = None
    asked = argument(request, "type")
    if asked:
        try:
            kind = ChannelKind(asked)
        except ValueError:
            raise Refusal(400, "type is one of live, radio and vod") from None
    asked = argument(request, "format")
    if asked:
        form = _FORMS.get(asked)
        if form is None:
            raise Refusal(400, "format is one of ts and hls")
    return Filter(argument(request, "group"), argument(request, "provider"), kind, form)


def path_of(channel: Channel, kind: SourceKind) -> str:
    """The path at which a channel is played in the form it has."""
    extension = "m3u8" if kind is SourceKind.HLS else channel.extension
    return f"/stream/{channel.id}.{extension}"


@define
class _Rendered:
    body: bytes
    etag: str
    compressed: bytes


class PlaylistResource(AnswerResource):
    """
    ``/playlist.m3u8`` and ``/playlist.m3u``.

    :param lineup: gives the lineup as it is now.
    :param kind_of: gives the form in which a channel is played.
    """

    open_to_pages = True

    def __init__(
        self,
        lineup: Callable[[], Lineup],
        kind_of: Callable[[Channel], SourceKind],
        sliced: Callable[[Iterator[object]], Awaitable[None]],
    ) -> None:
        super().__init__()
        self._lineup = lineup
        self._kind_of = kind_of
        self._sliced = sliced
        self._cache: OrderedDict[tuple[str, str, Filter], _Rendered] = OrderedDict()

    async def answer(self, request: Request) -> bytes:
        """The playlist, its links by the address it was asked for."""
        lineup = self._lineup()
        chosen = filter_of(request)
        key = (lineup.revision, caller_of(request).base_url, chosen)
        rendered = self._cache.get(key)
        if rendered is None:
            rendered = await self._render(lineup, key)
            self._keep(key, rendered)
        else:
            self._cache.move_to_end(key)
        request.setHeader("Cache-Control", "no-cache")
        return send(
            request,
            rendered.body,
            "application/x-mpegurl; charset=utf-8",
            etag=rendered.etag,
            compressed=rendered.compressed,
        )

    async def _render(self, lineup: Lineup, key: tuple[str, str, Filter]) -> _Rendered:
        _, base_url, chosen = key
        parts = [m3u.header()]
        packed: list[bytes] = []

        def steps() -> Iterator[None]:
            packer = zlib.compressobj(5, zlib.DEFLATED, 31)
            start = 0
            for done, channel in enumerate(lineup.channels):
                if channel.entry.unsupported or not chosen.passes(channel, self._kind_of):
                    continue
                parts.append(self._entry(channel, base_url))
                if not done % 100:
                    packed.append(packer.compress("".join(parts[start:]).encode("utf-8", "replace")))
                    start = len(parts)
                    yield
            packed.append(packer.compress("".join(parts[start:]).encode("utf-8", "replace")))
            packed.append(packer.flush())

        await self._sliced(steps())
        body = "".join(parts).encode("utf-8", "replace")
        return _Rendered(body, f'"{blake2b(repr(key).encode(), digest_size=12).hexdigest()}"', b"".join(packed))

    def _entry(self, channel: Channel, base_url: str) -> str:
        kind = self._kind_of(channel)
        return m3u.entry(
            base_url + path_of(channel, kind),
            channel.name,
            tvg_id=channel.tvg_id or str(channel.id),
            tvg_name=channel.entry.tvg_name,
            number=channel.number or None,
            logo=f"{base_url}/logo/{channel.id}",
            group=channel.group,
            catchup=(),
            radio=channel.kind is ChannelKind.RADIO,
            mpegts=kind is SourceKind.TS and channel.kind is ChannelKind.LIVE,
        )

    def _keep(self, key: tuple[str, str, Filter], rendered: _Rendered) -> None:
        for old in [old for old in self._cache if old[0] != key[0]]:
            del self._cache[old]
        self._cache[key] = rendered
        while sum(len(one.body) + len(one.compressed) for one in self._cache.values()) > CACHE_BYTES:
            self._cache.popitem(last=False)
