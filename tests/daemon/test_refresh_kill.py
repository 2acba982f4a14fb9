"""Killed at any moment of a refresh, the daemon comes back with the channels of before or after, under their ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon.client import wait_for
from tests.daemon.harness import Daemon
from tests.daemon.launch import begin, channels, facts, providers
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

LIST = "/lists/big.m3u"
FEW, MANY = 6_000, 9_000


@pytest.fixture
def listed(origin: OriginProcess, tmp_path: Path) -> Iterator[Daemon]:
    """A daemon with the few channels."""
    origin.control(LIST, count=FEW)
    with Daemon(tmp_path / "daemon", "--provider", f"m3u:{origin.at(LIST)}").start() as daemon:
        healthy_with(daemon, FEW)
        yield daemon
        assert "Traceback" not in daemon.log_text()


def healthy_with(daemon: Daemon, count: int) -> None:
    """Wait until it has so many channels, refreshed."""
    daemon.wait_for_json("/health", {"channels_count": count, "status": "healthy"})


def _is_another(path: Path) -> Callable[[], bool]:
    before = path.stat().st_ino
    return lambda: path.stat().st_ino != before


def moments(daemon: Daemon, origin: OriginProcess) -> dict[str, Callable[[], bool]]:
    """What can be seen from outside of a refresh as it goes on."""
    before = origin.counts(LIST)

    def received() -> bool:
        now = origin.counts(LIST)
        return now.total > before.total and not now.open

    return {
        "asked": lambda: origin.counts(LIST).total > before.total,
        "receiving": lambda: origin.counts(LIST).delivered > before.delivered + 100_000,
        "received": received,
        "channels kept": _is_another(daemon.state / "providers/m3u/lineup.rows"),
        "ids kept": _is_another(daemon.state / "identities.rows"),
    }


@pytest.mark.parametrize("moment", ["asked", "receiving", "received", "channels kept", "ids kept"])
def test_killed(listed: Daemon, origin: OriginProcess, moment: str) -> None:
    """Whatever of a refresh was done when the daemon was killed, no channel is lost and none has another id."""
    before = channels(listed)
    slow = {"head_delay": 0.3} if moment == "asked" else {"drip": 60_000} if moment == "receiving" else {}
    origin.control(LIST, count=MANY, **slow)
    come = moments(listed, origin)[moment]
    listed.hup()
    wait_for(come, what=moment)
    listed.kill()

    # From the disk alone, on which half a file may be left too.
    (listed.state / "providers/m3u/.lineup.rows.1.partial").write_bytes(b"half")
    origin.control(LIST, never=1)
    listed.start()
    wait_for(lambda: facts(listed, "/health")["channels_count"] >= FEW, what="the kept channels")
    kept = channels(listed)
    assert len(kept) in (FEW, MANY)
    assert {name: kept[name] for name in before} == before
    # What it is writing at this moment is half a file too, and soon a whole one.
    wait_for(lambda: not list(listed.state.rglob(".*.partial")), what="no half file")
    assert "set aside" not in listed.log_text()

    # And the refresh that was missed comes to the same.
    listed.kill()
    origin.control(LIST, count=MANY)
    listed.start()
    healthy_with(listed, MANY)
    after = channels(listed)
    assert {name: after[name] for name in kept} == kept


@pytest.mark.parametrize("damage", ["cut", "changed", "emptied"])
def test_damaged(listed: Daemon, damage: str) -> None:
    """Copies that a broken disk has damaged are set aside, named in the log, and made anew with the same ids."""
    before = channels(listed)
    assert listed.terminate() == -15
    names = ("providers/m3u/lineup.rows", "identities.rows")
    for name in names:
        path = listed.state / name
        data = bytearray(path.read_bytes())
        if damage == "cut":
            del data[len(data) // 2 :]
        elif damage == "changed":
            data[len(data) // 2] ^= 1
        else:
            data.clear()
        path.write_bytes(data)
    listed.start()
    healthy_with(listed, FEW)
    assert channels(listed) == before
    for name in names:
        aside = listed.state / f"{name}.damaged"
        assert aside.exists()
        assert f"set aside as {aside}" in listed.log_text()
        assert (listed.state / name).exists()


def test_state_folder_that_fills_up(listed: Daemon, origin: OriginProcess) -> None:
    """When the state can no longer be written the new channels are there all the same, and the log says so."""
    folder = listed.state / "providers" / "m3u"
    folder.rename(listed.state / "elsewhere")
    origin.control(LIST, count=MANY)
    listed.hup()
    wait_for(lambda: facts(listed, "/health")["channels_count"] == MANY, what="the new channels")
    listed.wait_for_log(r"m3u: .*lineup\.rows cannot be written")
    wait_for(lambda: providers(listed)["m3u"]["state"] == "ok")


def test_first_start_that_is_killed(origin: OriginProcess, tmp_path: Path) -> None:
    """A daemon that is killed before it ever answered starts as if it had not been there."""
    origin.control(LIST, count=FEW)
    daemon = begin(Daemon(tmp_path / "daemon", "--provider", f"m3u:{origin.at(LIST)}"))
    with daemon:
        wait_for(lambda: (daemon.state / "tokens.key").exists(), what="the first file")
        daemon.kill()
        daemon.start()
        healthy_with(daemon, FEW)
