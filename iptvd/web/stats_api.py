"""``/stats``: what is counted, for programs that know m3u-proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from iptvd.web.clients_api import ClientsApi, ClientsTold
from iptvd.web.operations import Call, Moment, Operation
from iptvd.web.stream_facts import ClientTold, ProxyStats, StreamFacts, StreamTold, time_of

if TYPE_CHECKING:
    from iptvd.web.tree import Parts


class Stats(ProxyStats, kw_only=True):
    """Everything; the sums are there twice, for there are programs that look for them in either place."""

    proxy_stats: ProxyStats
    streams: list[StreamTold]
    clients: list[ClientTold]


class Connections(Struct, kw_only=True):
    """Connections to origins, of all providers together."""

    active_connections: int


class Failovers(Struct, kw_only=True):
    """Changes of source of what is watched now."""

    total_failovers: int


class Performance(Struct, kw_only=True):
    """How late the daemon's loop is, in seconds."""

    loop_lag_seconds: float
    loop_lag_p99_seconds: float
    loop_lag_worst_seconds: float


class Errors(Struct, kw_only=True):
    """Sessions that failed, and sources that did while they were watched."""

    total_errors: int


class PerformanceTold(Struct, kw_only=True):
    """How it is doing."""

    connection_pool: Connections
    performance_metrics: Performance
    failover_stats: Failovers
    error_stats: Errors
    timestamp: Moment


class Detailed(Struct, kw_only=True):
    """The sums, and how it is doing."""

    proxy_stats: ProxyStats
    connection_pool_stats: Connections
    failover_stats: Failovers
    performance_metrics: Performance
    error_stats: Errors
    stream_count: int
    client_count: int


class StreamStats(Struct):
    """The streams."""

    total_streams: int
    streams: list[StreamTold]


def stats_operations(parts: Parts) -> list[Operation]:
    """What is counted."""
    facts = StreamFacts(parts.streams, parts.config)
    stats, clients = StatsApi(parts, facts), ClientsApi(parts.streams, facts)
    return [
        Operation("GET", "/stats", "Everything that is counted", stats.all, Stats),
        Operation("GET", "/stats/detailed", "Sums, and how it is doing", stats.detailed, Detailed),
        Operation("GET", "/stats/performance", "How it is doing", stats.performance, PerformanceTold),
        Operation("GET", "/stats/streams", "The streams", stats.streams, StreamStats),
        Operation("GET", "/stats/clients", "Everybody who watches", clients.all, ClientsTold),
    ]


class StatsApi:
    """Tells it."""

    def __init__(self, parts: Parts, facts: StreamFacts) -> None:
        self._parts = parts
        self._facts = facts

    async def all(self, call: Call) -> object:
        """Everything."""
        sums = self._facts.sums()
        return {**sums, "proxy_stats": sums, "streams": self._facts.all(), "clients": self._facts.clients()}

    async def detailed(self, call: Call) -> object:
        """The sums, and how it is doing."""
        sums, doing = self._facts.sums(), self._doing()
        return {
            "proxy_stats": sums,
            "connection_pool_stats": doing["connection_pool"],
            "failover_stats": doing["failover_stats"],
            "performance_metrics": doing["performance_metrics"],
            "error_stats": doing["error_stats"],
            "stream_count": sums["total_streams"],
            "client_count": sums["active_clients"],
        }

    async def performance(self, call: Call) -> object:
        """How it is doing."""
        return {**self._doing(), "timestamp": time_of(self._parts.wall())}

    async def streams(self, call: Call) -> object:
        """The streams."""
        return {"total_streams": self._facts.sums()["total_streams"], "streams": self._facts.all()}

    def _doing(self) -> dict[str, Any]:
        lag, faces = self._parts.lag, self._parts.faces
        switches = sum(each.feed.switches for each in faces.player.live.on_air.values())
        return {
            "connection_pool": {"active_connections": faces.hub.slots.total},
            "performance_metrics": {
                "loop_lag_seconds": round(lag.last, 4),
                "loop_lag_p99_seconds": round(lag.percentile(0.99), 4),
                "loop_lag_worst_seconds": round(lag.worst, 4),
            },
            "failover_stats": {"total_failovers": switches},
            "error_stats": {"total_errors": self._parts.streams.served.all.errors},
        }
