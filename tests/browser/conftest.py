"""The browser that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import chromium, missing, pages


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser for all; without one the tests are skipped, which in CI is a failure."""
    if sentence := missing():
        pytest.skip(sentence)
    with chromium() as running:
        yield running


@pytest.fixture(scope="package")
def address() -> Iterator[str]:
    """Where our page is."""
    with pages() as running:
        yield running
