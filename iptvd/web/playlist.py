"""
The lineup as an M3U playlist, filtered by the query and by what may be seen.

It is rendered once for all who ask by the same address. Each user has an address of their own: for them it is rendered
once for all who may see the same, and the address is filled in as they take it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from hashlib import blake2b
from io import BytesIO
from urllib.parse import urlencode

from attrs import define, evolve, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from iptvd import __version__
from iptvd.lineup import Lineup
from iptvd.model import Channel, ChannelKind, SourceKind
from iptvd.protocols import m3u
from iptvd.web.answering import AnswerResource
from iptvd.web.archive import past_attributes
from iptvd.web.filling import ANY_BASE, Text, send_filled
from iptvd.web.packing import pack
from iptvd.web.request import Refusal, accepts_gzip, argument, caller_of, is_current, send, who_of
from iptvd.web.shared_work import SharedWork

#: Bytes of rendered playlists that are kept, and how many: a filter that nothing passes makes small ones for ever.
CACHE_BYTES = 64 * 1024 * 1024
CACHE_ENTRIES = 256

#: Channels rendered in one step of sliced work.
_STEP = 100

# By a name of their own: Python 3.11 takes long to find a member in its enum, and this is for each of 50,000 channels.
_LIVE, _RADIO, _VOD = ChannelKind.LIVE, ChannelKind.RADIO, ChannelKind.VOD
_HLS = SourceKind.HLS

_FORMS = {"ts": SourceKind.TS, "hls": SourceKind.HLS}
_TYPE = "application/x-mpegurl; charset=utf-8"


@frozen
class Filter:
    """
    What of the lineup is asked for; empty means all.

    :ivar form: in which live channels are listed, None for the one that each has.
    :ivar groups: those that may be seen.
    """

    group: str = ""
    provider: str = ""
    kind: ChannelKind | None = None
    form: SourceKind | None = None
    groups: tuple[str, ...] = ()

    def among(self, channels: Iterable[Channel]) -> Iterable[Channel]:
        """
        Those channels that are asked for, in their order.

        The form leaves none out: it says as what they are listed.
        """
        # One after the other, so that what is not asked costs nothing: this goes over the whole lineup.
        group, provider, kind = self.group, self.provider, self.kind
        if self.groups:
            allowed = frozenset(self.groups)
            channels = (channel for channel in channels if channel.group in allowed)
        if group:
            channels = (channel for channel in channels if channel.group == group)
        if provider:
            channels = (channel for channel in channels if provider in dict(channel.entries))
        if kind is not None:
            channels = (channel for channel in channels if channel.kind is kind)
        return channels


def groups_of(request: Request) -> tuple[str, ...]:
    """The groups that a request's sender may see, in one order; empty for all."""
    user = who_of(request).user
    return tuple(sorted(set(user.groups))) if user is not None else ()


def filter_of(request: Request) -> Filter:
    """
    The filter in a request's query, with what its sender may see.

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
    return Filter(argument(request, "group"), argument(request, "provider"), kind, form, groups_of(request))


def extension_of(channel: Channel, kind: SourceKind, form: SourceKind | None = None) -> str:
    """
    The ending of a channel's path.

    :param kind: the form it has.
    :param form: the one that is wanted. A film has only its own, and so has radio that is no MPEG-TS.
    """
    native = "m3u8" if kind is _HLS else channel.extension
    if form is None or channel.kind is _VOD or native not in ("ts", "m3u8"):
        return native
    return "m3u8" if form is _HLS else "ts"


def path_of(channel: Channel, kind: SourceKind, form: SourceKind | None = None) -> str:
    """The path at which a channel is played, see `extension_of`."""
    return f"/stream/{channel.id}.{extension_of(channel, kind, form)}"


@define
class _Rendered:
    """
    A whole playlist.

    :ivar packed: the body in gzip; empty until somebody takes it so.
    """

    text: Text
    packed: bytes = b""

    @property
    def size(self) -> int:
        """Bytes of it that are kept."""
        return len(self.text.body) + len(self.packed)


@frozen
class _Key:
    """What a rendering depends on."""

    revision: str
    base_url: str
    chosen: Filter

    @property
    def etag(self) -> str:
        """The entity tag of what is rendered by it: another version of ours may render the same otherwise."""
        return f'"{blake2b(repr((__version__, self)).encode("utf-8", "replace"), digest_size=12).hexdigest()}"'


class PlaylistResource(AnswerResource):
    """
    ``/playlist.m3u8`` and ``/playlist.m3u``.

    Catch-up attributes are ours: the ``catchup-source`` of a provider names an upstream.

    :param lineup: gives the lineup as it is now.
    :param kind_of: gives the form in which a channel is played.
    :param sliced: see `iptvd.slices.Slicer`.
    """

    open_to_pages = True

    def __init__(
        self,
        lineup: Callable[[], Lineup],
        kind_of: Callable[[Channel], SourceKind],
        sliced: Callable[[Iterator[object]], Awaitable[None]],
        clock: IReactorTime,
    ) -> None:
        super().__init__()
        self._lineup = lineup
        self._kind_of = kind_of
        self._sliced = sliced
        self._clock = clock
        self._cache: OrderedDict[_Key, _Rendered] = OrderedDict()
        self._rendering: SharedWork[_Rendered] = SharedWork()
        self._packing: SharedWork[None] = SharedWork()

    async def answer(self, request: Request) -> bytes | None:
        """The playlist, its links by the address it was asked for."""
        lineup = self._lineup()
        key = _Key(lineup.revision, caller_of(request).base_url, filter_of(request))
        etag = key.etag
        request.setHeader("Cache-Control", "no-cache")
        if is_current(request, etag):
            request.setHeader("ETag", f"W/{etag}")
            request.setHeader("Vary", "Accept-Encoding")
            request.setResponseCode(304)
            return b""
        if who_of(request).user is not None:
            shared = await self._rendered(lineup, evolve(key, base_url=ANY_BASE))
            request.setHeader("Content-Type", _TYPE)
            request.setHeader("ETag", f"W/{etag}")
            return await send_filled(request, shared.text, key.base_url, self._sliced, self._clock)
        rendered = await self._rendered(lineup, key)
        if not rendered.packed and accepts_gzip(request):
            await self._packing(key, lambda: self._pack(rendered))
        return send(request, rendered.text.body, _TYPE, etag=etag, compressed=rendered.packed)

    async def _rendered(self, lineup: Lineup, key: _Key) -> _Rendered:
        rendered = self._cache.get(key)
        if rendered is None:
            return await self._rendering(key, lambda: self._render(lineup, key))
        self._cache.move_to_end(key)
        return rendered

    async def _render(self, lineup: Lineup, key: _Key) -> _Rendered:
        channels, base_url, chosen = lineup.channels, key.base_url, key.chosen
        # Grows in place and gives its value without a copy; to join ten megabytes takes a turn of the reactor.
        body = BytesIO()
        marks, mark = 0, base_url.encode()
        ends: list[int] = []

        def write(text: str) -> None:
            nonlocal marks
            piece = text.encode("utf-8", "replace")
            body.write(piece)
            ends.append(body.tell())
            marks += piece.count(mark)

        query = "?" + urlencode({"group": chosen.group}) if chosen.group else ""
        write(m3u.header(f"{base_url}/epg.xml{query}"))

        def steps() -> Iterator[None]:
            for start in range(0, len(channels), _STEP):
                among = chosen.among(channels[start : start + _STEP])
                write("".join([self._entry(channel, base_url, chosen.form) for channel in among]))
                yield

        await self._sliced(steps())
        rendered = _Rendered(Text(body.getvalue(), ends, marks))
        self._cache[key] = rendered
        self._forget()
        return rendered

    async def _pack(self, rendered: _Rendered) -> None:
        packed: list[bytes] = []
        await self._sliced(pack(rendered.text.body, packed))
        rendered.packed = b"".join(packed)
        self._forget()

    def _entry(self, channel: Channel, base_url: str, form: SourceKind | None) -> str:
        entry = channel.entry
        if entry.unsupported:
            return ""
        path = path_of(channel, self._kind_of(channel), form)
        return m3u.entry(
            base_url + path,
            channel.name,
            tvg_id=channel.xmltv_id,
            tvg_name=entry.tvg_name,
            number=channel.number,
            logo=f"{base_url}/logo/{channel.id}",
            group=channel.group,
            catchup=past_attributes(channel, base_url + path),
            radio=channel.kind is _RADIO,
            mpegts=channel.kind is _LIVE and path.endswith(".ts"),
        )

    def _forget(self) -> None:
        """Drop the renderings of former lineups, and those that were not asked for longest when there are too many."""
        revision = self._lineup().revision
        for key in [key for key in self._cache if key.revision != revision]:
            del self._cache[key]
        size = sum(one.size for one in self._cache.values())
        while len(self._cache) > 1 and (size > CACHE_BYTES or len(self._cache) > CACHE_ENTRIES):
            _, oldest = self._cache.popitem(last=False)
            size -= oldest.size
