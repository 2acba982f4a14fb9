"""Everything that plays, made from the settings and put together: origins, what is shared, sessions, HLS."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from iptvd.accounts import Accounts
from iptvd.activity import Activity
from iptvd.children import Children
from iptvd.delivery.clips import Clips
from iptvd.delivery.feed import Timing
from iptvd.delivery.hls import HlsRelay
from iptvd.delivery.hub import Hub
from iptvd.delivery.isolated import Means
from iptvd.delivery.live import Live, LiveSettings
from iptvd.delivery.live_sources import LiveSources
from iptvd.delivery.opening import Opener
from iptvd.delivery.packaged import PackagedHls
from iptvd.delivery.reach import Reach, Watched
from iptvd.delivery.ring import Budget
from iptvd.delivery.segments import SegmentCache
from iptvd.delivery.slots import Slots
from iptvd.lineup_service import LineupService
from iptvd.metrics import Metrics
from iptvd.model import Channel
from iptvd.nearby import Faraway, is_private
from iptvd.protocols.http_upstream import Timeouts, connect_with
from iptvd.protocols.splice import AVAILABLE, PipePool
from iptvd.reporting import Reporter
from iptvd.served import Served
from iptvd.settings import Config
from iptvd.store import Offload
from iptvd.tokens import TokenBox
from iptvd.web.player import Player
from iptvd.web.stream import Faces


def ring_budget(config: Config) -> int:
    """Bytes that all rings together may take: a quarter of the machine's memory unless it is set."""
    if config.ring_budget_mb:
        return config.ring_budget_mb << 20
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4


def live_settings(config: Config) -> LiveSettings:
    """What concerns shared channels."""
    return LiveSettings(
        span=config.ring_seconds,
        join_back=config.join_back,
        probe_back=max(config.join_back, min(6.0, config.ring_seconds / 2)),
        linger=config.linger,
        slow=config.slow_timeout,
        timing=Timing(stall=config.stall_timeout),
    )


class Playing:
    """
    The parts, for the daemon to start, reconfigure and stop.

    :param sliced: see `iptvd.slices.Slicer`.
    :param ffmpeg: the program's path, empty where there is none.
    """

    def __init__(
        self,
        config: Config,
        lineup: LineupService,
        metrics: Metrics,
        reactor: Any,
        wall: Callable[[], float],
        offload: Offload,
        sliced: Callable[[Iterator[object]], Awaitable[None]],
        ffmpeg: str,
        token_key: bytes,
        accounts: Accounts,
    ) -> None:
        self._lineup = lineup
        self._config = config
        timeouts = Timeouts(config.connect_timeout, config.head_timeout)
        self.opener = opener = Opener(
            reactor,
            connect_with(reactor, timeouts),
            timeouts,
            offload,
            config.user_agent,
            metrics,
            connect_with(reactor, timeouts, Faraway(reactor, is_private)),
        )
        self.slots = slots = Slots(self._limit_of)
        self.cache = cache = SegmentCache(config.segment_cache_mb << 20, reactor)
        self._sources = LiveSources(opener, cache, reactor, sliced, ffmpeg, config.hls_variant_cap * 1000)
        self._budget = Budget(ring_budget(config))
        self.live = live = Live(
            lineup.sources, self._sources, slots, reactor, wall, self._budget, live_settings(config)
        )
        self.activity = Activity(reactor, wall)
        self.served = served = Served(metrics, wall)
        self.reporter = reporter = Reporter(self.activity, served, self._find, reactor)
        reporter.watch(slots)
        live.switched = self._switched
        self.reach = Reach(wall, reporter.reach_changed)
        watched = Watched(reporter, self.reach)
        self.hub = hub = Hub(lineup.sources, opener, watched, reactor, wall, config.max_streams, slots, accounts)
        metrics.watch(live, slots)
        self.hls = HlsRelay(hub, TokenBox(token_key, wall), self._find, reactor, sliced, config.proxy_content, cache)
        self.hls.switching.switched = self._switched
        self.packaged = PackagedHls(hub, live, self._find, reactor, wall, config.hls_target)
        self._pipes = PipePool() if AVAILABLE else None
        means = Means(reactor, reactor, self._pipes, config.stall_timeout, config.client_timeout)
        self._children = Children(reactor, reactor)
        self.clips = Clips(config.state_dir / "clips", ffmpeg, self._children.run, offload, reactor)
        self.clips.enable(config.refusal_clips)
        self.player = Player(live, means, self.clips)
        self.faces = Faces(lambda: lineup.lineup, hub, self.hls, self.packaged, self.player, reactor, self._shares)

    def reconfigure(self, config: Config) -> None:
        """Take on other settings, for what begins from now on."""
        self._config = config
        self.hub.max_streams = config.max_streams
        self.hub.forget_forms()
        self.hls.proxy_content = config.proxy_content
        self.player.set_timeouts(config.stall_timeout, config.client_timeout)
        self.live.settings = live_settings(config)
        self._sources.cap = config.hls_variant_cap * 1000
        self._budget.limit = ring_budget(config)
        self.packaged.target = config.hls_target
        self.clips.enable(config.refusal_clips)

    def shrink(self) -> None:
        """Give back what is only kept for the next viewer."""
        if self._pipes is not None:
            self._pipes.shrink()

    async def stop(self) -> None:
        """Let go of every connection, child and pipe; the sessions have been drained before."""
        self.clips.close()
        await self._children.stop()
        self.packaged.close()
        self.live.close()
        self.reporter.close()
        self.cache.clear()
        await self.opener.stop()
        if self._pipes is not None:
            self._pipes.close()

    def _find(self, channel_id: int) -> Channel | None:
        return self._lineup.lineup.by_id.get(channel_id)

    def _switched(self, channel: Channel, former: str, source: str, reason: str) -> None:
        self.served.switched(channel, former, source, reason)
        self.reporter.switched(channel, former, source, reason)

    def _limit_of(self, provider: str) -> int:
        """A provider's connections: as the settings say, else as the provider says itself."""
        for spec in self._config.providers:
            if spec.name == provider and spec.max_connections is not None:
                return spec.max_connections
        runner = self._lineup.runners.get(provider)
        account = runner.status.account if runner is not None else None
        return account.max_connections if account is not None else 0

    def _shares(self, channel: Channel) -> bool:
        """Whether the viewers of a live channel share one connection: as is said of it, of its provider, of all."""
        sharing = self._config.sharing
        for spec in self._config.providers:
            if spec.name == channel.provider and spec.sharing is not None:
                sharing = spec.sharing
        return (channel.sharing or sharing) != "isolated"
