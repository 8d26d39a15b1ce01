"""Debian's Chromium, headless, and two real brokers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import Pair

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:  # noqa: F821, UP037  (playwright is imported where it exists)
    """One browser for all tests; each opens pages in a context of its own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip("no /usr/bin/chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS if os.getuid() == 0 else ARGUMENTS[1:])
        yield chromium
        chromium.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Both brokers, ready."""
    made = Pair(tmp_path)
    try:
        yield made.start()
    finally:
        made.end()
        for broker in made.brokers:
            print(f"-- log of broker {broker.id}\n{broker.last_words(40)}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser and two brokers start for each of these."""
    for item in items:
        if "tests/browser/" in item.path.as_posix() and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(120))
