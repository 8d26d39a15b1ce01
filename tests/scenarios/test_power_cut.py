"""The power goes out: what no sync brought to the disk is gone. What was acknowledged is not.

Each broker writes to a file system in a file (mounted with a commit interval of minutes). A power cut is: kill the
process, and go on with a copy of that file, which holds what had reached the "disk" and nothing of the page cache.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from brokers import UNREACHABLE, ask, until
from newswire.engine.embedded.scan import read_layout
from tests.kit.ledger import Ledger
from tests.kit.machine import lacks, system
from tests.kit.processes import Cluster, Node, lend

WHY_NOT = lacks("mount", "umount", "mkfs.ext4", root=True) or ("" if Path("/dev/loop-control").exists() else "no loop devices")
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

IMAGE_BYTES = 64 * 1024 * 1024  # with room above the reserve


class Disk:
    """A file system in a file, mounted where a broker's ops file lies."""

    def __init__(self, node: Node) -> None:
        self.at = node.folder
        self.image = node.home / f"{node.id}.0.img"
        self.at.mkdir(parents=True)
        with self.image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        system("mkfs.ext4", "-q", "-F", self.image)
        self._mount()

    def cut_power(self) -> None:
        """Go on with what had reached the disk."""
        number = int(self.image.suffixes[0][1:]) + 1
        copy = self.image.with_name(f"{self.at.name}.{number}.img")
        shutil.copyfile(self.image, copy)
        self.unmount()
        self.image.unlink()
        self.image = copy
        self._mount()

    def unmount(self) -> None:
        """Take it away."""
        system("umount", "-l", self.at)

    def _mount(self) -> None:
        system("mount", "-o", "loop,commit=600", self.image, self.at)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[tuple[Cluster, list[Disk]]]:
    """A pair of brokers with a disk each."""
    cluster, disks = Cluster(tmp_path), []
    try:
        for node in cluster.nodes:
            disks.append(Disk(node))
        with lend(cluster) as lent:
            yield lent.start(), disks
    finally:
        for disk in disks:
            disk.unmount()


def test_the_disks_forget_what_was_not_synced(machines: tuple[Cluster, list[Disk]]) -> None:
    """Else the other tests here could not fail."""
    cluster, disks = machines
    note = cluster.nodes[0].folder / "note"
    note.write_text("not synced")
    cluster.nodes[0].kill9()
    disks[0].cut_power()
    assert not note.exists()
    assert list(cluster.nodes[0].folder.glob("*.ops"))


def test_the_power_goes_out_for_both(machines: tuple[Cluster, list[Disk]], ledger: Ledger) -> None:
    cluster, disks = machines
    first, second = cluster.nodes
    with ledger.load(first, second):
        for more in (1, 7, 20):
            ledger.wait_more(more)
            for node in cluster.nodes:
                node.kill9()
            for disk in disks:
                disk.cut_power()
            ledger.check_copies(first, second)
            for node in cluster.nodes:
                node.launch()
        ledger.wait_more(10)
    ledger.check(first, second)
    for node in cluster.nodes:
        node.wait_whole()


def test_the_power_goes_out_while_they_compact(machines: tuple[Cluster, list[Disk]], ledger: Ledger) -> None:
    """At whatever step of it: each disk has the log of before or of after, and all that was acknowledged."""
    cluster, disks = machines
    first, second = cluster.nodes
    with ledger.load(first, second):
        for more in (2, 4, 6):
            ledger.wait_more(more)
            asking = [Thread(target=_compact, args=(node,)) for node in cluster.nodes]
            for thread in asking:
                thread.start()
            ledger.wait_more(more)
            for node in cluster.nodes:
                node.kill9()
            for thread in asking:
                thread.join()
            for disk in disks:
                disk.cut_power()
            ledger.check_copies(first, second)
            for node in cluster.nodes:
                node.launch()
            for node in cluster.nodes:
                node.wait_ready()
        until("both compact", lambda: all(_compact(node) == 200 for node in cluster.nodes))
    ledger.check(first, second)
    assert all(read_layout(node.folder) for node in cluster.nodes), "both have compacted"


def _compact(node: Node) -> int:
    """Ask for a compaction, and wait for it; 0 where the broker dies meanwhile."""
    try:
        return ask(node.address, "POST", "/compact", {"even_if_away": "1"}).status
    except UNREACHABLE:
        return 0


def test_the_power_goes_out_for_one(machines: tuple[Cluster, list[Disk]], ledger: Ledger) -> None:
    """And for the other as soon as that one serves again."""
    cluster, disks = machines
    first, second = cluster.nodes
    with ledger.load(first, second):
        for node, disk in [*zip(cluster.nodes, disks, strict=True)] * 2:
            ledger.wait_more(10)
            node.kill9()
            disk.cut_power()
            ledger.check_copies(first, second)
            node.start()
    ledger.check(first, second)
