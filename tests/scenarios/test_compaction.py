"""Brokers that compact, while others are away, lose their disks, or compact, too.

Who lacks what another one compacted is handed what stays, and has it all at once.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from time import monotonic

import pytest

from brokers import ask, get, post, until, wait_in_sync
from newswire.engine.embedded.scan import read_layout
from tests.kit.asking import pages
from tests.kit.compacting import check_files, churn, compact, leftovers, wait_compacted
from tests.kit.damage import DiskFault, cloned, copy_folder, lost, rolled_back
from tests.kit.ledger import Ledger
from tests.kit.processes import Cluster, Node, lend

KEEP = 200
BATCH = 1_000
AWAY_SECONDS = 2.6


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[Cluster]:
    """A pair that keeps few messages."""
    with lend(Cluster(tmp_path, "--retention-messages", str(KEEP))) as cluster:
        yield cluster.start()


@pytest.mark.parametrize("is_wiped", [False, True])
def test_who_was_away_past_a_compaction_is_handed_what_stays(forgetful: Cluster, is_wiped: bool) -> None:
    first, second = forgetful.nodes
    post(first.address, "/subscribe", username="ann", topic="news")
    publish(first, 0)
    wait_in_sync(forgetful.nodes)
    second.kill9()
    publish(first, BATCH)
    publish(first, 2 * BATCH)
    first.kill9()
    first.start()  # retention looks at once
    until("retention has dropped the rest", lambda: count(first) == KEEP)
    done = json.loads(ask(first.address, "POST", "/compact", {"even_if_away": "1"}).body)
    assert done["operations_after"] < KEEP + 50 < 3 * BATCH < done["operations_before"]
    if is_wiped:
        shutil.rmtree(second.folder)
    second.start()
    wait_in_sync(forgetful.nodes)
    until("it has what stays", lambda: count(second) == KEEP)
    publish(second, 3 * BATCH, 10)
    wait_in_sync(forgetful.nodes)
    assert read_layout(second.folder) is not None, "it has taken over what was compacted"
    for node in forgetful.nodes:
        assert texts(node)[-KEEP:] == [str(number) for number in range(3 * BATCH + 10 - KEEP, 3 * BATCH + 10)]
        node.kill9()
    for node in forgetful.nodes:
        node.launch()
    for node in forgetful.nodes:
        node.wait_ready()
    wait_in_sync(forgetful.nodes)
    assert texts(first)[-10:] == texts(second)[-10:] == [str(number) for number in range(3 * BATCH, 3 * BATCH + 10)]


def test_who_is_away_for_long_is_not_waited_for_and_that_is_said(tmp_path: Path, ledger: Ledger) -> None:
    with lend(Cluster(tmp_path, "--away-days", str(AWAY_SECONDS / 86_400))) as cluster:
        first, second = cluster.start().nodes
        ledger.many(5, first, copies=2)
        end = monotonic() + AWAY_SECONDS
        second.kill9()
        churn(first)
        assert compact(first) == 409 or monotonic() > end
        until("it is not waited for any more", lambda: compact(first) == 200)
        first.wait_degraded("1002", "has been away for ", " seconds: ", "offered everything when it is back")
        second.start()
        first.wait_whole()
        ledger.check(first, second)
        assert read_layout(second.folder) is not None, "it has taken over what was compacted"


@pytest.mark.parametrize(("fault", "victim"), [(rolled_back, 0)])
def test_a_disk_is_not_what_it_was_before_a_compaction(
    pair: Cluster, ledger: Ledger, tmp_path: Path, fault: DiskFault, victim: int
) -> None:
    lose_a_disk_around_compactions(pair, ledger, tmp_path, fault, victim)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("fault", [lost, rolled_back, cloned])
def test_each_disk_is_lost_rolled_back_and_cloned_around_compactions(
    pair: Cluster, ledger: Ledger, tmp_path: Path, fault: DiskFault, victim: int
) -> None:
    for number in range(4):
        lose_a_disk_around_compactions(pair, ledger, tmp_path / str(number), fault, victim if number < 2 else 1 - victim)


def lose_a_disk_around_compactions(pair: Cluster, ledger: Ledger, home: Path, fault: DiskFault, victim: int) -> None:
    """The older copy is of before a compaction of both; the one that is away misses another."""
    node, other = pair.nodes[victim], pair.nodes[1 - victim]
    ledger.many(10, node, copies=2)
    node.kill9()
    copy_folder(node.folder, home / "older")
    node.start()
    churn(node)
    ledger.many(10, other, copies=2)
    wait_compacted(*pair.nodes)
    with ledger.load(other, threads=1):
        ledger.wait_more(5)
        node.kill9()
        churn(other)
        ledger.wait_more(5)
        until("the other compacts", lambda: compact(other, even_if_away=True) == 200)
        until("it has removed what was replaced", lambda: not leftovers(other))
        fault(node, other, home / "older")
        node.start()
        ledger.wait_more(5)
    ledger.many(5, node, copies=2)
    ledger.check(node, other)
    check_files(node, other)


def test_three_brokers_compact_at_once_under_load(tmp_path: Path, ledger: Ledger) -> None:
    compact_at_once(tmp_path, ledger, rounds=2)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_three_brokers_compact_at_once_again_and_again(tmp_path: Path, ledger: Ledger) -> None:
    compact_at_once(tmp_path, ledger, rounds=20)


def compact_at_once(home: Path, ledger: Ledger, rounds: int) -> None:
    """All compact at once while all take messages; one of them is killed meanwhile, each in its turn."""
    with lend(Cluster(home, count=3)) as cluster:
        cluster.start()
        with ledger.load(*cluster.nodes):
            for number in range(rounds):
                victim = cluster.nodes[number % 3]
                for node in cluster.nodes:
                    churn(node)
                ledger.wait_more(10)
                asking = [Thread(target=compact, args=(node,), kwargs={"even_if_away": True}) for node in cluster.nodes]
                for thread in asking:
                    thread.start()
                ledger.wait_more(number % 5)
                victim.kill9()
                for thread in asking:
                    thread.join()
                check_files(victim)
                victim.start()
            ledger.wait_more(10)
            wait_compacted(*cluster.nodes)
        ledger.check(*cluster.nodes)
        check_files(*cluster.nodes)


def publish(node: Node, first: int, size: int = BATCH) -> None:
    lines = "\n".join(json.dumps({"topic": "news", "data": str(number)}) for number in range(first, first + size))
    answer = ask(node.address, "POST", "/publish", body=lines.encode(), headers={"Content-Type": "application/x-ndjson"})
    assert answer.status == 200, answer.body


def count(node: Node) -> int:
    return sum(row["messages"] for row in get(node.address, "/topics") if row["topic"] == "news")


def texts(node: Node) -> list[str]:
    """What ann has not read, at this broker."""
    return [message["data"] for message in pages(node.address, "ann")]
