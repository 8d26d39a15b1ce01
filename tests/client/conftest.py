"""Two brokers that answer as a test says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.client_fakes import FakeBroker


@pytest.fixture
def a() -> Iterator[FakeBroker]:
    """Broker 1001."""
    broker = FakeBroker("1001")
    yield broker
    broker.down()


@pytest.fixture
def b() -> Iterator[FakeBroker]:
    """Broker 1002."""
    broker = FakeBroker("1002")
    yield broker
    broker.down()
