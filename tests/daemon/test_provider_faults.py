"""When providers fail the daemon runs, keeps what was good, says which and why, and gets well again by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.client import wait_for
from tests.daemon.harness import Daemon, free_port
from tests.daemon.launch import channels, facts, providers
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

LOGIN = '{{"user_info": {{"auth": {auth}, "status": "{status}", "exp_date": "{expires}", "max_connections": "2"}}}}'
LONG_AGO, FAR_AHEAD = 1_000_000_000, 4_102_444_800

#: For each provider what its origin does, the state it is in then, and what the sentence has to say.
FAULTS: dict[str, tuple[dict[str, object], str, str]] = {
    "s401": ({"status": 401}, "auth_failed", "user name or password"),
    "s403": ({"status": 403}, "blocked", "403"),
    "s404": ({"status": 404}, "unreachable", "404"),
    "s500": ({"status": 500}, "unreachable", "500"),
    "html": ({"as_": "html"}, "not_understood", "HTML page"),
    "empty": ({"as_": "empty"}, "not_understood", "is empty"),
    "bare": ({"body": "#EXTM3U\n"}, "not_understood", "nothing to watch"),
    "files": (
        {"body": "#EXTM3U\n#EXTINF:-1,A\n/etc/passwd\n#EXTINF:-1,B\nfile:///etc/passwd\n"},
        "not_understood",
        "",
    ),
    "head": ({"endless_head": 1}, "unreachable", ""),
    "dropped": ({"drop": 1}, "unreachable", ""),
    "cut": (
        {"body": "#EXTM3U\n" + "#EXTINF:-1,A\nhttp://x.test/a\n" * 9, "die_after": 40},
        "unreachable",
        "cut short",
    ),
    "loop": ({"redirect": "loop"}, "unreachable", ""),
    "body": ({"body": "x" * 70_000}, "not_understood", ""),
}


def good_list(name: str) -> str:
    """A list of two channels."""
    entries = (f'#EXTINF:-1 tvg-id="{name}.{n}",{name} {n}\nhttp://127.0.0.1:9/{name}/{n}.ts\n' for n in (1, 2))
    return "#EXTM3U\n" + "".join(entries)


def table(kind: str, name: str, **values: object) -> str:
    """A provider in the settings file."""
    lines = [f"[[provider]]\nkind = '{kind}'\nname = '{name}'\nrefresh_interval = '10m'"]
    return "\n".join([*lines, *(f"{key} = '{value}'" for key, value in values.items())]) + "\n"


def settle(daemon: Daemon, states: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Wait until the providers are in these states; gives what is told of each."""

    def look() -> bool:
        return {name: each["state"] for name, each in providers(daemon).items()} == states

    try:
        wait_for(look, 30, "the states")
    except AssertionError:
        assert {name: each["state"] for name, each in providers(daemon).items()} == states
    return providers(daemon)


@pytest.fixture(scope="module")
def faulty(shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with a provider for each fault, all of them well."""
    shared_origin.reset()
    for name in FAULTS:
        shared_origin.control(f"/f/{name}.m3u", body=good_list(name))
    toml = "".join(table("m3u", name, url=shared_origin.at(f"/f/{name}.m3u")) for name in FAULTS)
    with Daemon(tmp_path_factory.mktemp("faulty"), toml=toml).start() as daemon:
        settle(daemon, dict.fromkeys(FAULTS, "ok"))
        daemon.wait_for_json("/health", {"channels_count": 2 * len(FAULTS)})
        yield daemon
        assert "Traceback" not in daemon.log_text()
    shared_origin.reset()


def break_all(origin: OriginProcess) -> dict[str, str]:
    """Have every provider's origin do what it does; gives the states that come of it."""
    for name, (knobs, _, _) in FAULTS.items():
        origin.control(f"/f/{name}.m3u", **knobs)
    return {name: state for name, (_, state, _) in FAULTS.items()}


def test_faults(faulty: Daemon, shared_origin: OriginProcess) -> None:
    """Each fault is told by its state and a sentence, the channels stay, it is tried again soon, and all is mended."""
    before = channels(faulty)
    assert len(before) == 2 * len(FAULTS)
    states = break_all(shared_origin)
    faulty.hup()
    told = settle(faulty, states)
    for name, (_, _, words) in FAULTS.items():
        assert words in told[name]["sentence"], (name, told[name])
        assert told[name]["entries"] == 2
        assert told[name]["failures"] == 1
        assert shared_origin.url not in told[name]["sentence"]
    assert channels(faulty) == before
    health = facts(faulty, "/health")
    assert health["status"] == "degraded"
    assert sorted(health["reasons"]) == sorted(FAULTS)
    assert health["reasons"]["s403"].startswith("blocked: ")
    assert faulty.get("/health").status == 200

    # A second failure doubles the wait; what only a person can mend is not asked often.
    faulty.hup()
    wait_for(lambda: all(each["failures"] == 2 for each in providers(faulty).values()), 30, "second tries")
    now = time.time()
    for name, each in providers(faulty).items():
        wait = each["next_refresh"] - now
        assert (400 if each["state"] == "blocked" else 40) < wait < (700 if each["state"] == "blocked" else 70), name

    # Over a restart the channels are kept too.
    faulty.restart()
    settle(faulty, states)
    assert channels(faulty) == before
    assert facts(faulty, "/health")["status"] == "degraded"

    for name in FAULTS:
        shared_origin.control(f"/f/{name}.m3u", body=good_list(name))
    faulty.hup()
    told = settle(faulty, dict.fromkeys(FAULTS, "ok"))
    assert all((each["failures"], each["sentence"]) == (0, "") for each in told.values())
    assert facts(faulty, "/health")["status"] == "healthy"
    assert channels(faulty) == before


def test_asked_by_itself_again(shared_origin: OriginProcess, tmp_path: Path) -> None:
    """A provider that failed is asked again without anybody's doing, after half a minute."""
    shared_origin.control("/f/alone.m3u", status=500)
    with Daemon(tmp_path, "--provider", f"m3u:{shared_origin.at('/f/alone.m3u')}").start() as daemon:
        settle(daemon, {"m3u": "unreachable"})
        assert facts(daemon, "/health")["status"] == "failing"
        assert daemon.get("/health").status == 503
        wait = providers(daemon)["m3u"]["next_refresh"] - time.time()
        assert 20 < wait < 34
        assert shared_origin.counts("/f/alone.m3u").total == 1
        assert daemon.get("/playlist.m3u8").text.count("#EXTINF") == 0
        assert daemon.get("/").status == 200


def test_accounts(shared_origin: OriginProcess, tmp_path: Path) -> None:
    """A wrong password, an expired and a banned account, a web page for an API and a dead panel are told apart."""
    logins = {
        "wrong": LOGIN.format(auth=0, status="", expires=FAR_AHEAD),
        "expired": LOGIN.format(auth=1, status="Expired", expires=LONG_AGO),
        "banned": LOGIN.format(auth=1, status="Banned", expires=FAR_AHEAD),
    }
    for name, body in logins.items():
        shared_origin.control(f"/{name}/player_api.php", body=body)
    shared_origin.control("/page/player_api.php", as_="html")
    urls = {name: f"{shared_origin.url}/{name}" for name in (*logins, "page")}
    urls["dead"] = f"http://127.0.0.1:{free_port()}"
    urls["nowhere"] = "http://panel.invalid"
    toml = "".join(table("xtream", n, url=url, username="bob", password="s3cret") for n, url in urls.items())
    with Daemon(tmp_path, toml=toml).start() as daemon:
        states = dict.fromkeys(logins, "auth_failed") | {"page": "not_understood"}
        told = settle(daemon, states | {"dead": "unreachable", "nowhere": "unreachable"})
        for name, words in {"wrong": "password", "expired": "expired", "banned": "banned"}.items():
            assert words in told[name]["sentence"].lower(), told[name]
        assert facts(daemon, "/health")["status"] == "failing"
        everything = daemon.log_text() + daemon.get("/health/detailed").text + daemon.get("/").text
        assert "s3cret" not in everything
        assert "Traceback" not in everything


def test_forms_of_answers(origin: OriginProcess, tmp_path: Path) -> None:
    """A packed answer is unpacked, and a list that has not changed is not sent again, but is as good as a new one."""
    toml = table("m3u", "packed", url=origin.at("/lists/basic.m3u", gzip=1))
    toml += table("m3u", "file", url=origin.at("/lists/basic.m3u.gz"))
    with Daemon(tmp_path, toml=toml).start() as daemon:
        told = settle(daemon, {"packed": "ok", "file": "ok"})
        assert [each["entries"] for each in told.values()] == [9, 9]
        daemon.hup()

        def again() -> bool:
            now = providers(daemon)
            return all(now[name]["last_good"] > told[name]["last_good"] for name in now)

        wait_for(again, what="a refresh")
        last = origin.counts("/lists/basic.m3u.gz")
        assert (last.total, "if-none-match" in last.headers) == (2, True)
        # The list itself is longer than two heads.
        assert last.delivered < 2000
        settle(daemon, {"packed": "ok", "file": "ok"})
        assert facts(daemon, "/health")["channels_count"] == 18
