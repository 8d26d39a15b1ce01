"""One key at two brokers that cannot see each other: the same content is one message under one id, other content is two."""

from __future__ import annotations

from brokers import ask, get, post, until, wait_in_sync
from tests.kit.ledger import SYNC_SECONDS
from tests.kit.processes import Cluster, Node

FIELDS = {"topic": "orders", "data": "Order 17", "key": "order-17"}


def seen(node: Node, user: str, since: str = "earliest") -> list[tuple[str, str]]:
    """(id, text) of all that `GET /messages` shows."""
    page = get(node.address, "/messages", username=user, since=since)
    return [(message["id"], message["data"]) for message in page["messages"]]


def place(node: Node, user: str) -> str:
    """The event id of the last message that a reader has had."""
    return str(get(node.address, "/messages", username=user, since="earliest")["messages"][-1]["event_id"])


def unread(node: Node, user: str) -> tuple[int, int]:
    (row,) = get(node.address, "/subscriptions", username=user)
    return row["index"], row["unread"]


def at_each_alone(pair: Cluster, *fields: dict[str, str]) -> tuple[str, str, str, str]:
    """Publish one thing at each broker while the other is dead; both are in sync again. Ids, and places after each."""
    first, second = pair.nodes
    for user in ("ann", "ben", "cleo"):
        post(first.address, "/subscribe", username=user, topic="orders")
    wait_in_sync(pair.nodes, SYNC_SECONDS)
    second.kill9()
    one = post(first.address, "/publish", **fields[0])
    after_one = place(first, "ann")
    first.kill9()
    second.start()
    other = post(second.address, "/publish", **fields[-1])
    after_other = place(second, "ben")
    first.start()
    wait_in_sync(pair.nodes, SYNC_SECONDS)
    assert (one.get("duplicate"), other.get("duplicate")) == (None, None)
    return one["id"], other["id"], after_one, after_other


def test_a_retry_across_a_failover_is_one_message_under_one_id(pair: Cluster) -> None:
    one, other, after_one, after_other = at_each_alone(pair, FIELDS)
    name = min(one, other)
    for node in pair.nodes:
        for user in ("ann", "ben", "cleo"):
            assert seen(node, user) == [(name, "Order 17")]
            assert unread(node, user) == (0, 1)
        assert seen(node, "ann", since=after_one) == seen(node, "ben", since=after_other) == []
        assert seen(node, "ann", since=after_other) == seen(node, "ben", since=after_one) == []
        assert [(row["topic"], row["messages"]) for row in get(node.address, "/topics")] == [("orders", 1)]
        again = post(node.address, "/publish", **FIELDS)
        assert (again["id"], again["duplicate"]) == (name, True)
        until("both count", lambda node=node: post(node.address, "/publish", **FIELDS)["copies"] == 2)  # type: ignore[misc]
        reused = ask(node.address, "POST", "/publish", {**FIELDS, "data": "Order 18"})
        assert (reused.status, reused.json()["code"], reused.json()["id"]) == (409, "key-reused", name)
    for node in pair.nodes:  # and after a start, which folds the files
        node.kill9()
        node.start()
        wait_in_sync(pair.nodes, SYNC_SECONDS)
        assert seen(node, "cleo") == [(name, "Order 17")]


def test_two_contents_under_one_key_are_both_shown(pair: Cluster) -> None:
    one, other, *_ = at_each_alone(pair, FIELDS, {**FIELDS, "data": "Order 18"})
    for node in pair.nodes:
        assert sorted(seen(node, "cleo")) == sorted([(one, "Order 17"), (other, "Order 18")])
        assert post(node.address, "/publish", **FIELDS)["id"] == one
        assert post(node.address, "/publish", **{**FIELDS, "data": "Order 18"})["id"] == other
        refused = ask(node.address, "POST", "/publish", {**FIELDS, "data": "Order 19"})
        assert (refused.status, refused.json()["id"]) == (409, min(one, other))
