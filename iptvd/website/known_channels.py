"""
What is known of channels by their names: country, group, tags, the guide's id, a logo.

It is data, in TOML: a file of ours, and one of the operator's that goes before it. Both are read block by block, as
reading a long one at once would hold up the reactor.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import evolve, frozen

from iptvd.errors import ConfigError, ProtocolError
from iptvd.protocols.urls import split_url

#: The file that comes with us, and the name of the operator's.
OURS = Path(__file__).with_name("known_channels.toml")
#: Bytes of such a file.
LONGEST = 1024 * 1024

_BLOCK = re.compile(r"^(?=\[\[)", re.MULTILINE)
_QUALITY = frozenset(("hd", "fhd", "uhd", "4k", "8k", "sd", "hq", "hevc", "1080p", "1080i", "720p", "2160p"))
_LONGEST_BLOCK = 16 * 1024
_TEXTS = ("code", "country", "group", "logo", "name", "tvg_id")
_LISTS = ("names", "tags", "words")


@frozen
class Known:
    """
    What is known of a channel; empty what is not.

    :ivar country: its name.
    :ivar logo: http or https.
    """

    country: str = ""
    group: str = ""
    tags: tuple[str, ...] = ()
    tvg_id: str = ""
    logo: str = ""


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name, without case, accents and quality (``HD``, ``1080p``)."""
    bare = unicodedata.normalize("NFKD", name.casefold().replace("&", " and "))
    bare = "".join(each for each in bare if not unicodedata.combining(each))
    return tuple(word for word in re.findall(r"\w+", bare) if word not in _QUALITY)


class KnownChannels:
    """What several files say; the file that is read first goes before the others."""

    def __init__(self) -> None:
        self._countries: dict[tuple[str, ...], str] = {}
        self._names: dict[str, str] = {}
        self._channels: dict[tuple[str, ...], list[Known]] = {}
        self._groups: list[tuple[frozenset[tuple[str, ...]], Known]] = []

    def read(self, text: str) -> Iterator[None]:
        """
        Read one file, in short steps.

        :raises ConfigError: at the block that is wrong; what came before it holds.
        """
        line = 1
        for block in _BLOCK.split(text):
            try:
                if len(block) > _LONGEST_BLOCK:
                    raise ValueError
                for kind, tables in tomllib.loads(block).items():
                    for table in tables:
                        self._add(kind, table)
            except (ValueError, TypeError, AttributeError, RecursionError):
                raise ConfigError(
                    f"the block at line {line} of the file of known channels is no [[channel]], [[words]] or "
                    "[[country]] as in docs/providers.md"
                ) from None
            line += block.count("\n")
            yield

    def _add(self, kind: str, table: Mapping[str, object]) -> None:
        """Raises `ValueError` for what is none."""
        texts = {name: table.get(name, "") for name in _TEXTS}
        lists = {name: table.get(name, []) for name in _LISTS}
        if table.keys() - texts.keys() - lists.keys():
            raise ValueError
        plain = {name: _checked(value) for name, value in texts.items()}
        many = {name: _all_checked(value) for name, value in lists.items()}
        if plain["logo"]:
            try:
                split_url(plain["logo"])
            except ProtocolError:
                raise ValueError from None
        known = Known(plain["country"], plain["group"], many["tags"], plain["tvg_id"], plain["logo"])
        if kind == "channel" and many["names"]:
            for name in many["names"]:
                self._channels.setdefault(words_of(name), []).append(known)
        elif kind == "words" and many["words"]:
            self._groups.append((frozenset(map(words_of, many["words"])), known))
        elif kind == "country" and plain["code"] and many["words"]:
            self._names.setdefault(plain["code"], plain["name"] or plain["code"])
            for name in many["words"]:
                self._countries.setdefault(words_of(name), plain["code"])
        else:
            raise ValueError

    def find(self, name: str) -> Known:
        """What is known of a channel with this name."""
        whole = words_of(name)
        code, bare = self._country(name, whole)
        found = self._exact(whole, "") or self._exact(bare, code)
        if found is None:
            found = next((known for words, known in self._groups if _has(bare, words)), Known())
        code = code or found.country
        return evolve(found, country=self._names.get(code, code))

    def _exact(self, words: tuple[str, ...], code: str) -> Known | None:
        """The channel of this name, and of this country where one is named."""
        for known in self._channels.get(words, ()):
            if not code or known.country in ("", code):
                return known
        return None

    def _country(self, name: str, words: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
        """The code of the country that a name ends or begins with, and its other words."""
        before, colon, _ = name.partition(":")
        first = words_of(before) if colon else ()
        if first in self._countries and len(words) > len(first):
            return self._countries[first], words[len(first) :]
        written = set(re.findall(r"\w+", name))
        for count in (2, 1):
            last = words[-count:]
            if len(words) <= count or last not in self._countries:
                continue
            # What is as short as that is a word of its language too, unless it is written as a code.
            if len(last[-1]) > 3 or last[-1].upper() in written:
                return self._countries[last], words[:-count]
        return "", words


def _checked(value: object) -> str:
    if not isinstance(value, str) or len(value) > 300 or not value.isprintable():
        raise ValueError
    return value.strip()


def _all_checked(value: object) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > 200:
        raise ValueError
    return tuple(_checked(each) for each in value)


def _has(words: tuple[str, ...], wanted: frozenset[tuple[str, ...]]) -> bool:
    """Whether one of the wanted follows of words occurs."""
    return any(
        words[start : start + count] in wanted for count in (1, 2, 3) for start in range(len(words) - count + 1)
    )
