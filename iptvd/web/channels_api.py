"""``/api/channels``: the lineup, what is on and comes next, whether a channel can be had, and its programmes."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import Request

from iptvd.epg.reading import GuideReader
from iptvd.lineup import Lineup
from iptvd.model import Channel, ChannelStatus, Programme, SourceKind
from iptvd.public import moment, without_urls
from iptvd.web.api import LIMIT, JsonResource, Sliced, number_of, programme_facts, time_of, words_of
from iptvd.web.playlist import filter_of, path_of
from iptvd.web.request import Refusal, caller_of

DAY = 86400.0
#: Channels in one answer: what is on at each of them is asked for one by one.
MOST_AT_ONCE = 500
#: Days of programmes in one answer.
MOST_DAYS = 15
#: Channels that are looked at in one step.
_STEP = 500

_ID = re.compile(r"[1-9][0-9]{0,9}")

#: What is on at a channel, and what comes then.
NowNext = tuple[Programme | None, Programme | None]
NOTHING: NowNext = (None, None)


class ChannelsApi:
    """
    What the resources here ask.

    :param lineup: gives the lineup as it is now.
    :param kind_of: gives the form in which a channel is played.
    :param status_of: tells how a channel did last.
    :param short_guide: what a channel's own provider says that comes next, where no guide has it.
    """

    def __init__(
        self,
        lineup: Callable[[], Lineup],
        kind_of: Callable[[Channel], SourceKind],
        status_of: Callable[[int], ChannelStatus],
        reader: GuideReader,
        short_guide: Callable[[Channel], Awaitable[Sequence[Programme]]],
        wall: Callable[[], float],
        sliced: Sliced,
    ) -> None:
        self.lineup = lineup
        self.sliced = sliced
        self.reader = reader
        self.short_guide = short_guide
        self.wall = wall
        self._kind_of = kind_of
        self._status_of = status_of

    def find(self, name: str) -> Channel:
        """
        The channel with this id.

        :raises Refusal: when there is none.
        """
        channel = self.lineup().by_id.get(int(name)) if _ID.fullmatch(name) else None
        if channel is None:
            raise Refusal(404, "There is no such channel; /api/channels has those there are.")
        return channel

    def facts(self, channel: Channel, base_url: str, now_next: NowNext) -> dict[str, Any]:
        """A channel, what is empty left out."""
        status = self._status_of(channel.id)
        facts: dict[str, Any] = {
            "number": channel.number,
            "name": channel.name,
            "group": channel.group,
            "kind": channel.kind.value,
            "tvg_id": channel.xmltv_id,
            "logo": f"{base_url}/logo/{channel.id}",
            "stream": base_url + path_of(channel, self._kind_of(channel)),
            "providers": list(dict.fromkeys(provider for provider, _ in channel.entries)),
            "unsupported": channel.entry.unsupported,
            "now": programme_facts(now_next[0]),
            "next": programme_facts(now_next[1]),
        }
        found = {name: value for name, value in facts.items() if value}
        told = {
            "state": status.state.value,
            "reason": without_urls(status.reason),
            "last_seen": moment(status.seen),
            "last_tried": moment(status.tried),
        }
        return {"id": channel.id, **found, "status": {name: value for name, value in told.items() if value}}


class ChannelsResource(JsonResource):
    """All channels, page by page; below it each of them."""

    isLeaf = False

    def __init__(self, api: ChannelsApi) -> None:
        super().__init__(api.sliced)
        self._api = api
        self.putChild(b"", self)

    def getChild(self, path: bytes, request: Request) -> Resource:
        """The channel of that id, whether it exists or not."""
        return ChannelResource(self._api, path.decode("utf-8", "replace"))

    async def tell(self, request: Request) -> Mapping[str, object]:
        """One page of what is asked for."""
        api, chosen = self._api, filter_of(request)
        offset = number_of(request, "offset", 0, 10_000_000)
        limit = number_of(request, "limit", LIMIT, MOST_AT_ONCE, 1)
        words = words_of(request).casefold().split()
        page: list[Channel] = []
        total = 0

        def look() -> Iterator[None]:
            nonlocal total
            channels = api.lineup().channels
            for start in range(0, len(channels), _STEP):
                for channel in chosen.among(channels[start : start + _STEP]):
                    if words and not _has(channel, words):
                        continue
                    if offset <= total < offset + limit:
                        page.append(channel)
                    total += 1
                yield

        await self.sliced(look())
        on = await api.reader.now_next([channel.id for channel in page], api.wall())
        base_url = caller_of(request).base_url
        return {
            "channels": (api.facts(channel, base_url, on.get(channel.id, NOTHING)) for channel in page),
            "offset": offset,
            "limit": limit,
            "total": total,
        }


def _has(channel: Channel, words: Sequence[str]) -> bool:
    name = channel.name.casefold()
    return all(word in name for word in words)


class ChannelResource(JsonResource):
    """One channel; below it its programmes."""

    isLeaf = False

    def __init__(self, api: ChannelsApi, name: str) -> None:
        super().__init__(api.sliced)
        self._api = api
        self._name = name
        self.putChild(b"programmes", ProgrammesResource(api, name))

    async def tell(self, request: Request) -> Mapping[str, object]:
        """The channel."""
        channel = self._api.find(self._name)
        on = await self._api.reader.now_next([channel.id], self._api.wall())
        return self._api.facts(channel, caller_of(request).base_url, on.get(channel.id, NOTHING))


class ProgrammesResource(JsonResource):
    """What a channel shows."""

    def __init__(self, api: ChannelsApi, name: str) -> None:
        super().__init__(api.sliced)
        self._api = api
        self._name = name

    async def tell(self, request: Request) -> Mapping[str, object]:
        """Between ``from`` and ``to``; without them, from now on for a day."""
        api = self._api
        channel = api.find(self._name)
        asked = time_of(request, "from")
        start = api.wall() if asked is None else asked
        until = time_of(request, "to")
        stop = start + DAY if until is None else until
        if not start < stop <= start + MOST_DAYS * DAY:
            raise Refusal(400, f"to is after from, by at most {MOST_DAYS} days")
        programmes = await api.reader.programmes(channel.id, start, stop)
        if not programmes:
            told = await api.short_guide(channel)
            programmes = [programme for programme in told if programme.start < stop and programme.stop > start]
        return {
            "channel": {"id": channel.id, "name": channel.name},
            "programmes": map(programme_facts, programmes),
        }
