"""Runs of the daemon that end by themselves, and the settings that several tests start it with."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from attrs import frozen

from tests.daemon.client import HttpServer
from tests.daemon.harness import Daemon, find_twistd
from tests.daemon.process import ChildProcess, clean_environment

#: Seconds that a start which cannot succeed may take: a user waits for the sentence.
QUICK = 20.0


@frozen
class Ended:
    """
    How a run ended.

    :ivar out: what it wrote to standard output, where twistd's log goes too.
    :ivar err: what it wrote to standard error.
    """

    status: int
    out: str
    err: str


def twistd(
    folder: Path, *arguments: str, environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Ended:
    """
    Run ``twistd -n iptvd`` to its end.

    :param folder: its home.
    :raises subprocess.TimeoutExpired: when it does not end within `QUICK` seconds.
    """
    done = subprocess.run(
        [find_twistd(), "-n", "--pidfile=", "iptvd", *arguments],
        cwd=folder,
        env=clean_environment(folder, environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=QUICK,
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def refused(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """
    The one sentence with which the daemon refuses to start.

    :raises AssertionError: when it says more or less than that, or ends with another status than 1.
    """
    ended = twistd(folder, *arguments, environment=environment)
    assert ended.status == 1, ended
    assert "Traceback" not in ended.out + ended.err, ended
    lines = ended.err.splitlines()
    assert len(lines) == 1, ended
    assert lines[0].startswith("iptvd: "), ended
    return lines[0].removeprefix("iptvd: ")


@contextmanager
def alone_with(what: str) -> Iterator[None]:
    """Have for oneself what there is once on a machine, such as a port that everybody knows, until the others may."""
    with (Path(gettempdir()) / f"iptvd-tests-{what}.lock").open("w") as file:
        flock(file, LOCK_EX)
        yield


def without(daemon: Daemon, option: str) -> Daemon:
    """The daemon, not started yet, without an option that the harness gives it."""
    at = daemon.arguments.index(option)
    del daemon.arguments[at : at + 2]
    return daemon


def begin(daemon: Daemon) -> Daemon:
    """Start it without waiting until it answers at its port."""
    return ChildProcess.start(daemon)


def facts(server: HttpServer, path: str = "/health/detailed") -> dict[str, Any]:
    """What health tells, whatever its status."""
    value: Any = server.get(path).json()
    assert isinstance(value, dict)
    return value


def providers(server: HttpServer) -> dict[str, dict[str, Any]]:
    """What health tells of each provider in the settings, by name: of all but the one that is always there."""
    return {each["name"]: each for each in facts(server)["providers"] if each["name"] != "api"}


def stream_ids(playlist: str) -> dict[str, str]:
    """The channels of a playlist of ours: by name, the path below ``/stream/``."""
    found, name = {}, ""
    for line in playlist.splitlines():
        if line.startswith("#EXTINF"):
            name = line.rpartition(",")[2]
        elif "/stream/" in line:
            found[name] = line.partition("/stream/")[2]
    return found


def channels(server: HttpServer) -> dict[str, str]:
    """The channels in its playlist now, see `stream_ids`."""
    return stream_ids(server.get("/playlist.m3u8").text)
