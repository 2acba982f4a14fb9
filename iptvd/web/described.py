"""What resources of their own answer, described beside the operations: channels, events, search, guide, health."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from iptvd.activity import Kind
from iptvd.web.api import LIMIT, MAX_WORDS, MOST
from iptvd.web.channels_api import MOST_AT_ONCE, MOST_DAYS
from iptvd.web.guide_api import MOST_RESULTS, RESULTS
from iptvd.web.operations import Moment, Operation, Query

#: A time as an argument.
Time = Annotated[
    str,
    Meta(
        pattern=r"^(|[0-9]{1,10}|20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z)?)$",
        examples=["2030-01-31T20:15:00Z", "1900000000"],
    ),
]
Words = Annotated[str, Meta(max_length=MAX_WORDS)]
Offset = Annotated[int, Meta(ge=0, le=10_000_000)]


class ProgrammeTold(Struct, kw_only=True):
    """Something that is shown."""

    title: str | UnsetType = UNSET
    start: Moment | UnsetType = UNSET
    end: Moment | UnsetType = UNSET
    subtitle: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    categories: list[str] | UnsetType = UNSET
    episode: str | UnsetType = UNSET


class Reached(Struct, kw_only=True):
    """Whether a channel could be had lately."""

    state: str
    reason: str | UnsetType = UNSET
    last_seen: Moment | UnsetType = UNSET
    last_tried: Moment | UnsetType = UNSET


class ChannelTold(Struct, kw_only=True):
    """A channel; what is empty is left out."""

    id: int
    status: Reached
    number: int | UnsetType = UNSET
    name: str | UnsetType = UNSET
    group: str | UnsetType = UNSET
    kind: Literal["live", "radio", "vod"] | UnsetType = UNSET
    tvg_id: str | UnsetType = UNSET
    logo: str | UnsetType = UNSET
    stream: str | UnsetType = UNSET
    providers: list[str] | UnsetType = UNSET
    unsupported: str | UnsetType = UNSET
    now: ProgrammeTold | UnsetType = UNSET
    next: ProgrammeTold | UnsetType = UNSET


class ChannelsTold(Struct):
    """A page of the lineup."""

    channels: list[ChannelTold]
    offset: int
    limit: int
    total: int


class ChannelNamed(Struct):
    """A channel by its name."""

    id: int
    name: str


class ProgrammesTold(Struct):
    """What a channel shows."""

    channel: ChannelNamed
    programmes: list[ProgrammeTold]


class EventTold(Struct):
    """What a provider announces."""

    id: int
    title: str
    category: str
    start: Moment | None
    end: Moment | None
    live: bool
    channels: list[ChannelNamed]
    provider: str


class EventsTold(Struct):
    """In the order in which they begin."""

    events: list[EventTold]


class ResultTold(Struct):
    """A channel, an event or a programme; the rest depends on which."""

    type: Literal["channel", "event", "programme"]


class SearchTold(Struct):
    """What was found."""

    query: str
    results: list[ResultTold]


class MatchTold(Struct):
    """Which guide channel was found for a channel."""

    channel: ChannelNamed
    source: str
    guide_id: str
    how: str
    score: float
    shift_seconds: float


class MatchesTold(Struct):
    """The least certain first."""

    matches: list[MatchTold]


class LagTold(Struct):
    """How late the daemon's loop is, in seconds."""

    last: float
    p99: float
    worst: float


class HealthTold(Struct, kw_only=True):
    """How the daemon is; a reason for each provider, guide and schedule that is not well."""

    status: Literal["healthy", "degraded", "failing"]
    reasons: dict[str, str]
    channels_count: int
    cache_size: Annotated[int, Meta(description="Segments and keys of HLS that are kept.")]
    active_channels: int
    total_active_streams: int
    max_concurrent_streams: Annotated[int, Meta(description="0 for no limit.")]
    stream_utilization: Annotated[str, Meta(examples=["40.0%"])]
    uptime: Annotated[float, Meta(description="Seconds, as is uptime_seconds.")]
    uptime_seconds: float
    version: str
    loop_lag_seconds: LagTold


class HealthDetailed(HealthTold, kw_only=True):
    """The same, and all that there is to it."""

    providers: list[dict[str, Any]]
    reachable: dict[str, int]
    guides: list[dict[str, Any]]
    schedules: list[dict[str, Any]]
    broadcasts: list[dict[str, Any]]
    sessions: list[dict[str, Any]]
    ended: list[dict[str, Any]]
    outcomes: dict[str, int]
    notices: list[str]


class DocumentTold(Struct):
    """An OpenAPI document: the one that describes all this."""

    openapi: str


def described() -> list[Operation]:
    """All of them."""
    query, start = Query("q", "Words to look for.", Words), Query("from", "When it begins.", Time)
    offset, until = Query("offset", "How many are left out.", Offset), Query("to", "When it ends.", Time)
    return [
        _get("/health", "How the daemon is; status 503, with the same, when it is failing", HealthTold),
        _get("/health/detailed", "How it is, at length; likewise", HealthDetailed, manages=True),
        _get("/api/openapi.json", "What the API can do", DocumentTold),
        _get(
            "/api/channels",
            "The lineup, page by page",
            ChannelsTold,
            query,
            Query("group", "Those of a group."),
            Query("provider", "Those of a provider."),
            Query("type", "Those of a kind.", Literal["live", "radio", "vod"]),
            Query("hidden", "Those too that are hidden or switched off; for who manages.", bool),
            offset,
            _limit(LIMIT, MOST_AT_ONCE),
        ),
        _get("/api/channels/{id}", "A channel", ChannelTold),
        _get(
            "/api/channels/{id}/programmes",
            f"What a channel shows: a day from now on, or between two times, {MOST_DAYS} days at most",
            ProgrammesTold,
            start,
            until,
        ),
        _get(
            "/api/events",
            "What the providers announce",
            EventsTold,
            query,
            Query("category", "Those of a category."),
            Query("live", "Those that are on now.", bool),
            start,
            until,
            offset,
            _limit(MOST, MOST),
        ),
        _get(
            "/api/search",
            "Channels, and what is on and comes next",
            SearchTold,
            Query("q", "Words to look for.", Annotated[str, Meta(max_length=MAX_WORDS, pattern=r"\S")], required=True),
            _limit(RESULTS, MOST_RESULTS),
        ),
        _get(
            "/api/epg/matches",
            "How the guide fits",
            MatchesTold,
            Query("how", "Those that were found so.", Literal["rule", "id", "name", "fuzzy"]),
            offset,
            _limit(LIMIT, MOST),
            manages=True,
        ),
        Operation(
            "GET",
            "/api/live",
            "What happens, as Server-Sent Events; Last-Event-ID goes on where one was",
            None,
            None,
            query=(
                Query("types", f"Some of {', '.join(kind.value for kind in Kind)}, with commas between."),
                Query("last_event_id", "As the header."),
            ),
            manages=False,
            errors=(400,),
            content_type="text/event-stream",
        ),
    ]


def _get(path: str, summary: str, answer: type, *query: Query, manages: bool = False) -> Operation:
    errors = (400,) if query else ()
    return Operation("GET", path, summary, None, answer, query=query, manages=manages, errors=errors)


def _limit(default: int, most: int) -> Query:
    return Query("limit", f"How many at most; {default} without it.", Annotated[int, Meta(ge=1, le=most)])
