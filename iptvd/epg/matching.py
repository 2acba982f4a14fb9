"""
Which channel of a guide a channel of the lineup is: rather none than a wrong one.

By a rule of the operator's, else by the tvg-id, else by the name, else by a name that is spelt a little differently.
Whatever two names share, their numbers have to be the same, every word has to have its counterpart, so that regions
and siblings are told apart, and the countries have to agree where both are known. Where two guide channels are equally
near there is no match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from itertools import combinations

from attrs import frozen
from rapidfuzz import fuzz

from iptvd.epg.countries import Countries, agree
from iptvd.epg.likeness import is_like, likeness, near_keys
from iptvd.epg.names import Name, country_of_group, country_of_id, read_id, read_name

#: What a rule says for a channel that is never to be matched.
NEVER = "-"
HOUR = 3600

#: How near a name has to be that is spelt differently, and how much nearer than the next.
NEAR, NEARER = 0.86, 0.04
#: How near the names have to be where an id is nothing but a number that another guide may use for anything.
AKIN = 60
#: Names of guide channels that may be alike.
MOST_ALIKE = 500


class How(Enum):
    """By what a match was found."""

    RULE = "rule"
    ID = "id"
    NAME = "name"
    FUZZY = "fuzzy"


@frozen
class GuideChannel:
    """
    A channel as a guide knows it.

    :ivar row: where it is in the database; nothing to the matching.
    :ivar shows: whether it has programmes.
    """

    row: int
    source: str
    guide_id: str
    names: tuple[str, ...]
    shows: bool = True


@frozen
class Wanted:
    """
    A channel of the lineup.

    :ivar providers: of its entries, the best first.
    :ivar guide: the guide's id for it by a rule, `NEVER`, or empty.
    :ivar radio: whether it is to be heard only.
    """

    name: str
    group: str = ""
    tvg_id: str = ""
    tvg_name: str = ""
    providers: tuple[str, ...] = ()
    guide: str = ""
    radio: bool = False


@frozen
class Found:
    """
    A match.

    :ivar score: 0 to 1; 1 is certain.
    :ivar shift: seconds that the channel is later than the guide.
    """

    channel: GuideChannel
    how: How
    score: float
    shift: int = 0


@frozen(eq=False)
class _Entry:
    """One name of a guide's channel, and where that is among all."""

    at: int
    name: Name
    countries: Countries


class _DoubtError(Exception):
    """Two guide channels are equally near."""


class Matcher:
    """
    Finds channels in all guides there are.

    :param channels: all that the guides have.
    :param preferred: the guides in the order in which they are preferred, each with the providers whose channels it is
        made for.
    """

    def __init__(self, channels: Iterable[GuideChannel], preferred: Mapping[str, Sequence[str]]) -> None:
        self._channels = list(channels)
        self._order = {source: place for place, source in enumerate(preferred)}
        self._own = {source: frozenset(providers) for source, providers in preferred.items()}
        self._ids: dict[str, list[int]] = {}
        self._folded: dict[str, list[int]] = {}
        self._names: list[tuple[Name, ...]] = []
        self._keys: dict[str, list[_Entry]] = {}
        self._loose: dict[str, list[_Entry]] = {}
        self._near: dict[str, list[_Entry]] = {}
        for at, channel in enumerate(self._channels):
            self._ids.setdefault(channel.guide_id, []).append(at)
            self._folded.setdefault(channel.guide_id.casefold(), []).append(at)
            self._names.append(self._read(at, channel))

    def _read(self, at: int, channel: GuideChannel) -> tuple[Name, ...]:
        in_id = country_of_id(channel.guide_id)
        names = [read_name(name) for name in channel.names if not name.strip().isdigit()]
        of_id = read_name(read_id(channel.guide_id))
        if not names or of_id.literal.replace(" ", "") in {name.literal.replace(" ", "") for name in names}:
            # It parts the words where a name does not, as in ``RTLZwei``.
            names.append(of_id)
        kept: dict[Name, None] = {}
        for name in names:
            if not name.key or name in kept:
                continue
            kept[name] = None
            said = name.countries or name.edge
            entry = _Entry(at, name, (said & in_id) or in_id or said)
            reduced = name.reduced if agree(name.edge, entry.countries) else ""
            for key in {name.key, name.camel, reduced} - {""}:
                self._keys.setdefault(key, []).append(entry)
            self._loose.setdefault(name.loose, []).append(entry)
            for key in near_keys(name):
                self._near.setdefault(key, []).append(entry)
        return tuple(kept)

    def find(self, wanted: Wanted) -> Found | None:
        """The guide's channel for this one, or None when there is none or it is not certain."""
        if wanted.guide:
            return self._by_rule(wanted) if wanted.guide != NEVER else None
        try:
            return self._by_id(wanted) or self._by_names(wanted)
        except _DoubtError:
            return None

    def _by_rule(self, wanted: Wanted) -> Found | None:
        named = self._ids.get(wanted.guide, [])
        return Found(self._channels[min(named, key=self._rank(wanted))], How.RULE, 1.0) if named else None

    def _rank(self, wanted: Wanted) -> _Rank:
        return _Rank(self._channels, self._order, self._own, wanted.providers)

    def _by_id(self, wanted: Wanted) -> Found | None:
        if not wanted.tvg_id:
            return None
        rank = self._rank(wanted)
        name = read_name(wanted.name)
        for known, tvg_id in ((self._ids, wanted.tvg_id), (self._folded, wanted.tvg_id.casefold())):
            named = [at for at in known.get(tvg_id, ()) if rank.is_own(at) or self._is_meant(tvg_id, name, at)]
            if not named:
                continue
            best = min(named, key=rank)
            if [rank(at) for at in named].count(rank(best)) > 1:
                return None
            hours = {other.hours for other in self._names[best]} or {name.hours}
            if name.hours in hours or hours != {0}:
                return Found(self._channels[best], How.ID, 1.0)
            # The id is the base channel's. More than an hour later is another programme as often as the same.
            own = self._by_name(wanted, name, name.hours)
            base = Found(self._channels[best], How.ID, 0.95, HOUR) if name.hours == 1 else None
            return own or base
        return None

    def _is_meant(self, tvg_id: str, name: Name, at: int) -> bool:
        """Whether an id means the same in a guide that was not made for the channel's provider."""
        if any(map(str.isalpha, tvg_id)):
            return True
        words = " ".join(name.words)
        return any(
            name.numbers == other.numbers and fuzz.token_set_ratio(words, " ".join(other.words)) >= AKIN
            for other in self._names[at]
        )

    def _by_names(self, wanted: Wanted) -> Found | None:
        name = read_name(wanted.name)
        other = read_name(wanted.tvg_name) if wanted.tvg_name not in ("", wanted.name) else name
        if not name.key:
            return None
        found = self._by_name(wanted, name, name.hours)
        if other.key not in ("", name.key):
            if found is not None:
                self._doubt(found, wanted, name, other)
            elif _speak_of_one(name, other):
                found = self._by_name(wanted, other, name.hours)
        found = found or self._by_likeness(wanted, name)
        if found is None and name.hours == 1:
            base = self._by_name(wanted, name, 0)
            if base is not None:
                return Found(base.channel, base.how, base.score - 0.05, HOUR)
        return found

    def _doubt(self, found: Found, wanted: Wanted, name: Name, other: Name) -> None:
        """
        Look whether the channel's other name is that of another channel, unless one only says more of the same.

        :raises _DoubtError: when it is so.
        """
        ours, theirs = set(name.words), set(other.words)
        if ours <= theirs or theirs <= ours:
            return
        second = self._by_name(wanted, other, name.hours)
        if second is not None and second.channel is not found.channel:
            raise _DoubtError

    def _by_name(self, wanted: Wanted, name: Name, hours: int) -> Found | None:
        countries = _countries_of(wanted, name)
        entries = [entry for key in {name.key, name.camel} for entry in _few(self._keys, key)]
        if name.reduced and agree(name.edge, countries):
            entries += [each for each in _few(self._keys, name.reduced) if agree(name.edge, each.countries)]
        fitting = [each for each in entries if _fits(wanted, name, countries, each, hours)]
        score = 1.0
        if not fitting:
            entries = _few(self._loose, name.loose)
            fitting = [each for each in entries if _fits(wanted, name, countries, each, hours, loosely=True)]
            score = 0.95
        if not fitting:
            return None
        return Found(self._channels[self._choose(wanted, name, countries, fitting)], How.NAME, score)

    def _by_likeness(self, wanted: Wanted, name: Name) -> Found | None:
        countries = _countries_of(wanted, name)
        scores: dict[_Entry, float] = {}
        for key in near_keys(name):
            for entry in _few(self._near, key):
                if entry in scores or not _fits(wanted, name, countries, entry, name.hours, loosely=True):
                    continue
                if is_like(name, entry.name, known=bool(countries) or not entry.countries):
                    scores[entry] = likeness(name, entry.name)
        best = max(scores.values(), default=0.0)
        if best < NEAR:
            return None
        near = [entry for entry, score in scores.items() if score > best - NEARER]
        at = self._choose(wanted, name, countries, near)
        return Found(self._channels[at], How.FUZZY, round(min(best, 0.99), 3))

    def _choose(self, wanted: Wanted, name: Name, countries: Countries, entries: list[_Entry]) -> int:
        """
        The channel that is meant, of several whose names fit.

        :raises _DoubtError: when it cannot be told.
        """
        rank = self._rank(wanted)
        own = [entry for entry in entries if rank.is_own(entry.at) and self._channels[entry.at].shows]
        entries = own or entries
        entries = [entry for entry in entries if countries and entry.countries] or entries
        if not own and not _are_of_one_country({entry.countries for entry in entries}):
            raise _DoubtError
        best = min(rank(entry.at) for entry in entries)
        entries = [entry for entry in entries if rank(entry.at) == best]
        # One channel may be listed twice, in HD and not.
        narrower: tuple[Callable[[Name], bool], ...] = (
            lambda other: other.literal == name.literal,
            lambda other: name.key in (other.key, other.camel),
            lambda other: other.sharp == name.sharp,
        )
        for fits in narrower:
            entries = [entry for entry in entries if fits(entry.name)] or entries
        if len({entry.at for entry in entries}) > 1:
            raise _DoubtError
        return entries[0].at


@frozen
class _Rank:
    """Which guide is preferred for a channel: one that shows something, its provider's own, then in order."""

    channels: list[GuideChannel]
    order: Mapping[str, int]
    own: Mapping[str, frozenset[str]]
    providers: tuple[str, ...]

    def __call__(self, at: int) -> tuple[bool, bool, int]:
        channel = self.channels[at]
        return not channel.shows, not self.is_own(at), self.order.get(channel.source, len(self.order))

    def is_own(self, at: int) -> bool:
        """Whether the guide is made for the channel's provider."""
        return not self.own.get(self.channels[at].source, frozenset()).isdisjoint(self.providers)


def _few(index: Mapping[str, list[_Entry]], key: str) -> list[_Entry]:
    """
    What is there under a key.

    :raises _DoubtError: when it is so much that nothing can be told by it.
    """
    entries = index.get(key, [])
    if len(entries) > MOST_ALIKE:
        raise _DoubtError
    return entries


def _are_of_one_country(all_countries: set[Countries]) -> bool:
    return all(agree(one, other) for one, other in combinations(all_countries, 2))


def _countries_of(wanted: Wanted, name: Name) -> Countries:
    """The country of a channel by this name of it, else by its first one, its id and its group."""
    for said in (name, read_name(wanted.name)):
        if said.countries or said.edge:
            return said.countries or said.edge
    return country_of_id(wanted.tvg_id) or country_of_group(wanted.group)


def _fits(
    wanted: Wanted,
    name: Name,
    countries: Countries,
    entry: _Entry,
    hours: int,
    loosely: bool = False,
) -> bool:
    other = entry.name
    if other.hours != hours or not agree(countries, entry.countries):
        return False
    if wanted.radio and not {"radio", "fm"} & set(other.words):
        return False
    known = bool(countries and entry.countries)
    if name.generic and entry.countries and not known:
        return False
    if loosely:
        return True
    # A name that fits without its country fits only one that is known to be of it.
    return known or bool({name.key, name.camel} & {other.key, other.camel})


def _speak_of_one(name: Name, other: Name) -> bool:
    """Whether two names that a channel has do not contradict each other."""
    return name.numbers == other.numbers and name.hours == other.hours and agree(name.countries, other.countries)
