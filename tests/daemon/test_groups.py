"""Users who may see some groups: they see and play these in every face, and nothing of the others."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.client import wait_for
from tests.daemon.guides import hours, serve, validated, wait_for_now
from tests.daemon.judges import judge
from tests.daemon.launch import alone_with, stream_ids
from tests.daemon.playing import Own, Playing, playing, watch
from tests.epg.guide import xmltv
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

SETTINGS = """
epg = ["{guide}"]
hdhomerun_tuners = ["bob?user=bob", "news?group=News"]
"""
DISCOVERY = 'hdhomerun_discovery = true\nhdhomerun_tuners = ["bob?user=bob", "news?group=News"]\n'
#: Who comes from elsewhere, and may not manage.
FOREIGN = {"X-Forwarded-For": "203.0.113.9"}
BOB, EVE = "bobs-token-0123456789", "eves-token-0123456789"
#: What needs a user as soon as there are any.
FACES = ("/", "/playlist.m3u8", "/epg.xml", "/api/channels", "/api/events", "/api/search?q=one", "/discover.json")


@pytest.fixture(scope="module")
def daemon(shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playing]:
    """A daemon with two groups, a user who may see one of them, and another who may see all."""
    shared_origin.reset()
    shown = [*hours("news.test", "Bulletin"), *hours("sports.test", "Match")]
    guide = serve(shared_origin, "groups", xmltv(shown, {"news.test": "News", "sports.test": "Sports"}))
    channels = [
        Own("Channel News", shared_origin.at("/live/news.ts"), 'group = "News"\ntvg_id = "news.test"'),
        Own("Channel Sports", shared_origin.at("/live/sports.ts"), 'group = "Sports"\ntvg_id = "sports.test"'),
    ]
    with playing(tmp_path_factory.mktemp("groups"), channels, toml=SETTINGS.format(guide=guide)) as running:
        wait_for_now(running, {"Channel News": "Bulletin 1", "Channel Sports": "Match 1"})
        add_users(running)
        yield running
        running.assert_balanced()
        log = running.log_text()
        assert BOB not in log
        assert EVE not in log


def add_users(daemon: Playing) -> None:
    """Have the daemon know both."""
    for user in (
        {"username": "bob", "token": BOB, "groups": ["News"], "max_connections": 2},
        {"username": "eve", "token": EVE},
    ):
        made = daemon.post_json("/api/users", user)
        assert made.status == 201, made


def listed(daemon: Playing, path: str) -> dict[str, str]:
    """The channels of a playlist: by name, what comes after our address."""
    answer = daemon.get(path)
    assert answer.status == 200, answer
    lines = answer.text.splitlines()
    paths = [line.removeprefix(daemon.url) for line in lines if line.startswith(daemon.url)]
    return dict(zip(stream_ids(answer.text), paths, strict=True))


def told(daemon: Playing, path: str) -> Any:
    """A document."""
    answer = daemon.get(path)
    assert answer.status == 200, (path, answer)
    return answer.json()


def test_without_a_token(daemon: Playing) -> None:
    """Who shows no token sees nothing, and nor does who shows a wrong one; the machine itself may list channels."""
    for path in FACES:
        assert daemon.get(path, FOREIGN).status == 401, path
        assert daemon.get(path).status == (200 if path.startswith("/api/") else 401), path
    assert daemon.get("/~wrong/playlist.m3u8").status == 403


def test_playlist(daemon: Playing) -> None:
    """The playlist has their channels, with links of their own, however they show who they are."""
    theirs = listed(daemon, f"/~{BOB}/playlist.m3u8")
    assert list(theirs) == ["Channel News"]
    assert theirs["Channel News"].startswith(f"/~{BOB}/stream/")
    assert listed(daemon, f"/playlist.m3u8?token={BOB}") == theirs
    packed = daemon.get(f"/~{BOB}/playlist.m3u8", {"Accept-Encoding": "gzip"})
    plain = daemon.get(f"/~{BOB}/playlist.m3u8")
    assert gzip.decompress(packed.body) == plain.body
    assert f'url-tvg="{daemon.url}/~{BOB}/epg.xml"' in plain.text
    assert daemon.get(f"/~{BOB}/playlist.m3u8", {"If-None-Match": plain.headers["etag"]}).status == 304
    assert list(listed(daemon, f"/~{BOB}/playlist.m3u8?group=Sports")) == []
    assert list(listed(daemon, f"/~{EVE}/playlist.m3u8")) == ["Channel News", "Channel Sports"]


def test_guide(daemon: Playing, tmp_path: Path) -> None:
    """The guide is valid, and has their channels."""
    tree = validated(daemon.get(f"/~{BOB}/epg.xml").body, tmp_path)
    assert {each.get("id") for each in tree.findall("channel")} == {"news.test"}
    assert {each.get("channel") for each in tree.findall("programme")} == {"news.test"}
    packed = gzip.decompress(daemon.get(f"/epg.xml.gz?token={BOB}").body)
    assert validated(packed, tmp_path).findtext("channel/display-name") == "Channel News"
    assert b"<programme" not in daemon.get(f"/~{BOB}/epg.xml?group=Sports").body
    assert len(validated(daemon.get(f"/~{EVE}/epg.xml").body, tmp_path).findall("channel")) == 2


def test_api(daemon: Playing) -> None:
    """Lists, single channels and searches have their channels."""
    everything = {each["name"]: each["id"] for each in told(daemon, f"/~{EVE}/api/channels")["channels"]}
    page = told(daemon, f"/~{BOB}/api/channels")
    assert ([each["name"] for each in page["channels"]], page["total"]) == (["Channel News"], 1)
    for path in ("/api/channels/{}", "/api/channels/{}/programmes"):
        assert daemon.get(f"/~{BOB}" + path.format(everything["Channel News"])).status == 200
        assert daemon.get(f"/~{BOB}" + path.format(everything["Channel Sports"])).status == 404
    for words, expected in (("channel", {"Channel News"}), ("bulletin", {"Channel News"}), ("match", set())):
        found = told(daemon, f"/~{BOB}/api/search?q={words}")["results"]
        assert {each.get("name") or each["channel"]["name"] for each in found} == expected, words
    assert told(daemon, f"/~{EVE}/api/search?q=match")["results"]


def test_page(daemon: Playing) -> None:
    """The page has their channels."""
    page = daemon.get(f"/~{BOB}/").text
    assert f"/~{BOB}/stream/" in page
    assert "Bulletin 1" in page
    for word in ("Sports", "Match"):
        assert word not in page


def test_play(daemon: Playing) -> None:
    """Their channel plays in both forms; another's address is refused in each of them, whatever is asked."""
    path = listed(daemon, f"/~{BOB}/playlist.m3u8?format=ts")["Channel News"]
    watch(daemon.url + path, 1.0).assert_plays()
    verdict = judge(daemon.url + path.replace(".ts", ".m3u8"), 1.0)
    assert verdict.good, verdict
    other = listed(daemon, f"/~{EVE}/playlist.m3u8?format=ts")["Channel Sports"].replace(EVE, BOB)
    for ending in (".ts", ".m3u8", ""):
        refused = daemon.get(other.replace(".ts", ending))
        assert (refused.status, refused.text) == (403, "This channel is not one of this account's.\n")
        assert daemon.head(other.replace(".ts", ending)).status == 403
    watch(daemon.url + other.replace(BOB, EVE), 1.0).assert_plays()


def test_tuners(daemon: Playing) -> None:
    """A user's tuner works by its mere address in this network and plays for them; others need a token."""
    device = told(daemon, "/hdhr/bob/discover.json")
    base = f"{daemon.url}/~{BOB}/hdhr/bob"
    assert (device["BaseURL"], device["TunerCount"]) == (base, 2)
    (channel,) = told(daemon, device["LineupURL"].removeprefix(daemon.url))
    assert (channel["GuideName"], channel["URL"]) == ("Channel News", f"{base}/auto/v{channel['GuideNumber']}")
    watch(channel["URL"], 1.0).assert_plays()
    assert daemon.get("/hdhr/news/lineup.json").status == 401
    assert daemon.get(f"/~{EVE}/hdhr/bob/lineup.json").status == 403
    assert daemon.get("/hdhr/bob/lineup.json", FOREIGN).status == 401
    names = [each["GuideName"] for each in told(daemon, f"/~{BOB}/lineup.json")]
    assert (names, len(told(daemon, f"/~{EVE}/lineup.json"))) == (["Channel News"], 2)


@pytest.mark.skipif(shutil.which("hdhomerun_config") is None, reason="there is no hdhomerun_config")
def test_found(shared_origin: OriginProcess, tmp_path: Path) -> None:
    """SiliconDust's own program finds the user's tuner, and none that it could not use."""
    channels = [Own("Channel News", shared_origin.at("/live/news.ts"), 'group = "News"')]
    # Of several daemons that answer there one hears a datagram.
    with alone_with("discovery"), playing(tmp_path, channels, toml=DISCOVERY) as daemon:
        add_users(daemon)
        own = told(daemon, "/hdhr/bob/discover.json")["DeviceID"]
        others = {told(daemon, f"/~{EVE}{prefix}/discover.json")["DeviceID"] for prefix in ("", "/hdhr/news")}

        def found() -> set[str] | None:
            command = ["hdhomerun_config", "discover", "127.0.0.1"]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
            ids = set(re.findall(r"^hdhomerun device ([0-9A-F]{8}) found", done.stdout, re.MULTILINE))
            return ids if own in ids else None

        assert not wait_for(found, what=f"the tuner {own}") & others


def test_limit(daemon: Playing) -> None:
    """A tuner is full when its user's connections are in use, and says so as the device does."""
    (channel,) = told(daemon, "/hdhr/bob/lineup.json")
    path = channel["URL"].removeprefix(daemon.url)
    daemon.wait_for_active(0)
    agents = [{"User-Agent": name} for name in ("one", "two", "three")]
    with daemon.open_stream(path, agents[0]) as first, daemon.open_stream(path, agents[1]) as second:
        assert (first.read(188)[:1], second.read(188)[:1]) == (b"\x47", b"\x47")
        refused = daemon.get(path, agents[2])
        assert (refused.status, refused.headers["x-hdhomerun-error"]) == (503, "805 All Tuners In Use")


def test_other_groups(daemon: Playing) -> None:
    """When a user's groups change, all faces show the others, and what plays of the former ends."""
    path = listed(daemon, f"/~{BOB}/playlist.m3u8?format=ts")["Channel News"]
    with daemon.open_stream(path) as stream:
        assert stream.read(188)[:1] == b"\x47"
        changed = daemon.request(
            "PUT", "/api/users/bob", {"Content-Type": "application/json"}, b'{"groups": ["Sports"]}'
        )
        assert changed.status == 200, changed
        stream.read_to_end()
    assert list(listed(daemon, f"/~{BOB}/playlist.m3u8")) == ["Channel Sports"]
    assert [each["GuideName"] for each in told(daemon, "/hdhr/bob/lineup.json")] == ["Channel Sports"]
    assert "Match 1" in daemon.get(f"/~{BOB}/").text
    assert daemon.get(path).status == 403
