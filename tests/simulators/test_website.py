"""The website that other tests rely on does what such sites do, in all the shapes they have had."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from datetime import UTC, date
from typing import Any

import pytest

from tests.daemon.client import wait_for
from tests.daemon.judges import judge
from tests.simulators.media import Media
from tests.simulators.website_process import WebsiteProcess
from tests.simulators.website_schedule import BEGAN, Announced, announced, day_label
from tests.simulators.website_stations import ADS, FOLDERS, MEDIA, MOVED, ODD, PLAYER, SITE, STATIONS, logos
from tests.simulators.website_visitor import NOON, Visitor, whole

LIST = "/24-7-channels.php"
S1 = "/schedule/schedule-generated.php"


@pytest.fixture
def visitor(media: Media) -> Visitor:
    """A website."""
    return Visitor(media)


@pytest.fixture(scope="module")
def website(media: Media, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebsiteProcess]:
    """A website as a process."""
    with WebsiteProcess(media, tmp_path_factory.mktemp("website")).start() as running:
        yield running


SHAPES = {
    "L1": (LIST, r'href="/stream/stream-([^"]*)\.php"[^>]*><span><strong>([^<]*)</strong>'),
    "L2": (LIST, r'href="/watch\.php\?id=([^"]*)"[^>]*>\s*<div class="card__title">([^<]*)</div>'),
    "L3": ("/daddy.json", r'"channel_id": "([^"]*)", "channel_name": "([^"]*)"'),
    "L4": ("/", r'<a href="/watch\.php\?id=([^"]*)" title="([^"]*)">'),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_lists(visitor: Visitor, shape: str) -> None:
    """Every shape lists every channel and every oddity, names written as in markup; no other shape is there."""
    visitor.set(shape=shape, schedule="")
    path, pattern = SHAPES[shape]
    found = re.findall(pattern, visitor.text(path))
    rows = [(number, html.unescape(name)) for number, name in found]
    wanted = [(each.number, each.written) for each in (*STATIONS, *ODD)]
    assert rows[: len(wanted)] == wanted
    assert [name for _, name in found if "&amp;" in name or "&eacute;" in name] != []
    assert {number for number, _ in rows[len(wanted) :]} == ({"80", "81", "82"} if shape == "L4" else set())
    others = {path for path, _ in SHAPES.values()} - {path, "/"}
    assert {visitor.get(other).status for other in others} == {404}
    assert ('stream-51.php"' in visitor.text("/")) is False
    visitor.set(odd=False, without=["52"])
    assert [number for number, _ in re.findall(pattern, visitor.text(path))].count("51") == 1
    assert "Demo &amp; Two" not in visitor.text(path)


def test_redesign(visitor: Visitor) -> None:
    """A redesigned list is a page with all names in it, and nothing of a shape that was seen before."""
    visitor.set(shape="new")
    text = visitor.text(LIST)
    assert "Demo Five" in text
    assert [shape for shape, (_, pattern) in SHAPES.items() if re.search(pattern, text)] == []


def test_logos(visitor: Visitor) -> None:
    """Four of five channels have a logo, in three kinds."""
    assert len(logos()) == len(STATIONS) * 4 // 5
    replies = {path: visitor.get(path) for path in logos()}
    assert {reply.status for reply in replies.values()} == {200}
    assert {dict(reply.headers)["Content-Type"] for reply in replies.values()} >= {"image/png", "image/svg+xml"}
    assert visitor.get("/logos/demo-five.png").status == 404


def test_strict(visitor: Visitor) -> None:
    """Pages are for those who come from the site or the page around, and want the method; all are when not strict."""
    page = visitor.site.url(SITE) + "/cast/stream-51.php"
    player = visitor.frames("/cast/stream-51.php")[0]
    lookup = visitor.site.url(PLAYER) + "/server_lookup.php?channel_id=premium51"
    elsewhere = "http://elsewhere.test/"
    for url in (visitor.site.url(SITE) + LIST, visitor.site.url(SITE) + S1, page, player, lookup):
        assert visitor.get(url, elsewhere).status == 403, url
    assert visitor.get(player, page).status == 200
    assert visitor.get(player, page.replace("51", "52")).status == 403
    assert visitor.get(page, visitor.site.url(SITE) + "/watch.php?id=51", method="POST").status == 405
    visitor.set(method="POST")
    assert visitor.get(page, visitor.site.url(SITE) + "/", method="POST").status == 200
    assert visitor.get(page, visitor.site.url(SITE) + "/").status == 405
    visitor.set(strict=False)
    for url in (visitor.site.url(SITE) + LIST, page, player, lookup):
        assert visitor.get(url, elsewhere).status == 200, url


def test_pages(visitor: Visitor) -> None:
    """A channel has a page in every folder, with advertisements and its players on it; others have none."""
    for folder in FOLDERS:
        assert len(visitor.frames(f"/{folder}/stream-55.php")) == 3
    assert visitor.text("/stream/stream-51.php").count(ADS) == 2
    assert "/stream/stream-51.php" in visitor.text("/watch.php?id=51")
    assert {visitor.get(path).status for path in ("/stream/stream-1.php", "/other/stream-51.php")} == {404}
    visitor.set(players={"51": ["framed", "dead"]})
    assert [each.split("/")[3] for each in visitor.frames("/stream/stream-51.php")] == ["framed", "dead"]


def test_moved(visitor: Visitor) -> None:
    """The site can have moved to another name, or to another path, and everything is there then."""
    visitor.set(moved="host")
    reply = visitor.get(LIST)
    assert (reply.status, dict(reply.headers)["Location"]) == (301, visitor.site.url(MOVED) + LIST)
    home = visitor.site.url(MOVED) + "/"
    assert "Demo Five" in visitor.text(visitor.site.url(MOVED) + LIST, home)
    page = visitor.site.url(MOVED) + "/stream/stream-51.php"
    (player,) = visitor.frames(page, home)
    assert visitor.played_by(player, page)[0].endswith("premium51/mono.m3u8")
    visitor.set(moved="path")
    assert dict(visitor.get("/").headers)["Location"] == visitor.site.url(SITE) + "/tv/"
    page = visitor.site.url(SITE) + "/tv/stream/stream-51.php"
    assert visitor.get(visitor.frames(page, visitor.site.url(SITE) + "/tv/")[0], page).status == 200


def test_challenge(visitor: Visitor) -> None:
    """Every page of the site can be a challenge, with whatever status; pictures never are."""
    for status in (200, 403, 503):
        visitor.set(challenge=status)
        for path in ("/", LIST, S1, "/stream/stream-51.php"):
            reply = visitor.get(path)
            assert (reply.status, b"Just a moment" in whole(reply)) == (status, True)
    assert visitor.get("/logos/bbc-one-uk.png").status == 200


def test_schedule_json(visitor: Visitor) -> None:
    """S1 has its events by day and category, channels as lists and objects, and items that are none."""
    schedule = json.loads(visitor.text(S1))
    assert list(schedule) == ["Wednesday 15th Jul 2026 - Schedule Time UK GMT"]
    (day,) = schedule.values()
    assert list(day) == ["Soccer</span>", "Tennis</span>", "Broken</span>"]
    items = day["Soccer</span>"]
    (good,) = [each for each in items if "A vs B" in str(each)]
    assert len(items) == 10
    assert good["channels"] == [{"channel_name": "Channel 51", "channel_id": "51"}]
    assert good["channels2"] == {"1": {"channel_name": "Channel 52", "channel_id": "52"}}
    assert good["time"] == "09:00"
    visitor.set(odd=False, schedule="both", day="twice")
    (label,) = json.loads(visitor.text(S1))
    assert label.startswith("Wednesday 15th Jul Jul 2026")
    assert len(json.loads(visitor.text(S1))[label]["Soccer</span>"]) == 4
    visitor.set(schedule="S2")
    assert visitor.get(S1).status == 404


def test_schedule_page(visitor: Visitor) -> None:
    """S2 has the same events on the home page, times as data and not as they are shown."""
    visitor.set(schedule="S2", day="glued")
    text = visitor.text("/")
    assert '<div class="schedule__dayTitle">Wednesday 15th Jul2026 - ' in text
    assert re.findall(r'data-time="([^"]*)"', text) == [each.time for each in announced(NOON)[1]]
    assert "Reds &amp; Blues : A vs B" in text
    visitor.set(schedule="")
    assert "schedule__" not in visitor.text("/")


def test_event_times() -> None:
    """Events begin at London's time, after midnight on the next day, and one has begun ten minutes ago."""
    day, events = announced(NOON)
    starts = {each.title: each.start(day) for each in events}
    assert starts["C vs D"].astimezone(UTC).isoformat() == "2026-07-15T17:45:00+00:00"
    assert starts["After Midnight"].astimezone(UTC).isoformat() == "2026-07-15T23:30:00+00:00"
    assert starts["Final On Now"].timestamp() == NOON - BEGAN
    assert Announced("00:30", "", "", (), 1).start(date(2026, 12, 31)).isoformat() == "2027-01-01T00:30:00+00:00"
    labels = [day_label(date(2025, 10, number)) for number in (1, 2, 3, 6, 11, 12, 13, 21, 22, 23, 31)]
    assert " ".join(label.split()[1][2:] for label in labels) == "st nd rd th th th th st nd rd st"


def test_controlled(visitor: Visitor) -> None:
    """Knobs and paddings hold until all is reset, hosts can be down, and what there is not is refused."""
    visitor.tell("/control", {"/key/*": {"status": 401}})
    url, player = visitor.playlist("51")
    assert visitor.media(visitor.site.url(MEDIA) + "/key/premium51/0", player).status == 401
    visitor.set(padding=1 << 20, down=[ADS])
    assert len(visitor.text(LIST)) > 1 << 20
    visitor.get(visitor.site.url(ADS) + "/banner.html")
    with pytest.raises(ValueError, match="no option colour"):
        visitor.set(colour="red")
    seen = visitor.site.seen
    assert (seen[-1].host, seen[-1].status) == (ADS, 0)
    assert (seen[-2].path, seen[-2].referer, seen[-2].status) == (LIST, visitor.site.url(SITE) + "/", 200)
    visitor.tell("/reset")
    assert visitor.site.seen == []
    assert visitor.media(visitor.site.url(MEDIA) + "/key/premium51/0", player).status == 200
    assert visitor.media(url, player).status == 403
    assert len(visitor.text(LIST)) < 1 << 16
    assert visitor.get("/site").status == 405


def test_process(website: WebsiteProcess) -> None:
    """As a process it serves all hosts, tells what it was asked, and what its players lead to plays."""
    website.set(odd=False)
    website.control("/daddy.json", body="[]")
    assert website.get("/daddy.json").text == "[]"
    with pytest.raises(KeyError, match="no option colour"):
        website.set(colour="red")
    (last,) = website.seen("/daddy.json", SITE)
    assert (last.method, last.status) == ("GET", 200)
    player = website.at(PLAYER)
    lookup = {"Host": f"{PLAYER}:{website.port}", "Referer": f"{player}/premium/embed.php"}
    reply: Any = website.get("/server_lookup.php?channel_id=premium51", lookup).json()
    headers = f"Referer: {player}/\r\nOrigin: {player}\r\n"
    url = website.at(MEDIA, f"/{reply['server_key']}/premium51/mono.m3u8")
    assert judge(url, 5, options=("-headers", headers)).good
    assert not judge(url, 5).good
    assert website.seen("/key/", MEDIA)[0].referer == f"{player}/"
    website.expire()
    wait_for(lambda: not judge(url, 1, options=("-headers", headers)).good, what="the end of the path")
    website.reset()
    assert website.seen() == []
