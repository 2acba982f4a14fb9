"""The resource tree: which face is at which address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IConsumer
from twisted.web.resource import Resource

from iptvd.activity import Activity
from iptvd.admission import Admission
from iptvd.delivery.kept_on import KeptOn
from iptvd.delivery.reach import Reach
from iptvd.epg.guides import GuideStatus
from iptvd.epg.reading import GuideReader
from iptvd.events import ScheduleStatus
from iptvd.kept_webhooks import KeptWebhooks
from iptvd.lineup_service import LineupService
from iptvd.looplag import LoopLag
from iptvd.metrics import Metrics
from iptvd.model import Channel, Programme
from iptvd.passwords import Passwords
from iptvd.settings import Config
from iptvd.store import Offload
from iptvd.streams import Streams
from iptvd.tuners import EVERYTHING, Tuners
from iptvd.web.api import Folder
from iptvd.web.channels_api import ChannelsResource, channels_api
from iptvd.web.clients_api import clients_operations
from iptvd.web.content import ContentResource
from iptvd.web.described import described
from iptvd.web.guide import AT_ONCE, GuideResource
from iptvd.web.guide_api import EventsResource, MatchesResource, SearchResource
from iptvd.web.hdhomerun import TunersResource, tuner_children
from iptvd.web.health import Health, HealthResource, MetricsResource, PingResource
from iptvd.web.index import IndexResource
from iptvd.web.live_api import LiveResource
from iptvd.web.login import login_pages
from iptvd.web.logo import LogoCache, LogosResource
from iptvd.web.openapi import OpenApiResource
from iptvd.web.operations import Operation
from iptvd.web.own_channels_api import own_channels_operations
from iptvd.web.packaged import PackagedResource
from iptvd.web.panel_api import alive, panel_operations
from iptvd.web.playlist import PlaylistResource
from iptvd.web.providers_api import providers_operations
from iptvd.web.router import Router
from iptvd.web.stats_api import stats_operations
from iptvd.web.stream import Faces, NamedHls, StreamsResource
from iptvd.web.streams_api import streams_operations
from iptvd.web.users_api import users_operations
from iptvd.web.webhooks_api import webhooks_operations
from iptvd.web.xtream import xtream_children
from iptvd.web.xtream_media import ShortPaths


@frozen
class WhatIsOn:
    """
    What telling of programmes and events takes, and of what happens.

    :ivar database: the guide's.
    :ivar guides: how each guide is doing, as is ``schedules`` of each provider's events.
    :ivar pipe: see `iptvd.children.Children.pipe`.
    :ivar days: how many days ahead are told.
    :ivar reach: tells how channels did last.
    """

    database: Path
    reader: GuideReader
    guides: Callable[[], Sequence[GuideStatus]]
    schedules: Callable[[], Sequence[ScheduleStatus]]
    pipe: Callable[[Sequence[str], IConsumer, bytes], Deferred[tuple[int, bytes]]]
    days: Callable[[], int]
    reach: Reach
    short_guide: Callable[[Channel], Awaitable[Sequence[Programme]]]
    activity: Activity


@frozen
class Parts:
    """
    What the faces are made of.

    :ivar notices: what the operator should know of the settings.
    :ivar sliced: see `iptvd.slices.Slicer`.
    :ivar wall: seconds since the epoch.
    :ivar admission: who may what, and what the API is told to keep.
    :ivar config: the settings as they are now.
    :ivar offload: does blocking work in a thread.
    :ivar passwords: hashes those for the pages.
    :ivar webhooks: those that the API has been told to keep.
    :ivar kept_on: channels that are on though nobody watches.
    :ivar streams: those that the API has been told to keep, and what can be done with all that plays.
    """

    faces: Faces
    lineup: LineupService
    logos: LogoCache
    metrics: Metrics
    lag: LoopLag
    wall: Callable[[], float]
    notices: Callable[[], list[str]]
    sliced: Callable[[Iterator[object]], Awaitable[None]]
    on: WhatIsOn
    tuners: Tuners
    admission: Admission
    config: Callable[[], Config]
    offload: Offload
    passwords: Passwords
    webhooks: KeptWebhooks
    kept_on: KeptOn
    streams: Streams


def build_tree(parts: Parts) -> Resource:
    """All of it."""
    faces, lineup, on, wall, sliced = parts.faces, parts.lineup, parts.on, parts.wall, parts.sliced
    health = Health(
        lineup,
        faces.hub,
        faces.player.live,
        parts.lag,
        wall,
        parts.notices,
        on.guides,
        on.schedules,
        on.reach,
        lambda: faces.hls.cached,
    )
    index = IndexResource(lineup, faces.hub.kind_of, parts.notices, lambda ids: on.reader.now_next(ids, wall()))
    operations = operations_of(parts)
    tuners = TunersResource(faces, parts.tuners)
    root = ShortPaths(index, Router(operations, sliced), faces, tuners.numbered)
    playlist = PlaylistResource(faces.lineup, faces.hub.kind_of, sliced, faces.clock)
    brief = HealthResource(health.brief, managed=False, sliced=sliced)
    brief.putChild(b"detailed", HealthResource(health.detailed, managed=True, sliced=sliced))
    children: Iterable[tuple[bytes, Resource]] = (
        (b"playlist.m3u8", playlist),
        (b"playlist.m3u", playlist),
        (b"stream", StreamsResource(faces, parts.streams.channel)),
        (b"content", ContentResource(faces.hls, faces.player, keys=False)),
        (b"key", ContentResource(faces.hls, faces.player, keys=True)),
        (b"hls", PackagedResource(faces.packaged, faces.player, partial(NamedHls, faces, parts.streams.channel))),
        (b"logo", LogosResource(faces.lineup, parts.logos)),
        (b"health", brief),
        (b"ping", PingResource()),
        (b"metrics", MetricsResource(parts.metrics)),
        (b"api", _api(parts, operations)),
        *_guide(faces, on, wall),
        *login_pages(parts.admission, parts.passwords),
        (b"hdhr", tuners),
        *tuner_children(faces, parts.tuners, EVERYTHING.name, ""),
    )
    for path, resource in children:
        root.putChild(path, resource)
    for path, resource in xtream_children(parts, playlist, root.children[b"epg.xml"]):
        root.putChild(path, resource)
    return root


def operations_of(parts: Parts) -> list[Operation]:
    """All that can be done by the API; each part of it adds its own here."""
    return [
        *providers_operations(parts),
        *described(),
        *users_operations(parts),
        *own_channels_operations(parts),
        *panel_operations(parts),
        *webhooks_operations(parts),
        *streams_operations(parts),
        *clients_operations(parts),
        *stats_operations(parts),
    ]


def _api(parts: Parts, operations: Sequence[Operation]) -> Resource:
    faces, on, wall, sliced, reader = parts.faces, parts.on, parts.wall, parts.sliced, parts.on.reader
    api, epg = Folder(), Folder()
    api.putChild(b"openapi.json", OpenApiResource(operations, parts.offload))
    api.putChild(b"channels", ChannelsResource(channels_api(parts)))
    api.putChild(b"health", HealthResource(lambda: alive(wall), managed=False, sliced=sliced))
    api.putChild(b"events", EventsResource(reader, wall, sliced))
    api.putChild(b"search", SearchResource(reader, wall, sliced))
    api.putChild(b"epg", epg)
    api.putChild(b"live", LiveResource(on.activity, faces.clock, faces.lineup, parts.admission.accounts))
    epg.putChild(b"matches", MatchesResource(reader, sliced))
    return api


def _guide(faces: Faces, on: WhatIsOn, wall: Callable[[], float]) -> Iterator[tuple[bytes, Resource]]:
    slots = DeferredSemaphore(AT_ONCE)
    for name, packed in ((b"epg.xml", False), (b"epg.xml.gz", True)):
        yield name, GuideResource(on.database, on.pipe, on.reader.revision, on.days, packed, slots, faces.clock, wall)
