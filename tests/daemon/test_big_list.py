"""A list of a hundred thousand channels: there within seconds, served to many, and nobody waits for it meanwhile."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.client import wait_for
from tests.daemon.harness import Daemon
from tests.daemon.launch import facts
from tests.simulators.lists import MANY
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

#: Seconds of loop lag that even a busy machine does not excuse; how much it is, is measured elsewhere.
FAR_TOO_LATE = 0.25


@pytest.fixture(scope="module")
def big(shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with the big list in its lineup."""
    folder = tmp_path_factory.mktemp("big")
    with Daemon(folder, "--provider", f"m3u:{shared_origin.at('/lists/big.m3u')}").start() as daemon:
        daemon.wait_for_json("/health", {"channels_count": MANY})
        yield daemon
        assert "Traceback" not in daemon.log_text()


def worst_lag(daemon: Daemon) -> float:
    """The worst lag of the last minute, in seconds, which is also printed."""
    lag = facts(daemon, "/health")["loop_lag_seconds"]
    print(f"loop lag: {lag}")  # noqa: T201
    worst = lag["worst"]
    assert isinstance(worst, float)
    return worst


def test_nobody_waits(big: Daemon) -> None:
    """While the list is read, merged and kept, whoever asks for something else gets it in time."""
    assert worst_lag(big) < FAR_TOO_LATE


def test_the_playlist(big: Daemon) -> None:
    """The playlist has every channel once, in its order, with a link of its own."""
    lines = big.get("/playlist.m3u8").text.splitlines()
    assert lines[0].startswith("#EXTM3U")
    names = [line.rpartition(",")[2] for line in lines if line.startswith("#EXTINF")]
    assert names == [f"Channel {number}" for number in range(1, MANY + 1)]
    links = [line for line in lines if line.startswith("http")]
    assert len(set(links)) == MANY
    assert all(link.startswith(f"{big.url}/stream/") and link.endswith(".ts") for link in links)


def test_asked_again(big: Daemon) -> None:
    """Whoever has the playlist already is told so; who takes gzip gets the same list packed; HEAD tells its size."""
    plain = big.get("/playlist.m3u8")
    before = big.cpu_seconds()
    again = big.get("/playlist.m3u8", {"If-None-Match": plain.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    head = big.head("/playlist.m3u8")
    assert (head.headers["content-length"], head.body) == (str(len(plain.body)), b"")
    packed = big.get("/playlist.m3u8", {"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) / 4
    assert gzip.decompress(packed.body) == plain.body
    # Rendering it once takes several times as much.
    assert big.cpu_seconds() - before < 0.2


def test_filters(big: Daemon) -> None:
    """Of the many only those asked for are listed."""
    group = big.get("/playlist.m3u8?group=Group%207").text
    assert group.count("#EXTINF") == group.count('group-title="Group 7"') == MANY / 40
    assert big.get("/playlist.m3u8?type=live").text.count("#EXTINF") == MANY
    for form, ending in (("ts", ".ts"), ("hls", ".m3u8")):
        assert big.get(f"/playlist.m3u8?format={form}").text.count(f"{ending}\n") == MANY
    for nothing in ("type=vod", "type=radio", "provider=other", "group=None"):
        assert "#EXTINF" not in big.get(f"/playlist.m3u8?{nothing}").text
    assert big.get("/playlist.m3u8?type=soap").status == 400


def test_lookups(big: Daemon) -> None:
    """The page and the health of a daemon with so many channels answer like any other's."""
    assert big.get("/health").status == 200
    assert big.get("/").status == 200
    assert big.get("/stream/1.ts").status == 404


def test_restart(big: Daemon, shared_origin: OriginProcess) -> None:
    """After a restart the channels are there under their ids before the origin has answered."""
    ids = sorted(line for line in big.get("/playlist.m3u8").text.splitlines() if "/stream/" in line)
    shared_origin.control("/lists/big.m3u", never=1)
    try:
        big.restart()
        wait_for(lambda: facts(big, "/health")["channels_count"] == MANY, what="the channels from the disk")
        assert facts(big)["providers"][0]["state"] == "stale"
        assert worst_lag(big) < FAR_TOO_LATE
        after = sorted(line for line in big.get("/playlist.m3u8").text.splitlines() if "/stream/" in line)
        assert after == ids
    finally:
        shared_origin.control("/lists/big.m3u")


def test_no_place_for_it(tmp_path: Path, shared_origin: OriginProcess) -> None:
    """A list that never ends is given up at a bound: memory stays as it is, and health says why."""
    url = shared_origin.at("/lists/endless.m3u")
    with Daemon(tmp_path, "--provider", f"m3u:{url}").start() as daemon:
        wait_for(lambda: facts(daemon)["providers"][0]["state"] == "not_understood", 60, "the end of patience")
        assert "longer than" in facts(daemon)["providers"][0]["sentence"]
        assert facts(daemon, "/health")["status"] == "failing"
        assert daemon.get("/health").status == 503
        assert daemon.rss() < 1 << 30
