"""The harness starts, watches and ends programs as it says; tried on programs that are not the daemon."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.daemon.client import wait_for
from tests.daemon.harness import Daemon, find_twistd, free_port
from tests.daemon.process import ChildProcess, clean_environment

QUIET = "import signal, sys; print('up', flush=True); signal.pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile 1: signal.pause()"
)
GRACEFUL = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
signal.signal(signal.SIGHUP, lambda *_: print('hup', flush=True))
print('up', flush=True)
while True: signal.pause()
"""
PARENT = """
import subprocess, sys, signal
child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import signal; signal.pause()'])"
subprocess.Popen([sys.executable, '-c', child])
print('up', flush=True)
signal.pause()
"""


def run(folder: Path, code: str) -> ChildProcess:
    """A Python program that has said that it is up."""
    child = ChildProcess([sys.executable, "-c", code], folder, clean_environment(folder)).start()
    child.wait_for_log("^up$")
    return child


def test_terminate(tmp_path: Path) -> None:
    """Asking a program to end gives its exit status, or the signal it died of."""
    with run(tmp_path / "a", GRACEFUL) as graceful, run(tmp_path / "b", QUIET) as quiet:
        assert graceful.status() is None
        assert graceful.terminate() == 7
        assert quiet.terminate() == -signal.SIGTERM
        assert quiet.status() == -signal.SIGTERM


def test_stubborn(tmp_path: Path) -> None:
    """A program that does not end when it is asked to fails the test, and is ended all the same."""
    with run(tmp_path, STUBBORN) as stubborn:
        with pytest.raises(AssertionError, match="still there"):
            stubborn.terminate(0.2)
        assert stubborn.kill() == -signal.SIGKILL


def test_signals_and_log(tmp_path: Path) -> None:
    """A program gets SIGHUP, and what it writes can be waited for."""
    with run(tmp_path, GRACEFUL) as graceful:
        graceful.hup()
        assert graceful.wait_for_log("^hup$")[0] == "hup"
        assert graceful.log_text() == "up\nhup\n"


def test_early_end(tmp_path: Path) -> None:
    """A program that ends before it said what was waited for fails the test with what it did say."""
    child = ChildProcess([sys.executable, "-c", "print('no'); raise SystemExit(3)"], tmp_path, {}).start()
    with child, pytest.raises(AssertionError, match=r"ended with 3 .*\nno"):
        child.wait_for_log("^up$")


def test_children_end_too(tmp_path: Path) -> None:
    """Children and theirs are seen, outlive a kill, are still seen then, and are ended with the rest."""
    with run(tmp_path, PARENT) as parent:
        children = wait_for(lambda: parent.children() if len(parent.children()) == 2 else None)
        parent.kill()
        assert parent.children() == children
    wait_for(lambda: parent.children() == [])


def test_measures(tmp_path: Path) -> None:
    """Memory, processor time and open files of a program can be read."""
    with run(tmp_path, QUIET) as quiet:
        assert 1 << 20 < quiet.rss() < 1 << 28
        assert quiet.cpu_seconds() >= 0
        assert quiet.open_files() >= 3


def test_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program under test sees nothing of the settings that the user of this machine has."""
    monkeypatch.setenv("IPTVD_PORT", "1")
    monkeypatch.setenv("PORT", "1")
    environment = clean_environment(tmp_path, {"IPTVD_LOG_LEVEL": "debug"})
    assert environment.keys() & {"IPTVD_PORT", "PORT"} == set()
    assert (environment["IPTVD_LOG_LEVEL"], environment["PATH"]) == ("debug", os.environ["PATH"])


def test_daemon_command(tmp_path: Path) -> None:
    """The daemon is started as a user starts it, with a settings file, a state folder and a port of its own."""
    daemon = Daemon(tmp_path, "--provider", "demo", toml="# nothing\n")
    assert daemon.arguments[:4] == [find_twistd(), "-n", "--pidfile=", "iptvd"]
    assert daemon.arguments[-2:] == ["--provider", "demo"]
    assert daemon.settings.read_text() == "# nothing\n"
    assert daemon.url == f"http://127.0.0.1:{daemon.port}"


def test_daemon_that_does_not_come_up(tmp_path: Path) -> None:
    """A daemon that ends at once fails the test with what it said, and nothing of it is left."""
    daemon = Daemon(tmp_path, "--there-is-no-such-option")
    with pytest.raises(AssertionError, match="the daemon ended with 1"):
        daemon.start()
    assert daemon.children() == []


def test_free_port() -> None:
    """A free port can be listened on."""
    assert 1024 < free_port() < 65536


def test_waiting() -> None:
    """Waiting gives what was seen in the end, and fails with what was seen last."""
    looks = iter([None, 0, "there"])
    assert wait_for(lambda: next(looks)) == "there"
    with pytest.raises(AssertionError, match="in vain for the end; last seen: 0"):
        wait_for(lambda: 0, 0.01, "the end")
