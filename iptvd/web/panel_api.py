"""What panels ask of a server beside its users and channels: turning channels on and off, and how the machine is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from iptvd.machine import Machine
from iptvd.model import Channel, ChannelKind
from iptvd.public import moment
from iptvd.web.kept_channels import KeptChannels, name_of
from iptvd.web.operations import Call, Operation, invalid
from iptvd.web.playlist import path_of
from iptvd.web.request import Refusal, caller_of

if TYPE_CHECKING:
    from iptvd.web.tree import Parts

_GB = 1 << 30


class StreamAsked(Struct):
    """A channel: by our id, or by what a panel knows it by."""

    channel_id: Annotated[str, Meta(min_length=1, max_length=200)] | Annotated[int, Meta(ge=0, le=2**53)]


class StreamStarted(Struct):
    """It is on until it is stopped, its sources fail, or the daemon ends."""

    message: str
    channel_id: str
    stream: str
    pid: int
    started: str


class StreamStopped(Struct):
    """It is kept on no longer; whoever watches goes on watching."""

    message: str
    channel_id: str


class ActiveStream(Struct):
    """A channel that is on: the process that makes its stream, and since when it is on (ISO 8601, UTC)."""

    pid: int
    started: str


class ActiveStreams(Struct):
    """By what a panel knows a channel by, others by our id."""

    streams: dict[str, ActiveStream]
    count: int


class MachineTold(Struct):
    """How busy the machine is; a GB is 2^30 bytes. The processors' load is that since it was asked before."""

    cpu_percent: float
    memory_percent: float
    memory_used_gb: float
    disk_percent: float
    network_sent_gb: float
    network_recv_gb: float
    active_streams: int
    uptime_hours: float


class Alive(Struct):
    """We are here."""

    status: str
    timestamp: str


def alive(wall: Callable[[], float]) -> dict[str, object]:
    """
    That we are here, and what time it is, see `Alive`.

    :param wall: seconds since the epoch.
    """
    return {"status": "ok", "timestamp": moment(wall())}


class PanelApi:
    """What the operations do."""

    def __init__(self, parts: Parts) -> None:
        self._faces = parts.faces
        self._live = parts.faces.player.live
        self._kept = KeptChannels(parts.admission.records, parts.lineup)
        self._kept_on = parts.kept_on
        self._wall = parts.wall
        self._offload = parts.offload
        self._since = parts.wall()
        self._machine = Machine(parts.config().state_dir, parts.faces.clock.seconds)

    async def start(self, call: Call) -> StreamStarted:
        """Turn a channel on, and keep it on."""
        channel = self._channel(call)
        if channel.kind is ChannelKind.VOD:
            raise invalid("channel_id", "a film is only played for who watches it")
        if channel.entry.unsupported:
            raise Refusal(501, channel.entry.unsupported)
        if not self._faces.shares(channel):
            raise Refusal(409, "The viewers of this channel have connections of their own (sharing = isolated).")
        new = await self._kept_on.start(channel)
        link = caller_of(call.request).base_url + path_of(channel, self._faces.hub.kind_of(channel))
        _, pid, started = self._active().get(channel.id, (channel, os.getpid(), self._wall()))
        message = "Stream started" if new else "Stream is on already"
        return StreamStarted(message, _name(channel), link, pid, moment(started) or "")

    async def stop(self, call: Call) -> StreamStopped:
        """Keep a channel on no longer."""
        channel = self._channel(call)
        if not self._kept_on.stop(channel.id):
            raise Refusal(404, "This channel is not kept on; /api/streams/active has those that are on.")
        return StreamStopped("Stream stopped", _name(channel))

    async def active(self, call: Call) -> ActiveStreams:
        """All that is kept on or watched."""
        streams = {
            _name(channel): ActiveStream(pid, moment(started) or "")
            for channel, pid, started in self._active().values()
        }
        return ActiveStreams(streams, len(streams))

    async def machine(self, call: Call) -> MachineTold:
        """How busy the machine is."""
        load = await self._offload(self._machine.look)
        return MachineTold(
            cpu_percent=round(load.cpu, 1),
            memory_percent=round(load.memory, 1),
            memory_used_gb=round(load.memory_used / _GB, 2),
            disk_percent=round(load.disk, 1),
            network_sent_gb=round(load.sent / _GB, 2),
            network_recv_gb=round(load.received / _GB, 2),
            active_streams=len(self._active()),
            uptime_hours=round((self._wall() - self._since) / 3600, 2),
        )

    def _channel(self, call: Call) -> Channel:
        channel = self._kept.find(str(call.body.channel_id))
        if channel is None:
            raise Refusal(404, "There is no such channel; /api/channels has those there are.")
        return channel

    def _active(self) -> Mapping[int, tuple[Channel, int, float]]:
        """What is on, by channel id: the process that makes the stream, and since when."""
        since = dict(self._kept_on.on)
        for session in self._faces.hub.sessions.values():
            channel = session.channel
            _, started = since.get(channel.id, (channel, session.started))
            since[channel.id] = channel, min(started, session.started)
        own, on_air = os.getpid(), self._live.on_air
        pids = {channel_id: on_air[channel_id].feed.pid for channel_id in since if channel_id in on_air}
        return {each.id: (each, pids.get(each.id) or own, started) for each, started in since.values()}


def _name(channel: Channel) -> str:
    """What a panel knows a channel by."""
    return name_of(channel) or str(channel.id)


def panel_operations(parts: Parts) -> list[Operation]:
    """All of it."""
    api = PanelApi(parts)
    return [
        Operation(
            "POST",
            "/api/stream/start",
            "Turn a channel on, and keep it on",
            api.start,
            StreamStarted,
            StreamAsked,
            errors=(404, 409, 501, 502, 504),
        ),
        Operation(
            "POST",
            "/api/stream/stop",
            "Keep a channel on no longer",
            api.stop,
            StreamStopped,
            StreamAsked,
            errors=(404,),
        ),
        Operation("GET", "/api/streams/active", "What is kept on or watched", api.active, ActiveStreams),
        Operation("GET", "/api/stats", "How busy the machine is", api.machine, MachineTold),
        Operation("GET", "/api/health", "Whether we are here", None, Alive, manages=False),
    ]
