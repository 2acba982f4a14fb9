"""With ``CI=true`` a skipped test fails unless it is listed here with a reason: what never runs looks green."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

#: The tests that may be skipped in CI, by the start of their node id, and why.
ALLOWED: dict[str, str] = {}


def _refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a skip a failure where none is allowed; a failure that is expected (xfail) is reported as skipped too."""
    if os.environ.get("CI") != "true" or not report.skipped or hasattr(report, "wasxfail"):
        return
    if not any(report.nodeid.startswith(allowed) for allowed in ALLOWED):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, which CI does not accept: {report.longrepr}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Look at what became of each test."""
    report = yield
    _refuse(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Look at what became of each file: it can be skipped as a whole."""
    report = yield
    _refuse(report)
    return report
