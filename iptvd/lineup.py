"""The lineup: what all providers list, edited by the operator's rules, as one ordered set of channels."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b

from attrs import evolve, field, frozen

from iptvd.identity import Identities
from iptvd.model import Channel, ChannelKind, Entry
from iptvd.overrides import Override, Renumbering
from iptvd.rules import Edited, Rules, unedited


@frozen
class Lineup:
    """
    Everything there is to watch, at one moment.

    :ivar revision: changes whenever something that a viewer can see does.
    :ivar hidden: channels that an override hides, which are not among the others.
    """

    channels: tuple[Channel, ...] = ()
    by_id: Mapping[int, Channel] = field(factory=dict, repr=False)
    revision: str = "empty"
    hidden: tuple[Channel, ...] = field(default=(), repr=False)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups in the order in which they first occur."""
        return tuple(dict.fromkeys(channel.group for channel in self.channels if channel.group))


class Assembly:
    """
    Puts a lineup together, step by step.

    :param listings: each provider's entries, in the order of the settings.
    :param merge_by_tvg_id: whether live channels that several providers have under one tvg-id become one channel with
        several sources.
    :param overrides: what is shown of channels whatever the rules say, by id.
    """

    def __init__(
        self,
        listings: Sequence[tuple[str, Sequence[Entry]]],
        rules: Rules,
        identities: Identities,
        merge_by_tvg_id: bool,
        overrides: Mapping[int, Override] | None = None,
    ) -> None:
        self._listings = listings
        self._rules = rules
        self._identities = identities
        self._merge = merge_by_tvg_id
        self._overrides = dict(overrides or {})
        # Whatever the rules say.
        self._shown = {channel_id for channel_id, each in self._overrides.items() if each.hidden is False}
        self._channels: dict[int, Channel] = {}
        self._hidden: list[Channel] = []
        self._digest = blake2b(digest_size=16)
        self.lineup = Lineup()

    def steps(self) -> Iterator[None]:
        """Do it; each step is some hundred entries. Afterwards ``lineup`` is the whole."""
        shown: deque[tuple[str, Entry, Edited]] = deque()
        # A tvg-id that one provider has several times says nothing about which of them another provider's is.
        times: Counter[tuple[str, str]] = Counter()
        for provider, entries in self._listings:
            for done, entry in enumerate(entries):
                edited = self._rules.apply(provider, entry)
                if edited is None and self._shown and self._is_shown(provider, entry):
                    edited = unedited(entry)
                if edited is not None:
                    shown.append((provider, entry, edited))
                    if self._merge:
                        times[provider, edited.tvg_id] += 1
                if not done % 100:
                    yield
        for done in range(len(shown)):
            # Taken out one by one: to free a hundred thousand at once takes longer than a step may.
            provider, entry, edited = shown.popleft()
            shared = self._merge and entry.kind is not ChannelKind.VOD and bool(edited.tvg_id)
            self._place(provider, entry, edited, shared and times[provider, edited.tvg_id] == 1)
            if not done % 100:
                yield
        yield from self._override()
        for done, channel in enumerate(self._channels.values()):
            entry = channel.entry
            catchup = [one.catchup for _, one in channel.entries]
            told = repr((channel, channel.logo, entry.tvg_name, catchup, entry.unsupported))
            self._digest.update(told.encode("utf-8", "replace"))
            if not done % 100:
                yield
        channels, hidden = tuple(self._channels.values()), tuple(self._hidden)
        self.lineup = Lineup(channels, self._channels, self._digest.hexdigest(), hidden)

    def _is_shown(self, provider: str, entry: Entry) -> bool:
        """Whether a channel that the rules hide is to be seen all the same."""
        return self._identities.find(self._identities.name_of(provider, entry.key)) in self._shown

    def _override(self) -> Iterator[None]:
        channels, renumbering = self._channels, Renumbering()
        for done, (channel_id, override) in enumerate(self._overrides.items()):
            channel = channels.get(channel_id)
            if channel is None:
                continue
            shown = channels[channel_id] = override.applied(channel)
            if override.hidden:
                self._hidden.append(channels.pop(channel_id))
            elif override.number is not None:
                renumbering.give(shown, override.number)
            if not done % 100:
                yield
        for done, channel in enumerate(channels.values() if renumbering else ()):
            number = renumbering.number_of(channel)
            if number != channel.number:
                channels[channel.id] = evolve(channel, number=number)
            if not done % 500:
                yield

    def _place(self, provider: str, entry: Entry, edited: Edited, shared: bool) -> None:
        identities = self._identities
        own_name = identities.name_of(provider, entry.key)
        channel_id = identities.id_of_shared(edited.tvg_id, own_name) if shared else identities.id_of(own_name)
        present = self._channels.get(channel_id)
        if present is not None:
            entries = (*present.entries, (provider, entry))
            if present.entry.unsupported and not entry.unsupported:
                # What cannot be played does not stand in front of what can.
                present = evolve(present, kind=entry.kind, source_kind=entry.source_kind, extension=entry.extension)
                entries = ((provider, entry), *present.entries)
            sharing = present.sharing or edited.sharing
            self._channels[channel_id] = evolve(present, entries=entries, sharing=sharing)
            return
        number = 0
        if entry.kind is not ChannelKind.VOD:
            number = identities.number_of(channel_id, edited.number)
        self._channels[channel_id] = Channel(
            id=channel_id,
            number=number,
            name=edited.name,
            group=edited.group,
            kind=entry.kind,
            source_kind=entry.source_kind,
            extension=entry.extension,
            tvg_id=edited.tvg_id,
            logo=edited.logo,
            entries=((provider, entry),),
            sharing=edited.sharing,
            guide=edited.guide,
            guide_shift=edited.guide_shift,
        )
