"""How alike two names are that are not the same: another order, a plural, a slip in a long word."""

from __future__ import annotations

import re

from rapidfuzz import fuzz
from rapidfuzz.distance import OSA

from iptvd.epg.names import Name
from iptvd.epg.words import joined

#: The letters from which on a word may differ by one letter, and by two.
ONE_SLIP, TWO_SLIPS = 7, 11

_NO_PLURALS = ("news", "plus", "ss")
_DOUBLED = re.compile(r"([^\W\d_])\1+")
_UMLAUT = re.compile(r"(?<=\w)([aou])e(?=\w)")
_VOWELS = re.compile(r"[aeiouy]+")


def _stem(word: str) -> str:
    """A word without what is often spelt differently."""
    if word.isdigit() or len(word) < 4:
        return word
    word = _UMLAUT.sub(r"\1", word)
    return word[:-1] if word.endswith("s") and not word.endswith(_NO_PLURALS) else word


def _single(text: str) -> str:
    """With each letter once where it is doubled."""
    return _DOUBLED.sub(r"\1", text)


def near_keys(name: Name) -> list[str]:
    """What names that are near each other share: words in another order, all words but a long one, or consonants."""
    stems = [_stem(word) for word in name.words]
    numbers = " ".join(name.numbers)
    whole = joined(tuple(stems))
    keys = [f"1{_single(whole) if len(whole) > 5 else whole}", f"2{' '.join(sorted(stems))}"]
    letters = [at for at, stem in enumerate(stems) if not stem.isdigit()]
    for at in letters:
        if len(name.words[at]) < ONE_SLIP:
            continue
        if len(letters) > 1:
            word = name.words[at]
            keys.append(f"3{word[0]}{word[-1]}{' '.join(sorted(stems[:at] + stems[at + 1 :]))}")
        else:
            consonants = _VOWELS.sub("", _single(stems[at]))
            keys.append(f"4{numbers}:{stems[at][0]}{consonants}")
    return keys


def is_like(name: Name, other: Name, known: bool) -> bool:
    """
    Whether every word of each has its counterpart in the other.

    :param known: whether a word may also be in the plural: countries tell ``Sport`` and ``Sports`` apart.
    """
    if name.numbers != other.numbers:
        return False
    ours, theirs = list(name.words), list(other.words)
    for word in name.words:
        if word in theirs:
            ours.remove(word)
            theirs.remove(word)
    if not known and any(_stem(word) != word and _stem(word) in theirs for word in ours):
        return False
    if not known and any(_stem(word) != word and _stem(word) in ours for word in theirs):
        return False
    rest = [word for word in ours if not _take(word, theirs)]
    # What is left may still be one word here and two there.
    return (not rest and not theirs) or (len(rest) != len(theirs) and _folded(rest) == _folded(theirs))


def _folded(words: list[str]) -> str:
    return _single("".join(map(_stem, words)))


def _take(word: str, words: list[str]) -> bool:
    for other in words:
        if _are_alike(word, other):
            words.remove(other)
            return True
    return False


def _are_alike(one: str, other: str) -> bool:
    first, second = _stem(one), _stem(other)
    if first == second or (min(len(one), len(other)) > 4 and _single(first) == _single(second)):
        return True
    short = min(len(one), len(other))
    # Words that differ at an end are other words more often than the same one: Cinema, Cinemax.
    if short < ONE_SLIP or one[0] != other[0] or one[-1] != other[-1]:
        return False
    return OSA.distance(one, other) <= (2 if short >= TWO_SLIPS else 1)


def likeness(name: Name, other: Name) -> float:
    """How near two names are by their letters, 0 to 1."""
    plain = fuzz.ratio(name.key, other.key)
    return max(plain, fuzz.token_sort_ratio(" ".join(name.words), " ".join(other.words))) / 100
