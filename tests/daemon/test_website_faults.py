"""When a website changes, refuses, moves or breaks, what was good stays, and health says what is the matter."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.client import wait_for
from tests.daemon.harness import Daemon
from tests.daemon.launch import channels, facts, providers
from tests.simulators.media import Media
from tests.simulators.website_process import WebsiteProcess, reached
from tests.simulators.website_stations import MOVED, SITE, STATIONS

pytestmark = pytest.mark.daemon

LIST = "/24-7-channels.php"
SCHEDULE = "/schedule/schedule-generated.php"
#: How many channels the site has.
COUNT = len(STATIONS) + 1

#: What the site does: its options and its list's knobs, the state that comes of it, and what the sentence has to say.
TROUBLES: dict[str, tuple[dict[str, object], dict[str, object], str, str]] = {
    "redesigned": ({"shape": "new"}, {}, "not_understood", r"channel list, shape L\d, \d of \d selectors matched"),
    "challenge 200": ({"challenge": 200}, {}, "blocked", "challenge.* 200"),
    "challenge 403": ({"challenge": 403}, {}, "blocked", "403"),
    "challenge 503": ({"challenge": 503}, {}, "blocked", "challenge.* 503"),
    "wants a login": ({}, {"status": 401}, "blocked", "401"),
    "not here": ({}, {"status": 451}, "blocked", "451"),
    "broken": ({}, {"status": 500}, "unreachable", "500|none of 2 addresses"),
    "nonsense": ({}, {"as": "html"}, "not_understood", "channel list, shape L"),
    "empty": ({}, {"as": "empty"}, "not_understood", "channel list, shape L"),
    "endless": ({"padding": 5 << 20}, {}, "not_understood", "larger|longer|MiB|exceeds|bytes"),
    "down": ({"down": [SITE]}, {}, "unreachable", ""),
}


@pytest.fixture(scope="module")
def site(media: Media, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebsiteProcess]:
    """The website of all these tests."""
    with WebsiteProcess(media, tmp_path_factory.mktemp("website")).start() as running:
        yield running
        assert running.log_text().splitlines()[1:] == [], "the website itself had errors"


@pytest.fixture
def website(site: WebsiteProcess) -> WebsiteProcess:
    """The website as it usually is."""
    site.reset()
    return site


@pytest.fixture(scope="module")
def daemon(site: WebsiteProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that knows two addresses of the website, at the first of which nobody listens."""
    environment = reached(site, site.nowhere, site.at(SITE))
    folder = tmp_path_factory.mktemp("faults")
    with Daemon(folder, "--provider", "daddylive", environment=environment).start() as running:
        wait_for(lambda: len(channels(running)) == COUNT, what="the channels")
        yield running
        assert "Traceback" not in running.log_text()


def provider(daemon: Daemon) -> dict[str, Any]:
    """What health tells of the website."""
    return providers(daemon)["daddylive"]


def schedule(daemon: Daemon) -> dict[str, Any]:
    """What health tells of the website's schedule."""
    (told,) = facts(daemon)["schedules"]
    assert isinstance(told, dict)
    return told


def refresh(daemon: Daemon) -> dict[str, Any]:
    """Have it refresh; gives what health tells then."""

    def ends() -> tuple[float, int]:
        told = provider(daemon)
        return told["last_good"] or 0.0, told["failures"]

    before = ends()
    daemon.hup()
    wait_for(lambda: ends() != before, what="the end of a refresh")
    return provider(daemon)


def get_well(daemon: Daemon) -> None:
    """Have it refresh, after which all is as it should be."""
    told = refresh(daemon)
    assert (told["state"], told["sentence"], told["failures"]) == ("ok", "", 0)


def test_first_address(daemon: Daemon, website: WebsiteProcess) -> None:
    """Where the first address does not answer the next one does, and the provider is well."""
    get_well(daemon)
    assert facts(daemon, "/health")["status"] == "healthy"


def test_other_shapes(daemon: Daemon, website: WebsiteProcess) -> None:
    """When the site lists its channels in another shape that is known, they stay what they are."""
    before = channels(daemon)
    for shape in ("L2", "L3", "L4", "L1"):
        website.set(shape=shape, schedule="S2" if shape == "L4" else "both")
        get_well(daemon)
        more = 3 if shape == "L4" else 0
        wait_for(lambda: len(channels(daemon)) == COUNT + more, what=f"the channels of {shape}")  # noqa: B023
        assert before.items() <= channels(daemon).items(), shape


def test_troubles(daemon: Daemon, website: WebsiteProcess) -> None:
    """In every trouble the site's channels stay, and health says which it is; when it is over that is noticed."""
    get_well(daemon)
    before = channels(daemon)
    for trouble, (options, knobs, state, words) in TROUBLES.items():
        website.reset()
        website.set(**options)
        if knobs:
            website.control(LIST, **knobs)
        told = refresh(daemon)
        assert (told["state"], re.search(words, told["sentence"]) is not None) == (state, True), (trouble, told)
        assert channels(daemon) == before, trouble
        health = facts(daemon, "/health")
        assert (health["status"], health["channels_count"]) == ("degraded", COUNT)
        assert health["reasons"]["daddylive"].startswith(f"{state}: ")
        assert website.secrets()[0] not in str(facts(daemon)), trouble
        # Who is not wanted does not come back soon.
        wait = told["next_refresh"] - time.time()
        assert wait > 1800 if state == "blocked" else wait < 60 or told["failures"] > 1, (trouble, told)
    website.reset()
    get_well(daemon)
    assert channels(daemon) == before


def test_moved(daemon: Daemon, website: WebsiteProcess) -> None:
    """Where the site redirects to it is asked from then on, and its channels are played from there."""
    before = channels(daemon)
    for moved, host, path in (("host", MOVED, LIST), ("path", SITE, f"/tv{LIST}")):
        website.set(moved=moved)
        get_well(daemon)
        daemon.get(f"/stream/{before['Demo 70' if moved == 'host' else 'Demo 71']}")
        asked = len(website.seen(host=SITE))
        get_well(daemon)
        assert channels(daemon) == before
        assert website.seen(path, host)[-1].status == 200
        later = [each.path for each in website.seen(host=SITE)[asked:] if not each.path.startswith("/logos/")]
        assert all(each.startswith("/tv/") for each in later), later
        player = website.seen("/premium/embed.php")[-1]
        assert (player.status, player.query) == (200, "id=70" if moved == "host" else "id=71")
        website.reset()
        # What is not found where it was last is looked for where it was before, the next time at the latest.
        refresh(daemon)


def test_schedules(daemon: Daemon, website: WebsiteProcess) -> None:
    """Events are the same from either schedule; when neither is understood those there are stay, and health tells."""
    get_well(daemon)
    wait_for(lambda: schedule(daemon)["state"] == "ok", what="the schedule")

    def titles() -> list[str]:
        found: Any = daemon.get("/api/events?from=0").json()
        return [each["title"] for each in found["events"]]

    before = wait_for(titles, 30, what="events")
    assert len(before) == 5
    assert schedule(daemon)["skipped"]
    for options in ({"schedule": "S2", "day": "twice"}, {"schedule": "S1", "day": "glued"}):
        website.set(**options)
        last = schedule(daemon)["last_good"]
        daemon.hup()
        wait_for(lambda: schedule(daemon)["last_good"] > last, what=f"the schedule {options}")  # noqa: B023
        assert (schedule(daemon)["state"], schedule(daemon)["events"]) == ("ok", 5)
        assert titles() == before
    for body in ("[]", "{}", "<html>Soon</html>", '{"Monday 06th Oct 2025": {"Soccer": [{"time": "9:'):
        website.control(SCHEDULE, body=body)
        failures = schedule(daemon)["failures"]
        daemon.hup()
        wait_for(lambda: schedule(daemon)["failures"] > failures, what=f"what is said of {body}")  # noqa: B023
        assert (schedule(daemon)["state"], schedule(daemon)["events"]) == ("not_understood", 5)
        assert schedule(daemon)["sentence"].startswith("schedule")
        assert titles() == before


def test_slow(daemon: Daemon, website: WebsiteProcess) -> None:
    """While the site takes its time everything else goes on."""
    website.control(LIST, head_delay=1.5)
    asked, last = len(website.seen(LIST)), provider(daemon)["last_good"]
    daemon.hup()
    wait_for(lambda: len(website.seen(LIST)) > asked, what="a refresh")
    assert daemon.get("/ping").status == 200
    assert len(channels(daemon)) == COUNT
    assert provider(daemon)["last_good"] == last
    wait_for(lambda: provider(daemon)["last_good"] > last, what="its end")


def test_key_refused(daemon: Daemon, website: WebsiteProcess) -> None:
    """Where the keys are refused the viewer is told, and the site is not asked again and again."""
    refused = {"72": 401, "73": 403}
    for number, status in refused.items():
        website.control(f"/key/premium{number}/*", status=status)
    paths = {number: f"/stream/{channels(daemon)[f'Demo {number}'].rpartition('.')[0]}.ts" for number in refused}
    with ThreadPoolExecutor(len(paths)) as pool:
        answers = dict(zip(paths, pool.map(daemon.get, paths.values()), strict=True))
    for number, answer in answers.items():
        assert answer.status in (502, 503), answer
        assert website.secrets()[0] not in answer.text
        lookups = [each for each in website.seen("/server_lookup.php") if each.query.endswith(number)]
        assert 1 <= len(lookups) <= 4, number


def test_restart(daemon: Daemon, website: WebsiteProcess) -> None:
    """After a restart during which the site wants a challenge solved, channels and events are there as before."""
    before, events = channels(daemon), daemon.get("/api/events?from=0").json()
    website.set(challenge=403)
    assert daemon.restart() in (0, -15, 143)
    wait_for(lambda: provider(daemon)["state"] == "blocked", what="the refusal")
    assert channels(daemon) == before
    wait_for(lambda: daemon.get("/api/events?from=0").json() == events, what="the events")
    website.reset()
    get_well(daemon)
    assert channels(daemon) == before


def test_no_address(tmp_path: Path) -> None:
    """Without an address the daemon runs, has what other providers have, and says which setting is missing."""
    own = tmp_path / "own.m3u"
    own.write_text("#EXTM3U\n#EXTINF:-1,Mine\nhttp://127.0.0.1:9/mine.ts\n")
    with Daemon(tmp_path, "--provider", "daddylive", "--provider", f"m3u:{own}").start() as daemon:
        wait_for(lambda: provider(daemon)["state"] == "unconfigured", what="the state")
        assert "base_url" in provider(daemon)["sentence"]
        assert "base_url" in facts(daemon, "/health")["reasons"]["daddylive"]
        assert "base_url" in daemon.get("/").text
        assert "base_url" in daemon.log_text()
        wait_for(lambda: list(channels(daemon)) == ["Mine"], what="the other provider's channel")
        assert facts(daemon, "/health")["status"] == "degraded"
        assert "Traceback" not in daemon.log_text()
