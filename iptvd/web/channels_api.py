"""``/api/channels``: the lineup, what is on and comes next, whether a channel can be had, and its programmes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from twisted.web.resource import Resource
from twisted.web.server import Request

from iptvd.epg.reading import GuideReader
from iptvd.lineup import Lineup
from iptvd.model import Channel, ChannelStatus, Programme, SourceKind
from iptvd.public import moment, without_urls
from iptvd.web.api import LIMIT, JsonResource, Sliced, flag_of, number_of, programme_facts, time_of, words_of
from iptvd.web.kept_channels import KeptChannels
from iptvd.web.playlist import filter_of, path_of
from iptvd.web.request import Refusal, caller_of, manages, require_manager, who_of

if TYPE_CHECKING:
    from iptvd.web.tree import Parts

DAY = 86400.0
#: Channels in one answer: what is on at each of them is asked for one by one.
MOST_AT_ONCE = 500
#: Days of programmes in one answer.
MOST_DAYS = 15
#: Channels that are looked at in one step.
_STEP = 500
#: The same of those that are made for it.
_INACTIVE_STEP = 50

#: What is on at a channel, and what comes then.
NowNext = tuple[Programme | None, Programme | None]
NOTHING: NowNext = (None, None)


class ChannelsApi:
    """
    What the resources here ask.

    :param lineup: gives the lineup as it is now.
    :param kind_of: gives the form in which a channel is played.
    :param status_of: tells how a channel did last.
    :param kept: what is kept of channels, for those to be told who manage.
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
        kept: KeptChannels,
    ) -> None:
        self.kept = kept
        self.lineup = lineup
        self.sliced = sliced
        self.reader = reader
        self.short_guide = short_guide
        self.wall = wall
        self._kind_of = kind_of
        self._status_of = status_of

    def find(self, request: Request, name: str) -> Channel:
        """
        The channel with this id, or this name of a panel's, for a request's sender.

        :raises Refusal: when there is none, or they may not see it.
        """
        channel = self.kept.find(name, manages(request))
        if channel is None or not who_of(request).may_see(channel):
            raise Refusal(404, "There is no such channel; /api/channels has those there are.")
        return channel

    def blocks(self, hidden: bool) -> Iterator[Sequence[Channel]]:
        """
        All channels, some hundred at a time.

        :param hidden: whether those too that are hidden, or switched off.
        """
        lineup = self.lineup()
        for channels in (lineup.channels, lineup.hidden if hidden else ()):
            for start in range(0, len(channels), _STEP):
                yield channels[start : start + _STEP]
        inactive = self.kept.inactive() if hidden else iter(())
        while block := tuple(islice(inactive, _INACTIVE_STEP)):
            yield [channel for channel in block if channel is not None]

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

    def told(self, request: Request, channel: Channel, now_next: NowNext) -> dict[str, Any]:
        """A channel as a request's sender is told of it."""
        facts = self.facts(channel, caller_of(request).base_url, now_next)
        return self.kept.told(channel, facts) if manages(request) else facts


def channels_api(parts: Parts) -> ChannelsApi:
    """One of these, out of what the faces are made of."""
    faces, on = parts.faces, parts.on
    kept = KeptChannels(parts.admission.records, parts.lineup)
    return ChannelsApi(
        faces.lineup, faces.hub.kind_of, on.reach.of, on.reader, on.short_guide, parts.wall, parts.sliced, kept
    )


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
        hidden = flag_of(request, "hidden")
        if hidden and not manages(request):
            require_manager(request)
            raise Refusal(403, "This request comes from a page of another site.")
        page: list[Channel] = []
        total = 0

        def look() -> Iterator[None]:
            nonlocal total
            for channels in api.blocks(hidden):
                for channel in chosen.among(channels):
                    if words and not _has(channel, words):
                        continue
                    if offset <= total < offset + limit:
                        page.append(channel)
                    total += 1
                yield

        await self.sliced(look())
        on = await api.reader.now_next([channel.id for channel in page], api.wall())
        return {
            "channels": (api.told(request, channel, on.get(channel.id, NOTHING)) for channel in page),
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
        channel = self._api.find(request, self._name)
        on = await self._api.reader.now_next([channel.id], self._api.wall())
        return self._api.told(request, channel, on.get(channel.id, NOTHING))


class ProgrammesResource(JsonResource):
    """What a channel shows."""

    def __init__(self, api: ChannelsApi, name: str) -> None:
        super().__init__(api.sliced)
        self._api = api
        self._name = name

    async def tell(self, request: Request) -> Mapping[str, object]:
        """Between ``from`` and ``to``; without them, from now on for a day."""
        api = self._api
        channel = api.find(request, self._name)
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
