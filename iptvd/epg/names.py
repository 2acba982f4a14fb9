"""
What a channel's name says: which channel it is, of which country, how many hours later, in which quality.

Playlists and guides write one channel in many ways: ``UK: BBC ONE FHD``, ``|UK| BBC 1 ᴴᴰ``, ``BBC One (UK)``. What is
left when country and quality are taken away is the channel; two names with one `Name.key` are of one channel.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from attrs import evolve, frozen

from iptvd.epg.countries import BY_ENDING, BY_FIRST_WORD, BY_LAST_WORD, BY_WORD, NOWHERE, Countries
from iptvd.epg.words import GENERIC, PLUS_BRANDS, TOKEN, joined, quiet, words_of

#: Characters of a name that are looked at.
LONGEST = 120
#: Hours that a channel is shown later at most.
LATEST = 12

#: Letters that are not taken apart into a letter and its accent.
_LETTERS = str.maketrans(
    {"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE",
     "\N{LATIN SMALL LETTER DOTLESS I}": "i", "\N{RIGHT SINGLE QUOTATION MARK}": "'", "`": "'",
     "\N{EN DASH}": "-", "\N{EM DASH}": "-"}
)  # fmt: skip

#: Between the parts of a decorated name.
_MARKS = r"|•»>"
#: A line between channels, such as ``##### SPORTS #####``.
_HEADING = re.compile(r"\s*([^\w\s|(\[])\1(?:\1.*|.*\1\1\s*)")
#: The two letters of a flag.
_FLAG = re.compile("([\U0001f1e6-\U0001f1ff])([\U0001f1e6-\U0001f1ff])")
_PREFIX = re.compile(
    rf"[\s#*\[({{{_MARKS}-]*(?P<what>[^\W_][\w &/.+-]{{0,19}}?)\s*(?:[\])}}:*{_MARKS}]+|\s?-+\s|(?P<tight>-)(?=\w))\s*"
)
_BRACKETS = re.compile(r"[\[({]([^\])}]*)[\])}]")
_SUFFIX = re.compile(rf"(?:[{_MARKS}]|\s-+\s)\s*(\w[\w ]{{1,19}}?)\s*[{_MARKS}]*\s*$")
_ENDING = re.compile(r"(?<=\w)\.([a-z]{2,3})\s*$")

#: Quality, and which of several streams of one channel it is. ``UHD 1`` is a channel of its own.
_QUALITY = re.compile(
    r"(?<![^\W_])(?:"
    r"(?:full|ultra)[\s-]?hd|(?:uhd|[48]k)(?!\s+\d{1,2}\b)|[fl]?hd\+?|sd|[hl]q|hdr(?:10)?\+?|hevc|[hx]\.?26[45]|raw"
    r"|[2-6][05]\s?fps|(?:3840|2160|1440|1080|720|576|540|480)[pi]|vip|(?:multi|dual)[\s-]?(?:audio|subs?)"
    r"|back[\s-]?up(?:\s?\d\b)?|bkp"
    r")(?![^\W_])"
)
_SHARP = re.compile(r"hd|hq|[48]k|hdr|hevc|26[45]|1080|2160|3840|fps")

#: Hours later; ``X+ 1`` is the first of ``X+``.
_SHIFT = re.compile(r"(?:\s\+\s?|(?<=\w)\+)(\d{1,2})\s?(?:h|hrs?|hours?|std)?\s*$")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
#: Codes that a name may begin with without anything behind them: they are no words.
_FIRST_CODES = frozenset(
    {"bg", "cz", "dk", "esp", "fr", "fra", "ger", "gr", "hu", "ita", "nl", "pl", "pol", "ro", "tr", "tur", "uk", "usa"}
)


@frozen
class Name:
    """
    A name that was read.

    :ivar words: the channel's own words, numbers among them as digits; what says nothing is left out.
    :ivar key: they, joined: where words are parted says nothing, where numbers are does.
    :ivar camel: a second key, by the capitals in it (``ProSieben``), else the same.
    :ivar loose: the key without words such as ``TV`` around it; the same when nothing else would be left.
    :ivar reduced: the key without the country that the name ends or begins with (``Sky News Australia``,
        ``UK BBC One``), or empty.
    :ivar countries: those that are told by something beside the name.
    :ivar edge: that of ``reduced``.
    :ivar hours: how many hours later it is shown (``+1``).
    :ivar literal: the whole of it but the country, quality included.
    :ivar sharp: whether it is said to be HD or better.
    :ivar generic: whether there is such a channel in every country.
    """

    words: tuple[str, ...]
    key: str
    camel: str
    loose: str
    reduced: str
    countries: Countries
    edge: Countries
    hours: int
    literal: str
    sharp: bool
    generic: bool

    @property
    def numbers(self) -> tuple[str, ...]:
        """The numbers in it."""
        return tuple(word for word in self.words if word.isdigit())


@lru_cache(maxsize=64)
def read_name(text: str) -> Name:
    """What a name says; nothing (an empty key) when it is no channel's."""
    text = text[:LONGEST]
    plain = _plain(text) if _HEADING.fullmatch(text) is None else ""
    camels = _CAMEL.sub(" ", plain)
    name = _read(plain.casefold())
    return name if camels == plain else _with_camel(name, _read(camels.casefold()))


def _with_camel(name: Name, split: Name) -> Name:
    return evolve(name, camel=split.key) if split.key else name


def read_id(guide_id: str) -> str:
    """A name out of an id such as ``ITV1+1.uk@HD``; its words parted where capitals tell it."""
    return re.sub(r"[._-]+", " ", _CAMEL.sub(" ", _main(guide_id)[0]))


def country_of_id(guide_id: str) -> Countries:
    """The country that an id ends with, as in ``BBCOne.uk``."""
    return _main(guide_id)[1]


def _main(guide_id: str) -> tuple[str, Countries]:
    start, _, _ = guide_id.partition("@")
    before, dot, ending = start.rpartition(".")
    countries = BY_ENDING.get(ending.lower().rstrip("0123456789"), NOWHERE) if dot and before else NOWHERE
    return (before if countries else start), countries


@lru_cache(maxsize=4096)
def country_of_group(group: str) -> Countries:
    """The country that a group is of, as in ``UK | Sports``, ``Deutschland`` or ``US NEWS``."""
    parts = re.split(rf"[{_MARKS}:/\[\](){{}}]|\s-+\s", _plain(group[:LONGEST]).casefold())
    for part in parts:
        words = TOKEN.findall(part)
        found = BY_WORD.get(" ".join(words))
        for count in (2, 1):
            found = found or BY_FIRST_WORD.get(" ".join(words[:count]))
        found = found or (BY_LAST_WORD.get(words[-1]) if words else None)
        if found:
            return found
    return NOWHERE


def _plain(text: str) -> str:
    """Without accents, with letters in other forms (``ᴴᴰ``) and flags as letters, and with pictures as marks."""
    if text.isascii():
        return text
    apart = unicodedata.normalize("NFKD", _FLAG.sub(_country_of_flag, text))
    kinds = [(each, unicodedata.category(each)) for each in apart]
    return "".join("|" if kind == "So" else each for each, kind in kinds if kind != "Mn").translate(_LETTERS)


def _country_of_flag(match: re.Match[str]) -> str:
    return "|" + "".join(chr(ord(letter) - 0x1F1E6 + ord("A")) for letter in match.groups()) + "|"


def _read(text: str) -> Name:
    text, countries = _without_country(text)
    found: list[Countries] = []

    def bracketed(match: re.Match[str]) -> str:
        inside = match[1].strip()
        country = _countries(inside)
        if country:
            found.append(country)
        nothing = country or len(inside) < 2 or not _QUALITY.sub("", inside).strip()
        # What it says of the quality is still to be seen.
        return f" {inside} " if not nothing or (not country and _SHARP.search(inside)) else " "

    if "(" in text or "[" in text or "{" in text:
        text = _BRACKETS.sub(bracketed, text)
    countries = countries or (found[0] if found else NOWHERE)
    literal = " ".join(text.split())
    bare = _QUALITY.sub(" ", text)
    sharp = bare != text and any(_SHARP.search(match[0]) for match in _QUALITY.finditer(text))
    bare = bare.replace("'", "").strip()
    hours = 0
    later = _SHIFT.search(bare)
    if later is not None and 0 < int(later[1]) <= LATEST and PLUS_BRANDS.search(bare[: later.start()]) is None:
        hours = int(later[1])
        bare = bare[: later.start()]
    words = words_of(bare)
    key = joined(words)
    reduced, edge = _reduced(words)
    generic = all(word in GENERIC or word.isdigit() for word in words)
    return Name(words, key, key, joined(quiet(words)), reduced, countries, edge, hours, literal, sharp, generic)


def _reduced(words: tuple[str, ...]) -> tuple[str, Countries]:
    """The key without a country at the end or the beginning, and that country; unless too little is left."""
    # Of several words first: Saudi Arabia is not what Arabia is.
    for rest, country in (
        *((words[:-count], BY_LAST_WORD.get(" ".join(words[-count:]))) for count in (3, 2, 1) if len(words) > count),
        (words[1:], BY_WORD[words[0]] if words and words[0] in _FIRST_CODES else None),
    ):
        if country and sum(map(len, rest)) > 2 and not GENERIC.issuperset(rest):
            return joined(rest), country
    return "", NOWHERE


def _without_country(text: str) -> tuple[str, Countries]:
    """The text without what comes before and after it of countries and of quality, and the countries."""
    countries = NOWHERE
    for _ in range(4):
        match = _PREFIX.match(text)
        if match is None or match.end() == len(text):
            break
        what = match["what"].strip()
        plain = " ".join(_QUALITY.sub(" ", what).split())
        found = BY_FIRST_WORD.get(plain, NOWHERE) if match["tight"] else _countries(plain)
        if not found and (match["tight"] or plain not in ("", "eu")):
            break
        countries = (countries & found) or found or countries
        text = text[match.end() :]
    for pattern, known in ((_SUFFIX, BY_WORD), (_ENDING, BY_ENDING)):
        match = pattern.search(text)
        if match is not None and match[1] in known:
            text, countries = text[: match.start()], countries or known[match[1]]
    return text, countries


def _countries(text: str) -> Countries:
    known = BY_WORD.get(text)
    if known is not None:
        return known
    parts = [BY_WORD.get(part.strip(), NOWHERE) for part in re.split(r"[/&]", text)]
    if all(parts):
        return NOWHERE.union(*parts)
    # Such as "UK Sports |".
    first, *rest = text.split() or [""]
    return BY_FIRST_WORD.get(first, NOWHERE) if rest and GENERIC.issuperset(rest) else NOWHERE
