"""Xtream clients: logged in, told of everything there is, and played to; one of them is another daemon."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime
from time import time
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest
from attrs import frozen
from pyxtream import XTream  # type: ignore[import-untyped]

from tests.daemon.client import wait_for
from tests.daemon.judges import judge
from tests.daemon.playing import Playing, playing, watch
from tests.simulators.media import SECONDS, Media
from tests.simulators.panel_process import DAYS, FILM, LIVE, ON_AIR, SERIES, USER, PanelProcess
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

HOUR = 3600
EPISODE = f"{SERIES} S01E01 Pilot"
AUTH_ZERO = {"user_info": {"auth": 0}}


@frozen
class Account:
    """A user of the daemon."""

    name: str
    token: str
    max_connections: int = 0

    def query(self, **more: str) -> str:
        """What clients ask with."""
        return urlencode({"username": self.name, "password": self.token, **more})


ALICE, BOB = Account("alice", "alice-canary-token", 9), Account("bob", "bob-canary-token", 1)


@pytest.fixture(scope="module")
def panel(
    media: Media, shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PanelProcess]:
    """Where the daemon's channels come from."""
    with PanelProcess(media, tmp_path_factory.mktemp("panel"), shared_origin.at("/live/panel.ts")) as running:
        yield running


def add_user(daemon: Playing, account: Account, **more: object) -> None:
    """Have the daemon know somebody."""
    told = {"username": account.name, "token": account.token, "max_connections": account.max_connections, **more}
    answer = daemon.post_json("/api/users", told)
    assert answer.status in (200, 201), answer


@pytest.fixture(scope="module")
def daemon(panel: PanelProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playing]:
    """A daemon with the panel's channels, film and episode, and two users."""
    toml = f"""
[[provider]]
kind = "xtream"
url = "{panel.url}"
username = "{USER.username}"
password = "{USER.password}"
"""
    with playing(tmp_path_factory.mktemp("server"), toml=toml, expected=len(LIVE) + 2) as running:
        add_user(running, ALICE, expires_at="2035-01-01T00:00:00Z")
        add_user(running, BOB)
        yield running
        running.assert_balanced()
        log = running.log_text()
        for secret in (USER.username, USER.password, ALICE.token, BOB.token):
            assert secret not in log


@pytest.fixture(scope="module")
def client(daemon: Playing, tmp_path_factory: pytest.TempPathFactory) -> XTream:
    """Somebody else's client, that has read everything."""
    client = XTream(
        "iptvd",
        ALICE.name,
        ALICE.token,
        daemon.url,
        cache_path=str(tmp_path_factory.mktemp("cache")),
        reload_time_sec=-1,
        validate_json=True,
    )
    assert client.state["authenticated"]
    assert client.load_iptv()
    return client


def ask(daemon: Playing, account: Account, action: str = "", **more: str) -> Any:
    """What the daemon tells a client."""
    answer = daemon.get(f"/player_api.php?{account.query(action=action, **more)}")
    assert answer.status == 200, answer
    return answer.json()


def ids_of(daemon: Playing, account: Account = ALICE) -> dict[str, int]:
    """The ids of live channels, films and episodes, by their names."""
    rows = [*ask(daemon, account, "get_live_streams"), *ask(daemon, account, "get_vod_streams")]
    found = {row["name"]: int(row["stream_id"]) for row in rows}
    for series in ask(daemon, account, "get_series"):
        told = ask(daemon, account, "get_series_info", series_id=str(series["series_id"]))
        for season in told["episodes"].values():
            found |= {each["title"]: int(each["id"]) for each in season}
    return found


def at(daemon: Playing, folder: str, name: str, ending: str, account: Account = ALICE) -> str:
    """Where a client plays something."""
    return f"{daemon.url}{folder}/{account.name}/{account.token}/{ids_of(daemon, account)[name]}{ending}"


def test_login(daemon: Playing, client: XTream) -> None:
    """Somebody else's client logs in, and is told until when and where."""
    info, server = client.auth_data["user_info"], client.auth_data["server_info"]
    assert client.authorization == {"username": ALICE.name, "password": ALICE.token}
    until = datetime(2035, 1, 1, tzinfo=UTC).timestamp()
    assert (info["auth"], info["status"], int(info["exp_date"])) == (1, "Active", until)
    assert info["max_connections"] == "9"
    assert client.account_expiration.total_seconds() == pytest.approx(until - time(), abs=60)
    assert f"{server['server_protocol']}://{server['url']}:{server['port']}" == daemon.url
    assert abs(server["timestamp_now"] - time()) < 60


def test_lists(client: XTream, capsys: pytest.CaptureFixture[str]) -> None:
    """It lists the categories, the live channels, the film and the series, and finds nothing wrong with them."""
    names = {group.name for group in client.groups}
    assert names - {"xEverythingElse"} == {"Panel live", "Panel series", "Panel vod"}
    assert [(each.name, each.group_title) for each in client.channels] == [(name, "Panel live") for name in LIVE]
    assert [(each.name, each.group_title) for each in client.movies] == [(FILM, "Panel vod")]
    (series,) = client.series
    client.get_series_info_by_id(series)
    (season,) = series.seasons.values()
    assert list(season.episodes) == [EPISODE]
    assert "Bad URL" not in capsys.readouterr().out


def test_its_addresses(client: XTream, origin: OriginProcess) -> None:
    """What it would play plays: a channel, the film and the episode."""
    (series,) = client.series
    client.get_series_info_by_id(series)
    (season,) = series.seasons.values()
    for url in (client.channels[0].url, client.movies[0].url, season.episodes[EPISODE].url):
        watch(url, 1.5).assert_plays()


def test_its_guide(daemon: Playing, client: XTream) -> None:
    """It is told what is on, of a channel that is in the guide and of one that only its panel tells of."""
    for channel, title in zip(client.channels, ON_AIR, strict=True):

        def listed(number: int = channel.id) -> Any:
            return client.liveEpgByStream(number)["epg_listings"]

        found = wait_for(listed, 30, "programmes")
        assert {b64decode(each["title"]).decode() for each in found} == {title}
        assert int(found[0]["start_timestamp"]) <= time() < int(found[0]["stop_timestamp"])
    table = client.allLiveEpgByStream(client.channels[0].id)["epg_listings"]
    assert [each["now_playing"] for each in table].count(1) == 1
    assert [each["has_archive"] for each in table].count(1) >= 6
    answer = daemon.get(f"/xmltv.php?{ALICE.query()}")
    shown = {each.get("channel") for each in ElementTree.fromstring(answer.body).findall("programme")}
    assert client.channels[0].epg_channel_id in shown


def test_live(daemon: Playing, origin: OriginProcess) -> None:
    """A live channel plays as a stream and as HLS, by the long address and the short one."""
    for folder, ending in (("/live", ".ts"), ("/live", ".m3u8"), ("/live", ""), ("", ".ts"), ("", "")):
        watch(at(daemon, folder, LIVE[0], ending), 1.5).assert_plays()
    verdict = judge(at(daemon, "/live", LIVE[1], ".ts"), 2)
    assert verdict.good, verdict
    number = ids_of(daemon)[LIVE[0]]
    watch(f"{daemon.url}/live/stream_{number}.m3u8?token={ALICE.token}", 1.5).assert_plays()


def test_films(daemon: Playing, origin: OriginProcess, media: Media) -> None:
    """A film and an episode play, whole or in part, byte for byte."""
    for folder, name, form in (("/movie", FILM, "mp4"), ("/series", EPISODE, "mkv")):
        url = at(daemon, folder, name, f".{form}")
        watch(url).assert_plays()
        path, whole = url.removeprefix(daemon.url), media.read(f"film.{form}")
        head = daemon.head(path)
        assert (head.status, head.headers["content-length"], head.body) == (200, str(len(whole)), b"")
        part = daemon.get(path, {"Range": "bytes=100-299"})
        assert (part.status, part.body) == (206, whole[100:300])


def test_past(daemon: Playing, origin: OriginProcess, panel: PanelProcess) -> None:
    """What was shown hours ago plays at both addresses that clients know, as the hour was in UTC."""
    channel = ids_of(daemon)[LIVE[0]]
    start = datetime.fromtimestamp(int(time()) // 60 * 60 - 2 * HOUR, UTC)
    shown = f"{start:%Y-%m-%d:%H-%M}"
    url = f"{daemon.url}/timeshift/{ALICE.name}/{ALICE.token}/30/{shown}/{channel}.ts"
    verdict = judge(url, SECONDS)
    assert verdict.good, verdict
    script = f"{daemon.url}/streaming/timeshift.php?{ALICE.query(stream=str(channel), start=shown, duration='30')}"
    for each in (url, url.replace(".ts", ".m3u8"), script):
        watch(each).assert_plays()
    # By the panel's own clock.
    assert {re.findall(r"/(\d+)/[^/]*/1\.ts$", each["path"])[0] for each in panel.seen("/timeshift/")} == {"30"}


def test_posted(daemon: Playing) -> None:
    """A client that posts its login in a form is answered as any other."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for script in ("player_api.php", "panel_api.php"):
        answer = daemon.request("POST", f"/{script}", headers, ALICE.query().encode())
        told: Any = answer.json()
        assert (answer.status, told["user_info"]["username"]) == (200, ALICE.name)
    answer = daemon.request("POST", "/player_api.php", headers, ALICE.query(action="get_live_streams").encode())
    assert [row["name"] for row in json.loads(answer.body)] == list(LIVE)
    answer = daemon.request("POST", "/get.php", headers, ALICE.query(type="m3u_plus", output="ts").encode())
    assert answer.text.count(f"\n{daemon.url}/~{ALICE.token}/stream/") == len(LIVE) + 2


def test_wrong(daemon: Playing, origin: OriginProcess) -> None:
    """A wrong password is told as panels tell it, and plays nothing."""
    wrong = Account(ALICE.name, "wrong-canary")
    for action in ("", "get_live_streams"):
        assert ask(daemon, wrong, action) == AUTH_ZERO
    path = at(daemon, "/live", LIVE[0], ".ts").removeprefix(daemon.url).replace(ALICE.token, wrong.token)
    assert daemon.get(path).status == 403
    assert daemon.get(f"/get.php?{wrong.query()}").status == 403
    assert daemon.get("/get.php").status == 401
    assert origin.open_requests() == 0


def test_over(daemon: Playing, origin: OriginProcess) -> None:
    """Who has expired is told so, sees nothing and plays nothing."""
    carol = Account("carol", "carol-canary-token")
    add_user(daemon, carol, expires_at="2020-01-01T00:00:00Z")
    for action in ("", "get_live_streams"):
        info = ask(daemon, carol, action)["user_info"]
        assert (info["auth"], info["status"]) == (1, "Expired")
    path = at(daemon, "/live", LIVE[0], ".ts").removeprefix(daemon.url)
    path = path.replace(ALICE.token, carol.token).replace(ALICE.name, carol.name)
    assert daemon.get(path).status == 403
    assert origin.open_requests() == 0


def test_full(daemon: Playing, origin: OriginProcess) -> None:
    """At the limit of an account another player gets nothing, and the account says that it is full."""
    path = at(daemon, "/live", LIVE[0], ".ts", BOB).removeprefix(daemon.url)
    with daemon.open_stream(path, {"User-Agent": "one"}) as stream:
        assert (stream.status, len(stream.read(188))) == (200, 188)
        info = ask(daemon, BOB)["user_info"]
        assert (info["active_cons"], info["max_connections"]) == ("1", "1")
        answer = daemon.get(path, {"User-Agent": "two"})
        assert (answer.status, "1 connections of this account" in answer.text) == (503, True)
    wait_for(lambda: ask(daemon, BOB)["user_info"]["active_cons"] == "0", what="the end of the session")


def test_another_daemon(
    daemon: Playing, origin: OriginProcess, media: Media, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A daemon whose panel is this one lists the same, in the same groups, and plays it, the past included."""
    toml = f"""
[[provider]]
kind = "xtream"
url = "{daemon.url}"
username = "{ALICE.name}"
password = "{ALICE.token}"
"""
    with playing(tmp_path_factory.mktemp("second"), toml=toml, expected=len(LIVE) + 2) as second:
        names = second.channels()
        assert sorted(names) == sorted((*LIVE, FILM, EPISODE))
        text = second.get("/playlist.m3u8").text
        for group in ("Panel live", "Panel vod", "Panel series"):
            assert f'group-title="{group}"' in text
        assert text.count(f'catchup-days="{DAYS}"') == 1
        watch(second.url_of(LIVE[0]), 1.5).assert_plays()
        for name, form in ((FILM, "mp4"), (EPISODE, "mkv")):
            assert second.get(second.path_of(name)).body == media.read(f"film.{form}")
        start = int(time()) - 2 * HOUR
        watch(f"{second.url_of(LIVE[0])}?utc={start}&duration=600").assert_plays()
        number = re.findall(r"\d+", second.path_of(LIVE[1]))[0]
        told: Any = second.get(f"/api/channels/{number}/programmes").json()
        assert {each["title"] for each in told["programmes"]} == {ON_AIR[1]}
