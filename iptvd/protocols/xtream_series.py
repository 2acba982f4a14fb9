"""
The series of an Xtream panel and their episodes, which are asked for series by series.

A panel may have twenty thousand series, and each costs a request. So what is known stays noted with the time at which
the panel last changed the series, and only what is new or changed is asked for again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from heapq import heappush

from attrs import field, frozen

from iptvd.errors import ProtocolError
from iptvd.model import ChannelKind, Entry, SourceKind
from iptvd.protocols.jsonstream import Path, items
from iptvd.protocols.xtream import (
    ROWS_A_STEP,
    Collected,
    Row,
    check_no_login,
    clean,
    extension,
    group_of,
    link,
    required_id,
    whole_number,
)

#: Episodes taken of one series.
MOST_OF_ONE = 5_000

#: Episodes known of all series together, beyond which no further series is asked for.
MOST_EPISODES = 300_000

_MARK = re.compile(r"\bS[0-9]{1,4}[ ._-]?E[0-9]{1,5}\b", re.IGNORECASE)
_AROUND = " -–—:|.·_"  # noqa: RUF001


@frozen
class Series:
    """
    A series as the panel's list has it.

    :ivar modified: when the panel changed it last, as it tells it; empty when it does not.
    """

    id: int
    name: str
    group: str = ""
    modified: str = ""
    cover: str = field(default="", repr=False)


@frozen
class Episode:
    """One episode; ``number`` is 0 when it is not told."""

    id: int
    season: int
    number: int
    title: str
    extension: str
    picture: str = field(default="", repr=False)


@frozen
class Note:
    """What is known of one series, and the ``modified`` of which it is known."""

    modified: str
    episodes: tuple[Episode, ...]


def series_of(row: Row, groups: Mapping[str, str]) -> Series:
    """
    The series in a row of ``get_series``.

    :raises ProtocolError: when it has no usable id.
    """
    series = required_id(row, "series_id")
    changed = whole_number(row.get("last_modified"))
    return Series(
        id=series,
        name=clean(row.get("name")) or clean(row.get("title")) or f"Series {series}",
        group=group_of(row, groups),
        modified=clean(row.get("last_modified")) if changed is None else str(changed),
        cover=link(row.get("cover")),
    )


def read_episodes(body: bytes, episodes: list[Episode], skipped: Counter[str]) -> Iterator[None]:
    """
    Put the episodes in the answer to ``get_series_info`` into ``episodes``, a few a step.

    They come as an object of seasons, as a list of seasons (PHP makes one of seasons 0 to n), or a list of episodes.

    :raises ProtocolError: when there is nothing about episodes in it.
    :raises ProviderError: when it is a login.
    """
    told = False

    def opened(path: Path, bracket: str) -> bool:
        nonlocal told
        told = told or path == ("episodes",)
        return path == ("episodes",) or (path[0] == "episodes" and len(path) == 2 and bracket == "[")

    seen: set[int] = set()
    count = 0
    for path, value in items(body, opened):
        check_no_login(path, value)
        if path[0] != "episodes":
            continue
        told = True
        for row in _rows_of(value):
            try:
                episode = _episode(row, path)
            except ProtocolError as error:
                skipped[f"episodes {error.sentence}"] += 1
                continue
            if len(episodes) >= MOST_OF_ONE:
                skipped[f"episodes behind the first {MOST_OF_ONE} of a series"] += 1
            elif episode.id not in seen:
                seen.add(episode.id)
                episodes.append(episode)
            count += 1
            if count % ROWS_A_STEP == 0:
                yield
    if not told:
        raise ProtocolError("the JSON tells nothing of episodes")


def _rows_of(value: object) -> Iterator[Row]:
    """An episode, or the episodes of a season that is an object because of a gap in its numbers."""
    if isinstance(value, dict):
        inner = [row for row in value.values() if isinstance(row, dict)]
        yield from [value] if "id" in value or not inner else inner


def _episode(row: Row, path: Path) -> Episode:
    season = whole_number(row.get("season"))
    if season is None:
        # Of a flat list the index is no season.
        season = whole_number(path[1]) if len(path) == 3 or isinstance(path[1], str) else None
    info = row.get("info")
    details: Row = info if isinstance(info, dict) else {}
    return Episode(
        id=required_id(row, "id"),
        season=max(1 if season is None else season, 0),
        number=max(whole_number(row.get("episode_num")) or 0, 0),
        title=clean(row.get("title")),
        extension=extension(row.get("container_extension")),
        picture=link(details.get("movie_image")) or link(details.get("cover_big")),
    )


def episode_entry(series: Series, episode: Episode) -> Entry:
    """The entry for an episode, named like ``Show S01E02 Title`` in whatever way its title repeats that."""
    rest = episode.title
    if mark := _MARK.search(rest):
        rest = rest[mark.end() :]
    elif rest.casefold().startswith(series.name.casefold()):
        rest = rest[len(series.name) :]
    mark_of_ours = f"S{episode.season:02d}" + (f"E{episode.number:02d}" if episode.number else "")
    return Entry(
        key=f"episode:{episode.id}",
        name=" ".join(filter(None, (series.name, mark_of_ours, rest.strip(_AROUND)))),
        kind=ChannelKind.VOD,
        source_kind=SourceKind.VOD,
        extension=episode.extension,
        group=series.group,
        logo=episode.picture or series.cover,
        origin={"type": "episode", "id": episode.id, "ext": episode.extension},
    )


def collect_episodes(
    shows: Mapping[int, Series], notes: Mapping[int, Note], collected: Collected, skipped: Counter[str]
) -> Iterator[None]:
    """Make entries of all that is known of the series that are listed; one that nothing is known of is counted."""
    for count, series in enumerate(shows.values(), 1):
        note = notes.get(series.id)
        if note is None:
            skipped["series not asked for yet"] += 1
        else:
            for start in range(0, len(note.episodes), ROWS_A_STEP):
                for episode in note.episodes[start : start + ROWS_A_STEP]:
                    collected.add(episode_entry(series, episode))
                yield
        if count % ROWS_A_STEP == 0:
            yield


#: How a series stands in the queue: undated and known, failures so far, minus its age, its place; then its id.
Place = tuple[bool, int, int, int, int]


def queue_up(
    shows: Mapping[int, Series], notes: dict[int, Note], failures: Mapping[int, int], queue: list[Place]
) -> Iterator[None]:
    """
    Push the series whose episodes have to be asked for onto a heap, and drop the notes of those that are gone.

    New and changed ones come first, the newest of them before the others, those that failed already later. Last come
    known ones that the panel gives no time of change, in the order of the notes, so the ones asked longest ago first.
    """
    for count, (known, note) in enumerate(list(notes.items()), 1):
        if known not in shows:
            del notes[known]
        elif not note.modified and not shows[known].modified:
            heappush(queue, (True, failures.get(known, 0), 0, count, known))
        if count % (8 * ROWS_A_STEP) == 0:
            yield
    for count, series in enumerate(shows.values(), 1):
        former = notes.get(series.id)
        if former is None or former.modified != series.modified:
            age = -(whole_number(series.modified) or 0)
            heappush(queue, (False, failures.get(series.id, 0), age, count, series.id))
        if count % (8 * ROWS_A_STEP) == 0:
            yield
