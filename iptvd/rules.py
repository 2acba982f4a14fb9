"""The rules of the lineup: the operator's own hiding, keeping, renaming and regrouping of what providers list."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches

import attrs
from attrs import field as attribute
from attrs import frozen

from iptvd.errors import ConfigError
from iptvd.model import SHARING_MODES, ChannelKind, Entry

#: How many rules there can be, and how long a pattern or a replacement.
MOST = 1000
LONGEST = 1000
HIGHEST_NUMBER = 999_999
#: Minutes that a channel can be later or earlier than its guide.
MOST_SHIFT = 1440

#: What a rule can look at, and what it can write, as positions in the list of values that an entry becomes.
_READ = {"name": 0, "group": 1, "tvg_id": 2, "key": 3}
_WRITTEN = {"name": 0, "group": 1, "tvg_id": 2, "logo": 4, "guide": 5}
_NAME, _LOGO = 0, 4
#: What else a rule can do.
_ACTIONS = ("hide", "keep", "number", "sharing", "guide_shift")


@frozen
class Rule:
    r"""
    One rule: a pattern, what it is looked for in, and what happens to an entry that has it.

    A text to write can refer to the pattern's groups (``\1``, ``\g<name>``) and takes the place of the whole field.

    :ivar match: a regular expression, found anywhere in the field; ``(?i)`` at its start ignores case.
    :ivar field: ``name``, ``group``, ``tvg_id`` or ``key`` (what the provider knows the entry by).
    :ivar provider: only entries of the provider with this name; empty for all.
    :ivar kind: only entries of this kind; None for all.
    :ivar hide: leave it out.
    :ivar keep: leave out all others: where keep rules look at an entry, at least one has to match.
    :ivar number: the channel number it gets.
    :ivar sharing: ``auto``, ``shared`` or ``isolated``: whether the viewers of the live channel share one connection.
    :ivar guide: the id of its channel in the guide, ``-`` for none.
    :ivar guide_shift: minutes that it is later than the guide says.
    """

    match: str
    field: str = "name"
    provider: str = ""
    kind: ChannelKind | None = None
    hide: bool = False
    keep: bool = False
    name: str | None = None
    group: str | None = None
    tvg_id: str | None = None
    logo: str | None = None
    number: int | None = None
    sharing: str | None = None
    guide: str | None = None
    guide_shift: int | None = None


@frozen
class Edited:
    """
    What viewers are shown of an entry, after the rules.

    :ivar sharing: as in `iptvd.model.Entry`.
    :ivar guide: as in `Rule`, as is ``guide_shift``.
    """

    name: str
    group: str
    tvg_id: str
    logo: str = attribute(repr=False)
    number: int | None
    sharing: str = ""
    guide: str = ""
    guide_shift: int = 0


def unedited(entry: Entry) -> Edited:
    """An entry as its provider has it."""
    return Edited(entry.name, entry.group, entry.tvg_id, entry.logo, entry.number, entry.sharing)


@frozen
class _Step:
    """A rule made ready: ``writes`` are positions with the text, or what makes it out of the match."""

    at: int
    search: Callable[[str], re.Match[str] | None]
    hide: bool
    keep: bool
    writes: tuple[tuple[int, str, bool], ...]
    number: int | None
    sharing: str | None
    guide_shift: int | None


class Rules:
    """
    The rules, ready to be applied in their order to entry after entry; each sees what those before it have written.

    :raises ConfigError: for a pattern or a group reference that cannot work; names the rule by its number, from 1.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._steps = tuple((rule, _prepared(number, rule)) for number, rule in enumerate(rules, 1))
        self._chains: dict[tuple[str, ChannelKind], tuple[tuple[_Step, ...], bool]] = {}

    def apply(self, provider_name: str, entry: Entry) -> Edited | None:
        """How an entry of that provider is to be shown, or None when it is hidden."""
        at = (provider_name, entry.kind)
        steps, kept = self._chains.get(at) or self._chain(at)
        number, sharing, guide_shift = entry.number, entry.sharing, 0
        if not steps:
            return unedited(entry)
        values = [entry.name, entry.group, entry.tvg_id, entry.key, entry.logo, ""]
        for step in steps:
            found = step.search(values[step.at])
            if found is None:
                continue
            if step.hide:
                return None
            kept = kept or step.keep
            for position, text, literal in step.writes:
                values[position] = _written(position, text if literal else found.expand(text), values[position])
            if step.number is not None:
                number = step.number
            if step.sharing is not None:
                sharing = step.sharing
            if step.guide_shift is not None:
                guide_shift = step.guide_shift
        if not kept:
            return None
        return Edited(values[0], values[1], values[2], values[4], number, sharing, values[5], guide_shift)

    def _chain(self, at: tuple[str, ChannelKind]) -> tuple[tuple[_Step, ...], bool]:
        """The steps that look at entries of this provider and kind, and whether an entry stays without a keep rule."""
        name, kind = at
        steps = tuple(step for rule, step in self._steps if rule.provider in ("", name) and rule.kind in (None, kind))
        self._chains[at] = chain = (steps, not any(step.keep for step in steps))
        return chain


def printable(text: str) -> str:
    """The text with nothing in it that could break a line-based playlist."""
    if not text.isprintable():
        text = "".join(each if each.isprintable() else " " for each in text)
    return text.strip()


def _written(position: int, text: str, old: str) -> str:
    """The text as it may be written: nothing that could break a line-based playlist, and no entry without a name."""
    text = printable(text)
    if position == _NAME and not text:
        return old
    if position == _LOGO and text and not text.startswith(("http://", "https://")):
        return old
    return text


def _prepared(number: int, rule: Rule) -> _Step:
    try:
        pattern = re.compile(rule.match)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(f"Rule {number}: match is not a regular expression: {error}.") from None
    writes = []
    for name, position in _WRITTEN.items():
        text = getattr(rule, name)
        if text is None:
            continue
        try:
            # Parses the text against the pattern's groups, whether or not anything is found.
            pattern.sub(text, "")
        except (re.error, IndexError) as error:
            raise ConfigError(f"Rule {number}: {name} refers to what match does not have: {error}.") from None
        writes.append((position, text, "\\" not in text))
    return _Step(
        _READ[rule.field],
        pattern.search,
        rule.hide,
        rule.keep,
        tuple(writes),
        rule.number,
        rule.sharing,
        rule.guide_shift,
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST:
        raise ValueError(f"must be a text of at most {LONGEST} characters")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _field(value: object) -> str:
    if not isinstance(value, str) or value not in _READ:
        raise ValueError(f"must be one of {', '.join(_READ)}")
    return value


def _kind(value: object) -> ChannelKind:
    try:
        return ChannelKind(value)
    except ValueError:
        raise ValueError(f"must be one of {', '.join(kind.value for kind in ChannelKind)}") from None


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= HIGHEST_NUMBER:
        raise ValueError(f"must be a whole number from 1 to {HIGHEST_NUMBER}")
    return value


def _sharing(value: object) -> str:
    if not isinstance(value, str) or value not in SHARING_MODES:
        raise ValueError(f"must be one of {', '.join(SHARING_MODES)}")
    return value


def _minutes(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -MOST_SHIFT <= value <= MOST_SHIFT:
        raise ValueError(f"must be a number of minutes from -{MOST_SHIFT} to {MOST_SHIFT}")
    return value


_READERS: Mapping[str, Callable[[object], object]] = {
    "field": _field,
    "kind": _kind,
    "hide": _flag,
    "keep": _flag,
    "number": _number,
    "sharing": _sharing,
    "guide_shift": _minutes,
}


def _read_rule(table: object, where: str) -> Rule:
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where} must be a table, written as [[rule]].")
    names = [each.name for each in attrs.fields(Rule)]
    values: dict[str, object] = {}
    for key, value in table.items():
        if key not in names:
            close = get_close_matches(str(key), names, 1)
            hint = f"did you mean {close[0]}" if close else f"there are {', '.join(names)}"
            raise ConfigError(f"{where} has the unknown key {key}: {hint}.")
        try:
            values[key] = _READERS.get(key, _text)(value)
        except ValueError as error:
            raise ConfigError(f"{where}: {key} {error}.") from None
    if not values.get("match"):
        raise ConfigError(f"{where} needs match, a regular expression.")
    if values.get("hide") and values.get("keep"):
        raise ConfigError(f"{where} can hide or keep, not both.")
    if not any(values.get(key) not in (None, False) for key in (*_ACTIONS, *_WRITTEN)):
        raise ConfigError(f"{where} does nothing: give it {', '.join((*_ACTIONS, *_WRITTEN))}.")
    return Rule(**values)  # type: ignore[arg-type]


def read_rules(tables: object, origin: str) -> tuple[Rule, ...]:
    """
    Rules out of the ``[[rule]]`` tables of a settings file.

    :param origin: where they come from, for the sentence: ``file /etc/iptvd/iptvd.toml``.
    :raises ConfigError: for the first rule that cannot work, named by its number, from 1.
    """
    if not isinstance(tables, Iterable) or isinstance(tables, str | Mapping):
        raise ConfigError(f"rule ({origin}) must be tables, each written as [[rule]].")
    rules = tuple(_read_rule(table, f"Rule {number} ({origin})") for number, table in enumerate(tables, 1))
    if len(rules) > MOST:
        raise ConfigError(f"There are {len(rules)} rules ({origin}): at most {MOST} are possible.")
    Rules(rules)
    return rules
