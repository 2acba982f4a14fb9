"""What was shown before: offered in the playlist, asked for as players do, and played out of an archive."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from time import time
from typing import Any
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest

from tests.daemon.client import wait_for
from tests.daemon.judges import judge
from tests.daemon.playing import Playing, playing, watch
from tests.simulators.media import SECONDS, Media
from tests.simulators.panel_process import DAYS, LIVE, ON_AIR, USER, ZONE, PanelProcess
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

HOUR = 3600
ONE, TWO = LIVE
#: Channels of a playlist: how each keeps its past, which of them has it as HLS.
TEMPLATE, APPEND, SHIFT, PLAYLIST, NOTHING = "Template", "Append", "Shift", "Playlist", "Nothing"


@pytest.fixture(scope="module")
def panel(
    media: Media, shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PanelProcess]:
    """The panel."""
    with PanelProcess(media, tmp_path_factory.mktemp("panel"), shared_origin.at("/live/panel.ts")) as running:
        yield running


@pytest.fixture(scope="module")
def listed(shared_origin: OriginProcess) -> str:
    """A playlist of the origin's."""
    film, live = shared_origin.at("/vod/film.ts"), shared_origin.at("/live/film.ts")
    return f"""#EXTM3U
#EXTINF:-1 catchup="default" catchup-days="2" catchup-source="{film}?from=${{start}}&to=${{end}}",{TEMPLATE}
{live}?a=1
#EXTINF:-1 catchup="append" catchup-source="?from={{utc}}&framing=close&for={{duration:60}}",{APPEND}
{film}
#EXTINF:-1 catchup="shift" catchup-days="1",{SHIFT}
{film}?noranges=1&framing=chunked
#EXTINF:-1 catchup="default" catchup-source="{shared_origin.at("/hls/plain/index.m3u8")}?at={{utc}}",{PLAYLIST}
{shared_origin.at("/hls-live/plain/index.m3u8")}
#EXTINF:-1,{NOTHING}
{live}
"""


@pytest.fixture(scope="module")
def daemon(panel: PanelProcess, listed: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playing]:
    """A daemon with the panel's channels and those of the playlist."""
    folder = tmp_path_factory.mktemp("past")
    (folder / "list.m3u").write_text(listed)
    toml = f"""
[[provider]]
kind = "xtream"
url = "{panel.url}"
username = "{USER.username}"
password = "{USER.password}"
content = ["live"]

[[provider]]
kind = "m3u"
url = {json.dumps(str(folder / "list.m3u"))}
"""
    with playing(folder, toml=toml, expected=len(LIVE) + 5) as running:
        yield running
        running.assert_balanced()
        log = running.log_text()
        assert USER.username not in log
        assert USER.password not in log


def lines_of(daemon: Playing) -> dict[str, str]:
    """The playlist's line about each channel."""
    lines = daemon.get("/playlist.m3u8").text.splitlines()
    return {line.rpartition(",")[2]: line for line in lines if line.startswith("#EXTINF")}


def source_of(daemon: Playing, name: str) -> str:
    """The address that the playlist has for a channel's past, with its placeholders."""
    found = re.search(r'catchup-source="([^"]*)"', lines_of(daemon)[name])
    assert found is not None
    return found[1]


def at(template: str, start: int, stop: int) -> str:
    """An address as a player fills it in."""
    now = str(int(time()))
    return template.replace("{utc}", str(start)).replace("{utcend}", str(stop)).replace("{lutc}", now)


def test_offered(daemon: Playing, origin: OriginProcess, panel: PanelProcess) -> None:
    """The playlist offers the past of each channel that has one, at our address, for as long as it is kept."""
    lines = lines_of(daemon)
    for name, days in ((ONE, DAYS), (TEMPLATE, 2), (APPEND, 0), (SHIFT, 1), (PLAYLIST, 0)):
        assert 'catchup="default"' in lines[name]
        assert (f'catchup-days="{days}"' in lines[name]) == bool(days)
        assert source_of(daemon, name) == daemon.url_of(name) + "?utc={utc}&utcend={utcend}&lutc={lutc}"
    for name in (TWO, NOTHING):
        assert "catchup" not in lines[name]
    text = "".join(lines.values())
    for word in (USER.username, USER.password, f":{panel.port}", f":{origin.port}"):
        assert word not in text


def test_panel(daemon: Playing, origin: OriginProcess, panel: PanelProcess) -> None:
    """A programme of hours ago plays out of the panel's archive, which is asked for it by its own clock."""
    start = int(time()) // 60 * 60 - 2 * HOUR + 20
    url = at(source_of(daemon, ONE), start, start + 30 * 60)
    before = daemon.outcomes()
    verdict = judge(url, SECONDS)
    assert verdict.good, verdict
    watch(url).assert_plays()
    shown = datetime.fromtimestamp(start, ZoneInfo(ZONE)).strftime("%Y-%m-%d:%H-%M")
    paths = {each["path"] for each in panel.seen("/timeshift/")}
    assert paths == {f"/timeshift/{USER.username}/{USER.password}/31/{shown}/1.ts"}
    wait_for(lambda: daemon.active() == 0, what="the end of the sessions")
    assert set(daemon.outcomes() - before) <= {"completed", "viewer_left"}


def test_sought(daemon: Playing, origin: OriginProcess, media: Media) -> None:
    """What has a length is played like a film: whole, or any part of it."""
    path, film = daemon.path_of(ONE), media.read("film.ts")
    asked = f"{path}?utc={int(time()) - HOUR}&duration=60"
    answer = daemon.get(asked)
    assert (answer.status, answer.headers["content-type"], answer.body == film) == (200, "video/mp2t", True)
    part = daemon.get(asked, {"Range": "bytes=188-375"})
    assert (part.status, part.body) == (206, film[188:376])
    head = daemon.head(asked)
    assert (head.status, head.headers["content-type"], head.body) == (200, "video/mp2t", b"")


@pytest.mark.parametrize("name", [TEMPLATE, APPEND, SHIFT])
def test_playlist(daemon: Playing, origin: OriginProcess, media: Media, name: str) -> None:
    """What a list says of a channel's past is followed, whatever its kind and however the origin frames it."""
    start = int(time()) - 3 * HOUR
    answer = daemon.get(at(daemon.path_of(name) + "?utc={utc}&utcend={utcend}&lutc={lutc}", start, start + 90))
    assert (answer.status, answer.body == media.read("film.ts")) == (200, True)
    query = origin.counts("/vod/film.ts").query
    if name == TEMPLATE:
        assert (query["from"], query["to"]) == (str(start), str(start + 90))
    elif name == APPEND:
        assert (query["from"], query["for"]) == (str(start), str(-(-(start % 60 + 90) // 60)))
    else:
        assert query["utc"] == str(start)
        assert 0 <= time() - int(query["lutc"]) < 30


def test_hls(daemon: Playing, origin: OriginProcess) -> None:
    """An archive that is a playlist plays as one, and as a stream where asked for; any other leads on."""
    start = int(time()) - HOUR
    path = daemon.path_of(PLAYLIST)
    assert path.endswith(".m3u8")
    watch(f"{daemon.url}{path}?utc={start}&lutc={start + HOUR}").assert_plays()
    assert origin.counts("/hls/plain/index.m3u8").query == {"at": str(start)}
    assert origin.counts("/hls-live/plain/index.m3u8").total == 0
    stream = path.replace(".m3u8", ".ts")
    watch(f"{daemon.url}{stream}?start={start}&duration=600").assert_plays()
    answer = daemon.get(daemon.path_of(SHIFT).replace(".ts", ".m3u8") + f"?utc={start}&utcend={start + 60}")
    wanted = f"{daemon.url_of(SHIFT)}?utc={start}&duration=60"
    assert (answer.status, answer.headers["location"]) == (302, wanted)


def test_refused(daemon: Playing, origin: OriginProcess) -> None:
    """A time that is none, one to come, one too long ago, and a channel without a past: each gets a sentence."""
    now = int(time())
    asked = {
        f"{daemon.path_of(TEMPLATE)}?utc=yesterday": (400, "What utc says is no number of seconds"),
        f"{daemon.path_of(TEMPLATE)}?utc={now - 60}&utcend={now - 90}": (400, "end is before the start"),
        f"{daemon.path_of(TEMPLATE)}?utc={now + HOUR}": (404, "not been shown yet"),
        f"{daemon.path_of(TEMPLATE)}?utc={now - 3 * 24 * HOUR}": (404, "kept for 2 days"),
        f"{daemon.path_of(NOTHING)}?utc={now - HOUR}&lutc={now}": (404, "Nothing of what this channel has shown"),
        f"{daemon.path_of(TWO)}?start={now - HOUR}&duration=60": (404, "Nothing of what this channel has shown"),
    }
    for path, (status, words) in asked.items():
        answer = daemon.get(path)
        assert (answer.status, words in answer.text) == (status, True), (path, answer)
    assert origin.open_requests() == 0


def test_gone(daemon: Playing, origin: OriginProcess) -> None:
    """An archive that does not have it is an error of its own, and the channel itself plays on."""
    origin.control("/vod/film.ts", status=404)
    before = daemon.outcomes()
    answer = daemon.get(f"{daemon.path_of(TEMPLATE)}?utc={int(time()) - HOUR}")
    assert (answer.status, "does not have it" in answer.text) == (404, True)
    assert daemon.outcome_of(before) == "exhausted"
    watch(daemon.url_of(TEMPLATE), 1).assert_plays()


def test_guide(daemon: Playing, origin: OriginProcess, panel: PanelProcess) -> None:
    """The panel's own guide is ours: what is on at its channel is in the guide that players get."""

    def shown() -> list[ElementTree.Element]:
        answer = daemon.get("/epg.xml")
        return ElementTree.fromstring(answer.body).findall("programme") if answer.status == 200 else []

    found = wait_for(shown, 30, "programmes in the guide")
    assert {each.findtext("title") for each in found} == {ON_AIR[0]}
    tvg_id = re.search(r'tvg-id="([^"]*)"', lines_of(daemon)[ONE])
    assert tvg_id is not None
    assert {each.get("channel") for each in found} == {tvg_id[1]}
    assert panel.seen("/xmltv.php")


def test_short_guide(daemon: Playing, origin: OriginProcess) -> None:
    """What is on at a channel that is in no guide the panel is asked for, when somebody wants to know."""
    number = re.findall(r"\d+", daemon.path_of(TWO))[0]
    value: Any = daemon.get(f"/api/channels/{number}/programmes").json()
    assert {each["title"] for each in value["programmes"]} == {ON_AIR[1]}
    assert len(value["programmes"]) == 4
