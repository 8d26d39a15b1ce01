"""A broker without peers: its null parts have the names of those that they stand for, and refuse what needs a peer."""

from __future__ import annotations

import inspect

import pytest

from newswire.core.broker.alone import NoMembership, NoReplication
from newswire.core.broker.broker import Broker
from newswire.core.broker.events import Join, Leave, Now, Reply
from newswire.core.broker.membership import Membership
from newswire.core.broker.replication import Replication
from newswire.core.broker.values import Identity
from newswire.core.state.fold import State


@pytest.mark.parametrize(("null", "part"), [(NoReplication, Replication), (NoMembership, Membership)])
def test_a_null_part_takes_what_the_other_one_takes(null: type, part: type) -> None:
    for name, method in inspect.getmembers(null, inspect.isfunction):
        kinds, others = (
            [parameter.kind for parameter in inspect.signature(of).parameters.values()] for of in (method, getattr(part, name))
        )
        assert kinds == others, name


def test_who_asks_for_a_peer_is_refused() -> None:
    broker = Broker(
        Identity(id="1001", address="a:1", origin="1001-a", primary=True, peers=()), State(), "c", settled=True, alone=True
    )
    now = Now(0.0, 1_700_000_000_000)
    broker.begin(now)
    for event, code in ((Join("me", "b:2"), "too-many"), (Leave("me", "1001"), "last-broker")):
        replies = [action for action in broker.step(event, now) if isinstance(action, Reply)]
        assert [(reply.reply_to, reply.result.code) for reply in replies] == [("me", code)]  # type: ignore[union-attr]
