"""A running broker is copied, and what is made of the copy is what the rules say (docs/rules.md, RESTORE): never a mixture."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from brokers import Failed, Stream, ask, get, newswire, post, until, wait_in_sync
from tests.kit.ledger import Ledger, messages_at
from tests.kit.processes import Cluster, Node
from tests.kit.waiting import PATIENCE_SECONDS


def command(*words: str | Path) -> str:
    """Run `newswire` to a good end; what it said."""
    done = subprocess.run(newswire(*map(str, words)), capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)
    if done.returncode:
        raise Failed(f"newswire {words[0]} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def back_up(node: Node, file: Path) -> str:
    return command("backup", file, "--brokers", node.address)


def restore(file: Path, node: Node, *options: str) -> str:
    """Put a broker's folder aside, and another in its place that is made of a backup."""
    if node.folder.exists():
        aside = node.folder.with_name(f"{node.id}-aside")
        node.folder.rename(aside)
    return command("restore", file, "--ops-dir", node.ops_dir, "--id", node.id, *options)


def texts(node: Node) -> set[str]:
    return set(messages_at(node).values())


def forget(ledger: Ledger, count: int) -> set[str]:
    """Have the ledger hold the first `count` messages only: the texts of the others."""
    lost = {entry.text for entry in ledger.entries[count:]}
    del ledger.entries[count:]
    return lost


def test_a_copy_that_is_taken_under_load_holds_all_that_was_acknowledged_before(
    pair: Cluster, ledger: Ledger, tmp_path: Path
) -> None:
    first, second = pair.nodes
    ledger.batch(5_000, first)
    copy = pair.spare("1003", home=tmp_path / "copy")
    with ledger.load(first, second):
        ledger.wait_more(20)
        before = ledger.texts()
        back_up(first, tmp_path / "x.tar.gz")
        ledger.wait_more(20)
    assert "1003 of new cluster" in restore(tmp_path / "x.tar.gz", copy, "--new-cluster")
    copy.start()
    assert before <= texts(copy)
    ledger.check(first, second)


def test_one_broker_is_restored_while_the_other_lives(pair: Cluster, ledger: Ledger, tmp_path: Path) -> None:
    """(a) It is a rolled back disk: what is newer comes from the other one."""
    first, second = pair.nodes
    ledger.many(10, first, second, copies=2)
    back_up(first, tmp_path / "x.tar.gz")
    ledger.many(10, first, second, copies=2)
    first.kill9()
    ledger.many(5, second, copies=1)
    assert "10 messages" in restore(tmp_path / "x.tar.gz", first)
    first.start()
    wait_in_sync(pair.nodes)
    ledger.many(5, first, second, copies=2)
    ledger.check(first, second)


@pytest.mark.parametrize("ids", [("1001", "1002"), ("1003", "1004")])
def test_all_brokers_are_restored_from_one_backup(pair: Cluster, ledger: Ledger, tmp_path: Path, ids: tuple[str, str]) -> None:
    """(b) They are the same cluster and go on; what is newer is gone, and what clients have of it takes nothing from them."""
    first, second = pair.nodes
    ledger.many(10, first, second, copies=2)
    post(first.address, "/subscribe", username="Alice", topic=">")
    cluster = cluster_of(back_up(first, tmp_path / "x.tar.gz"))
    ledger.many(5, first, copies=2)
    with Stream("Alice", [first.address]) as alice:
        alice.wait_texts(*(entry.text for entry in ledger.entries[10:]))
    event_id = alice.last_event_id
    lost = forget(ledger, 10)
    pair.end()

    nodes = pair.nodes
    if ids != ("1001", "1002"):  # other machines: other ids, addresses and folders
        one = pair.spare(ids[0], home=tmp_path / "one")
        nodes = [one, pair.spare(ids[1], one, home=tmp_path / "other")]
        one.peers = [nodes[1].address]
    for node in nodes:
        assert cluster in restore(tmp_path / "x.tar.gz", node)
    for node in nodes:
        node.launch()
    for node in nodes:
        node.wait_ready()
    if ids != ("1001", "1002"):
        for id in ("1001", "1002"):
            post(nodes[0].address, "/remove_replica", broker_ip=id)
        for node in nodes:
            node.wait_whole()
    wait_in_sync(nodes)
    assert lost.isdisjoint(texts(nodes[0]))

    ledger.many(5, *nodes, copies=2)
    ledger.check(*nodes)
    for node in nodes:  # an event id of the lost future covers nothing of what is stored since
        with Stream("Alice", [node.address], last_event_id=event_id) as alice:
            alice.wait_texts(*(entry.text for entry in ledger.entries[10:]))


def test_a_key_of_the_lost_time_is_stored_again(pair: Cluster, tmp_path: Path) -> None:
    """(b) The first publish is gone with its key: who repeats it is not told that it is there."""
    first, second = pair.nodes
    post(first.address, "/publish", topic="news", data="before", key="before")
    back_up(second, tmp_path / "x.tar.gz")
    post(first.address, "/publish", topic="news", data="late", key="late")
    pair.end()
    for node in pair.nodes:
        restore(tmp_path / "x.tar.gz", node)
    for node in pair.nodes:
        node.launch()
    for node in pair.nodes:
        node.wait_ready()
    wait_in_sync(pair.nodes)
    for node in pair.nodes:
        for text in ("before", "late"):
            post(node.address, "/publish", topic="news", data=text, key=text)
    wait_in_sync(pair.nodes)
    assert [sorted(messages_at(node).values()) for node in pair.nodes] == [["before", "late"]] * 2


def test_two_brokers_of_one_id_refuse_each_other(pair: Cluster, ledger: Ledger, tmp_path: Path) -> None:
    """(b) One file does not make two brokers of one name."""
    first, second = pair.nodes
    ledger.many(3, first, second, copies=2)
    back_up(first, tmp_path / "x.tar.gz")
    twin = pair.spare("1002", first, home=tmp_path / "twin")
    restore(tmp_path / "x.tar.gz", twin)
    twin.launch()
    until("the twin is refused", lambda: "id-in-use" in str(get(twin.address, "/list_replicas")) if up(twin) else False)
    ledger.many(3, first, second, copies=2)
    twin.kill9()
    ledger.check(first, second)


def up(node: Node) -> bool:
    return node.readiness()[0] > 0


def test_a_new_cluster_never_merges_with_the_living_one(pair: Cluster, ledger: Ledger, tmp_path: Path) -> None:
    """(c) It has all that the backup has, itself as member, and an id of its own; adding it to the living one is refused."""
    first, second = pair.nodes
    ledger.many(10, first, second, copies=2)
    cluster = cluster_of(back_up(first, tmp_path / "x.tar.gz"))
    copy = pair.spare("1001", home=tmp_path / "copy")
    assert cluster not in restore(tmp_path / "x.tar.gz", copy, "--new-cluster")
    copy.start()
    assert texts(copy) == ledger.texts()
    assert [row["id"] for row in get(copy.address, "/list_replicas")] == ["1001"]
    copy.wait_whole()
    post(copy.address, "/publish", topic="news", data="of the copy")
    ledger.many(5, first, second, copies=2)
    refused = ask(first.address, "POST", "/add_replica", {"broker_ip": copy.address})
    assert refused.json()["code"] in ("other-cluster", "id-in-use")

    third = pair.spare("1005", copy, home=tmp_path / "third")
    third.start()  # an empty one joins the new cluster
    wait_in_sync([copy, third])
    assert texts(third) == texts(copy)
    assert "of the copy" in texts(third)
    assert "of the copy" not in texts(first)
    assert ledger.texts() - texts(copy) == {entry.text for entry in ledger.entries[10:]}
    ledger.check(first, second)


def cluster_of(told: str) -> str:
    """The short id that `newswire backup` said."""
    return told.partition("cluster ")[2].partition(",")[0]
