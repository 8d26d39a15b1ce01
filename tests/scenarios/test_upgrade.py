"""Brokers of the version before and of this one beside each other, under load: a rolling upgrade loses nothing.

The version before is run from its source (tests/data/before). It knows no compaction: while a member is of it nobody compacts,
as it would lack what no operation brings it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import ask, wait_in_sync
from newswire.engine.embedded.scan import read_layout
from tests.kit.compacting import check_files, churn, compact, wait_compacted
from tests.kit.ledger import Ledger, Reader
from tests.kit.processes import Cluster, Node, audit, lend
from tests.kit.versions import Before


@pytest.fixture
def before(tmp_path: Path) -> Before:
    """The version before."""
    return Before(tmp_path)


@pytest.fixture
def old_pair(tmp_path: Path, before: Before) -> Iterator[Cluster]:
    """A pair of the version before, in sync."""
    with lend(Cluster(tmp_path)) as cluster:
        for node in cluster.nodes:
            before.launch(node)
            node.wait_ready()
        wait_in_sync(cluster.nodes)
        audit(cluster.nodes[0])
        yield cluster


def test_one_broker_after_the_other_is_upgraded_under_load(old_pair: Cluster, before: Before, ledger: Ledger) -> None:
    first, second = old_pair.nodes
    assert not knows_compaction(first)
    with Reader("Ann", old_pair.nodes) as ann:
        with ledger.load(first, second):
            ledger.batch(1_500, first)
            churn(first)
            second.kill9()
            ledger.wait_more(5)
            second.start()
            live_together(ledger, second, first)
            first.kill9()  # the old one once more, after what the new one has told it
            ledger.wait_more(5)
            before.start(first)
            live_together(ledger, second, first)
            said = before.run("publish", "news", "by the command of before", "--brokers", f"{second.address},{first.address}")
            assert said.returncode == 0, said
            first.kill9()
            ledger.wait_more(5)
            first.start()
            ledger.wait_more(10)
            wait_compacted(first, second)
            ledger.wait_more(5)
        ann.check(ledger)
    ledger.check(first, second)
    check_files(first, second)
    second.kill9()
    before.launch(second)
    assert second.end_code() == 1, "the version before refuses what was compacted"
    assert "version" in second.last_words(3)


@pytest.mark.long
def test_one_that_was_away_and_not_upgraded_is_told_of_and_has_all_when_it_is(
    old_pair: Cluster, before: Before, ledger: Ledger
) -> None:
    first, second = old_pair.nodes
    first.kill9()
    first.start()
    wait_in_sync([first, second])
    churn(first)
    ledger.many(5, second, copies=2)
    second.kill9()
    churn(first)
    ledger.many(5, first, copies=1)
    assert compact(first) == 409
    assert compact(first, even_if_away=True) == 200
    before.launch(second)
    first.wait_degraded("1002", "version that cannot take over")
    ledger.many(5, first, copies=1)
    second.kill9()
    second.start()
    first.wait_whole()
    ledger.check(first, second)


def live_together(ledger: Ledger, new: Node, old: Node) -> None:
    """Both take messages, each has two copies, and nothing is compacted."""
    wait_in_sync([new, old])
    churn(new)
    churn(old)
    for node in (new, old):
        ledger.many(1, node, copies=2)
    for even_if_away in (False, True):
        assert compact(new, even_if_away=even_if_away) == 409
    assert read_layout(new.folder) is None


def knows_compaction(node: Node) -> bool:
    """Say whether it is of a version that compacts."""
    return ask(node.address, "POST", "/compact", {}).status != 404
