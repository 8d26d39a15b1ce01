"""Disks are lost, put back to an older copy, or cloned while their broker is down: nothing that had two copies is missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.kit.damage import DiskFault, cloned, copy_folder, lost, rolled_back
from tests.kit.ledger import Ledger, on_disk
from tests.kit.processes import Cluster


@pytest.mark.parametrize(("fault", "victim"), [(lost, 0), (lost, 1), (rolled_back, 0), (cloned, 1)])
def test_a_disk_is_not_what_it_was(pair: Cluster, ledger: Ledger, tmp_path: Path, fault: DiskFault, victim: int) -> None:
    node, other = pair.nodes[victim], pair.nodes[1 - victim]
    ledger.many(10, node, copies=2)
    node.kill9()
    older = tmp_path / "older"
    copy_folder(node.folder, older)
    node.start()
    ledger.many(10, node, copies=2)
    ledger.many(10, other, copies=2)

    with ledger.load(other, threads=1):
        ledger.wait_more(5)
        node.kill9()
        ledger.wait_more(5)
        fault(node, other, older)
        node.start()
        ledger.wait_more(5)
    ledger.many(5, node, copies=2)
    ledger.check(node, other)


def test_both_disks_are_rolled_back_to_different_times(pair: Cluster, ledger: Ledger, tmp_path: Path) -> None:
    """What both lost is lost; what one of the disks holds is at both, and no id means two messages."""
    first, second = pair.nodes
    for number, node in enumerate([first, second] * 2):
        ledger.many(10, first, second, copies=2)
        node.kill9()
        copy_folder(node.folder, tmp_path / str(number))
        node.start()
        ledger.many(1, node, copies=2)
    before = {entry.text for entry in ledger.entries[:-2]}  # the last two copies were taken with all but these
    for node in pair.nodes:
        node.kill9()
    copy_folder(tmp_path / "0", first.folder)
    copy_folder(tmp_path / "3", second.folder)
    lost_with_the_disks = ledger.entries[-1]
    ledger.entries = [entry for entry in ledger.entries if entry.text in before]
    pair.start()
    ledger.many(10, first, second, copies=2)
    ledger.check(first, second)
    assert lost_with_the_disks not in ledger.entries


def test_a_clone_becomes_a_third_broker(pair: Cluster, ledger: Ledger) -> None:
    first, second = pair.nodes
    ledger.many(10, first, second, copies=2)
    third = pair.spare("1003", first, second)
    second.kill9()
    copy_folder(second.folder, third.folder)
    ledger.many(5, first, copies=1)
    third.start()
    second.start()
    ledger.many(15, first, second, third)
    ledger.check(first, second, third)
    ledger.many(1, third, copies=3)


def test_the_one_disk_that_holds_a_message_comes_back_late(pair: Cluster, ledger: Ledger, tmp_path: Path) -> None:
    """The folder is replaced by an empty one, and put back later: what only that disk held comes to both then."""
    first, second = pair.nodes
    ledger.many(5, first, copies=2)
    second.kill9()
    ledger.many(5, first, copies=1)
    first.kill9()
    first.folder.rename(tmp_path / "lost")
    pair.start()
    ledger.many(5, first, second, copies=2)
    first.kill9()
    newer = tmp_path / "newer"
    first.folder.rename(newer)
    (tmp_path / "lost").rename(first.folder)
    ledger.many(5, second, copies=1)
    first.start()
    ledger.check(first, second)


def test_each_disk_is_lost_as_soon_as_the_other_broker_is_ready(pair: Cluster, ledger: Ledger) -> None:
    """Ready means: it has everything. More than one push can carry."""
    first, second = pair.nodes
    ledger.batch(6_000, first)
    for node in (first, second):
        ledger.many(5, first, second, copies=2)
        node.kill9()
        shutil.rmtree(node.folder)
        node.start()
        assert ledger.texts() <= set(on_disk(node).values())
    ledger.check(first, second)
