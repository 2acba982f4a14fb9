"""The resource tree: which face is at which address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator

from twisted.web.resource import Resource

from iptvd.lineup_service import LineupService
from iptvd.looplag import LoopLag
from iptvd.metrics import Metrics
from iptvd.web.content import ContentResource
from iptvd.web.health import Health, HealthResource, MetricsResource, PingResource
from iptvd.web.index import IndexResource
from iptvd.web.logo import LogoCache, LogosResource
from iptvd.web.packaged import PackagedResource
from iptvd.web.playlist import PlaylistResource
from iptvd.web.site import Root
from iptvd.web.stream import Faces, StreamsResource


def build_tree(
    faces: Faces,
    lineup: LineupService,
    logos: LogoCache,
    metrics: Metrics,
    lag: LoopLag,
    wall: Callable[[], float],
    notices: Callable[[], list[str]],
    sliced: Callable[[Iterator[object]], Awaitable[None]],
) -> Resource:
    """All of it."""
    health = Health(lineup, faces.hub, faces.player.live, lag, wall, notices)
    root = Root(IndexResource(lineup, faces.hub.kind_of, notices))
    playlist = PlaylistResource(faces.lineup, faces.hub.kind_of, sliced)
    brief = HealthResource(health.brief, guarded=False)
    brief.putChild(b"detailed", HealthResource(health.detailed, guarded=True))
    children: Iterable[tuple[bytes, Resource]] = (
        (b"playlist.m3u8", playlist),
        (b"playlist.m3u", playlist),
        (b"stream", StreamsResource(faces)),
        (b"content", ContentResource(faces.hls, faces.player, keys=False)),
        (b"key", ContentResource(faces.hls, faces.player, keys=True)),
        (b"hls", PackagedResource(faces.packaged, faces.player)),
        (b"logo", LogosResource(faces.lineup, logos)),
        (b"health", brief),
        (b"ping", PingResource()),
        (b"metrics", MetricsResource(metrics)),
    )
    for path, resource in children:
        root.putChild(path, resource)
    return root
