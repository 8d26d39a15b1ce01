"""Brokers sign with the cluster secret: equal ones meet, others see that it is the secret, and go on serving alone."""

from __future__ import annotations

import pytest

from brokers import get, until, wait_in_sync
from tests.kit.ledger import Ledger
from tests.kit.processes import Cluster, Node, audit

ONE = "one-secret-of-more-than-thirty-two-bytes"
TWO = "two-secrets-of-more-than-thirty-two-bytes"


def test_equal_secrets(cluster: Cluster, ledger: Ledger) -> None:
    for node in cluster.nodes:
        give(node, ONE)
    first, second = cluster.start().nodes
    ledger.many(10, first, second, copies=2)
    second.kill9()
    ledger.many(5, first, copies=1)
    second.start()
    ledger.check(first, second)


@pytest.mark.parametrize("other", [TWO, ""])
def test_another_secret_and_none(cluster: Cluster, ledger: Ledger, other: str) -> None:
    """Both stay ready (one typo must not stop both), say what is wrong, and meet when it is put right."""
    for node in cluster.nodes:
        give(node, ONE)
    first, second = cluster.start().nodes
    ledger.many(5, first, second, copies=2)
    second.kill9()
    give(second, other)
    second.start()
    for node, peer in ((first, second), (second, first)):
        node.wait_degraded("peer-auth-failed", "secret")
        until("the row says so", lambda n=node, p=peer: n.row(p.id)["state"] == "peer-auth-failed")  # type: ignore[misc]
        ledger.many(5, node, copies=1)
        audit(node)
    second.kill9()
    give(second, ONE)
    second.start()
    ledger.check(first, second)
    for node in cluster.nodes:
        node.wait_whole()


def test_a_secret_is_rotated_one_broker_after_the_other(cluster: Cluster, ledger: Ledger) -> None:
    """Old; both known, old signs; both known, new signs; new: two copies all the time that both are up."""
    for node in cluster.nodes:
        give(node, ONE)
    first, second = cluster.start().nodes
    for secrets in (f"{ONE}\n{TWO}", f"{TWO}\n{ONE}", TWO):
        for node in cluster.nodes:
            assert node.stop() == 0
            give(node, secrets)
            node.start()
            wait_in_sync(cluster.nodes)
            ledger.many(2, first, second, copies=2)
    ledger.check(first, second)
    assert {row["state"] for row in get(first.address, "/list_replicas")} == {"up"}


def give(node: Node, secret: str) -> None:
    """Let it start with this secret, "" for none."""
    node.before = ["env", f"NEWSWIRE_CLUSTER_SECRET={secret}"] if secret else []
