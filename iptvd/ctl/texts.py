"""Values as people read them on a terminal, where nothing of what a name holds is taken for a command."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Any

#: What is never written as it is: control characters, halves of pairs, line ends, and what changes the direction.
_HIDDEN = ("Cc", "Cs", "Zl", "Zp", "Cf")
#: Of what has no width these belong to words and pictures (zero width joiner and non-joiner).
_JOINERS = "\u200c\u200d"
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def plain(value: object) -> str:
    """
    A value as text of one line, in which control characters are shown and not obeyed.

    None is nothing, a list is its items, a mapping ``name=value`` pairs.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return " ".join(f"{plain(name)}={plain(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value))
    text = str(value)
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN or character in _JOINERS:
        return character
    return character.encode("unicode_escape").decode()


def number(value: object) -> float:
    """A number out of what the daemon says; 0 where that is none."""
    try:
        found = float(value) if isinstance(value, int | float | str) else 0.0
    except (ValueError, OverflowError):
        return 0.0
    return found if math.isfinite(found) else 0.0


def count(value: object) -> str:
    """A whole number, its thousands apart."""
    return f"{number(value):,.0f}"


def size(value: object) -> str:
    """Bytes, as ``1.5 GB``."""
    left, step = number(value), 0
    while left >= 999.5 and step < len(_UNITS) - 1:
        left, step = left / 1000, step + 1
    return f"{left:.0f} {_UNITS[step]}" if not step or left >= 99.5 else f"{left:.1f} {_UNITS[step]}"


def rate(value: object) -> str:
    """Bytes a second, as the bits a second that people know streams by."""
    bits = number(value) * 8
    return f"{bits / 1e6:.1f} Mbit/s" if bits >= 1e6 else f"{bits / 1e3:.0f} kbit/s"


def duration(value: object) -> str:
    """Seconds, as ``3d 4h`` or ``12m 5s``: the two largest units."""
    left = int(max(0.0, number(value)))
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        whole, left = divmod(left, length)
        if whole or parts or unit == "s":
            parts.append(f"{whole}{unit}")
    return " ".join(parts[:2])


def moment(value: object) -> str:
    """
    A time in this machine's zone.

    :param value: ISO 8601 or seconds since the epoch; what is neither stays as it is.
    """
    if value is None or value == "":
        return ""
    try:
        if isinstance(value, int | float):
            when = datetime.fromtimestamp(value).astimezone()
        else:
            when = datetime.fromisoformat(str(value)).astimezone()
    except (ValueError, OverflowError, OSError):
        return plain(value)
    return f"{when:%Y-%m-%d %H:%M}"


def of(facts: Any, *names: str) -> Any:
    """What is at these names, one below the other, in what the daemon said; None where it is not there."""
    for name in names:
        if not isinstance(facts, Mapping):
            return None
        facts = facts.get(name)
    return facts


def listed(facts: Any, *names: str) -> list[Mapping[str, Any]]:
    """The objects of a list in what the daemon said; empty where there is none."""
    found = of(facts, *names)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []
