"""What panels answer becomes entries, whatever odd shape it comes in, and refusals become sentences."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial

from hypothesis import given, settings, strategies
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ConfigError, ProtocolError, ProviderError
from iptvd.model import Account, ChannelKind, Entry, ProviderState, SourceKind
from iptvd.protocols import xtream
from iptvd.protocols.xtream import (
    Collected,
    check_answer,
    clean,
    collect,
    extension,
    film_entry,
    link,
    live_entry,
    read_account,
    read_categories,
    rows,
    settings_from_link,
    stream_url,
    whole_number,
)

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


def listed(body: object) -> list[xtream.Row]:
    """The rows of a reply given as a value."""
    return list(rows(json.dumps(body).encode()))


def collected(body: object, groups: dict[str, str] | None = None, output: str = "ts") -> Collected:
    """The live entries of a reply given as a value."""
    into = Collected()
    make = partial(live_entry, groups=groups or {}, output=output)
    for _ in collect(rows(json.dumps(body).encode()), make, into.add, into.skipped):
        pass
    return into


def mixed(*values: object) -> tuple[object, ...]:
    """Values of many types."""
    return values


class ValueTests(SynchronousTestCase):
    """Single values."""

    def test_whole_numbers(self) -> None:
        """Numbers count however they are written, and nothing else does."""
        for value in mixed(51, 51.0, "51", " 51 ", "51.0", "+51", "051", "51."):
            self.assertEqual(whole_number(value), 51, value)
        for value in mixed(
            None, "", "x", "5 1", "5.5", 5.5, float("inf"), float("nan"), [], {}, "9" * 16, 10**15, 1e15
        ):
            self.assertIsNone(whole_number(value), value)
        self.assertEqual([whole_number(True), whole_number(False), whole_number("-3")], [1, 0, -3])

    def test_clean(self) -> None:
        """A name is one line of text, with its entities resolved."""
        self.assertEqual(clean(" Tom &amp; Jerry\n\tHD\x00 "), "Tom & Jerry HD")
        self.assertEqual(clean("caf&eacute; \ud800!"), "café !")
        self.assertEqual(
            [clean(24), clean(1.5), clean(None), clean(True), clean([]), clean({})], ["24", "1.5"] + [""] * 4
        )
        self.assertEqual(len(clean("x" * 10_000)), xtream.LONGEST_NAME)

    def test_link(self) -> None:
        """A logo is an http or https address, anything else is none."""
        self.assertEqual(link(" http://logo.example.com/a b.png "), "http://logo.example.com/a%20b.png")
        for value in mixed(
            None,
            "",
            5,
            "/images/a.png",
            "file:///etc/passwd",
            'http://x"><script>',
            "http://" + "x" * 3000,
        ):
            self.assertEqual(link(value), "", value)

    def test_extension(self) -> None:
        """A container is a short word of letters and digits, mp4 if it is not."""
        self.assertEqual([extension("mkv"), extension(".AVI "), extension("m4v")], ["mkv", "avi", "m4v"])
        for value in mixed(None, "", "mp4/../x", "matroska", 4, [], "m?v"):
            self.assertEqual(extension(value), "mp4", value)


class AnswerTests(SynchronousTestCase):
    """Whether a response is an answer."""

    def state(self, status: int, body: bytes = b"") -> tuple[ProviderState, str]:
        """The state and the sentence of the error for a response."""
        error: ProviderError = self.assertRaises(ProviderError, check_answer, status, body, "the films")
        self.assertIn("asked for the films", error.sentence)
        return error.state, error.sentence

    def test_good(self) -> None:
        """JSON under status 200 is an answer."""
        check_answer(200, b" []", "the films")

    def test_page(self) -> None:
        """A web page instead of JSON is said to be one."""
        for body in (b"<!DOCTYPE html>", b"\xef\xbb\xbf\r\n <html>", b"<br />\n<b>Warning</b>: mysqli"):
            state, sentence = self.state(200, body)
            self.assertEqual(state, ProviderState.NOT_UNDERSTOOD)
            self.assertIn("a web page instead of JSON", sentence)

    def test_nothing(self) -> None:
        """An empty response is no empty list."""
        self.assertEqual(self.state(200, b" \n")[0], ProviderState.NOT_UNDERSTOOD)

    def test_statuses(self) -> None:
        """Each status that is no success says what it means, with its number."""
        for status, body, state in (
            (401, b"<html>", ProviderState.AUTH_FAILED),
            (403, b"denied", ProviderState.AUTH_FAILED),
            (403, b"<html>", ProviderState.BLOCKED),
            (429, b"", ProviderState.BLOCKED),
            (451, b"<html>", ProviderState.BLOCKED),
            (500, b"[]", ProviderState.UNREACHABLE),
            (503, b"<html>", ProviderState.UNREACHABLE),
            (884, b"", ProviderState.UNREACHABLE),
            (404, b"<html>", ProviderState.NOT_UNDERSTOOD),
            (302, b"", ProviderState.NOT_UNDERSTOOD),
        ):
            found, sentence = self.state(status, body)
            self.assertEqual(found, state, status)
            self.assertIn(str(status), sentence)


class AccountTests(SynchronousTestCase):
    """The answer to a login."""

    def account(self, **info: object) -> Account:
        """The account out of a login."""
        return read_account(json.dumps({"user_info": info, "server_info": {}}).encode())

    def test_whole(self) -> None:
        """The account's limits are taken over, as numbers or as strings."""
        expected = Account("Active", 2, 1, 1735689600.0, True)
        self.assertEqual(
            self.account(
                auth=1, status="Active", max_connections="2", active_cons="1", exp_date="1735689600", is_trial="1"
            ),
            expected,
        )
        self.assertEqual(
            self.account(auth="1", status="Active", max_connections=2, active_cons=1, exp_date=1735689600, is_trial=1),
            expected,
        )

    def test_sparse(self) -> None:
        """What a panel does not tell of an account does no harm."""
        for value in mixed(None, "", "0", 0, [], "never", -5):
            account = self.account(auth=True, exp_date=value, max_connections=value, active_cons=value, is_trial=None)
            self.assertEqual(account, Account())
        self.assertEqual(self.account(status="Active"), Account("Active"))

    def test_refused(self) -> None:
        """An account that is not let in is said to be so."""
        for body in (
            b'{"user_info":{"auth":0}}',
            b'{"user_info":{"auth":"0","status":"Active"}}',
            b'{"user_info":{}}',
            b'{"user_info":[]}',
            b'{"user_info":null}',
            b"[]",
            b"{}",
            b'{"message":"no"}',
        ):
            error: ProviderError = self.assertRaises(ProviderError, read_account, body)
            self.assertEqual(error.state, ProviderState.AUTH_FAILED)

    def test_ended(self) -> None:
        """An account that has expired, or was banned or disabled, is named so."""
        for status in ("Expired", "Banned", "DISABLED"):
            error: ProviderError = self.assertRaises(ProviderError, self.account, auth=1, status=status)
            self.assertEqual(error.state, ProviderState.AUTH_FAILED)
            self.assertIn(status.lower(), error.sentence)

    def test_no_json(self) -> None:
        """A login that is cut short is no refusal."""
        self.assertRaises(ProtocolError, read_account, b'{"user_info": {"auth"')


class ListTests(SynchronousTestCase):
    """Lists of rows."""

    def test_shapes(self) -> None:
        """A list may come as an array or as an object."""
        one, two = {"stream_id": 1}, {"stream_id": 2}
        self.assertEqual(listed([one, two]), [one, two])
        self.assertEqual(listed({"0": one, "7": two, "total": 2}), [one, two])

    def test_nothing(self) -> None:
        """What PHP gives for nothing is an empty list."""
        for body in mixed([], {}, None, False, ""):
            self.assertEqual(listed(body), [])
        self.assertEqual(list(rows(b"\xef\xbb\xbf null\n")), [])

    def test_message(self) -> None:
        """A message in place of a list is no empty list."""
        for body in ({"error": "overloaded"}, "overloaded", 5, True):
            self.assertRaises(ProtocolError, listed, body)

    def test_login_in_place_of_a_list(self) -> None:
        """A panel that answers with a refusal whatever it is asked is understood."""
        for info in mixed({"auth": 0}, [], {"auth": 1, "status": "Expired"}):
            error: ProviderError = self.assertRaises(ProviderError, listed, {"user_info": info})
            self.assertEqual(error.state, ProviderState.AUTH_FAILED)
        error = self.assertRaises(ProviderError, listed, {"user_info": {"auth": 1}})
        self.assertEqual(error.state, ProviderState.NOT_UNDERSTOOD)

    def test_left_out(self) -> None:
        """Rows without a usable id and second ones of the same id are left out and counted."""
        found = collected(
            [{"stream_id": 1, "name": "A"}, {"stream_id": "1", "name": "B"}, {"name": "C"}, 7, None, {"stream_id": 0}]
        )
        self.assertEqual([entry.name for entry in found.entries], ["A"])
        self.assertEqual(found.skipped, Counter({"without a usable id": 4, "listed twice": 1}))

    def test_too_many(self) -> None:
        """A list without end is taken up to a bound, and what is behind it is counted."""
        self.patch(xtream, "MOST_ROWS", 40)
        found = collected([{"stream_id": number} for number in range(1, 101)])
        self.assertEqual((len(found.entries), found.skipped), (40, Counter({"behind the first 40": 60})))

    def test_small_steps(self) -> None:
        """A long list is read in short steps."""
        into = Collected()
        body = json.dumps([{"stream_id": number} for number in range(1, 1001)]).encode()
        make = partial(live_entry, groups={}, output="ts")
        seen = [len(into.entries) for _ in collect(rows(body), make, into.add, into.skipped)]
        self.assertEqual(seen, list(range(xtream.ROWS_A_STEP, 1001, xtream.ROWS_A_STEP)))

    def test_categories(self) -> None:
        """Categories are known by their ids, written as numbers or as strings."""
        groups: dict[str, str] = {}
        body = [{"category_id": "5", "category_name": "News &amp; Talk"}, {"category_id": 6, "category_name": "Sport"}]
        list(read_categories(json.dumps(body).encode(), groups))
        self.assertEqual(groups, {"5": "News & Talk", "6": "Sport"})


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
