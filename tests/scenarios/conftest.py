"""A pair of brokers and a ledger for each scenario."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.ledger import Ledger
from tests.kit.processes import Cluster, lend


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Brokers 1001 and 1002, not started; killed at the end."""
    with lend(Cluster(tmp_path)) as cluster:
        yield cluster


@pytest.fixture
def pair(cluster: Cluster) -> Cluster:
    """Brokers 1001 and 1002, in sync."""
    return cluster.start()


@pytest.fixture
def ledger() -> Ledger:
    """An empty ledger."""
    return Ledger()
