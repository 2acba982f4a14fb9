"""What a programme's XML says, as values: the way back from what is kept in the database."""

from __future__ import annotations

import re
from xml.parsers import expat

from iptvd.model import Programme

_NS = re.compile(r"\s*(\d{1,4})?\s*(?:/\s*\d+)?\s*\.\s*(\d{1,5})?\s*(?:/\s*\d+)?\s*(?:\..*)?")


def programme_of(start: float, stop: float, title: str, xml: str) -> Programme:
    """
    A programme out of the database.

    :param xml: what is in its element, as `iptvd.protocols.xmltv` has written it.
    """
    texts: dict[str, list[str]] = {}
    systems: list[str] = []
    name = ""

    def begin(element: str, attributes: dict[str, str]) -> None:
        nonlocal name
        name = element
        if element in ("sub-title", "desc", "category", "episode-num"):
            texts.setdefault(element, []).append("")
            if element == "episode-num":
                systems.append(attributes.get("system", "onscreen"))

    def text(data: str) -> None:
        if name in texts:
            texts[name][-1] += data

    def end(element: str) -> None:
        nonlocal name
        name = ""

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.CharacterDataHandler, parser.EndElementHandler = begin, text, end
    parser.Parse(f"<programme>{xml}</programme>", True)
    return Programme(
        start,
        stop,
        title,
        texts.get("sub-title", [""])[0],
        texts.get("desc", [""])[0],
        tuple(dict.fromkeys(texts.get("category", []))),
        _episode(list(zip(systems, texts.get("episode-num", []), strict=True))),
    )


def _episode(numbers: list[tuple[str, str]]) -> str:
    """What is shown of an episode's numbers: as the guide wants it shown, else out of the zero-based form."""
    for system, number in numbers:
        if system == "onscreen":
            return number
    for system, number in numbers:
        match = _NS.fullmatch(number) if system == "xmltv_ns" else None
        if match is not None:
            season, episode = match.groups()
            parts = (f"S{int(season) + 1}" if season else "", f"E{int(episode) + 1}" if episode else "")
            return " ".join(filter(None, parts))
    return ""
