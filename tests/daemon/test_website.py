"""A website with channels, from its pages to players: listed, grouped, announced, played, and nothing of it shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.daemon.client import wait_for
from tests.daemon.judges import decode
from tests.daemon.launch import facts, providers
from tests.daemon.playing import Playing, playing, watch_all
from tests.simulators.media import Media
from tests.simulators.website_process import WebsiteProcess, reached
from tests.simulators.website_schedule import announced
from tests.simulators.website_stations import ADS, MEDIA, PLAYER, SITE, STATIONS

pytestmark = pytest.mark.daemon

#: What the channels are called that are played in a way of their own each, and how their addresses end.
WATCHED = {
    "BBC One UK": (".m3u8", ".ts"),
    "Demo & Two": (".m3u8",),
    "Demo Three": (".m3u8",),
    "Café 'Four' (Local)": (".m3u8",),
    "Demo Five": (".m3u8",),
    "Demo Image": (".m3u8", ".ts"),
    "Demo Style": (".m3u8",),
}
#: The channels that cannot be had.
LOST = ("Demo Signed", "Demo Hollow", "Demo Deep", "Demo Loop", "Demo Bare")
#: Seconds that a player plays on while an address is over; less than half of that is there when it begins.
ON = 11.0


@pytest.fixture(scope="module")
def website(media: Media, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebsiteProcess]:
    """The website."""
    with WebsiteProcess(media, tmp_path_factory.mktemp("website")).start() as running:
        yield running
        assert running.log_text().splitlines()[1:] == [], "the website itself had errors"


@pytest.fixture(scope="module")
def daemon(website: WebsiteProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playing]:
    """A daemon that has channels and events of the website, started as its users do."""
    folder, count = tmp_path_factory.mktemp("daddylive"), len(STATIONS) + 1
    arguments, environment = ("--provider", "daddylive"), reached(website, website.at(SITE))
    with playing(folder, (), *arguments, toml="linger = 1\n", environment=environment, expected=count) as running:
        yield running
        running.assert_balanced()


def listed(daemon: Playing) -> dict[str, str]:
    """The playlist's line about each channel, by the channel's name."""
    lines = daemon.get("/playlist.m3u8").text.splitlines()
    return {line.rpartition(",")[2]: line for line in lines if line.startswith("#EXTINF")}


def path_of(daemon: Playing, name: str, ending: str) -> str:
    """The path of a channel in one of its forms."""
    return daemon.path_of(name).rpartition(".")[0] + ending


def media_playlist(daemon: Playing, name: str) -> tuple[str, list[str]]:
    """A channel's media playlist: its path, and those of its segments."""
    path = daemon.path_of(name)
    while True:
        answer = daemon.get(path)
        assert answer.status == 200, answer
        uris = [urljoin(path, line) for line in answer.text.splitlines() if line and not line.startswith("#")]
        if "#EXTINF" in answer.text:
            return path, uris
        path = uris[0]


def test_listed(daemon: Playing, website: WebsiteProcess) -> None:
    """Every channel is in the playlist once, under its plain name, with its group and its id in guides."""
    lines = listed(daemon)
    assert set(WATCHED) | set(LOST) <= set(lines)
    assert "Demo Path" not in str(lines)
    assert all('group-title="' in line and 'tvg-id="' in line for line in lines.values())
    assert 'tvg-id="BBCOne.uk"' in lines["BBC One UK"]
    assert 'group-title="General"' in lines["BBC One UK"]
    told = providers(daemon)["daddylive"]
    assert (told["state"], told["sentence"], told["entries"]) == ("ok", "", len(STATIONS) + 1)
    assert sum(told["skipped"].values()) >= 4
    asked = website.seen("/24-7-channels.php", SITE)
    assert [(each.method, each.status) for each in asked] == [("GET", 200)]


def test_logos(daemon: Playing, website: WebsiteProcess) -> None:
    """A channel has the picture that the site has of it, and one of ours where there is none."""
    of = {
        name: daemon.get("/logo/" + path.split("/")[2].partition(".")[0]) for name, path in daemon.channels().items()
    }
    assert {each.status for each in of.values()} == {200}
    assert of["BBC One UK"].headers["content-type"] == "image/png"
    assert of["Demo Five"].headers["content-type"].startswith("image/svg")
    assert website.secrets()[0] not in of["Demo Five"].text


@pytest.fixture(scope="module")
def watched(daemon: Playing) -> Mapping[str, object]:
    """All channels that can be had, watched at the same time."""
    urls = {name + end: daemon.url + path_of(daemon, name, end) for name, ends in WATCHED.items() for end in ends}
    found = watch_all(urls)
    for each in found.values():
        each.assert_plays()
    return found


def test_plays(watched: Mapping[str, object], website: WebsiteProcess) -> None:
    """Every kind of player leads to picture and sound, encrypted, disguised, with variants, where one is dead too."""
    assert len(watched) == 9
    asked = website.seen(host=MEDIA)
    assert {each.status for each in asked} <= {200, 206}
    for each in asked:
        assert each.origin.startswith("http://127.0.0."), each
        assert each.referer.startswith(each.origin + "/"), each
    keys = [each.path for each in asked if each.path.startswith("/key/")]
    assert {path.split("/")[2] for path in keys} == {"premium51", "special52", "framed53", "framed55", "image61"}
    assert [each for each in website.seen() if each.host == ADS] == []


def test_disguised(daemon: Playing, watched: Mapping[str, object]) -> None:
    """What the site calls pictures and styles comes to players as what it is."""
    for name in ("Demo Image", "Demo Style"):
        _, segments = media_playlist(daemon, name)
        assert all(segment.endswith(".ts") for segment in segments)
    assert daemon.get(segments[-1]).headers["content-type"] == "video/mp2t"


def test_asked_once(daemon: Playing, website: WebsiteProcess) -> None:
    """Viewers who come at the same moment make the site be asked once."""
    path = daemon.path_of("Demo 63")
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(daemon.get, [path] * 6))
    assert {each.status for each in answers} == {200}
    lookups = [each for each in website.seen("/server_lookup.php", PLAYER) if each.query.endswith("premium63")]
    assert len(lookups) == 1


def test_lost(daemon: Playing, website: WebsiteProcess) -> None:
    """A channel that cannot be had says so in a sentence, soon; what wants a signature is left alone."""
    with ThreadPoolExecutor(len(LOST)) as pool:
        answers = dict(zip(LOST, pool.map(lambda name: daemon.get(daemon.path_of(name)), LOST), strict=True))
    for name, answer in answers.items():
        assert answer.status in (502, 503), (name, answer)
        assert 10 < len(answer.text) < 300, (name, answer)
    assert website.seen("/auth.php") == []
    assert not [each for each in website.seen("/server_lookup.php") if "signed" in each.query]
    assert "signature" in answers["Demo Signed"].text
    assert len(website.seen("/deep/")) < 8
    assert len(website.seen("/loop/")) < 8


def test_events(daemon: Playing, website: WebsiteProcess) -> None:
    """What the site announces is told with its times in UTC and the channels in the playlist."""
    day, expected = announced(website.now)
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() - 7200

    def events(query: str) -> list[dict[str, Any]]:
        value: Any = daemon.get(f"/api/events?from={midnight:.0f}&{query}").json()
        found: list[dict[str, Any]] = value["events"]
        return found

    wait_for(lambda: len(events("")) == len(expected), 30, "all events")
    told = {each["title"]: each for each in events("")}
    for event in expected:
        seen = told[event.title]
        start = event.start(day).astimezone(UTC)
        assert (seen["start"], seen["category"]) == (f"{start:%Y-%m-%dT%H:%M:%SZ}", event.category), seen
        assert seen["provider"] == "daddylive"
        ids = {each["id"] for each in seen["channels"]}
        assert ids <= {int(path.split("/")[2].partition(".")[0]) for path in daemon.channels().values()}
        assert len(ids) == len([number for number in event.numbers if number != "9999"])
    assert [each["name"] for each in told["Reds & Blues : A vs B"]["channels"]] == ["BBC One UK", "Demo & Two"]
    assert [each["title"] for each in events("category=Tennis")] == ["Final On Now"]
    assert [each["title"] for each in events("q=midnight")] == ["After Midnight"]
    assert "Final On Now" in [each["title"] for each in events("live=true")]
    assert "Final On Now" in daemon.get("/api/search?q=final").text
    rows: Any = daemon.get("/api/channels?q=Demo%20Five").json()
    assert rows["channels"][0]["now"]["title"] == "Final On Now"
    guide = daemon.get("/epg.xml").text
    assert "Final On Now" in guide
    assert "Reds &amp; Blues : A vs B" in guide


def test_expires(daemon: Playing, website: WebsiteProcess) -> None:
    """When the address of a stream is over while it is watched, players go on with picture and sound."""
    keys = {"Demo 64": "premium64", "Demo 65": "premium65", "Demo 67": "framed67", "Demo 68": "wide68"}
    forms = {"Demo 64": ".m3u8", "Demo 65": ".ts", "Demo 67": ".ts", "Demo 68": ".m3u8"}
    website.set(players={"67": ["framed"], "68": ["wide"]})

    def folders(key: str) -> set[str]:
        """Under which paths segments of a channel were had."""
        segments = (each for each in website.seen(host=MEDIA) if f"/{key}/" in each.path and each.status < 300)
        return {each.path.split("/")[1] for each in segments if not each.path.endswith(".m3u8")} - {"key"}

    def playing_now() -> set[str]:
        return {each["channel"] for each in facts(daemon)["sessions"] if each["bytes"] > 100_000}

    with ThreadPoolExecutor(len(forms)) as pool:
        work = {name: pool.submit(decode, daemon.url + path_of(daemon, name, end), ON) for name, end in forms.items()}
        wait_for(lambda: playing_now() >= set(forms), what="players that play")
        website.expire()
        before = {name: folders(key) for name, key in keys.items()}
        results = {name: each.result() for name, each in work.items()}
    for name, seen in results.items():
        assert seen.seconds >= ON, (name, seen)
        # A few pieces of sound may be cut off where the old address ends.
        assert seen.errors <= 3, (name, seen)
        assert (len(before[name]), len(folders(keys[name]) - before[name])) == (1, 1), name
        if forms[name] == ".ts":
            assert seen.corrupt == 0, (name, seen)


@pytest.mark.parametrize("status", [401, 404, 410])
def test_expired_statuses(daemon: Playing, website: WebsiteProcess, status: int) -> None:
    """Whatever an address that is over answers with, the playlist a player has goes on, and so do its segments."""
    path, segments = media_playlist(daemon, "Demo 66")
    assert daemon.get(segments[-1]).status == 200
    asked = len(website.seen("/server_lookup.php"))
    website.set(expired=status)
    website.expire()

    def goes_on() -> bool:
        answer = daemon.get(path)
        assert answer.status == 200, answer
        return len(website.seen("/server_lookup.php")) > asked

    wait_for(goes_on, what="another address")
    last = [line for line in daemon.get(path).text.splitlines() if line and not line.startswith("#")][-1]
    assert daemon.get(urljoin(path, last)).status == 200
    website.set(expired=403)


def test_nothing_shows(daemon: Playing, website: WebsiteProcess, watched: Mapping[str, object]) -> None:
    """In nothing that a viewer, a monitor or a reader of the log gets is there an address of the site's."""
    paths = [
        "/",
        "/playlist.m3u8",
        "/health",
        "/health/detailed",
        "/metrics",
        "/epg.xml",
        "/api/channels",
        "/api/events",
    ]
    texts = {path: daemon.get(path).text for path in paths}
    for name in (*WATCHED, *LOST):
        answer = daemon.get(daemon.path_of(name))
        texts[name] = repr(answer.headers) + answer.text
        if answer.status == 200:
            path, _ = media_playlist(daemon, name)
            texts[f"{name}, media"] = daemon.get(path).text
    texts["log"] = daemon.log_text()
    for where, text in texts.items():
        assert [each for each in website.secrets() if each in text] == [], where
    assert json.dumps(facts(daemon)["providers"]).count("127.0.0.") == 0
