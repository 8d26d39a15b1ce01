"""What is new in the cluster is logged, once, and not before a start is over."""

from __future__ import annotations

import logging

import msgspec
import pytest

from newswire.core import limits
from newswire.core.broker.values import BrokerStatus, ClusterStatus
from newswire.engine.operator_log import OperatorLog

ME = BrokerStatus("1001", "a:1", True, "up", 0, self=True)


PEER = BrokerStatus("1002", "b:2", False, "up", 0)


def view(*rows: BrokerStatus, degraded: tuple[str, ...] = (), serves: bool = True, why_not: str = "") -> ClusterStatus:
    return ClusterStatus((ME, *rows), serves, why_not, degraded=degraded)


def changed(row: BrokerStatus, **fields: object) -> BrokerStatus:
    return msgspec.structs.replace(row, **fields)


def test_a_start_is_waited_out(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log = OperatorLog()
    down = changed(PEER, state="down")
    log.see(view(down, serves=False, why_not="catching up", degraded=("1002 is down",)), 100.0)
    assert caplog.messages == []
    log.see(view(PEER), 100.2)
    assert caplog.messages == ["serves clients", "up: broker 1002, b:2"]
    log.see(view(down, degraded=("1002 is down",)), 101.0)
    log.see(view(down, degraded=("1002 is down",)), 102.0)
    assert caplog.messages[2:] == ["1002 is down"]


def test_a_start_is_not_waited_out_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log = OperatorLog()
    refused = view(serves=False, why_not="the id is in use", degraded=("id-in-use",))
    log.see(refused, 100.0)
    log.see(view(serves=False, why_not="the id is in use", degraded=("id-in-use",)), 100.0 + limits.CATCH_UP_PATIENCE_SECONDS)
    assert caplog.messages == ["serves no clients: the id is in use", "id-in-use"]
