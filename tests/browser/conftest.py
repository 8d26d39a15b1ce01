"""Debian's Chromium, headless, and two real brokers."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.processes import Pair, lend
from tests.kit.windows import SECONDS, Desk, Hand

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update"]
if os.getuid() == 0:
    ARGUMENTS.append("--no-sandbox")


@pytest.fixture(scope="session")
def driver() -> Iterator["Playwright"]:  # noqa: F821, UP037  (playwright is imported where it exists)
    """What drives browsers."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip("no /usr/bin/chromium: apt-get install chromium")
    playwright.expect.set_options(timeout=SECONDS * 1000)
    with playwright.sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(driver: "Playwright") -> Iterator["Browser"]:  # noqa: F821, UP037
    """One browser for all tests; each window has a context of its own."""
    chromium = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS, timeout=SECONDS * 1000)
    yield chromium
    chromium.close()


@pytest.fixture
def desk(browser: "Browser", pair: Pair) -> Iterator[Desk]:  # noqa: F821, UP037
    """Where windows are opened, and closed at the end: one left open would go on looking for its brokers."""
    made = Desk(browser)
    yield made
    made.clear()


@pytest.fixture
def tabs(driver: "Playwright", tmp_path: Path) -> Iterator["BrowserContext"]:  # noqa: F821, UP037
    """A browser whose tabs hide one another as a person's do.

    A browser that playwright starts calls all its pages visible; one that it only joins, without its defaults, does not.
    """
    command = [str(CHROMIUM), "--headless", *ARGUMENTS, "--remote-debugging-port=0", f"--user-data-dir={tmp_path}/profile"]
    log = tmp_path / "chromium.log"
    with open(log, "wb") as written, subprocess.Popen([*command, "about:blank"], stderr=written) as process:
        try:
            joined = driver.chromium.connect_over_cdp(_address(log, process), no_defaults=True, timeout=SECONDS * 1000)
            yield joined.contexts[0]
            joined.close()
        finally:
            process.kill()


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    from brokers import until  # scripts/ are on the path of tests

    def said() -> str | None:
        assert process.poll() is None, log.read_text(errors="replace")
        found = re.search(r"ws://\S+", log.read_text(errors="replace"))
        return found[0] if found else None

    return until("Chromium says where it listens", said)


@pytest.fixture
def hand(pair: Pair, tmp_path: Path) -> Iterator[Hand]:
    """Publishes and subscribes by plain requests."""
    with Hand(pair, tmp_path) as hand:
        yield hand


@pytest.fixture
def together(browser: "Browser") -> Iterator["BrowserContext"]:  # noqa: F821, UP037
    """One browser profile, all of whose tabs are visible, like windows side by side."""
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture
def pair(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Both brokers, ready; with the options that a test asks for by `parametrize(..., indirect=True)`."""
    with lend(Pair(tmp_path, *getattr(request, "param", ()))) as pair:
        yield pair.start()
