"""What Xtream clients ask for by an action."""

from __future__ import annotations

import json
from base64 import b64decode
from datetime import UTC
from gzip import decompress
from typing import Any

from attrs import evolve

from iptvd.epg.reading import GuideReader
from iptvd.model import Channel, Programme
from iptvd.protocols.xtream import film_entry, live_entry
from iptvd.protocols.xtream_guide import read_programmes
from iptvd.web.xtream_api import XtreamApi
from tests.web.building import lineup_of
from tests.web.xtream_case import EPISODES, FILM, NEWS, NOW, TOKEN, XtreamTestCase

HOUR, DAY = 3600, 86400
URL = f"http://127.0.0.1/~{TOKEN}"


class ListTests(XtreamTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.keep()

    def test_categories(self) -> None:
        """Groups are categories, each with an id that is a number in letters; what is in no group has one, too."""
        for shelf, names in (
            ("live", ["News", "Sport", "Other"]),
            ("vod", ["Films"]),
            ("series", ["Series", "Sport"]),
        ):
            told = self.api(f"get_{shelf}_categories")
            self.assertEqual([each["category_name"] for each in told], names)
            for each in told:
                self.assertEqual(each, {**each, "category_id": str(int(each["category_id"])), "parent_id": 0})

    def test_live(self) -> None:
        """Live channels have all the fields that clients look for, in the types that they expect."""
        told = self.api("get_live_streams")
        ids = {each["category_name"]: each["category_id"] for each in self.api("get_live_categories")}
        one = self.id_of("One")
        expected = {
            "num": 7,
            "name": "One",
            "stream_type": "live",
            "stream_id": one,
            "stream_icon": f"{URL}/logo/{one}",
            "epg_channel_id": "one.test",
            "added": "0",
            "is_adult": "0",
            "category_id": ids["News"],
            "category_ids": [int(ids["News"])],
            "custom_sid": "",
            "tv_archive": 1,
            "tv_archive_duration": 3,
            "direct_source": "",
        }
        self.assertEqual(told[0], expected)
        self.assertEqual([each["name"] for each in told], ["One", 'Two "HD" é', "Radio", "Nowhere"])
        self.assertEqual([each["stream_type"] for each in told], ["live", "live", "radio_streams", "live"])
        self.assertEqual([each["tv_archive_duration"] for each in told], [3, 0, 0, 7])
        self.assertEqual([each["tv_archive"] for each in told], [1, 0, 0, 1])
        self.assertEqual(told[1]["epg_channel_id"], f"{told[1]['stream_id']}.iptvd")
        self.assertEqual(told[3]["category_id"], ids["Other"])

    def test_as_a_client(self) -> None:
        """What our own provider makes of the lists is what they were made of."""
        groups = {each["category_id"]: each["category_name"] for each in self.api("get_live_categories")}
        first = live_entry(self.api("get_live_streams")[0], groups, "ts")
        self.assertEqual(
            (first.name, first.group, first.number, first.tvg_id, first.catchup),
            (NEWS.name, NEWS.group, NEWS.number, NEWS.tvg_id, NEWS.catchup),
        )
        groups = {each["category_id"]: each["category_name"] for each in self.api("get_vod_categories")}
        (film,) = self.api("get_vod_streams")
        entry = film_entry(film, groups)
        self.assertEqual((entry.name, entry.group, entry.extension), (FILM.name, FILM.group, FILM.extension))

    def test_films(self) -> None:
        """Films have the fields that clients look for, and are told apart from episodes."""
        (told,) = self.api("get_vod_streams")
        (category,) = self.api("get_vod_categories")
        number = self.id_of(FILM.name)
        expected = {
            "num": 1,
            "name": FILM.name,
            "stream_type": "movie",
            "stream_id": number,
            "stream_icon": f"{URL}/logo/{number}",
            "rating": "0",
            "rating_5based": 0,
            "added": "0",
            "is_adult": "0",
            "category_id": category["category_id"],
            "category_ids": [int(category["category_id"])],
            "custom_sid": "",
            "container_extension": "mkv",
            "direct_source": "",
        }
        self.assertEqual(told, expected)

    def test_film(self) -> None:
        """Of one film everything is told that clients look for, and of what there is not nothing."""
        (listed,) = self.api("get_vod_streams")
        told = self.api("get_vod_info", vod_id=str(listed["stream_id"]))
        for name in (*("name", "movie_image", "cover_big", "plot", "cast", "director", "genre", "releasedate"),
                     *("duration", "bitrate", "rating", "tmdb_id", "youtube_trailer")):  # fmt: skip
            self.assertIsNotNone(told["info"][name], name)
        types = {name: type(told["info"][name]) for name in ("duration_secs", "backdrop_path", "video", "audio")}
        self.assertEqual(types, {"duration_secs": int, "backdrop_path": list, "video": dict, "audio": dict})
        self.assertEqual(told["info"]["genre"], "Films")
        same = ("stream_id", "name", "added", "category_id", "container_extension", "custom_sid", "direct_source")
        self.assertEqual({name: told["movie_data"][name] for name in same}, {name: listed[name] for name in same})
        for nothing in ("1", "x", "", str(self.id_of("One")), str(self.id_of("Locked")), "9" * 40):
            self.assertEqual(self.api("get_vod_info", vod_id=nothing), {"info": {}, "movie_data": {}})
        episode = self.api("get_vod_info", vod_id=str(self.id_of(EPISODES[0].name)))
        self.assertEqual(episode["info"]["name"], EPISODES[0].name)

    def test_series(self) -> None:
        """Episodes are listed as the series that their names tell."""
        told = self.api("get_series")
        ids = {each["category_name"]: each["category_id"] for each in self.api("get_series_categories")}
        cover = f"{URL}/logo/{self.id_of(EPISODES[0].name)}"
        expected = {
            "num": 1,
            "name": "Show",
            "series_id": told[0]["series_id"],
            "cover": cover,
            "plot": "",
            "cast": "",
            "director": "",
            "genre": "Series",
            "releaseDate": "",
            "last_modified": str(int(told[0]["last_modified"])),
            "rating": "0",
            "rating_5based": 0,
            "backdrop_path": [],
            "youtube_trailer": "",
            "episode_run_time": "0",
            "category_id": ids["Series"],
            "category_ids": [int(ids["Series"])],
        }
        self.assertEqual(told[0], expected)
        self.assertEqual([each["name"] for each in told], ["Show", "Other"])

    def test_episodes(self) -> None:
        """The episodes of a series come by their seasons, each in its order."""
        show, other = self.api("get_series")
        told = self.api("get_series_info", series_id=str(show["series_id"]))
        self.assertEqual(told["info"]["name"], "Show")
        self.assertEqual(
            [(each["season_number"], each["episode_count"]) for each in told["seasons"]], [(1, 2), (2, 1)]
        )
        self.assertEqual({season: [each["title"] for each in found] for season, found in told["episodes"].items()},
                         {"1": ["Show S01E01 Pilot", "Show S01E02 Second"], "2": ["Show S02E01"]})  # fmt: skip
        first = told["episodes"]["1"][0]
        number = self.id_of("Show S01E01 Pilot")
        self.assertEqual(
            {name: first[name] for name in ("id", "episode_num", "container_extension", "season", "added")},
            {"id": str(number), "episode_num": 1, "container_extension": "mp4", "season": 1, "added": "0"},
        )
        self.assertEqual(first["info"]["movie_image"], f"{URL}/logo/{number}")
        self.assertEqual((first["custom_sid"], first["direct_source"]), ("", ""))
        (special,) = self.api("get_series_info", series_id=str(other["series_id"]))["episodes"]["1"]
        self.assertEqual((special["title"], special["episode_num"]), ("Other S01 Special", 1))
        for nothing in ("", "1", "x"):
            told = self.api("get_series_info", series_id=nothing)
            self.assertEqual(told, {"seasons": [], "info": {}, "episodes": {}})

    def test_category(self) -> None:
        """A category alone has what is in it, and one that there is not has nothing."""
        for kind, action in (("live", "get_live_streams"), ("vod", "get_vod_streams"), ("series", "get_series")):
            every, found = self.api(action), []
            for category in self.api(f"get_{kind}_categories"):
                found += self.api(action, category_id=category["category_id"])
            self.assertEqual(sorted(each["name"] for each in found), sorted(each["name"] for each in every))
            self.assertEqual(self.api(action, category_id="1"), [])

    def test_groups(self) -> None:
        """A user who may see some groups sees no other in any list, and gets nothing of them by its id."""
        (show, _), (film,) = self.api("get_series"), self.api("get_vod_streams")
        all_categories = self.api("get_live_categories")
        self.keep(groups=("Sport",))
        self.assertEqual([each["name"] for each in self.api("get_live_streams")], ['Two "HD" é'])
        self.assertEqual(self.api("get_live_categories"), [all_categories[1]])
        self.assertEqual(self.api("get_live_streams", category_id=all_categories[0]["category_id"]), [])
        self.assertEqual((self.api("get_vod_streams"), self.api("get_vod_categories")), ([], []))
        self.assertEqual([each["name"] for each in self.api("get_series")], ["Other"])
        self.assertEqual(self.api("get_series_info", series_id=str(show["series_id"]))["episodes"], {})
        self.assertEqual(self.api("get_vod_info", vod_id=str(film["stream_id"])), {"info": {}, "movie_data": {}})
        self.assertEqual(self.api("get_short_epg", stream_id=str(self.id_of("One"))), {"epg_listings": []})
        panel = self.api(script="panel_api.php")
        self.assertEqual([each["name"] for each in panel["available_channels"].values()], ['Two "HD" é'])

    def test_panel(self) -> None:
        """Old clients get the login and all live channels and films in one piece."""
        told = self.api(script="panel_api.php")
        self.assertEqual(told["user_info"], self.api()["user_info"])
        self.assertEqual(told["categories"]["live"], self.api("get_live_categories"))
        self.assertEqual(told["categories"]["movie"], self.api("get_vod_categories"))
        one = str(self.id_of("One"))
        found = told["available_channels"]
        self.assertEqual([each["name"] for each in found.values()],
                         ["One", 'Two "HD" é', "Radio", "Nowhere", FILM.name])  # fmt: skip
        self.assertEqual((found[one]["stream_icon"], found[one]["live"]), (f"{URL}/logo/{one}", "1"))
        last = found[str(self.id_of(FILM.name))]
        self.assertEqual((last["container_extension"], last["live"], last["num"]), ("mkv", "0", 5))
        self.stage.shown.lineup = lineup_of()
        self.assertEqual(self.api(script="panel_api.php")["available_channels"], {})

    def test_empty(self) -> None:
        """Where there is nothing, lists are empty lists."""
        self.stage.shown.lineup = lineup_of()
        for action in ("get_live_streams", "get_vod_streams", "get_series", "get_live_categories"):
            self.assertEqual(self.api(action), [])

    def test_unchanged(self) -> None:
        """A client that has a list already is told so, until the lineup changes, and each user has links of theirs."""
        self.keep("bob", "bob-token")
        path = f"/player_api.php?username=alice&password={TOKEN}&action=get_live_streams"
        before = self.get(path, ("Accept-Encoding", "gzip"))
        self.assertIn(f'"{URL}/logo/', decompress(before.body).decode())
        again = ("If-None-Match", before.headers["ETag"])
        self.assertEqual((self.get(path, again).status, self.get(path, again).body), (304, b""))
        of_bob = self.get("/player_api.php?username=bob&password=bob-token&action=get_live_streams", again)
        self.assertEqual(of_bob.status, 200)
        self.assertNotIn(TOKEN, of_bob.text)
        self.stage.shown.lineup = lineup_of(evolve(NEWS, name="Renamed"))
        self.assertEqual([each["name"] for each in json.loads(self.get(path, again).body)], ["Renamed"])


class GuideTests(XtreamTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.keep()
        begin = NOW - NOW % HOUR
        self.shown = [
            Programme(begin + number * HOUR, begin + (number + 1) * HOUR, f"Nº {number}", description=f"D {number}")
            for number in range(-100, 30)
        ]
        self.asked: list[tuple[float, float]] = []

        async def programmes(reader: GuideReader, channel: int, start: float, stop: float) -> list[Programme]:
            self.asked.append((start, stop))
            if channel != self.id_of("One"):
                return []
            return [each for each in self.shown if each.start < stop and each.stop > start]

        self.patch(GuideReader, "programmes", programmes)

    def guide(self, action: str, name: str = "One", **arguments: str) -> list[dict[str, Any]]:
        told = self.api(action, stream_id=str(self.id_of(name)), **arguments)
        self.assertEqual(list(told), ["epg_listings"])
        found: list[dict[str, Any]] = told["epg_listings"]
        return found

    def test_short(self) -> None:
        """What is on and comes then is told in base64 and in UTC, four programmes where no number is asked for."""
        told = self.guide("get_short_epg")
        begin = NOW - NOW % HOUR
        self.assertEqual([b64decode(each["title"]).decode() for each in told], ["Nº 0", "Nº 1", "Nº 2", "Nº 3"])
        self.assertTrue(0 <= int(told[0].pop("id")) < 2**31)
        self.assertEqual(
            told[0],
            {
                "epg_id": str(self.id_of("One")),
                "title": "TsK6IDA=",
                "lang": "",
                "start": "2030-03-17 17:00:00",
                "end": "2030-03-17 18:00:00",
                "description": "RCAw",
                "channel_id": "one.test",
                "start_timestamp": str(begin),
                "stop_timestamp": str(begin + HOUR),
                "has_archive": 1,
            },
        )
        self.assertEqual([each["has_archive"] for each in told], [1, 0, 0, 0])

    def test_limit(self) -> None:
        """As many as are asked for, within reason; a number that is none is no number."""
        for limit, count in (("1", 1), ("10", 10), ("0", 4), ("-3", 4), ("many", 4), ("9999999", 30)):
            self.assertEqual(len(self.guide("get_short_epg", limit=limit)), count, limit)

    def test_as_a_client(self) -> None:
        """What our own provider reads is what is on."""
        path = f"/player_api.php?username=alice&password={TOKEN}&action=get_short_epg&stream_id={self.id_of('One')}"
        told = read_programmes(self.get(path).body, UTC, NOW)
        self.assertEqual([each.title for each in told], ["Nº 0", "Nº 1", "Nº 2", "Nº 3"])
        self.assertEqual(told[0].description, "D 0")

    def test_table(self) -> None:
        """The whole guide goes back as far as the archive, says what is on and what is kept."""
        told = self.guide("get_simple_data_table")
        self.assertEqual(self.asked[-1][0], NOW - 3 * DAY)
        self.assertEqual([b64decode(each["title"]).decode() for each in told if each["now_playing"]], ["Nº 0"])
        kept = [int(each["start_timestamp"]) for each in told if each["has_archive"]]
        self.assertEqual((min(kept) >= NOW - 3 * DAY, max(kept) <= NOW, len(kept)), (True, True, 72))
        self.assertEqual(len({each["id"] for each in told}), len(told))
        self.assertEqual(self.guide("get_simple_data_table", "Radio"), [])
        self.assertEqual(self.asked[-1][0], NOW - DAY)

    def test_provider(self) -> None:
        """Where no guide has a channel, its provider is asked what comes next."""

        async def short(channel: Channel) -> list[Programme]:
            return [Programme(NOW - 100, NOW - 10, "Over"), Programme(NOW - 10, NOW + 90, "Theirs")]

        root: Any = self.stage.root
        api: XtreamApi = root.children[b"player_api.php"].api
        self.patch(api, "_short_guide", short)
        (told,) = self.guide("get_short_epg", "Radio")
        self.assertEqual((b64decode(told["title"]), told["has_archive"]), (b"Theirs", 0))
        self.assertEqual(len(self.guide("get_simple_data_table", "Radio")), 2)

    def test_nothing(self) -> None:
        """Of a channel that there is not, or cannot be played, nothing is on."""
        for action in ("get_short_epg", "get_simple_data_table"):
            for stream in ("", "x", "1", str(self.id_of("Locked"))):
                self.assertEqual(self.api(action, stream_id=stream), {"epg_listings": []})
