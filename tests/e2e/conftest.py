"""Two real brokers for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.processes import Guarded, Pair, WiredPair, lend


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Both brokers, ready."""
    with lend(Pair(tmp_path)) as pair:
        yield pair.start()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    """Both brokers, ready, which ask everybody who he is."""
    with lend(Guarded(tmp_path)) as pair:
        yield pair.start()


@pytest.fixture
def wired(tmp_path: Path) -> Iterator[WiredPair]:
    """Both brokers, ready, and the wires between them."""
    with lend(WiredPair(tmp_path)) as pair:
        pair.start()
        yield pair
