"""What the log says of the cluster: a line a fact, said once, and nothing while nothing changes."""

from __future__ import annotations

import logging

import msgspec

from newswire.core.broker.journal import INFO, WARNING, Fact, tell_changes
from newswire.core.broker.values import BrokerStatus, ClusterStatus

ME = BrokerStatus("1001", "a:1", True, "up", 0, self=True)


PEER = BrokerStatus("1002", "b:2", False, "up", 0)


def view(*rows: BrokerStatus, degraded: tuple[str, ...] = (), serves: bool = True, why_not: str = "") -> ClusterStatus:
    return ClusterStatus((ME, *rows), serves, why_not, degraded=degraded)


def changed(row: BrokerStatus, **fields: object) -> BrokerStatus:
    return msgspec.structs.replace(row, **fields)


def told(before: ClusterStatus, after: ClusterStatus) -> list[tuple[int, str]]:
    return [(fact.level, fact.text) for fact in tell_changes(before, after)]


def test_nothing_new_is_nothing() -> None:
    assert told(view(PEER), view(changed(PEER, seconds=3.0, lag=7))) == []
    same = view(PEER)
    assert told(same, same) == []


def test_down_and_up() -> None:
    down = view(changed(PEER, state="down"), degraded=("broker 1002, b:2, is down since T (x): a publish gets 1 copy",))
    assert told(view(PEER), down) == [(WARNING, "broker 1002, b:2, is down since T (x): a publish gets 1 copy")]
    assert told(down, view(PEER)) == [
        (INFO, "up: broker 1002, b:2"),
        (INFO, "no longer: broker 1002, b:2, is down since T (x): a publish gets 1 copy"),
    ]
    assert told(down, view(changed(PEER, state="catching-up"))) != []


def test_added_moved_and_removed() -> None:
    third = BrokerStatus("1003", "c:3", False, "up", 0)
    assert told(view(PEER), view(PEER, third)) == [(INFO, "added: broker 1003, c:3"), (INFO, "up: broker 1003, c:3")]
    assert told(view(PEER, third), view(PEER, changed(third, ip="d:4"))) == [(INFO, "moved: broker 1003, d:4, before at c:3")]
    assert told(view(PEER, third), view(PEER)) == [(INFO, "removed: broker 1003, c:3")]


def test_a_peer_that_is_met_is_the_one_that_was_told_of() -> None:
    unmet = BrokerStatus("", "b:2", False, "down", 0)
    assert told(view(unmet), view(PEER)) == [(INFO, "up: broker 1002, b:2")]
    assert told(view(), view(unmet)) == [(INFO, "added: b:2")]


def test_a_count_or_a_detail_that_changes_is_no_news() -> None:
    cannot, silent = (f"broker 1002, b:2, is down since T ({why}): a publish gets 1 copy" for why in ("cannot", "no answer"))
    assert told(view(degraded=(cannot,)), view(degraded=(silent,))) == []
    two, one = (f"broker 1002, b:2, is down since T (x): a publish gets {n}" for n in ("2 copies", "1 copy"))
    assert told(view(degraded=(two,)), view(degraded=(one,))) == [], "or it would read as if 1002 were no longer down"
    one, two = (f"the ops file is damaged: {n} records wait" for n in (12, 1_300))
    assert told(view(degraded=(one,)), view(degraded=(two,))) == []
    assert told(view(degraded=("x 1002, a",)), view(degraded=("x 1003, a",))) != []


def test_who_serves() -> None:
    leaving = view(serves=False, why_not="it is leaving")
    assert told(view(), leaving) == [(WARNING, "serves no clients: it is leaving")]
    assert told(leaving, view()) == [(INFO, "serves clients")]
    assert told(leaving, view(serves=False, why_not="removed")) == [(INFO, "serves no clients: removed")]
    assert Fact(INFO, "x").level == logging.INFO
    assert logging.WARNING == WARNING
