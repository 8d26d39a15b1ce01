"""What an engine without peers answers where others count or ask theirs (docs/decisions.md, What an engine has to do)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from newswire.core.broker.alone import NoMembership, NoReplication
from newswire.core.broker.shared_log import SharedLog
from newswire.core.model.commands import Acknowledge, Publish, Subscribe, Unsubscribe
from newswire.engine.jetstream.engine import JetstreamEngine
from newswire.engine.lone import LoneEngine
from newswire.engine.seam import Wake
from newswire.errors import KeyReused, NotEnoughCopies, NotFound
from tests.contract.conftest import ALONE, Pair, begun, read, texts
from tests.kit.waiting import wait_until


@pytest.fixture(params=ALONE)
def lone(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    yield from begun(request.param, tmp_path)


def test_it_stores_one_copy_and_says_so(lone: Pair) -> None:
    assert lone.one.submit([Publish("news", "one")]).copies == 1
    with pytest.raises(NotEnoughCopies):
        lone.one.submit([Publish("news", "two")], copies=2)
    assert lone.one.numbers().messages_published == 1


def test_it_is_a_cluster_of_one_in_which_nobody_is_away(lone: Pair) -> None:
    status = lone.one.describe()
    assert [(row.id, row.self, row.is_primary, row.state) for row in status.rows] == [("1001", True, True, "up")]
    assert (status.serves, status.all_in_sync, status.away, status.most_copies) == (True, True, (), 1)


def test_it_has_nothing_of_a_cluster_to_administer(lone: Pair) -> None:
    for name in ("join_later", "leave_later", "receive_later", "accept_loss_later", "compact_later", "check_head"):
        assert not hasattr(lone.one, name)


def test_it_carries_neither_replication_nor_membership(lone: Pair) -> None:
    assert isinstance(lone.one, (LoneEngine, JetstreamEngine))
    shell, part = (lone.one.shell, NoReplication) if isinstance(lone.one, LoneEngine) else (lone.one._shell, SharedLog)
    assert [type(one) for one in (shell.broker.replication, shell.broker.membership)] == [part, NoMembership]


def test_users_see_what_they_see_of_any_other(lone: Pair) -> None:
    wakes: list[Wake] = []
    lone.one.on_wake(wakes.append)
    lone.one.submit([Subscribe("Alice", "news")])
    first = lone.one.submit([Publish("news", "x", key="k")])
    assert lone.one.submit([Publish("news", "x", key="k")]).first == first.first
    with pytest.raises(KeyReused):
        lone.one.submit([Publish("news", "y", key="k")])
    with pytest.raises(NotFound):
        lone.one.submit([Unsubscribe("Alice", "tech")])
    entries = read(lone.one, "Alice")
    assert texts(entries) == ["x"]
    assert lone.one.post([Acknowledge("Alice", entries[0].event_id)])
    wait_until(lambda: read(lone.one, "Alice") == [])
    assert [(set(wake.topics), set(wake.users)) for wake in wakes] == [(set(), {"Alice"}), ({"news"}, set())]
