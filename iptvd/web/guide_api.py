"""``/api/events``, ``/api/search`` and ``/api/epg/matches``: what is on, what comes, and how the guide fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.web.server import Request

from iptvd.epg.reading import GuideReader, Hit, Match
from iptvd.public import moment
from iptvd.web.api import LIMIT, MOST, JsonResource, Sliced, flag_of, number_of, time_of, words_of
from iptvd.web.playlist import groups_of
from iptvd.web.request import Refusal, argument

#: Results of a search where none are asked for, and at most.
RESULTS, MOST_RESULTS = 50, 200

_HOW = ("", "rule", "id", "name", "fuzzy")


def _channels(hit: Hit) -> list[dict[str, Any]]:
    return [{"id": channel, "name": name} for channel, name in hit.channels]


def event_facts(hit: Hit) -> dict[str, Any]:
    """An event."""
    return {
        "id": hit.event,
        "title": hit.title,
        "category": hit.category,
        "start": moment(hit.start),
        "end": moment(hit.stop),
        "live": hit.on_now,
        "channels": _channels(hit),
        "provider": hit.provider,
    }


class EventsResource(JsonResource):
    """``/api/events``: what the providers announce, in the order in which it begins."""

    def __init__(self, reader: GuideReader, wall: Callable[[], float], sliced: Sliced) -> None:
        super().__init__(sliced)
        self._reader = reader
        self._wall = wall

    async def tell(self, request: Request) -> Mapping[str, object]:
        """The events that are asked for; without ``from``, those that are not over."""
        now = self._wall()
        start, stop = time_of(request, "from"), time_of(request, "to")
        live = flag_of(request, "live")
        limit = number_of(request, "limit", MOST, MOST, 1)
        offset = number_of(request, "offset", 0, 10_000_000)
        hits = await self._reader.events(
            argument(request, "category")[:200],
            words_of(request),
            now if start is None else start,
            stop,
            now,
            limit,
            offset,
            live,
            groups_of(request),
        )
        return {"events": map(event_facts, hits)}


class SearchResource(JsonResource):
    """``/api/search``: channels, what is on now, and what comes soonest."""

    def __init__(self, reader: GuideReader, wall: Callable[[], float], sliced: Sliced) -> None:
        super().__init__(sliced)
        self._reader = reader
        self._wall = wall

    async def tell(self, request: Request) -> Mapping[str, object]:
        """What was found, each with its type."""
        words = words_of(request).strip()
        if not words:
            raise Refusal(400, "q is what to search for")
        limit = number_of(request, "limit", RESULTS, MOST_RESULTS, 1)
        hits = await self._reader.search(words, self._wall(), limit, groups_of(request))
        return {"query": words, "results": map(_result, hits)}


def _result(hit: Hit) -> dict[str, Any]:
    if hit.type == "channel":
        ((channel, name),) = hit.channels
        return {"type": hit.type, "id": channel, "name": name}
    if hit.type == "event":
        return {"type": hit.type, **event_facts(hit)}
    return {
        "type": hit.type,
        "title": hit.title,
        "start": moment(hit.start),
        "end": moment(hit.stop),
        "live": hit.on_now,
        "channel": _channels(hit)[0],
    }


class MatchesResource(JsonResource):
    """``/api/epg/matches``: which guide channel was found for which channel, the least certain first."""

    managed = True

    def __init__(self, reader: GuideReader, sliced: Sliced) -> None:
        super().__init__(sliced)
        self._reader = reader

    async def tell(self, request: Request) -> Mapping[str, object]:
        """Those that are asked for."""
        how = argument(request, "how")
        if how not in _HOW:
            raise Refusal(400, "how is one of rule, id, name and fuzzy")
        offset = number_of(request, "offset", 0, 10_000_000)
        limit = number_of(request, "limit", LIMIT, MOST, 1)
        return {"matches": map(_match, await self._reader.matches(how, offset, limit))}


def _match(match: Match) -> dict[str, Any]:
    return {
        "channel": {"id": match.channel, "name": match.name},
        "source": match.source,
        "guide_id": match.guide_id,
        "how": match.how,
        "score": round(match.score, 3),
        "shift_seconds": match.shift,
    }
