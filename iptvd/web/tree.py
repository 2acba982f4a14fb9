"""The resource tree: which face is at which address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IConsumer
from twisted.web.resource import Resource

from iptvd.activity import Activity
from iptvd.admission import Admission
from iptvd.delivery.reach import Reach
from iptvd.epg.guides import GuideStatus
from iptvd.epg.reading import GuideReader
from iptvd.events import ScheduleStatus
from iptvd.lineup_service import LineupService
from iptvd.looplag import LoopLag
from iptvd.metrics import Metrics
from iptvd.model import Channel, Programme
from iptvd.settings import Config
from iptvd.store import Offload
from iptvd.tuners import EVERYTHING, Tuners
from iptvd.web.api import Folder
from iptvd.web.channels_api import ChannelsApi, ChannelsResource
from iptvd.web.content import ContentResource
from iptvd.web.guide import AT_ONCE, GuideResource
from iptvd.web.guide_api import EventsResource, MatchesResource, SearchResource
from iptvd.web.hdhomerun import TunersResource, tuner_children
from iptvd.web.health import Health, HealthResource, MetricsResource, PingResource
from iptvd.web.index import IndexResource
from iptvd.web.live_api import LiveResource
from iptvd.web.logo import LogoCache, LogosResource
from iptvd.web.packaged import PackagedResource
from iptvd.web.playlist import PlaylistResource
from iptvd.web.site import Root
from iptvd.web.stream import Faces, StreamsResource


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
    pipe: Callable[[Sequence[str], IConsumer], Deferred[tuple[int, bytes]]]
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
    )
    root = Root(IndexResource(lineup, faces.hub.kind_of, parts.notices, lambda ids: on.reader.now_next(ids, wall())))
    playlist = PlaylistResource(faces.lineup, faces.hub.kind_of, sliced)
    brief = HealthResource(health.brief, guarded=False, sliced=sliced)
    brief.putChild(b"detailed", HealthResource(health.detailed, guarded=True, sliced=sliced))
    children: Iterable[tuple[bytes, Resource]] = (
        (b"playlist.m3u8", playlist),
        (b"playlist.m3u", playlist),
        (b"stream", StreamsResource(faces)),
        (b"content", ContentResource(faces.hls, faces.player, keys=False)),
        (b"key", ContentResource(faces.hls, faces.player, keys=True)),
        (b"hls", PackagedResource(faces.packaged, faces.player)),
        (b"logo", LogosResource(faces.lineup, parts.logos)),
        (b"health", brief),
        (b"ping", PingResource()),
        (b"metrics", MetricsResource(parts.metrics)),
        (b"api", _api(faces, on, wall, sliced)),
        *_guide(faces, on, wall),
        (b"hdhr", TunersResource(faces, parts.tuners)),
        *tuner_children(faces, parts.tuners, EVERYTHING.name, ""),
    )
    for path, resource in children:
        root.putChild(path, resource)
    return root


def _api(
    faces: Faces, on: WhatIsOn, wall: Callable[[], float], sliced: Callable[[Iterator[object]], Awaitable[None]]
) -> Resource:
    reader = on.reader
    channels = ChannelsApi(faces.lineup, faces.hub.kind_of, on.reach.of, reader, on.short_guide, wall, sliced)
    api, epg = Folder(), Folder()
    api.putChild(b"channels", ChannelsResource(channels))
    api.putChild(b"events", EventsResource(reader, wall, sliced))
    api.putChild(b"search", SearchResource(reader, wall, sliced))
    api.putChild(b"epg", epg)
    api.putChild(b"live", LiveResource(on.activity, faces.clock))
    epg.putChild(b"matches", MatchesResource(reader, sliced))
    return api


def _guide(faces: Faces, on: WhatIsOn, wall: Callable[[], float]) -> Iterator[tuple[bytes, Resource]]:
    slots = DeferredSemaphore(AT_ONCE)
    for name, packed in ((b"epg.xml", False), (b"epg.xml.gz", True)):
        yield name, GuideResource(on.database, on.pipe, on.reader.revision, on.days, packed, slots, faces.clock, wall)
