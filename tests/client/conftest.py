"""Two brokers that answer as a test says, and threads that call one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.kit.client_fakes import FakeBroker
from tests.kit.desk import Desk
from tests.kit.patience import be_patient


@pytest.fixture(autouse=True)
def _nobody_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch)


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


@pytest.fixture
def desk(a: FakeBroker) -> Desk:
    return Desk(a)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(80) as pool:
        yield pool
