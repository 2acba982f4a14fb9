"""What is kept of channels beside what providers list: own channels and overrides, as those are told who manage."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec
from attrs import evolve

from iptvd import overrides, own_channels
from iptvd.errors import IptvdError
from iptvd.kept_provider import NAME, key_of
from iptvd.lineup_service import LineupService
from iptvd.model import Channel
from iptvd.own_channels import entry_of_channel
from iptvd.records import Record, Records

#: Names below ``/api/channels`` that are ids of ours.
ID = re.compile(r"[1-9][0-9]{0,9}")
#: What of a channel's facts is as it was kept, where it was; and what makes no sense of one that is switched off.
_AS_KEPT, _OF_LISTED = ("name", "logo", "tvg_id"), ("logo", "stream", "number")
_PREFIX = key_of(own_channels.KIND, "")


class KeptChannels:
    """Looks them up."""

    def __init__(self, records: Records, lineup: LineupService) -> None:
        self.records = records
        self.lineup = lineup

    # Own channels

    def own(self, name: str) -> tuple[str, Record] | None:
        """The own channel that a panel or we know by this name: what the panel calls it, and its record."""
        record = self.records.all(own_channels.KIND).get(name)
        if record is not None:
            return name, record
        channel = self._of_id(name)
        return self.own_of(channel) if channel is not None else None

    def own_of(self, channel: Channel) -> tuple[str, Record] | None:
        """The own channel that a channel is, as `own` gives it."""
        name = name_of(channel)
        record = self.records.all(own_channels.KIND).get(name)
        return (name, record) if record is not None else None

    def inactive(self) -> Iterator[Channel | None]:
        """Own channels that are switched off, as if they were in the lineup; None in the place of each other one."""
        for name, record in list(self.records.all(own_channels.KIND).items()):
            yield as_channel(name, record) if record.get("is_active") is False else None

    # All channels

    def find(self, name: str, hidden: bool = False) -> Channel | None:
        """
        The channel of this id, or that a panel knows by this name.

        :param hidden: whether one counts that is hidden, or switched off.
        """
        record = self.records.all(own_channels.KIND).get(name)
        if record is not None:
            return self._listed(name, record) or (as_channel(name, record) if hidden else None)
        if hidden:
            return self._of_id(name)
        return self.lineup.lineup.by_id.get(int(name)) if ID.fullmatch(name) else None

    def _listed(self, name: str, record: Record) -> Channel | None:
        """What an own channel is in the lineup: one with it alone, or that of a provider it has been merged with."""
        key = key_of(own_channels.KIND, name)
        listed = self.lineup.channel_of(NAME, key)
        if listed is not None or not record.get("tvg_id") or record.get("is_active") is False:
            return listed
        # Only where channels are merged by this id; that takes some ms where there are thousands.
        channels = (channel for channel in self.lineup.lineup.channels if len(channel.entries) > 1)
        return next((channel for channel in channels if name_of(channel) == name), None)

    def _of_id(self, name: str) -> Channel | None:
        """The channel of this id, hidden or not."""
        if not ID.fullmatch(name):
            return None
        lineup, channel_id = self.lineup.lineup, int(name)
        found = lineup.by_id.get(channel_id)
        return found or next((channel for channel in lineup.hidden if channel.id == channel_id), None)

    def override(self, channel_id: int) -> Record | None:
        """What is shown of a channel instead, as it is kept."""
        return self.records.all(overrides.KIND).get(str(channel_id))

    def told(self, channel: Channel, facts: Mapping[str, object]) -> dict[str, object]:
        """
        A channel's facts as those are told who manage.

        Of an own channel they have all that was kept of it, under the same names; of another one ``override``.
        """
        own = self.own_of(channel)
        if own is not None:
            record = own[1]
            ours = {name: value for name, value in facts.items() if name not in _AS_KEPT or not record.get(name)}
            if not channel.id:
                ours = {name: value for name, value in ours.items() if name not in _OF_LISTED}
            return {**record, **ours}
        override = self.override(channel.id)
        if override is None:
            return dict(facts)
        return {**facts, "override": dict(override), "hidden": bool(override.get("hidden"))}


def name_of(channel: Channel) -> str:
    """What a panel calls the own channel that a channel is, empty for what is none."""
    keys = (entry.key for provider, entry in channel.entries if provider == NAME)
    return next((key.removeprefix(_PREFIX) for key in keys if key.startswith(_PREFIX)), "")


def as_channel(name: str, record: Record) -> Channel | None:
    """An own channel as if it were in the lineup, without an id and a number; None when it is not understood."""
    try:
        entry = evolve(entry_of_channel(name, record), key=key_of(own_channels.KIND, name))
    except (IptvdError, msgspec.ValidationError):
        return None
    return Channel(
        0,
        0,
        entry.name,
        entry.group,
        entry.kind,
        entry.source_kind,
        entry.extension,
        entry.tvg_id,
        entry.logo,
        ((NAME, entry),),
    )
