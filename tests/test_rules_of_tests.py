"""The rules that every test is held to catch what they are there for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import tests

PROJECT = Path(tests.__file__).parent.parent

CASES = """
import pytest, pytest_twisted
from hypothesis import given, strategies
from twisted.internet import reactor, defer
from twisted.internet.task import deferLater
from twisted.logger import Logger

async def fine():
    await deferLater(reactor, 0)

@pytest_twisted.ensureDeferred
async def test_fine():
    await fine()

@pytest_twisted.ensureDeferred
async def test_expected(logged_errors):
    try:
        1 / 0
    except ZeroDivisionError:
        Logger().failure("as expected")
    assert len(logged_errors.flush(ZeroDivisionError)) == 1

@pytest_twisted.ensureDeferred
async def test_logged():
    Logger().error("something went wrong")

@pytest_twisted.ensureDeferred
async def test_unhandled():
    defer.fail(ValueError("nobody looked"))

@pytest_twisted.ensureDeferred
async def test_left():
    reactor.callLater(60, print)

@given(strategies.integers())
def test_given(number):
    assert number == number

@pytest.mark.skip(reason="not today")
def test_skipped():
    pass

@pytest.mark.xfail(strict=True)
def test_known():
    assert False
"""


def run(folder: Path, ci: str) -> str:
    """The summary of a run of `CASES` under our rules."""
    (folder / "conftest.py").write_text("from tests.conftest import *\nfrom tests.conftest import logged_errors\n")
    (folder / "test_cases.py").write_text(CASES)
    (folder / "test_module.py").write_text("import pytest\npytest.importorskip('there_is_no_such_module')\n")
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), "HOME": str(folder), "CI": ci}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False, timeout=120)
    return done.stdout.decode().partition("short test summary info")[2]


def test_integration_tests_leave_nothing(tmp_path: Path) -> None:
    """An async test fails when it logs an error, drops a failure or leaves a delayed call that it did not expect."""
    summary = run(tmp_path, "")
    for name in ("fine", "expected", "given"):
        assert f"PASSED test_cases.py::test_{name}\n" in summary
        assert f"ERROR test_cases.py::test_{name}" not in summary
    for name in ("logged", "unhandled", "left"):
        assert f"ERROR test_cases.py::test_{name}" in summary
    assert "2 skipped" in summary
    assert "1 xfailed" in summary


def test_skips_fail_in_ci(tmp_path: Path) -> None:
    """In CI a skipped test and a skipped file fail; a failure that is known to come does not."""
    summary = run(tmp_path, "true")
    assert "ERROR test_module.py" in summary
    assert "skipped" not in summary.splitlines()[-1]
