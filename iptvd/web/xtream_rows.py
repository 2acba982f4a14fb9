"""
The rows of an Xtream panel's lists: which fields there are, and of which type each is.

Clients are particular about it: some crash at a field that is missing or null, others at a number that is none. What
is not known here is empty or 0, in the type that it has with panels. Long lists are written as text, field by field,
which takes less time than to make objects of them first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from json.encoder import encode_basestring
from typing import Any

from iptvd.model import Channel, ChannelKind
from iptvd.recording import days_kept
from iptvd.web.xtream_catalogue import Catalogue, Category, Series, Shelf, mark_in

#: When something was added: that is not known, and has to be a number.
ADDED = "0"
#: Days that a past is offered for of which it is not told how far back it goes.
UNTOLD = 7

_RADIO = ChannelKind.RADIO
# The quotes are JSON's.
_text = encode_basestring
# What nobody tells us of films.
_UNKNOWN: Mapping[str, Any] = {
    "plot": "",
    "cast": "",
    "director": "",
    "duration": "00:00:00",
    "duration_secs": 0,
    "bitrate": 0,
    "rating": "0",
    "rating_5based": 0,
    "backdrop_path": [],
    "youtube_trailer": "",
    "video": {},
    "audio": {},
}


def archive_days(channel: Channel) -> int:
    """For how many days what a channel showed is kept, 0 for not at all."""
    entries = channel.entries
    if len(entries) == 1 and not entries[0][1].catchup:
        return 0
    days = days_kept(channel)
    return 0 if days is None else days or UNTOLD


def logo_of(channel: Channel, base_url: str) -> str:
    """Where a channel's picture is."""
    return f"{base_url}/logo/{channel.id}"


def category_row(category: Category) -> dict[str, Any]:
    """A category."""
    return {"category_id": str(category.id), "category_name": category.name, "parent_id": 0}


def live_row(channel: Channel, category: int, base_url: str) -> str:
    """
    The JSON of a live channel.

    :param base_url: as it stands in JSON.
    """
    days = archive_days(channel)
    kind = "radio_streams" if channel.kind is _RADIO else "live"
    return (
        f'{{"num":{channel.number},"name":{_text(channel.name)},"stream_type":"{kind}","stream_id":{channel.id},'
        f'"stream_icon":"{base_url}/logo/{channel.id}","epg_channel_id":{_text(channel.xmltv_id)},"added":"{ADDED}",'
        f'"is_adult":"0","category_id":"{category}","category_ids":[{category}],"custom_sid":"",'
        f'"tv_archive":{1 if days else 0},"tv_archive_duration":{days},"direct_source":""}}'
    )


def film_row(channel: Channel, place: int, category: int, base_url: str) -> str:
    """
    The JSON of a film.

    :param place: in the list, from 1 on.
    :param base_url: as it stands in JSON.
    """
    return (
        f'{{"num":{place},"name":{_text(channel.name)},"stream_type":"movie","stream_id":{channel.id},'
        f'"stream_icon":"{base_url}/logo/{channel.id}","rating":"0","rating_5based":0,"added":"{ADDED}",'
        f'"is_adult":"0","category_id":"{category}","category_ids":[{category}],"custom_sid":"",'
        f'"container_extension":{_text(channel.extension)},"direct_source":""}}'
    )


def series_row(series: Series, place: int, category: int, base_url: str) -> str:
    """
    The JSON of a series.

    :param place: in the list, from 1 on.
    :param base_url: as it stands in JSON.
    """
    return (
        f'{{"num":{place},"name":{_text(series.name)},"series_id":{series.id},'
        f'"cover":"{base_url}/logo/{series.channels[0].id}","plot":"","cast":"","director":"",'
        f'"genre":{_text(series.group)},"releaseDate":"","last_modified":"{series.modified}","rating":"0",'
        f'"rating_5based":0,"backdrop_path":[],"youtube_trailer":"","episode_run_time":"0",'
        f'"category_id":"{category}","category_ids":[{category}]}}'
    )


def film_info(channel: Channel, category: int, base_url: str) -> dict[str, Any]:
    """All that is told of one film."""
    logo = logo_of(channel, base_url)
    info: dict[str, Any] = {
        "name": channel.name,
        "o_name": channel.name,
        "movie_image": logo,
        "cover_big": logo,
        **_UNKNOWN,
        "genre": channel.group,
        "releasedate": "",
        "tmdb_id": "",
    }
    data = {
        "stream_id": channel.id,
        "name": channel.name,
        "added": ADDED,
        "category_id": str(category),
        "category_ids": [category],
        "container_extension": channel.extension,
        "custom_sid": "",
        "direct_source": "",
    }
    return {"info": info, "movie_data": data}


def series_head(series: Series, category: int, base_url: str) -> dict[str, Any]:
    """What is told of one series beside its episodes: ``seasons`` and ``info``."""
    counts: dict[int, int] = {}
    first: dict[int, Channel] = {}
    for channel in series.channels:
        season = _season(channel)
        counts[season] = counts.get(season, 0) + 1
        first.setdefault(season, channel)
    seasons = [
        {
            "id": season,
            "season_number": season,
            "name": f"Season {season}",
            "episode_count": counts[season],
            "air_date": "",
            "overview": "",
            "cover": logo_of(first[season], base_url),
            "cover_big": logo_of(first[season], base_url),
        }
        for season in sorted(counts)
    ]
    info = {
        "name": series.name,
        "cover": logo_of(series.channels[0], base_url),
        "plot": "",
        "cast": "",
        "director": "",
        "genre": series.group,
        "releaseDate": "",
        "last_modified": str(series.modified),
        "rating": "0",
        "rating_5based": 0,
        "backdrop_path": [],
        "youtube_trailer": "",
        "episode_run_time": "0",
        "category_id": str(category),
        "category_ids": [category],
    }
    return {"seasons": seasons, "info": info}


def by_season(series: Series) -> dict[int, list[Channel]]:
    """The episodes of each season in their order."""
    seasons: dict[int, list[tuple[int, int, Channel]]] = {}
    for place, channel in enumerate(series.channels):
        mark = mark_in(channel.name)
        number = mark.number if mark is not None else 0
        seasons.setdefault(_season(channel), []).append((number, place, channel))
    return {season: [channel for _, _, channel in sorted(found)] for season, found in sorted(seasons.items())}


def episode_row(channel: Channel, place: int, base_url: str) -> dict[str, Any]:
    """
    An episode.

    :param place: in its season, from 1 on: its number where its name tells none.
    """
    mark = mark_in(channel.name)
    return {
        "id": str(channel.id),
        "episode_num": (mark.number if mark is not None else 0) or place,
        "title": channel.name,
        "container_extension": channel.extension,
        "info": {"name": channel.name, "movie_image": logo_of(channel, base_url), **_UNKNOWN, "releasedate": ""},
        "added": ADDED,
        "season": _season(channel),
        "custom_sid": "",
        "direct_source": "",
    }


def panel_rows(
    catalogue: Catalogue, channels: Iterable[Channel], base_url: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Live channels and films as ``panel_api.php`` has them, by their ids."""
    for place, channel in enumerate(channels, 1):
        film = channel.kind is ChannelKind.VOD
        days = archive_days(channel)
        category = catalogue.categories[Shelf.VOD if film else Shelf.LIVE][channel.group]
        yield (
            str(channel.id),
            {
                "num": channel.number or place,
                "name": channel.name,
                "stream_type": "movie" if film else "live",
                "type_name": "Movies" if film else "Live Streams",
                "stream_id": str(channel.id),
                "stream_icon": logo_of(channel, base_url),
                "epg_channel_id": channel.xmltv_id,
                "added": ADDED,
                "category_name": category.name,
                "category_id": str(category.id),
                "series_no": "",
                "live": "0" if film else "1",
                "container_extension": channel.extension if film else "ts",
                "custom_sid": "",
                "tv_archive": 1 if days else 0,
                "direct_source": "",
                "tv_archive_duration": days,
            },
        )


def _season(channel: Channel) -> int:
    mark = mark_in(channel.name)
    return mark.season if mark is not None else 0
