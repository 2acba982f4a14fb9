"""The daemon: every part made from one `Config`, started together, reloaded without dropping a stream, drained."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, TypeVar

from attrs import field, frozen
from twisted.application.service import MultiService
from twisted.internet import tcp, unix
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import LogLevel

from iptvd.admission import Admission
from iptvd.children import Children
from iptvd.delivery.kept_on import KeptOn
from iptvd.epg.guides import GuideSource
from iptvd.fetch import Fetcher
from iptvd.garbage import GarbageService
from iptvd.hdhomerun import TunerDiscovery
from iptvd.kept_provider import NAME as KEPT
from iptvd.kept_provider import KeptProvider
from iptvd.kept_webhooks import KeptWebhooks
from iptvd.lineup_service import LineupService
from iptvd.listening import ListenService, default_endpoints
from iptvd.log import Log
from iptvd.looplag import LoopLag
from iptvd.metrics import Metrics
from iptvd.model import ProviderState
from iptvd.notify import Notifier, WatchdogService
from iptvd.overrides import Overrides
from iptvd.passwords import Passwords
from iptvd.playing import Playing
from iptvd.posting import Posting
from iptvd.proxied import ProxiedFactory, for_proxies
from iptvd.proxies import Fetchers
from iptvd.quiet import QuietService, give_back_memory
from iptvd.refresh import ProviderRunner
from iptvd.rules import Rules
from iptvd.runners import Runners
from iptvd.settings import Config, Loaded
from iptvd.slices import Slicer
from iptvd.sqlite_store import SqliteStore
from iptvd.store import Offload, RowsFile, open_state_dir
from iptvd.streams import Streams
from iptvd.telling import Telling
from iptvd.tokens import load_key
from iptvd.tuners import Tuners
from iptvd.web.edges import Edges
from iptvd.web.logo import LogoCache
from iptvd.web.site import IptvdSite
from iptvd.web.tree import Parts, WhatIsOn, build_tree
from iptvd.webhooks import Webhooks

T = TypeVar("T")

#: What cannot be changed while the daemon runs.
_NEEDS_RESTART = (
    "listen",
    "listen_proxy",
    "port",
    "host",
    "state_dir",
    "ffmpeg",
    "connect_timeout",
    "head_timeout",
    "user_agent",
)

#: Seconds between two looks at what viewers' sockets have not taken yet.
_LOOK_AGAIN = 0.02


def threads_of(reactor: Any) -> Offload:
    """The reactor's own threads, for disk work."""

    def offload(work: Callable[..., T], /, *args: object) -> Awaitable[T]:
        return deferToThreadPool(reactor, reactor.getThreadPool(), work, *args)

    return offload


@frozen
class Surroundings:
    """
    What the daemon is started in; everything that a test replaces.

    :ivar reactor: the reactor, for time, connections and processes.
    :ivar wall: seconds since the epoch.
    :ivar ffmpeg: the program's path, or empty.
    """

    reactor: Any
    ffmpeg: str
    notifier: Notifier
    wall: Callable[[], float] = time.time
    random: Random = field(factory=Random)


class Daemon(MultiService):
    """All of iptvd."""

    log = Log()

    def __init__(self, loaded: Loaded, around: Surroundings) -> None:
        super().__init__()
        self._loaded = loaded
        self._around = around
        self._stopping = False
        config, reactor = loaded.config, around.reactor
        #: That of the start, whatever the settings say later.
        self._state_dir = config.state_dir
        open_state_dir(self._state_dir)
        key = load_key(self._state_dir / "tokens.key")
        self._offload = threads_of(reactor)
        self._sliced = Slicer(reactor)
        self._children = Children(reactor, reactor)
        self.fetchers = Fetchers(reactor, config.user_agent, config.connect_timeout)
        self.lineup = LineupService(self._rows("identities.rows", "identities 1"), self._sliced, self._published)
        store = SqliteStore(self._state_dir, self._offload)
        self.admission = Admission(store, key, config, reactor, around.wall)
        kept = KeptProvider(
            self.admission.records,
            lambda: self._loaded.config.user_agent,
            lambda: self._loaded.config.allow_private_upstreams,
            self._kept_otherwise,
        )
        self._runners = Runners(
            self._state_dir,
            self.fetchers,
            self._rows,
            self._children.run,
            around.ffmpeg,
            reactor,
            around.wall,
            around.random,
            self._sliced,
            self.lineup.rebuild,
            self._refreshed,
            {KEPT: kept},
        )
        overrides = Overrides(self.admission.records, self.lineup.rebuild)
        self.lineup.overrides = lambda: overrides.all
        self.metrics = Metrics(lambda: self.lineup.statuses)
        self.lag = LoopLag(reactor, observe=self.metrics.loop_lag)
        self.playing = Playing(
            config,
            self.lineup,
            self.metrics,
            reactor,
            around.wall,
            self._offload,
            self._sliced,
            around.ffmpeg,
            key,
            self.admission.accounts,
        )
        self.hub = self.playing.hub
        self.streams = Streams(
            self.admission.records,
            kept,
            self.lineup,
            self.hub,
            self.playing.live,
            self.playing.hls,
            self.playing.served,
            reactor,
        )
        self.admission.accounts.on_change(
            lambda revoked: self.hub.end_all_of(revoked, "this account may not watch any more")
        )
        self.logos = LogoCache(
            self._state_dir / "logos", self._fetcher_for, self._offload, around.wall, config.logo_cache_mb << 20
        )
        self.telling = Telling(
            self.lineup,
            self.playing,
            self._state_dir,
            self._rows,
            self._guide_fetcher,
            self._children.run,
            self._offload,
            reactor,
            around.wall,
            around.random,
            self._sliced,
        )
        posting = Posting(reactor, config.user_agent, config.connect_timeout)
        self.webhooks = Webhooks(self.playing.activity, posting, reactor, around.random)
        self.metrics.registry.register(self.webhooks)
        self.kept_webhooks = KeptWebhooks(self.admission.records, self.webhooks)
        self.tuners = Tuners(
            load_key(self._state_dir / "hdhomerun.key"),
            self.playing.faces.lineup,
            lambda: self.hub.max_streams,
            self.playing.slots.limit,
            self._sliced,
            lambda: self.admission.access,
        )
        on = WhatIsOn(
            self.telling.epg.database,
            self.telling.epg.reader,
            lambda: self.telling.epg.statuses,
            lambda: self.telling.events.statuses,
            self._children.pipe,
            lambda: self._loaded.config.epg_days,
            self.playing.reach,
            self.telling.short_guides,
            self.playing.activity,
        )
        parts = Parts(
            self.playing.faces,
            self.lineup,
            self.logos,
            self.metrics,
            self.lag,
            around.wall,
            lambda: [*self.notices, *self.discovery.notices],
            self._sliced,
            on,
            self.tuners,
            self.admission,
            lambda: self._loaded.config,
            self._offload,
            Passwords(self._offload),
            self.kept_webhooks,
            KeptOn(self.playing.live, around.wall),
            self.streams,
        )
        self.edges = Edges(reactor, config)
        self.site = IptvdSite(
            build_tree(parts), lambda: self.admission.access, self.admission.logins, reactor, self.edges
        )
        alternatives: Sequence[Sequence[str]] = [[each] for each in config.listen]
        self.listening = ListenService(reactor, alternatives or default_endpoints(config.host, config.port), self.site)
        proxied = ProxiedFactory(self.site, lambda: self._loaded.config.trusted_proxies, reactor)
        self.listening_for_proxies = ListenService(reactor, for_proxies(config.listen_proxy), proxied)
        self.discovery = TunerDiscovery(
            self.tuners, self.site, lambda: self.listening.ports, lambda: self.admission.access.trust, reactor
        )
        watchdog = WatchdogService(around.notifier, reactor, lambda: True)
        garbage = GarbageService(reactor, self._idle)
        quiet = QuietService(reactor, self._idle, (self.playing.shrink, give_back_memory))
        for service in (garbage, quiet, self.lineup, self.telling, self.lag, watchdog, self.discovery, self.webhooks):
            service.setServiceParent(self)
        self._configure(config, self._runners.configure(loaded))

    # Starting and stopping

    def privilegedStartService(self) -> None:
        """Bind the ports, while we may still be root."""
        self.listening.bind()
        self.listening_for_proxies.bind()
        super().privilegedStartService()

    def startService(self) -> None:
        """Start, and say so."""
        super().startService()
        for notice in self.notices:
            self.log.warn("{notice}", notice=notice)
        for address in self.listening.addresses:
            self.log.info("listening on {address}", address=address)
        for address in self.listening_for_proxies.addresses:
            self.log.info("listening for proxies on {address}", address=address)
        self._around.notifier.ready(self._status())

    def stopService(self) -> Deferred[Any]:
        """Take nobody new, let viewers finish within the drain time, then stop everything."""
        self._stopping = True
        self._around.notifier.stopping("ending the viewers' sessions")
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        until = self._around.reactor.seconds() + self._loaded.config.drain_timeout
        await self.listening.stopService()
        await self.listening_for_proxies.stopService()
        await self.hub.drain(self._loaded.config.drain_timeout)
        self.playing.activity.close()
        await self._sent(until)
        await super().stopService()
        self._sliced.stop()
        await self._children.stop()
        await self.playing.stop()
        self.admission.close()
        await self.fetchers.stop()

    async def _sent(self, until: float) -> None:
        """Wait until viewers' sockets have taken what is theirs: what a transport holds is lost with it."""
        reactor = self._around.reactor
        while reactor.seconds() < until:
            if not any(isinstance(each, tcp.Server | unix.Server) for each in reactor.getWriters()):
                return
            await deferLater(reactor, _LOOK_AGAIN)

    # Settings

    @property
    def notices(self) -> list[str]:
        """What the operator should know of the settings, and of what is kept."""
        return [*self._loaded.notices, *self.admission.notices]

    def reload(self, loaded: Loaded) -> None:
        """
        Take on other settings: what plays goes on playing, providers that did not change are only refreshed.

        :raises IptvdError: when they cannot be used; nothing has changed then.
        """
        if self._stopping:
            return
        runners = self._runners.configure(loaded)
        self._around.notifier.reloading()
        before, config = self._loaded.config, loaded.config
        for name in _NEEDS_RESTART:
            if getattr(before, name) != getattr(config, name):
                self.log.warn("{setting} has changed: restart iptvd to use it", setting=name)
        self._loaded = loaded
        for notice in loaded.notices:
            self.log.warn("{notice}", notice=notice)
        self.admission.configure(config)
        self.edges.limits = config
        self.playing.reconfigure(config)
        self.logos.limit = config.logo_cache_mb << 20
        self._configure(config, runners)
        self.lineup.refresh()
        self.telling.refresh()
        self.log.info("settings reloaded")
        self._around.notifier.ready(self._status())

    def _configure(self, config: Config, runners: dict[str, ProviderRunner]) -> None:
        Log.least = LogLevel.levelWithName(config.log_level)
        self.lineup.configure(runners, Rules(config.rules), config.merge_by_tvg_id)
        self.telling.configure(config)
        self.kept_webhooks.configure(config)
        self.tuners.configure(config.hdhomerun, config.hdhomerun_tuners)
        self.discovery.configure(config)

    def _fetcher_for(self, provider: str = "") -> Fetcher:
        """What fetches for a provider, without one for the operator, by the way that the settings say now."""
        return self.fetchers.through(self._loaded.config.proxy_of(provider))

    def _guide_fetcher(self, source: GuideSource) -> Fetcher:
        return self._fetcher_for(*source.providers[:1])

    def _rows(self, path: str, kind: str) -> RowsFile:
        return RowsFile(self._state_dir / path, kind, self._sliced, self._offload)

    # The rest

    def _kept_otherwise(self) -> None:
        """What the API keeps for the lineup is something else than before."""
        runner = self.lineup.runners.get(KEPT)
        if runner is not None:
            runner.refresh(afresh=True)

    def _refreshed(self, provider: str, state: ProviderState) -> None:
        self.hub.forget_forms()
        self.metrics.refreshed(provider, state)
        runner = self.lineup.runners.get(provider)
        self.playing.reporter.refreshed(provider, state, runner.status.sentence if runner is not None else "")

    def _published(self, lineup: object) -> None:
        self.telling.published()
        self.metrics.channels.set(len(self.lineup.lineup.channels))
        self.log.info("the lineup has {channels} channels", channels=len(self.lineup.lineup.channels))
        self._around.notifier.status(self._status())

    def _idle(self) -> bool:
        """Whether nobody watches."""
        return not self.hub.sessions

    def _status(self) -> str:
        return f"{len(self.lineup.lineup.channels)} channels, {len(self.hub.sessions)} viewers"
