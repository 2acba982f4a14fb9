"""Installed from a wheel into an environment of its own, the daemon is there, from whatever folder it is started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import frozen

import tests
from iptvd import __version__
from tests.daemon.harness import Daemon
from tests.daemon.launch import channels, without
from tests.daemon.process import clean_environment

pytestmark = pytest.mark.daemon

PROJECT = Path(tests.__file__).parent.parent
#: What a wheel is made of.
SOURCES = ("iptvd", "twisted", "etc", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")


@frozen
class Installed:
    """
    An environment with nothing but iptvd and what it needs.

    :ivar folder: some folder that has nothing to do with it.
    """

    prefix: Path
    folder: Path

    def run(self, program: str, *arguments: str) -> str:
        """What one of its programs says."""
        done = subprocess.run(
            [self.prefix / "bin" / program, *arguments],
            cwd=self.folder,
            env=clean_environment(self.folder),
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done
        return done.stdout.decode()


def _do(*command: str | Path, cwd: Path) -> None:
    # With the environment as it is: it says where packages come from.
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel of these sources, made and installed."""
    top = tmp_path_factory.mktemp("install")
    source, prefix = top / "source", top / "prefix"
    source.mkdir()
    for name in SOURCES:
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.cache"))
        else:
            shutil.copy(PROJECT / name, source / name)
    _do(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", top, cwd=source)
    _do(sys.executable, "-m", "venv", "--without-pip", prefix, cwd=top)
    (wheel,) = top.glob("*.whl")
    _do(sys.executable, "-m", "pip", "--python", prefix / "bin/python", "install", "--quiet", wheel, cwd=top)
    (top / "elsewhere").mkdir()
    return Installed(prefix, top / "elsewhere")


def test_help(installed: Installed) -> None:
    """The daemon and its providers are found; Twisted itself lists it among what it can start."""
    assert installed.run("twistd", "-n", "iptvd", "--version") == f"iptvd {__version__}\n"
    words = installed.run("twistd", "-n", "iptvd", "--help")
    for kind in ("channels", "demo", "m3u", "xtream"):
        assert f"\n  {kind} " in words
    assert " iptvd " in installed.run("twistd", "--help")


def test_what_comes_with_it(installed: Installed) -> None:
    """The .tac, the example of the settings and the units are installed, and every module can be imported."""
    share = installed.prefix / "share" / "iptvd"
    for name in ("iptvd.tac", "iptvd.toml", "systemd/iptvd.service", "systemd/iptvd.socket"):
        assert (share / name).read_text() == (PROJECT / "etc" / name).read_text()
    (site,) = (installed.prefix / "lib").glob("python*/site-packages")
    for folder in ("iptvd", "twisted/plugins"):
        ours = {path.relative_to(PROJECT) for path in (PROJECT / folder).rglob("*.py")}
        assert {path for path in ours if not (site / path).exists()} == set()
    assert (site / "iptvd" / "py.typed").exists()
    assert not (site / "tests").exists()
    example = str(share / "iptvd.toml")
    assert "test-card (kind demo)" in installed.run("twistd", "-n", "iptvd", "--config", example, "--check-config")


def start(installed: Installed, daemon: Daemon) -> None:
    """Start it and wait for the demo's channels, its first encoding of them included."""
    daemon.arguments[0] = str(installed.prefix / "bin" / "twistd")
    with daemon.start():
        daemon.wait_for_json("/health", {"channels_count": 5, "status": "healthy"})
        assert len(channels(daemon)) == 5
        assert str(installed.prefix) in Path(f"/proc/{daemon.pid}/cmdline").read_text()
    assert "Traceback" not in daemon.log_text()


def test_demo(installed: Installed) -> None:
    """The demo runs from a folder that has nothing to do with it."""
    start(installed, Daemon(installed.folder / "demo", "--provider", "demo"))


def test_tac(installed: Installed) -> None:
    """The .tac starts the same daemon, its settings from the environment alone."""
    tac = str(installed.prefix / "share" / "iptvd" / "iptvd.tac")
    folder = installed.folder / "tac"
    daemon = without(without(without(Daemon(folder), "--config"), "--state-dir"), "--listen")
    settings = {"PROVIDER": "demo", "PORT": str(daemon.port), "HOST": "127.0.0.1", "STATE_DIR": str(daemon.state)}
    daemon.environment |= {f"IPTVD_{name}": value for name, value in settings.items()}
    daemon.arguments = [daemon.arguments[0], "-n", "--pidfile=", "-y", tac]
    start(installed, daemon)
    assert daemon.state.is_dir()


def test_tac_with_wrong_settings(installed: Installed) -> None:
    """What is wrong with the settings is one sentence there too."""
    tac = str(installed.prefix / "share" / "iptvd" / "iptvd.tac")
    done = subprocess.run(
        [installed.prefix / "bin" / "twistd", "-n", "--pidfile=", "-y", tac],
        cwd=installed.folder,
        env=clean_environment(installed.folder, {"IPTVD_PROVIDER": "nosuch"}),
        capture_output=True,
        check=False,
        timeout=60,
    )
    words = done.stderr.decode()
    assert done.returncode == 1
    assert len(words.splitlines()) == 1
    assert words.startswith('iptvd: There is no provider of kind "nosuch"')
