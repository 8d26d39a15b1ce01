"""Two real brokers for each test, killed at its end; what they logged is shown with a test that fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from tests.e2e.harness import Pair, WiredPair

P = TypeVar("P", bound=Pair)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Both brokers, ready."""
    yield from started(Pair(tmp_path))


@pytest.fixture
def wired(tmp_path: Path) -> Iterator[WiredPair]:
    """Both brokers, ready, and the wires between them."""
    yield from started(WiredPair(tmp_path))


def started(made: P) -> Iterator[P]:
    """Start a pair, and end it whatever happens."""
    try:
        made.start()
        yield made
    finally:
        made.end()
        for broker in made.brokers:
            print(f"-- log of broker {broker.id}\n{broker.last_words(40)}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real processes start, fail over and time out: give them more than a unit test gets, unless a test says otherwise."""
    for item in items:
        if "tests/e2e/" in item.path.as_posix() and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(150))
