"""What programs are told of streams and of who watches them, with the fields that m3u-proxy has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

from msgspec import Meta, Struct

from iptvd.delivery.session import Session
from iptvd.model import Channel, SourceKind
from iptvd.public import moment
from iptvd.settings import Config
from iptvd.stream_records import Stream, form_of
from iptvd.streams import Streams, stream_id_of
from iptvd.web.operations import Moment

StreamId = Annotated[str, Meta(description="Of one that was posted, 32 hexadecimal digits; else a channel's own id.")]

_TYPES = {SourceKind.HLS: "HLS", SourceKind.VOD: "VOD", SourceKind.TS: "Live Continuous"}


class StreamTold(Struct, kw_only=True):
    """A stream, and what it has been to its viewers since the start of the daemon."""

    stream_id: StreamId
    name: str
    original_url: Annotated[str, Meta(description="Empty for what a provider lists, as is current_url.")]
    current_url: str
    user_agent: str
    client_count: int
    total_bytes_served: int
    total_segments_served: int
    error_count: int
    is_active: Annotated[bool, Meta(description="Whether somebody watches it.")]
    has_failover: bool
    failover_urls: list[str]
    stream_type: Annotated[str, Meta(description="HLS, VOD or Live Continuous.")]
    created_at: Moment
    last_access: Moment
    metadata: dict[str, str]
    channel_id: int | None
    stream_endpoint: str


class ClientTold(Struct, kw_only=True):
    """Somebody who watches."""

    client_id: str
    stream_id: StreamId
    user_agent: str
    ip_address: str
    bytes_served: int
    segments_served: int
    created_at: Moment
    last_access: Moment
    username: Annotated[str, Meta(description="The user, else what X-Username or ?username= said; or empty.")]
    is_connected: bool
    channel_id: int
    channel: str


class ProxyStats(Struct, kw_only=True):
    """Sums over everything since the start of the daemon; total_clients counts everybody there has been."""

    uptime_seconds: float
    total_streams: int
    active_streams: int
    total_clients: int
    active_clients: int
    total_bytes_served: int
    total_segments_served: int


def endpoint_of(stream_id: str, kind: SourceKind) -> str:
    """The path at which a stream is played in its own form, below our URL."""
    return f"/hls/{stream_id}/playlist.m3u8" if kind is SourceKind.HLS else f"/stream/{stream_id}"


def time_of(seconds: float) -> str:
    """A time as it is told."""
    return moment(seconds, "milliseconds") or ""


class StreamFacts:
    """Gathers them."""

    def __init__(self, streams: Streams, config: Callable[[], Config]) -> None:
        self._streams = streams
        self._config = config

    def kept(self, stream_id: str, stream: Stream) -> dict[str, Any]:
        """What is told of a stream that is kept."""
        channel = self._streams.channel(stream_id)
        kind = form_of(stream.url)[1]
        return {
            **self._counted(channel, stream.created),
            "stream_id": stream_id,
            "name": channel.name if channel is not None else stream.name,
            "original_url": stream.url,
            "current_url": self._streams.current_url(stream_id),
            "user_agent": stream.user_agent or self._config().user_agent,
            "has_failover": len(stream.urls) > 1,
            "failover_urls": stream.failover_urls,
            "stream_type": _TYPES[kind],
            "metadata": stream.metadata,
            "stream_endpoint": endpoint_of(stream_id, kind),
        }

    def listed(self, channel: Channel) -> dict[str, Any]:
        """What is told of a channel that a provider lists; nothing of where it comes from."""
        began = min((each.started for each in self._streams.sessions(channel)), default=self._streams.served.started)
        return {
            **self._counted(channel, began),
            "stream_id": str(channel.id),
            "name": channel.name,
            "original_url": "",
            "current_url": "",
            "user_agent": "",
            "has_failover": len(channel.entries) > 1,
            "failover_urls": [],
            "stream_type": _TYPES[channel.source_kind],
            "metadata": {},
            "stream_endpoint": f"/stream/{channel.id}",
        }

    def of(self, stream_id: str) -> dict[str, Any] | None:
        """What is told of a stream, None where there is none."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            return self.kept(stream_id, stream)
        channel = self._streams.channel(stream_id)
        return self.listed(channel) if channel is not None else None

    def all_kept(self) -> Iterator[dict[str, Any]]:
        """What is told of each stream that is kept."""
        return (self.kept(stream_id, stream) for stream_id, stream in self._streams.all())

    def all(self) -> Iterator[dict[str, Any]]:
        """The same, and of the channels that somebody watches."""
        yield from self.all_kept()
        yield from (self.listed(channel) for channel in self.others())

    def others(self) -> list[Channel]:
        """The channels that somebody watches and that no stream which is kept is."""
        return [each for each in self._streams.watched() if self._streams.get(stream_id_of(each)) is None]

    def client(self, session: Session) -> dict[str, Any]:
        """What is told of somebody who watches."""
        channel, viewer = session.channel, session.viewer
        return {
            "client_id": session.id,
            "stream_id": stream_id_of(channel),
            "user_agent": viewer.agent,
            "ip_address": viewer.address,
            "bytes_served": session.bytes_sent,
            "segments_served": session.segments,
            "created_at": time_of(session.started),
            "last_access": time_of(self._streams.served.now),
            "username": viewer.user or viewer.called,
            "is_connected": True,
            "channel_id": channel.id,
            "channel": channel.name,
        }

    def clients(self) -> Iterator[dict[str, Any]]:
        """What is told of everybody who watches."""
        return map(self.client, self._streams.clients())

    def sums(self) -> dict[str, Any]:
        """The fields of `ProxyStats`."""
        streams, served = self._streams, self._streams.served
        everything = served.all
        return {
            "uptime_seconds": round(served.now - served.started, 1),
            "total_streams": len(streams) + len(self.others()),
            "active_streams": len(served.watched),
            "total_clients": everything.began,
            "active_clients": len(streams.clients()),
            "total_bytes_served": everything.bytes,
            "total_segments_served": everything.segments,
        }

    def _counted(self, channel: Channel | None, created: float) -> dict[str, Any]:
        totals = self._streams.served.of(channel.id) if channel is not None else None
        clients = len(self._streams.sessions(channel))
        last = totals.last if totals is not None else None
        return {
            "client_count": clients,
            "total_bytes_served": totals.bytes if totals is not None else 0,
            "total_segments_served": totals.segments if totals is not None else 0,
            "error_count": totals.errors if totals is not None else 0,
            "is_active": bool(clients),
            "created_at": time_of(created),
            "last_access": time_of(last if last is not None else created),
            "channel_id": channel.id if channel is not None else None,
        }
