"""Guides that are damaged, not what they should be, or not to be had: said so, and what was good before stays."""

from __future__ import annotations

import lzma
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.client import wait_for
from tests.daemon.guides import (
    HOUR,
    about,
    children_of,
    coming_in,
    guides,
    kept,
    large,
    on_now,
    playlist,
    serve,
    wait_for_now,
)
from tests.daemon.harness import Daemon
from tests.daemon.launch import facts
from tests.epg.guide import Shown, xmltv
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

_LOL = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
LAUGHS = f'<!DOCTYPE tv [<!ENTITY l0 "ha">{_LOL}]><tv><channel id="a"/>&l9;</tv>'.encode()
EXTERNAL = b'<!DOCTYPE tv [<!ENTITY x SYSTEM "file:///etc/passwd">]><tv><channel id="&x;"/></tv>'
HTML = b"<!DOCTYPE html><html><head><title>Log in</title></head><body><p>Hello</body></html>"

#: For each guide what becomes of it, the state it is in then, and what the sentence has to say.
FAULTS: dict[str, tuple[bytes | dict[str, object], str, str]] = {
    "cut": (about("cut.test", "Other")[:-40], "not_understood", "cut short"),
    "html": (HTML, "not_understood", "tv"),
    "laughs": (LAUGHS, "not_understood", "entities of its own"),
    "external": (EXTERNAL, "not_understood", "entities of its own"),
    "bomb": (lzma.compress(b"<tv>" + b" " * 5_000_000), "not_understood", "epg_max_mb"),
    "long": ({"redirect": "/lists/big.m3u"}, "not_understood", "longer than 1 MiB"),
    "empty": ({"as_": "empty"}, "not_understood", ""),
    "binary": (b"\x1f\x8b" + bytes(range(256)), "not_understood", "gzip"),
    "over": (xmltv([Shown("over.test", 1e9, 1e9 + HOUR, "Over")]), "not_understood", "no programme of these days"),
    "s401": ({"status": 401}, "auth_failed", "user name or password"),
    "s403": ({"status": 403}, "blocked", "403"),
    "s500": ({"status": 500}, "unreachable", "500"),
    "dropped": ({"drop": 1}, "unreachable", ""),
    "half": ({"body": "<tv>" + "x" * 90_000, "die_after": 50_000}, "unreachable", "cut short"),
}


@pytest.fixture(scope="module")
def faulty(shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with a guide for each fault, all of them well."""
    origin = shared_origin
    origin.reset()
    urls = [serve(origin, name, about(f"{name}.test", f"Good {name}")) for name in FAULTS]
    url = playlist(origin, *((f"{name}.test", name, "") for name in FAULTS))
    toml = f"epg = {urls}\nepg_max_mb = 1\n".replace("'", '"')
    with Daemon(tmp_path_factory.mktemp("faults"), "--provider", f"m3u:{url}", toml=toml).start() as daemon:
        wait_for_now(daemon, {name: f"Good {name} 1" for name in FAULTS})
        daemon.wait_for_json("/health", {"status": "healthy"})
        yield daemon
        assert "Traceback" not in daemon.log_text()


def test_faults(faulty: Daemon, shared_origin: OriginProcess) -> None:
    """Each fault is told with its state and a sentence, takes nothing away, and is forgotten when it is over."""
    good = on_now(faulty)
    was = {name: told["last_good"] for name, told in guides(faulty).items()}
    for name, (fault, _, _) in FAULTS.items():
        if isinstance(fault, bytes):
            serve(shared_origin, name, fault)
        else:
            shared_origin.control(f"/guides/{name}", **fault)
    faulty.hup()
    expected = {f"epg {number}": state for number, (_, state, _) in enumerate(FAULTS.values(), 1)}
    last: dict[str, Any] = {}

    def settled() -> bool:
        nonlocal last
        last = guides(faulty)
        return {name: told["state"] for name, told in last.items()} == expected

    try:
        wait_for(settled, 30, "the states")
    except AssertionError:
        found = {name: (told["state"], told["sentence"]) for name, told in last.items()}
        raise AssertionError(f"{found} instead of {expected}") from None
    for number, (name, (_, _, words)) in enumerate(FAULTS.items(), 1):
        told = last[f"epg {number}"]
        assert words in told["sentence"], (name, told)
        assert told["sentence"], told
        assert "/" not in told["sentence"], told
        assert (told["programmes"], told["failures"]) == (4, 1), told
        assert told["last_good"] == was[f"epg {number}"]
    assert on_now(faulty) == good
    health = facts(faulty, "/health")
    assert health["status"] == "degraded"
    assert health["reasons"]["guide epg 1"].startswith("not_understood: ")
    assert "root:" not in faulty.get("/epg.xml").text

    for name in ("cut", "s500"):
        serve(shared_origin, name, about(f"{name}.test", f"Better {name}"))
    faulty.hup()
    wait_for_now(faulty, {"cut": "Better cut 1", "s500": "Better s500 1"})
    # A guide is in force a moment before the child that took it in has ended.
    wait_for(lambda: guides(faulty)["epg 1"]["state"] == "ok", what="the end of the fault")
    told = guides(faulty)["epg 1"]
    assert (told["sentence"], told["failures"]) == ("", 0)


def test_what_is_skipped(origin: OriginProcess, tmp_path: Path) -> None:
    """Of a guide with faults in it the good part is taken, and what was left out is counted by its reason."""
    now = time.time() // 60 * 60 - HOUR // 2
    guide = xmltv(
        [
            Shown("a.test", now, now + HOUR, "Good"),
            Shown("a.test", now + 3 * HOUR, now + 2 * HOUR, "Backwards"),
            Shown("a.test", now, now + HOUR, "Twice"),
            Shown("a.test", now - 99 * 24 * HOUR, now - 98 * 24 * HOUR, "Long ago"),
            Shown("undeclared.test", now, now + HOUR, "Undeclared"),
            Shown("a.test", now + HOUR, now + 2 * HOUR, ""),
        ],
        {"a.test": "A"},
    ).replace(b"</tv>", b'<programme start="soon" channel="a.test"><title>When</title></programme></tv>')
    url = playlist(origin, ("a.test", "A", ""), ("undeclared.test", "U", ""))
    toml = f'epg = ["{serve(origin, "some", guide)}"]\n'
    with Daemon(tmp_path / "daemon", "--provider", f"m3u:{url}", toml=toml).start() as daemon:
        wait_for_now(daemon, {"A": "Good", "U": "Undeclared"})
        told = guides(daemon)["epg 1"]
        assert (told["state"], told["programmes"], told["channels"]) == ("ok", 2, 2)
        assert sum(told["skipped"].values()) == 5
        assert len(told["skipped"]) == 5
        assert "Traceback" not in daemon.log_text()


def test_killed(origin: OriginProcess, tmp_path: Path) -> None:
    """When what takes in a guide is killed, the guide from before is there, and the next time takes it in."""
    file = tmp_path / "large.xml"
    file.write_bytes(about("large.test", "Small"))
    url = playlist(origin, ("large.test", "Large", ""))
    toml = f'epg = ["{file}"]\n'
    with Daemon(tmp_path / "daemon", "--provider", f"m3u:{url}", toml=toml).start() as daemon:
        wait_for_now(daemon, {"Large": "Small 1"})
        file.write_bytes(b"".join(large("Long", 350)))
        daemon.hup()
        wait_for(lambda: children_of(daemon, "importing") and coming_in(daemon) > 1000, what="a part of the guide")
        for pid in children_of(daemon, "importing"):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: guides(daemon)["epg 1"]["failures"], what="the failure")
        told = guides(daemon)["epg 1"]
        assert (told["state"], told["programmes"]) == ("stale", 4)
        assert "-9" in told["sentence"]
        assert on_now(daemon) == {"Large": "Small 1"}
        assert coming_in(daemon) > 1000

        # The daemon itself is killed while it tries again. Its child is left over and goes on, beside the next one.
        daemon.hup()
        wait_for(lambda: children_of(daemon, "importing") and coming_in(daemon) > 20_000, what="another try")
        assert daemon.kill() == -9
        daemon.start()
        wait_for(lambda: guides(daemon).get("epg 1", {}).get("state") == "ok", what="the guide")
        wait_for(lambda: not daemon.children(), what="the end of what writes the database")
        assert on_now(daemon) == {"Large": "Long 1"}
        assert guides(daemon)["epg 1"]["programmes"] == 350 * 150
        in_force = "SELECT count(*) FROM programme JOIN guide_channel ON guide_channel.id = channel"
        assert kept(daemon, in_force) == kept(daemon, "SELECT count(*) FROM programme") == [(350 * 150,)]
        assert coming_in(daemon) == 0
        assert "Traceback" not in daemon.log_text()


def test_damaged_database(origin: OriginProcess, tmp_path: Path) -> None:
    """A database that a broken disk has damaged is made anew, with all that was in it."""
    url = playlist(origin, ("a.test", "A", ""))
    toml = f'epg = ["{serve(origin, "a", about("a.test", "Show"))}"]\n'
    with Daemon(tmp_path / "daemon", "--provider", f"m3u:{url}", toml=toml).start() as daemon:
        wait_for_now(daemon, {"A": "Show 1"})
        assert daemon.terminate() == -15
        database = daemon.state / "epg" / "guide.db"
        database.write_bytes(b"damaged, and as long as it takes to be seen as that" * 200)
        daemon.start()
        assert daemon.get("/api/search?q=show").status == 200
        wait_for_now(daemon, {"A": "Show 1"})
        assert database.with_name("guide.db.damaged").exists()
        assert "it is made anew" in daemon.log_text()
        assert daemon.log_text().count("it is made anew") == 1
        assert "Traceback" not in daemon.log_text()


def test_unchanged(origin: OriginProcess, tmp_path: Path) -> None:
    """A guide that has not changed is not fetched whole again, after a restart neither."""
    url = playlist(origin, ("a.test", "A", ""))
    toml = f'epg = ["{serve(origin, "a", about("a.test", "Show"))}"]\n'
    with Daemon(tmp_path / "daemon", "--provider", f"m3u:{url}", toml=toml).start() as daemon:
        wait_for_now(daemon, {"A": "Show 1"})
        whole = origin.counts("/guides/a")
        for restarted in (False, True):
            before = origin.counts("/guides/a")
            asked = before.total
            if restarted:
                daemon.restart()
            else:
                daemon.hup()
            wait_for(lambda: origin.counts("/guides/a").total > asked)  # noqa: B023 - it is called at once
            wait_for(lambda: guides(daemon)["epg 1"]["state"] == "ok")
            assert origin.counts("/guides/a").delivered - before.delivered < whole.delivered / 2
            assert "if-none-match" in origin.counts("/guides/a").headers
            assert on_now(daemon) == {"A": "Show 1"}
