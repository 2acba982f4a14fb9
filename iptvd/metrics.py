"""What is counted, for Prometheus."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Callable, Iterable
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from iptvd import __version__
from iptvd.delivery.live import Live
from iptvd.delivery.session import Face, Session
from iptvd.delivery.slots import Slots
from iptvd.model import Channel, Outcome, ProviderState
from iptvd.refresh import ProviderStatus

#: Content type of the text format that `Metrics.text` gives.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# When a counter began to count is of no use here, and would double the text.
disable_created_metrics()

_LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
_FIRST_BYTE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class _Providers(Collector):
    """The providers as they are at the moment of asking."""

    def __init__(self, statuses: Callable[[], Iterable[ProviderStatus]]) -> None:
        self._statuses = statuses

    def collect(self) -> Iterable[GaugeMetricFamily]:
        state = GaugeMetricFamily(
            "iptvd_provider_state", "1 for the state a provider is in", labels=["provider", "state"]
        )
        entries = GaugeMetricFamily("iptvd_provider_entries", "Entries in use of a provider", labels=["provider"])
        last = GaugeMetricFamily(
            "iptvd_provider_last_good_timestamp_seconds", "When its entries were fetched", labels=["provider"]
        )
        for status in self._statuses():
            for one in ProviderState:
                state.add_metric([status.name, one.value], float(status.state is one))
            entries.add_metric([status.name], status.entries)
            if status.last_good is not None:
                last.add_metric([status.name], status.last_good)
        return (state, entries, last)


class _Bytes(Collector):
    """What was sent, of the sessions that are over and of those that go on: a live one may go on for days."""

    def __init__(self) -> None:
        self.sessions: set[Session] = set()
        self.over: Counts[str] = Counts()

    def collect(self) -> Iterable[CounterMetricFamily]:
        sent = self.over.copy()
        for session in self.sessions:
            sent[session.face.value] += session.bytes_sent
        family = CounterMetricFamily("iptvd_sent_bytes", "Bytes of media handed to viewers", labels=["face"])
        for face, count in sent.items():
            family.add_metric([face], count)
        return (family,)


class _Playing(Collector):
    """What plays at the moment of asking, channel by channel, and the connections that it takes."""

    def __init__(self, live: Live, slots: Slots, providers: Callable[[], Iterable[ProviderStatus]]) -> None:
        self._live = live
        self._slots = slots
        self._providers = providers

    def collect(self) -> Iterable[Metric]:
        return (*self._broadcasts(), *self._connections())

    def _broadcasts(self) -> Iterable[Metric]:
        def gauge(name: str, words: str, *more: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(f"iptvd_broadcast_{name}", words, labels=["channel", *more])

        def counter(name: str, words: str) -> CounterMetricFamily:
            return CounterMetricFamily(f"iptvd_broadcast_{name}", words, labels=["channel"])

        source = gauge("source", "1 for the source in use, by its provider and rank from 0", "provider", "rank")
        viewers = gauge("viewers", "Viewers of a shared channel")
        rate = gauge("bits_per_second", "What its source has brought in the last seconds")
        ring = gauge("ring_bytes", "Bytes kept of it")
        span = gauge("ring_seconds", "Seconds kept of it")
        received = counter("received_bytes", "Bytes that came since it is on")
        joins = counter("joins", "Viewers that have begun since it is on")
        switches = counter("switches", "Changes of source since it is on")
        for on_air in self._live.on_air.values():
            broadcast, feed, channel = on_air.broadcast, on_air.feed, str(on_air.channel.id)
            if feed.leading is not None:
                provider, rank = feed.leading
                source.add_metric([channel, provider, str(rank)], 1)
            viewers.add_metric([channel], len(broadcast.viewers))
            rate.add_metric([channel], feed.bitrate)
            ring.add_metric([channel], broadcast.ring.size)
            span.add_metric([channel], broadcast.ring.seconds)
            received.add_metric([channel], broadcast.bytes_in)
            joins.add_metric([channel], broadcast.joined)
            switches.add_metric([channel], feed.switches)
        return (source, viewers, rate, ring, span, received, joins, switches)

    def _connections(self) -> Iterable[Metric]:
        used = GaugeMetricFamily("iptvd_connections_used", "Connections to a provider", labels=["provider"])
        limit = GaugeMetricFamily("iptvd_connections_limit", "How many it allows, 0 for any", labels=["provider"])
        for status in self._providers():
            used.add_metric([status.name], self._slots.used(status.name))
            limit.add_metric([status.name], self._slots.limit(status.name))
        return (used, limit)


class Metrics:
    """
    The counters of one daemon, in a registry of its own.

    It is the observer of the hub's sessions (`iptvd.delivery.hub.SessionObserver`). Nothing of a single session is a
    label: there is no bound to how many there are in a year.

    :param seconds: a clock for what takes milliseconds.
    """

    def __init__(
        self, statuses: Callable[[], Iterable[ProviderStatus]], seconds: Callable[[], float] = perf_counter
    ) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=False)
        registry.register(_Providers(statuses))
        self._statuses = statuses
        self._seconds = seconds
        self._live: Live | None = None
        self._hls: Counts[int] = Counts()
        Gauge("iptvd_info", "What runs", ["version"], registry=registry).labels(__version__).set(1)
        self._active = Gauge("iptvd_sessions_active", "Sessions now", ["face"], registry=registry)
        self._started = Counter("iptvd_sessions_started", "Sessions admitted", ["face"], registry=registry)
        self._outcomes = Counter("iptvd_session_outcomes", "How sessions ended", ["outcome"], registry=registry)
        self._bytes = _Bytes()
        registry.register(self._bytes)
        self._first_byte = Histogram(
            "iptvd_first_byte_seconds",
            "From a session's beginning to its first byte of media; warm when its channel was on already",
            ["face", "start"],
            buckets=_FIRST_BYTE_BUCKETS,
            registry=registry,
        )
        self._upstreams = Counter("iptvd_upstreams_opened", "Requests made to origins", registry=registry)
        self._upstream_failures = Counter(
            "iptvd_upstream_failures",
            "Requests to origins that failed, by what the viewer got",
            ["status"],
            registry=registry,
        )
        self._refreshes = Counter("iptvd_refreshes", "Refreshes", ["provider", "state"], registry=registry)
        self.channels = Gauge("iptvd_channels", "Channels in the lineup", registry=registry)
        self._lag = Histogram(
            "iptvd_loop_lag_seconds", "How late the reactor is", buckets=_LAG_BUCKETS, registry=registry
        )
        for outcome in Outcome:
            self._outcomes.labels(outcome.value)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)

    def watch(self, live: Live, slots: Slots) -> None:
        """Tell of what plays, too."""
        self._live = live
        self.registry.register(_Playing(live, slots, self._statuses))

    def session_started(self, session: Session) -> None:
        """It was admitted."""
        self._active.labels(session.face.value).inc()
        self._started.labels(session.face.value).inc()
        self._bytes.sessions.add(session)
        begun, start = self._seconds(), "warm" if self._is_on(session) else "cold"

        def came(session: Session) -> None:
            self._first_byte.labels(session.face.value, start).observe(self._seconds() - begun)

        session.at_first_byte(came)
        if session.face is Face.HLS:
            self._hls[session.channel.id] += 1

    def _is_on(self, session: Session) -> bool:
        """Whether its channel can be joined at once: others watch it, or have until just now."""
        if session.face is Face.VOD:
            return False
        on_air = self._live.on_air.get(session.channel.id) if self._live is not None else None
        if on_air is not None and on_air.broadcast.ring.joins:
            return True
        return session.face is Face.HLS and self._hls[session.channel.id] > 0

    def session_ended(self, session: Session) -> None:
        """It has its outcome."""
        self._active.labels(session.face.value).dec()
        self._bytes.sessions.discard(session)
        self._bytes.over[session.face.value] += session.bytes_sent
        if session.face is Face.HLS:
            self._hls[session.channel.id] -= 1
            if not self._hls[session.channel.id]:
                del self._hls[session.channel.id]
        if session.outcome is not None:
            self._outcomes.labels(session.outcome.value).inc()

    def session_refused(self, channel: Channel, reason: str) -> None:
        """It was not admitted."""
        self._outcomes.labels(Outcome.REFUSED.value).inc()

    def upstream_opened(self) -> None:
        """An origin was asked."""
        self._upstreams.inc()

    def upstream_failed(self, status: int) -> None:
        """It did not deliver."""
        self._upstream_failures.labels(str(status)).inc()

    def refreshed(self, provider: str, state: ProviderState) -> None:
        """A refresh is over."""
        self._refreshes.labels(provider, state.value).inc()

    def loop_lag(self, seconds: float) -> None:
        """The reactor was this late."""
        self._lag.observe(seconds)
