"""A pair of brokers and a ledger for each scenario; what brokers logged is shown with one that fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from tests.scenarios.harness import Cluster, Ledger

SomeCluster = TypeVar("SomeCluster", bound=Cluster)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Brokers 1001 and 1002, not started; killed at the end."""
    yield from ended(Cluster(tmp_path))


@pytest.fixture
def pair(cluster: Cluster) -> Cluster:
    """Brokers 1001 and 1002, in sync."""
    return cluster.start()


@pytest.fixture
def ledger() -> Ledger:
    """An empty ledger."""
    return Ledger()


def ended(cluster: SomeCluster) -> Iterator[SomeCluster]:
    """Lend a cluster, kill it, and show what it logged."""
    try:
        yield cluster
    finally:
        cluster.end()
        for node in cluster.made:
            print(f"-- log of broker {node.id} at {node.address}\n{node.last_words(40)}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real processes start, hang and time out: give them more than a unit test gets, unless a test says otherwise."""
    for item in items:
        if "tests/scenarios/" in item.path.as_posix() and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(150))
