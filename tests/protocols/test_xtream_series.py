"""The episodes of a panel's series are found in all shapes they come in, named well, and asked for in a fair order."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from heapq import heappop

from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError, ProviderError
from iptvd.model import ChannelKind, Entry, ProviderState, SourceKind
from iptvd.protocols import xtream_series
from iptvd.protocols.xtream import ROWS_A_STEP, Collected
from iptvd.protocols.xtream_series import (
    Episode,
    Note,
    Place,
    Series,
    collect_episodes,
    episode_entry,
    queue_up,
    read_episodes,
    series_of,
)


def found(body: object) -> tuple[list[Episode], Counter[str]]:
    """The episodes in a reply given as a value, and what was left out."""
    episodes: list[Episode] = []
    skipped: Counter[str] = Counter()
    for _ in read_episodes(json.dumps(body).encode(), episodes, skipped):
        pass
    return episodes, skipped


def places(body: object) -> list[tuple[int, int, int]]:
    """Id, season and number of the episodes in a reply."""
    return [(episode.id, episode.season, episode.number) for episode in found(body)[0]]


class SeriesTests(SynchronousTestCase):
    """Rows of series."""

    def test_row(self) -> None:
        """A series is taken with its name, group and time of change, whichever way they are written."""
        row = {"series_id": "3", "name": "Show", "category_id": 5, "last_modified": 17, "cover": "http://a.test/c"}
        self.assertEqual(series_of(row, {"5": "Drama"}), Series(3, "Show", "Drama", "17", "http://a.test/c"))
        self.assertEqual(
            series_of({"series_id": 3, "title": "T", "last_modified": "2024-01-01"}, {}).modified, "2024-01-01"
        )
        self.assertEqual(series_of({"series_id": 3, "last_modified": None}, {}), Series(3, "Series 3"))
        self.assertRaises(ProtocolError, series_of, {"name": "Show"}, {})


class EpisodeTests(SynchronousTestCase):
    """Answers about one series."""

    def test_object_of_seasons(self) -> None:
        """Seasons as an object are the usual form; a season may be an object too."""
        body = {
            "seasons": [],
            "info": [],
            "episodes": {
                "1": [{"id": "11", "episode_num": 1}, {"id": 12, "episode_num": "2", "season": "1"}],
                "2": {"0": {"id": 21, "episode_num": 1}, "5": {"id": 22, "episode_num": 6}},
            },
        }
        self.assertEqual(places(body), [(11, 1, 1), (12, 1, 2), (21, 2, 1), (22, 2, 6)])

    def test_list_of_seasons(self) -> None:
        """Seasons as a list count from zero, the specials, as PHP has it."""
        body = {"episodes": [[{"id": 1, "episode_num": 1}], [{"id": 2, "episode_num": 1}], [{"id": 3, "season": 4}]]}
        self.assertEqual(places(body), [(1, 0, 1), (2, 1, 1), (3, 4, 0)])

    def test_list_of_episodes(self) -> None:
        """Episodes as one list tell their season themselves, or are of the first."""
        body = {"episodes": [{"id": 1, "season": 2, "episode_num": 3}, {"id": 2, "season": None}, "x", None]}
        self.assertEqual(places(body), [(1, 2, 3), (2, 1, 0)])

    def test_none(self) -> None:
        """A series may have no episodes."""
        nothing: tuple[object, ...] = ([], {}, None, [[]], {"1": []})
        for episodes in nothing:
            self.assertEqual(places({"info": [], "episodes": episodes}), [])

    def test_details(self) -> None:
        """An episode keeps its title, its container and its picture."""
        row = {"id": 1, "title": "A &amp; B", "container_extension": "mkv", "info": {"movie_image": "http://a.test/i"}}
        self.assertEqual(found({"episodes": {"1": [row]}})[0], [Episode(1, 1, 0, "A & B", "mkv", "http://a.test/i")])
        row = {"id": 1, "info": []}
        self.assertEqual(found({"episodes": {"1": [row]}})[0], [Episode(1, 1, 0, "", "mp4")])

    def test_left_out(self) -> None:
        """Episodes without an id, second ones, and those beyond a bound are left out."""
        self.patch(xtream_series, "MOST_OF_ONE", 3)
        rows = [{"id": 1}, {"title": "no id"}, {"id": "1"}, {"id": None}, {"id": 2}, {"id": 3}, {"id": 4}]
        episodes, skipped = found({"episodes": {"1": rows}})
        self.assertEqual([episode.id for episode in episodes], [1, 2, 3])
        self.assertEqual(
            skipped,
            Counter({"episodes without a usable id": 2, "episodes behind the first 3 of a series": 1}),
        )

    def test_no_answer(self) -> None:
        """An answer that does not speak of episodes does not say that there are none."""
        answers: tuple[object, ...] = ([], {}, {"info": {"name": "Show"}, "seasons": []})
        for body in answers:
            self.assertRaises(ProtocolError, found, body)

    def test_login_instead(self) -> None:
        """An account that is no longer let in is noticed."""
        error: ProviderError = self.assertRaises(ProviderError, found, {"user_info": {"auth": 0}})
        self.assertEqual(error.state, ProviderState.AUTH_FAILED)

    def test_small_steps(self) -> None:
        """A series of a thousand episodes is read in short steps."""
        body = json.dumps({"episodes": {"1": [{"id": number} for number in range(1, 1001)]}}).encode()
        episodes: list[Episode] = []
        seen = [len(episodes) for _ in read_episodes(body, episodes, Counter())]
        self.assertEqual(seen, list(range(ROWS_A_STEP, 1001, ROWS_A_STEP)))


class NameTests(SynchronousTestCase):
    """Entries of episodes."""

    def named(self, title: str, number: int = 2, season: int = 1) -> str:
        """The name of an episode with this title."""
        return episode_entry(Series(3, "Show"), Episode(9, season, number, title, "mp4")).name

    def test_entry(self) -> None:
        """An episode is a film in the group of its series, under its own picture or that of the series."""
        series = Series(3, "Show", "Drama", "17", "http://a.test/cover")
        self.assertEqual(
            episode_entry(series, Episode(9, 1, 2, "Title", "mkv")),
            Entry(
                key="episode:9",
                name="Show S01E02 Title",
                kind=ChannelKind.VOD,
                source_kind=SourceKind.VOD,
                extension="mkv",
                group="Drama",
                logo="http://a.test/cover",
                origin={"type": "episode", "id": 9, "ext": "mkv"},
            ),
        )
        self.assertEqual(episode_entry(series, Episode(9, 1, 2, "", "mkv", "http://a.test/i")).logo, "http://a.test/i")

    def test_titles(self) -> None:
        """Whatever a title repeats of the series and the number stands in the name once."""
        for title in ("Title", "Show - S01E02 - Title", "show: Title", "S1 E2 Title", "Show.S01E02.Title"):
            self.assertEqual(self.named(title), "Show S01E02 Title", title)
        for title in ("", "Show", "Show S01E02", " - "):
            self.assertEqual(self.named(title), "Show S01E02", title)

    def test_numbers(self) -> None:
        """Specials are season 0, long runs have long numbers, and an unknown number is left out."""
        self.assertEqual(self.named("", 1, 0), "Show S00E01")
        self.assertEqual(self.named("", 1234, 12), "Show S12E1234")
        self.assertEqual(self.named("Pilot", 0), "Show S01 Pilot")


class OrderTests(SynchronousTestCase):
    """Which series are asked for."""

    def order(
        self, shows: list[Series], notes: dict[int, Note], failures: Mapping[int, int] | None = None
    ) -> list[int]:
        """The ids of the series to ask for, in order."""
        queue: list[Place] = []
        for _ in queue_up({show.id: show for show in shows}, notes, failures or {}, queue):
            pass
        return [heappop(queue)[-1] for _ in range(len(queue))]

    def test_newest_first(self) -> None:
        """New and changed series are asked for, the newest first; known ones are not."""
        shows = [
            Series(1, "A", modified="10"),
            Series(2, "B", modified="30"),
            Series(3, "C", modified="20"),
            Series(4, "D"),
        ]
        self.assertEqual(self.order(shows, {}), [2, 3, 1, 4])
        self.assertEqual(self.order(shows, {2: Note("30", ()), 3: Note("19", ())}), [3, 1, 4])

    def test_failed_later(self) -> None:
        """A series that cannot be had does not keep the others waiting."""
        shows = [Series(1, "A", modified="10"), Series(2, "B", modified="30")]
        self.assertEqual(self.order(shows, {}, {2: 1}), [1, 2])

    def test_undated_last(self) -> None:
        """Series of which no time of change is told are asked for again last, the oldest first."""
        shows = [Series(1, "A"), Series(2, "B"), Series(3, "C", modified="5")]
        self.assertEqual(self.order(shows, {2: Note("", ()), 1: Note("", ())}), [3, 2, 1])

    def test_gone(self) -> None:
        """What is known of a series that is no longer listed is forgotten."""
        notes = {number: Note("1", ()) for number in range(1, 1000)}
        self.assertEqual(self.order([Series(number, "A", modified="1") for number in range(500, 900)], notes), [])
        self.assertEqual(sorted(notes), list(range(500, 900)))

    def test_collected(self) -> None:
        """What is known of the listed series is listed; what is not known yet is counted."""
        shows = {number: Series(number, f"Show {number}") for number in range(1, 101)}
        notes = {number: Note("", (Episode(number, 1, 1, "", "mp4"),)) for number in range(1, 51)}
        notes[7] = Note("", ())
        notes[8] = Note("", tuple(Episode(1000 + number, 1, number, "", "mp4") for number in range(100)))
        into, skipped = Collected(), Counter[str]()
        for _ in collect_episodes(shows, notes, into, skipped):
            pass
        self.assertEqual((len(into.entries), skipped), (148, Counter({"series not asked for yet": 50})))
