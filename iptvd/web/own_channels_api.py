"""``/api/channels``: channels of one's own, and what is shown of others whatever their providers say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from twisted.internet.defer import DeferredLock

from iptvd import overrides, own_channels
from iptvd.model import Channel, ChannelKind, Outcome
from iptvd.overrides import Number, Order, Text
from iptvd.own_channels import MOST, Agent, ChannelId, Headers, Logo, Name, OwnChannel, Place, Url, Urls
from iptvd.protocols.m3u import allowed_header
from iptvd.records import Record
from iptvd.web.bodies import check_extra, checked
from iptvd.web.channels_api import NOTHING, channels_api
from iptvd.web.described import ChannelTold
from iptvd.web.kept_channels import ID, name_of
from iptvd.web.operations import Call, Operation, invalid
from iptvd.web.request import Refusal
from iptvd.web.source_urls import check_headers, check_url, check_urls

if TYPE_CHECKING:
    from iptvd.web.tree import Parts


class ChannelChange(Struct, kw_only=True):
    """
    What is to be different; what is left out stays as it is, and null takes a field back.

    Of a provider's channel these can be said: ``name``, ``number``, ``group`` (or ``category``), ``logo``,
    ``guide_id`` (the id of its channel in the guide, ``-`` for none), ``hidden`` (or ``is_active``) and ``sources``
    (providers in the order in which they are to be tried). Of an own channel everything but ``sources`` can.
    Other fields are kept and given back.
    """

    name: Name | UnsetType | None = UNSET
    source_url: Url | UnsetType | None = UNSET
    failover_urls: Urls | UnsetType | None = UNSET
    headers: Headers | UnsetType | None = UNSET
    user_agent: Agent | UnsetType | None = UNSET
    logo: Logo | UnsetType | None = UNSET
    category: Text | UnsetType | None = UNSET
    quality: Text | UnsetType | None = UNSET
    number: Number | UnsetType | None = UNSET
    tvg_id: Text | UnsetType | None = UNSET
    order: Place | UnsetType | None = UNSET
    category_order: Place | UnsetType | None = UNSET
    is_active: bool | UnsetType | None = UNSET
    group: Text | UnsetType | None = UNSET
    guide_id: Text | UnsetType | None = UNSET
    hidden: bool | UnsetType | None = UNSET
    sources: Order | UnsetType | None = UNSET


class NewChannel(ChannelChange, kw_only=True):
    """A channel of one's own. Other fields are kept and given back."""

    channel_id: ChannelId | Annotated[int, Meta(ge=0, le=2**53)]
    name: Name
    source_url: Url


#: What is told of a channel and is not for anybody to say, when they send back what they were told.
_TOLD = {each.encode_name for each in msgspec.structs.fields(ChannelTold)} | {"override"}
#: What can be said of a channel; everything else means nothing here.
_SAID = {each.encode_name for each in msgspec.structs.fields(NewChannel)}
_OF_SOURCES = ("source_url", "failover_urls", "headers", "user_agent")
#: Other names for the same, in an own channel and in an override.
_OWN_NAMES = {"group": "category", "guide_id": "tvg_id"}
_OVERRIDE_NAMES = {"category": "group", "tvg_id": "guide_id"}


class OwnChannelsApi:
    """What the operations do."""

    def __init__(self, parts: Parts) -> None:
        self._records = parts.admission.records
        self._lineup = parts.lineup
        self._hub = parts.faces.hub
        self._kept_on = parts.kept_on
        self._config = parts.config
        self._channels = channels_api(parts)
        self._kept = self._channels.kept
        # Between looking what there is and changing it nobody else may.
        self._changing = DeferredLock()

    async def add(self, call: Call) -> Mapping[str, object]:
        """An own channel that there was not."""
        name = str(call.body.channel_id)
        async with self._changing:
            present = self._records.all(own_channels.KIND)
            if name in present:
                raise Refusal(409, "There is a channel of this channel_id already: change it with PUT.")
            if len(present) >= MOST:
                raise Refusal(409, f"There are {MOST} channels of your own already.")
            named = {**_named(call.body), "channel_id": name}
            await self._records.put(own_channels.KIND, name, self._own_record({}, named, call.extra))
        return await self._answer(call, name)

    async def change(self, call: Call) -> Mapping[str, object]:
        """Some of a channel, own or not."""
        name = call.path["id"]
        async with self._changing:
            own = self._kept.own(name)
            if own is not None:
                name, record = own
                if call.extra.get("channel_id", name) not in (name, _number(name)):
                    raise invalid("channel_id", "a channel keeps the one it has: make another channel")
                extra = {key: value for key, value in call.extra.items() if key != "channel_id"}
                record = self._own_record(record, self._said(call, self._kept.find(name, True), record), extra)
                await self._records.put(own_channels.KIND, name, record)
                if record.get("is_active") is False:
                    self._end(name, "this channel has been switched off")
            else:
                await self._override(call, name)
        return await self._answer(call, name)

    async def remove(self, call: Call) -> None:
        """An own channel gone, with what is watched of it; or another one as its provider has it."""
        name = call.path["id"]
        async with self._changing:
            own = self._kept.own(name)
            if own is not None:
                await self._records.remove(own_channels.KIND, own[0])
                self._end(own[0], "this channel has been deleted")
            else:
                self._known(name)
                await self._records.remove(overrides.KIND, name)
        await self._lineup.settled()

    async def _answer(self, call: Call, name: str) -> Mapping[str, object]:
        """The channel as it is once everybody sees it so."""
        await self._lineup.settled()
        channel = self._kept.find(name, hidden=True)
        if channel is None:
            # It is gone for a while: what is kept waits for it.
            override = self._kept.override(int(name)) if ID.fullmatch(name) else None
            return {"id": int(name) if ID.fullmatch(name) else 0, "override": dict(override or {}), "status": _UNKNOWN}
        return self._channels.told(call.request, channel, NOTHING)

    def _said(self, call: Call, channel: Channel | None, kept: Record) -> dict[str, Any]:
        """
        What a body says, by field.

        Who sends back all that they were told, as its ``id`` shows, says only what differs from that.
        """
        named = _named(call.body)
        told = self._channels.told(call.request, channel, NOTHING) if channel is not None else {}
        all_of_it = "id" in call.extra and call.extra["id"] == told.get("id")
        # What is a link of ours, and what playlists call a channel that has no other name there, is nobody's to say.
        ours = named if all_of_it else ("logo", "tvg_id")
        same = {name for name in ours if name in told and name not in kept and named.get(name) == told[name]}
        return {name: value for name, value in named.items() if name not in same}

    # Own channels

    def _own_record(self, present: Record, named: dict[str, Any], extra: Mapping[str, object]) -> Record:
        """
        An own channel as it is to be kept.

        :raises Refusal: when it could not be played.
        """
        if "sources" in named:
            raise invalid("sources", "an own channel has source_url and failover_urls")
        if "hidden" in named:
            hidden = named.pop("hidden")
            named.setdefault("is_active", None if hidden is None else not hidden)
        changes = {**_extra(extra), **_renamed(named, _OWN_NAMES)}
        record = _merged(present, changes)
        kept: OwnChannel = checked(record, OwnChannel)
        private = self._config().allow_private_upstreams
        if "source_url" in named:
            check_url("source_url", kept.source_url, private)
        if "failover_urls" in named:
            check_urls("failover_urls", kept.failover_urls, private)
        check_headers("headers", kept.headers)
        if kept.user_agent and not allowed_header("User-Agent", kept.user_agent):
            raise invalid("user_agent", "it cannot be sent")
        _check_logo(kept.logo)
        return record

    def _end(self, name: str, reason: str) -> None:
        """End all that is watched of an own channel."""
        for session in list(self._hub.sessions.values()):
            if name_of(session.channel) == name:
                session.end(Outcome.ENDED_BY_OPERATOR, reason)
        self._kept_on.stop_all(lambda channel: name_of(channel) == name)

    # Others

    async def _override(self, call: Call, name: str) -> None:
        channel, present = self._known(name), self._kept.override(int(name)) or {}
        named = self._said(call, channel, present)
        for each in _OF_SOURCES:
            if named.pop(each, None) is not None:
                raise invalid(each, "this channel is its provider's: make one of your own with POST")
        if "is_active" in named:
            active = named.pop("is_active")
            named.setdefault("hidden", None if active is None else not active)
        changes = {**_extra(call.extra), **_renamed(named, _OVERRIDE_NAMES)}
        _check_logo(changes.get("logo") or "")
        self._check_number(name, channel, changes.get("number"))
        record = _merged(present, changes)
        if record:
            await self._records.put(overrides.KIND, name, record)
        else:
            await self._records.remove(overrides.KIND, name)

    def _known(self, name: str) -> Channel | None:
        """
        A provider's channel, None when it is gone for a while.

        :raises Refusal: when there never was one that anything is kept of.
        """
        channel = self._kept.find(name, hidden=True)
        if channel is None and (not ID.fullmatch(name) or self._kept.override(int(name)) is None):
            raise Refusal(404, "There is no such channel; /api/channels has those there are.")
        return channel

    def _check_number(self, name: str, channel: Channel | None, number: object) -> None:
        if number is None:
            return
        if channel is not None and channel.kind is ChannelKind.VOD:
            raise invalid("number", "films have none")
        for other, record in self._records.all(overrides.KIND).items():
            if other != name and record.get("number") == number:
                raise Refusal(409, f"The channel {other} has been given this number: take it back there first.")


_UNKNOWN = {"state": "unknown"}


def _named(body: ChannelChange) -> dict[str, Any]:
    """What a body says, by field; None for what is to be taken back."""
    values = {each.name: getattr(body, each.name) for each in msgspec.structs.fields(body)}
    return {name: value for name, value in values.items() if value is not UNSET}


def _renamed(named: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The same under the names by which it is kept; where something is said twice, by those it was said under."""
    found = {name: value for name, value in named.items() if name not in names}
    for name, kept_as in names.items():
        if name in named:
            found.setdefault(kept_as, named[name])
    return found


def _extra(extra: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in extra.items() if name not in _TOLD}


def _merged(present: Record, changes: Mapping[str, object]) -> dict[str, object]:
    """
    What is to be kept of a channel.

    :raises Refusal: when what means nothing here is too much of it.
    """
    record = {name: value for name, value in {**present, **changes}.items() if value is not None}
    check_extra({name: value for name, value in record.items() if name not in _SAID})
    return record


def _check_logo(logo: object) -> None:
    if logo and not str(logo).lower().startswith(("http://", "https://")):
        raise invalid("logo", "it has to be an http or https URL")


def _number(name: str) -> int | None:
    return int(name) if name.isascii() and name.isdigit() else None


def own_channels_operations(parts: Parts) -> list[Operation]:
    """What can be done with channels; they are listed by resources of their own."""
    api, one = OwnChannelsApi(parts), "/api/channels/{id}"
    return [
        Operation(
            "POST",
            "/api/channels",
            "Have a channel of one's own",
            api.add,
            ChannelTold,
            NewChannel,
            status=201,
            errors=(409,),
        ),
        Operation(
            "PUT",
            one,
            "Change a channel, or how it is shown",
            api.change,
            ChannelTold,
            ChannelChange,
            errors=(404, 409),
        ),
        Operation("DELETE", one, "Forget an own channel, or what was changed of another", api.remove, None),
    ]
