"""What the API has been told to show otherwise of channels, by our id: kept while the channel itself is gone, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from attrs import evolve, frozen
from msgspec import Meta

from iptvd.log import Log
from iptvd.model import Channel, ChannelKind
from iptvd.records import Records
from iptvd.rules import HIGHEST_NUMBER, LONGEST, printable

#: What overrides are kept as, see `iptvd.records.Records`.
KIND = "override"
#: Providers that an order can name.
MOST_SOURCES = 50

Text = Annotated[str, Meta(max_length=LONGEST)]
Number = Annotated[int, Meta(ge=1, le=HIGHEST_NUMBER)]
Provider = Annotated[str, Meta(max_length=64)]
#: Providers by name, the one that is to be tried first in front.
Order = Annotated[list[Provider], Meta(max_length=MOST_SOURCES)]


@frozen
class Override:
    """
    What is shown of a channel instead of what its providers and the rules say; None where those are to say it.

    It is read from what was kept as it is declared here; what else is kept with it means nothing.

    :ivar hidden: False where it is to be seen whatever the rules say.
    :ivar guide_id: as ``guide`` in `iptvd.rules.Rule`.
    :ivar sources: names of providers, in the order in which they are to be tried; others come after them.
    """

    name: Text | None = None
    group: Text | None = None
    number: Number | None = None
    logo: Text | None = None
    guide_id: Text | None = None
    hidden: bool | None = None
    sources: Annotated[tuple[Provider, ...], Meta(max_length=MOST_SOURCES)] | None = None

    def applied(self, channel: Channel) -> Channel:
        """The channel as it is shown; its number and whether it is there at all are for the lineup to say."""
        changes: dict[str, Any] = {}
        if self.name is not None and printable(self.name):
            changes["name"] = printable(self.name)
        if self.group is not None:
            changes["group"] = printable(self.group)
        if self.logo is not None and self.logo.startswith(("http://", "https://", "HTTP://", "HTTPS://")):
            changes["logo"] = printable(self.logo)
        elif self.logo == "":
            changes["logo"] = ""
        if self.guide_id is not None:
            changes["guide"] = printable(self.guide_id)
        if self.sources:
            changes |= _in_order(channel, self.sources)
        return evolve(channel, **changes) if changes else channel


def _in_order(channel: Channel, providers: Sequence[str]) -> dict[str, Any]:
    """What another order of its sources changes of a channel."""
    places = {provider: place for place, provider in enumerate(providers)}
    entries = sorted(
        channel.entries,
        # What cannot be played does not stand in front of what can.
        key=lambda each: (bool(each[1].unsupported), places.get(each[0], len(places))),
    )
    first = entries[0][1]
    return {
        "entries": tuple(entries),
        "kind": first.kind,
        "source_kind": first.source_kind,
        "extension": first.extension,
    }


def override_of(record: Mapping[str, object]) -> Override:
    """
    The override that was kept so.

    :raises msgspec.ValidationError: when it is none.
    """
    return msgspec.convert(record, Override)


class Overrides:
    """
    All of them, as they are now.

    :param changed: called when one has come, changed or gone.
    """

    log = Log()

    def __init__(self, records: Records, changed: Callable[[], None] = lambda: None) -> None:
        self._records = records
        self._told = changed
        self._all: dict[int, Override] = {}
        for name in records.all(KIND):
            self._look(name)
        records.on_change(KIND, self._changed)

    @property
    def all(self) -> Mapping[int, Override]:
        """By channel id, in the order in which they came."""
        return self._all

    def _changed(self, name: str) -> None:
        self._look(name)
        self._told()

    def _look(self, name: str) -> None:
        if not (name.isascii() and name.isdigit()):
            return
        record = self._records.all(KIND).get(name)
        if record is None:
            self._all.pop(int(name), None)
            return
        try:
            self._all[int(name)] = override_of(record)
        except msgspec.ValidationError as error:
            self.log.warn("the override of channel {channel} is not understood: {reason}", channel=name, reason=error)


class Renumbering:
    """
    Who has which number when overrides give some: whoever had that before gets the one that has become free.

    Numbers stay unique, and without the override everybody has the former one again.
    """

    def __init__(self) -> None:
        self._instead: dict[int, int] = {}
        self._given: dict[int, int] = {}

    def give(self, channel: Channel, wanted: int) -> None:
        """Have a channel take a number, unless another one has taken it here before; films have none."""
        if channel.kind is not ChannelKind.VOD and channel.number and wanted not in self._instead:
            self._instead[wanted] = channel.number
            self._given[channel.id] = wanted

    def __bool__(self) -> bool:
        return bool(self._given)

    def number_of(self, channel: Channel) -> int:
        """The number that a channel has now."""
        given = self._given.get(channel.id)
        if given is not None:
            return given
        number = channel.number
        # Ends: each step goes to the own number of another channel that was given one, and never to this one's.
        while number in self._instead:
            number = self._instead[number]
        return number
