"""Tests of the systemd units, by systemd's own judgement."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

FOLDER = Path(__file__).parent.parent / "etc" / "systemd"

#: What ``systemd-analyze security`` may find at most; 10 is a service that may do everything.
MAX_EXPOSURE = 2.0


@pytest.fixture(scope="module")
def units() -> Iterator[Path]:
    """A folder with both units, the service's program replaced by one that is on every machine."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing")
    with TemporaryDirectory() as name:
        folder = Path(name)
        service, replaced = re.subn(
            r"^ExecStart=\S+", "ExecStart=/bin/sh", (FOLDER / "iptvd.service").read_text(), flags=re.MULTILINE
        )
        assert replaced == 1
        (folder / "iptvd.service").write_text(service)
        shutil.copy(FOLDER / "iptvd.socket", folder)
        yield folder


def analyzed(*arguments: str) -> subprocess.CompletedProcess[str]:
    """One run of systemd-analyze."""
    return subprocess.run(["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", ["iptvd.service", "iptvd.socket"])
def test_valid(units: Path, name: str) -> None:
    """systemd has nothing to say against a unit."""
    result = analyzed("verify", "--man=no", str(units / name))
    # It also looks at what the unit needs, and other packages' units are none of our business.
    ours = [line for line in result.stderr.splitlines() if "iptvd" in line or str(units) in line]
    assert ours == []
    assert result.returncode == 0


def test_judge_sees_mistakes(units: Path) -> None:
    """systemd does have something to say against a unit with a misspelt setting."""
    with TemporaryDirectory() as name:
        broken = Path(name, "iptvd.service")
        broken.write_text((units / "iptvd.service").read_text().replace("PrivateTmp=", "PrivateTemp="))
        assert "PrivateTemp" in analyzed("verify", "--man=no", str(broken)).stderr


def test_exposure(units: Path) -> None:
    """The service can do little harm, by systemd's own count."""
    threshold = f"--threshold={int(MAX_EXPOSURE * 10)}"
    result = analyzed("security", "--offline=true", threshold, str(units / "iptvd.service"))
    match = re.search(r"Overall exposure level for iptvd.service: ([0-9.]+)", result.stdout)
    assert match is not None, result.stderr
    assert float(match[1]) <= MAX_EXPOSURE
    assert result.returncode == 0


def test_nothing_that_breaks_us() -> None:
    """The service keeps what TLS and helper programs need, and gets no right to open low ports."""
    lines = [line for line in (FOLDER / "iptvd.service").read_text().splitlines() if not line.startswith("#")]
    settings = [line.partition("=")[::2] for line in lines if "=" in line]
    assert "MemoryDenyWriteExecute" not in dict(settings)
    assert [value for name, value in settings if name == "SystemCallFilter"] == ["@system-service", "~@privileged"]
    assert [value for name, value in settings if name.endswith(("BoundingSet", "AmbientCapabilities"))] == ["", ""]


def test_socket_is_named() -> None:
    """The socket has the name that the documented endpoint asks for."""
    text = (FOLDER / "iptvd.socket").read_text()
    assert "\nFileDescriptorName=web\n" in text
    assert "systemd:domain=INET6:name=web" in text
