"""What an Xtream panel has to offer and to whom, and its right answers, in the odd shapes that panels give them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum

from attrs import Factory, define, field
from twisted.web.server import Request

Row = dict[str, object]


@define
class User:
    """
    An account.

    :ivar expires: ``exp_date`` as it stands in the JSON.
    :ivar active: the requests for streams that are being served to it now.
    """

    username: str
    password: str = field(repr=False)
    max_connections: int = 1
    status: str = "Active"
    auth: int = 1
    expires: object = "4102444800"
    active: list[Request] = field(factory=list, repr=False)


class Shape(Enum):
    """An odd form of right answers."""

    NUMBERS_AS_STRINGS = "numbers as strings"
    LISTS_AS_OBJECTS = "lists as objects"
    INFO_AS_LIST = "info as list"
    SEASONS_AS_LIST = "seasons as list"
    EPISODES_AS_LIST = "episodes as list"


@define(eq=False)
class Content:
    """
    Accounts and lists, all of which can be changed at any time.

    :ivar episodes: the rows of episodes, by the id of their series.
    :ivar listings: the rows of programmes, by the id of their channel, see `programme`.
    :ivar server_info: what a login tells of the panel itself.
    """

    users: list[User] = Factory(lambda: [User("user", "pass")])
    categories: dict[str, list[Row]] = field(factory=lambda: {"live": [], "vod": [], "series": []})
    live_streams: list[Row] = field(factory=list)
    vod_streams: list[Row] = field(factory=list)
    series_list: list[Row] = field(factory=list)
    episodes: dict[int, list[Row]] = field(factory=dict)
    listings: dict[int, list[Row]] = field(factory=dict)
    shapes: set[Shape] = field(factory=set)
    server_info: Row = field(factory=lambda: {"url": "127.0.0.1", "timezone": "UTC", "process": True})

    def category(self, kind: str, number: int, name: str) -> None:
        """Add a category, ``kind`` being live, vod or series."""
        self.categories[kind].append({"category_id": str(number), "category_name": name, "parent_id": 0})

    def add_live(self, number: int, name: str, category: int = 1, **more: object) -> None:
        """Add a live channel."""
        row: Row = {
            "num": len(self.live_streams) + 1,
            "name": name,
            "stream_type": "live",
            "stream_id": number,
            "stream_icon": f"http://logo.example.com/{number}.png",
            "epg_channel_id": f"{number}.example",
            "added": "1700000000",
            "is_adult": 0,
            "category_id": str(category),
            "category_ids": [category],
            "custom_sid": None,
            "tv_archive": 0,
            "tv_archive_duration": 0,
            "direct_source": "",
        }
        self.live_streams.append(row | more)

    def add_film(self, number: int, name: str, category: int = 1, **more: object) -> None:
        """Add a film."""
        row: Row = {
            "num": len(self.vod_streams) + 1,
            "name": name,
            "stream_type": "movie",
            "stream_id": number,
            "stream_icon": "",
            "rating": "7",
            "rating_5based": 3.5,
            "added": "1700000000",
            "category_id": str(category),
            "container_extension": "mp4",
            "custom_sid": "",
            "direct_source": "",
        }
        self.vod_streams.append(row | more)

    def add_series(self, number: int, name: str, episodes: Iterable[Row], category: int = 1, **more: object) -> None:
        """Add a series with its episodes; see `episode`."""
        row: Row = {
            "num": len(self.series_list) + 1,
            "name": name,
            "series_id": number,
            "cover": "",
            "last_modified": "1700000000",
            "category_id": str(category),
        }
        self.series_list.append(row | more)
        self.episodes[number] = list(episodes)

    def user(self, username: str, password: str) -> User | None:
        """The account with this name and password, whatever its status."""
        return next((user for user in self.users if (user.username, user.password) == (username, password)), None)

    def answer(self, action: str, user: User | None, arguments: Mapping[str, str]) -> object:
        """The right answer to an API call."""
        if user is None or not user.auth:
            return {"user_info": {"auth": 0}}
        if action.endswith("_categories"):
            return self._list(self.categories.get(action.split("_")[1], []))
        if action == "get_series_info":
            return self._series_info(int(arguments.get("series_id", "0")))
        if action == "get_short_epg":
            rows = self.listings.get(int(arguments.get("stream_id", "0")), [])
            return {"epg_listings": self._list(rows[: int(arguments.get("limit", "4"))])}
        lists = {
            "get_live_streams": self.live_streams,
            "get_vod_streams": self.vod_streams,
            "get_series": self.series_list,
        }
        if action in lists:
            wanted = arguments.get("category_id")
            return self._list([row for row in lists[action] if wanted in (None, row.get("category_id"))])
        return self._login(user)

    def _login(self, user: User) -> object:
        info: Row = {
            "username": user.username,
            "password": user.password,
            "message": "",
            "auth": user.auth,
            "status": user.status,
            "exp_date": user.expires,
            "is_trial": "0",
            "active_cons": str(len(user.active)),
            "created_at": "1600000000",
            "max_connections": str(user.max_connections),
            "allowed_output_formats": ["m3u8", "ts"],
        }
        return {"user_info": self._odd(info), "server_info": self.server_info}

    def _series_info(self, number: int) -> object:
        rows = self.episodes.get(number, [])
        seasons: dict[str, list[object]] = {}
        for row in rows:
            seasons.setdefault(str(row["season"]), []).append(self._odd(row))
        episodes: object = seasons or []
        if Shape.SEASONS_AS_LIST in self.shapes:
            episodes = list(seasons.values())
        if Shape.EPISODES_AS_LIST in self.shapes:
            episodes = [self._odd(row) for row in rows]
        info: object = [] if Shape.INFO_AS_LIST in self.shapes else {"name": f"Series {number}"}
        return {"seasons": [], "info": info, "episodes": episodes}

    def _list(self, rows: list[Row]) -> object:
        odd = [self._odd(row) for row in rows]
        return dict(enumerate(odd)) if Shape.LISTS_AS_OBJECTS in self.shapes else odd

    def _odd(self, row: Row) -> Row:
        row = dict(row)
        if Shape.NUMBERS_AS_STRINGS in self.shapes:
            row = {name: str(value) if type(value) in (int, float) else value for name, value in row.items()}
        if Shape.INFO_AS_LIST in self.shapes and "info" in row:
            row["info"] = []
        return row


def programme(start: int, stop: int, title: str, description: str = "") -> Row:
    """The row of a programme, its texts in base64 and its times in UTC."""
    shown = [datetime.fromtimestamp(each, UTC).strftime("%Y-%m-%d %H:%M:%S") for each in (start, stop)]
    return {
        "id": str(start),
        "epg_id": "1",
        "title": b64encode(title.encode()).decode(),
        "description": b64encode(description.encode()).decode(),
        "lang": "",
        "start": shown[0],
        "end": shown[1],
        "channel_id": "",
        "start_timestamp": str(start),
        "stop_timestamp": str(stop),
    }


def episode(number: int, season: int, of_season: int, title: str, **more: object) -> Row:
    """The row of an episode."""
    row: Row = {
        "id": str(number),
        "episode_num": of_season,
        "title": title,
        "container_extension": "mkv",
        "info": {"movie_image": ""},
        "added": "1700000000",
        "season": season,
        "custom_sid": "",
        "direct_source": "",
    }
    return row | more
