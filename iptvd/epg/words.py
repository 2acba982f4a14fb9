"""The words of a channel's name, alike in every spelling: numbers as digits, no word that says nothing."""

from __future__ import annotations

import re

#: Words of a name that are looked at.
MOST = 12

#: Names that have a plus in them.
PLUS_BRANDS = re.compile(r"(?:^|\s)(?:canal|movistar|cine|planete|m)$")
_PLUS = re.compile(r"(\s*)\+(\s*)")

#: A word or a number.
TOKEN = re.compile(r"\d+|[^\W\d_]+")
_FORMULA_ONE = re.compile(r"\bf\s?1\b")
_NICK = re.compile(r"\bnick\b(?!\s?toons)")

_NUMBERS = {
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
    "nine": "9", "ten": "10", "eleven": "11", "twelve": "12", "eins": "1", "zwei": "2", "drei": "3", "sieben": "7",
    "uno": "1",
}  # fmt: skip
#: Roman numerals that are nothing else; not as a first word.
_ROMAN = {"ii": "2", "iii": "3"}
_SYNONYMS: dict[str, tuple[str, ...]] = {
    "natgeo": ("national", "geographic"),
    "jr": ("junior",),
    "intl": ("international",),
    "ent": ("entertainment",),
}
_SILENT = frozenset({"and", "the"})
_NOISE = frozenset({"tv", "channel", "television"})
#: Words that every country has a channel of.
GENERIC = frozenset(
    {"tv", "channel", "television", "canal", "kanal", "kanaal", "sport", "sports", "news", "movie", "movies", "film",
     "films", "cinema", "kids", "music", "live", "plus", "extra", "radio", "prime", "premium"}
)  # fmt: skip


def words_of(text: str) -> tuple[str, ...]:
    """
    The words of a name.

    :param text: folded, without country and quality.
    """
    if "+" in text:
        text = _PLUS.sub(lambda match: _plus(match, text), text)
    text = _NICK.sub("nickelodeon", _FORMULA_ONE.sub("formula 1", text))
    words: list[str] = []
    for part in TOKEN.findall(text):
        if part.isdigit():
            words.append(part.lstrip("0") or "0")
        elif part in _NUMBERS:
            words.append(_NUMBERS[part])
        elif part in _ROMAN and words:
            words.append(_ROMAN[part])
        elif part == "geo" and words[-1:] == ["nat"]:
            words[-1:] = _SYNONYMS["natgeo"]
        elif part not in _SILENT:
            words.extend(_SYNONYMS.get(part, (part,)))
    return tuple(words[:MOST])


def _plus(match: re.Match[str], text: str) -> str:
    """A plus is a word of the name, but between two others it joins them as ``and`` does."""
    before, after = match.groups()
    between = match.start() > 0 and match.end() < len(text) and bool(before) == bool(after)
    return " plus " if not between or PLUS_BRANDS.search(text[: match.start()]) else " "


def quiet(words: tuple[str, ...]) -> tuple[str, ...]:
    """Without words that say nothing at the end, and ``TV`` at the beginning; unless too little is left."""
    rest = words
    while len(rest) > 1 and rest[-1] in _NOISE:
        rest = rest[:-1]
    if len(rest) > 1 and rest[0] == "tv" and rest[1].isalpha() and len(rest[1]) > 3:
        rest = rest[1:]
    tells = any(len(word) > 2 and word.isalpha() and word not in GENERIC for word in rest)
    return rest if tells else words


def joined(words: tuple[str, ...]) -> str:
    """Words as one: letters together, numbers apart."""
    text = ""
    for word in words:
        number = word.isdigit()
        text += f" {word}" if number or text[-1:].isdigit() else word
    return text
