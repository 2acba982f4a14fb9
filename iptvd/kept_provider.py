"""
The provider of what the API has been told to keep: streams and channels of one's own.

It is there without a plugin and without settings, and to everything else a provider as any other.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import msgspec
from attrs import evolve, frozen
from zope.interface import implementer

from iptvd import own_channels, stream_records
from iptvd.errors import IptvdError, ProtocolError, ProviderError
from iptvd.interfaces import IProvider
from iptvd.log import Log
from iptvd.model import Entry, Headers, Listing, ProviderState, Source
from iptvd.nearby import FarSource
from iptvd.protocols.m3u import allowed_header
from iptvd.records import Record, Records
from iptvd.stream_records import form_of

#: What the provider is called.
NAME = "api"

_Place = tuple[int, ...]


def _as_they_came(record: Record) -> _Place:
    return ()


@frozen
class KeptKind:
    """
    What the lineup has of the records of one kind.

    :ivar entry_of: makes the entry of a record with this name. Its ``origin`` is to have ``urls``, the best first,
        ``headers`` by name, and ``user_agent``, empty for ours; its key is made here.
    :ivar place_of: where it comes among its kind, those with the same place as they came; None where it is not to be
        there at all.
    """

    entry_of: Callable[[str, Record], Entry]
    place_of: Callable[[Record], _Place | None] = _as_they_came


def _place_of_channel(record: Record) -> _Place | None:
    channel = own_channels.channel_of(record)
    return (channel.category_order, channel.order) if channel.is_active else None


#: Everything that the lineup has of what is kept, in this order.
KINDS: Mapping[str, KeptKind] = {
    own_channels.KIND: KeptKind(own_channels.entry_of_channel, _place_of_channel),
    stream_records.KIND: KeptKind(stream_records.entry_of_stream),
}


def key_of(kind: str, name: str) -> str:
    """The key of a record's entry."""
    return f"{kind}/{name}"


@implementer(IProvider)
class KeptProvider:
    """
    Lists what is kept.

    :param user_agent: gives the User-Agent that origins are asked with, where nothing else is said.
    :param allows_private: tells whether what is kept may lead into this network.
    :param changed: called when there is something else to list.
    """

    log = Log()

    def __init__(
        self,
        records: Records,
        user_agent: Callable[[], str],
        allows_private: Callable[[], bool],
        changed: Callable[[], None],
    ) -> None:
        self._records = records
        self._user_agent = user_agent
        self._allows_private = allows_private
        self._told = changed
        self._entries: dict[str, Entry] = {}
        #: Those entries in their order: by kind, by place, then as they came.
        self._order: list[tuple[int, _Place, int, str]] = []
        self._places: dict[str, tuple[int, _Place, int, str]] = {}
        self._came = 0
        self._not_understood: set[str] = set()
        #: By key, how many of the URLs of an entry were left behind by hand.
        self._left: Counter[str] = Counter()
        for kind in KINDS:
            for name, record in records.all(kind).items():
                self._look(kind, name, record)
            records.on_change(kind, lambda name, kind=kind: self._changed(kind, name))  # type: ignore[misc]

    async def fetch(self) -> Listing | None:
        """See `IProvider.fetch`."""
        if self._records.unreadable:
            raise ProviderError(ProviderState.UNREACHABLE, self._records.unreadable)
        skipped = {"a record that is not understood": len(self._not_understood)} if self._not_understood else {}
        return Listing([self._entries[key] for *_, key in self._order], skipped=skipped)

    async def resolve(self, entry: Entry) -> Sequence[Source]:
        """See `IProvider.resolve`; as it is kept now, which may be otherwise than when it was listed."""
        present = self._entries.get(entry.key)
        if present is None:
            raise ProviderError(ProviderState.UNREACHABLE, "it has been deleted")
        make: Callable[..., Source] = Source if self._allows_private() else FarSource
        headers = _headers(present.origin, self._user_agent())
        found = []
        for url in self.urls(entry.key):
            # The first of those that were given is one, else there would be no entry.
            with suppress(ProtocolError):
                found.append(make(form_of(url)[1], url=url, headers=headers))
        return found

    def urls(self, key: str) -> list[str]:
        """Where an entry is to be had, in the order in which its sources are now; empty for one that is not there."""
        entry = self._entries.get(key)
        urls = cast("list[str]", entry.origin["urls"]) if entry is not None else []
        left = self._left[key] % len(urls) if urls and key in self._left else 0
        return [*urls[left:], *urls[:left]]

    def begin_with_next(self, key: str) -> None:
        """Have an entry that nobody watches begin with its next URL, and go on in turn; until it is kept anew."""
        self._left[key] += 1

    def _changed(self, kind: str, name: str) -> None:
        key = key_of(kind, name)
        self._left.pop(key, None)
        self._not_understood.discard(key)
        if self._entries.pop(key, None) is not None:
            del self._order[bisect_left(self._order, self._places[key])]
        record = self._records.all(kind).get(name)
        if record is None:
            self._places.pop(key, None)
        else:
            self._look(kind, name, record)
        self._told()

    def _look(self, kind: str, name: str, record: Record) -> None:
        """Take in a record."""
        key, made = key_of(kind, name), KINDS[kind]
        try:
            place = made.place_of(record)
            entry = evolve(made.entry_of(name, record), key=key)
        except (IptvdError, msgspec.ValidationError) as error:
            self.log.warn("the {kind} {name} that is kept is not understood: {why}", kind=kind, name=name, why=error)
            self._not_understood.add(key)
            return
        if place is None:
            return
        former = self._places.get(key)
        if former is None:
            self._came += 1
        came = former[2] if former is not None else self._came
        self._places[key] = at = (list(KINDS).index(kind), place, came, key)
        self._entries[key] = entry
        insort(self._order, at)


def _headers(origin: Mapping[str, Any], user_agent: str) -> Headers:
    headers = tuple((name, value) for name, value in origin["headers"].items() if allowed_header(name, value))
    if any(name.lower() == "user-agent" for name, _ in headers):
        return headers
    return (*headers, ("User-Agent", origin["user_agent"] or user_agent))
