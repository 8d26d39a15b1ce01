"""Two brokers that answer as a test says, and threads that call one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from newswire.client.pool import BrokerPool
from newswire.core import limits
from tests.kit.client_fakes import FakeBroker
from tests.kit.desk import Desk
from tests.kit.waiting import PATIENCE_SECONDS


@pytest.fixture(autouse=True)
def _nobody_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call here ends by what a test does, not by how slow the machine is; a test that ends one by time says so."""
    for name in ("CONNECT", "TRY", "BATCH_TRY", "SIDE"):
        monkeypatch.setattr(limits, f"CLIENT_{name}_SECONDS", PATIENCE_SECONDS)
    for function, name in (
        (BrokerPool.__init__, "timeout"),
        (BrokerPool.request, "try_seconds"),
    ):
        assert function.__kwdefaults__[name] < PATIENCE_SECONDS
        monkeypatch.setitem(function.__kwdefaults__, name, PATIENCE_SECONDS)


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
