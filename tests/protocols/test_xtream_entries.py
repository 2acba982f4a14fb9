"""What panels list becomes entries, and entries and links become addresses."""

from __future__ import annotations

import json
from functools import partial

from hypothesis import given, settings, strategies
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ConfigError, ProtocolError
from iptvd.model import ChannelKind, Entry, SourceKind
from iptvd.protocols.xtream import (
    film_entry,
    live_entry,
    settings_from_link,
    stream_url,
)
from tests.protocols.test_xtream import mixed

ANYTHING = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | strategies.text(max_size=12)
    | strategies.sampled_from(["51", "1700000000", "http://logo.example.com/a.png", "mp4"]),
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.text(max_size=4), inner),
    max_leaves=4,
)
COLUMNS = [
    *("stream_id", "num", "name", "title", "stream_type", "stream_icon", "cover", "epg_channel_id", "category_id"),
    *("category_ids", "tv_archive", "tv_archive_duration", "container_extension", "series_id", "last_modified"),
]


class EntryTests(SynchronousTestCase):
    """Entries out of rows."""

    GROUPS = {"5": "News", "6": "Sport"}

    def live(self, output: str = "ts", **row: object) -> Entry:
        """The entry for a row of a live channel with the id 51."""
        return live_entry({"stream_id": 51, **row}, self.GROUPS, output)

    def test_live(self) -> None:
        """A live channel keeps all that is known of it."""
        self.assertEqual(
            self.live(
                num="7",
                name="One &amp; Only",
                stream_type="live",
                stream_icon="https://logo.example.com/1.png",
                epg_channel_id="one.example",
                category_id="5",
                tv_archive="1",
                tv_archive_duration="7",
                is_adult="0",
                direct_source="http://origin.example.com/1",
            ),
            Entry(
                key="live:51",
                name="One & Only",
                group="News",
                number=7,
                tvg_id="one.example",
                logo="https://logo.example.com/1.png",
                catchup=(("catchup", "xc"), ("catchup-days", "7")),
                origin={"type": "live", "id": 51},
            ),
        )

    def test_bare(self) -> None:
        """A live channel of which only the id is known is still one."""
        expected = Entry(key="live:51", name="Channel 51", origin={"type": "live", "id": 51})
        self.assertEqual(self.live(), expected)
        nothing: dict[str, object] = dict.fromkeys(COLUMNS)
        self.assertEqual(live_entry({**nothing, "stream_id": "51"}, self.GROUPS, "ts"), expected)

    def test_hls(self) -> None:
        """Asked for as HLS, a live channel is one."""
        entry = self.live(output="hls")
        self.assertEqual((entry.source_kind, entry.extension), (SourceKind.HLS, "m3u8"))

    def test_radio(self) -> None:
        """Radio is told apart."""
        self.assertEqual(self.live(stream_type="radio_streams").kind, ChannelKind.RADIO)

    def group(self, row: dict[str, object]) -> str:
        """The group of a live channel with these fields."""
        return live_entry({"stream_id": 51, **row}, self.GROUPS, "ts").group

    def test_groups(self) -> None:
        """The group is found by whichever id the panel gives, however it is written."""
        rows: list[dict[str, object]]
        rows = [{"category_id": 6}, {"category_id": "6"}, {"category_id": None, "category_ids": ["9", 6]}]
        self.assertEqual([self.group(row) for row in rows], ["Sport"] * 3)
        rows = [{"category_id": None}, {"category_id": "99"}, {"category_ids": {}}, {"category_id": []}]
        self.assertEqual([self.group(row) for row in rows], [""] * 4)

    def test_catchup(self) -> None:
        """Catch-up needs an archive and its length."""
        for archive, days in ((0, 7), ("0", "7"), (1, 0), (1, None), (None, 7), ("", "")):
            self.assertEqual(self.live(tv_archive=archive, tv_archive_duration=days).catchup, ())
        self.assertEqual(self.live(tv_archive=1, tv_archive_duration=9999).catchup[1], ("catchup-days", "365"))

    def test_film(self) -> None:
        """A film keeps its container, its group and its picture."""
        row = {
            "stream_id": "8",
            "name": "Film",
            "container_extension": "MKV",
            "category_id": 5,
            "cover": "http://a.test/b",
        }
        self.assertEqual(
            film_entry(row, self.GROUPS),
            Entry(
                key="vod:8",
                name="Film",
                kind=ChannelKind.VOD,
                source_kind=SourceKind.VOD,
                extension="mkv",
                group="News",
                logo="http://a.test/b",
                origin={"type": "vod", "id": 8, "ext": "mkv"},
            ),
        )
        self.assertEqual(film_entry({"stream_id": 8, "title": "T"}, {}).name, "T")
        self.assertEqual(film_entry({"stream_id": 8.0}, {}).name, "Film 8")

    @given(strategies.fixed_dictionaries({}, optional=dict.fromkeys(COLUMNS, ANYTHING)))
    @settings(max_examples=200, deadline=None)
    def test_anything(self, row: dict[str, object]) -> None:
        """Whatever stands in a row, it becomes an entry that can be written down, or is left out."""
        for make in (partial(live_entry, groups=self.GROUPS, output="ts"), partial(film_entry, groups=self.GROUPS)):
            try:
                entry = make(row)
            except ProtocolError:
                continue
            self.assertTrue(entry.name)
            self.assertEqual(json.loads(json.dumps(entry.origin)), entry.origin)
            (entry.name + entry.group + entry.tvg_id + entry.logo).encode()


class UrlTests(SynchronousTestCase):
    """URLs out of entries and settings out of URLs."""

    def test_streams(self) -> None:
        """Each kind of entry has its place on the panel, and odd characters in an account are escaped."""
        base, user, word = "http://panel.test:8080/p", "a/b", "c d?%"
        for origin, output, tail in (
            ({"type": "live", "id": 51}, "ts", "live/a%2Fb/c%20d%3F%25/51.ts"),
            ({"type": "live", "id": 51}, "hls", "live/a%2Fb/c%20d%3F%25/51.m3u8"),
            ({"type": "vod", "id": 8, "ext": "mkv"}, "hls", "movie/a%2Fb/c%20d%3F%25/8.mkv"),
            ({"type": "episode", "id": 9, "ext": "../x"}, "ts", "series/a%2Fb/c%20d%3F%25/9.mp4"),
        ):
            self.assertEqual(stream_url(base, user, word, origin, output), f"{base}/{tail}")

    def test_foreign_origin(self) -> None:
        """An entry that is not of this provider is refused."""
        for origin in mixed(
            {},
            {"type": "live"},
            {"type": "x", "id": 1},
            {"type": "live", "id": "../1"},
            {"type": "vod", "id": 0},
        ):
            self.assertRaises(ProtocolError, stream_url, "http://panel.test", "u", "p", origin, "ts")

    def test_links(self) -> None:
        """An address with an account in it, or a pasted link, is all that has to be given."""
        full = {"url": "http://panel.test:8080", "username": "us er", "password": "p@ss"}
        for argument in (
            "http://us%20er:p%40ss@panel.test:8080",
            " http://us%20er:p@ss@panel.test:8080/ ",
            "http://panel.test:8080/get.php?username=us+er&password=p%40ss&type=m3u_plus",
            "http://panel.test:8080/player_api.php?username=us%20er&password=p%40ss",
            "http://other:word@panel.test:8080/get.php?username=us%20er&password=p%40ss",
        ):
            self.assertEqual(settings_from_link(argument), full, argument)
        link = "https://[::1]/a/b/get.php?username=u&password=p&output="
        for told, output in (("m3u8", "hls"), ("hls", "hls"), ("ts", "ts"), ("mpegts", "ts")):
            self.assertEqual(
                settings_from_link(link + told),
                {"url": "https://[::1]/a/b", "username": "u", "password": "p", "output": output},
            )
        self.assertEqual(settings_from_link("http://panel.test/x/"), {"url": "http://panel.test/x"})

    def test_wrong_links(self) -> None:
        """What is neither is refused without being repeated."""
        for argument in (
            "panel.test",
            "ftp://u:canary@panel.test",
            "http://u:canary@",
            "http://u:canary@panel.test:99999",
            "http://u:canary@panel.test:0",
            "http://u:canary@[::1",
            "http://u:can ary@panel.test",
            "http://u:canary#x@panel.test",
            "http://panel.test/?password=canary",
        ):
            error: ConfigError = self.assertRaises(ConfigError, settings_from_link, argument)
            self.assertIn("get.php", error.sentence)
            self.assertNotIn("canary", repr(error) + repr(error.__context__))
