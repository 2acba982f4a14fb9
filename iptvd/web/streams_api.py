"""``/streams``: streams that programs have us keep, as those that know m3u-proxy do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, Struct

from iptvd.model import Channel, SourceKind
from iptvd.protocols.stream_url import MAX_URL
from iptvd.settings import Config
from iptvd.stream_records import MOST, Stream, form_of, id_of
from iptvd.streams import Posted, Streams
from iptvd.web.api import Sliced
from iptvd.web.bodies import check_extra
from iptvd.web.operations import Call, Operation, Query
from iptvd.web.request import Refusal, caller_of
from iptvd.web.source_urls import check_headers, check_url, check_urls
from iptvd.web.stream_facts import ClientTold, StreamFacts, StreamId, StreamTold, endpoint_of

if TYPE_CHECKING:
    from iptvd.web.tree import Parts

#: Further URLs, headers and metadata that a stream can have.
MOST_URLS = 64
MOST_HEADERS = 32
MOST_METADATA = 64

_MESSAGES = {
    Posted.CREATED: "Stream created",
    Posted.SAME: "The stream is there already, as it is asked for",
    Posted.CHANGED: "The stream is there already; what is different now counts from its next switch on",
}

Url = Annotated[str, Meta(min_length=1, max_length=MAX_URL, description="http or https.")]
Text = Annotated[str, Meta(max_length=1000)]
Value = Text | int | float | bool | None
Field = Annotated[str, Meta(max_length=200)]


class NewStream(Struct, kw_only=True):
    """A stream to keep; what is left out of one that is there already stays. Other fields are kept with it."""

    url: Url
    failover_urls: (
        Annotated[list[Url], Meta(max_length=MOST_URLS, description="In turn, when the one before fails.")] | None
    ) = None
    user_agent: Annotated[str, Meta(max_length=512, description="Empty for ours.")] | None = None
    headers: Annotated[dict[str, str], Meta(max_length=MOST_HEADERS)] | None = None
    metadata: (
        Annotated[dict[Field, Value], Meta(max_length=MOST_METADATA, description="Values become text.")] | None
    ) = None
    name: Annotated[Text, Meta(description="In the lineup; else metadata's name, title or channel_name.")] | None = (
        None
    )


class StreamCreated(Struct, kw_only=True):
    """Where it is played."""

    stream_id: StreamId
    stream_endpoint: Annotated[str, Meta(description="The path at which it is played in its own form.")]
    message: str
    primary_url: str
    failover_urls: list[str]
    user_agent: str
    stream_type: Annotated[str, Meta(description="hls or direct.")]
    playlist_url: Annotated[str, Meta(description="The path at which its HLS is.")]
    direct_url: Annotated[str, Meta(description="The path at which it is as one stream, or file.")]
    stream_url: Annotated[str, Meta(description="The whole URL of stream_endpoint.")]
    metadata: dict[str, str]
    channel_id: Annotated[int | None, Meta(description="Its id in the lineup; null where a rule hides it.")]


class StreamsTold(Struct):
    """All that are kept."""

    streams: list[StreamTold]
    total: int


class StreamInfo(Struct):
    """One, and who watches it."""

    stream: StreamTold
    clients: list[ClientTold]
    client_count: int


class Done(Struct):
    """What has been done."""

    message: str


class FailedOver(Struct, kw_only=True):
    """Where it comes from now; new_url is the same."""

    message: str
    current_url: Annotated[str, Meta(description="Empty for what a provider lists.")]
    new_url: str
    active_clients: int


class Filter(Struct):
    """What was asked for."""

    field: str
    value: str


class Matching(Struct):
    """Those that have it."""

    filter: Filter
    active_only: bool
    matching_streams: list[StreamTold]
    total_matching: int
    total_clients: int


class Skipped(Struct):
    """One that was left."""

    stream_id: StreamId
    reason: str


class Deleted(Struct):
    """Those that were deleted."""

    message: str
    deleted_streams: list[StreamId]
    skipped_streams: list[Skipped]
    deleted_count: int


_BY = (
    Query("field", "The name of a field of the metadata.", required=True),
    Query("value", "What it is to have there.", required=True),
)


def streams_operations(parts: Parts) -> list[Operation]:
    """What can be done with streams."""
    streams = StreamsApi(parts.streams, parts.config, parts.wall, parts.sliced)
    one, by = "/streams/{stream_id}", "/streams/by-metadata"
    active = Query("active_only", "Whether to leave out those that nobody watches; without a word, yes.", bool)
    keep = Query("exclude_channel_id", "Leaves those whose metadata has this id.")
    return [
        Operation("POST", "/streams", "Have a stream", streams.create, StreamCreated, NewStream, errors=(409,)),
        Operation("GET", "/streams", "All streams that are kept", streams.all, StreamsTold),
        Operation("GET", by, "Those with this metadata", streams.matching, Matching, query=(*_BY, active)),
        Operation(
            "DELETE", by, "Delete those with this metadata", streams.delete_matching, Deleted, query=(*_BY, keep)
        ),
        Operation("GET", one, "A stream, and who watches it", streams.get, StreamInfo),
        Operation("DELETE", one, "Delete a stream; what is watched of it ends", streams.delete, Done),
        Operation("POST", f"{one}/failover", "Go to the next URL", streams.fail_over, FailedOver, errors=(409,)),
    ]


class StreamsApi:
    """
    Does it.

    :param wall: seconds since the epoch.
    :param sliced: see `iptvd.slices.Slicer`.
    """

    def __init__(
        self, streams: Streams, config: Callable[[], Config], wall: Callable[[], float], sliced: Sliced
    ) -> None:
        self._streams = streams
        self._config = config
        self._wall = wall
        self._sliced = sliced
        self._facts = StreamFacts(streams, config)

    async def create(self, call: Call) -> object:
        """Keep one, or what is different of it."""
        body: NewStream = call.body
        body.url = body.url.strip()
        self._check(body)
        stream_id = id_of(body.url)
        former = self._streams.get(stream_id)
        if former is None and len(self._streams) >= MOST:
            raise Refusal(409, f"There are {MOST} streams already: delete some first.")
        stream = _stream(body, call.extra, former or Stream(url=body.url, created=self._wall()))
        posted = await self._streams.put(stream_id, stream)
        channel, kind = self._streams.channel(stream_id), form_of(stream.url)[1]
        endpoint = endpoint_of(stream_id, kind)
        message = _MESSAGES[posted]
        if channel is None:
            message += ", but the rules of the lineup hide it: it cannot be played"
        return {
            "stream_id": stream_id,
            "stream_endpoint": endpoint,
            "message": message,
            "primary_url": stream.url,
            "failover_urls": stream.failover_urls,
            "user_agent": stream.user_agent or self._config().user_agent,
            "stream_type": "hls" if kind is SourceKind.HLS else "direct",
            "playlist_url": endpoint_of(stream_id, SourceKind.HLS),
            "direct_url": endpoint if kind is SourceKind.HLS else f"/stream/{stream_id}",
            "stream_url": caller_of(call.request).base_url + endpoint,
            "metadata": stream.metadata,
            "channel_id": channel.id if channel is not None else None,
        }

    def _check(self, body: NewStream) -> None:
        """Refuse what cannot be kept."""
        private = self._config().allow_private_upstreams
        check_url("url", body.url, private)
        check_urls("failover_urls", body.failover_urls or (), private)
        check_headers(
            "headers", {**(body.headers or {}), **({"User-Agent": body.user_agent} if body.user_agent else {})}
        )

    async def all(self, call: Call) -> object:
        """All that are kept."""
        return {"streams": self._facts.all_kept(), "total": len(self._streams)}

    async def get(self, call: Call) -> object:
        """One."""
        stream_id = call.path["stream_id"]
        facts = self._facts.of(stream_id)
        if facts is None:
            raise _no_stream()
        sessions = self._streams.sessions(self._streams.channel(stream_id))
        return {"stream": facts, "clients": map(self._facts.client, sessions), "client_count": len(sessions)}

    async def delete(self, call: Call) -> object:
        """Delete one; of a channel that a provider lists only what is watched ends."""
        stream_id = call.path["stream_id"]
        if self._streams.get(stream_id) is not None:
            await self._streams.delete([stream_id])
            return Done(f"Stream {stream_id} deleted")
        self._streams.stop(self._channel(stream_id), "the operator has ended this stream")
        return Done(f"Nobody watches channel {stream_id} any more; it stays in the lineup, for a provider lists it")

    async def fail_over(self, call: Call) -> object:
        """Go to the next."""
        stream_id = call.path["stream_id"]
        channel, stream = self._channel(stream_id), self._streams.get(stream_id)
        if stream is not None and len(stream.urls) < 2:
            raise Refusal(409, "This stream has no failover_urls.")
        clients = len(self._streams.sessions(channel))
        if stream is None and not clients:
            raise Refusal(409, "Nobody watches this channel.")
        done = await self._streams.fail_over(channel)
        url = self._streams.current_url(stream_id)
        return FailedOver(
            message="The stream comes from its next URL now" if done else "Its next URL is being tried",
            current_url=url,
            new_url=url,
            active_clients=clients,
        )

    def _channel(self, stream_id: str) -> Channel:
        channel = self._streams.channel(stream_id)
        if channel is None:
            raise _no_stream()
        return channel

    # By metadata

    async def matching(self, call: Call) -> object:
        """Those that have it."""
        active = call.query.get("active_only", True)
        found: list[dict[str, Any]] = []

        def take(stream_id: str, stream: Stream) -> None:
            facts = self._facts.kept(stream_id, stream)
            if facts["is_active"] or not active:
                found.append({**facts, "url": facts["current_url"]})

        await self._each_having(call, take)
        return {
            "filter": {"field": call.query["field"], "value": call.query["value"]},
            "active_only": active,
            "matching_streams": iter(found),
            "total_matching": len(found),
            "total_clients": sum(each["client_count"] for each in found),
        }

    async def delete_matching(self, call: Call) -> object:
        """Delete those that have it."""
        keep = call.query.get("exclude_channel_id")
        deleted: list[str] = []
        skipped: list[str] = []

        def take(stream_id: str, stream: Stream) -> None:
            kept = keep is not None and stream.metadata.get("id") == keep
            (skipped if kept else deleted).append(stream_id)

        await self._each_having(call, take)
        if deleted:
            await self._streams.delete(deleted)
        reason = "excluded_by_channel_id"
        return Deleted(
            f"{len(deleted)} streams with this metadata deleted",
            deleted,
            [Skipped(each, reason) for each in skipped],
            len(deleted),
        )

    async def _each_having(self, call: Call, take: Callable[[str, Stream], None]) -> None:
        """Look through all that are kept, of which there may be thousands, for those with the metadata asked for."""
        field, value = call.query["field"], call.query["value"]

        def steps() -> Iterator[None]:
            for stream_id, stream in self._streams.all():
                if stream.metadata.get(field) == value:
                    take(stream_id, stream)
                yield

        await self._sliced(steps())


def _stream(body: NewStream, extra: Mapping[str, object], former: Stream) -> Stream:
    """
    A stream as it is to be kept: what is said now, and what was said before of the rest.

    :raises Refusal: when too much is kept for others.
    """
    said: dict[str, Any] = {
        "failover_urls": body.failover_urls,
        "user_agent": body.user_agent,
        "headers": body.headers,
        "metadata": body.metadata,
        "name": body.name,
    }
    if body.metadata is not None:
        said["metadata"] = {name: str(value) for name, value in body.metadata.items() if value is not None}
    changes = {name: value for name, value in said.items() if value is not None}
    kept = {**former.extra, **extra}
    check_extra(kept)
    return msgspec.structs.replace(former, **changes, extra=kept)


def _no_stream() -> Refusal:
    return Refusal(404, "There is no such stream.")
