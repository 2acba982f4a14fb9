"""The guide: taken from wherever it is, in whatever form, fitted to the channels, and told to players and people."""

from __future__ import annotations

import gzip
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.client import wait_for
from tests.daemon.guides import (
    HOUR,
    about,
    channels_of,
    children_of,
    guides,
    hours,
    in_other_forms,
    large,
    playlist,
    serve,
    validated,
    wait_for_now,
)
from tests.daemon.harness import Daemon
from tests.epg.guide import xmltv
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

FORMS = ("plain", "gz", "xz", "bom", "doctype")


@pytest.fixture(scope="module")
def told(shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with a channel for each form of guide, one that is found by its name, one that has none, and a film."""
    origin = shared_origin
    origin.reset()
    urls = []
    for form in FORMS:
        guide = about(f"{form}.test", f"{form} show")
        urls.append(serve(origin, form, {"plain": guide, **in_other_forms(guide)}[form]))
    more = [*hours("byname", "Zürich show"), *hours("nobody.test", "Unseen"), *hours("film.test", "Unseen film")]
    urls.append(serve(origin, "more", xmltv(more, {"byname": "Zurich Eins", "nobody.test": "Nobody"})))
    entries = [(f"{form}.test", f"Channel {form}", "Forms & more") for form in FORMS]
    origin_list = playlist(origin, *entries, ("", "CH: Zürich Eins HD", "Names"), ("none.test", "None", "Names"))
    toml = f"epg = {urls}\n".replace("'", '"')
    folder = tmp_path_factory.mktemp("guide")
    with Daemon(folder, "--provider", f"m3u:{origin_list}", toml=toml).start() as daemon:
        wait_for_now(daemon, {f"Channel {form}": f"{form} show 1" for form in FORMS})
        wait_for_now(daemon, {"CH: Zürich Eins HD": "Zürich show 1"})
        yield daemon
        assert "Traceback" not in daemon.log_text()


def told_ids(daemon: Daemon) -> set[str]:
    """The tvg-ids of the playlist."""
    return set(re.findall(r'tvg-id="([^"]*)"', daemon.get("/playlist.m3u8").text))


def test_valid(told: Daemon, tmp_path: Path) -> None:
    """What players get is valid XMLTV, has only channels of the playlist under its ids, and each programme once."""
    answer = told.get("/epg.xml")
    assert answer.status == 200
    tree = validated(answer.body, tmp_path)
    ids = [channel.get("id") for channel in tree.findall("channel")]
    assert len(ids) == len(FORMS) + 1
    assert set(ids) <= told_ids(told)
    shown = [(each.get("channel"), each.get("start"), each.findtext("title")) for each in tree.findall("programme")]
    assert len(set(shown)) == len(shown) == 4 * (len(FORMS) + 1)
    assert {channel for channel, _, _ in shown} == set(ids)
    text = answer.text
    assert "Unseen" not in text
    assert "About\u00a0café&amp; doctype show" in text or "About café&amp; doctype show" in text
    header = told.get("/playlist.m3u8").text.splitlines()[0]
    assert f'url-tvg="{told.url}/epg.xml"' in header


def test_packed(told: Daemon, tmp_path: Path) -> None:
    """The guide is the same in gzip, and as a packed file; who has it already is told so."""
    plain = told.get("/epg.xml")
    packed = told.get("/epg.xml", {"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert gzip.decompress(told.get("/epg.xml.gz").body) == plain.body
    tag = plain.headers["etag"]
    again = told.get("/epg.xml", {"If-None-Match": tag})
    assert (again.status, again.body) == (304, b"")
    head = told.head("/epg.xml")
    assert (head.status, head.body, head.headers["etag"]) == (200, b"", tag)


def test_parts(told: Daemon, tmp_path: Path) -> None:
    """A group alone has its channels alone, and a group that is not there an empty guide."""
    names = validated(told.get("/epg.xml?group=Names").body, tmp_path)
    assert [each.findtext("display-name") for each in names.findall("channel")] == ["CH: Zürich Eins HD"]
    assert len(validated(told.get("/epg.xml?group=Forms%20%26%20more&days=1").body, tmp_path)) == 5 * len(FORMS)
    nothing = told.get("/epg.xml?group=nobody%00")
    assert b"<programme" not in nothing.body
    assert told.get("/epg.xml?days=0").status == 400


def test_people(told: Daemon) -> None:
    """What is on and what comes then is on the page and in the API; a channel without a guide has neither."""
    channel = channels_of(told)["Channel gz"]
    assert (channel["now"]["title"], channel["next"]["title"]) == ("gz show 1", "gz show 2")
    assert channel["now"]["description"] == "About gz show"
    assert "now" not in channels_of(told)["None"]
    page = told.get("/").text
    assert "Now: gz show 1" in page
    assert "UTC: gz show 2" in page
    programmes: Any = told.get(f"/api/channels/{channel['id']}/programmes").json()
    assert [each["title"] for each in programmes["programmes"]] == ["gz show 1", "gz show 2", "gz show 3"]
    before = int(time.time()) - 2 * HOUR
    programmes = told.get(f"/api/channels/{channel['id']}/programmes?from={before}").json()
    assert programmes["programmes"][0]["title"] == "gz show 0"


def test_search(told: Daemon) -> None:
    """Channels and programmes are found by the beginnings of words, accents or not, what is on first."""

    def found(words: str) -> list[tuple[str, str]]:
        value: Any = told.get(f"/api/search?q={words}").json()
        return [(each["type"], each.get("name") or each["title"]) for each in value["results"]]

    assert found("zurich")[:2] == [("channel", "CH: Zürich Eins HD"), ("programme", "Zürich show 1")]
    assert found("SHOW%20xz") == [("programme", f"xz show {n}") for n in (1, 2, 3)]
    assert found("z") == [("channel", "CH: Zürich Eins HD")]
    assert found("unseen") == []


def test_matches(told: Daemon) -> None:
    """How each channel was found in a guide can be looked at."""
    value: Any = told.get("/api/epg/matches").json()
    how = {each["channel"]["name"]: (each["how"], each["guide_id"]) for each in value["matches"]}
    assert how == {
        **{f"Channel {form}": ("id", f"{form}.test") for form in FORMS},
        "CH: Zürich Eins HD": ("name", "byname"),
    }
    assert {each["score"] for each in value["matches"] if each["how"] == "id"} == {1.0}


def test_secrets(told: Daemon) -> None:
    """Where a guide comes from is told nowhere."""
    for path in ("/health", "/health/detailed", "/api/epg/matches", "/epg.xml", "/", "/api/channels"):
        assert "/guides/" not in told.get(path).text
    assert "/guides/" not in told.log_text()


def test_left_and_slow(origin: OriginProcess, tmp_path: Path) -> None:
    """A viewer that reads slowly has the child wait; one that leaves has it ended."""
    file = tmp_path / "large.xml"
    file.write_bytes(b"".join(large("Long", 60, 300)))
    # Many channels that are all the same one to the guide, so that much is written of little.
    entries = [(f"{n}.test", "Large", "") for n in range(400)]
    toml = f'epg = ["{file}"]\nepg_days = 30\n[[rule]]\nmatch = "Large"\nguide = "large.test"\n'
    daemon = Daemon(tmp_path / "daemon", "--provider", f"m3u:{playlist(origin, *entries)}", toml=toml)
    with daemon.start():
        wait_for_now(daemon, {"Large": "Long 1"})
        wait_for(lambda: not daemon.children(), what="the end of what writes the database")
        whole = daemon.get("/epg.xml").body
        assert len(whole) > 12_000_000
        with daemon.open_stream("/epg.xml", rcvbuf=65536) as slow:
            first = slow.read(100_000)
            before = daemon.rss()
            (child,) = wait_for(lambda: children_of(daemon, "export"))
            assert whole.startswith(first)
            # It waits with the most of it unwritten: what the kernel holds for the viewer's connection is the rest.
            wait_for(lambda: Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "S")
            written = re.search(r"wchar: (\d+)", Path(f"/proc/{child}/io").read_text())
            assert written is not None
            assert int(written[1]) < len(whole) - 3_000_000
            assert daemon.rss() - before < 3_000_000
            assert first + slow.read_to_end() == whole
        with daemon.open_stream("/epg.xml", rcvbuf=65536) as leaving:
            leaving.read(100_000)
            assert wait_for(lambda: children_of(daemon, "export"))
        wait_for(lambda: not children_of(daemon, "export"), what="the child's end")
        assert guides(daemon)["epg 1"]["state"] == "ok"
        assert "Traceback" not in daemon.log_text()


def test_before_there_is_one(origin: OriginProcess, tmp_path: Path) -> None:
    """A daemon without any guide says so for a moment, then tells an empty one."""
    url = playlist(origin, ("a.test", "Alone", ""))
    with Daemon(tmp_path / "daemon", "--provider", f"m3u:{url}").start() as daemon:
        wait_for(lambda: daemon.get("/epg.xml").status == 200, what="a guide")
        answer = daemon.get("/epg.xml")
        assert answer.body.endswith(b"</tv>\n")
        assert b"<channel" not in answer.body
        assert guides(daemon) == {}
        daemon.wait_for_json("/health", {"status": "healthy"})


def test_stopping(origin: OriginProcess, tmp_path: Path) -> None:
    """A daemon that is stopped while it takes in or tells a guide ends cleanly, and goes on where it was."""
    file = tmp_path / "large.xml"
    file.write_bytes(about("large.test", "Small"))
    toml = f'epg = ["{file}"]\nepg_interval = "1m"\n'
    url = playlist(origin, ("large.test", "Large", ""))
    with Daemon(tmp_path / "daemon", "--provider", f"m3u:{url}", toml=toml).start() as daemon:
        wait_for_now(daemon, {"Large": "Small 1"})
        file.write_bytes(b"".join(large("Long")))
        daemon.hup()
        wait_for(lambda: children_of(daemon, "importing"), what="the child that takes it in")
        assert daemon.terminate() == -15
        assert "Traceback" not in daemon.log_text()
        assert "fault" not in daemon.log_text()
        assert not daemon.children()
        daemon.start()
        wait_for_now(daemon, {"Large": "Small 1"})
        assert guides(daemon)["epg 1"]["state"] in ("stale", "ok")
        wait_for_now(daemon, {"Large": "Long 1"})
