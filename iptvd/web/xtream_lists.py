"""The long lists of Xtream clients, live channels, films and series, as JSON, some rows a step."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, TypeVar

from attrs import frozen

from iptvd.model import Channel
from iptvd.web.filling import ANY_BASE
from iptvd.web.xtream_body import array
from iptvd.web.xtream_catalogue import Catalogue, Category, Series, Shelf
from iptvd.web.xtream_rows import (
    by_season,
    category_row,
    episode_row,
    film_row,
    live_row,
    panel_rows,
    series_head,
    series_row,
)

T = TypeVar("T", Channel, Series)

#: Rows in one step.
_STEP = 100
#: Those of which each is made by itself.
_FEW = 20


@frozen
class Wanted:
    """
    A list that is asked for.

    :ivar category: the id of one of its categories, empty for all.
    :ivar groups: those that may be seen, empty for all.
    """

    shelf: Shelf
    category: str = ""
    groups: tuple[str, ...] = ()


class _All(Container[str]):
    """Every group."""

    def __contains__(self, group: object) -> bool:
        return True


def seen(groups: tuple[str, ...]) -> Container[str]:
    """The groups that may be seen."""
    return frozenset(groups) if groups else _All()


def categories(catalogue: Catalogue, shelf: Shelf, groups: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rows of a shelf's categories."""
    visible = seen(groups)
    return [category_row(each) for group, each in catalogue.categories[shelf].items() if group in visible]


def rows(catalogue: Catalogue, wanted: Wanted) -> Iterator[bytes]:
    """The JSON of a list, its links to be filled in."""
    ids = _ids(catalogue.categories[wanted.shelf], wanted)
    if wanted.shelf is Shelf.LIVE:
        return array(_live(catalogue.live, ids))
    if wanted.shelf is Shelf.VOD:
        return array(_numbered(catalogue.films, ids, film_row))
    return array(_numbered(list(catalogue.series.values()), ids, series_row))


def episodes(catalogue: Catalogue, series: Series) -> Iterator[bytes]:
    """The JSON of one series with its episodes, its links to be filled in."""
    category = catalogue.categories[Shelf.SERIES][series.group].id
    head = series_head(series, category, ANY_BASE)
    yield _opened(head) + b',"episodes":{'
    mark = b""
    for season, channels in by_season(series).items():
        yield b'%b"%d":' % (mark, season)
        yield from array(_few(_json(episode_row(each, place, ANY_BASE)) for place, each in enumerate(channels, 1)))
        mark = b","
    yield b"}}"


def programmes(found: Iterator[Mapping[str, Any]]) -> Iterator[bytes]:
    """The JSON of some programmes."""
    yield b'{"epg_listings":'
    yield from array(_few(map(_json, found)))
    yield b"}"


def panel(catalogue: Catalogue, head: Mapping[str, Any], groups: tuple[str, ...]) -> Iterator[bytes]:
    """The JSON of all there is, as old clients want it in one piece."""
    visible = seen(groups)
    names = {"live": Shelf.LIVE, "movie": Shelf.VOD, "series": Shelf.SERIES}
    told = {name: categories(catalogue, shelf, groups) for name, shelf in names.items()}
    yield _opened({**head, "categories": told}) + b',"available_channels":{'
    mark = ""
    channels = (each for each in chain(catalogue.live, catalogue.films) if each.group in visible)
    listed = (f"{_json(key)}:{_json(row)}" for key, row in panel_rows(catalogue, channels, ANY_BASE))
    for batch in _few(listed):
        yield (mark + ",".join(batch)).encode("utf-8", "replace")
        mark = ","
    yield b"}}"


def _ids(known: Mapping[str, Category], wanted: Wanted) -> Mapping[str, int]:
    """The ids of the categories that are to be listed, by their groups."""
    visible = seen(wanted.groups)
    return {
        group: each.id for group, each in known.items() if group in visible and wanted.category in ("", str(each.id))
    }


def _live(channels: Sequence[Channel], ids: Mapping[str, int]) -> Iterator[list[str]]:
    for start in range(0, len(channels), _STEP):
        part = channels[start : start + _STEP]
        yield [live_row(each, ids[each.group], ANY_BASE) for each in part if each.group in ids]


def _numbered(
    things: Sequence[T], ids: Mapping[str, int], row: Callable[[T, int, int, str], str]
) -> Iterator[list[str]]:
    place = 0
    for start in range(0, len(things), _STEP):
        batch = []
        for each in things[start : start + _STEP]:
            if each.group in ids:
                place += 1
                batch.append(row(each, place, ids[each.group], ANY_BASE))
        yield batch


def _few(items: Iterable[str]) -> Iterator[list[str]]:
    """Items in batches."""
    left = iter(items)
    while batch := list(islice(left, _FEW)):
        yield batch


def _opened(facts: Mapping[str, Any]) -> bytes:
    """The JSON of an object, without its end."""
    return _json(facts)[:-1].encode("utf-8", "replace")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
