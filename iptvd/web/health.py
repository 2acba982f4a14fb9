"""``/health``, ``/health/detailed``, ``/ping`` and ``/metrics``: how we are, for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from attrs import asdict
from twisted.web.server import Request

from iptvd import __version__
from iptvd.delivery.hub import Hub
from iptvd.delivery.live import Live, OnAir
from iptvd.delivery.reach import Reach
from iptvd.delivery.session import Session
from iptvd.delivery.slots import Slots
from iptvd.delivery.viewers import Viewer
from iptvd.epg.guides import GuideStatus
from iptvd.events import ScheduleStatus
from iptvd.lineup_service import LineupService
from iptvd.looplag import LoopLag
from iptvd.metrics import CONTENT_TYPE, Metrics
from iptvd.model import Outcome, ProviderState
from iptvd.public import moment, without_urls
from iptvd.refresh import ProviderStatus
from iptvd.web.answering import AnswerResource
from iptvd.web.request import require_viewer, send, who_of

#: Pieces of JSON that are written in one step, and bytes from which on it is not compressed: that cannot be sliced.
_PARTS = 256
_MOST_GZIP = 1 << 17

#: States in which a provider is as it should be, or soon will be.
_FINE = (ProviderState.OK, ProviderState.LOADING)


def judge(statuses: Iterable[ProviderStatus], channels: int) -> tuple[str, dict[str, str]]:
    """
    ``healthy``, ``degraded`` or ``failing``, and why: a reason for each provider that is not well.

    Failing means that there is nothing to watch and nothing on its way.
    """
    statuses = list(statuses)
    reasons = {status.name: _reason(status) for status in statuses if status.state not in _FINE}
    if not reasons:
        return "healthy", reasons
    loading = any(status.state is ProviderState.LOADING for status in statuses)
    return ("failing" if not channels and not loading else "degraded"), reasons


def _reason(status: ProviderStatus | GuideStatus | ScheduleStatus) -> str:
    state = status.state.value
    return f"{state}: {without_urls(status.sentence)}" if status.sentence else state


class Health:
    """
    Gathers what is told.

    :param cached: gives how many segments and keys are kept, which several viewers may ask for.
    """

    def __init__(
        self,
        lineup: LineupService,
        hub: Hub,
        live: Live,
        lag: LoopLag,
        wall: Callable[[], float],
        notices: Callable[[], Iterable[str]],
        guides: Callable[[], Sequence[GuideStatus]] = list,
        schedules: Callable[[], Sequence[ScheduleStatus]] = list,
        reach: Reach | None = None,
        cached: Callable[[], int] = int,
    ) -> None:
        self._cached = cached
        self._reach = reach
        self._guides = guides
        self._schedules = schedules
        self._lineup = lineup
        self._hub = hub
        self._live = live
        self._lag = lag
        self._wall = wall
        self._notices = notices
        self._started = wall()

    def brief(self) -> dict[str, object]:
        """What anyone may know."""
        channels = self._lineup.lineup.channels
        status, reasons = judge(self._lineup.statuses, len(channels))
        # Without a guide or a schedule there is still everything to watch.
        reasons |= {f"guide {each.name}": _reason(each) for each in self._guides() if each.state not in _FINE}
        reasons |= {f"events of {each.name}": _reason(each) for each in self._schedules() if each.state not in _FINE}
        if reasons and status == "healthy":
            status = "degraded"
        sessions = self._hub.sessions.values()
        most = self._hub.max_streams
        uptime = round(self._wall() - self._started, 1)
        return {
            "status": status,
            "reasons": reasons,
            "channels_count": len(channels),
            "cache_size": self._cached(),
            "active_channels": len({session.channel.id for session in sessions}),
            "total_active_streams": len(sessions),
            "max_concurrent_streams": most,
            "stream_utilization": f"{100 * len(sessions) / most if most else 0:.1f}%",
            # By both names, for there are dashboards that look for either.
            "uptime": uptime,
            "uptime_seconds": uptime,
            "version": __version__,
            "loop_lag_seconds": {
                "last": round(self._lag.last, 4),
                "p99": round(self._lag.percentile(0.99), 4),
                "worst": round(self._lag.worst, 4),
            },
        }

    def detailed(self) -> dict[str, object]:
        """What those may know who manage; the sessions as an iterator, for there may be thousands."""
        channels = self._lineup.lineup.channels
        on_air = self._live.on_air.values()
        viewers = {viewer.session.id: viewer for each in on_air for viewer in each.broadcast.viewers}
        return {
            **self.brief(),
            "providers": [_provider(status, self._hub.slots) for status in self._lineup.statuses],
            "reachable": self._reach.counts(len(channels)) if self._reach is not None else {},
            "guides": [_facts(status) for status in self._guides()],
            "schedules": [_facts(status) for status in self._schedules()],
            "broadcasts": [_broadcast(each) for each in on_air],
            # Of those there are now: one that ends before it is looked at is told of all the same.
            "sessions": (self._session(each, viewers.get(each.id)) for each in list(self._hub.sessions.values())),
            "ended": [_ended(session, at) for session, at in reversed(self._hub.ended)],
            "outcomes": {each.value: self._hub.outcomes[each] for each in Outcome},
            "notices": list(self._notices()),
        }

    def _session(self, session: Session, viewer: Viewer | None) -> Mapping[str, object]:
        """One session; how far it lags is known of those alone that share a stream."""
        return {
            **_session_facts(session, self._wall()),
            "lag_bytes": viewer.lag if viewer is not None else None,
            "lag_seconds": round(viewer.behind, 3) if viewer is not None else None,
            "jumps": viewer.jumps if viewer is not None else None,
        }


def _session_facts(session: Session, until: float) -> Mapping[str, object]:
    return {
        "id": session.id,
        "channel_id": session.channel.id,
        "channel": session.channel.name,
        "face": session.face.value,
        "address": session.viewer.address,
        "user": session.viewer.user,
        "user_agent": session.viewer.agent,
        "seconds": round(until - session.started, 1),
        "bytes": session.bytes_sent,
    }


def _ended(session: Session, at: float) -> Mapping[str, object]:
    """A session that has ended, and how."""
    outcome = session.outcome.value if session.outcome is not None else ""
    return {
        **_session_facts(session, at),
        "at": moment(at),
        "outcome": outcome,
        "reason": without_urls(session.reason),
    }


def _broadcast(on_air: OnAir) -> Mapping[str, object]:
    broadcast, feed = on_air.broadcast, on_air.feed
    return {
        "channel_id": on_air.channel.id,
        "channel": on_air.channel.name,
        "state": feed.state.value,
        "source": feed.source,
        "switches": feed.switches,
        "viewers": len(broadcast.viewers),
        "joined": broadcast.joined,
        "bytes_in": broadcast.bytes_in,
        "bits_per_second": round(feed.bitrate),
        "ring_bytes": broadcast.ring.size,
        "ring_seconds": round(broadcast.ring.seconds, 1),
        "join_points": len(broadcast.ring.joins),
    }


def _provider(status: ProviderStatus, slots: Slots) -> Mapping[str, object]:
    return {**_facts(status), "connections": {"used": slots.used(status.name), "limit": slots.limit(status.name)}}


def _facts(status: ProviderStatus | GuideStatus | ScheduleStatus) -> dict[str, object]:
    facts = asdict(status)
    facts["state"] = status.state.value
    facts["sentence"] = without_urls(status.sentence)
    facts["skipped"] = {without_urls(reason): count for reason, count in status.skipped.items()}
    return facts


class HealthResource(AnswerResource):
    """
    ``/health`` and ``/health/detailed``: 503 when failing.

    :param facts: gives JSON values by names, and iterators of them for lists that are made in steps.
    :param sliced: see `iptvd.slices.Slicer`.
    """

    def __init__(
        self,
        facts: Callable[[], dict[str, object]],
        managed: bool,
        sliced: Callable[[Iterator[object]], Awaitable[None]],
    ) -> None:
        super().__init__()
        self.isLeaf = self.managed = managed
        self.guarded = False
        self._facts = facts
        self._sliced = sliced

    async def answer(self, request: Request) -> bytes:
        """The facts as JSON."""
        facts = self._facts()
        if facts["status"] == "failing":
            request.setResponseCode(503)
        request.setHeader("Cache-Control", "no-store")
        body = bytearray()

        def steps() -> Iterator[object]:
            for name, value in facts.items():
                if isinstance(value, Iterator):
                    facts[name] = made = []
                    for each in value:
                        made.append(each)
                        yield None
            parts = json.JSONEncoder(indent=1).iterencode(facts)
            while some := "".join(islice(parts, _PARTS)):
                body.extend(some.encode())
                yield None
            body.extend(b"\n")

        await self._sliced(steps())
        return send(request, bytes(body), "application/json", compress=len(body) < _MOST_GZIP)


class PingResource(AnswerResource):
    """``/ping``: that we are there."""

    guarded = False

    async def answer(self, request: Request) -> bytes:
        """It says pong."""
        request.setHeader("Cache-Control", "no-store")
        return send(request, b"pong\n", "text/plain; charset=utf-8")


class MetricsResource(AnswerResource):
    """``/metrics``, for those who may watch and those who manage."""

    guarded = False

    def __init__(self, metrics: Metrics) -> None:
        super().__init__()
        self._metrics = metrics

    async def answer(self, request: Request) -> bytes:
        """The counters."""
        if not who_of(request).manager:
            require_viewer(request)
        request.setHeader("Cache-Control", "no-store")
        return send(request, self._metrics.text(), CONTENT_TYPE)
